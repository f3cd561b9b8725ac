//! GKE: audit entries of a cluster ("GKE: audit logging"), and entries about a node, a pod or a container ("Monitored
//! resource types": `k8s_cluster`, `k8s_node`, `k8s_pod`, `k8s_container`).

use jiff::Timestamp;
use stanch_core::{
    Alert, Result, Target,
    names::{GceName, GkeName, KubeName, Location, Namespace, ProjectId},
    target::{Cluster, GceInstance, Pod, Scope},
};

use super::{Entry, Found, path::KubePath};
use crate::{
    Context,
    at::{At, agree},
    falco,
    gcp::Caller,
    kube,
    kube_call::{self, Call},
    text::Notes,
};

/// The object that a call was about, then who called.
pub(super) fn cluster_entry(entry: &Entry<'_>, context: &Context, notes: &mut Notes) -> Result<Found> {
    let cluster = Labels::read(entry)?.cluster(context, notes);
    let Some(audit) = &entry.audit else {
        notes.add("the entry has no audit payload");
        return Ok(Found::default());
    };
    // Names are checked even when the cluster is unknown: an entry with a forged one is refused, not noted.
    let unknown = cluster.is_none();
    let cluster = cluster.unwrap_or(Cluster::Current);
    let info = audit.get("authenticationInfo")?;
    let caller = Caller::read(&info)?;
    let mut found = Found::default();
    if let Some(call) = call(audit, &info, &caller, entry.failed, notes)? {
        let judgement = kube_call::judge(&call, &cluster, notes)?;
        found =
            Found { subjects: judgement.subjects, severity: judgement.severity, tactic: judgement.tactic, rule: None };
    } else if let Some((at, name)) = &caller.principal {
        kube::add(&mut found.subjects, kube::user_named(at, name, &cluster)?);
    }
    kube::add(&mut found.subjects, caller.target(Some(&cluster), context, notes)?);
    if unknown {
        found.subjects.retain(|it| !matches!(it.scope(), Scope::Cluster(_)));
    }
    Ok(found)
}

/// The call, if the entry names an object.
fn call<'a>(
    audit: &At<'a>,
    info: &At<'a>,
    caller: &Caller<'a>,
    failed: bool,
    notes: &mut Notes,
) -> Result<Option<Call<'a>>> {
    let at = audit.get("resourceName")?;
    let Some(path) = KubePath::read(&at)? else {
        notes.add("the entry names no object");
        return Ok(None);
    };
    // io.k8s.core.v1.pods.exec.create: the method must be about the same resource.
    let method = audit.get("methodName")?;
    if method.text()?.is_some_and(|method| !method.split('.').any(|part| part == path.resource)) {
        return Err(method.wrong(format!("disagrees with {}", at.path())));
    }
    let selector = info.get("authoritySelector")?;
    let user = match &caller.principal {
        Some((at, _)) => *at,
        // Nobody signed in: the selector is all that names the caller.
        None if selector.text()? == Some("system:anonymous") => selector,
        None => selector.absent(),
    };
    Ok(Some(Call {
        at,
        verb: method.text()?.and_then(|method| method.rsplit('.').next()).unwrap_or_default(),
        group: Some(path.group),
        resource: path.resource,
        subresource: path.subresource,
        namespace: path.namespace,
        name: path.name,
        uid: None,
        extra: user.absent(),
        user,
        request: audit.get("request")?,
        response: audit.get("response")?,
        failed,
    }))
}

/// A node, and the VM that has its name: GKE names a node after its VM, in the zone of the cluster's location. A
/// regional cluster's entry does not say the zone.
pub(super) fn node_entry(entry: &Entry<'_>, context: &Context, notes: &mut Notes) -> Result<Vec<Target>> {
    let mut subjects = Vec::new();
    let labels = Labels::read(entry)?;
    let at = entry.labels.get("node_name")?;
    let Some(name) = at.name::<KubeName>()? else {
        notes.add("the entry does not say which node");
        return Ok(subjects);
    };
    let zone = labels.location.as_ref().and_then(|location| location.as_str().parse().ok());
    if let Some(cluster) = labels.cluster(context, notes) {
        subjects.push(kube::node(&cluster, name));
    }
    match (labels.project, zone, at.name::<GceName>()) {
        (Some(project), Some(zone), Ok(name)) => {
            subjects.push(GceInstance { project, zone, name, id: None }.into());
        }
        _ => notes.add("the entry does not say in which zone the node's VM is"),
    }
    Ok(subjects)
}

/// The pod that an entry is about, or was written by.
pub(super) fn pod_entry(entry: &Entry<'_>, context: &Context, notes: &mut Notes) -> Result<Option<Target>> {
    if is_falco(entry)? {
        notes.add("Falco's own log accuses nobody by where it was printed");
        return Ok(None);
    }
    let cluster = Labels::read(entry)?.cluster(context, notes);
    let namespace = entry.labels.get("namespace_name")?.name::<Namespace>()?;
    let name = entry.labels.get("pod_name")?.name::<KubeName>()?;
    let (Some(cluster), Some(namespace), Some(name)) = (cluster, namespace, name) else {
        notes.add("the entry does not say which pod");
        return Ok(None);
    };
    Ok(Some(Pod { cluster, namespace, name, uid: None, host: None }.into()))
}

/// A Falco alert that Falco printed and a log agent (fluent-bit, GKE's own) sent. The labels name the cluster.
pub(super) fn falco_entry(
    entry: &Entry<'_>,
    payload: &At<'_>,
    time: Option<Timestamp>,
    context: &Context,
) -> Result<Alert> {
    let mut notes = Notes::default();
    let cluster = Labels::read(entry)?.cluster(context, &mut notes);
    let Some(cluster) = cluster else {
        return Err(entry.labels.wrong("must name the cluster, or STANCH_CLUSTER must name a cluster of this project"));
    };
    let mut alert = falco::alert_in(payload, &cluster, time)?;
    // Any container can print a line that looks like an alert about another pod.
    if !is_falco(entry)? {
        alert.subjects.clear();
        let why =
            "this is not Falco's log: its container must be called falco, in a namespace called falco or kube-system";
        alert.note = Some(alert.note.map_or_else(|| why.to_owned(), |note| format!("{note}; {why}")));
    }
    Ok(alert)
}

/// Whether Falco's own container printed it.
fn is_falco(entry: &Entry<'_>) -> Result<bool> {
    let of_falco = |key: &'static str| -> Result<bool> {
        Ok(entry.labels.get(key)?.text()?.is_some_and(|name| name == "falco" || name.starts_with("falco-")))
    };
    let namespace = entry.labels.get("namespace_name")?.text()?;
    Ok(of_falco("container_name")? && (of_falco("namespace_name")? || namespace == Some("kube-system")))
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
            project: agree([(at, at.name()?), (at, entry.project.clone())])?,
            location: entry.labels.get("location")?.name()?,
            name: entry.labels.get("cluster_name")?.name()?,
        })
    }

    /// The cluster; where labels were lost on the way, `STANCH_CLUSTER` if nothing that is left contradicts it.
    fn cluster(&self, context: &Context, notes: &mut Notes) -> Option<Cluster> {
        let known = match (&self.project, &self.location, &self.name) {
            (Some(project), Some(location), Some(name)) => {
                Some(Cluster::Gke { project: project.clone(), location: location.clone(), name: name.clone() })
            }
            _ => context.cluster.clone().filter(|cluster| match cluster {
                Cluster::Gke { project, location, name } => {
                    self.project.as_ref() == Some(project)
                        && self.location.as_ref().is_none_or(|it| it == location)
                        && self.name.as_ref().is_none_or(|it| it == name)
                }
                _ => false,
            }),
        };
        if known.is_none() {
            notes.add("the entry does not say which cluster");
        }
        known
    }
}
