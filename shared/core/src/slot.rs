//! A slot is one place that can be written; a change is a slot with its before and its after.

use std::{fmt::Debug, future::Future, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::Result,
    names::{IncidentId, RecordId},
};

/// One place that a wing can write: the groups of an interface, the taint of a node, the snapshots of a record.
///
/// The driver does the rest, in both directions: look; present = after, nothing to do; present = before, write;
/// anything else is a conflict; then look again. A slot therefore never retries, never compares and never undoes.
pub trait Slot: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The wing's look-ups. Its SDK clients stay private in the wing, so that nothing but a slot can write.
    type Api: Send + Sync;
    /// What the slot can hold: the touched fields only.
    type State: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static;
    /// What makes the write conditional on what was seen: a fingerprint, a `resourceVersion`, the raw value.
    type Token: Send + Sync;

    /// What is there now. Ids of things that we made come from here (by name or record tag), never from the answer
    /// of a write, which a crash would lose.
    ///
    /// # Errors
    /// Whatever the provider answers, classified.
    fn look(&self, api: &Self::Api, mark: &Mark) -> impl Future<Output = Result<Seen<Self>>> + Send;

    /// Writes `change.to()`, on the condition that the slot still is what `seen` says. One attempt: an outcome that
    /// is not known is [`crate::Kind::Unavailable`], and the driver looks before it tries again.
    ///
    /// # Errors
    /// Whatever the provider answers, classified.
    fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Self::Api)
    -> impl Future<Output = Result<()>> + Send;

    /// What the write does, in words.
    fn what(&self, to: &Self::State) -> String;

    /// The `aws`, `gcloud` or `kubectl` command that a person would type for it.
    fn command(&self, to: &Self::State, mark: &Mark) -> String;

    /// Evidence, or irreversible: why it is never undone.
    fn kept(&self) -> Option<&'static str> {
        None
    }

    /// Several records use it together (a quarantine group, a deny rule): what the last one that leaves puts there.
    /// Such a slot is counted in the ledger even where it needs no change, and none but the last undoes it.
    fn shared(&self) -> Option<Self::State> {
        None
    }

    /// The token of a write that has no precondition to take from a look. Right after planning, which has just
    /// looked, such a write goes ahead without looking once more; it is verified all the same.
    fn blind(&self) -> Option<Self::Token> {
        None
    }

    /// A state that only our own write passes through, when it takes more than one call: whoever finds it goes on to
    /// what is wanted, in either direction.
    fn halfway(&self, _present: &Self::State) -> bool {
        false
    }

    /// Whether a change that was made at `made` may be undone now. Asked before a revert claims anything, so that a no
    /// leaves everything as it is.
    ///
    /// # Errors
    /// [`crate::Kind::Refused`], with what undoing it would do, and until when or without which option.
    fn may_undo(&self, _api: &Self::Api, _made: Timestamp, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// Whether the attacker can notice it from the inside.
    fn visible_to_attacker(&self) -> bool {
        false
    }

    /// What it interrupts.
    fn disruption(&self) -> Disruption {
        Disruption::None
    }

    /// An after that depends on when the write is made (`aws:TokenIssueTime`): what it is, if the stage begins now. It
    /// is saved with the begin, before the first call, so that a resume writes the same and a redelivery moves nothing.
    fn bind(&self, _to: &Self::State, _now: Timestamp) -> Option<Self::State> {
        None
    }

    /// Writing it twice is the same as once: a write of unknown outcome is made again at once, and not looked for
    /// during `lag` first.
    fn repeatable(&self) -> bool {
        false
    }

    /// How long the provider may not show a write that it has accepted. For that long after a write of unknown
    /// outcome, absence proves nothing and the driver asks again.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }

    /// How long the write may be held back ([`crate::Kind::Throttled`]), and its effect be awaited, without that being
    /// a failure: a budget that must let a pod go, a pod that takes its time to end. The usual number of tries does
    /// not count meanwhile. Looks follow each other closely then: a slot with patience shares them.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a change interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disruption {
    /// Nothing.
    None,
    /// The accused pod.
    Pod,
    /// Everything on the node.
    Node,
    /// A service that others use.
    Service,
}

/// What a look-up found.
#[derive(Debug)]
pub struct Seen<S: Slot> {
    /// The touched fields.
    pub state: S::State,
    /// The write's precondition.
    pub token: S::Token,
    /// Ids that matter to a person: snapshots, rules.
    pub ids: Vec<String>,
    /// What is accepted but not finished, e.g. `2 snapshots pending`.
    pub settling: Option<String>,
}

/// What we leave on everything that we make: how it is found again, and how a person finds us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The record.
    pub record: RecordId,
    /// The incident that opened it.
    pub incident: IncidentId,
    /// When it was opened. What is older was not made by us, whatever its tags say.
    pub opened: Timestamp,
    /// Who asked.
    pub by: String,
}

/// A slot, what it held, and what it shall hold. Its inverse is the swap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Change<S: Slot> {
    /// The place.
    pub slot: S,
    /// What undo restores.
    pub before: S::State,
    /// What is wanted.
    pub after: S::State,
}

/// Proof that a change is durably in the ledger. Only the driver makes one, after the ledger has confirmed, so
/// nothing can act unrecorded.
///
/// ```compile_fail,E0451
/// # fn forge<S: stanch_core::Slot>(change: &stanch_core::Change<S>, mark: &stanch_core::Mark) {
/// let forged = stanch_core::Recorded { slot: &change.slot, to: &change.after, mark, again: false };
/// # }
/// ```
#[derive(Debug)]
pub struct Recorded<'a, S: Slot> {
    slot: &'a S,
    to: &'a S::State,
    mark: &'a Mark,
    again: bool,
}

impl<'a, S: Slot> Recorded<'a, S> {
    pub(crate) const fn new(slot: &'a S, to: &'a S::State, mark: &'a Mark) -> Self {
        Self { slot, to, mark, again: false }
    }

    /// The same, where a write before this one may have been carried out.
    #[must_use]
    pub(crate) const fn after_another(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// This write, or a part of it, may have been carried out before: by a run that died, or without an answer.
    pub const fn again(&self) -> bool {
        self.again
    }

    /// The place to write.
    pub const fn slot(&self) -> &'a S {
        self.slot
    }

    /// What to write: the change's after, or its before when it is undone.
    pub const fn to(&self) -> &'a S::State {
        self.to
    }

    /// What to leave on what is made.
    pub const fn mark(&self) -> &'a Mark {
        self.mark
    }
}
