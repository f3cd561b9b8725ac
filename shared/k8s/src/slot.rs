//! The places of a cluster that can be written. Each is undone on its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{KubeName, KubeUid},
    target::Cluster,
};

use crate::{
    KubeApi,
    command::{kubectl, quote},
    error::BY_ADMISSION,
    facts::{strings, uid},
    patch::{self, Patch},
};

/// A node, by name and UID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRef {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its name.
    pub name: KubeName,
    /// Its UID: every look and every write is about this one.
    pub uid: KubeUid,
}

/// A place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum KubeSlot {
    /// `spec.unschedulable` of a node: a [`KubeState::Flag`].
    Unschedulable {
        /// Which node.
        node: NodeRef,
    },
    /// One taint of a node: a [`KubeState::Value`], empty for a taint without a value.
    Taint {
        /// Which node.
        node: NodeRef,
        /// Its key.
        key: String,
        /// Its effect.
        effect: String,
    },
    /// One annotation of a node that others may own as well: a [`KubeState::Value`].
    Annotation {
        /// Which node.
        node: NodeRef,
        /// Its key.
        key: String,
    },
    /// One label of a node: a [`KubeState::Value`].
    Label {
        /// Which node.
        node: NodeRef,
        /// Its key.
        key: String,
    },
    /// Our own annotations of a node, `stanch.dev/…`: a [`KubeState::Entries`].
    Marks {
        /// Which node.
        node: NodeRef,
    },
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KubeState {
    /// Yes or no.
    Flag(bool),
    /// A value, or nothing.
    Value(Option<String>),
    /// Several entries.
    Entries(BTreeMap<String, String>),
}

/// The annotations of [`KubeSlot::Marks`]: incident, record, by whom, since when.
pub const MARKS: [&str; 4] = ["stanch.dev/incident", "stanch.dev/record", "stanch.dev/by", "stanch.dev/since"];

/// The raw field that a write is conditional on: the flag, the list of taints, or the map of entries.
pub type KubeToken = Option<Value>;

impl KubeSlot {
    /// The node that it is a place of.
    pub const fn node(&self) -> &NodeRef {
        match self {
            Self::Unschedulable { node }
            | Self::Taint { node, .. }
            | Self::Annotation { node, .. }
            | Self::Label { node, .. }
            | Self::Marks { node } => node,
        }
    }

    const fn field(&self) -> &'static str {
        match self {
            Self::Unschedulable { .. } => "/spec/unschedulable",
            Self::Taint { .. } => "/spec/taints",
            Self::Annotation { .. } | Self::Marks { .. } => "/metadata/annotations",
            Self::Label { .. } => "/metadata/labels",
        }
    }

    fn read(&self, object: &Value) -> KubeState {
        let field = object.pointer(self.field());
        match self {
            Self::Unschedulable { .. } => KubeState::Flag(field.and_then(Value::as_bool).unwrap_or(false)),
            Self::Taint { key, effect, .. } => KubeState::Value(
                patch::find_taint(field, key, effect)
                    .map(|(_, taint)| taint.get("value").and_then(Value::as_str).unwrap_or_default().to_owned()),
            ),
            Self::Annotation { key, .. } | Self::Label { key, .. } => {
                KubeState::Value(field.and_then(|map| map.get(key)).and_then(Value::as_str).map(str::to_owned))
            }
            Self::Marks { .. } => {
                let mut entries = strings(object, self.field());
                entries.retain(|key, _| MARKS.contains(&key.as_str()));
                KubeState::Entries(entries)
            }
        }
    }

    fn patch(&self, seen: Option<&Value>, to: &KubeState) -> Option<Patch> {
        let uid = self.node().uid.as_str();
        let map = seen.and_then(Value::as_object);
        match (self, to) {
            (Self::Unschedulable { .. }, KubeState::Flag(to)) => Some(patch::unschedulable(uid, seen, *to)),
            (Self::Taint { key, effect, .. }, KubeState::Value(to)) => {
                Some(patch::taint(uid, seen, (key, effect), to.as_deref()))
            }
            (Self::Annotation { key, .. }, KubeState::Value(to)) => {
                Some(one(uid, "annotations", map, key, to.as_deref()))
            }
            (Self::Label { key, .. }, KubeState::Value(to)) => Some(one(uid, "labels", map, key, to.as_deref())),
            (Self::Marks { .. }, KubeState::Entries(to)) => {
                let to = MARKS.into_iter().map(|key| (key, to.get(key).map(String::as_str))).collect();
                Some(patch::entries(uid, "annotations", map, &to))
            }
            _ => None,
        }
    }

    pub(crate) async fn put(&self, seen: Option<&Value>, to: &KubeState, api: &KubeApi) -> Result<()> {
        let patch = self
            .patch(seen, to)
            .ok_or_else(|| self.error("patch", Kind::Internal, "the record holds a state of another kind"))?;
        api.patch_node(&self.node().name, &patch).await.map_err(|error| {
            // Names of Autopilot nodes begin with gk3-. What RBAC lacks is told apart: it is named.
            if self.node().name.as_str().starts_with("gk3-") && error.message() == BY_ADMISSION {
                let message =
                    "GKE Autopilot does not let this node be changed: isolate the pod (k8s-isolate-pod) instead";
                return self.error("patch", Kind::Unsupported, message);
            }
            error
        })
    }

    fn error(&self, verb: &str, kind: Kind, message: &str) -> Error {
        Error::new(kind, format!("{verb} nodes"), message).on(format!("node/{}", self.node().name))
    }
}

fn one(uid: &str, map: &str, seen: Option<&Map<String, Value>>, key: &str, to: Option<&str>) -> Patch {
    patch::entries(uid, map, seen, &BTreeMap::from([(key, to)]))
}

impl Slot for KubeSlot {
    type Api = KubeApi;
    type State = KubeState;
    type Token = KubeToken;

    async fn look(&self, api: &KubeApi, _: &Mark) -> Result<Seen<Self>> {
        let node = self.node();
        if api.cluster() != &node.cluster {
            return Err(self.error("get", Kind::Internal, "the record is about another cluster"));
        }
        let object = api.node(&node.name).await?;
        if uid(&object).as_ref() != Some(&node.uid) {
            // Not a conflict: there is nothing to wait for, and nothing left to undo.
            return Err(self.error("get", Kind::NotFound, "it is gone; another one has its name now"));
        }
        Ok(Seen {
            state: self.read(&object),
            token: object.pointer(self.field()).cloned(),
            ids: Vec::new(),
            settling: None,
        })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &KubeApi) -> Result<()> {
        change.slot().put(seen.token.as_ref(), change.to(), api).await
    }

    fn what(&self, to: &KubeState) -> String {
        let name = &self.node().name;
        match (self, to) {
            (Self::Unschedulable { .. }, KubeState::Flag(true)) => format!("cordon node {name}"),
            (Self::Unschedulable { .. }, _) => format!("uncordon node {name}"),
            (Self::Taint { key, effect, .. }, KubeState::Value(Some(_))) => {
                format!("taint node {name} with {key}:{effect}")
            }
            (Self::Taint { key, effect, .. }, _) => format!("take the taint {key}:{effect} off node {name}"),
            (Self::Annotation { key, .. }, KubeState::Value(Some(value))) => {
                format!("annotate node {name} with {key}={value}")
            }
            (Self::Annotation { key, .. }, _) => format!("take the annotation {key} off node {name}"),
            (Self::Label { key, .. }, KubeState::Value(Some(value))) => format!("label node {name} with {key}={value}"),
            (Self::Label { key, .. }, _) => format!("take the label {key} off node {name}"),
            (Self::Marks { .. }, KubeState::Entries(entries)) if entries.is_empty() => {
                format!("take our marks off node {name}")
            }
            (Self::Marks { .. }, _) => format!("mark node {name}: incident, record, by whom, since when"),
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let NodeRef { cluster, name, .. } = self.node();
        let entry = |key: &str, value: Option<&String>| match value {
            Some(value) => quote(&format!("{key}={value}")).into_owned(),
            None => format!("{key}-"),
        };
        match (self, to) {
            (Self::Unschedulable { .. }, KubeState::Flag(true)) => kubectl(cluster, &format!("cordon {name}")),
            (Self::Unschedulable { .. }, _) => kubectl(cluster, &format!("uncordon {name}")),
            (Self::Taint { key, effect, .. }, to) => {
                let taint = match to {
                    KubeState::Value(Some(value)) if value.is_empty() => format!("{key}:{effect} --overwrite"),
                    KubeState::Value(Some(value)) => {
                        format!("{} --overwrite", quote(&format!("{key}={value}:{effect}")))
                    }
                    _ => format!("{key}:{effect}-"),
                };
                kubectl(cluster, &format!("taint nodes {name} {taint}"))
            }
            (Self::Annotation { key, .. }, KubeState::Value(value)) => {
                kubectl(cluster, &format!("annotate node {name} {} --overwrite", entry(key, value.as_ref())))
            }
            (Self::Label { key, .. }, KubeState::Value(value)) => {
                kubectl(cluster, &format!("label node {name} {} --overwrite", entry(key, value.as_ref())))
            }
            (_, KubeState::Entries(entries)) => {
                let marks: Vec<_> = MARKS.into_iter().map(|key| entry(key, entries.get(key))).collect();
                kubectl(cluster, &format!("annotate node {name} {} --overwrite", marks.join(" ")))
            }
            _ => kubectl(cluster, &format!("get node {name}")),
        }
    }

    /// A kubelet reads its own Node, so whoever holds its credentials can see every one of these.
    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::Label { .. } => Disruption::Service,
            _ => Disruption::None,
        }
    }
}
