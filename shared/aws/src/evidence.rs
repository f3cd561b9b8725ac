//! Which snapshots count as those of a record.
//!
//! A tag proves nothing: whoever may tag can plant one. A snapshot counts only if the account owns it, its volume is
//! the one that was asked for, it was started after the record was opened, and it is `pending` or `completed`.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Snapshot, SnapshotState};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{
    Mark,
    names::{AccountId, VolumeId},
};

use crate::error::plain;

/// How far the clock that opened the record may be ahead of EC2's. Lambda and EC2 hosts are synchronised to well
/// under a second; a person's laptop is not. A planted snapshot of the same volume from two minutes before holds
/// nearly the same evidence.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(120);

/// What is there of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The newest snapshot that counts, of each volume that was asked for.
    pub captured: BTreeMap<VolumeId, Captured>,
    /// What carries the record's tag and does not count: planted, or failed.
    pub discounted: Vec<Discounted>,
}

/// A snapshot that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// `snap-…`
    pub snapshot: String,
    /// When it was started: its content is the volume's at that time.
    pub started: Timestamp,
    /// Whether all blocks have been copied; it holds the same content before.
    pub completed: bool,
    /// How much has been copied, in percent.
    pub percent: u8,
}

/// A snapshot that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discounted {
    /// `snap-…`
    pub snapshot: String,
    /// Why not.
    pub why: String,
    /// It is ours, and EC2 gave it up.
    pub failed: bool,
}

impl Evidence {
    /// Sorts one snapshot in.
    pub(crate) fn judge(&mut self, snapshot: &Snapshot, owner: &AccountId, mark: &Mark, wanted: &[VolumeId]) {
        let Some(id) = snapshot.snapshot_id() else { return };
        let mut discount = |why: String, failed: bool| {
            self.discounted.push(Discounted { snapshot: plain(id), why, failed });
        };
        if snapshot.owner_id() != Some(owner.as_str()) {
            return discount("it belongs to another account".to_owned(), false);
        }
        let volume = snapshot.volume_id().and_then(|id| id.parse::<VolumeId>().ok());
        let Some(volume) = volume.filter(|volume| wanted.contains(volume)) else {
            return discount("it is of another volume".to_owned(), false);
        };
        let oldest = mark.opened.checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
        let started = snapshot.start_time().and_then(|at| Timestamp::from_second(at.secs()).ok());
        let Some(started) = started.filter(|started| *started >= oldest) else {
            return discount("it is older than the record".to_owned(), false);
        };
        let completed = match snapshot.state() {
            Some(SnapshotState::Completed) => true,
            Some(SnapshotState::Pending) => false,
            Some(SnapshotState::Error) => {
                let why = snapshot.state_message().map(plain).filter(|text| !text.is_empty());
                let why = why.unwrap_or_else(|| "EC2 gives no reason".to_owned());
                return discount(format!("it ended in error: {why}"), true);
            }
            other => return discount(format!("its state is {}", other.map_or("unknown", |s| s.as_str())), false),
        };
        let percent = snapshot.progress().and_then(|text| text.trim_end_matches('%').parse().ok()).unwrap_or(0);
        let found =
            Captured { snapshot: id.to_owned(), started, completed, percent: if completed { 100 } else { percent } };
        // After a lost set there are two of a volume: the newer one belongs to the whole set.
        match self.captured.get(&volume) {
            Some(kept) if kept.started >= found.started => {}
            _ => drop(self.captured.insert(volume, found)),
        }
    }

    /// Whether every volume that was asked for has a snapshot that counts.
    ///
    /// `CreateSnapshots` makes all or none, but single snapshots can be deleted or end in error afterwards. A set
    /// with a gap is no longer the crash-consistent set that the record promises, so it counts as not taken: a new
    /// whole set is the honest thing, and what is left of the old one stays as well.
    pub fn covers(&self, wanted: &[VolumeId]) -> bool {
        wanted.iter().all(|volume| self.captured.contains_key(volume))
    }

    /// Whether every snapshot has been completed.
    pub fn completed(&self, wanted: &[VolumeId]) -> bool {
        wanted.iter().all(|volume| self.captured.get(volume).is_some_and(|snapshot| snapshot.completed))
    }

    /// How many are still being copied, e.g. `2 of 3 snapshots pending (40 %)`.
    pub fn pending(&self) -> Option<String> {
        let pending = self.captured.values().filter(|snapshot| !snapshot.completed).count();
        if pending == 0 {
            return None;
        }
        let all = self.captured.len();
        let percent = self.captured.values().map(|snapshot| usize::from(snapshot.percent)).sum::<usize>() / all;
        Some(format!("{pending} of {all} snapshots pending ({percent} %)"))
    }

    /// The snapshots, in the order of their volumes.
    pub fn ids(&self) -> Vec<String> {
        self.captured.values().map(|snapshot| snapshot.snapshot.clone()).collect()
    }
}
