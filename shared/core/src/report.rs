//! What a responder answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{Error, Kind},
    names::{IncidentId, RecordId},
    order::{Mode, Order},
    plan::{Finding, Remaining},
    slot::Disruption,
    target::Target,
};

/// The answer to one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The incident that it was for.
    pub incident: Option<IncidentId>,
    /// Who answers.
    pub responder: String,
    /// What it was about, under its full name once that is known.
    pub target: Option<Target>,
    /// What was asked.
    pub mode: Mode,
    /// What came of it.
    pub status: Status,
    /// Why, where the status does not say it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The kind of the error behind a failed, partial or refused report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Kind>,
    /// The changes: planned, made, found or undone.
    pub changes: Vec<Done>,
    /// The revert order, or why there is none.
    pub undo: Undo,
    /// What the attacker still has, and what was not captured.
    pub remaining: Vec<Remaining>,
    /// What was looked for and found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Finding>,
    /// When work on it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// The record in the ledger.
    pub record: Option<RecordId>,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Shown only.
    Planned,
    /// Done and verified.
    Applied,
    /// It was so before.
    Already,
    /// Undone and verified.
    Reverted,
    /// Not done, on purpose.
    Refused,
    /// Nothing was done.
    Failed,
    /// Some of it was done.
    Partial,
}

impl Status {
    /// The word in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Applied => "applied",
            Self::Already => "already",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Partial => "partial",
        }
    }
}

/// One change in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub what: String,
    /// The command that it equals.
    pub command: String,
    /// How far it is.
    pub state: DoneState,
    /// What was there.
    pub before: Value,
    /// What shall be there.
    pub after: Value,
    /// Ids of what was made.
    pub ids: Vec<String>,
    /// Whether the attacker can notice it.
    pub visible_to_attacker: bool,
    /// What it interrupts.
    pub disruption: Disruption,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Why it was skipped, is not finished, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoneState {
    /// Not begun.
    Planned,
    /// Made and seen.
    Applied,
    /// Not ours to make or undo; the reason is beside it.
    Skipped,
    /// Not made, or not seen.
    Failed,
    /// Undone and seen.
    Reverted,
}

/// How to undo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Undo {
    /// The order that undoes it.
    Order(Box<Order>),
    /// Why there is none.
    None(String),
}

impl Report {
    /// A report of something that did not get far enough to have changes.
    pub fn of_error(responder: &str, mode: Mode, error: &Error, started: Timestamp, finished: Timestamp) -> Self {
        Self {
            incident: None,
            responder: responder.to_owned(),
            target: None,
            mode,
            status: if error.kind() == Kind::Refused { Status::Refused } else { Status::Failed },
            reason: Some(error.to_string()),
            error: Some(error.kind()),
            changes: Vec::new(),
            undo: Undo::None("nothing was changed".to_owned()),
            remaining: Vec::new(),
            found: Vec::new(),
            started,
            finished,
            record: None,
        }
    }

    /// Being called again with the same order can bring it further.
    pub fn wants_retry(&self) -> bool {
        self.error.is_some_and(Kind::is_transient)
    }

    /// The exit code of a terminal: 0 done, 1 failed, 2 usage or bad event, 3 refused.
    pub fn exit_code(&self) -> u8 {
        match (self.status, self.error) {
            (Status::Planned | Status::Applied | Status::Already | Status::Reverted, _) => 0,
            (Status::Refused, _) => 3,
            (Status::Failed | Status::Partial, Some(Kind::Invalid)) => 2,
            (Status::Failed | Status::Partial, _) => 1,
        }
    }
}
