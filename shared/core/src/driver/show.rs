//! From a record or a plan to a report.

use std::fmt::Display;

use serde_json::Value;

use crate::{
    error::{Error, Kind, Result},
    ledger::{
        Saved,
        record::{Entry, Progress, Record},
    },
    order::{Mode, Order, Request},
    plan::Plan,
    report::{Done, DoneState, Report, Status, Undo},
    slot::{Change, Mark, Slot},
};

/// Shows a plan that nobody carries out.
pub(super) fn plan<S: Slot>(report: &mut Report, plan: Plan<S>, mark: &Mark) {
    report.status = if plan.is_idle() { Status::Already } else { Status::Planned };
    let lines = plan.stages.iter().flatten().map(|change| {
        let line = line(change, &change.after, mark);
        if change.before == change.after {
            return Done { state: DoneState::Skipped, error: Some("it is there; one more uses it".to_owned()), ..line };
        }
        line
    });
    report.changes = lines.collect();
    report.remaining = plan.remaining;
    report.found = plan.found;
}

/// Shows what a revert would do.
pub(super) fn inverse<S: Slot>(report: &mut Report, record: &Record<S>, why: &str) {
    report.status = Status::Planned;
    report.reason = Some(why.to_owned());
    report.changes = record
        .stages
        .iter()
        .rev()
        .flatten()
        .filter(|entry| entry.is_ours())
        .map(|entry| match entry.change.slot.kept() {
            Some(kept) => {
                let line = line(&entry.change, &entry.change.after, &record.mark);
                Done { state: DoneState::Skipped, error: Some(kept.to_owned()), ..line }
            }
            None => line(&swapped(entry), &entry.restore, &record.mark),
        })
        .collect();
}

/// Shows what was done under a record.
pub(super) fn record<S: Slot>(report: &mut Report, record: &Record<S>, status: Status, request: &Request) {
    report.status = status;
    report.record = Some(record.mark.record.clone());
    let back = status == Status::Reverted;
    report.changes = record
        .entries()
        .map(|entry| {
            let change = if back && entry.change.slot.kept().is_none() { swapped(entry) } else { entry.change.clone() };
            let state = match entry.progress {
                Progress::Pending => DoneState::Planned,
                Progress::Applied if status == Status::Already => DoneState::Skipped,
                Progress::Applied => DoneState::Applied,
                Progress::Reverted => DoneState::Reverted,
                Progress::Found | Progress::Left => DoneState::Skipped,
                Progress::Begun | Progress::Failed => DoneState::Failed,
            };
            let note = match (entry.progress, &entry.note) {
                (_, Some(note)) => Some(note.clone()),
                (Progress::Found, None) if entry.change.slot.shared().is_some() => {
                    Some("it was there; one more uses it".to_owned())
                }
                (Progress::Found, None) => Some("somebody else had done it; it is not ours to undo".to_owned()),
                (Progress::Applied, None) if status == Status::Already => Some("done before".to_owned()),
                (Progress::Begun, None) => Some("begun; its outcome is not known yet".to_owned()),
                _ => None,
            };
            Done {
                state,
                ids: entry.ids.clone(),
                ms: entry.ms,
                error: note,
                ..line(&change, &change.after, &record.mark)
            }
        })
        .collect();
    report.undo = undo(record, status, request);
    if !back {
        report.remaining.clone_from(&record.remaining);
    }
}

fn undo<S: Slot>(record: &Record<S>, status: Status, request: &Request) -> Undo {
    if status == Status::Reverted {
        return Undo::None("it was undone".to_owned());
    }
    let mut ours = record.entries().filter(|entry| entry.is_ours()).peekable();
    if ours.peek().is_none() {
        return Undo::None("nothing was changed".to_owned());
    }
    if let Some(kept) = ours.next().and_then(|entry| entry.change.slot.kept())
        && ours.all(|entry| entry.change.slot.kept().is_some())
    {
        return Undo::None(kept.to_owned());
    }
    Undo::Order(Box::new(Order {
        mode: Mode::Revert,
        incident: request.order.incident.clone(),
        target: record.target.clone(),
        options: Value::Null,
        requested_by: None,
        protected: request.order.protected,
    }))
}

fn swapped<S: Slot>(entry: &Entry<S>) -> Change<S> {
    Change { slot: entry.change.slot.clone(), before: entry.change.after.clone(), after: entry.restore.clone() }
}

fn line<S: Slot>(change: &Change<S>, to: &S::State, mark: &Mark) -> Done {
    let value = |state: &S::State| serde_json::to_value(state).unwrap_or(Value::Null);
    Done {
        what: change.slot.what(to),
        command: change.slot.command(to, mark),
        state: DoneState::Planned,
        before: value(&change.before),
        after: value(&change.after),
        ids: Vec::new(),
        visible_to_attacker: change.slot.visible_to_attacker(),
        disruption: change.slot.disruption(),
        ms: 0,
        error: None,
    }
}

/// Names, separated by commas.
pub(super) fn list(names: &[impl Display]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Report {
    /// Nothing came of it.
    pub(super) fn fail(&mut self, error: &Error) {
        self.status = match error.kind() {
            Kind::Refused => Status::Refused,
            _ => Status::Failed,
        };
        self.reason = Some(error.to_string());
        self.error = Some(error.kind());
    }

    /// What is missing once the work has ended: a change that failed, or the record that could not be closed.
    pub(super) fn end(&mut self, failure: Option<Error>, closed: Result<Saved>) {
        match (failure, closed) {
            (Some(error), _) | (None, Err(error)) => self.fall_short(&error),
            (None, Ok(Saved::Moved)) => {
                let message = "the record was taken over; call again";
                self.fall_short(&Error::new(Kind::Unavailable, "ledger:close", message));
            }
            (None, Ok(Saved::Done)) => {}
        }
    }

    /// Not all came of it.
    fn fall_short(&mut self, error: &Error) {
        let some = self.changes.iter().any(|change| matches!(change.state, DoneState::Applied | DoneState::Reverted));
        self.status = if some { Status::Partial } else { Status::Failed };
        self.reason = Some(error.to_string());
        self.error = Some(error.kind());
    }
}

/// One line a report: names, never bodies.
pub(super) fn log(report: &Report, caller: &str) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                incident = report.incident.as_ref().map(tracing::field::display),
                record = report.record.as_ref().map(tracing::field::display),
                target = report.target.as_ref().map(tracing::field::display),
                responder = report.responder,
                mode = report.mode.as_str(),
                status = report.status.as_str(),
                error = report.error.map(Kind::as_str),
                reason = report.reason,
                caller,
                "order answered"
            )
        };
    }
    match report.status {
        Status::Failed | Status::Partial => line!(error),
        Status::Refused => line!(warn),
        _ => line!(info),
    }
}
