//! The managed instance group (MIG) that holds an instance.
//!
//! An instance says in its metadata `created-by` which group made it. That is a hint: whoever holds the instance's
//! service account may rewrite it, to point at another group or to hide that there is one. What counts is a group of
//! the instance's own project whose `listManagedInstances` holds the instance's **id**. So the hint is tried first, and
//! where it does not lead to the instance, the groups of its zone and region are asked. Sources: Compute Engine
//! "Managed instance groups: view info", REST reference `instanceGroupManagers.listManagedInstances`.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{
    Error, IncidentId, Kind, Result,
    names::{GceId, GceName, Location, ProjectId, Zone},
    target::GceInstance,
};

use crate::{
    api::GceApi,
    facts::{GceFacts, Place},
    mark::next_order,
    rest::Service,
};

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

    /// `--zone=Z` or `--region=R`.
    pub(crate) fn flag(&self) -> String {
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
        for group in self.groups(target).await? {
            if Some(&group) != hint.as_ref()
                && let Some(found) = self.held_by(&group, &facts.id).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The size of a group.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such group.
    pub async fn size(&self, group: &GroupRef) -> Result<Size> {
        const GET: &str = "compute.instanceGroupManagers.get";
        let found = self.clients.rest.get(Service::Compute, GET, &group.path()).await?;
        let size = found.get("targetSize").and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()));
        let target =
            size.ok_or_else(|| Error::new(Kind::Internal, GET, "the answer has no target size").on(group.path()))?;
        let autoscaled = found.pointer("/status/autoscaler").and_then(Value::as_str).is_some_and(|it| !it.is_empty());
        Ok(Size { target, autoscaled })
    }

    /// What a group is doing with an instance; `None` if it is not a member.
    pub(crate) async fn action(&self, group: &GroupRef, id: &GceId) -> Result<Option<String>> {
        // Authorised by the permission to get the group.
        const LIST: &str = "compute.instanceGroupManagers.listManagedInstances";
        let path = format!("{}/listManagedInstances", group.path());
        let members = self.clients.rest.list(Service::Compute, Method::POST, LIST, &path, "managedInstances").await?;
        let ours = |member: &&Value| member.get("id").and_then(Value::as_str) == Some(id.as_str());
        let action = |member: &Value| member.get("currentAction").and_then(Value::as_str).unwrap_or("NONE").to_owned();
        Ok(members.iter().find(ours).map(action))
    }

    async fn held_by(&self, group: &GroupRef, id: &GceId) -> Result<Option<Managed>> {
        let action = match self.action(group, id).await {
            Ok(Some(action)) => action,
            Ok(None) => return Ok(None),
            // The group of a forged hint, or one that is deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Size { target, autoscaled } = self.size(group).await?;
        Ok(Some(Managed { group: group.clone(), size: target, autoscaled, action }))
    }

    /// The managed groups that can hold an instance: those of its zone and of its region.
    async fn groups(&self, target: &GceInstance) -> Result<Vec<GroupRef>> {
        const LIST: &str = "compute.instanceGroupManagers.list";
        let mut all = Vec::new();
        let mut places = vec![Place::Zone(target.zone.clone())];
        places.extend(region(&target.zone).map(Place::Region));
        for place in places {
            let path = format!("projects/{}/{}/instanceGroupManagers", target.project, place.path());
            for item in self.clients.rest.list(Service::Compute, Method::GET, LIST, &path, "items").await? {
                let name = item.get("name").and_then(Value::as_str).and_then(|name| name.parse().ok());
                let name =
                    name.ok_or_else(|| Error::new(Kind::Internal, LIST, "the answer has no valid name").on(&*path))?;
                all.push(GroupRef { project: target.project.clone(), place: place.clone(), name });
            }
        }
        Ok(all)
    }
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
