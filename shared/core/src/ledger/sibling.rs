//! What another responder's record of the same target says, for a plan that depends on it.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{book::read, record::Progress, store::Item};
use crate::{error::Result, slot::Mark};

/// Another responder's record of the same target. A record that was reverted has none of its changes made.
#[derive(Clone, Debug)]
pub struct Sibling {
    /// The responder.
    pub responder: &'static str,
    /// What it left on everything that it made.
    pub mark: Mark,
    /// The incidents that want what it did.
    pub holders: Vec<String>,
    /// The changes that it made, and that were not undone.
    made: Vec<(Value, Value)>,
}

impl Sibling {
    /// The slots that it wrote and what it left there, of the form `S` and `T`; others are left out.
    pub fn made<S: DeserializeOwned, T: DeserializeOwned>(&self) -> Vec<(S, T)> {
        self.made
            .iter()
            .filter_map(|(slot, after)| {
                Some((serde_json::from_value(slot.clone()).ok()?, serde_json::from_value(after.clone()).ok()?))
            })
            .collect()
    }

    pub(super) fn read(responder: &'static str, item: Option<&Item>) -> Result<Option<Self>> {
        let Some(body) = read::<Body>(item)? else { return Ok(None) };
        let made = body.stages.into_iter().flatten();
        let made = made
            .filter(|entry| entry.progress == Progress::Applied)
            .map(|entry| (entry.change.slot, entry.change.after))
            .collect();
        let holders = body.holders.into_iter().map(|(incident, _)| incident).collect();
        Ok(Some(Self { responder, mark: body.mark, holders, made }))
    }
}

/// As much of a record as does not depend on its wing.
#[derive(Deserialize)]
struct Body {
    mark: Mark,
    holders: serde_json::Map<String, Value>,
    stages: Vec<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    change: Change,
    progress: Progress,
}

#[derive(Deserialize)]
struct Change {
    slot: Value,
    after: Value,
}
