//! The resources that a finding names, in either format.

use stanch_core::{
    Result, Target,
    names::{ImageRef, InstanceId, KubeName, Namespace, Region, WorkloadKind},
    target::{Cluster, Ec2Instance, Image},
};

use crate::{
    at::{At, agree},
    aws::{Arn, Place, add_principal, instance_session},
    kube,
    text::{Notes, plain},
};

/// What the resources of a finding name.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) subjects: Vec<Target>,
    pub(super) acted_as: Option<String>,
}

/// One resource, whatever the format calls its parts.
pub(super) struct Resource<'a> {
    /// `AwsEc2Instance`, `AWS::EC2::Instance` …
    pub(super) kind: &'a str,
    /// Its ARN, or its id.
    pub(super) id: At<'a>,
    pub(super) region: At<'a>,
    /// The account that owns it, where the format says so.
    pub(super) owner: At<'a>,
    /// ASFF's `Details`.
    pub(super) details: At<'a>,
    /// The image that a container runs.
    pub(super) image: At<'a>,
}

/// The subjects, most specific first. Of credentials that were stolen from an instance, the instance also stands in
/// the session name of its role.
pub(super) fn read(resources: &[Resource<'_>], place: &Place, theft: bool, notes: &mut Notes) -> Result<Found> {
    let mut found = Found::default();
    let cluster = cluster(resources, place, notes)?;
    for resource in resources {
        workload(resource, cluster.as_ref(), &mut found, notes)?;
    }
    for resource in resources {
        owned_here(resource, place)?;
        match kind_of(resource.kind) {
            "Ec2Instance" => kube::add(&mut found.subjects, instance(resource, place, notes)?),
            "IamAccessKey" => {
                if theft {
                    kube::add(&mut found.subjects, robbed(resource, place, notes)?);
                }
                add_principal(&mut found.subjects, access_key(resource, place, notes)?);
            }
            "IamUser" | "IamRole" => {
                let text = resource.id.required_text()?;
                add_principal(&mut found.subjects, place.iam(&resource.id, text, notes)?);
            }
            _ => {}
        }
    }
    for resource in resources.iter().filter(|resource| kind_of(resource.kind).ends_with("Container")) {
        kube::add(&mut found.subjects, image(resource, cluster.as_ref(), notes));
    }
    if found.subjects.is_empty() && notes.is_empty() {
        notes.add("the finding names nothing that a responder takes");
    }
    Ok(found)
}

/// `AwsEc2Instance` and `AWS::EC2::Instance` are one kind.
fn kind_of(kind: &str) -> &str {
    const KINDS: [(&str, &str); 6] = [
        ("AWS::EC2::Instance", "Ec2Instance"),
        ("AWS::IAM::AccessKey", "IamAccessKey"),
        ("AWS::IAM::User", "IamUser"),
        ("AWS::IAM::Role", "IamRole"),
        ("AWS::EKS::Cluster", "EksCluster"),
        ("AWS::Container::Container", "Container"),
    ];
    let known = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, short)| *short);
    known.unwrap_or_else(|| kind.strip_prefix("Aws").unwrap_or(kind))
}

fn owned_here(resource: &Resource<'_>, place: &Place) -> Result<()> {
    match resource.owner.name()? {
        Some(owner) if place.account != owner => Err(resource.owner.wrong("is not the finding's account")),
        _ => Ok(()),
    }
}

/// The one cluster that the finding names. Workloads and containers do not name theirs.
fn cluster(resources: &[Resource<'_>], place: &Place, notes: &mut Notes) -> Result<Option<Cluster>> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for resource in resources.iter().filter(|resource| kind_of(resource.kind) == "EksCluster") {
        // The cluster's own ARN says its region.
        let anywhere = Place { account: place.account.clone(), region: None };
        let named = resource.details.get("AwsEksCluster")?.get("Name")?;
        let is_arn = Arn::read(&resource.id, "eks")?.is_some();
        let arn = if is_arn { resource.id } else { resource.details.get("AwsEksCluster")?.get("Arn")? };
        let cluster = anywhere.cluster(&arn, &named)?;
        match cluster {
            Some(cluster) if !clusters.contains(&cluster) => clusters.push(cluster),
            Some(_) => {}
            None => notes.add("the finding does not say which cluster"),
        }
    }
    if clusters.len() > 1 {
        notes.add("the finding names several clusters, so whose its workloads are cannot be told");
        return Ok(None);
    }
    Ok(clusters.pop())
}

/// GuardDuty's Kubernetes details, which Security Hub keeps flat under `Details.Other`.
fn workload(resource: &Resource<'_>, cluster: Option<&Cluster>, found: &mut Found, notes: &mut Notes) -> Result<()> {
    let other = resource.details.get("Other")?;
    let Some(other) = other.section()? else { return Ok(()) };
    let field = |key: &'static str| -> Result<At<'_>> {
        let at = other.get(key)?;
        Ok(if at.text()? == Some("") { at.absent() } else { at })
    };
    let kind = field("kubernetesDetails/kubernetesWorkloadDetails/type")?.name::<WorkloadKind>()?;
    let namespace = field("kubernetesDetails/kubernetesWorkloadDetails/namespace")?.name::<Namespace>()?;
    let name = field("kubernetesDetails/kubernetesWorkloadDetails/name")?.name::<KubeName>()?;
    let uid = field("kubernetesDetails/kubernetesWorkloadDetails/uid")?.name()?;
    let user = field("kubernetesDetails/kubernetesUserDetails/username")?;
    let Some(cluster) = cluster else {
        if name.is_some() || user.is_present() {
            notes.add("the finding does not say which cluster");
        }
        return Ok(());
    };
    if let (Some(kind), Some(namespace), Some(name)) = (kind, namespace, name) {
        kube::add(&mut found.subjects, Some(kube::pod_or_workload(cluster, kind, namespace, name, uid)));
    }
    kube::add(&mut found.subjects, kube::user(&user, cluster)?);
    let impersonated = field("kubernetesDetails/kubernetesUserDetails/impersonatedUser/username")?;
    found.acted_as = impersonated.text()?.map(plain).or(found.acted_as.take());
    Ok(())
}

/// An instance, by its ARN, or by its id and region.
fn instance(resource: &Resource<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let at = &resource.id;
    let region = resource.region.name::<Region>()?;
    let (region, id): (_, InstanceId) = match Arn::read(at, "ec2")? {
        None => match at.text()? {
            None => {
                notes.add("the finding does not say which instance");
                return Ok(None);
            }
            Some(id) => (region.or_else(|| place.region.clone()), at.parse(id)?),
        },
        Some(arn) if arn.account != place.account => return Err(at.wrong("names another account than the finding")),
        Some(arn) => {
            let id =
                arn.resource.strip_prefix("instance/").ok_or_else(|| at.wrong("must be the ARN of an instance"))?;
            (agree([(*at, arn.region), (resource.region, region)])?, at.parse(id)?)
        }
    };
    let Some(region) = region else {
        notes.add("the finding does not say in which region the instance is");
        return Ok(None);
    };
    Ok(Some(Ec2Instance { account: place.account.clone(), region, id }.into()))
}

/// Whose key it is. The older `UserName` is that of a user; `PrincipalName` goes with a type ("AwsIamAccessKeyDetails").
fn access_key(resource: &Resource<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let details = resource.details.get("AwsIamAccessKey")?;
    if details.section()?.is_none() {
        notes.add("the finding does not name the caller");
        return Ok(None);
    }
    let account = details.get("AccountId")?;
    if account.name()?.is_some_and(|account| place.account != account) {
        return Err(account.wrong("is not the finding's account"));
    }
    let (named, older) = (details.get("PrincipalName")?, details.get("UserName")?);
    let kind = match details.get("PrincipalType")?.text()? {
        None if !named.is_present() => Some("IAMUser"),
        kind => kind,
    };
    let name = if named.is_present() { named } else { older };
    place.principal(kind, &name, &details.get("PrincipalId")?, notes)
}

fn robbed(resource: &Resource<'_>, place: &Place, notes: &mut Notes) -> Result<Option<Target>> {
    let details = resource.details.get("AwsIamAccessKey")?;
    // Only a role has sessions that EC2 names.
    if !matches!(details.get("PrincipalType")?.text()?, Some("AssumedRole" | "Role")) {
        return Ok(None);
    }
    let id = details.get("PrincipalId")?;
    Ok(match instance_session(&id)? {
        Some(session) => place.instance(id.parse(session)?, notes),
        None => None,
    })
}

fn image(resource: &Resource<'_>, cluster: Option<&Cluster>, notes: &mut Notes) -> Option<Target> {
    let text = resource.image.text().ok().flatten().filter(|text| !text.is_empty())?;
    let Ok(image) = text.parse::<ImageRef>() else {
        notes.add("the container's image is not an image reference");
        return None;
    };
    let Some(cluster) = cluster else {
        notes.add("the container runs outside a cluster");
        return None;
    };
    Some(Image { cluster: cluster.clone(), image }.into())
}
