//! Takes every external address off a GCE instance.
//!
//! - **What**: on each interface, the access config of IPv4 and of IPv6, by its own name, which is not always the default.
//! - **When**: the instance is reached, or reaches out, by an address of its own. Flows by NAT, load balancers and inside
//!   the network go on: `gcp-isolate-instance` is for those.
//! - **Permissions**: [`Responder::NEEDS`]; to undo, also to use the reserved address and the subnetwork's addresses.
//! - **Blast radius**: the instance, and whoever reaches it by that address.
//! - **Undo**: a reserved (static) address comes back, with its name, tier and PTR; an **ephemeral one does not**: another
//!   comes in its place. The plan says so beforehand.
//!
//! Refused while the instance is in service in a managed group, unless `even_if_managed`: a health check or a client that
//! does not reach it makes the group replace it.
//!
//! Sources: Google "Mitigating security incidents", Compute Engine "Configure static external IP addresses".

use futures::future::try_join_all;
use serde::Deserialize;
use stanch_core::{
    Change, Error, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target, Trigger,
    target::GceInstance,
};
use stanch_gcp::{ExternalSlot, Family, GceApi, Gcp, InstanceRef, next_order};

/// See the crate.
#[derive(Debug)]
pub struct GcpRemoveExternalIp;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    even_if_managed: bool,
}

impl Responder for GcpRemoveExternalIp {
    const NAME: &'static str = "gcp-remove-external-ip";
    const ABOUT: &'static str = "Takes every external address off a GCE instance";
    const UNDO: &'static str = "a reserved address comes back; for an ephemeral one, another";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.addresses.list"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.deleteAccessConfig"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
        revert: &[
            Permission::Gcp("compute.instances.addAccessConfig"),
            Permission::Gcp("compute.addresses.use"),
            Permission::Gcp("compute.subnetworks.useExternalIp"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "even_if_managed",
        form: "bool, false",
        about: "act on a member of a managed group too, although the group may replace it",
    }];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = ExternalSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<ExternalSlot>> {
        let Scene { target, facts, options, mark, .. } = scene;
        let instance = InstanceRef::of(target, facts);
        let managed = api.group(target, facts).await?;
        if let Some(managed) = managed.as_ref().filter(|managed| !managed.is_leaving() && !options.even_if_managed) {
            return Err(managed.in_service(Self::NAME, &mark.incident, target));
        }
        let places =
            facts.nics.iter().flat_map(|nic| [Family::V4, Family::V6].map(|family| (nic.name.clone(), family)));
        let looks = places.map(async |(nic, family)| {
            let slot = ExternalSlot { instance: instance.clone(), nic, family };
            let found = api.external(&slot).await?;
            Ok::<_, Error>(found.map(|(external, address)| (slot, external, address)))
        });
        let found: Vec<_> = try_join_all(looks).await?.into_iter().flatten().collect();
        let mut left = Vec::new();
        for (slot, external, address) in &found {
            if external.reserved.is_none() {
                left.push(Remaining::new(format!(
                    "{address} of {} is ephemeral: undo gives another address, not this one",
                    slot.nic
                )));
            }
        }
        left.extend(remaining(scene));
        let changes: Vec<_> =
            found.into_iter().map(|(slot, external, _)| Change { slot, before: Some(external), after: None }).collect();
        let mut plan = Plan::empty().then(changes).leaving(left);
        if let Some(managed) = managed {
            plan = plan.of(managed.group.path(), managed.members());
        }
        Ok(plan)
    }
}

fn remaining(scene: &Scene<'_, GcpRemoveExternalIp>) -> [Remaining; 2] {
    let Scene { target, mark, .. } = scene;
    let next = |responder| next_order(responder, &mark.incident, Target::from((*target).clone()));
    [
        Remaining::new(
            "it goes on reaching the internet by Cloud NAT or a proxy, and being reached by load balancers, IAP and \
             from inside its networks",
        )
        .next(next("gcp-isolate-instance")),
        Remaining::new("whoever may edit the instance can give it an address again"),
    ]
}

#[cfg(test)]
mod tests;
