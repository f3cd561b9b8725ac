//! What keeps an instance and its disks from being deleted. Sources: Compute Engine "Prevent accidental VM deletion" (not
//! for members of managed groups), API reference `instances.setDeletionProtection`, `setDiskAutoDelete`.

use http::Method;
use serde::{Deserialize, Serialize};
use stanch_core::{Error, Kind, Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    facts::{InstanceRef, Shown},
    mark::quote,
    rest::query,
    tag::seen,
};

/// A place that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectionSlot {
    /// Whether the instance can be deleted.
    Instance(InstanceRef),
    /// Whether a disk goes with it.
    Disk {
        /// The instance.
        instance: InstanceRef,
        /// The name under which the guest finds the disk.
        device: String,
    },
}

impl ProtectionSlot {
    const fn instance(&self) -> &InstanceRef {
        match self {
            Self::Instance(instance) | Self::Disk { instance, .. } => instance,
        }
    }
}

impl Slot for ProtectionSlot {
    type Api = GceApi;
    /// Whether it is kept.
    type State = bool;
    type Token = ();

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        const GET: &str = "compute.instances.get";
        let shown: Shown = api.read(GET, &self.instance().path()).await?;
        let kept = match self {
            Self::Instance(_) => shown.deletion_protection,
            Self::Disk { device, .. } => match shown.device(device) {
                Some(disk) => !disk.auto_delete,
                None => {
                    let why = format!("the disk {device} is not attached any more");
                    return Err(Error::new(Kind::NotFound, GET, why).on(self.instance().named()));
                }
            },
        };
        Ok(seen(kept, (), Vec::new()))
    }

    async fn write(change: Recorded<'_, Self>, _seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        let (instance, kept) = (change.slot().instance().path(), *change.to());
        let (operation, path) = match change.slot() {
            Self::Instance(_) => (
                "compute.instances.setDeletionProtection",
                format!("{instance}/setDeletionProtection?deletionProtection={kept}"),
            ),
            Self::Disk { device, .. } => (
                "compute.instances.setDiskAutoDelete",
                format!("{instance}/setDiskAutoDelete?autoDelete={}&deviceName={}", !kept, query(device)),
            ),
        };
        api.clients.rest.operate(Method::POST, operation, &path, None).await
    }

    fn what(&self, kept: &bool) -> String {
        match (self, kept) {
            (Self::Instance(instance), true) => format!("protect {} from being deleted", instance.name),
            (Self::Instance(instance), false) => format!("let {} be deleted again", instance.name),
            (Self::Disk { instance, device }, true) => format!("keep the disk {device} when {} goes", instance.name),
            (Self::Disk { instance, device }, false) => format!("let the disk {device} go with {}", instance.name),
        }
    }

    fn command(&self, kept: &bool, _mark: &Mark) -> String {
        let words = self.instance().words();
        match self {
            Self::Instance(_) => {
                let no = if *kept { "" } else { "no-" };
                format!("gcloud compute instances update {words} --{no}deletion-protection")
            }
            Self::Disk { device, .. } => {
                let no = if *kept { "no-" } else { "" };
                let device = quote(&format!("--device-name={device}"));
                format!("gcloud compute instances set-disk-auto-delete {words} --{no}auto-delete {device}")
            }
        }
    }
}
