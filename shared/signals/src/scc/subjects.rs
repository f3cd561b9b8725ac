//! Whom a finding accuses. Every detector has its own place for that, and each place is read wherever it is filled:
//!
//! | what | where |
//! |---|---|
//! | VM | `resourceName`, `resource.name` (with `displayName`), `sourceProperties`: `properties.instanceDetails`, `properties.{projectId, zone, instanceId, attempts[].vmName}`, `properties.gceInstanceId`, `affectedResources[].gcpResourceName` |
//! | node and its VM | `kubernetes.nodes[].name`, `sourceProperties.VM_Instance_Name` |
//! | cluster, and an object in it | `resourceName`, `resource.name` |
//! | pod, workload, service account | `kubernetes.pods[]`, `kubernetes.objects[]`, `sourceProperties.Pod_Namespace` and `Pod_Name` |
//! | image | Container Threat Detection only: `containers[].uri`, `sourceProperties.Container_Image_Uri` |
//! | Google service account | `resourceName`; the caller in `access` ([`crate::gcp::Caller`]) or `sourceProperties.properties.principalEmail` |
//!
//! What a binding or an access review names is the caller's choice, and is no subject. A resource of another cloud is
//! none either.

use stanch_core::{
    Result, Target,
    target::{Cluster, GcpServiceAccount},
};

use super::{
    kubernetes,
    name::{self, Cloud, Resource},
    owner::Owner,
    vm,
};
use crate::{
    Context,
    at::At,
    gcp::Caller,
    kube,
    text::{Notes, plain},
};

/// Objects of one kind that are read. A finding lists one record per container.
pub(super) const MAX_OBJECTS: usize = 100;

/// What a finding names.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) subjects: Vec<Target>,
    pub(super) acted_as: Option<String>,
}

/// A place that names a resource, and the resource.
pub(super) type Place<'a> = (At<'a>, Option<Resource>);

pub(super) fn read(
    finding: &At<'_>,
    resource: &At<'_>,
    properties: &At<'_>,
    context: &Context,
    notes: &mut Notes,
) -> Result<Found> {
    let (main, other) = (finding.get("resourceName")?, resource.get("name")?);
    let stated = Cloud::read(resource)?;
    let main: Place<'_> = (main, Resource::of_any_cloud(&main, stated)?);
    let other: Place<'_> = (other, Resource::of_any_cloud(&other, stated)?);
    agree(&main, &other)?;
    if let Some(cloud) = foreign([&main, &other], stated) {
        return elsewhere(cloud, finding, properties, notes);
    }
    let owner = Owner::read(resource)?;
    owner.must_own(&main)?;
    owner.must_own(&other)?;
    let cluster = cluster([&main, &other], &owner, context, notes);
    let scope = cluster.as_ref();

    let mut found = Found::default();
    let subjects = &mut found.subjects;
    for (at, place) in [&main, &other] {
        if let (Some(Resource::Cluster(_, Some(object))), Some(cluster)) = (place, scope) {
            kube::add(subjects, Some(kubernetes::target(object, cluster, at)?));
        }
    }
    kubernetes::objects(finding, properties, [&main, &other], scope, subjects, notes)?;
    if kubernetes::is_container_threat(finding, properties) {
        let image = kubernetes::image(finding, properties, scope, notes)?;
        kube::add(subjects, image);
    }
    kubernetes::nodes(finding, properties, [&main, &other], scope, &owner, subjects, notes)?;
    vm::add(subjects, [&main, &other], resource, properties, &owner, notes)?;
    if let Some(Resource::ServiceAccount(project, email)) = main.1.as_ref().or(other.1.as_ref())
        && let Some(project) = owner.resolve(project)
    {
        kube::add(subjects, Some(GcpServiceAccount { project, email: email.clone() }.into()));
    }
    caller(finding, properties, scope, context, &mut found, notes)?;
    if found.subjects.is_empty() {
        notes.add("the finding names nothing that a responder takes");
    }
    Ok(found)
}

/// The other cloud that the finding is about.
fn foreign(places: [&Place<'_>; 2], stated: Option<Cloud>) -> Option<Cloud> {
    let named = places.into_iter().find_map(|(_, place)| match place {
        Some(Resource::Foreign(cloud)) => Some(*cloud),
        _ => None,
    });
    named.or(stated).filter(|cloud| *cloud != Cloud::Google)
}

/// A finding about another cloud has no subject here: Security Command Center looks at that cloud from outside, and
/// does not say enough to act on. What it says of Google's beside that is a contradiction.
fn elsewhere(cloud: Cloud, finding: &At<'_>, properties: &At<'_>, notes: &mut Notes) -> Result<Found> {
    let vm = match vm::place(properties)? {
        None => kubernetes::node_vm(finding, properties)?,
        place => place,
    };
    if let Some(at) = vm {
        return Err(at.wrong("names a VM of Google's in a finding about another cloud"));
    }
    notes.add(match cloud {
        Cloud::Aws => "the resource is in AWS: wire GuardDuty or Security Hub to act on it",
        Cloud::Azure => "the resource is in Azure, where no responder acts: wire a detector of its own",
        Cloud::Google | Cloud::Unknown => "the resource is in another cloud: wire a detector of its own",
    });
    Ok(Found::default())
}

/// The authenticated caller, unless it is one of the subjects already.
fn caller(
    finding: &At<'_>,
    properties: &At<'_>,
    cluster: Option<&Cluster>,
    context: &Context,
    found: &mut Found,
    notes: &mut Notes,
) -> Result<()> {
    let (access, detail) = (finding.get("access")?, properties.get("properties")?);
    let (first, second) = (access.get("principalEmail")?, detail.get("principalEmail")?);
    if let (Some(one), Some(two)) = (first.text()?, second.text()?)
        && !one.is_empty()
        && !two.is_empty()
        && one != two
    {
        return Err(second.wrong(format!("disagrees with {}", first.path())));
    }
    let mut caller = Caller::read(&access)?;
    if caller.principal.is_none() {
        caller = Caller::read(&detail)?;
    }
    let target = caller.target(cluster, context, notes)?;
    kube::add(&mut found.subjects, target);
    found.acted_as = caller.acted_as.map(plain);
    Ok(())
}

/// The finding's resource and the notification's are the same one.
fn agree(main: &Place<'_>, other: &Place<'_>) -> Result<()> {
    let (Some(one), Some(two)) = (&main.1, &other.1) else { return Ok(()) };
    let same = match (one, two) {
        (Resource::Vm(one), Resource::Vm(two)) => one.clone().with(two).is_some(),
        (Resource::Cluster(one, object), Resource::Cluster(two, another)) => {
            one.clone().with(two).is_some() && (object == another || object.is_none() || another.is_none())
        }
        (Resource::ServiceAccount(one, email), Resource::ServiceAccount(two, another)) => {
            one.may_be(two) && email == another
        }
        // Neither is a subject, and the two need not be spelled alike.
        (Resource::Foreign(one), Resource::Foreign(another)) => one == another,
        (Resource::Other, Resource::Other) => same_but_for_project(&main.0, &other.0)?,
        _ => false,
    };
    if same { Ok(()) } else { Err(other.0.wrong(format!("disagrees with {}", main.0.path()))) }
}

/// Names of what no responder takes: equal, but one may spell a project by its number.
fn same_but_for_project(one: &At<'_>, other: &At<'_>) -> Result<bool> {
    let is_number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (one, other) = (one.text()?.unwrap_or_default(), other.text()?.unwrap_or_default());
    let mut before = "";
    Ok(one.split('/').count() == other.split('/').count()
        && one.split('/').zip(other.split('/')).all(|(one, other)| {
            let same = one == other || before == "projects" && is_number(one) != is_number(other);
            before = one;
            same
        }))
}

/// The cluster that the finding is in. A project that is told by its number only is found out from the notification,
/// else it is `STANCH_CLUSTER`, if the rest is the same.
fn cluster(places: [&Place<'_>; 2], owner: &Owner, context: &Context, notes: &mut Notes) -> Option<Cluster> {
    let mut found: Option<name::Cluster> = None;
    for (_, place) in places {
        if let Some(Resource::Cluster(cluster, _)) = place {
            found = match found {
                Some(first) => first.with(cluster),
                None => Some(cluster.clone()),
            };
        }
    }
    let name::Cluster { project, location, name } = found?;
    if let Some(project) = owner.resolve(&project) {
        return Some(Cluster::Gke { project, location, name });
    }
    let is_it = |it: &&Cluster| matches!(it, Cluster::Gke { location: place, name: own, .. } if *place == location && *own == name);
    let ours = context.cluster.as_ref().filter(is_it).cloned();
    if ours.is_none() {
        notes.add("the cluster's project is told by its number only");
    }
    ours
}
