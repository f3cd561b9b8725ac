//! Workloads: what owns pods, of any kind that the API serves.

use std::collections::BTreeSet;

use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{Namespace, WorkloadKind},
    target::Pod,
};

use crate::{
    KubeApi, List, ObjectRef, Owner, PodFacts, Resource, Selector,
    facts::uid,
    pods::{RawPod, owner_of},
};

/// A workload, as it was found.
#[derive(Clone, Debug)]
pub struct WorkloadFacts {
    /// Which one.
    pub object: ObjectRef,
    /// All of it, as the server stores it.
    pub value: Value,
    /// What controls it in turn: an operator's object.
    pub owner: Option<Owner>,
    /// The pod that was named, with its UID.
    pub pod: Option<Pod>,
}

/// The kinds that every cluster serves, by what people and detectors call them.
fn built_in(kind: &str) -> Option<Resource> {
    let apps = |plural, kind| Some(Resource::new("apps", "v1", plural, kind));
    match kind.to_ascii_lowercase().as_str() {
        "deployment" | "deployments" | "deploy" => apps("deployments", "Deployment"),
        "statefulset" | "statefulsets" | "sts" => apps("statefulsets", "StatefulSet"),
        "daemonset" | "daemonsets" | "ds" => apps("daemonsets", "DaemonSet"),
        "replicaset" | "replicasets" | "rs" => apps("replicasets", "ReplicaSet"),
        "job" | "jobs" => Some(Resource::new("batch", "v1", "jobs", "Job")),
        "cronjob" | "cronjobs" | "cj" => Some(Resource::new("batch", "v1", "cronjobs", "CronJob")),
        "replicationcontroller" | "replicationcontrollers" | "rc" => {
            Some(Resource::new("", "v1", "replicationcontrollers", "ReplicationController"))
        }
        _ => None,
    }
}

impl KubeApi {
    /// The resource of a kind of workload, by discovery where it is not built in.
    ///
    /// # Errors
    /// [`Kind::Invalid`] where the cluster serves no such kind, or several.
    pub async fn workload_resource(&self, kind: &WorkloadKind) -> Result<Resource> {
        if let Some(resource) = built_in(kind.as_str()) {
            return Ok(resource);
        }
        let named = |it: &Resource| {
            it.kind.eq_ignore_ascii_case(kind.as_str()) || it.plural.eq_ignore_ascii_case(kind.as_str())
        };
        let mut found: Vec<_> = self.resources().await?.into_iter().filter(named).collect();
        match (found.pop(), found.pop()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Error::invalid("target.workload_kind", "the cluster serves no such kind")),
            (Some(_), Some(_)) => Err(Error::invalid("target.workload_kind", "several API groups serve such a kind")),
        }
    }

    async fn owner_resource(&self, owner: &Owner) -> Result<Option<Resource>> {
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", owner.api_version.as_str()));
        if let Some(resource) = built_in(&owner.kind).filter(|it| it.group == group) {
            return Ok(Some(resource));
        }
        let is = |it: &Resource| it.kind == owner.kind && it.group == group;
        let found = self.resources().await?.into_iter().find(is);
        Ok(found.map(|it| if version.is_empty() { it } else { Resource { version: version.to_owned(), ..it } }))
    }

    /// What an owner reference names, if it still is that one.
    pub(crate) async fn owner(&self, of: &ObjectRef, owner: &Owner) -> Result<Option<(ObjectRef, Value)>> {
        let Some(resource) = self.owner_resource(owner).await? else { return Ok(None) };
        let Ok(name) = owner.name.parse() else { return Ok(None) };
        let object = ObjectRef {
            cluster: of.cluster.clone(),
            resource,
            namespace: of.namespace.clone(),
            name,
            uid: owner.uid.parse().ok(),
        };
        match self.get(&object).await {
            Ok(value) if uid(&value) == object.uid => Ok(Some((object, value))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The workload of a pod: up the chain of controllers, as long as what is there only stands between. An
    /// operator's object above a Deployment is not the workload; above a `ReplicaSet` it is.
    ///
    /// # Errors
    /// [`Kind::Denied`], naming the kind that may not be read.
    pub async fn workload_of(&self, pod: &PodFacts) -> Result<Option<WorkloadFacts>> {
        let (mut at, mut owner) = (pod.object_ref(), pod.owner.clone());
        let mut found = None;
        // Chains are two long; a longer one goes in circles.
        for _ in 0..4 {
            let Some(next) = owner.take().filter(|next| next.kind != "Node") else { break };
            let Some((object, value)) = self.owner(&at, &next).await? else { break };
            let between = matches!(object.resource.kind.as_str(), "ReplicaSet" | "Job" | "ReplicationController");
            owner = owner_of(&value);
            at = object.clone();
            found = Some(WorkloadFacts { object, value, owner: owner.clone(), pod: Some(pod.target()) });
            if !between {
                break;
            }
        }
        Ok(found)
    }

    /// The pods of a workload that have not ended.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a kind that neither has a selector nor runs through Jobs.
    pub async fn pods_of(&self, workload: &WorkloadFacts) -> Result<Vec<PodFacts>> {
        let WorkloadFacts { object, value, .. } = workload;
        let namespace = object.namespace.as_ref().map(Namespace::as_str).unwrap_or_default();
        let own = uid(value).map(|it| it.to_string()).unwrap_or_default();
        let kind = object.resource.kind.as_str();
        if kind == "CronJob" {
            let jobs = self.owned(Resource::new("batch", "v1", "jobs", "Job"), namespace, "", &own).await?;
            let mut pods = Vec::new();
            for job in &jobs {
                let selector = Selector::label("batch.kubernetes.io/controller-uid", job);
                pods.extend(self.select(namespace, &selector, |owner| owner == job).await?);
            }
            return Ok(pods);
        }
        let selector = selector_of(value)
            .ok_or_else(|| object.error("get", Kind::Unsupported, "it has no selector: name its pods"))?;
        match kind {
            // Their ReplicaSets stand between.
            "Deployment" => {
                let sets = Resource::new("apps", "v1", "replicasets", "ReplicaSet");
                let sets = self.owned(sets, namespace, &selector.query(), &own).await?;
                self.select(namespace, &selector, |owner| sets.contains(owner)).await
            }
            "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
                self.select(namespace, &selector, |owner| owner == own).await
            }
            // What stands between is the operator's business.
            _ => self.select(namespace, &selector, |_| true).await,
        }
    }

    /// The UIDs of the objects that are controlled by `owner`.
    async fn owned(&self, resource: Resource, namespace: &str, labels: &str, owner: &str) -> Result<BTreeSet<String>> {
        let list = List { labels: labels.to_owned(), metadata_only: true, ..List::of(resource).within(namespace) };
        let mine = |item: Value| {
            owner_of(&item).is_some_and(|it| it.uid == owner).then(|| uid(&item).map(|it| it.to_string())).flatten()
        };
        Ok(self.list(&list, mine).await?.into_iter().collect())
    }

    /// The pods that a selector selects and whose controller's UID passes. A pod that has no controller passes only
    /// where any does: its labels are its own claim.
    async fn select(
        &self,
        namespace: &str,
        selector: &Selector,
        owner: impl Fn(&str) -> bool,
    ) -> Result<Vec<PodFacts>> {
        let fields = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        let list = List { fields, labels: selector.query(), ..List::of(Resource::pods()).within(namespace) };
        self.list(&list, |pod: RawPod| {
            pod.into_facts(self.cluster()).filter(|pod| owner(pod.owner.as_ref().map_or("", |it| it.uid.as_str())))
        })
        .await
    }

    /// The pods that have not ended and that `wanted` picks, cluster-wide.
    ///
    /// # Errors
    /// [`Kind::Denied`] without `list pods`.
    pub async fn pods_where(&self, fields: &str, wanted: impl Fn(&PodFacts) -> bool) -> Result<Vec<PodFacts>> {
        let comma = if fields.is_empty() { "" } else { "," };
        let fields = format!("{fields}{comma}status.phase!=Succeeded,status.phase!=Failed");
        let list = List { fields, ..List::of(Resource::pods()) };
        self.list(&list, |pod: RawPod| pod.into_facts(self.cluster()).filter(|pod| wanted(pod))).await
    }
}

/// The selector of a workload: `spec.selector` in either form, or the text that a `scale` subresource points to.
pub fn selector_of(workload: &Value) -> Option<Selector> {
    let spec = workload.pointer("/spec/selector");
    let read = spec.and_then(|selector| match selector {
        Value::String(text) => Selector::parse(text),
        other => Selector::read(other),
    });
    let status = || {
        ["/status/selector", "/status/labelSelector"]
            .into_iter()
            .find_map(|path| Selector::parse(workload.pointer(path)?.as_str()?))
    };
    // Nothing is the selector of everything, which no workload means.
    read.or_else(status).filter(|selector| !selector.is_everything())
}

/// What of a workload's last change has not come about yet: `1 of 3 replicas updated`.
pub fn rollout(workload: &Value) -> Option<String> {
    let number = |path: &str| workload.pointer(path).and_then(Value::as_i64);
    let seen = number("/status/observedGeneration")?;
    if seen < number("/metadata/generation").unwrap_or(0) {
        return Some("the controller has not seen it yet".to_owned());
    }
    let daemons = number("/status/desiredNumberScheduled");
    let wanted = daemons.or_else(|| number("/spec/replicas"))?;
    let updated = number("/status/updatedNumberScheduled").or_else(|| number("/status/updatedReplicas")).unwrap_or(0);
    let total = number("/status/currentNumberScheduled").or_else(|| number("/status/replicas")).unwrap_or(0);
    if updated < wanted {
        return Some(format!("rollout: {updated} of {wanted} pods updated"));
    }
    (total > updated).then(|| format!("rollout: {} former pods remain", total - updated))
}
