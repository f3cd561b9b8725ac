//! Snapshots as evidence: the set, the wait for it, and the locks on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{Error, Kind, Mark, Recorded, Result, Seen, Slot, names::VolumeId};

use super::{LAG, lock::SnapshotLock, snapshots::SnapshotSet};
use crate::{ec2::Ec2Api, evidence::Evidence};

/// How long a snapshot may take to be completed (EBS User Guide: "Create Amazon EBS snapshots", "several hours").
const COPYING: Duration = Duration::from_hours(24);

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum SnapshotSlot {
    /// The snapshots of an instance's volumes that belong to the record.
    Snapshots(SnapshotSet),
    /// That those snapshots are completed. Nothing is written: the write is the wait.
    Completion(SnapshotSet),
    /// The lock on the record's snapshot of one volume.
    Lock(SnapshotLock),
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum SnapshotState {
    /// Of [`SnapshotSlot::Snapshots`].
    Snapshots {
        /// Every volume has a snapshot of this record.
        taken: bool,
    },
    /// Of [`SnapshotSlot::Completion`].
    Completion {
        /// Every snapshot has been copied.
        completed: bool,
    },
    /// Of [`SnapshotSlot::Lock`].
    Lock {
        /// It is locked for at least as long as wanted.
        locked: bool,
    },
}

/// What a write needs to know of what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotToken {
    /// EC2 has no precondition for it.
    None,
    /// The snapshot to lock.
    Snapshot(String),
}

impl Slot for SnapshotSlot {
    type Api = Ec2Api;
    type State = SnapshotState;
    type Token = SnapshotToken;

    async fn look(&self, api: &Ec2Api, mark: &Mark) -> Result<Seen<Self>> {
        match self {
            Self::Snapshots(set) => Ok(set.taken(&set.evidence(api, mark).await?)),
            Self::Completion(set) => set.completion(&set.evidence(api, mark).await?),
            Self::Lock(lock) => lock.look(api, mark).await,
        }
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), change.mark(), seen, api).await
    }

    fn what(&self, to: &SnapshotState) -> String {
        match (self, to) {
            (Self::Snapshots(set), SnapshotState::Snapshots { taken: true }) => {
                format!("snapshot {} of {} as one set", volumes(&set.volumes), set.instance)
            }
            (Self::Completion(set), SnapshotState::Completion { completed: true }) => {
                format!("wait until the snapshots of {} are completed", set.instance)
            }
            (Self::Lock(lock), SnapshotState::Lock { locked: true }) => {
                format!("lock the snapshot of {} for {} days", lock.volume, lock.days)
            }
            _ => "keep the evidence".to_owned(),
        }
    }

    fn command(&self, to: &SnapshotState, mark: &Mark) -> String {
        match (self, to) {
            (Self::Snapshots(set), SnapshotState::Snapshots { taken: true }) => set.command(mark),
            (Self::Completion(set), SnapshotState::Completion { completed: true }) => set.wait_command(mark),
            (Self::Lock(lock), SnapshotState::Lock { locked: true }) => lock.command(mark),
            _ => String::new(),
        }
    }

    fn kept(&self) -> Option<&'static str> {
        Some(match self {
            Self::Snapshots(_) => "snapshots are evidence: an analyst deletes them when the case is closed",
            Self::Completion(_) => "nothing was changed: it only waits",
            Self::Lock(_) => "the lock protects evidence and ends by itself",
        })
    }

    fn blind(&self) -> Option<SnapshotToken> {
        matches!(self, Self::Snapshots(_)).then_some(SnapshotToken::None)
    }

    fn lag(&self) -> Duration {
        match self {
            Self::Completion(_) => COPYING,
            Self::Snapshots(_) | Self::Lock(_) => LAG,
        }
    }
}

impl SnapshotSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(
        &self,
        to: &SnapshotState,
        mark: &Mark,
        seen: &Seen<Self>,
        api: &Ec2Api,
    ) -> Result<()> {
        match (self, to, &seen.token) {
            (Self::Snapshots(set), SnapshotState::Snapshots { taken: true }, _) => set.create(api, mark).await,
            // Nothing to send: waiting is to look again, which the driver does until `lag` is over or its deadline
            // is near, and goes on with when it is called again.
            (Self::Completion(_), SnapshotState::Completion { completed: true }, _) => Ok(()),
            (Self::Lock(lock), SnapshotState::Lock { locked: true }, SnapshotToken::Snapshot(id)) => {
                lock.lock(api, id).await
            }
            // `kept` says so to the driver; this says so to whoever gets past it.
            _ => Err(Error::new(Kind::Refused, "undo", "evidence is never undone")),
        }
    }
}

impl SnapshotSet {
    async fn evidence(&self, api: &Ec2Api, mark: &Mark) -> Result<Evidence> {
        api.evidence(mark, &self.volumes).await
    }

    fn taken(&self, evidence: &Evidence) -> Seen<SnapshotSlot> {
        let taken = evidence.covers(&self.volumes);
        Seen {
            state: SnapshotState::Snapshots { taken },
            token: SnapshotToken::None,
            ids: evidence.ids(),
            settling: evidence.pending().filter(|_| taken),
        }
    }

    fn completion(&self, evidence: &Evidence) -> Result<Seen<SnapshotSlot>> {
        // A failed snapshot never completes, so waiting for it would never end. Ordering again takes a new set.
        if let (false, Some(failed)) =
            (evidence.covers(&self.volumes), evidence.discounted.iter().find(|snapshot| snapshot.failed))
        {
            let message = format!("{}: {}", failed.snapshot, failed.why);
            return Err(Error::new(Kind::Conflict, "ec2:DescribeSnapshots", message).on(self.instance.as_str()));
        }
        Ok(Seen {
            state: SnapshotState::Completion { completed: evidence.completed(&self.volumes) },
            token: SnapshotToken::None,
            ids: evidence.ids(),
            settling: evidence.pending(),
        })
    }
}

fn volumes(ids: &[VolumeId]) -> String {
    match ids {
        [one] => one.to_string(),
        many => format!("{} volumes", many.len()),
    }
}
