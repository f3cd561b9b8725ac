//! Cuts a GCE instance off the network by firewall rules that aim at a tag.
//!
//! - **What**: in each VPC network of its interfaces, four rules that deny all protocols, egress (priority 0) and ingress
//!   (priority 1, so that an analyst's allow at 0 wins), IPv4 and IPv6 apart, with logging on; then the tag that they aim
//!   at. Until the tag is set, nothing is cut; with it, everything at once, on every interface.
//! - **When**: a VM is under an attacker's control and its disks are captured. Drain, capture and image pulls need a node
//!   that still reaches its API server: the node's network comes last.
//! - **Permissions**: [`Responder::NEEDS`]. Rules are made in the network's project: in a Shared VPC, the host's.
//! - **Blast radius**: the instance. The rules exist once per network and rule set, and stand until the last instance
//!   that uses them is released; a rule that somebody weakened meanwhile is put right.
//! - **Undo**: the tag is taken off; the rules go with their last user.
//!
//! A managed group replaces a member that its health check cannot reach, and the evidence with it: such an instance is
//! refused, unless `even_if_managed`. Not cut: the metadata server (tokens, DNS, DHCP, NTP), what policies above the
//! network allow, and flows that are established already; each is named in the report.
//!
//! Sources: Google "Mitigating security incidents" (its rules name TCP only; `protocols: tcp` reproduces them), VPC "VPC
//! firewall rules", Cloud NGFW "Firewall policy and rule evaluation order".

use futures::future::{join_all, try_join_all};
use serde::Deserialize;
use stanch_core::{
    Change, Error, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Target,
    Trigger, names::GceName, target::GceInstance,
};
use stanch_gcp::{
    Cidr, GceApi, Gcp, InstanceRef, Managed, NetworkSlot, NetworkState, Protocols, Quarantine, TagSlot, next_order,
    tag::{MOST_TAGS, full},
};

/// See the crate.
#[derive(Debug)]
pub struct GcpIsolateInstance;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    protocols: Protocols,
    allow_from: Vec<Cidr>,
    even_if_managed: bool,
}

impl Responder for GcpIsolateInstance {
    const NAME: &'static str = "gcp-isolate-instance";
    const ABOUT: &'static str = "Cuts a GCE instance off the network by firewall rules that aim at a tag";
    const UNDO: &'static str = "the tag is taken off; the rules go with the last instance that uses them";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instances.getEffectiveFirewalls"),
            Permission::Gcp("compute.firewalls.get"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.setTags"),
            Permission::Gcp("compute.firewalls.create"),
            Permission::Gcp("compute.firewalls.update"),
            Permission::Gcp("compute.networks.updatePolicy"),
            Permission::Gcp("compute.globalOperations.get"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
        revert: &[
            Permission::Gcp("compute.instances.setTags"),
            Permission::Gcp("compute.firewalls.delete"),
            Permission::Gcp("compute.networks.updatePolicy"),
            Permission::Gcp("compute.globalOperations.get"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "protocols",
            form: "all or tcp, all",
            about: "what is denied; tcp is what Google's guide shows",
        },
        OptionDoc {
            name: "allow_from",
            form: "list of CIDR ranges, []",
            about: "from where the instance can still be reached (ingress, priority 0); makes a rule set of its own",
        },
        OptionDoc {
            name: "even_if_managed",
            form: "bool, false",
            about: "act on a member of a managed group too, although the group will replace it",
        },
    ];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = NetworkSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<NetworkSlot>> {
        let Scene { target, options, facts, mark, .. } = scene;
        let instance = InstanceRef::of(target, facts);
        let quarantine = Quarantine::new(options.protocols, &options.allow_from)?;
        let tagged = facts.tags.iter().any(|tag| tag == quarantine.tag().as_str());
        if !tagged && facts.tags.len() >= MOST_TAGS {
            return Err(full(&instance));
        }
        let managed = api.group(target, facts).await?;
        if let Some(managed) = managed.as_ref().filter(|managed| !managed.is_leaving() && !options.even_if_managed) {
            return Err(managed.in_service(Self::NAME, &mark.incident, target));
        }

        let mut rules = Vec::new();
        for network in facts.networks() {
            rules.extend(quarantine.rules(network, &target.project)?);
        }
        let names: Vec<GceName> = rules.iter().map(|(slot, _)| slot.name.clone()).collect();
        let looks = rules.into_iter().map(async |(slot, rule)| {
            let slot = NetworkSlot::Firewall(slot);
            let before = slot.look(api, mark).await?.state;
            Ok::<_, Error>(Change { slot, before, after: NetworkState::Rule(Some(Box::new(rule))) })
        });
        let changes = try_join_all(looks).await?;
        let tag = Change {
            slot: NetworkSlot::Tag(TagSlot {
                instance: instance.clone(),
                tag: quarantine.tag().clone(),
                shared: false,
                cuts: true,
            }),
            before: NetworkState::Set(tagged),
            after: NetworkState::Set(true),
        };
        let mut left = remaining(api, scene, &instance, &names).await;
        let mut plan = Plan::empty().then(changes).then([tag]);
        if let Some(managed) = managed {
            left.insert(0, replaced(&managed));
            plan = plan.of(managed.group.path(), managed.members());
        }
        Ok(plan.leaving(left))
    }
}

fn replaced(managed: &Managed) -> Remaining {
    Remaining::new(format!(
        "the managed group {} does not reach it any more and will replace it, under the same name",
        managed.group.name
    ))
}

/// What the attacker still has.
async fn remaining(
    api: &GceApi,
    scene: &Scene<'_, GcpIsolateInstance>,
    instance: &InstanceRef,
    ours: &[GceName],
) -> Vec<Remaining> {
    let Scene { target, facts, mark, options, .. } = scene;
    let next = |responder| next_order(responder, &mark.incident, Target::from((*target).clone()));
    let mut left = Vec::new();
    let looks = facts.nics.iter().map(|nic| api.loopholes(instance, nic, ours));
    for (nic, found) in facts.nics.iter().zip(join_all(looks).await) {
        match found {
            Ok(loopholes) => left.extend(loopholes.into_iter().map(Remaining::new)),
            // Containment does not wait for a warning.
            Err(error) => {
                left.push(Remaining::new(format!("what else lets {} through is not known: {error}", nic.name)));
            }
        }
    }
    if options.protocols == Protocols::Tcp {
        left.push(Remaining::new("all but TCP goes on, as asked: UDP, ICMP, tunnels"));
    }
    let server = "the metadata server is never cut off: tokens, DNS, DHCP and NTP go on";
    left.push(match &facts.service_account {
        Some(account) => Remaining::new(format!("{server}; tokens of {account} can be fetched"))
            .next(next("gcp-detach-service-account")),
        None => Remaining::new(server),
    });
    left.push(Remaining::new(
        "flows that were established before may go on until they have been silent for ten minutes",
    ));
    let external: Vec<_> = facts.nics.iter().flat_map(|nic| nic.external.iter().map(String::as_str)).collect();
    if !external.is_empty() {
        let what = format!("it keeps its external address {}", external.join(", "));
        left.push(Remaining::new(what).next(next("gcp-remove-external-ip")));
    }
    left.push(Remaining::new("the disks are captured only if gcp-snapshot-disks ran").next(next("gcp-snapshot-disks")));
    left
}

#[cfg(test)]
mod tests;
