//! Takes the public addresses from an EC2 instance.
//!
//! **When.** When it is reached, or called, from the internet, and what comes from inside the VPC may go on.
//!
//! **What.** First the primary interface stops being given an address by EC2 itself: an instance that was launched with
//! one would get a new one a moment after it loses its Elastic IP address. Then every Elastic IP address is
//! disassociated, all at once. Then it is looked at until no public IPv4 address is left. IPv6 addresses are reported,
//! or unassigned (`ipv6: unassign`).
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `ec2:DescribeAddresses`,
//! `ec2:DescribeNetworkInterfaceAttribute`, `autoscaling:DescribeAutoScalingGroups` (in a group). Acting:
//! `ec2:ModifyNetworkInterfaceAttribute`, `ec2:DisassociateAddress`; with `ipv6` `ec2:UnassignIpv6Addresses` and
//! `ec2:DescribeNetworkInterfaces`. Undoing: `ec2:ModifyNetworkInterfaceAttribute`, `ec2:AssociateAddress`; of IPv6
//! `ec2:AssignIpv6Addresses` and `ec2:DescribeNetworkInterfaces`.
//!
//! **Blast radius.** Whoever uses the addresses. In an Auto Scaling group its health checks may fail, hence the refusal
//! while it is in service.
//!
//! **Undo.** Elastic IP addresses and IPv6 addresses come back. An address that EC2 had assigned comes back as another
//! one.
//!
//! Sources: EC2 API Reference "`ModifyNetworkInterfaceAttribute`", "`DisassociateAddress`", "`AssociateAddress`"; EC2
//! User Guide "Amazon EC2 instance IP addressing", "Elastic IP addresses".

use serde::Deserialize;
use stanch_aws::{
    AddressSlot, AddressState, AutoAssign, Ec2Api, ElasticIp, Interface, Ipv6Address, NoAddress, Place, next_order,
};
use stanch_aws_scaling::InGroup;
use stanch_core::{
    Change, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger, names::InterfaceId,
    target::Ec2Instance,
};

/// Takes the public addresses from an EC2 instance.
pub struct AwsRemovePublicIp;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What becomes of IPv6 addresses.
    pub ipv6: Ipv6,
    /// Also while it is in service in an Auto Scaling group.
    pub even_if_managed: bool,
}

/// What becomes of IPv6 addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6 {
    /// They are named.
    #[default]
    Report,
    /// They are taken away.
    Unassign,
}

impl Responder for AwsRemovePublicIp {
    const NAME: &'static str = "aws-remove-public-ip";
    const ABOUT: &'static str = "Takes the public addresses from an EC2 instance.";
    const UNDO: &'static str =
        "Elastic IP and IPv6 addresses come back; an address that EC2 had assigned comes back as another one.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeAddresses"),
            Permission::Aws("ec2:DescribeNetworkInterfaceAttribute"),
            Permission::Aws("autoscaling:DescribeAutoScalingGroups"),
        ],
        apply: &[
            Permission::Aws("ec2:DescribeNetworkInterfaces"),
            Permission::Aws("ec2:ModifyNetworkInterfaceAttribute"),
            Permission::Aws("ec2:DisassociateAddress"),
            Permission::Aws("ec2:UnassignIpv6Addresses"),
        ],
        revert: &[
            Permission::Aws("ec2:DescribeNetworkInterfaces"),
            Permission::Aws("ec2:ModifyNetworkInterfaceAttribute"),
            Permission::Aws("ec2:AssociateAddress"),
            Permission::Aws("ec2:AssignIpv6Addresses"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "ipv6",
            form: "report|unassign, report",
            about: "Name the IPv6 addresses, or take them away, too.",
        },
        OptionDoc {
            name: "even_if_managed",
            form: "bool, false",
            about: "Also while it is in service in an Auto Scaling group, which may replace it.",
        },
    ];

    type Cloud = InGroup<AddressSlot>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = AddressSlot;

    async fn plan(api: &Ec2Api, scene: &Scene<'_, Self>) -> Result<Plan<AddressSlot>> {
        let Scene { target, options, facts, .. } = scene;
        facts.refuse_in_service(target, options.even_if_managed)?;
        let interfaces = &facts.instance.interfaces;
        let mut assigned = Vec::new();
        for interface in interfaces.iter().filter(|interface| interface.primary) {
            let auto_assign = api.assigns_public(&interface.id).await?;
            assigned.push(Change {
                slot: AddressSlot::AutoAssign(AutoAssign {
                    region: target.region.clone(),
                    account: target.account.clone(),
                    interface: interface.id.clone(),
                }),
                before: AddressState::AutoAssign { auto_assign },
                after: AddressState::AutoAssign { auto_assign: false },
            });
        }
        let ids: Vec<InterfaceId> = interfaces.iter().map(|interface| interface.id.clone()).collect();
        let elastic = api.addresses_of(&ids).await?;
        let comes_back = elastic.iter().map(|address| address.public.clone()).collect::<Vec<_>>();
        let elastic = elastic.into_iter().map(|address| Change {
            slot: AddressSlot::Elastic(ElasticIp {
                region: target.region.clone(),
                account: target.account.clone(),
                allocation: address.allocation,
                public: address.public,
            }),
            before: AddressState::Elastic {
                associated: address.place.map(|(interface, private)| Place { interface, private }),
            },
            after: AddressState::Elastic { associated: None },
        });
        let public: Vec<String> = interfaces.iter().flat_map(|interface| interface.public.clone()).collect();
        let wait = Change {
            slot: AddressSlot::NoAddress(NoAddress {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
            }),
            before: AddressState::NoAddress { unreachable: public.is_empty() },
            after: AddressState::NoAddress { unreachable: true },
        };
        let lost: Vec<&String> = public.iter().filter(|address| !comes_back.contains(address)).collect();
        let ipv6 = if options.ipv6 == Ipv6::Unassign { unassign(target, interfaces) } else { Vec::new() };
        let mut plan = Plan::empty().then(assigned).then(elastic.chain(ipv6)).then([wait]);
        if let Some(group) = facts.serving() {
            plan = plan.of(format!("asg/{}", group.name), group.size);
        }
        Ok(plan.leaving(remaining(scene, &lost)))
    }
}

/// One change for each address; delegated prefixes are named only.
fn unassign(target: &Ec2Instance, interfaces: &[Interface]) -> Vec<Change<AddressSlot>> {
    let mut changes = Vec::new();
    for interface in interfaces {
        for address in interface.ipv6.iter().filter_map(|text| text.parse().ok()) {
            changes.push(Change {
                slot: AddressSlot::Ipv6(Ipv6Address {
                    region: target.region.clone(),
                    account: target.account.clone(),
                    interface: interface.id.clone(),
                    address,
                }),
                before: AddressState::Ipv6 { assigned: true },
                after: AddressState::Ipv6 { assigned: false },
            });
        }
    }
    changes
}

/// What undo will not bring back, and how it can still be reached.
fn remaining(scene: &Scene<'_, AwsRemovePublicIp>, lost: &[&String]) -> Vec<Remaining> {
    let Scene { target, options, facts, mark, .. } = scene;
    let mut left = Vec::new();
    if !lost.is_empty() {
        let lost = lost.iter().map(|address| address.as_str()).collect::<Vec<_>>().join(", ");
        left.push(Remaining::new(format!("{lost} was assigned by EC2: undo brings another address")));
    }
    for interface in &facts.instance.interfaces {
        let kept = interface.ipv6.iter().filter(|text| options.ipv6 == Ipv6::Report || text.contains('/'));
        for address in kept {
            let what = format!("{} keeps {address}", interface.id);
            left.push(Remaining::new(what).next("order with ipv6=unassign; a delegated prefix is taken away by hand"));
        }
    }
    left.push(
        Remaining::new("it still reaches out through NAT, proxies and endpoints, and is reached from the VPC")
            .next(next_order("aws-isolate-instance", mark, target)),
    );
    left
}

#[cfg(test)]
mod tests;
