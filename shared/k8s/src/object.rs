//! Which object of which resource.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, KubeUid, Namespace},
    target::Cluster,
};

use crate::{KubeApi, facts::uid};

/// A resource of the API: what a path is made of. Group, version and plural come from us or from discovery, and are
/// checked there; names come from [`stanch_core::names`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// The resource, as paths and RBAC have it: `deployments`.
    pub plural: String,
    /// The kind: `Deployment`.
    pub kind: String,
}

impl Resource {
    /// A resource.
    pub fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        let own = str::to_owned;
        Self { group: own(group), version: own(version), plural: own(plural), kind: own(kind) }
    }

    /// `apps/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As RBAC and `kubectl` spell it: `deployments.apps`, `pods`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `nodes`
    pub fn nodes() -> Self {
        Self::new("", "v1", "nodes", "Node")
    }

    /// `pods`
    pub fn pods() -> Self {
        Self::new("", "v1", "pods", "Pod")
    }

    /// `namespaces`
    pub fn namespaces() -> Self {
        Self::new("", "v1", "namespaces", "Namespace")
    }

    /// `serviceaccounts`
    pub fn service_accounts() -> Self {
        Self::new("", "v1", "serviceaccounts", "ServiceAccount")
    }

    /// `networkpolicies.networking.k8s.io`
    pub fn network_policies() -> Self {
        Self::new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
    }

    /// The path of the collection.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }
}

/// An object, by name and, where it must be that one, by UID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its resource.
    pub resource: Resource,
    /// Its namespace, if its resource has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: KubeName,
    /// Its UID: every look and every write is about this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<KubeUid>,
}

impl ObjectRef {
    /// Its path.
    pub(crate) fn path(&self) -> String {
        let namespace = self.namespace.as_ref().map(Namespace::as_str);
        format!("{}/{}", self.resource.path(namespace), self.name)
    }

    /// As an error names it: `deployment/web/shop`.
    pub(crate) fn text(&self) -> String {
        let kind = self.resource.kind.to_lowercase();
        match &self.namespace {
            Some(namespace) => format!("{kind}/{namespace}/{}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }

    /// As a sentence names it: `deployment shop in web`.
    pub(crate) fn words(&self) -> String {
        let kind = self.resource.kind.to_lowercase();
        match &self.namespace {
            Some(namespace) => format!("{kind} {} in {namespace}", self.name),
            None => format!("{kind} {}", self.name),
        }
    }

    /// As `kubectl` takes it: `-n web deployments.apps shop`.
    pub(crate) fn kubectl(&self) -> String {
        let of = match self.resource.group.as_str() {
            "" => self.resource.kind.to_lowercase(),
            _ => self.resource.qualified(),
        };
        match &self.namespace {
            Some(namespace) => format!("-n {namespace} {of} {}", self.name),
            None => format!("{of} {}", self.name),
        }
    }

    pub(crate) fn error(&self, verb: &str, kind: Kind, message: &str) -> Error {
        Error::new(kind, format!("{verb} {}", self.resource.qualified()), message).on(self.text())
    }

    /// The object, if it is still this one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is gone, another one under its name included: there is nothing to wait for.
    pub(crate) async fn get(&self, api: &KubeApi) -> Result<Arc<Value>> {
        if api.cluster() != &self.cluster {
            return Err(self.error("get", Kind::Internal, "the record is about another cluster"));
        }
        let object = api.shared(self).await?;
        if self.uid.is_some() && uid(&object) != self.uid {
            return Err(self.error("get", Kind::NotFound, "it is gone; another one has its name now"));
        }
        Ok(object)
    }
}
