//! The places of a cluster that can be written. Each is undone on its own.
//!
//! A place is a struct in a file of its own that implements [`Place`], and one line in [`places!`].

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
use stanch_core::{Disruption, Mark, Recorded, Result, Seen, Slot, target::Cluster};

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

/// One kind of place. The driver does the rest: see [`Slot`].
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

macro_rules! places {
    ($($(#[$doc:meta])* $Variant:ident),+ $(,)?) => {
        /// A place that can be written.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "slot", rename_all = "snake_case")]
        pub enum KubeSlot {
            $($(#[$doc])* $Variant($Variant)),+
        }

        impl KubeSlot {
            fn place(&self) -> &dyn Place {
                match self { $(Self::$Variant(place) => place),+ }
            }
        }

        $(impl From<$Variant> for KubeSlot {
            fn from(place: $Variant) -> Self {
                Self::$Variant(place)
            }
        })+
    };
}

places! {
    /// `spec.unschedulable` of a node.
    Unschedulable,
    /// One taint of a node.
    Taint,
    /// One label of an object.
    Label,
    /// One annotation of an object that others may own as well.
    Annotation,
    /// Our own annotations of an object.
    Marks,
    /// Some fields of an object, written together.
    Fields,
    /// Whether somebody else's policy leaves isolated pods alone.
    Exclusion,
    /// Whether an object is there.
    Object,
    /// Whether a pod is there.
    Removal,
    /// Which service account stands under a name.
    Renewal,
    /// When a workload was last restarted.
    Restart,
    /// What becomes of the volumes of a `StatefulSet` that is deleted.
    Retain,
    /// One identity among the subjects of a role binding.
    Subjects,
}

impl KubeSlot {
    pub(crate) async fn put(&self, seen: &KubeToken, to: &KubeState, mark: &Mark, api: &KubeApi) -> Result<()> {
        self.place().put(seen, to, mark, api).await
    }
}

impl Slot for KubeSlot {
    type Api = KubeApi;
    type State = KubeState;
    type Token = KubeToken;

    async fn look(&self, api: &KubeApi, mark: &Mark) -> Result<Seen<Self>> {
        api.must_be(self.place().cluster())?;
        let Look { state, token, ids, settling } = self.place().look(api, mark).await?;
        Ok(Seen { state, token, ids, settling })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &KubeApi) -> Result<()> {
        change.slot().put(&seen.token, change.to(), change.mark(), api).await
    }

    fn what(&self, to: &KubeState) -> String {
        self.place().what(to)
    }

    fn command(&self, to: &KubeState, mark: &Mark) -> String {
        self.place().command(to, mark)
    }

    fn kept(&self) -> Option<&'static str> {
        self.place().kept()
    }

    fn shared(&self) -> Option<KubeState> {
        self.place().shared()
    }

    fn visible_to_attacker(&self) -> bool {
        self.place().visible_to_attacker()
    }

    fn disruption(&self) -> Disruption {
        self.place().disruption()
    }

    fn lag(&self) -> Duration {
        self.place().lag()
    }

    fn patience(&self) -> Duration {
        self.place().patience()
    }

    fn halfway(&self, present: &KubeState) -> bool {
        self.place().halfway(present)
    }
}
