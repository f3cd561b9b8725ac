//! Which resources a finding names ("GuardDuty API Reference": `Resource` and the types below it).

use stanch_core::{
    Result, Target,
    names::{IamName, IamUniqueId, ImageRef, InstanceId, KubeName, KubeUid, Namespace, WorkloadKind},
    target::{Cluster, Ec2Instance, IamPrincipal, IamWho, Image},
};

use super::place::Place;
use crate::{
    at::At,
    kube,
    text::{Notes, plain},
};

/// What a resource section names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) subjects: Vec<Target>,
    pub(crate) acted_as: Option<String>,
}

/// Reads the sections that name what a responder can take. A name that is not one is refused; one that is not
/// there is a note.
pub(crate) fn read(resource: &At<'_>, place: &Place, runtime: bool, notes: &mut Notes) -> Result<Found> {
    /// Types whose resource no responder takes. Their other sections describe surroundings, not the suspect.
    const OTHERS: [&str; 11] = [
        "AttackSequence",
        "EBSSnapshot",
        "EBSVolume",
        "EC2AMI",
        "ECSCluster",
        "Lambda",
        "RDSDBInstance",
        "RDSLimitlessDB",
        "RecoveryPoint",
        "S3Bucket",
        "S3Object",
    ];
    let mut found = Found::default();
    if resource.get("resourceType")?.text()?.is_some_and(|kind| OTHERS.contains(&kind)) {
        notes.add("no responder takes this type of resource");
        return Ok(found);
    }
    let cluster = match resource.get("eksClusterDetails")?.section()? {
        None => None,
        Some(details) => {
            let cluster = place.cluster(details)?;
            if cluster.is_none() {
                notes.add("the finding does not say which cluster");
            }
            cluster
        }
    };
    if let Some(cluster) = &cluster {
        kubernetes(resource, cluster, runtime, &mut found, notes)?;
    }
    kube::add(&mut found.subjects, instance(resource, place, notes)?);
    kube::add(&mut found.subjects, principal(resource, place, notes)?);
    if runtime {
        kube::add(&mut found.subjects, image(resource, cluster.as_ref(), notes)?);
    }
    if found.subjects.is_empty() && notes.is_empty() {
        notes.add("the finding names nothing that a responder takes");
    }
    Ok(found)
}

/// The workload first, then who called.
fn kubernetes(resource: &At<'_>, cluster: &Cluster, runtime: bool, found: &mut Found, notes: &mut Notes) -> Result<()> {
    let details = resource.get("kubernetesDetails")?;
    let Some(details) = details.section()? else {
        notes.add("the finding has no Kubernetes details");
        return Ok(());
    };
    match details.get("kubernetesWorkloadDetails")?.section()? {
        Some(workload) => kube::add(&mut found.subjects, self::workload(workload, cluster, notes)?),
        None => notes.add("the finding names no workload"),
    }
    if let Some(user) = details.get("kubernetesUserDetails")?.section()? {
        kube::add(&mut found.subjects, kube::user(&user.get("username")?, cluster)?);
        // Whom the caller pretended to be: shown, never contained, else the caller picks the victim.
        let impersonated = user.get("impersonatedUser")?;
        if let Some(impersonated) = impersonated.section()? {
            found.acted_as = impersonated.get("username")?.text()?.map(plain);
        }
    } else if !runtime {
        notes.add("the finding names no user");
    }
    Ok(())
}

/// `type` is `pods` in audit findings; other workloads keep their kind and are never taken for a pod of that name.
fn workload(details: &At<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
    let kind = details.get("type")?.name::<WorkloadKind>()?;
    let namespace = details.get("namespace")?.name::<Namespace>()?;
    let name = details.get("name")?.name::<KubeName>()?;
    let uid = details.get("uid")?.name::<KubeUid>()?;
    let (Some(kind), Some(namespace), Some(name)) = (kind, namespace, name) else {
        notes.add("the workload's type, namespace or name is missing");
        return Ok(None);
    };
    Ok(Some(kube::pod_or_workload(cluster, kind, namespace, name, uid)))
}

fn instance(resource: &At<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let details = resource.get("instanceDetails")?;
    let Some(details) = details.section()? else { return Ok(None) };
    let Some(id) = details.get("instanceId")?.name::<InstanceId>()? else {
        notes.add("the finding does not say which instance");
        return Ok(None);
    };
    Ok(Some(Ec2Instance { account: place.account.clone(), region: place.region.clone(), id }.into()))
}

/// GuardDuty gives a name and a unique id, not an ARN ("AccessKeyDetails"). The session name behind the colon of
/// `principalId` is chosen by whoever assumes the role, so an instance id that stands there is not a subject.
fn principal(resource: &At<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let details = resource.get("accessKeyDetails")?;
    let Some(details) = details.section()? else { return Ok(None) };
    let (of_name, prefix): (fn(IamName) -> IamWho, _) = match details.get("userType")?.text()? {
        Some("IAMUser") => (IamWho::User, "AIDA"),
        Some("Role" | "AssumedRole") => (IamWho::Role, "AROA"),
        Some("Root") => {
            notes.add("the root user cannot be contained: change its password and delete its keys");
            return Ok(None);
        }
        _ => {
            notes.add("the caller is neither a user nor a role");
            return Ok(None);
        }
    };
    let principal_id = details.get("principalId")?;
    let unique_id = match principal_id.text()?.map(|id| id.split(':').next().unwrap_or_default()) {
        None | Some("") => None,
        Some(id) => Some(principal_id.parse::<IamUniqueId>(id)?).filter(|id| id.as_str().starts_with(prefix)),
    };
    let Some(name) = details.get("userName")?.name::<IamName>()? else {
        notes.add("the finding does not name the caller");
        return Ok(None);
    };
    Ok(Some(IamPrincipal { account: place.account.clone(), who: of_name(name), unique_id }.into()))
}

/// The image that the process ran from. Only Runtime Monitoring says that; an audit finding lists what a caller
/// asked for, and a caller could ask for everyone's image.
fn image(resource: &At<'_>, cluster: Option<&Cluster>, notes: &mut Notes) -> Result<Option<Target>> {
    let container = resource.get("containerDetails")?;
    let named = if let Some(container) = container.section()? {
        container.get("image")?
    } else {
        let workload = resource.get("kubernetesDetails")?.get("kubernetesWorkloadDetails")?;
        let Some(workload) = workload.section()? else { return Ok(None) };
        match workload.get("containers")?.items()?.as_slice() {
            [only] => only.get("image")?,
            _ => return Ok(None),
        }
    };
    let Some(text) = named.text()?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let Ok(image) = text.parse::<ImageRef>() else {
        notes.add("the container's image is not an image reference");
        return Ok(None);
    };
    let Some(cluster) = cluster else {
        notes.add("the container runs outside a cluster");
        return Ok(None);
    };
    Ok(Some(Image { cluster: cluster.clone(), image }.into()))
}
