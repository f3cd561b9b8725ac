//! The places of a Node that only a Node has.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{Error, Kind, Mark, Result, names::KubeUid, target::Cluster};

use super::{KubeState, KubeToken, Look, Place};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    error::BY_ADMISSION,
    patch,
};

/// `spec.unschedulable` of a node: a [`KubeState::flag`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unschedulable {
    /// Which node.
    pub node: ObjectRef,
}

/// One taint of a node: a [`KubeState::text`], empty for a taint without a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Which node.
    pub node: ObjectRef,
    /// Its key.
    pub key: String,
    /// Its effect.
    pub effect: String,
}

/// Names of Autopilot nodes begin with gk3-. What RBAC lacks is told apart: it is named.
pub(super) fn explained(node: &ObjectRef, error: Error) -> Error {
    if node.resource.kind == "Node" && node.name.as_str().starts_with("gk3-") && error.message() == BY_ADMISSION {
        let message = "GKE Autopilot does not let this node be changed: isolate the pod (k8s-isolate-pod) instead";
        return node.error("patch", Kind::Unsupported, message);
    }
    error
}

/// A record that holds a state of another kind than its place.
pub(super) fn damaged(object: &ObjectRef) -> Error {
    object.error("patch", Kind::Internal, "the record holds a state of another kind")
}

pub(super) fn uid_of(object: &ObjectRef) -> Result<&str> {
    object.uid.as_ref().map(KubeUid::as_str).ok_or_else(|| damaged(object))
}

impl Place for Unschedulable {
    fn cluster(&self) -> &Cluster {
        &self.node.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let node = self.node.get(api).await?;
            let state = node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
            Ok(Look::new(KubeState::flag(state), Some(node)))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let field = seen.as_ref().and_then(|node| node.pointer("/spec/unschedulable"));
            let to = to.0.as_bool().ok_or_else(|| damaged(&self.node))?;
            let patch = patch::unschedulable(uid_of(&self.node)?, field, to);
            api.patch(&self.node, &patch).await.map_err(|error| explained(&self.node, error))
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let verb = if to.0 == Value::Bool(true) { "cordon" } else { "uncordon" };
        format!("{verb} node {}", self.node.name)
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let verb = if to.0 == Value::Bool(true) { "cordon" } else { "uncordon" };
        kubectl(&self.node.cluster, &format!("{verb} {}", self.node.name))
    }
}

impl Place for Taint {
    fn cluster(&self) -> &Cluster {
        &self.node.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let node = self.node.get(api).await?;
            let value = patch::find_taint(node.pointer("/spec/taints"), &self.key, &self.effect)
                .map(|(_, taint)| taint.get("value").and_then(Value::as_str).unwrap_or_default());
            Ok(Look::new(KubeState::text(value), Some(node.clone())))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let field = seen.as_ref().and_then(|node| node.pointer("/spec/taints"));
            let patch = patch::taint(uid_of(&self.node)?, field, (&self.key, &self.effect), to.0.as_str());
            api.patch(&self.node, &patch).await.map_err(|error| explained(&self.node, error))
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let Self { node, key, effect } = self;
        if to.is_absent() {
            format!("take the taint {key}:{effect} off node {}", node.name)
        } else {
            format!("taint node {} with {key}:{effect}", node.name)
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let Self { node, key, effect } = self;
        let taint = match to.0.as_str() {
            Some("") => format!("{key}:{effect} --overwrite"),
            Some(value) => format!("{} --overwrite", quote(&format!("{key}={value}:{effect}"))),
            None => format!("{key}:{effect}-"),
        };
        kubectl(&node.cluster, &format!("taint nodes {} {taint}", node.name))
    }
}
