//! GKE: audit entries of a cluster ("GKE: audit logging"), and entries about a node.

use stanch_core::{
    Result, Target,
    names::{GceName, GkeName, KubeName, Location, ProjectId, WorkloadKind},
    target::{Cluster, GceInstance},
};

use super::{
    Entry,
    path::{KubePath, namespaced},
};
use crate::{
    Context,
    at::{At, agree},
    kube,
    text::Notes,
};

/// The object that a call was about, then who called.
pub(super) fn cluster_entry(entry: &Entry<'_>, context: &Context, notes: &mut Notes) -> Result<Vec<Target>> {
    let mut subjects = Vec::new();
    let cluster = Labels::read(entry)?.cluster(context, notes);
    let Some(audit) = &entry.audit else {
        notes.add("the entry has no audit payload");
        return Ok(subjects);
    };
    // Names are checked even when the cluster is unknown: an entry with a forged one is refused, not noted.
    let unknown = cluster.is_none();
    let cluster = cluster.unwrap_or(Cluster::Current);
    kube::add(&mut subjects, object(audit, &cluster, notes)?);
    kube::add(&mut subjects, kube::user(&audit.get("authenticationInfo")?.get("principalEmail")?, &cluster)?);
    if unknown {
        subjects.clear();
    }
    Ok(subjects)
}

/// A node, and the VM that has its name: GKE names a node after its VM, in the zone of the cluster's location. A
/// regional cluster's entry does not say the zone.
pub(super) fn node_entry(entry: &Entry<'_>, notes: &mut Notes) -> Result<Vec<Target>> {
    let mut subjects = Vec::new();
    let labels = Labels::read(entry)?;
    let at = entry.labels.get("node_name")?;
    let Some(name) = at.name::<KubeName>()? else {
        notes.add("the entry does not say which node");
        return Ok(subjects);
    };
    let zone = labels.location.as_ref().and_then(|location| location.as_str().parse().ok());
    match labels.named() {
        Some(cluster) => subjects.push(kube::node(&cluster, name)),
        None => notes.add("the entry does not say which cluster"),
    }
    match (labels.project, zone, at.name::<GceName>()) {
        (Some(project), Some(zone), Ok(name)) => {
            subjects.push(GceInstance { project, zone, name, id: None }.into());
        }
        _ => notes.add("the entry does not say in which zone the node's VM is"),
    }
    Ok(subjects)
}

/// What a resource name names; `exec`, `attach` and `portforward` stand behind the pod's name.
fn object(audit: &At<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
    let at = audit.get("resourceName")?;
    let Some(path) = KubePath::read(&at)? else {
        notes.add("the entry names no object");
        return Ok(None);
    };
    let is_workload = kube::WORKLOADS.contains(&path.resource);
    if path.resource != "pods" && path.resource != "nodes" && !is_workload {
        notes.add("no responder takes this type of object");
        return Ok(None);
    }
    // io.k8s.core.v1.pods.exec.create: the method must be about the same resource.
    let method = audit.get("methodName")?;
    if method.text()?.is_some_and(|method| !method.split('.').any(|part| part == path.resource)) {
        return Err(method.wrong(format!("disagrees with {}", at.path())));
    }
    if path.resource == "nodes" {
        return path.name.map(|name| Ok(kube::node(cluster, at.parse(name)?))).transpose();
    }
    let Some((namespace, name)) = namespaced(&at, &path)? else {
        notes.add("the entry names no single object");
        return Ok(None);
    };
    let kind: WorkloadKind = at.parse(path.resource)?;
    Ok(Some(kube::pod_or_workload(cluster, kind, namespace, name, None)))
}

/// The labels that name a cluster.
struct Labels {
    project: Option<ProjectId>,
    location: Option<Location>,
    name: Option<GkeName>,
}

impl Labels {
    fn read(entry: &Entry<'_>) -> Result<Self> {
        let at = entry.labels.get("project_id")?;
        Ok(Self {
            project: agree([(at.clone(), at.name()?), (at.clone(), entry.project.clone())])?,
            location: entry.labels.get("location")?.name()?,
            name: entry.labels.get("cluster_name")?.name()?,
        })
    }

    /// The cluster, if all three name it.
    fn named(&self) -> Option<Cluster> {
        match (&self.project, &self.location, &self.name) {
            (Some(project), Some(location), Some(name)) => {
                Some(Cluster::Gke { project: project.clone(), location: location.clone(), name: name.clone() })
            }
            _ => None,
        }
    }

    /// The cluster; where labels were lost on the way, `STANCH_CLUSTER` if nothing that is left contradicts it.
    fn cluster(&self, context: &Context, notes: &mut Notes) -> Option<Cluster> {
        let known = self.named().or_else(|| {
            context.cluster.clone().filter(|cluster| match cluster {
                Cluster::Gke { project, location, name } => {
                    self.project.as_ref() == Some(project)
                        && self.location.as_ref().is_none_or(|it| it == location)
                        && self.name.as_ref().is_none_or(|it| it == name)
                }
                _ => false,
            })
        });
        if known.is_none() {
            notes.add("the entry does not say which cluster");
        }
        known
    }
}
