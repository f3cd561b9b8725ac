//! Full resource names ("Google Cloud: Full resource names", "Cloud Asset Inventory: asset names"): those of VMs,
//! clusters, Kubernetes objects and service accounts are read strictly, others are none of ours. A finding about a
//! resource of another cloud names it as it likes ("Security Command Center API: Finding", `resourceName`).

use stanch_core::{
    Result,
    names::{GceId, GceName, GkeName, KubeName, Location, Namespace, ProjectId, ServiceAccountEmail, Zone},
    target,
};

use crate::{at::At, kube};

/// A project, by its id or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Project {
    Id(ProjectId),
    Number(String),
}

/// What a full resource name names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Vm(Vm),
    Cluster(Cluster, Option<Object>),
    ServiceAccount(Project, ServiceAccountEmail),
    Foreign(Cloud),
    Other,
}

/// Whose resource it is ("Security Command Center API: CloudProvider").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    Google,
    Aws,
    Azure,
    /// One that came to Security Command Center after this was written.
    Unknown,
}

impl Cloud {
    /// What the notification's resource says.
    pub(super) fn read(resource: &At<'_>) -> Result<Option<Self>> {
        Ok(match resource.get_one_of(["cloudProvider", "cloud_provider"])?.text()? {
            None | Some("" | "CLOUD_PROVIDER_UNSPECIFIED") => None,
            Some("GOOGLE_CLOUD_PLATFORM") => Some(Self::Google),
            Some("AMAZON_WEB_SERVICES") => Some(Self::Aws),
            Some("MICROSOFT_AZURE") => Some(Self::Azure),
            Some(_) => Some(Self::Unknown),
        })
    }

    /// What a name says by its form: an ARN, or the id of Azure's Resource Manager.
    fn of_name(text: &str) -> Option<Self> {
        let azure = text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"));
        if text.starts_with("arn:") { Some(Self::Aws) } else { azure.then_some(Self::Azure) }
    }
}

/// A Compute Engine instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vm {
    pub(super) project: Project,
    pub(super) zone: Zone,
    pub(super) name: Option<GceName>,
    pub(super) id: Option<GceId>,
}

/// A GKE cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) project: Project,
    pub(super) location: Location,
    pub(super) name: GkeName,
}

/// An object in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Node(KubeName),
    /// Resource, namespace and name: `pods`, `deployments`, `serviceaccounts` …
    Namespaced(String, Namespace, KubeName),
}

impl Object {
    /// Are both of one kind?
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Node(_), Self::Node(_)) => true,
            (Self::Namespaced(one, ..), Self::Namespaced(other, ..)) => one == other,
            _ => false,
        }
    }
}

impl Resource {
    /// What a finding is about: a full resource name, or the name of another cloud's resource.
    pub(super) fn of_any_cloud(at: &At<'_>, stated: Option<Cloud>) -> Result<Option<Self>> {
        let Some(text) = at.text()? else { return Ok(None) };
        match (stated, Cloud::of_name(text)) {
            (None, Some(cloud)) => Ok(Some(Self::Foreign(cloud))),
            (None | Some(Cloud::Google), _) => Self::read(at),
            (Some(stated), Some(cloud)) if cloud != stated => {
                Err(at.wrong("is not of the cloud that cloudProvider says"))
            }
            (Some(stated), _) => {
                if text.starts_with("//") && Self::read(at)? != Some(Self::Other) {
                    return Err(at.wrong("is one of Google's, which cloudProvider does not say"));
                }
                Ok(Some(Self::Foreign(stated)))
            }
        }
    }

    /// The resource of `//SERVICE/PATH`; nothing where there is no text.
    pub(super) fn read(at: &At<'_>) -> Result<Option<Self>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let Some((service, path)) = text.strip_prefix("//").and_then(|rest| rest.split_once('/')) else {
            return Err(at.wrong("must be a full resource name: //SERVICE/PATH"));
        };
        let ours = ["compute.googleapis.com", "container.googleapis.com", "iam.googleapis.com"].contains(&service);
        if !ours {
            return Ok(Some(Self::Other));
        }
        let parts: Vec<_> = path.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(at.wrong("must be a path without empty and dot segments"));
        }
        Ok(Some(match (service, parts.as_slice()) {
            ("compute.googleapis.com", ["projects", project, "zones", zone, "instances", instance]) => {
                Self::Vm(Vm::of(at, project, zone, instance)?)
            }
            (
                "container.googleapis.com",
                ["projects", project, "zones" | "locations" | "regions", location, "clusters", name, rest @ ..],
            ) => {
                let cluster = Cluster {
                    project: Project::of(at, project)?,
                    location: at.parse(location)?,
                    name: at.parse(name)?,
                };
                Self::Cluster(cluster, Object::of(at, rest)?)
            }
            ("iam.googleapis.com", ["projects", project, "serviceAccounts", account, ..]) if account.contains('@') => {
                Self::ServiceAccount(Project::of(at, project)?, at.parse(account)?)
            }
            _ => Self::Other,
        }))
    }
}

impl Project {
    pub(super) fn of(at: &At<'_>, text: &str) -> Result<Self> {
        if text.bytes().all(|c| c.is_ascii_digit()) && !text.is_empty() {
            return Ok(Self::Number(text.to_owned()));
        }
        at.parse(text).map(Self::Id)
    }

    /// Could both be the same project? A number and an id could.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Id(one), Self::Id(other)) => one == other,
            (Self::Number(one), Self::Number(other)) => one == other,
            _ => true,
        }
    }
}

impl Vm {
    /// `[/]projects/P/zones/Z/instances/I`, as Event Threat Detection writes it.
    pub(super) fn details(at: &At<'_>) -> Result<Option<Self>> {
        let Some(text) = at.text()?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let text = text.strip_prefix("//compute.googleapis.com").unwrap_or(text);
        let parts: Vec<_> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
        let ["projects", project, "zones", zone, "instances", instance] = parts.as_slice() else {
            return Err(at.wrong("must be projects/PROJECT/zones/ZONE/instances/INSTANCE"));
        };
        Self::of(at, project, zone, instance).map(Some)
    }

    pub(super) fn of(at: &At<'_>, project: &str, zone: &str, instance: &str) -> Result<Self> {
        let (mut name, mut id) = (None, None);
        if instance.bytes().all(|c| c.is_ascii_digit()) {
            id = Some(at.parse(instance)?);
        } else {
            name = Some(at.parse(instance)?);
        }
        Ok(Self { project: Project::of(at, project)?, zone: at.parse(zone)?, name, id })
    }

    /// What two places say together, unless they contradict each other.
    pub(super) fn with(self, other: &Self) -> Option<Self> {
        fn both<T: Clone + PartialEq>(one: Option<T>, other: Option<&T>) -> Result<Option<T>, ()> {
            match (one, other) {
                (Some(one), Some(other)) if one != *other => Err(()),
                (Some(one), _) => Ok(Some(one)),
                (None, other) => Ok(other.cloned()),
            }
        }
        if !self.project.may_be(&other.project) || self.zone != other.zone {
            return None;
        }
        let project = match (&self.project, &other.project) {
            (Project::Number(_), Project::Id(_)) => other.project.clone(),
            _ => self.project,
        };
        let name = both(self.name, other.name.as_ref()).ok()?;
        let id = both(self.id, other.id.as_ref()).ok()?;
        Some(Self { project, zone: self.zone, name, id })
    }

    /// Can it be in the project of a cluster, as its nodes are? A number could be any project's.
    pub(super) fn is_in_project_of(&self, cluster: &target::Cluster) -> bool {
        match (&self.project, cluster) {
            (Project::Id(own), target::Cluster::Gke { project, .. }) => own == project,
            _ => true,
        }
    }
}

impl Cluster {
    /// What two places say together, unless they contradict each other.
    pub(super) fn with(self, other: &Self) -> Option<Self> {
        if !self.project.may_be(&other.project) || self.location != other.location || self.name != other.name {
            return None;
        }
        let project = match (&self.project, &other.project) {
            (Project::Number(_), Project::Id(_)) => other.project.clone(),
            _ => self.project,
        };
        Some(Self { project, ..self })
    }
}

impl Object {
    /// `k8s/nodes/N`, `k8s/namespaces/NS/pods/P`, `k8s/namespaces/NS/apps/deployments/D` …
    fn of(at: &At<'_>, parts: &[&str]) -> Result<Option<Self>> {
        let object = match parts {
            ["k8s", "nodes", name] => Self::Node(at.parse(name)?),
            ["k8s", "namespaces", namespace, group @ .., resource, name]
                if group.len() <= 2
                    && kube::is_own(group.first().copied())
                    && (["pods", "serviceaccounts"].contains(resource) || kube::WORKLOADS.contains(resource)) =>
            {
                Self::Namespaced((*resource).to_owned(), at.parse(namespace)?, at.parse(name)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(object))
    }
}
