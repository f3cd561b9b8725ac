//! What is read of a node.

use std::collections::BTreeMap;

use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, KubeUid},
    target::{Cluster, Node, Pod},
};

use crate::{ObjectRef, Resource};

/// A Node label that its own kubelet cannot set (Kubernetes: "Admission Controllers, `NodeRestriction`").
pub const EXEMPT_NODE: &str = "stanch.node-restriction.kubernetes.io/exempt";
/// The same for the pods of a namespace. Who may label a Namespace is no pod's choice.
pub const EXEMPT_NAMESPACE: &str = "stanch.dev/exempt";

const COMPUTE_TYPE: &str = "eks.amazonaws.com/compute-type";

/// A node, as `identify` found it.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its name.
    pub name: KubeName,
    /// Its UID: a node that joins again under the same name is another one.
    pub uid: KubeUid,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The cloud instance behind it, as the node itself registered it.
    pub provider_id: Option<String>,
    /// The pod that the alert named, with its UID.
    pub pod: Option<Pod>,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, empty where it has none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl NodeFacts {
    pub(crate) fn read(cluster: &Cluster, name: &KubeName, node: &Value) -> Result<Self> {
        let text = |value: &Value, field: &str| {
            value.get(field).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
        };
        Ok(Self {
            cluster: cluster.clone(),
            name: name.clone(),
            uid: uid(node).ok_or_else(|| {
                Error::new(Kind::Internal, "get nodes", "the answer has no metadata.uid").on(format!("node/{name}"))
            })?,
            unschedulable: node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false),
            taints: node
                .pointer("/spec/taints")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|taint| Taint {
                    key: text(taint, "key"),
                    value: text(taint, "value"),
                    effect: text(taint, "effect"),
                })
                .collect(),
            annotations: strings(node, "/metadata/annotations"),
            labels: strings(node, "/metadata/labels"),
            provider_id: node.pointer("/spec/providerID").and_then(Value::as_str).map(str::to_owned),
            pod: None,
        })
    }

    /// The node, as a slot names it.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            cluster: self.cluster.clone(),
            resource: Resource::nodes(),
            namespace: None,
            name: self.name.clone(),
            uid: Some(self.uid.clone()),
        }
    }

    /// The node, as an order names it.
    pub fn target(&self) -> Node {
        Node { cluster: self.cluster.clone(), name: self.name.clone(), uid: Some(self.uid.clone()) }
    }

    /// The value of a taint.
    pub fn taint(&self, key: &str, effect: &str) -> Option<&str> {
        self.taints.iter().find(|it| it.key == key && it.effect == effect).map(|it| it.value.as_str())
    }

    /// The label of the node pool, node group or `NodePool` that it belongs to.
    pub fn pool(&self) -> Option<(&'static str, &str)> {
        ["eks.amazonaws.com/nodegroup", "cloud.google.com/gke-nodepool", "karpenter.sh/nodepool"]
            .into_iter()
            .find_map(|label| Some((label, self.labels.get(label)?.as_str())))
    }

    /// What it is, when no machine of its own stands behind it: there the node is one pod, or a whole foreign
    /// service, and nothing is won by keeping new pods away. EKS: "Simplify compute management with AWS Fargate";
    /// Virtual Kubelet: the label `type`.
    pub fn is_virtual(&self) -> Option<&'static str> {
        let label = |key: &str, value: &str| self.labels.get(key).is_some_and(|it| it == value);
        if label(COMPUTE_TYPE, "fargate") || self.name.as_str().starts_with("fargate-") {
            Some("an AWS Fargate node")
        } else if label("type", "virtual-kubelet") {
            Some("a virtual node (virtual-kubelet)")
        } else {
            None
        }
    }
}

/// An object's UID.
pub(crate) fn uid(object: &Value) -> Option<KubeUid> {
    object.pointer("/metadata/uid").and_then(Value::as_str)?.parse().ok()
}

/// A map of strings; what is no string is left out.
pub(crate) fn strings(object: &Value, pointer: &str) -> BTreeMap<String, String> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
