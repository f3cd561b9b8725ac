//! Deletes a GCE instance whose disks were captured.
//!
//! - **What**: `deleteInstances` of the managed group that has it, which then does not heal it; else `instances.delete`.
//!   Both by the instance's own id: a successor of the same name is never hit.
//! - **When**: last of all, when the evidence is safe and a clean successor runs.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: the instance, its memory, its local SSDs, and the disks that are deleted with it. Refused unless
//!   a snapshot of this incident is ready for **every** persistent disk, and while deletion protection is on.
//! - **Undo**: none.
//!
//! Sources: Google Cloud "Mitigate security incidents" (GKE); Compute Engine "Delete instances", "Prevent accidental
//! VM deletion", `instanceGroupManagers.deleteInstances`.

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Trigger,
    target::GceInstance,
};
use stanch_gcp::{Captured, DiskKind, GceApi, GceFacts, GcpOrGone, InstanceRef, MembershipSlot, MembershipState};

/// See the crate.
#[derive(Debug)]
pub struct GcpDeleteInstance;

/// What it can be told: nothing. What it needs first cannot be waived.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {}

impl Responder for GcpDeleteInstance {
    const NAME: &'static str = "gcp-delete-instance";
    const ABOUT: &'static str = "Deletes a GCE instance whose disks were captured";
    const UNDO: &'static str = "nothing: a deleted instance does not come back";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
            Permission::Gcp("compute.disks.get"),
            Permission::Gcp("compute.snapshots.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.delete"),
            Permission::Gcp("compute.instanceGroupManagers.update"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("compute.regionOperations.get"),
        ],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[];

    type Cloud = GcpOrGone;
    type Target = GceInstance;
    type Options = Options;
    type Slot = MembershipSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<MembershipSlot>> {
        let target = scene.target;
        let Some(facts) = scene.facts else { return Ok(Plan::empty()) };
        let vm = InstanceRef::of(target, facts);
        let managed = api.group(target, facts).await?;
        let group = managed.as_ref().map(|managed| managed.group.clone());
        let slot = MembershipSlot::Exists { vm, group };
        // What was read before the ledger was may be old: another run may have deleted it in between.
        let before = slot.look(api, scene.mark).await?.state;
        let after = MembershipState::Exists(false);
        if before == after {
            return Ok(Plan::empty());
        }
        if facts.deletion_protection {
            let why = "deletion protection is on: take it off first (gcp-protect-instance revert, if it was us)";
            return Err(Error::refused(why).on(facts.name.as_str()));
        }
        let captured = match api.captured(&facts.disks, &scene.mark.incident).await {
            // Another run may delete the instance between these looks, and its disks with it.
            Err(error) if error.kind() == Kind::NotFound && slot.look(api, scene.mark).await?.state == after => {
                return Ok(Plan::empty());
            }
            answer => answer?,
        };
        let missing: Vec<_> = captured.iter().filter(|(_, how)| *how != Captured::Ready).collect();
        if captured.is_empty() || !missing.is_empty() {
            return Err(uncaptured(scene, facts, &missing));
        }
        let change = Change { slot, before, after };
        let plan = Plan::empty()
            .then([change])
            .leaving(lost(facts))
            .leaving([Remaining::new("what its service account can do, and tokens that exist, outlive it")
                .next(account(target, facts))]);
        Ok(match managed.map(|managed| managed.pool()) {
            Some((name, size)) => plan.of(name, size),
            None => plan,
        })
    }
}

fn uncaptured(
    scene: &Scene<'_, GcpDeleteInstance>,
    facts: &GceFacts,
    missing: &[&(stanch_gcp::DiskRef, Captured)],
) -> Error {
    let target = scene.target;
    let next = format!(
        "gcp-snapshot-disks apply --incident {} --project {} --zone {} --name {} --id {} --set wait=true",
        scene.mark.incident, target.project, target.zone, facts.name, facts.id
    );
    let what = match missing {
        [] => "nothing of it can be captured: it has no persistent disk".to_owned(),
        some => {
            let state = |how: &Captured| if *how == Captured::No { "not captured" } else { "not ready" };
            let one = |(disk, how): &&(stanch_gcp::DiskRef, Captured)| format!("{} is {}", disk.name, state(how));
            format!("{}; run `{next}` first", some.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    };
    Error::refused(format!("a snapshot of this incident must be ready for every disk: {what}")).on(facts.name.as_str())
}

/// What goes with it, and what stays.
fn lost(facts: &GceFacts) -> Vec<Remaining> {
    let mut left = vec![Remaining::new("its memory is lost")];
    for attached in &facts.disks {
        left.push(Remaining::new(match &attached.disk {
            DiskKind::LocalSsd => format!("local SSD {} is lost: no snapshot of it can be taken", attached.device),
            DiskKind::Persistent(disk) if attached.auto_delete => {
                format!("disk {} is deleted with it; its snapshot stays", disk.name)
            }
            DiskKind::Persistent(disk) => format!("disk {} stays, and costs", disk.name),
        }));
    }
    left
}

fn account(target: &GceInstance, facts: &GceFacts) -> String {
    match &facts.service_account {
        Some(email) => format!("gcp-contain-service-account apply --project {} --email {email}", target.project),
        None => "nothing: it has no service account".to_owned(),
    }
}

#[cfg(test)]
mod tests;
