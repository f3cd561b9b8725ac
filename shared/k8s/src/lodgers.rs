//! The pods of a node as a drain sees them, and the budgets that hold them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stanch_core::{
    Kind, Result,
    names::{KubeName, KubeUid, Namespace},
    target::Cluster,
};

use crate::{
    KubeApi,
    api::escape,
    error::Call,
    object::{ObjectRef, Resource},
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
        let object = format!("pods of node/{node}");
        let call = Call { verb: "list", resource: "pods", object: &object };
        let query = format!("fieldSelector={}", escape(&format!("spec.nodeName={node}")));
        let items = self.pages(call, "/api/v1/pods", &query, "application/json").await?;
        let unlike = |_| call.error(Kind::Internal, "a pod is not as documented");
        items
            .into_iter()
            .map(|item| Ok(serde_json::from_value::<Item>(item).map_err(unlike)?.into_lodger(self.cluster())))
            .collect()
    }

    /// Every disruption budget of the cluster. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list poddisruptionbudgets`.
    pub async fn budgets(&self) -> Result<Vec<Budget>> {
        let call = Call { verb: "list", resource: "poddisruptionbudgets.policy", object: "disruption budgets" };
        let items = self.pages(call, "/apis/policy/v1/poddisruptionbudgets", "", "application/json").await?;
        let text = |item: &Value, path: &str| item.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let budget = |item: Value| Budget {
            namespace: text(&item, "/metadata/namespace"),
            name: text(&item, "/metadata/name"),
            selector: item.pointer("/spec/selector").cloned(),
            allowed: item.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0),
        };
        Ok(items.into_iter().map(budget).collect())
    }

    /// How many nodes a selector selects.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list nodes`.
    pub async fn count_nodes(&self, selector: &str) -> Result<usize> {
        let call = Call { verb: "list", resource: "nodes", object: "the nodes of the pool" };
        let query = format!("labelSelector={}", escape(selector));
        Ok(self.pages(call, "/api/v1/nodes", &query, crate::api::METADATA_LIST).await?.len())
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
