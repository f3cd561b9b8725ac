//! What an `apply` order means, given what the ledger holds of its target. Pure, so that every case is a row.

use std::time::Duration;

use jiff::Timestamp;

use super::is_replay;
use crate::{
    clock,
    error::{Error, Kind},
    guard::AfterRevert,
    ledger::record::{Phase, Record},
    order::Request,
    slot::Slot,
};

/// What to do about an `apply` order.
#[derive(Debug)]
pub(super) enum Decision {
    /// Plan and write down a new record of this generation.
    New { generation: u32 },
    /// Go on with the written plan from this stage.
    Resume { stage: usize },
    /// It was brought to its end: look whether it still is.
    Verify,
    /// It was done so recently that doing it again would do harm: look whether it still is.
    CoolDown { last: Timestamp },
    /// No.
    Refuse(Error),
}

pub(super) fn decide<S: Slot>(
    record: Option<&Record<S>>,
    request: &Request,
    cool_down: Option<Duration>,
    after_revert: AfterRevert,
    now: Timestamp,
) -> Decision {
    let Some(record) = record else { return Decision::New { generation: 1 } };
    if let Some(lease) = record.lease.as_ref().filter(|lease| lease.owner != request.id && lease.until > now) {
        return Decision::Refuse(busy(lease.until));
    }
    let incident = &request.order.incident;
    let cooling = record.closed.filter(|last| cool_down.is_some_and(|wait| clock::after(*last, wait) > now));
    let next = || match (&record.phase, cooling) {
        (Phase::Reverted { .. }, Some(last)) => {
            Decision::Refuse(Error::refused(format!("it was done at {last}, and doing it again so soon does harm")))
        }
        _ => Decision::New { generation: record.generation + 1 },
    };
    match &record.phase {
        Phase::Applying { stage } => Decision::Resume { stage: *stage },
        // Drift can keep a revert from ever finishing; that must not keep a person from containing the target again.
        // The record still knows the first before of whatever is not undone.
        Phase::Reverting { .. } if request.alert().is_none() => Decision::Verify,
        Phase::Reverting { .. } => {
            tracing::error!(%incident, "an alert about a target whose revert is not finished");
            Decision::Refuse(Error::refused("a revert of this target is not finished; a person must decide"))
        }
        Phase::Applied => match cooling {
            _ if record.holders.contains_key(incident) || cool_down.is_none() => Decision::Verify,
            Some(last) => Decision::CoolDown { last },
            None => next(),
        },
        Phase::Reverted { at, by } => match request.alert() {
            None if is_replay(request, *at) => Decision::Refuse(Error::refused(format!(
                "reverted by {by} at {at}, after this order was given; give it again if it is still wanted"
            ))),
            None => next(),
            // An incident that never held the target is news, whenever its activity was.
            Some(_) if !record.released.contains_key(incident) => next(),
            Some(alert) => match alert.last_seen.filter(|seen| seen > at) {
                None => Decision::Refuse(Error::refused(format!("reverted by {by} at {at}"))),
                Some(_) if after_revert == AfterRevert::Apply => next(),
                Some(seen) => {
                    tracing::error!(%incident, %seen, reverted = %at, by, "new activity after a revert");
                    Decision::Refuse(Error::refused(format!(
                        "new activity at {seen}, after the revert by {by} at {at}; a person must decide"
                    )))
                }
            },
        },
    }
}

/// Somebody else works on it; the answer is to call again.
pub(crate) fn busy(until: Timestamp) -> Error {
    Error::new(Kind::Unavailable, "ledger:claim", format!("another run works on this target until {until}; try again"))
}
