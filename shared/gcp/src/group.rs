//! The managed instance group (MIG) that holds an instance.
//!
//! An instance says in its metadata `created-by` which group made it. That is a hint: whoever holds the instance's
//! service account may rewrite it, to point at another group or to hide that there is one. What counts is a group of
//! the instance's own project whose `listManagedInstances` holds the instance's **id**. So the hint is tried first, and
//! where it does not lead to the instance, the groups of its zone and region are asked. Sources: Compute Engine
//! "Managed instance groups: view info", REST reference `instanceGroupManagers.listManagedInstances`.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{
    Error, IncidentId, Kind, Result,
    names::{GceId, GceName, Location, ProjectId, Zone},
    target::GceInstance,
};

use crate::{
    api::GceApi,
    facts::{GceFacts, InstanceRef, Place},
    mark::next_order,
    wait,
};

/// How many groups are asked at once whether they hold an instance.
const AT_ONCE: usize = 8;

/// A group, by its full name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRef {
    /// The project: the instance's.
    pub project: ProjectId,
    /// Its zone or region.
    pub place: Place,
    /// Its name there.
    pub name: GceName,
}

impl GroupRef {
    /// `projects/P/zones/Z/instanceGroupManagers/G`.
    pub fn path(&self) -> String {
        format!("projects/{}/{}/instanceGroupManagers/{}", self.project, self.place.path(), self.name)
    }

    /// `zones/Z/instanceGroupManagers/G`, as an option takes it.
    pub fn short(&self) -> String {
        format!("{}/instanceGroupManagers/{}", self.place.path(), self.name)
    }

    /// `--zone=Z` or `--region=R`.
    pub fn flag(&self) -> String {
        match &self.place {
            Place::Zone(zone) => format!("--zone={zone}"),
            Place::Region(region) => format!("--region={region}"),
        }
    }

    /// `zones/Z/instanceGroupManagers/G`, from the end of a link or the whole of an option.
    pub fn parse(project: &ProjectId, text: &str) -> Option<Self> {
        let mut parts = text.rsplit('/');
        let (name, "instanceGroupManagers", place, kind) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        let place = match kind {
            "zones" => Place::Zone(place.parse().ok()?),
            "regions" if place.parse::<Zone>().is_err() => Place::Region(place.parse().ok()?),
            _ => return None,
        };
        Some(Self { project: project.clone(), place, name: name.parse().ok()? })
    }
}

/// A group and what it says of itself and of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Which group.
    pub group: GroupRef,
    /// How many members it wants to have.
    pub size: u64,
    /// An autoscaler decides the size.
    pub autoscaled: bool,
    /// What the group is doing with the instance: `NONE`, `ABANDONING`, `DELETING`, `RECREATING` …
    pub action: String,
}

impl Managed {
    /// What it is to the guard, which limits how much of a group may be lost at once.
    pub fn pool(&self) -> (String, usize) {
        (format!("mig/{}", self.group.short()), usize::try_from(self.size).unwrap_or(usize::MAX))
    }

    /// The group is already letting the instance go.
    pub fn is_leaving(&self) -> bool {
        matches!(self.action.as_str(), "ABANDONING" | "DELETING")
    }

    /// Why a responder that cuts an instance refuses a member: the group would replace it.
    pub fn in_service(&self, responder: &str, incident: &IncidentId, target: &GceInstance) -> Error {
        let next = next_order("gcp-release-instance", incident, target.clone().into());
        let why = format!(
            "it is in service in the managed group {}, which would replace it, and the evidence with it; take it out \
             first: {next} (or set even_if_managed)",
            self.group.name
        );
        Error::new(Kind::Refused, responder, why)
    }

    /// How many members, for the guard's limit on what a group may lose at once.
    pub fn members(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

/// The size of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many members it wants to have.
    pub target: u64,
    /// An autoscaler decides it.
    pub autoscaled: bool,
}

impl GceApi {
    /// The managed group that holds this very instance, if any.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn group(&self, target: &GceInstance, facts: &GceFacts) -> Result<Option<Managed>> {
        let hint = facts.created_by.as_deref().and_then(|text| GroupRef::parse(&target.project, text));
        if let Some(group) = &hint
            && near(target, group)
            && let Some(found) = self.held_by(group, &facts.id).await?
        {
            return Ok(Some(found));
        }
        let groups = self.groups(target).await?;
        let others = groups.iter().filter(|group| Some(*group) != hint.as_ref());
        let looks: Vec<_> = others.map(|group| self.held_by(group, &facts.id)).collect();
        let found = stream::iter(looks).buffered(AT_ONCE).try_filter_map(async |found| Ok(found));
        std::pin::pin!(found).try_next().await
    }

    /// The size of a group.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such group.
    pub async fn size(&self, group: &GroupRef) -> Result<Size> {
        const GET: &str = "compute.instanceGroupManagers.get";
        let found: Value = self.clients.compute.get(GET, &group.path()).await?;
        let target = found.get("targetSize").and_then(Value::as_u64);
        let target =
            target.ok_or_else(|| Error::new(Kind::Internal, GET, "the answer has no target size").on(group.path()))?;
        let autoscaler = found.pointer("/status/autoscaler").and_then(Value::as_str);
        Ok(Size { target, autoscaled: autoscaler.is_some_and(|it| !it.is_empty()) })
    }

    /// What a group is doing with an instance; `None` if it is not a member.
    pub(crate) async fn action(&self, group: &GroupRef, id: &GceId) -> Result<Option<String>> {
        // Authorised by the permission to get the group.
        const LIST: &str = "compute.instanceGroupManagers.listManagedInstances";
        let path = format!("{}/listManagedInstances", group.path());
        let action = |member: Value| {
            let text = |field: &str| member.get(field).and_then(Value::as_str);
            (text("id") == Some(id.as_str())).then(|| text("currentAction").unwrap_or("NONE").to_owned())
        };
        self.clients.compute.pages(Method::POST, LIST, &path, "managedInstances", action).await
    }

    async fn held_by(&self, group: &GroupRef, id: &GceId) -> Result<Option<Managed>> {
        let action = match self.action(group, id).await {
            Ok(Some(action)) => action,
            Ok(None) => return Ok(None),
            // The group of a forged hint, or one that is deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Size { target, autoscaled } = match self.size(group).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            answer => answer?,
        };
        Ok(Some(Managed { group: group.clone(), size: target, autoscaled, action }))
    }

    /// The managed groups that can hold an instance: those of its zone and of its region.
    async fn groups(&self, target: &GceInstance) -> Result<Vec<GroupRef>> {
        const LIST: &str = "compute.instanceGroupManagers.list";
        let project = &target.project;
        let read = async |place: Place| {
            let path = format!("projects/{project}/{}/instanceGroupManagers", place.path());
            let odd = || Error::new(Kind::Internal, LIST, "the answer has no valid name").on(&*path);
            let name = |item: &Value| item.get("name").and_then(Value::as_str).and_then(|name| name.parse().ok());
            let found = self.clients.compute.list(LIST, &path, "items").await?;
            let group = |item| {
                Ok(GroupRef { project: project.clone(), place: place.clone(), name: name(item).ok_or_else(odd)? })
            };
            found.iter().map(group).collect::<Result<Vec<_>>>()
        };
        let regional = async {
            match region(&target.zone) {
                Some(region) => read(Place::Region(region)).await,
                None => Ok(Vec::new()),
            }
        };
        let (mut all, regional) = futures::try_join!(read(Place::Zone(target.zone.clone())), regional)?;
        all.extend(regional);
        Ok(all)
    }

    /// Has a group let its member go, or delete it.
    pub(crate) async fn tell(&self, group: &GroupRef, vm: &InstanceRef, verb: Verb) -> Result<()> {
        // The group knows its members by name. That this name still is this instance was looked at a moment ago.
        let member = format!("zones/{}/instances/{}", vm.zone, vm.name);
        let (method, verb) = match verb {
            Verb::Abandon => ("compute.instanceGroupManagers.abandonInstances", "abandonInstances"),
            Verb::Delete => ("compute.instanceGroupManagers.deleteInstances", "deleteInstances"),
        };
        self.send(group, method, verb, Some(&json!({"instances": [member]}))).await
    }

    /// Sets the size of a group.
    pub(crate) async fn resize(&self, group: &GroupRef, size: u64) -> Result<()> {
        if i32::try_from(size).is_err() {
            return Err(Error::invalid("options.size", "must be below 2,147,483,648"));
        }
        self.send(group, "compute.instanceGroupManagers.resize", &format!("resize?size={size}"), None).await
    }

    async fn send(&self, group: &GroupRef, method: &str, verb: &str, body: Option<&Value>) -> Result<()> {
        let path = group.path();
        let first = self.clients.compute.post(method, &format!("{path}/{verb}"), body).await;
        let scope = format!("projects/{}/{}", group.project, group.place.path());
        wait::settled(self, &scope, method, &path, first).await
    }
}

/// What a group is told about its member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    /// Forget it.
    Abandon,
    /// Delete it, and make no other in its place.
    Delete,
}

/// The region of a zone: `europe-west1-b` is in `europe-west1`.
pub(crate) fn region(zone: &Zone) -> Option<Location> {
    zone.as_str().rsplit_once('-')?.0.parse().ok()
}

/// A group holds instances of its own zone or region only.
fn near(target: &GceInstance, group: &GroupRef) -> bool {
    match &group.place {
        Place::Zone(zone) => *zone == target.zone,
        Place::Region(place) => region(&target.zone).as_ref() == Some(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_from_the_end_of_a_link() {
        let project: ProjectId = "acme-prod".parse().expect("project");
        let link = "projects/123456789/zones/europe-west1-b/instanceGroupManagers/web";
        let group = GroupRef::parse(&project, link).expect("zonal");
        assert_eq!(group.path(), "projects/acme-prod/zones/europe-west1-b/instanceGroupManagers/web");
        let group = GroupRef::parse(&project, "regions/europe-west1/instanceGroupManagers/web").expect("regional");
        assert_eq!(group.flag(), "--region=europe-west1");
        for bad in [
            "",
            "web",
            "zones/europe-west1-b/instanceGroups/web",
            "regions/europe-west1-b/instanceGroupManagers/web",
            "zones/../instanceGroupManagers/web",
            "zones/europe-west1-b/instanceGroupManagers/web?x",
        ] {
            assert!(GroupRef::parse(&project, bad).is_none(), "{bad:?} is accepted");
        }
    }
}
