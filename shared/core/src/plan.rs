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
    /// How many objects it reaches, where one target stands for many.
    pub objects: usize,
    /// The groups that lose the target.
    pub pools: Vec<Pool>,
    /// What was looked for, where that is what the responder is for.
    pub found: Vec<Finding>,
}

/// A group that stands in for its members (a node pool, an Auto Scaling group, a managed instance group): cutting too
/// many of them at once is an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name, unique in the target's account, project or cluster: `asg/web`.
    pub name: String,
    /// How many members it has now.
    pub size: usize,
}

impl<S: Slot> Plan<S> {
    /// A plan that does nothing.
    pub const fn empty() -> Self {
        Self { stages: Vec::new(), remaining: Vec::new(), objects: 0, pools: Vec::new(), found: Vec::new() }
    }

    /// Adds a stage, leaving out changes that change nothing and stages without changes. A change of something shared
    /// stays in: the record uses it, even if it is there already.
    #[must_use]
    pub fn then(mut self, stage: impl IntoIterator<Item = Change<S>>) -> Self {
        let counts = |change: &Change<S>| change.before != change.after || change.slot.shared().is_some();
        let stage: Vec<_> = stage.into_iter().filter(counts).collect();
        if !stage.is_empty() {
            self.stages.push(stage);
        }
        self
    }

    /// Says how many objects are reached. The guard limits them.
    #[must_use]
    pub const fn over(mut self, objects: usize) -> Self {
        self.objects = objects;
        self
    }

    /// Says which group loses the target. The guard limits how much of it may be lost at once.
    #[must_use]
    pub fn of(mut self, name: impl Into<String>, size: usize) -> Self {
        self.pools.push(Pool { name: name.into(), size });
        self
    }

    /// Whether there is nothing to do: what is shared may be named, and is in place.
    pub fn is_idle(&self) -> bool {
        self.stages.iter().flatten().all(|change| change.before == change.after)
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
