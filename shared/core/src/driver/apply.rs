//! Towards contained.

use super::{
    Driver, Found, busy,
    decide::{Decision, decide},
    show,
    work::{Since, Task},
};
use crate::{
    error::{Error, Kind, Result},
    guard::Limits,
    ledger::{
        Saved, Write,
        book::{Book, back_off},
        record::{Held, Phase, Record},
    },
    plan::Plan,
    report::{Report, Status},
    responder::Responder,
    slot::{Mark, Slot},
};

/// How often a claim is tried against others that claim at the same moment.
const CLAIMS: u32 = 8;

impl<R: Responder> Driver<R> {
    /// Claims the target, then carries out the plan. A lost claim is decided afresh.
    pub(super) async fn apply(&self, found: &Found<'_, R>, mut book: Book<R::Slot>, report: &mut Report) -> Result<()> {
        for attempt in 0..CLAIMS {
            if attempt > 0 {
                book = self.open(found).await?;
            }
            if let Some(why) = self.bound(found, &book) {
                return self.show(found, &book, report, Some(why)).await;
            }
            let decision =
                decide(book.record.as_ref(), found.request, R::COOL_DOWN, self.guard.after_revert, self.clock.now());
            let done = match decision {
                Decision::Refuse(error) => {
                    if let Some(record) = &book.record {
                        report.record = Some(record.mark.record.clone());
                    }
                    return Err(error);
                }
                Decision::New { generation } => self.start(found, &mut book, generation, report).await?,
                Decision::Resume { stage } => self.resume(found, &mut book, stage, report).await?,
                Decision::Verify => self.verify(found, &mut book, None, report).await?,
                Decision::CoolDown { last } => {
                    let reason = format!("already (last at {last})");
                    self.verify(found, &mut book, Some(reason), report).await?
                }
            };
            match done {
                Claim::Settled => return Ok(()),
                Claim::Lost => self.clock.pause(back_off(attempt, None, self.clock.chance())).await,
            }
        }
        Err(busy(self.clock.now()))
    }

    async fn start(
        &self,
        found: &Found<'_, R>,
        book: &mut Book<R::Slot>,
        generation: u32,
        report: &mut Report,
    ) -> Result<Claim> {
        book.within(self.guard.limits_of(R::NAME), self.clock.now())?;
        let mark = self.new_mark(found, book, generation)?;
        let planned = self.clock.now();
        let plan = self.plan(found, book, &mark, true, None).await?;
        if plan.is_idle() {
            // Somebody may have claimed and contained it since we read the ledger: then a record holds it.
            if plan.found.is_empty() && !self.open(found).await?.is_as_read_by(book) {
                return Ok(Claim::Lost);
            }
            report.status = Status::Already;
            let why = if plan.found.is_empty() {
                "the target is contained, and not by us"
            } else {
                "there is nothing to change"
            };
            report.reason = Some(why.to_owned());
            report.remaining = plan.remaining;
            report.found = plan.found;
            return Ok(Claim::Settled);
        }
        if self.too_late(found.request.deadline) {
            return Err(out_of_time());
        }
        let counting = self.count(found, book, &plan, &mark).await?;
        let mut record = Record::new(mark, found.identity.target.clone(), generation, plan);
        record.bind(0, self.clock.now());
        match book.claim_new(record, &found.request.id, counting).await? {
            Saved::Moved => Ok(Claim::Lost),
            Saved::Done => self.go(found, book, 0, Since::Planned(planned), report).await,
        }
    }

    async fn resume(
        &self,
        found: &Found<'_, R>,
        book: &mut Book<R::Slot>,
        stage: usize,
        report: &mut Report,
    ) -> Result<Claim> {
        if self.too_late(found.request.deadline) {
            return Err(out_of_time());
        }
        self.join(found, book);
        match book.claim(&found.request.id, Vec::new()).await? {
            Saved::Moved => Ok(Claim::Lost),
            Saved::Done => self.go(found, book, stage, Since::Resumed, report).await,
        }
    }

    /// Plans again over a finished record: nothing to do = `already`; else containment was lost and is brought back
    /// under the same record.
    async fn verify(
        &self,
        found: &Found<'_, R>,
        book: &mut Book<R::Slot>,
        reason: Option<String>,
        report: &mut Report,
    ) -> Result<Claim> {
        let Some(mark) = book.record.as_ref().map(|record| record.mark.clone()) else { return Ok(Claim::Lost) };
        let planned = self.clock.now();
        let mut plan = self.plan(found, book, &mark, false, book.record.as_ref()).await?;
        if !plan.is_idle() {
            plan = self.plan_anew(found, book, &mark).await?;
        }
        let joined = self.join(found, book);
        if plan.is_idle() {
            if joined && book.save_holders().await? == Saved::Moved {
                return Ok(Claim::Lost);
            }
            if let Some(record) = &mut book.record {
                record.remaining = plan.remaining;
                show::record(report, record, Status::Already, found.request);
                report.reason = reason.or_else(|| held_with(record, &found.request.order.incident));
            }
            return Ok(Claim::Settled);
        }
        if self.too_late(found.request.deadline) {
            return Err(out_of_time());
        }
        tracing::warn!(record = %mark.record, target = %found.identity.target, "containment was lost; bringing it back");
        let counting = self.count(found, book, &plan, &mark).await?;
        let now = self.clock.now();
        let first = book.record.as_mut().map_or(0, |record| {
            let first = record.extend(plan);
            record.bind(first, now);
            first
        });
        match book.claim(&found.request.id, counting).await? {
            Saved::Moved => Ok(Claim::Lost),
            Saved::Done => self.go(found, book, first, Since::Planned(planned), report).await,
        }
    }

    /// What the claim of a plan has to count besides the record, within the guard's limits.
    async fn count(
        &self,
        found: &Found<'_, R>,
        book: &Book<R::Slot>,
        plan: &Plan<R::Slot>,
        mark: &Mark,
    ) -> Result<Vec<Write>> {
        let limits = self.guard.limits_of(R::NAME);
        within(plan, limits)?;
        book.counting(plan, &mark.record, &found.request.id, limits).await
    }

    /// Adds the incident to the holders; true if it was not one.
    fn join(&self, found: &Found<'_, R>, book: &mut Book<R::Slot>) -> bool {
        let Some(record) = &mut book.record else { return false };
        let incident = &found.request.order.incident;
        if record.holders.contains_key(incident) {
            return false;
        }
        record.released.remove(incident);
        let held = Held { at: self.clock.now(), by: found.request.caller.id.clone() };
        record.holders.insert(incident.clone(), held);
        true
    }

    /// Stage by stage from `first`, whose begin is saved.
    async fn go(
        &self,
        found: &Found<'_, R>,
        book: &mut Book<R::Slot>,
        first: usize,
        since: Since,
        report: &mut Report,
    ) -> Result<Claim> {
        let (owner, deadline) = (&found.request.id, found.request.deadline);
        let stages = book.record.as_ref().map_or(0, |record| record.stages.len());
        let mut failure = None;
        for stage in first..stages {
            if stage > first {
                if self.too_late(deadline) {
                    failure = Some(out_of_time());
                    break;
                }
                if let Some(record) = &mut book.record {
                    record.begin(stage);
                    record.bind(stage, self.clock.now());
                }
                book.begin(owner).await?;
            }
            let since = if stage == first { since } else { since.next_stage() };
            let tasks = Task::apply(book, stage, since);
            failure = self.work(&found.api, book, &tasks, owner, deadline).await?;
            if failure.is_some() {
                break;
            }
        }
        if let Some(record) = &mut book.record
            && failure.is_none()
        {
            record.phase = Phase::Applied;
            record.closed = Some(self.clock.now());
        }
        let closed = book.release().await;
        if let Some(record) = &book.record {
            show::record(report, record, Status::Applied, found.request);
        }
        report.end(failure, closed);
        Ok(Claim::Settled)
    }

    /// Shows what would be done, and does nothing. A half-done target is shown as its record has it: a fresh plan
    /// over it would be wrong.
    pub(super) async fn show(
        &self,
        found: &Found<'_, R>,
        book: &Book<R::Slot>,
        report: &mut Report,
        why: Option<String>,
    ) -> Result<()> {
        report.reason = why;
        let mark = match &book.record {
            Some(record) if matches!(record.phase, Phase::Applying { .. } | Phase::Reverting { .. }) => {
                show::record(report, record, Status::Planned, found.request);
                report.reason.get_or_insert_with(|| "half done; the record is shown, not a new plan".to_owned());
                return Ok(());
            }
            Some(record) if record.phase == Phase::Applied => record.mark.clone(),
            Some(record) => self.new_mark(found, book, record.generation + 1)?,
            None => self.new_mark(found, book, 1)?,
        };
        let known = book.record.as_ref().filter(|record| record.phase == Phase::Applied);
        let plan = self.plan(found, book, &mark, false, known).await?;
        let refused = within(&plan, self.guard.limits_of(R::NAME)).err();
        show::plan(report, plan, &mark);
        if let Some(refused) = refused {
            report.reason.get_or_insert_with(|| refused.to_string());
        }
        Ok(())
    }
}

/// Whether a claim came to an end, or somebody else was first.
enum Claim {
    Settled,
    Lost,
}

/// Whether a plan reaches no more objects than one order may.
fn within<S: Slot>(plan: &Plan<S>, limits: Limits) -> Result<()> {
    if plan.objects <= limits.objects {
        return Ok(());
    }
    Err(Error::refused(format!(
        "it would reach {} objects, and one order may reach {}; raise the limit by name in the guard if this is right",
        plan.objects, limits.objects
    )))
}

fn out_of_time() -> Error {
    Error::new(Kind::Unavailable, "deadline", "the deadline is too close to start a change; call again")
}

fn held_with<S: crate::Slot>(record: &Record<S>, incident: &crate::IncidentId) -> Option<String> {
    let others = record.other_holders(incident);
    (!others.is_empty()).then(|| format!("held with {}", show::list(&others)))
}
