//! Keeps a GCE instance and its disks from being deleted.
//!
//! - **What**: deletion protection of the instance; each persistent disk stays when the instance goes.
//! - **When**: first of all, beside the snapshots, on any alert that names a VM. Nothing on it notices or stops.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: none on the service; what is kept costs storage.
//! - **Undo**: each to what it was.
//!
//! Compute Engine refuses deletion protection for a member of a managed group: that part is left out and named, the disks
//! are kept all the same, and `gcp-release-instance` comes first. Protection stops nobody who may edit the instance.
//!
//! Sources: Compute Engine "Prevent accidental VM deletion", "Set the auto-delete state of a disk".

use serde::Deserialize;
use stanch_core::{
    Change, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target, Trigger,
    target::GceInstance,
};
use stanch_gcp::{DiskKind, GceApi, Gcp, InstanceRef, ProtectionSlot, next_order};

/// See the crate.
#[derive(Debug)]
pub struct GcpProtectInstance;

/// What it can be told: nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {}

impl Responder for GcpProtectInstance {
    const NAME: &'static str = "gcp-protect-instance";
    const ABOUT: &'static str = "Keeps a GCE instance and its disks from being deleted";
    const UNDO: &'static str = "each setting to its former value";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.setDeletionProtection"),
            Permission::Gcp("compute.instances.setDiskAutoDelete"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
        revert: &[
            Permission::Gcp("compute.instances.setDeletionProtection"),
            Permission::Gcp("compute.instances.setDiskAutoDelete"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[];
    const GENTLE: bool = true;

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = ProtectionSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<ProtectionSlot>> {
        let Scene { target, facts, mark, .. } = scene;
        let instance = InstanceRef::of(target, facts);
        let next = |responder| next_order(responder, &mark.incident, Target::from((*target).clone()));
        let (mut changes, mut left) = (Vec::new(), Vec::new());
        let managed = if facts.deletion_protection { None } else { api.group(target, facts).await? };
        match managed {
            Some(managed) => left.push(
                Remaining::new(format!(
                    "it can be deleted: it is in the managed group {}, and deletion protection is not for members",
                    managed.group.name
                ))
                .next(next("gcp-release-instance")),
            ),
            None => changes.push(Change {
                slot: ProtectionSlot::Instance(instance.clone()),
                before: facts.deletion_protection,
                after: true,
            }),
        }
        for disk in &facts.disks {
            match disk.disk {
                DiskKind::Persistent(_) => changes.push(Change {
                    slot: ProtectionSlot::Disk { instance: instance.clone(), device: disk.device.clone() },
                    before: !disk.auto_delete,
                    after: true,
                }),
                DiskKind::LocalSsd => left.push(Remaining::new(format!(
                    "local SSD {} is lost when the instance stops, whatever is set",
                    disk.device
                ))),
            }
        }
        left.push(
            Remaining::new("whoever may edit the instance can take the protection away")
                .next(next("gcp-snapshot-disks")),
        );
        Ok(Plan::empty().then(changes).leaving(left))
    }
}

#[cfg(test)]
mod tests;
