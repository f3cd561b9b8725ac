//! Every place that this wing writes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    snapshot::{self, SnapshotSlot},
};

/// A place that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GcpSlot {
    /// The snapshot that a record has of a disk.
    Snapshot(SnapshotSlot),
}

/// What a place holds: only the touched fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GcpState {
    /// Whether the snapshot exists: accepted, or, where the order waits for it, ready.
    Snapshot {
        /// It does.
        taken: bool,
    },
}

/// What makes a write conditional on what was seen.
#[derive(Debug)]
pub struct GcpToken(pub(crate) snapshot::Found);

impl Slot for GcpSlot {
    type Api = GceApi;
    type State = GcpState;
    type Token = GcpToken;

    async fn look(&self, api: &GceApi, mark: &Mark) -> Result<Seen<Self>> {
        match self {
            Self::Snapshot(slot) => slot.look(api, mark).await,
        }
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        match change.slot() {
            Self::Snapshot(slot) => slot.write(change.to(), change.mark(), &seen.token.0, api).await,
        }
    }

    fn what(&self, _to: &GcpState) -> String {
        match self {
            Self::Snapshot(slot) => slot.what(),
        }
    }

    fn command(&self, _to: &GcpState, mark: &Mark) -> String {
        match self {
            Self::Snapshot(slot) => slot.command(mark),
        }
    }

    fn kept(&self) -> Option<&'static str> {
        match self {
            Self::Snapshot(_) => Some("a snapshot is evidence: it is deleted by a person, when the case is closed"),
        }
    }

    fn lag(&self) -> Duration {
        match self {
            Self::Snapshot(_) => snapshot::LAG,
        }
    }
}
