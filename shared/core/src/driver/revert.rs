//! The way back.

use super::{
    Driver, Found, busy, show,
    work::{Since, Task},
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    ledger::{
        Saved,
        book::{Book, LEASE, back_off},
        record::{Held, Phase, Progress},
        together::Left,
    },
    report::{Report, Status},
    responder::Responder,
    slot::Slot,
};

/// How often a claim is tried against others that claim at the same moment.
const CLAIMS: u32 = 8;

/// What a revert order means.
enum Way {
    /// Undo from this stage downwards.
    Undo { stage: usize, since: Since },
    /// Give it up; others hold it.
    GiveUp { others: Vec<String> },
    /// It is undone.
    Done { reason: String },
}

impl<R: Responder> Driver<R> {
    pub(super) async fn revert(
        &self,
        found: &Found<'_, R>,
        mut book: Book<R::Slot>,
        report: &mut Report,
    ) -> Result<()> {
        for attempt in 0..CLAIMS {
            if attempt > 0 {
                book = self.open(found).await?;
            }
            let way = self.way(found, &book)?;
            if let Some(record) = &book.record {
                report.record = Some(record.mark.record.clone());
            }
            if let Some(why) = self.bound(found, &book) {
                if let Some(record) = &book.record {
                    show::inverse(report, record, &why);
                }
                return Ok(());
            }
            if let (Way::Undo { .. }, Some(record)) = (&way, &book.record) {
                let now = self.clock.now();
                for entry in record.entries().filter(|entry| entry.progress.may_be_ours()) {
                    entry.change.slot.may_undo(&found.api, record.closed.unwrap_or(now), now)?;
                }
            }
            let saved = match &way {
                Way::Done { reason } => {
                    report.status = Status::Already;
                    report.reason = Some(reason.clone());
                    return Ok(());
                }
                Way::GiveUp { .. } => {
                    self.release(found, &mut book);
                    book.save_holders().await?
                }
                Way::Undo { stage, .. } => {
                    if let Some(record) = &mut book.record {
                        record.phase = Phase::Reverting { stage: *stage };
                    }
                    book.claim(&found.request.id, Vec::new()).await?
                }
            };
            match (saved, way) {
                (Saved::Moved, _) => self.clock.pause(back_off(attempt, None, self.clock.chance())).await,
                (Saved::Done, Way::Undo { stage, since }) => {
                    return self.go_back(found, &mut book, stage, since, report).await;
                }
                (Saved::Done, Way::GiveUp { others }) => {
                    return Err(Error::refused(format!("still held by {}", others.join(", "))));
                }
                (Saved::Done, Way::Done { .. }) => return Ok(()),
            }
        }
        Err(busy(self.clock.now()))
    }

    fn way(&self, found: &Found<'_, R>, book: &Book<R::Slot>) -> Result<Way> {
        let incident = &found.request.order.incident;
        let Some(record) = &book.record else {
            return Err(Error::refused(format!("{} has done nothing to this target", R::NAME)));
        };
        let now = self.clock.now();
        if let Some(lease) = record.lease.as_ref().filter(|lease| lease.owner != found.request.id && lease.until > now)
        {
            return Err(busy(lease.until));
        }
        if let Phase::Reverted { at, by } = &record.phase {
            return Ok(Way::Done { reason: format!("reverted by {by} at {at}") });
        }
        let others: Vec<_> = record.other_holders(incident).iter().map(ToString::to_string).collect();
        if !record.holders.contains_key(incident) {
            return Err(Error::refused(match record.released.get(incident) {
                Some(given) => format!("given up by {} at {}; still held by {}", given.by, given.at, others.join(", ")),
                None => format!("{incident} does not hold this target; {} does", others.join(", ")),
            }));
        }
        if !others.is_empty() {
            return Ok(Way::GiveUp { others });
        }
        Ok(match record.phase {
            Phase::Reverting { stage } => Way::Undo { stage, since: Since::Resumed },
            Phase::Applying { stage } => Way::Undo { stage, since: Since::Before },
            _ => Way::Undo { stage: record.stages.len().saturating_sub(1), since: Since::Before },
        })
    }

    fn release(&self, found: &Found<'_, R>, book: &mut Book<R::Slot>) {
        let incident = &found.request.order.incident;
        if let Some(record) = &mut book.record {
            record.holders.remove(incident);
            let held = Held { at: self.clock.now(), by: found.request.caller.id.clone() };
            record.released.insert(incident.clone(), held);
        }
    }

    /// Every change that may have been made, last stage first. A change that somebody else moved is left and named,
    /// and the rest goes on; a change that could not be undone stops what comes after it, for the order matters.
    async fn go_back(
        &self,
        found: &Found<'_, R>,
        book: &mut Book<R::Slot>,
        last: usize,
        mut since: Since,
        report: &mut Report,
    ) -> Result<()> {
        let (owner, deadline) = (&found.request.id, found.request.deadline);
        let kept_only = book.record.as_ref().is_some_and(|record| {
            record.entries().all(|entry| entry.change.slot.kept().is_some() || !entry.is_ours())
                && record.entries().any(|entry| entry.change.slot.kept().is_some())
        });
        let mut failure: Option<Error> = None;
        for stage in (0..=last).rev() {
            if stage < last {
                if let Some(record) = &mut book.record {
                    record.phase = Phase::Reverting { stage };
                }
                book.begin(owner).await?;
                since = since.next_stage();
            }
            let tasks = Task::revert(book, stage, since);
            match self.work(&found.api, book, &tasks, owner, deadline).await? {
                Some(error) if error.kind() == Kind::Conflict => failure = failure.or(Some(error)),
                Some(error) => {
                    failure = Some(error);
                    break;
                }
                None => {}
            }
        }
        if failure.is_none() {
            // Whatever keeps us from leaving, what was undone before it is closed and reported.
            failure = self.leave_shared(found, book).await.unwrap_or_else(Some);
        }
        self.release(found, book);
        if let Some(record) = &mut book.record {
            if failure.is_none() {
                record.phase = Phase::Reverted { at: self.clock.now(), by: found.request.caller.id.clone() };
                for entry in record.stages.iter_mut().flatten() {
                    if let Some(why) = entry.change.slot.kept() {
                        entry.progress = Progress::Left;
                        entry.note = Some(why.to_owned());
                    }
                }
            } else {
                // Half undone: it is still held, so that the same order can finish it.
                let incident = &found.request.order.incident;
                if let Some(held) = record.released.remove(incident) {
                    record.holders.insert(incident.clone(), held);
                }
                record.phase = Phase::Reverting { stage: last };
            }
        }
        let closed = book.release().await;
        if let Some(record) = &book.record {
            show::record(report, record, Status::Reverted, found.request);
        }
        let whole = failure.is_none() && matches!(closed, Ok(Saved::Done));
        // What only left evidence, or cannot be undone, has brought no member back.
        if whole
            && !kept_only
            && let Err(error) = book.give_back().await
        {
            tracing::warn!(%error, "a group counts its member as missing for another day");
        }
        report.end(failure, closed);
        if whole && kept_only {
            report.status = Status::Refused;
            report.error = Some(Kind::Refused);
            report.reason = Some("what it made is kept, and there is nothing else to undo".to_owned());
        }
        Ok(())
    }

    /// Leaves what the record shares with others. What nobody uses any more is taken away, while those who want it
    /// wait; what somebody uses without our knowledge stays, and is named.
    async fn leave_shared(&self, found: &Found<'_, R>, book: &mut Book<R::Slot>) -> Result<Option<Error>> {
        let owner = &found.request.id;
        let Some(id) = book.record.as_ref().map(|record| record.mark.record.clone()) else { return Ok(None) };
        let mut unused = Vec::new();
        for task in Task::shared(book) {
            match book.leave(task.slot(), &id, owner).await? {
                Left::InUse(others) => task.leave(book, format!("{others} other records use it")),
                Left::Unused => unused.push(task),
            }
        }
        let deadline = found.request.deadline.min(clock::after(self.clock.now(), LEASE));
        let failure = self.work(&found.api, book, &unused, owner, deadline).await?;
        let in_use = failure.as_ref().is_some_and(|error| error.kind() == Kind::Conflict);
        for task in &unused {
            if in_use && task.failed(book) {
                task.leave(book, "something that no record knows of uses it".to_owned());
            }
            book.taken_away(task.slot(), owner).await?;
        }
        Ok(failure.filter(|_| !in_use))
    }
}
