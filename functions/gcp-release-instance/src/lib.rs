//! Takes a GCE instance out of its managed instance group.
//!
//! - **What**: `abandonInstances` on the group that manages it, zonal or regional: the instance runs on, the group
//!   forgets it and its load balancer stops sending. With `replace_capacity` the group is then resized to what it was,
//!   and makes a new one.
//! - **When**: before anything that cuts or stops the instance: its group would heal it away, and the evidence with it.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: the group is smaller by one.
//! - **Undo**: none, irreversible: an instance cannot be taken back into a managed group, and a group that is made
//!   smaller would choose itself which instance it deletes.
//!
//! Which group it is, the instance says in its metadata, which its own account can rewrite. Only a group of the same
//! project that lists this instance's id is acted on. A name in the group that belongs to another instance by now is
//! left alone.
//!
//! Sources: Google Cloud "Mitigate security incidents" (GKE); Compute Engine "Abandon instances",
//! `instanceGroupManagers.abandonInstances`.

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::GceInstance,
};
use stanch_gcp::{GceApi, Gcp, InstanceRef, MembershipSlot, MembershipState};

/// See the crate.
#[derive(Debug)]
pub struct GcpReleaseInstance;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    replace_capacity: bool,
}

impl Responder for GcpReleaseInstance {
    const NAME: &'static str = "gcp-release-instance";
    const ABOUT: &'static str = "Takes a GCE instance out of its managed instance group";
    const UNDO: &'static str = "nothing: an instance cannot be taken back into a managed group";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instanceGroupManagers.update"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("compute.regionOperations.get"),
        ],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "replace_capacity",
        form: "bool, false",
        about: "let the group make a new instance in its place",
    }];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = MembershipSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<MembershipSlot>> {
        let (target, facts) = (scene.target, scene.facts);
        if facts.is_autopilot() {
            let why = "Autopilot manages its nodes: contain the pod with k8s-isolate-pod and k8s-cordon-node";
            return Err(Error::new(Kind::Unsupported, Self::NAME, why).on(facts.name.as_str()));
        }
        let order = |responder: &str| {
            format!(
                "{responder} apply --incident {} --project {} --zone {} --name {} --id {}",
                scene.mark.incident, target.project, target.zone, facts.name, facts.id
            )
        };
        let after = [
            Remaining::new("the instance runs on, and can be deleted").next(order("gcp-protect-instance")),
            Remaining::new("its network and its service account are as they were").next(order("gcp-isolate-instance")),
        ];
        let Some(managed) = api.group(target, facts).await?.filter(|managed| !managed.is_leaving()) else {
            let hint = facts.created_by.is_some().then(|| {
                let what =
                    "its metadata names a group that does not manage it: it was released before, or the name is forged";
                Remaining::new(what)
            });
            return Ok(Plan::empty().leaving(hint).leaving(after));
        };
        let (group, size) = (managed.group.clone(), managed.size);
        let leave = Change {
            slot: MembershipSlot::Member { group: group.clone(), vm: InstanceRef::of(target, facts) },
            before: MembershipState::Member(true),
            after: MembershipState::Member(false),
        };
        let smaller = size.saturating_sub(1);
        let mut remaining = vec![Remaining::new(format!(
            "this is irreversible: nothing can be taken back into the group {}",
            group.name
        ))];
        let grow = match (scene.options.replace_capacity, managed.autoscaled) {
            (true, false) => Some(Change {
                slot: MembershipSlot::Size(group.clone()),
                before: MembershipState::Size(smaller),
                after: MembershipState::Size(size),
            }),
            (true, true) => {
                let what = format!("the autoscaler of {} decides how many there are: it is not resized", group.name);
                remaining.push(Remaining::new(what));
                None
            }
            (false, _) => {
                let what = format!("the group {} is smaller by one: {smaller} instead of {size}", group.name);
                let resize = format!("{} --set group={} --set size={size}", order("gcp-resize-group"), group.short());
                remaining.push(Remaining::new(what).next(resize));
                None
            }
        };
        remaining.extend(after);
        let (pool, members) = managed.pool();
        Ok(Plan::empty().of(pool, members).then([leave]).then(grow).leaving(remaining))
    }
}

#[cfg(test)]
mod tests;
