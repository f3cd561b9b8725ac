//! The managed instance group (MIG) that holds an instance.
//!
//! An instance says in its metadata `created-by` which group made it. That is a hint: whoever holds the instance's
//! service account may rewrite it, to point at another group or to hide that there is one. What counts is a group of
//! the instance's own project whose `listManagedInstances` holds the instance's **id**. So the hint is tried first, and
//! where it does not lead to the instance, the groups of its zone and region are asked. Sources: Compute Engine
//! "Managed instance groups: view info", REST reference `instanceGroupManagers.listManagedInstances`.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use google_cloud_compute_v1::model::{self, ManagedInstance};
use google_cloud_gax::paginator::ItemPaginator as _;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, IncidentId, Kind, Result,
    names::{GceId, GceName, Location, ProjectId, Zone},
    target::GceInstance,
};

use crate::{
    api::GceApi,
    facts::{GceFacts, InstanceRef, Place},
    fault,
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
        let (project, name) = (group.project.as_str(), group.name.as_str());
        let found = match &group.place {
            Place::Zone(zone) => {
                let call = self.clients.zonal_groups().await?.get().set_project(project).set_zone(zone.as_str());
                call.set_instance_group_manager(name).send().await
            }
            Place::Region(region) => {
                let call = self.clients.regional_groups().await?.get().set_project(project).set_region(region.as_str());
                call.set_instance_group_manager(name).send().await
            }
        }
        .map_err(|error| fault::call(GET, &group.path(), &error))?;
        let target = found.target_size.and_then(|size| u64::try_from(size).ok());
        let target =
            target.ok_or_else(|| Error::new(Kind::Internal, GET, "the answer has no target size").on(group.path()))?;
        let autoscaler = found.status.and_then(|status| status.autoscaler);
        Ok(Size { target, autoscaled: autoscaler.is_some_and(|it| !it.is_empty()) })
    }

    /// What a group is doing with an instance; `None` if it is not a member.
    pub(crate) async fn action(&self, group: &GroupRef, id: &GceId) -> Result<Option<String>> {
        // Authorised by the permission to get the group.
        const LIST: &str = "compute.instanceGroupManagers.listManagedInstances";
        let id = id.as_str().parse::<u64>().ok();
        let action = |member: ManagedInstance| member.current_action.map_or("NONE".to_owned(), |one| one.to_string());
        let failed = |error| fault::call(LIST, &group.path(), &error);
        let (project, name) = (group.project.as_str(), group.name.as_str());
        macro_rules! find {
            ($call:expr) => {{
                let mut members = $call.set_project(project).set_instance_group_manager(name).by_item();
                while let Some(member) = members.next().await {
                    let member = member.map_err(failed)?;
                    if member.id.is_some() && member.id == id {
                        return Ok(Some(action(member)));
                    }
                }
                Ok(None)
            }};
        }
        let clients = &self.clients;
        match &group.place {
            Place::Zone(zone) => find!(clients.zonal_groups().await?.list_managed_instances().set_zone(zone.as_str())),
            Place::Region(region) => {
                find!(clients.regional_groups().await?.list_managed_instances().set_region(region.as_str()))
            }
        }
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
        let (project, zone, clients) = (&target.project, &target.zone, &self.clients);
        macro_rules! read {
            ($place:expr, $call:expr) => {{
                let (place, mut all): (Place, Vec<GroupRef>) = ($place, Vec::new());
                let path = format!("projects/{project}/{}/instanceGroupManagers", place.path());
                let mut items = $call.set_project(project.as_str()).by_item();
                while let Some(item) = items.next().await {
                    let item = item.map_err(|error| fault::call(LIST, &path, &error))?;
                    let odd = || Error::new(Kind::Internal, LIST, "the answer has no valid name").on(&*path);
                    let name = item.name.and_then(|name| name.parse().ok()).ok_or_else(odd)?;
                    all.push(GroupRef { project: project.clone(), place: place.clone(), name });
                }
                Ok::<_, Error>(all)
            }};
        }
        let zonal = async {
            let call = clients.zonal_groups().await?.list().set_zone(zone.as_str());
            read!(Place::Zone(zone.clone()), call)
        };
        let regional = async {
            let Some(region) = region(zone) else { return Ok(Vec::new()) };
            let call = clients.regional_groups().await?.list().set_region(region.as_str());
            read!(Place::Region(region), call)
        };
        let (mut all, regional) = futures::try_join!(zonal, regional)?;
        all.extend(regional);
        Ok(all)
    }

    /// Has a group let its member go, or delete it.
    pub(crate) async fn tell(&self, group: &GroupRef, vm: &InstanceRef, verb: Verb) -> Result<()> {
        // The group knows its members by name. That this name still is this instance was looked at a moment ago.
        let member = format!("zones/{}/instances/{}", vm.zone, vm.name);
        let (project, name) = (group.project.as_str(), group.name.as_str());
        let operation = match verb {
            Verb::Abandon => "compute.instanceGroupManagers.abandonInstances",
            Verb::Delete => "compute.instanceGroupManagers.deleteInstances",
        };
        macro_rules! send {
            ($client:expr, $wait:ident, $set:ident, $place:expr, $Abandon:ident, $Delete:ident) => {{
                let client = $client;
                let first = match verb {
                    Verb::Abandon => {
                        let body = model::$Abandon::new().set_instances([member]);
                        let call = client.abandon_instances().set_project(project).$set($place.as_str()).set_body(body);
                        call.set_instance_group_manager(name).send().await
                    }
                    Verb::Delete => {
                        let body = model::$Delete::new().set_instances([member]);
                        let call = client.delete_instances().set_project(project).$set($place.as_str()).set_body(body);
                        call.set_instance_group_manager(name).send().await
                    }
                };
                wait::$wait(self, (&group.project, $place), operation, &group.path(), first).await
            }};
        }
        match &group.place {
            Place::Zone(zone) => send!(
                self.clients.zonal_groups().await?,
                in_zone,
                set_zone,
                zone,
                InstanceGroupManagersAbandonInstancesRequest,
                InstanceGroupManagersDeleteInstancesRequest
            ),
            Place::Region(region) => send!(
                self.clients.regional_groups().await?,
                in_region,
                set_region,
                region,
                RegionInstanceGroupManagersAbandonInstancesRequest,
                RegionInstanceGroupManagersDeleteInstancesRequest
            ),
        }
    }

    /// Sets the size of a group.
    pub(crate) async fn resize(&self, group: &GroupRef, size: u64) -> Result<()> {
        const RESIZE: &str = "compute.instanceGroupManagers.resize";
        let (project, name) = (group.project.as_str(), group.name.as_str());
        let size = i32::try_from(size).map_err(|_| Error::invalid("options.size", "must be below 2,147,483,648"))?;
        macro_rules! send {
            ($client:expr, $wait:ident, $set:ident, $place:expr) => {{
                let client = $client;
                let call = client.resize().set_project(project).$set($place.as_str()).set_size(size);
                let first = call.set_instance_group_manager(name).send().await;
                wait::$wait(self, (&group.project, $place), RESIZE, &group.path(), first).await
            }};
        }
        match &group.place {
            Place::Zone(zone) => send!(self.clients.zonal_groups().await?, in_zone, set_zone, zone),
            Place::Region(region) => send!(self.clients.regional_groups().await?, in_region, set_region, region),
        }
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
