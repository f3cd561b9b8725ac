//! What the ledger keeps of one target: the plan, how far it is, and for whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    names::{IncidentId, RecordId},
    plan::{Plan, Remaining},
    slot::{Change, Mark, Slot},
    target::Target,
};

/// Everything about one containment of one target, in one item, so that every step is one compare-and-swap.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Record<S: Slot> {
    pub(crate) mark: Mark,
    pub(crate) target: Target,
    /// 1 for the first containment of this target, one more after each revert.
    pub(crate) generation: u32,
    /// The incidents that want the target contained.
    pub(crate) holders: BTreeMap<IncidentId, Held>,
    /// The incidents that gave it up, and when.
    pub(crate) released: BTreeMap<IncidentId, Held>,
    pub(crate) phase: Phase,
    pub(crate) lease: Option<Lease>,
    /// When it was last brought to its end.
    pub(crate) closed: Option<Timestamp>,
    pub(crate) stages: Vec<Vec<Entry<S>>>,
    pub(crate) remaining: Vec<Remaining>,
    /// The groups that lost the target.
    #[serde(default)]
    pub(crate) pools: BTreeSet<String>,
}

/// Since when, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
}

/// How far a record is. Noted before the first call of what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The changes of this stage and of those before it may have been made.
    Applying { stage: usize },
    /// All changes were made and seen.
    Applied,
    /// The changes of this stage and of those after it may have been undone.
    Reverting { stage: usize },
    /// All changes that can be undone were undone and seen.
    Reverted { at: Timestamp, by: String },
}

/// Who works on a record, and until when nobody else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) owner: String,
    pub(crate) until: Timestamp,
}

/// One change and how far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Entry<S: Slot> {
    pub(crate) change: Change<S>,
    /// The *first* before: what undo brings back, even if the change had to be made again.
    pub(crate) restore: S::State,
    pub(crate) progress: Progress,
    #[serde(default)]
    pub(crate) ids: Vec<String>,
    #[serde(default)]
    pub(crate) ms: u64,
    /// Why it failed, was skipped or is not finished.
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// How far one change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// Nothing was called.
    Pending,
    /// It may have been made.
    Begun,
    /// Made and seen.
    Applied,
    /// Somebody else had made it: never ours to undo.
    Found,
    /// Tried, and not made or not seen.
    Failed,
    /// Undone and seen.
    Reverted,
    /// Not undone, and why is in the note.
    Left,
}

impl Progress {
    /// The change may have been made by us.
    pub(crate) const fn may_be_ours(self) -> bool {
        matches!(self, Self::Begun | Self::Applied | Self::Failed | Self::Left)
    }
}

impl<S: Slot> Entry<S> {
    /// Undo concerns it: we may have made the change, or we use something shared.
    pub(crate) fn is_ours(&self) -> bool {
        self.progress.may_be_ours() || self.progress == Progress::Found && self.change.slot.shared().is_some()
    }
}

impl<S: Slot> Record<S> {
    pub(crate) fn new(mark: Mark, target: Target, generation: u32, plan: Plan<S>) -> Self {
        let mut record = Self {
            holders: BTreeMap::from([(mark.incident.clone(), Held { at: mark.opened, by: mark.by.clone() })]),
            mark,
            target,
            generation,
            released: BTreeMap::new(),
            phase: Phase::Applying { stage: 0 },
            lease: None,
            closed: None,
            stages: Vec::new(),
            remaining: Vec::new(),
            pools: BTreeSet::new(),
        };
        record.extend(plan);
        record
    }

    /// Takes in a plan, the first one or the one that brings lost containment back: a change whose slot is known
    /// keeps its first *before* as the state to restore. Returns the first stage to carry out.
    pub(crate) fn extend(&mut self, plan: Plan<S>) -> usize {
        let first = self.stages.len();
        for stage in plan.stages {
            let mut entries = Vec::new();
            for change in stage {
                let known = self.stages.iter_mut().find_map(|stage| {
                    let place = stage.iter().position(|entry| entry.change.slot == change.slot)?;
                    Some(stage.remove(place))
                });
                let restore = match (change.slot.shared(), known) {
                    (Some(gone), _) => gone,
                    (None, Some(entry)) if entry.progress.may_be_ours() => entry.restore,
                    _ => change.before.clone(),
                };
                entries.push(Entry {
                    change,
                    restore,
                    progress: Progress::Pending,
                    ids: Vec::new(),
                    ms: 0,
                    note: None,
                });
            }
            self.stages.push(entries);
        }
        self.remaining = plan.remaining;
        self.pools.extend(plan.pools.into_iter().map(|pool| pool.name));
        self.phase = Phase::Applying { stage: first };
        self.begin(first);
        first
    }

    /// Notes that the changes of a stage are about to be called.
    pub(crate) fn begin(&mut self, stage: usize) {
        self.phase = Phase::Applying { stage };
        for entry in self.stages.get_mut(stage).into_iter().flatten() {
            if entry.progress == Progress::Pending {
                entry.progress = Progress::Begun;
            }
        }
    }

    /// Sets what depends on when a stage begins. Called once, when its begin is about to be saved.
    pub(crate) fn bind(&mut self, stage: usize, now: Timestamp) {
        for entry in self.stages.get_mut(stage).into_iter().flatten() {
            if let Some(bound) = entry.change.slot.bind(&entry.change.after, now) {
                entry.change.after = bound;
            }
        }
    }

    /// The changes, with what undo brings back as their before.
    pub(crate) fn changes(&self) -> Vec<Change<S>> {
        self.entries().map(|entry| Change { before: entry.restore.clone(), ..entry.change.clone() }).collect()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry<S>> {
        self.stages.iter().flatten()
    }

    /// The incidents other than this one that want the target contained.
    pub(crate) fn other_holders(&self, incident: &IncidentId) -> Vec<&IncidentId> {
        self.holders.keys().filter(|holder| *holder != incident).collect()
    }

    pub(crate) fn write(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(crate::Kind::Internal, "ledger:write", "a record does not serialize").because(error)
        })
    }

    pub(crate) fn read(body: &str) -> Result<Self> {
        serde_json::from_str(body).map_err(|error| {
            Error::new(crate::Kind::Internal, "ledger:read", "a record of another version, or damaged").because(error)
        })
    }
}

/// The id of a record: stable, so that a claim that is tried again makes the same marks, and not to be guessed from
/// the target alone.
pub(crate) fn record_id(responder: &str, key: &str, incident: &IncidentId, generation: u32) -> Result<RecordId> {
    let digest = Sha256::digest(format!("{responder}\n{key}\n{incident}\n{generation}"));
    let digest = digest.iter().fold(0_u128, |number, byte| number.wrapping_shl(8) | u128::from(*byte));
    format!("{:024x}", digest & ((1 << 96) - 1)).parse()
}
