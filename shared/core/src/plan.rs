//! The changes that would bring a target from what it is to contained.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    slot::{Change, Slot},
    target::Target,
};

/// Changes in stages; the changes of one stage are independent and run at once. Empty: already contained.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S: Slot> {
    /// In order.
    pub stages: Vec<Vec<Change<S>>>,
    /// What will be left, and what could not be planned.
    pub remaining: Vec<Remaining>,
    /// What was looked for, where that is what the responder is for.
    pub found: Vec<Finding>,
}

impl<S: Slot> Plan<S> {
    /// A plan that does nothing.
    pub const fn empty() -> Self {
        Self { stages: Vec::new(), remaining: Vec::new(), found: Vec::new() }
    }

    /// Adds a stage, leaving out changes that change nothing and stages without changes.
    #[must_use]
    pub fn then(mut self, stage: impl IntoIterator<Item = Change<S>>) -> Self {
        let stage: Vec<_> = stage.into_iter().filter(|change| change.before != change.after).collect();
        if !stage.is_empty() {
            self.stages.push(stage);
        }
        self
    }

    /// Says what was found.
    #[must_use]
    pub fn finding(mut self, found: impl IntoIterator<Item = Finding>) -> Self {
        self.found.extend(found);
        self
    }

    /// Says what will be left.
    #[must_use]
    pub fn leaving(mut self, remaining: impl IntoIterator<Item = Remaining>) -> Self {
        self.remaining.extend(remaining);
        self
    }
}

/// Something that was looked for and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is, under its full name.
    pub target: Target,
    /// What is known of it, by name.
    pub details: BTreeMap<Cow<'static, str>, String>,
}

/// What the attacker still has, or what was not captured, after a responder is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// What it is.
    pub what: String,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What to do about it: the next order or command, ready to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Remaining {
    /// Something that is left.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), until: None, next: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}
