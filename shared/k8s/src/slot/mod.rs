//! The places of a cluster that can be written. Each is undone on its own.
//!
//! A place is a struct in a file of its own that implements [`Place`]. Each responder has a slot type of its own, made by
//! [`places!`] of the places that it writes: it links those and no others.

mod account;
mod exclusion;
mod fields;
mod meta;
mod node;
mod object;
mod removal;
mod restart;
mod retain;
mod subjects;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{Disruption, Mark, Result, target::Cluster};

use crate::KubeApi;

pub use account::Renewal;
pub use exclusion::Exclusion;
pub use fields::Fields;
pub use meta::{Annotation, Label, MARKS, Marks, marks};
pub use node::{Taint, Unschedulable};
pub use object::{Compare, Object, Propagation, manifest_of};
pub use removal::Removal;
pub use restart::Restart;
pub use retain::Retain;
pub use subjects::{Subjects, Who};

/// What a place holds, as JSON: `null` where there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KubeState(pub Value);

impl KubeState {
    /// Nothing.
    pub const fn absent() -> Self {
        Self(Value::Null)
    }

    /// Yes or no.
    pub const fn flag(yes: bool) -> Self {
        Self(Value::Bool(yes))
    }

    /// A text, or nothing.
    pub fn text(text: Option<&str>) -> Self {
        Self(text.map_or(Value::Null, Value::from))
    }

    /// Several texts by name.
    pub fn entries(entries: BTreeMap<String, String>) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key, Value::from(value))).collect())
    }

    /// Whether there is nothing.
    pub fn is_absent(&self) -> bool {
        self.0.is_null()
    }
}

/// The whole object that was seen; `None` where there was none. A place makes its write conditional on that part of
/// it that it would overwrite, and on the UID.
pub type KubeToken = Option<Arc<Value>>;

/// What a place found.
#[derive(Debug)]
pub(crate) struct Look {
    /// What it holds.
    pub(crate) state: KubeState,
    /// The object.
    pub(crate) token: KubeToken,
    /// Ids that matter to a person.
    pub(crate) ids: Vec<String>,
    /// What is accepted and not finished.
    pub(crate) settling: Option<String>,
}

impl Look {
    pub(crate) const fn new(state: KubeState, token: KubeToken) -> Self {
        Self { state, token, ids: Vec::new(), settling: None }
    }
}

/// One kind of place. The driver does the rest: see [`stanch_core::Slot`].
pub(crate) trait Place: Sync {
    /// Its cluster.
    fn cluster(&self) -> &Cluster;

    /// What is there now.
    fn look<'a>(&'a self, api: &'a KubeApi, mark: &'a Mark) -> BoxFuture<'a, Result<Look>>;

    /// Writes `to`, if the place still is what was seen. One attempt.
    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        mark: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>>;

    /// What the write does, in words.
    fn what(&self, to: &KubeState) -> String;

    /// What a person would type.
    fn command(&self, to: &KubeState, mark: &Mark) -> String;

    /// Why it is never undone.
    fn kept(&self) -> Option<&'static str> {
        None
    }

    /// Several records use it together: what the last one that leaves puts there.
    fn shared(&self) -> Option<KubeState> {
        None
    }

    /// Whether the attacker can notice it. A kubelet reads its Node and its pods, a pod often its own namespace.
    fn visible_to_attacker(&self) -> bool {
        true
    }

    /// What it interrupts.
    fn disruption(&self) -> Disruption {
        Disruption::None
    }

    /// Whether only a half-made write of ours leaves it like that.
    fn halfway(&self, _present: &KubeState) -> bool {
        false
    }

    /// How long it is waited until the write is let through and shows.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// How long the server may hide a write: not at all, reads are consistent.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// A slot type of some places. As JSON a slot says which place it is, by the same name in every type.
macro_rules! places {
    ($(#[$doc:meta])* $vis:vis enum $Slot:ident { $($Place:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "slot", rename_all = "snake_case")]
        $vis enum $Slot {
            $(#[doc = concat!("See [`", stringify!($Place), "`].")] $Place($Place)),*
        }

        $(impl From<$Place> for $Slot {
            fn from(place: $Place) -> Self {
                Self::$Place(place)
            }
        })*

        impl $Slot {
            fn place(&self) -> &dyn $crate::slot::Place {
                match *self { $(Self::$Place(ref place) => place),* }
            }
        }

        impl stanch_core::Slot for $Slot {
            type Api = $crate::KubeApi;
            type State = $crate::KubeState;
            type Token = $crate::KubeToken;

            async fn look(
                &self,
                api: &$crate::KubeApi,
                mark: &stanch_core::Mark,
            ) -> stanch_core::Result<stanch_core::Seen<Self>> {
                let $crate::slot::Look { state, token, ids, settling } =
                    $crate::slot::look(self.place(), api, mark).await?;
                Ok(stanch_core::Seen { state, token, ids, settling })
            }

            async fn write(
                change: stanch_core::Recorded<'_, Self>,
                seen: &stanch_core::Seen<Self>,
                api: &$crate::KubeApi,
            ) -> stanch_core::Result<()> {
                change.slot().place().put(&seen.token, change.to(), change.mark(), api).await
            }

            fn what(&self, to: &$crate::KubeState) -> String {
                self.place().what(to)
            }

            fn command(&self, to: &$crate::KubeState, mark: &stanch_core::Mark) -> String {
                self.place().command(to, mark)
            }

            fn kept(&self) -> Option<&'static str> {
                self.place().kept()
            }

            fn shared(&self) -> Option<$crate::KubeState> {
                self.place().shared()
            }

            fn visible_to_attacker(&self) -> bool {
                self.place().visible_to_attacker()
            }

            fn disruption(&self) -> stanch_core::Disruption {
                self.place().disruption()
            }

            fn lag(&self) -> std::time::Duration {
                self.place().lag()
            }

            fn patience(&self) -> std::time::Duration {
                self.place().patience()
            }

            fn halfway(&self, present: &$crate::KubeState) -> bool {
                self.place().halfway(present)
            }
        }
    };
}

places! {
    /// What keeps new pods away from a node.
    pub enum CordonSlot { Unschedulable, Taint, Label, Annotation, Marks }
}

places! {
    /// What empties a node.
    pub enum DrainSlot { Unschedulable, Taint, Annotation, Marks, Removal }
}

places! {
    /// What people and tools find an object by.
    pub enum MarkSlot { Label, Annotation, Marks }
}

places! {
    /// What cuts pods off.
    pub enum IsolationSlot { Label, Annotation, Marks, Exclusion, Object }
}

places! {
    /// What ends a pod.
    pub enum RemovalSlot { Removal }
}

places! {
    /// What ends a workload.
    pub enum WorkloadSlot { Fields, Object, Retain }
}

places! {
    /// What confines the pods of a workload.
    pub enum TemplateSlot { Fields }
}

places! {
    /// What gives a service account a new identity.
    pub enum AccountSlot { Renewal, Restart, Fields, Object, Subjects }
}

places! {
    /// What takes an identity's rights.
    pub enum AccessSlot { Subjects }
}

places! {
    /// What puts a policy on a namespace.
    pub enum PolicySlot { Label, Object }
}

places! {
    /// Nothing: of a responder that only reads.
    pub enum NoSlot {}
}

/// What is there now, in the place's own cluster.
pub(crate) async fn look(place: &dyn Place, api: &KubeApi, mark: &Mark) -> Result<Look> {
    api.must_be(place.cluster())?;
    place.look(api, mark).await
}

#[cfg(test)]
pub(crate) use places;
