//! What is read of pods: of each only what a plan needs, so that a list of ten thousand fits.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, KubeUid, Namespace},
    target::{Cluster, Pod},
};

use crate::{ObjectRef, Resource};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: KubeName,
    /// Its UID.
    pub uid: KubeUid,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, without the bulky ones of others.
    pub annotations: BTreeMap<String, String>,
    /// The node that it runs on.
    pub node: Option<KubeName>,
    /// Its service account.
    pub service_account: String,
    /// It uses its node's network: no policy binds it.
    pub host_network: bool,
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// It is being deleted.
    pub ending: bool,
    /// What controls it.
    pub owner: Option<Owner>,
    /// Its containers, of every role.
    pub containers: Vec<Container>,
}

/// What controls an object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `apps/v1`
    pub api_version: String,
    /// `ReplicaSet`
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image that its spec names.
    pub image: String,
    /// The image that runs, with its digest.
    pub image_id: Option<String>,
    /// Which list it is in.
    pub role: Role,
}

/// Which of a pod's lists a container is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// `containers`
    #[default]
    Main,
    /// `initContainers`
    Init,
    /// `ephemeralContainers`
    Ephemeral,
}

impl PodFacts {
    /// As an order names it.
    pub fn target(&self) -> Pod {
        Pod {
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: Some(self.uid.clone()),
            host: None,
        }
    }

    /// As a slot names it.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            cluster: self.cluster.clone(),
            resource: Resource::pods(),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
            uid: Some(self.uid.clone()),
        }
    }

    /// It has ended: nothing of it runs.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Reads a Pod, as the server stores it.
    ///
    /// # Errors
    /// [`Kind::Internal`] when it is none.
    pub fn read(cluster: &Cluster, pod: &Value) -> Result<Self> {
        let raw = RawPod::deserialize(pod).ok().and_then(|raw| raw.into_facts(cluster));
        raw.ok_or_else(|| Error::new(Kind::Internal, "get pods", "the answer is no pod"))
    }
}

/// The same of any object.
pub fn owner_of(object: &Value) -> Option<Owner> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    Owner::deserialize(owner).ok()
}

#[derive(Deserialize)]
pub(crate) struct RawPod {
    metadata: RawMeta,
    #[serde(default)]
    spec: RawSpec,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMeta {
    name: KubeName,
    namespace: Namespace,
    uid: KubeUid,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<RawOwner>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawOwner {
    #[serde(default)]
    controller: Option<bool>,
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

impl RawOwner {
    fn into_controller(self) -> Option<Owner> {
        let Self { controller, api_version, kind, name, uid } = self;
        (controller == Some(true)).then_some(Owner { api_version, kind, name, uid })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    service_account_name: String,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    containers: Vec<RawContainer>,
    #[serde(default)]
    init_containers: Vec<RawContainer>,
    #[serde(default)]
    ephemeral_containers: Vec<RawContainer>,
}

#[derive(Deserialize)]
struct RawContainer {
    name: String,
    #[serde(default)]
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    container_statuses: Vec<RawContainerStatus>,
    #[serde(default)]
    init_container_statuses: Vec<RawContainerStatus>,
    #[serde(default)]
    ephemeral_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainerStatus {
    name: String,
    #[serde(default, rename = "imageID")]
    image_id: String,
}

/// An annotation that is longer is nobody's mark.
const LONGEST: usize = 256;

impl RawPod {
    /// `None` where a name is none: no pod of a real server.
    pub(crate) fn into_facts(self, cluster: &Cluster) -> Option<PodFacts> {
        let Self { metadata, spec, status } = self;
        let mut annotations = metadata.annotations;
        annotations.retain(|_, value| value.len() <= LONGEST);
        let mut containers = Vec::new();
        for (role, specs, statuses) in [
            (Role::Main, spec.containers, &status.container_statuses),
            (Role::Init, spec.init_containers, &status.init_container_statuses),
            (Role::Ephemeral, spec.ephemeral_containers, &status.ephemeral_container_statuses),
        ] {
            containers.extend(specs.into_iter().map(|RawContainer { name, image }| {
                let image_id = statuses.iter().find(|it| it.name == name).map(|it| it.image_id.clone());
                Container { image_id: image_id.filter(|id| !id.is_empty()), name, image, role }
            }));
        }
        Some(PodFacts {
            cluster: cluster.clone(),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            labels: metadata.labels,
            annotations,
            node: if spec.node_name.is_empty() { None } else { Some(spec.node_name.parse().ok()?) },
            service_account: spec.service_account_name,
            host_network: spec.host_network,
            phase: status.phase,
            ending: metadata.deletion_timestamp.is_some(),
            owner: metadata.owner_references.into_iter().find_map(RawOwner::into_controller),
            containers,
        })
    }
}
