//! Which resources a finding names ("GuardDuty API Reference": `Resource` and the types below it).

use stanch_core::{
    Result, Target,
    names::{ImageRef, InstanceId, KubeName, KubeUid, Namespace, WorkloadKind},
    target::{Cluster, Image},
};

use super::finding_type::Kind;
use crate::{
    at::{At, agree},
    aws::{Place, add_principal, instance_session},
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
pub(crate) fn read(resource: &At<'_>, place: &Place, kind: Kind<'_>, notes: &mut Notes) -> Result<Found> {
    /// Types whose resource no responder takes. Their other sections describe surroundings, not the suspect.
    const OTHERS: [&str; 10] = [
        "AttackSequence",
        "EBSSnapshot",
        "EBSVolume",
        "EC2AMI",
        "Lambda",
        "RDSDBInstance",
        "RDSLimitlessDB",
        "RecoveryPoint",
        "S3Bucket",
        "S3Object",
    ];
    let mut found = Found::default();
    let named = resource.get("resourceType")?.text()?;
    if named.is_some_and(|named| OTHERS.contains(&named)) {
        notes.add("no responder takes this type of resource");
        // Who did it to the bucket is one that a responder takes.
        add_principal(&mut found.subjects, principal(resource, place, notes)?);
        return Ok(found);
    }
    let cluster = match resource.get("eksClusterDetails")?.section()? {
        None => None,
        Some(details) => {
            let cluster = place.cluster(&details.get("arn")?, &details.get("name")?)?;
            if cluster.is_none() {
                notes.add("the finding does not say which cluster");
            }
            cluster
        }
    };
    if let Some(cluster) = &cluster {
        kubernetes(resource, cluster, kind, &mut found, notes)?;
    }
    let on_ecs = resource.get("ecsClusterDetails")?.section()?.is_some();
    instance(resource, place, kind, &mut found, notes)?;
    if on_ecs {
        let hosted = found.subjects.iter().any(|it| matches!(it, Target::Ec2Instance(_)));
        notes.add(if hosted {
            "no responder takes an ECS task: the instance is the one that it runs on"
        } else {
            "no responder takes an ECS task"
        });
    }
    add_principal(&mut found.subjects, principal(resource, place, notes)?);
    if kind.ran() {
        kube::add(&mut found.subjects, image(resource, cluster.as_ref(), notes)?);
    }
    if found.subjects.is_empty() && notes.is_empty() {
        notes.add("the finding names nothing that a responder takes");
    }
    Ok(found)
}

/// The workload first, then who called.
fn kubernetes(
    resource: &At<'_>,
    cluster: &Cluster,
    kind: Kind<'_>,
    found: &mut Found,
    notes: &mut Notes,
) -> Result<()> {
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
    } else if !kind.ran() {
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

/// The instance, where the finding is about one, about what runs on one, or about credentials stolen from one. Of
/// the last, the instance also stands in the session name of its role; elsewhere that name is anybody's choice.
fn instance(resource: &At<'_>, place: &Place, kind: Kind<'_>, found: &mut Found, notes: &mut Notes) -> Result<()> {
    let details = resource.get("instanceDetails")?;
    let section = details.section()?;
    let at = if section.is_some() { details.get("instanceId")? } else { details };
    let named = if section.is_some() { at.name::<InstanceId>()? } else { None };
    let mut places = vec![(at, named)];
    if kind.is_credential_theft() {
        let caller = resource.get("accessKeyDetails")?;
        // Only a role has sessions that EC2 names.
        let kind = if caller.section()?.is_some() { caller.get("userType")?.text()? } else { None };
        if matches!(kind, Some("AssumedRole" | "Role")) {
            let at = caller.get("principalId")?;
            places.push((at, instance_session(&at)?.map(|session| at.parse(session)).transpose()?));
        }
    }
    match agree(places)? {
        Some(id) => kube::add(&mut found.subjects, place.instance(id, notes)),
        None if section.is_some() || kind.is_credential_theft() => {
            notes.add("the finding does not say which instance");
        }
        None => {}
    }
    Ok(())
}

/// GuardDuty gives a name and a unique id, not an ARN ("AccessKeyDetails").
fn principal(resource: &At<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let details = resource.get("accessKeyDetails")?;
    let Some(details) = details.section()? else { return Ok(None) };
    let kind = details.get("userType")?.text()?;
    place.principal(kind, &details.get("userName")?, &details.get("principalId")?, notes)
}

/// The image that the process ran from, or that a malware scan found bad. Only Runtime Monitoring and the scans say
/// that; an audit finding lists what a caller asked for, and a caller could ask for everyone's image.
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
