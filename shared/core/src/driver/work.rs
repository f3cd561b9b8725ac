//! One change, in either direction: look, compare, write, look again.

use std::time::Duration;

use futures::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use jiff::Timestamp;

use super::{Driver, difference};
use crate::{
    clock,
    error::{Error, Kind, Result},
    ledger::{
        book::{Book, Leased, RENEW, back_off},
        record::{Entry, Progress, Record},
    },
    responder::{Api, Responder},
    slot::{Mark, Recorded, Seen, Slot},
};

/// How often one change is tried; the deadline is the other bound.
const TRIES: u32 = 8;
/// How long what a plan has seen is taken for what is there.
const FRESH: Duration = Duration::from_secs(5);
/// How often it is looked at whether an accepted write shows.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often an effect is looked for that takes its time ([`Slot::patience`]).
const WATCH: Duration = Duration::from_millis(100);
/// The longest wait before a write is tried again that is held back.
const HELD_MOST: u32 = 5;

/// What this run knows of a change from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Planned then, by this run, which looked at everything.
    Planned(Timestamp),
    /// A run before this one may have called the write.
    Resumed,
    /// Nothing was called, and what was seen may be old.
    Before,
}

impl Since {
    /// What is known of the stages after the first one of a run: none of their writes can have been called.
    pub(super) const fn next_stage(self) -> Self {
        match self {
            Self::Resumed => Self::Before,
            known => known,
        }
    }
}

/// A change to carry out. Made from a record whose begin is saved, and only there.
pub(super) struct Task<S: Slot> {
    stage: usize,
    place: usize,
    slot: S,
    /// What must be there before the write; `None`: whatever it is.
    from: Option<S::State>,
    /// What the plan saw.
    planned: S::State,
    to: S::State,
    mark: Mark,
    since: Since,
    /// What is found done counts as this; `Found` only where nobody of ours can have done it.
    done: Progress,
}

/// What came of a task.
pub(super) struct Outcome {
    stage: usize,
    place: usize,
    progress: Progress,
    ids: Vec<String>,
    ms: u64,
    note: Option<String>,
    error: Option<Error>,
}

impl<S: Slot> Task<S> {
    /// The begun changes of a stage, as the saved record holds them.
    pub(super) fn apply(book: &Book<S>, stage: usize, since: Since) -> Vec<Self> {
        let Some(record) = &book.record else { return Vec::new() };
        let entries = record.stages.get(stage).into_iter().flatten().enumerate();
        entries
            .filter(|(_, entry)| matches!(entry.progress, Progress::Begun | Progress::Failed))
            .map(|(place, entry)| Self {
                stage,
                place,
                slot: entry.change.slot.clone(),
                // Whatever is wrong with a shared thing is put right: others rely on it.
                from: entry.change.slot.shared().is_none().then(|| entry.change.before.clone()),
                planned: entry.change.before.clone(),
                to: entry.change.after.clone(),
                mark: record.mark.clone(),
                since: if entry.progress == Progress::Failed { Since::Resumed } else { since },
                done: Progress::Applied,
            })
            .collect()
    }

    /// The inverses of what a stage may have changed, but for what others may use.
    pub(super) fn revert(book: &Book<S>, stage: usize, since: Since) -> Vec<Self> {
        let Some(record) = &book.record else { return Vec::new() };
        let entries = record.stages.get(stage).into_iter().flatten().enumerate();
        entries
            .filter(|(_, entry)| {
                let slot = &entry.change.slot;
                entry.progress.may_be_ours() && slot.kept().is_none() && slot.shared().is_none()
            })
            .map(|(place, entry)| Self {
                from: Some(entry.change.after.clone()),
                since,
                ..Self::undo(record, stage, place, entry)
            })
            .collect()
    }

    /// The shared things that a record uses, to be taken away whatever state they are in.
    pub(super) fn shared(book: &Book<S>) -> Vec<Self> {
        let Some(record) = &book.record else { return Vec::new() };
        let stages = record.stages.iter().enumerate().rev();
        stages
            .flat_map(|(stage, entries)| entries.iter().enumerate().map(move |(place, entry)| (stage, place, entry)))
            .filter(|(.., entry)| entry.is_ours() && entry.change.slot.shared().is_some())
            .map(|(stage, place, entry)| Self::undo(record, stage, place, entry))
            .collect()
    }

    fn undo(record: &Record<S>, stage: usize, place: usize, entry: &Entry<S>) -> Self {
        Self {
            stage,
            place,
            slot: entry.change.slot.clone(),
            from: None,
            planned: entry.change.after.clone(),
            to: entry.restore.clone(),
            mark: record.mark.clone(),
            since: Since::Resumed,
            done: Progress::Reverted,
        }
    }

    pub(super) const fn slot(&self) -> &S {
        &self.slot
    }

    /// It was tried, and was not done.
    pub(super) fn failed(&self, book: &Book<S>) -> bool {
        let stage = book.record.as_ref().and_then(|record| record.stages.get(self.stage));
        stage.and_then(|stage| stage.get(self.place)).is_some_and(|entry| entry.progress == Progress::Failed)
    }

    /// Leaves it as it is, and says why.
    pub(super) fn leave(&self, book: &mut Book<S>, why: String) {
        note(book, &Outcome { note: Some(why), ..self.outcome(Progress::Left, None, None) });
    }

    /// What would be seen by a look that is not needed.
    fn unseen(&self, now: Timestamp) -> Option<Seen<S>> {
        let Since::Planned(at) = self.since else { return None };
        let token = self.slot.blind().filter(|_| now < clock::after(at, FRESH))?;
        Some(Seen { state: self.planned.clone(), token, ids: Vec::new(), settling: None })
    }

    fn outcome(&self, progress: Progress, seen: Option<Seen<S>>, error: Option<Error>) -> Outcome {
        let (ids, settling) = seen.map(|seen| (seen.ids, seen.settling)).unwrap_or_default();
        let note = error.as_ref().map(Error::to_string).or(settling);
        Outcome { stage: self.stage, place: self.place, progress, ids, ms: 0, note, error }
    }
}

impl<R: Responder> Driver<R> {
    /// Carries out the tasks of a stage at once, keeps the lease meanwhile, and notes what came of each. Returns
    /// the worst error.
    pub(super) async fn work(
        &self,
        api: &Api<R>,
        book: &mut Book<R::Slot>,
        tasks: &[Task<R::Slot>],
        owner: &str,
        deadline: Timestamp,
    ) -> Result<Option<Error>> {
        let leased = book.leased();
        let mut running: FuturesUnordered<_> =
            tasks.iter().map(|task| self.carry_out(api, task, &leased, deadline)).collect();
        let mut tick = self.clock.limit(RENEW);
        let mut worst: Option<Error> = None;
        loop {
            match select(running.next(), tick).await {
                Either::Left((None, _)) => return Ok(worst),
                Either::Left((Some(outcome), rest)) => {
                    tick = rest;
                    note(book, &outcome);
                    // What can be tried again must be tried again: it outranks what is final.
                    if let Some(error) = outcome.error
                        && worst
                            .as_ref()
                            .is_none_or(|worst| error.kind().is_transient() && !worst.kind().is_transient())
                    {
                        worst = Some(error);
                    }
                }
                Either::Right(((), _)) => {
                    book.renew(owner).await?;
                    tick = self.clock.limit(RENEW);
                }
            }
        }
    }

    async fn carry_out(&self, api: &Api<R>, task: &Task<R::Slot>, leased: &Leased, deadline: Timestamp) -> Outcome {
        let started = self.clock.now();
        let mut outcome = self.bring(api, task, leased, deadline).await;
        outcome.ms = u64::try_from(clock::until(started, self.clock.now()).as_millis()).unwrap_or(u64::MAX);
        outcome
    }

    /// Look; present = wanted: done. Present = expected: write, and look again. Anything else: conflict. A write
    /// of unknown outcome is looked for as long as the provider may hide it, and never repeated before.
    async fn bring(&self, api: &Api<R>, task: &Task<R::Slot>, leased: &Leased, deadline: Timestamp) -> Outcome {
        let Task { slot, from, to, mark, .. } = task;
        let lag = slot.lag();
        let patient_until = clock::after(self.clock.now(), slot.patience());
        let mut held = 0;
        // Until when absence proves nothing.
        let resumed = task.since == Since::Resumed;
        let mut hidden_until = (resumed && !slot.repeatable()).then(|| clock::after(self.clock.now(), lag));
        // What is found undone counts as undone, whoever did it.
        let mut ours = resumed || task.done == Progress::Reverted;
        let mut unseen = task.unseen(self.clock.now());
        let mut accepted = false;
        let mut attempt = 0;
        loop {
            let look = async {
                match unseen.take() {
                    Some(seen) => Ok(seen),
                    None => self.bounded(deadline, slot.look(api, mark)).await,
                }
            };
            let seen = match look.await {
                Ok(seen) => seen,
                Err(error) if task.done == Progress::Reverted && error.kind() == Kind::NotFound => {
                    let mut outcome = task.outcome(Progress::Left, None, None);
                    outcome.note = Some("the resource is gone; there is nothing to undo".to_owned());
                    return outcome;
                }
                Err(error) => match self.again(&mut attempt, error, deadline).await {
                    Ok(()) => continue,
                    Err(error) => return task.outcome(Progress::Failed, None, Some(error)),
                },
            };
            if seen.state == *to {
                let progress = if ours { task.done } else { Progress::Found };
                return task.outcome(progress, Some(seen), None);
            }
            let moved = |from: &&<R::Slot as Slot>::State| seen.state != **from && !slot.halfway(&seen.state);
            if let Some(from) = from.as_ref().filter(moved) {
                let error = difference::<R::Slot>(from, &seen.state);
                let progress = if task.done == Progress::Reverted { Progress::Left } else { Progress::Failed };
                return task.outcome(progress, None, Some(error));
            }
            if let Some(until) = hidden_until.filter(|until| self.clock.now() < *until) {
                if self.too_late(deadline) {
                    return task.outcome(Progress::Failed, Some(seen), Some(hand_over()));
                }
                self.clock.pause(LOOK_AGAIN.min(clock::until(self.clock.now(), until))).await;
                continue;
            }
            if accepted && self.clock.now() < patient_until {
                if self.too_late(deadline) {
                    let error = not_yet(&seen, "the deadline came first; call again");
                    return task.outcome(Progress::Failed, Some(seen), Some(error));
                }
                self.clock.pause(WATCH).await;
                continue;
            }
            if accepted && slot.patience() > Duration::ZERO {
                let error = not_yet(&seen, "it took longer than was allowed");
                return task.outcome(Progress::Failed, Some(seen), Some(error));
            }
            if accepted {
                let error = Error::new(Kind::Conflict, "verify", "the write was accepted and does not show");
                return task.outcome(Progress::Failed, Some(seen), Some(error));
            }
            if let Err(error) = self.may_begin(leased, deadline) {
                return task.outcome(Progress::Failed, Some(seen), Some(error));
            }
            match self
                .bounded(deadline, R::Slot::write(Recorded::new(slot, to, mark).after_another(ours), &seen, api))
                .await
            {
                Ok(()) => {
                    (ours, accepted) = (true, true);
                    hidden_until = Some(clock::after(self.clock.now(), lag));
                }
                Err(error) if error.kind() == Kind::Throttled && slot.patience() > Duration::ZERO => {
                    let left = clock::until(self.clock.now(), patient_until);
                    if left.is_zero() {
                        return task.outcome(Progress::Failed, None, Some(error));
                    }
                    // The last try is made when patience ends, whatever the server says.
                    let wait = held_back(&mut held, &error, self.clock.chance()).min(left);
                    if self.too_late(clock::before(deadline, wait)) {
                        return task.outcome(Progress::Failed, None, Some(error));
                    }
                    self.clock.pause(wait).await;
                }
                Err(error) => {
                    if error.kind() == Kind::Unavailable {
                        ours = true;
                        if !slot.repeatable() {
                            hidden_until = Some(clock::after(self.clock.now(), lag));
                        }
                    }
                    if let Err(error) = self.again(&mut attempt, error, deadline).await {
                        return task.outcome(Progress::Failed, None, Some(error));
                    }
                }
            }
        }
    }

    /// Whether a write may begin now.
    fn may_begin(&self, leased: &Leased, deadline: Timestamp) -> Result<()> {
        if self.too_late(deadline) {
            return Err(hand_over());
        }
        if !leased.holds(self.clock.now()) {
            return Err(Error::new(Kind::Unavailable, "lease", "the lease ran out before the write; call again"));
        }
        Ok(())
    }

    /// Waits before a further try, or says that there is none. A lost race for the write's precondition is tried
    /// again too: the next look tells whether there is a conflict.
    async fn again(&self, attempt: &mut u32, error: Error, deadline: Timestamp) -> Result<()> {
        let worth_it = error.kind().is_transient() || error.kind() == Kind::Conflict;
        let wait = back_off(*attempt, error.wait(), self.clock.chance());
        if !worth_it || *attempt + 1 >= TRIES || self.too_late(clock::before(deadline, wait)) {
            return Err(error);
        }
        *attempt += 1;
        self.clock.pause(wait).await;
        Ok(())
    }
}

/// How long a write waits that is held back: as the server says, else longer each time.
fn held_back(held: &mut u32, error: &Error, chance: u64) -> Duration {
    *held = HELD_MOST.min(*held + 1);
    error.wait().unwrap_or(Duration::from_secs((*held).into())) + Duration::from_millis(chance % 100)
}

/// A write that was accepted and whose effect is still to come.
fn not_yet<S: Slot>(seen: &Seen<S>, why: &str) -> Error {
    let what = seen.settling.as_deref().unwrap_or("what was asked for is not there yet");
    Error::new(Kind::Unavailable, "wait", format!("{what}; {why}"))
}

fn hand_over() -> Error {
    Error::new(Kind::Unavailable, "deadline", "the deadline is too close to start a change; call again")
}

fn note<S: Slot>(book: &mut Book<S>, outcome: &Outcome) {
    let entry = book
        .record
        .as_mut()
        .and_then(|record| record.stages.get_mut(outcome.stage))
        .and_then(|stage| stage.get_mut(outcome.place));
    if let Some(entry) = entry {
        entry.progress = outcome.progress;
        if !outcome.ids.is_empty() {
            entry.ids.clone_from(&outcome.ids);
        }
        entry.ms = outcome.ms;
        entry.note.clone_from(&outcome.note);
    }
}
