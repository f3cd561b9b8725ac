//! What keeps an instance and its disks from being deleted. Sources: Compute Engine "Prevent accidental VM deletion" (not
//! for members of managed groups), API reference `instances.setDeletionProtection`, `setDiskAutoDelete`.

use serde::{Deserialize, Serialize};
use stanch_core::{Error, Kind, Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    facts::InstanceRef,
    mark::quote,
    power::{operate, read},
    tag::seen,
    wait,
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
        let instance = read(api, self.instance()).await?;
        let kept = match self {
            Self::Instance(_) => instance.deletion_protection.unwrap_or(false),
            Self::Disk { device, .. } => {
                let mut disks = instance.disks.iter();
                let disk =
                    disks.find(|disk| disk.device_name.as_deref() == Some(device.as_str())).ok_or_else(|| {
                        let why = format!("the disk {device} is not attached any more");
                        Error::new(Kind::NotFound, "compute.instances.get", why).on(self.instance().named())
                    })?;
                !disk.auto_delete.unwrap_or(false)
            }
        };
        Ok(seen(kept, (), Vec::new()))
    }

    async fn write(change: Recorded<'_, Self>, _seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        let kept = *change.to();
        match change.slot() {
            Self::Instance(vm) => {
                let (client, project, zone) = (api.clients.instances().await?, vm.project.as_str(), vm.zone.as_str());
                let call = client.set_deletion_protection().set_project(project).set_zone(zone);
                let first = call.set_resource(vm.id.as_str()).set_deletion_protection(kept).send().await;
                let method = "compute.instances.setDeletionProtection";
                wait::in_zone(api, vm, method, first).await
            }
            Self::Disk { instance, device } => operate!(
                api,
                instance,
                "compute.instances.setDiskAutoDelete",
                set_disk_auto_delete.set_auto_delete(!kept).set_device_name(device.as_str())
            ),
        }
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
