//! VPC flow logs ("VPC Flow Logs records"): the machine that reported the flow, and the node and pod on it. The other
//! end is whoever it talked to, not a subject.

use stanch_core::{
    Result, Target,
    names::{GkeName, KubeName, Location, Namespace},
    target::{Cluster, GceInstance, Pod},
};

use super::Entry;
use crate::{at::At, kube, text::Notes};

/// The pod, the node and the VM at the end that reported.
pub(super) fn instances(entry: &Entry<'_>, flow: &At<'_>, notes: &mut Notes) -> Result<Vec<Target>> {
    let (source, destination) = (flow.get("src_instance")?, flow.get("dest_instance")?);
    let at = flow.get("reporter")?;
    let (instance, details) = match at.text()? {
        Some("SRC") => (source, flow.get("src_gke_details")?),
        Some("DEST") => (destination, flow.get("dest_gke_details")?),
        Some("SRC_GATEWAY" | "DEST_GATEWAY") => {
            notes.add("a gateway reported the flow, not a VM");
            return Ok(Vec::new());
        }
        Some(_) => return Err(at.wrong("must be an end of the flow")),
        None => match (source.section()?.is_some(), destination.section()?.is_some()) {
            (true, false) => (source, flow.get("src_gke_details")?),
            (false, true) => (destination, flow.get("dest_gke_details")?),
            _ => {
                notes.add("the entry does not say which end reported the flow");
                return Ok(Vec::new());
            }
        },
    };
    let name = instance.get("vm_name")?;
    let (project, zone) = (instance.get("project_id")?.name()?, instance.get("zone")?.name()?);
    let mut subjects = Vec::new();
    let (Some(project), Some(zone), Some(vm)) = (project, zone, name.name()?) else {
        notes.add("the entry does not say which VM");
        return Ok(subjects);
    };
    // Whoever may write a log in one project could accuse the VMs of any other.
    if entry.project.as_ref().is_some_and(|owner| *owner != project) {
        notes.add("the VM is in another project than the log");
        return Ok(subjects);
    }
    let cluster = details.get("cluster")?;
    if let (Some(location), Some(cluster)) =
        (cluster.get("cluster_location")?.name::<Location>()?, cluster.get("cluster_name")?.name::<GkeName>()?)
    {
        let cluster = Cluster::Gke { project: project.clone(), location, name: cluster };
        let pod = details.get("pod")?;
        if let (Some(namespace), Some(name)) =
            (pod.get("pod_namespace")?.name::<Namespace>()?, pod.get("pod_name")?.name::<KubeName>()?)
        {
            subjects.push(Pod { cluster: cluster.clone(), namespace, name, uid: None, host: None }.into());
        }
        if let Some(name) = name.name::<KubeName>()? {
            kube::add(&mut subjects, Some(kube::node(&cluster, name)));
        }
    }
    subjects.push(GceInstance { project, zone, name: Some(vm), id: None }.into());
    Ok(subjects)
}
