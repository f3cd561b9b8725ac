//! The pods of a node as a drain sees them, and the budgets that hold them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stanch_core::{
    Result,
    names::{KubeName, KubeUid, Namespace},
    target::{Cluster, Pod},
};

use crate::{
    KubeApi,
    ObjectRef, Resource,
    list::List,
    selector::selects,
};

/// The kubelet's own pods show on the API server as mirrors: deleting one does not end it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod on a node.
#[derive(Clone, Debug)]
pub struct Lodger {
    /// Which one.
    pub pod: ObjectRef,
    /// Its controller: kind and name.
    pub owner: Option<(String, String)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The mirror of a static pod.
    pub mirror: bool,
    /// It has volumes that end with it.
    pub empty_dir: bool,
    /// It has run to its end.
    pub over: bool,
}

/// A `PodDisruptionBudget`.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    selector: Option<Value>,
    /// How many pods it lets go now.
    pub allowed: i64,
}

impl Budget {
    /// Whether it holds this pod.
    pub fn holds(&self, lodger: &Lodger) -> bool {
        Some(self.namespace.as_str()) == lodger.pod.namespace.as_ref().map(Namespace::as_str) && selects(self.selector.as_ref(), &lodger.labels)
    }
}

impl KubeApi {
    /// Every pod of a node, those that have ended included. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list pods`.
    pub async fn lodgers(&self, node: &KubeName) -> Result<Vec<Lodger>> {
        let list = List { fields: format!("spec.nodeName={node}"), ..List::of(Resource::pods()) };
        self.list(&list, |item: Item| Some(item.into_lodger(self.cluster()))).await
    }

    /// Every disruption budget of the cluster. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list poddisruptionbudgets`.
    pub async fn budgets(&self) -> Result<Vec<Budget>> {
        let resource = Resource::new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
        let text = |item: &Value, path: &str| item.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.list(&List::of(resource), |item: Value| {
            Some(Budget {
                namespace: text(&item, "/metadata/namespace"),
                name: text(&item, "/metadata/name"),
                selector: item.pointer("/spec/selector").cloned(),
                allowed: item.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0),
            })
        })
        .await
    }

    /// How many nodes a selector selects.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list nodes`.
    pub async fn count_nodes(&self, selector: &str) -> Result<usize> {
        let list = List { labels: selector.to_owned(), metadata_only: true, ..List::of(Resource::nodes()) };
        Ok(self.list(&list, |_: Value| Some(())).await?.len())
    }
}

#[derive(Deserialize)]
struct Item {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    namespace: Namespace,
    name: KubeName,
    uid: KubeUid,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
struct Volume {
    #[serde(rename = "emptyDir")]
    empty_dir: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
}

impl Lodger {
    /// Its namespace and name.
    pub fn pod_name(&self) -> String {
        format!("{}/{}", self.pod.namespace.as_ref().map_or("", Namespace::as_str), self.pod.name)
    }

    /// The pod as an order names it.
    pub fn as_target(&self) -> Option<Pod> {
        Some(Pod {
            cluster: self.pod.cluster.clone(),
            namespace: self.pod.namespace.clone()?,
            name: self.pod.name.clone(),
            uid: self.pod.uid.clone(),
            host: None,
        })
    }
}

impl Item {
    fn into_lodger(self, cluster: &Cluster) -> Lodger {
        let Self { metadata, spec, status } = self;
        let Meta { namespace, name, uid, .. } = metadata;
        Lodger {
            pod: ObjectRef {
                cluster: cluster.clone(),
                resource: Resource::pods(),
                namespace: Some(namespace),
                name,
                uid: Some(uid),
            },
            owner: metadata.owner_references.into_iter().find(|it| it.controller).map(|it| (it.kind, it.name)),
            mirror: metadata.annotations.contains_key(MIRROR),
            labels: metadata.labels,
            empty_dir: spec.volumes.iter().any(|volume| volume.empty_dir.is_some()),
            over: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
        }
    }
}
