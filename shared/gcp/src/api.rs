//! The look-ups that a plan gets. Nothing here that is public changes anything.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use google_cloud_compute_v1::model;
use stanch_core::{
    Error, Kind, Result,
    names::{GceId, GceName, ProjectId, ServiceAccountEmail},
    target::GceInstance,
};

use crate::{
    account::{self, AccountFacts},
    clients::Clients,
    facts::{self, DiskRef, GceFacts, Place},
    fault,
    key::{CsekKeys, DiskKey},
};

/// The look-ups of one order.
#[derive(Debug)]
pub struct GceApi {
    pub(crate) clients: Arc<Clients>,
    /// Keys live here and nowhere else: a slot is recorded, this is not.
    keys: Mutex<CsekKeys>,
    revive: AtomicBool,
}

/// A disk as its own resource shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The numeric id, never used twice.
    pub id: GceId,
    /// A snapshot of it needs a key that only the customer has.
    pub needs_key: bool,
}

impl GceApi {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { clients, keys: Mutex::default(), revive: AtomicBool::new(false) }
    }

    /// A service account of a project.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the project has none of this address.
    pub async fn account(&self, project: &ProjectId, email: &ServiceAccountEmail) -> Result<AccountFacts> {
        account::find(&self.clients.iam, project, email).await
    }

    /// The instances of a project that run as an account, as `zone/name`.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn users(&self, project: &ProjectId, email: &ServiceAccountEmail) -> Result<Vec<String>> {
        account::users(self.clients.instances().await?, project, email).await
    }

    /// Whether the account is the one that we run as.
    pub async fn is_own(&self, email: &ServiceAccountEmail) -> bool {
        self.clients.own().await == Some(email)
    }

    /// Takes note that undoing may make old tokens valid again.
    pub fn lend_revive(&self, revive: bool) {
        self.revive.store(revive, Ordering::Relaxed);
    }

    pub(crate) fn may_revive(&self) -> bool {
        self.revive.load(Ordering::Relaxed)
    }

    /// The instance, by name, else by number: the path takes both (Compute Engine API: `instances.get`, pattern of
    /// `instance`).
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is gone, [`Kind::Conflict`] when another one has its name.
    pub async fn instance(&self, target: &GceInstance) -> Result<GceFacts> {
        let asked = match (&target.name, &target.id) {
            (Some(name), _) => name.as_str(),
            (None, Some(id)) => id.as_str(),
            (None, None) => return Err(Error::invalid("target", "must have a name or an id")),
        };
        let path = format!("projects/{}/zones/{}/instances/{asked}", target.project, target.zone);
        let found = self
            .clients
            .instances()
            .await?
            .get()
            .set_project(target.project.as_str())
            .set_zone(target.zone.as_str())
            .set_instance(asked)
            .send()
            .await
            .map_err(|error| fault::call("compute.instances.get", &path, &error))?;
        let facts = GceFacts::read(found, &path)?;
        if target.id.as_ref().is_some_and(|id| *id != facts.id) {
            let message =
                format!("another instance has this name now (id {}): the accused one was recreated", facts.id);
            return Err(Error::new(Kind::Conflict, "compute.instances.get", message).on(path));
        }
        Ok(facts)
    }

    /// A disk. The instance shows only its name.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn disk(&self, disk: &DiskRef) -> Result<Disk> {
        const GET: &str = "compute.disks.get";
        let (project, name) = (disk.project.as_str(), disk.name.as_str());
        let found = match &disk.place {
            Place::Zone(zone) => {
                let call = self.clients.disks().await?.get();
                call.set_project(project).set_zone(zone.as_str()).set_disk(name).send().await
            }
            Place::Region(region) => {
                let call = self.clients.region_disks().await?.get();
                call.set_project(project).set_region(region.as_str()).set_disk(name).send().await
            }
        }
        .map_err(|error| fault::call(GET, &disk.path(), &error))?;
        let id = found.id.and_then(|id| id.to_string().parse().ok());
        let id = id.ok_or_else(|| Error::new(Kind::Internal, GET, "the answer has no id").on(disk.path()))?;
        Ok(Disk { id, needs_key: facts::needs_key(found.disk_encryption_key.as_ref()) })
    }

    /// What the metadata of a project says about OS Login, for instances whose own says nothing.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn os_login(&self, project: &ProjectId) -> Result<bool> {
        let call = self.clients.projects().await?.get().set_project(project.as_str()).send();
        let found =
            call.await.map_err(|error| fault::call("compute.projects.get", &format!("projects/{project}"), &error))?;
        Ok(found.common_instance_metadata.as_ref().and_then(facts::os_login).unwrap_or(false))
    }

    /// Lends the keys of an order for as long as it runs. One that is resumed must bring them again.
    pub fn lend_keys(&self, keys: &CsekKeys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.clone();
    }

    pub(crate) fn key(&self, disk: &GceName) -> Option<DiskKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).of(disk).cloned()
    }

    /// A snapshot, if there is one of that name.
    pub(crate) async fn snapshot(&self, project: &ProjectId, name: &GceName) -> Result<Option<model::Snapshot>> {
        let call = self.clients.snapshots().await?.get().set_project(project.as_str()).set_snapshot(name.as_str());
        match call.send().await {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(error) => {
                let path = format!("projects/{project}/global/snapshots/{name}");
                let error = fault::call("compute.snapshots.get", &path, &error);
                if error.kind() == Kind::NotFound { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Which of these we have on the instance.
    pub(crate) async fn held_on_instance(
        &self,
        target: &GceInstance,
        name: &GceName,
        asked: &[&str],
    ) -> Result<Vec<String>> {
        let body = model::TestPermissionsRequest::new().set_permissions(asked.iter().copied());
        let call = self.clients.instances().await?.test_iam_permissions().set_body(body).set_resource(name.as_str());
        let answer = call.set_project(target.project.as_str()).set_zone(target.zone.as_str()).send().await;
        let path = format!("projects/{}/zones/{}/instances/{name}", target.project, target.zone);
        let answer = answer.map_err(|error| fault::call("compute.instances.testIamPermissions", &path, &error))?;
        Ok(answer.permissions)
    }

    /// Which of these we have on the disk.
    pub(crate) async fn held_on_disk(&self, disk: &DiskRef, asked: &[&str]) -> Result<Vec<String>> {
        let body = model::TestPermissionsRequest::new().set_permissions(asked.iter().copied());
        let (project, name) = (disk.project.as_str(), disk.name.as_str());
        let answer = match &disk.place {
            Place::Zone(zone) => {
                let call = self.clients.disks().await?.test_iam_permissions().set_body(body).set_resource(name);
                call.set_project(project).set_zone(zone.as_str()).send().await
            }
            Place::Region(region) => {
                let call = self.clients.region_disks().await?.test_iam_permissions().set_body(body).set_resource(name);
                call.set_project(project).set_region(region.as_str()).send().await
            }
        };
        let answer = answer.map_err(|error| fault::call("compute.disks.testIamPermissions", &disk.path(), &error))?;
        Ok(answer.permissions)
    }
}
