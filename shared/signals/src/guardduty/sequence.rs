//! Attack sequences: several signals in one finding, whose resources and actors stand in `service.detection.sequence`
//! ("GuardDuty API Reference": `Sequence`, `ResourceV2`, `ResourceData`, `Actor`). One alert names them all.

use stanch_core::{
    Result, Target,
    names::{ImageRef, InstanceId, KubeName, Namespace, WorkloadKind},
    target::{Cluster, Image},
};

use super::subjects::Found;
use crate::{
    at::At,
    aws::{Arn, Place, add_principal},
    kube,
    text::{Notes, plain},
};

/// What compromised instances have in common, and where its data lists them ("ResourceData").
const GROUPS: [(&str, &str); 6] = [
    ("AUTOSCALING_AUTO_SCALING_GROUP", "autoscalingAutoScalingGroup"),
    ("CLOUDFORMATION_STACK", "cloudformationStack"),
    ("EC2_IMAGE", "ec2Image"),
    ("EC2_LAUNCH_TEMPLATE", "ec2LaunchTemplate"),
    ("EC2_VPC", "ec2Vpc"),
    ("IAM_INSTANCE_PROFILE", "iamInstanceProfile"),
];

/// The resources that a sequence names, most specific first, then who acted.
pub(super) fn read(service: &At<'_>, place: &Place, notes: &mut Notes) -> Result<Found> {
    let mut found = Found::default();
    let sequence = service.get("detection")?.get("sequence")?;
    let resources = sequence.get("resources")?.items()?;
    let cluster = cluster(&resources, place, notes)?;
    // Pods before what they run on.
    for wanted in ["KUBERNETES_WORKLOAD", "EC2_INSTANCE", "group", "ACCESS_KEY"] {
        for resource in &resources {
            let kind = resource.get("resourceType")?.text()?;
            let group = GROUPS.iter().find(|(group, _)| kind == Some(group));
            if kind != Some(wanted) && !(wanted == "group" && group.is_some()) {
                continue;
            }
            if !is_here(resource, place)? {
                notes.add("the sequence names a resource of another account");
                continue;
            }
            let data = resource.get("data")?;
            match wanted {
                "KUBERNETES_WORKLOAD" => workload(resource, &data, cluster.as_ref(), &mut found, notes)?,
                "EC2_INSTANCE" => instance(&resource.get("uid")?, place, &mut found, notes)?,
                "group" => {
                    if let Some((_, key)) = group {
                        for uid in data.get(key)?.get("ec2InstanceUids")?.items()? {
                            instance(&uid, place, &mut found, notes)?;
                        }
                    }
                }
                _ => {
                    let key = data.get("accessKey")?;
                    if key.section()?.is_some() {
                        let kind = key.get("userType")?.text()?;
                        let subject = place.principal(kind, &key.get("userName")?, &key.get("principalId")?, notes)?;
                        add_principal(&mut found.subjects, subject);
                    }
                }
            }
        }
    }
    for actor in sequence.get("actors")?.each()? {
        self::actor(&actor, place, cluster.as_ref(), &mut found, notes)?;
    }
    // Others may run the same image.
    for container in &resources {
        if container.get("resourceType")?.text()? == Some("CONTAINER") && is_here(container, place)? {
            kube::add(&mut found.subjects, image(&container.get("data")?, cluster.as_ref(), notes)?);
        }
    }
    if names_ecs(&resources)? {
        let hosted = found.subjects.iter().any(|it| matches!(it, Target::Ec2Instance(_)));
        notes.add(if hosted {
            "no responder takes an ECS task: the instances are those that the sequence names beside it"
        } else {
            "no responder takes an ECS task"
        });
    }
    if found.subjects.is_empty() {
        notes.add("the sequence names nothing that a responder takes");
    }
    Ok(found)
}

/// The tactics that the sequence went through.
pub(super) fn tactics(service: &At<'_>) -> Result<Option<String>> {
    let indicators = service.get("detection")?.get("sequence")?.get("sequenceIndicators")?;
    let mut tactics = Vec::new();
    for indicator in indicators.each()? {
        if indicator.get("key")?.text()? == Some("ATTACK_TACTIC") {
            for value in indicator.get("values")?.each()? {
                tactics.extend(value.text()?);
            }
        }
    }
    Ok((!tactics.is_empty()).then(|| plain(&tactics.join(", "))))
}

/// A resource's own account, where it is given, is the finding's, or it is left alone.
fn is_here(resource: &At<'_>, place: &Place) -> Result<bool> {
    Ok(resource.get("accountId")?.name()?.is_none_or(|account| place.account == account))
}

/// Is it about ECS? The cluster lists all of its container instances, attacked or not ("EcsCluster"): they are none of
/// the subjects.
fn names_ecs(resources: &[At<'_>]) -> Result<bool> {
    for resource in resources {
        if matches!(resource.get("resourceType")?.text()?, Some("ECS_CLUSTER" | "ECS_TASK")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The cluster that workloads and containers are in. They do not name theirs, so there must be one alone.
fn cluster(resources: &[At<'_>], place: &Place, notes: &mut Notes) -> Result<Option<Cluster>> {
    let mut clusters = Vec::new();
    for resource in resources {
        if resource.get("resourceType")?.text()? != Some("EKS_CLUSTER") || !is_here(resource, place)? {
            continue;
        }
        let arn = resource.get("data")?.get("eksCluster")?.get("arn")?;
        let at = if arn.is_present() { arn } else { resource.get("uid")? };
        let cluster = place.cluster(&at, &resource.get("name")?.absent())?;
        clusters.extend(cluster.filter(|cluster| !clusters.contains(cluster)));
    }
    if clusters.len() > 1 {
        notes.add("the sequence names several clusters, so whose its workloads are cannot be told");
        return Ok(None);
    }
    Ok(clusters.pop())
}

fn workload(
    resource: &At<'_>,
    data: &At<'_>,
    cluster: Option<&Cluster>,
    found: &mut Found,
    notes: &mut Notes,
) -> Result<()> {
    let details = data.get("kubernetesWorkload")?;
    let kind = details.get("type")?.name::<WorkloadKind>()?;
    let namespace = details.get("namespace")?.name::<Namespace>()?;
    let name = resource.get("name")?.name::<KubeName>()?;
    match (cluster, kind, namespace, name) {
        (None, ..) => notes.add("the sequence does not say in which cluster its workloads are"),
        (Some(cluster), Some(kind), Some(namespace), Some(name)) => {
            kube::add(&mut found.subjects, Some(kube::pod_or_workload(cluster, kind, namespace, name, None)));
        }
        _ => notes.add("the workload's type, namespace or name is missing"),
    }
    Ok(())
}

/// `uid` is the instance's ARN or its id.
fn instance(uid: &At<'_>, place: &Place, found: &mut Found, notes: &mut Notes) -> Result<()> {
    let id: Option<InstanceId> = match Arn::read(uid, "ec2")? {
        None => uid.name()?,
        Some(arn) if arn.account != place.account || place.region.is_some() && arn.region != place.region => {
            return Err(uid.wrong("names another account or region than the finding"));
        }
        Some(arn) => {
            let id =
                arn.resource.strip_prefix("instance/").ok_or_else(|| uid.wrong("must be the ARN of an instance"))?;
            Some(uid.parse(id)?)
        }
    };
    match id {
        Some(id) => kube::add(&mut found.subjects, place.instance(id, notes)),
        None => notes.add("the sequence does not say which instance"),
    }
    Ok(())
}

fn image(data: &At<'_>, cluster: Option<&Cluster>, notes: &mut Notes) -> Result<Option<Target>> {
    let named = data.get("container")?.get("image")?;
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

/// Who acted. The account of an actor is the one that it acted in, which need not be its own ("User"), so a role is
/// told by the ARN of its session's issuer.
fn actor(actor: &At<'_>, place: &Place, cluster: Option<&Cluster>, found: &mut Found, notes: &mut Notes) -> Result<()> {
    let user = actor.get("user")?;
    if user.section()?.is_none() {
        return Ok(());
    }
    let name = user.get("name")?;
    if let Some(cluster) = cluster
        && name.text()?.is_some_and(|name| name.starts_with("system:"))
    {
        kube::add(&mut found.subjects, kube::user(&name, cluster)?);
        return Ok(());
    }
    if user.get("account")?.get("uid")?.name()?.is_some_and(|account| place.account != account) {
        notes.add("an actor acted in another account");
        return Ok(());
    }
    let issuer = actor.get("session")?.get("issuer")?;
    let subject = match (user.get("type")?.text()?, Arn::read(&issuer, "iam")) {
        (Some("AssumedRole" | "Role"), Ok(Some(arn))) if arn.account != place.account => {
            notes.add("an actor is a role of another account");
            None
        }
        (Some("AssumedRole" | "Role"), Ok(Some(_))) => place.iam(&issuer, issuer.text()?.unwrap_or_default(), notes)?,
        (kind @ Some("IAMUser"), _) => place.principal(kind, &name, &user.get("uid")?, notes)?,
        (Some("Root"), _) => place.principal(Some("Root"), &name, &name, notes)?,
        _ => None,
    };
    add_principal(&mut found.subjects, subject);
    Ok(())
}
