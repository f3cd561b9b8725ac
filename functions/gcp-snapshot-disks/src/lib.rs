//! Snapshots every persistent disk of a GCE instance.
//!
//! - **What**: one snapshot per disk, zonal or regional, boot disk included, all at once, with labels that name
//!   the incident and the record. It waits until Google has accepted them, or, with `wait`, until they are ready.
//! - **When**: first of all, on any alert that names a VM. The VM runs on and cannot notice.
//! - **Permissions**: [`Responder::NEEDS`]; `setLabels` because the labels are set at creation, the operations
//!   only to say why a snapshot failed (with `wait`).
//! - **Blast radius**: none on the service; storage costs. One set per instance and hour, whatever the incident.
//! - **Undo**: none. Evidence is deleted by a person.
//!
//! Not captured: memory, local SSDs (lost when the VM stops), and disks under a customer-supplied key (CSEK) that
//! was not given. Keys come with the order, are held while it runs and are never recorded: an order that is resumed
//! after a crash is sent again with them, or its change fails and names the option.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Trigger,
    names::GceName, target::GceInstance,
};
use stanch_gcp::{
    AttachedDisk, CsekKeys, DiskKind, DiskRef, GceApi, Gcp, GcpSlot, GcpState, SnapshotSlot, StorageLocation,
};

/// An instance has at most 128 disks (Compute Engine: "Persistent Disk limits"); eight look-ups at once plan them in
/// seconds and stay far from the rate quota.
const AT_ONCE: usize = 8;

/// See the crate.
#[derive(Debug)]
pub struct GcpSnapshotDisks;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    exclude_disks: Vec<GceName>,
    exclude_boot: bool,
    storage_location: Option<StorageLocation>,
    wait: bool,
    csek: CsekKeys,
}

impl Responder for GcpSnapshotDisks {
    const NAME: &'static str = "gcp-snapshot-disks";
    const ABOUT: &'static str = "Snapshots every persistent disk of a GCE instance";
    const UNDO: &'static str = "nothing: snapshots are evidence and are deleted by a person";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.disks.get"),
            Permission::Gcp("compute.snapshots.get"),
        ],
        apply: &[
            Permission::Gcp("compute.disks.createSnapshot"),
            Permission::Gcp("compute.snapshots.create"),
            Permission::Gcp("compute.snapshots.setLabels"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("compute.regionOperations.get"),
        ],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "exclude_disks", form: "list of disk names, []", about: "disks to leave out" },
        OptionDoc { name: "exclude_boot", form: "bool, false", about: "leave the boot disk out" },
        OptionDoc {
            name: "storage_location",
            form: "region or multi-region, near the disk",
            about: "where the snapshots are kept",
        },
        OptionDoc { name: "wait", form: "bool, false", about: "done only when the snapshots are ready" },
        OptionDoc {
            name: "csek",
            form: "map from disk name to base64 key, {}",
            about: "customer-supplied keys, raw or (better) wrapped with Google's RSA certificate; never recorded",
        },
    ];
    const COOL_DOWN: Option<Duration> = Some(Duration::from_hours(1));
    const GENTLE: bool = true;

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = GcpSlot;

    fn equip(api: &GceApi, options: &Options) {
        api.lend_keys(&options.csek);
    }

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<GcpSlot>> {
        let (chosen, mut remaining) = choose(scene)?;
        let looks: Vec<_> = chosen.into_iter().map(|disk| one(api, scene, disk)).collect();
        let planned: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let (mut changes, mut locked) = (Vec::new(), false);
        for found in planned {
            match found {
                Found::Ready(change, left) => {
                    changes.push(change);
                    remaining.extend(left);
                }
                Found::Locked(left) => {
                    locked = true;
                    remaining.push(left);
                }
                Found::Gone(left) => remaining.push(left),
            }
        }
        if changes.is_empty() && !locked {
            let why = "its disks are gone: it was deleted while it was looked at";
            return Err(Error::new(Kind::NotFound, Self::NAME, why).on(scene.facts.name.to_string()));
        }
        if changes.is_empty() {
            let why = "every disk that is left is encrypted with a customer-supplied key: give the keys with csek";
            return Err(Error::new(Kind::Unsupported, Self::NAME, why).on(scene.facts.name.to_string()));
        }
        if changes.len() > 1 {
            remaining
                .push(Remaining::new("the disks are captured one by one: each is crash-consistent, the set is not"));
        }
        Ok(Plan::empty().then(changes).leaving(remaining))
    }
}

/// The disks to capture, and what is left of the others.
fn choose<'a>(scene: &Scene<'a, GcpSnapshotDisks>) -> Result<(Vec<&'a DiskRef>, Vec<Remaining>)> {
    let Options { exclude_disks, exclude_boot, .. } = scene.options;
    let (mut chosen, mut remaining, mut persistent) = (Vec::new(), Vec::new(), 0_usize);
    for attached in &scene.facts.disks {
        match &attached.disk {
            DiskKind::LocalSsd => remaining.push(local_ssd(attached)),
            DiskKind::Persistent(disk) => {
                persistent += 1;
                let excluded = exclude_disks.contains(&disk.name) || (*exclude_boot && attached.boot);
                if excluded {
                    remaining.push(Remaining::new(format!("disk {} is not captured: excluded by option", disk.name)));
                } else {
                    chosen.push(disk);
                }
            }
        }
    }
    if persistent == 0 {
        let why = "the instance has no persistent disk: copy its local SSDs from the inside before it stops";
        return Err(Error::new(Kind::Unsupported, GcpSnapshotDisks::NAME, why).on(scene.facts.name.to_string()));
    }
    if chosen.is_empty() {
        return Err(Error::invalid("options.exclude_disks", "must leave a disk: with exclude_boot it excludes all"));
    }
    Ok((chosen, remaining))
}

fn local_ssd(attached: &AttachedDisk) -> Remaining {
    let size = attached.size_gb.map_or(String::new(), |size| format!(" ({size} GB)"));
    let what = format!("local SSD {}{size} is not captured: no snapshot of it can be taken", attached.device);
    Remaining::new(what).next("copy it from the inside before the VM stops, which loses it")
}

/// What can be done about one disk, and what is left of it.
enum Found {
    Ready(Change<GcpSlot>, Option<Remaining>),
    /// Its key was not given.
    Locked(Remaining),
    Gone(Remaining),
}

async fn one(api: &GceApi, scene: &Scene<'_, GcpSnapshotDisks>, disk: &DiskRef) -> Result<Found> {
    let found = match api.disk(disk).await {
        Ok(found) => found,
        Err(error) if error.kind() == Kind::NotFound => {
            return Ok(Found::Gone(Remaining::new(format!("disk {} is gone: not captured", disk.name))));
        }
        Err(error) => return Err(error),
    };
    let mut slot = SnapshotSlot::new(disk.clone(), found.id, scene.mark)?;
    slot.storage_location = scene.options.storage_location.clone();
    slot.wait = scene.options.wait;
    slot.csek = found.needs_key;
    let slot = GcpSlot::Snapshot(slot);

    let (before, left) = match slot.look(api, scene.mark).await {
        Ok(seen) => (seen.state, None),
        // A planted snapshot must not keep the other disks from being captured: this change alone will fail.
        Err(error) if error.kind() == Kind::Conflict => {
            (GcpState::Snapshot { taken: false }, Some(Remaining::new(error.to_string())))
        }
        Err(error) => return Err(error),
    };
    let after = GcpState::Snapshot { taken: true };
    if found.needs_key && before != after && scene.options.csek.of(&disk.name).is_none() {
        let what = format!("disk {} is encrypted with a customer-supplied key: not captured", disk.name);
        let next = format!("send the order again with the option csek: {{\"{}\": \"<key in base64>\"}}", disk.name);
        return Ok(Found::Locked(Remaining::new(what).next(next)));
    }
    Ok(Found::Ready(Change { slot, before, after }, left))
}

#[cfg(test)]
mod tests;
