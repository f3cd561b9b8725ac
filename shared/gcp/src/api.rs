//! The look-ups that a plan gets. Nothing here that is public changes anything.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use stanch_core::{
    Error, Kind, Result,
    names::{GceId, GceName, ProjectId},
    target::GceInstance,
};

use crate::{
    clients::Clients,
    facts::{DiskRef, EncryptionKey, GceFacts, Metadata},
    key::{CsekKeys, DiskKey},
    rest::Service,
};

/// The look-ups of one order.
#[derive(Debug)]
pub struct GceApi {
    pub(crate) clients: Clients,
    /// Keys live here and nowhere else: a slot is recorded, this is not.
    keys: Mutex<CsekKeys>,
}

/// A disk as its own resource shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The numeric id, never used twice.
    pub id: GceId,
    /// A snapshot of it needs a key that only the customer has.
    pub needs_key: bool,
}

/// A snapshot as the service shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Snapshot {
    pub(crate) status: String,
    pub(crate) source_disk_id: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) creation_timestamp: String,
}

impl GceApi {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, keys: Mutex::default() }
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
        let facts = GceFacts::read(self.read("compute.instances.get", &path).await?, &path)?;
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
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown {
            id: Option<String>,
            #[serde(default)]
            disk_encryption_key: EncryptionKey,
        }
        const GET: &str = "compute.disks.get";
        let path = disk.path();
        let found: Shown = self.read(GET, &path).await?;
        let id = found.id.and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::new(Kind::Internal, GET, "the answer has no id").on(&*path))?;
        Ok(Disk { id, needs_key: found.disk_encryption_key.is_the_customers() })
    }

    /// What the metadata of a project says about OS Login, for instances whose own says nothing.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn os_login(&self, project: &ProjectId) -> Result<bool> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown {
            #[serde(default)]
            common_instance_metadata: Metadata,
        }
        let shown: Shown = self.read("compute.projects.get", &format!("projects/{project}")).await?;
        Ok(shown.common_instance_metadata.os_login().unwrap_or(false))
    }

    /// Lends the keys of an order for as long as it runs. One that is resumed must bring them again.
    pub fn lend_keys(&self, keys: &CsekKeys) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.clone();
    }

    pub(crate) fn key(&self, disk: &GceName) -> Option<DiskKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).of(disk).cloned()
    }

    /// A snapshot, if there is one of that name.
    pub(crate) async fn snapshot(&self, project: &ProjectId, name: &GceName) -> Result<Option<Snapshot>> {
        self.find("compute.snapshots.get", &format!("projects/{project}/global/snapshots/{name}")).await
    }

    /// Which of these we have on a resource of Compute Engine.
    pub(crate) async fn held(&self, path: &str, asked: &[&str]) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let body = json!({ "permissions": asked });
        let asking = format!("{path}/testIamPermissions");
        let answer = self.clients.rest.post(Service::Compute, "testIamPermissions", &asking, &body).await?;
        parse::<Answer>("testIamPermissions", &asking, answer).map(|answer| answer.permissions)
    }

    /// A resource of Compute Engine.
    pub(crate) async fn read<T: DeserializeOwned>(&self, operation: &str, path: &str) -> Result<T> {
        parse(operation, path, self.clients.rest.get(Service::Compute, operation, path).await?)
    }

    /// The same, if it is there.
    pub(crate) async fn find<T: DeserializeOwned>(&self, operation: &str, path: &str) -> Result<Option<T>> {
        match self.read(operation, path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(operation: &str, path: &str, answer: Value) -> Result<T> {
    let resource = path.split('?').next().unwrap_or(path);
    // The text of the error could repeat a value: metadata holds secrets.
    let odd = |_| Error::new(Kind::Internal, operation, "the answer does not have the documented form").on(resource);
    serde_json::from_value(answer).map_err(odd)
}
