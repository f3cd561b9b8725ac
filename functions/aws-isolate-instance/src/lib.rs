//! Cuts the network of an EC2 instance: every one of its interfaces goes into a quarantine group.
//!
//! **When.** Once what the instance holds is captured, or at once if it does harm. A node of a cluster takes all its pods
//! with it, so a person orders it; drain and capture need the network, and come first.
//!
//! **What.** In each VPC that the instance has an interface in, a security group without any rule (with `allow_from`:
//! one that lets analysts in) is made sure of: made if it is not there, put right if somebody opened it. Then each
//! interface gets that group alone, the primary one first, for the EKS CNI gives its groups to the others. Branch
//! interfaces of pods are found by their trunk. Changing groups does not end connections that are tracked:
//! `cut_tracked` puts each interface into an all-open group for a moment, under which nothing is tracked. `auto` does so
//! only where no interface can be reached from the internet.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `ec2:DescribeSecurityGroups`, `ec2:DescribeNetworkInterfaces`,
//! `ec2:DescribeTrunkInterfaceAssociations` (with a trunk), `autoscaling:DescribeAutoScalingGroups` (in a group). Acting:
//! `ec2:ModifyNetworkInterfaceAttribute`; to make and repair groups `ec2:CreateSecurityGroup`, `ec2:CreateTags`,
//! `ec2:DescribeSecurityGroupRules`, `ec2:RevokeSecurityGroupEgress`, `ec2:RevokeSecurityGroupIngress`,
//! `ec2:AuthorizeSecurityGroupIngress`, `ec2:AuthorizeSecurityGroupEgress`. Undoing:
//! `ec2:ModifyNetworkInterfaceAttribute`, `ec2:DeleteSecurityGroup`.
//!
//! **Blast radius.** Whatever the instance serves. In an Auto Scaling group its health checks fail and it is replaced,
//! hence the refusal while it is in service.
//!
//! **Undo.** Each interface gets its own former groups. The quarantine group goes with its last user.
//!
//! Sources: EC2 API Reference "`ModifyNetworkInterfaceAttribute`"; EC2 User Guide "Security group connection tracking",
//! "Amazon EC2 managed instances"; Amazon EKS best practices "Incident response and forensics".

use serde::Deserialize;
use stanch_aws::{
    Cidr, Ec2Api, Interface, InterfaceGroups, IsolationSlot, IsolationState, Manner, Presence, QuarantineGroup, Rules,
    next_order,
};
use stanch_aws_scaling::{Grouped, InGroup};
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    names::{InterfaceId, SecurityGroupId, VpcId},
    target::Ec2Instance,
};

/// A security group has at most 60 rules each way (Amazon VPC: "quotas").
const MAX_RANGES: usize = 60;

/// Cuts the network of an EC2 instance.
pub struct AwsIsolateInstance;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Analysts may still reach it from here.
    pub allow_from: Vec<Cidr>,
    /// A group of one's own in place of ours.
    pub group: Option<SecurityGroupId>,
    /// Whether tracked connections are cut.
    pub cut_tracked: CutTracked,
    /// Also while it is in service in an Auto Scaling group.
    pub even_if_managed: bool,
}

/// Whether tracked connections are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CutTracked {
    /// Where no interface has an address that the internet can reach.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Responder for AwsIsolateInstance {
    const NAME: &'static str = "aws-isolate-instance";
    const ABOUT: &'static str = "Cuts the network of an EC2 instance: every interface goes into a quarantine group.";
    const UNDO: &'static str = "Each interface gets its own former groups back; connections that were cut stay cut.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeSecurityGroups"),
            Permission::Aws("ec2:DescribeNetworkInterfaces"),
            Permission::Aws("ec2:DescribeTrunkInterfaceAssociations"),
            Permission::Aws("autoscaling:DescribeAutoScalingGroups"),
        ],
        apply: &[
            Permission::Aws("ec2:ModifyNetworkInterfaceAttribute"),
            Permission::Aws("ec2:CreateSecurityGroup"),
            Permission::Aws("ec2:CreateTags"),
            Permission::Aws("ec2:DescribeSecurityGroupRules"),
            Permission::Aws("ec2:RevokeSecurityGroupEgress"),
            Permission::Aws("ec2:RevokeSecurityGroupIngress"),
            Permission::Aws("ec2:AuthorizeSecurityGroupIngress"),
            Permission::Aws("ec2:AuthorizeSecurityGroupEgress"),
        ],
        revert: &[Permission::Aws("ec2:ModifyNetworkInterfaceAttribute"), Permission::Aws("ec2:DeleteSecurityGroup")],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "allow_from",
            form: "[CIDR], none",
            about: "Let analysts in from these ranges, by every protocol, at most 60.",
        },
        OptionDoc { name: "group", form: "sg-…, none", about: "Use this security group in place of ours." },
        OptionDoc {
            name: "cut_tracked",
            form: "auto|on|off, auto",
            about: "Cut connections that are tracked, by an all-open group for a moment. auto: unless the internet can reach it.",
        },
        OptionDoc {
            name: "even_if_managed",
            form: "bool, false",
            about: "Also while it is in service in an Auto Scaling group, which will replace it.",
        },
    ];

    type Cloud = InGroup<IsolationSlot>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = IsolationSlot;

    async fn plan(api: &Ec2Api, scene: &Scene<'_, Self>) -> Result<Plan<IsolationSlot>> {
        let Scene { target, options, facts, .. } = scene;
        check(options)?;
        facts.refuse_in_service(target, options.even_if_managed)?;
        let interfaces = interfaces(api, target, facts).await?;
        let cut = cuts(options, &interfaces);
        let groups = groups(target, options, &interfaces, cut);
        let present = api.quarantine_groups(&groups).await?;
        let notes = match &options.group {
            Some(id) => suits(api, id, &interfaces).await?,
            None => Vec::new(),
        };
        operated(api, facts, &interfaces).await?;
        let ours = groups.into_iter().zip(present).map(|(group, present)| Change {
            slot: IsolationSlot::Group(group),
            before: IsolationState::Group { group: present },
            after: IsolationState::Group { group: Presence::Ready },
        });
        let swaps = |primary: bool| {
            let some = interfaces.iter().filter(move |interface| interface.primary == primary);
            some.map(|interface| swap(api, target, options, interface, cut)).collect::<Vec<_>>()
        };
        let mut plan = Plan::empty().then(ours).then(swaps(true)).then(swaps(false));
        if let Some(group) = facts.serving() {
            plan = plan.of(format!("asg/{}", group.name), group.size);
        }
        Ok(plan.leaving(notes).leaving(remaining(scene, &interfaces, cut)))
    }
}

/// What serde cannot tell.
fn check(options: &Options) -> Result<()> {
    let refuse = |field: &str, message: String| Err(Error::invalid(format!("options.{field}"), message));
    if options.allow_from.len() > MAX_RANGES {
        return refuse("allow_from", format!("must be at most {MAX_RANGES} ranges"));
    }
    if options.allow_from.iter().any(|range| range.is_everywhere()) {
        return refuse("allow_from", "must not be everywhere: that is no quarantine".to_owned());
    }
    if options.group.is_some() && !options.allow_from.is_empty() {
        return refuse("allow_from", "has no meaning with a group of one's own: put the rules there".to_owned());
    }
    if options.group.is_some() && options.cut_tracked == CutTracked::On {
        return refuse("cut_tracked", "goes with our own groups only, whose rules are made sure of".to_owned());
    }
    Ok(())
}

/// All of them: those of the instance, and the branches of its trunks.
async fn interfaces(api: &Ec2Api, target: &Ec2Instance, facts: &Grouped) -> Result<Vec<Interface>> {
    let own = &facts.instance.interfaces;
    if own.is_empty() || own.len() < facts.instance.interface_count {
        let (kind, message) = if facts.instance.interface_count == 0 {
            (Kind::Unsupported, "it has no network interface")
        } else {
            (Kind::Internal, "an interface of it cannot be read, and none is left out silently")
        };
        return Err(Error::new(kind, "ec2:DescribeInstances", message).on(target.id.as_str()));
    }
    let trunks: Vec<InterfaceId> = own.iter().filter(|it| it.trunk).map(|it| it.id.clone()).collect();
    let mut all = own.clone();
    all.extend(api.branches(&trunks).await?);
    Ok(all)
}

/// An open group for a moment is a way in for whoever can reach the instance from outside.
fn cuts(options: &Options, interfaces: &[Interface]) -> bool {
    match options.cut_tracked {
        CutTracked::On => true,
        CutTracked::Off => false,
        CutTracked::Auto => options.group.is_none() && !interfaces.iter().any(Interface::is_public),
    }
}

/// The groups that are needed: in each VPC one, and for cutting the open one.
fn groups(target: &Ec2Instance, options: &Options, interfaces: &[Interface], cut: bool) -> Vec<QuarantineGroup> {
    if options.group.is_some() {
        return Vec::new();
    }
    let mut vpcs: Vec<&VpcId> = interfaces.iter().map(|interface| &interface.vpc).collect();
    vpcs.sort();
    vpcs.dedup();
    let mut groups = Vec::new();
    for vpc in vpcs {
        let group = |rules| QuarantineGroup {
            region: target.region.clone(),
            account: target.account.clone(),
            vpc: vpc.clone(),
            rules,
        };
        groups.push(group(rules(options)));
        if cut {
            groups.push(group(Rules::Open));
        }
    }
    groups
}

fn rules(options: &Options) -> Rules {
    Rules::closed(options.allow_from.clone())
}

fn swap(
    api: &Ec2Api,
    target: &Ec2Instance,
    options: &Options,
    interface: &Interface,
    cut: bool,
) -> Change<IsolationSlot> {
    let after = match &options.group {
        Some(group) => IsolationState::Groups { groups: vec![group.clone()] },
        None => IsolationState::Quarantine { quarantine: rules(options).name() },
    };
    Change {
        slot: IsolationSlot::Interface(InterfaceGroups {
            region: target.region.clone(),
            account: target.account.clone(),
            instance: target.id.clone(),
            interface: interface.id.clone(),
            vpc: interface.vpc.clone(),
            rules: Manner(rules(options)),
            cut_tracked: Manner(cut),
        }),
        before: IsolationState::of(&interface.groups, &interface.vpc, api),
        after,
    }
}

/// Whether a person's own group can be used, and what it lets through.
async fn suits(api: &Ec2Api, id: &SecurityGroupId, interfaces: &[Interface]) -> Result<Vec<Remaining>> {
    let found = api.group(id).await.map_err(|error| match error.kind() {
        Kind::NotFound | Kind::Invalid => Error::invalid("options.group", "there is no such security group"),
        _ => error,
    })?;
    if let Some(other) = interfaces.iter().find(|interface| interface.vpc != found.vpc) {
        let message = format!("is of {}, and {} is in {}", found.vpc, other.id, other.vpc);
        return Err(Error::invalid("options.group", message));
    }
    let lets = found.lets.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    Ok(match found.lets.len() {
        0 => Vec::new(),
        more => vec![Remaining::new(format!("{id} has {more} rules that let traffic through: {lets}"))],
    })
}

/// AWS blocks changes to what another service operates, and does not say which: so it is tried.
async fn operated(api: &Ec2Api, facts: &Grouped, interfaces: &[Interface]) -> Result<()> {
    let operators = interfaces.iter().filter_map(|it| Some((it, it.operator.as_ref()?)));
    let whole = facts.instance.operator.as_ref().and_then(|operator| Some((interfaces.first()?, operator)));
    let Some((interface, operator)) = operators.chain(whole).next() else { return Ok(()) };
    let own: Vec<_> = interface.groups.iter().map(|group| group.id.clone()).collect();
    api.may_change(&interface.id, &own).await.map_err(|error| match error.kind() {
        Kind::Unsupported => {
            let message = format!(
                "{operator} operates the instance and AWS blocks it; use the Kubernetes responders on its node \
                 (k8s-isolate-pod, k8s-cordon-node)"
            );
            Error::new(Kind::Unsupported, error.operation(), message).on(error.resource()).because(error.message())
        }
        _ => error,
    })
}

/// What still flows, and what else the attacker has.
fn remaining(scene: &Scene<'_, AwsIsolateInstance>, interfaces: &[Interface], cut: bool) -> Vec<Remaining> {
    let Scene { target, facts, mark, options, .. } = scene;
    let next = |responder: &str| next_order(responder, mark, target);
    let mut left = Vec::new();
    if cut {
        left.push(Remaining::new(
            "connections through load balancers, NAT, PrivateLink and other gateways are always tracked, and go on \
             until they are idle; so do all, if the swap was interrupted: it is then closed and not opened again",
        ));
    } else {
        left.push(
            Remaining::new("connections that are tracked go on until they are idle, up to five days for TCP")
                .next("a network ACL on its subnet ends them for all in the subnet; or order with cut_tracked=on"),
        );
    }
    left.push(Remaining::new(
        "security groups do not filter the VPC's DNS resolver, which can carry data out, nor DHCP and NTP of the VPC",
    ));
    if facts.instance.imds {
        left.push(
            Remaining::new("the metadata service goes on handing out the credentials of its role")
                .next(next("aws-detach-role")),
        );
    }
    if interfaces.iter().any(|interface| !interface.public.is_empty()) {
        left.push(Remaining::new("it keeps its public addresses").next(next("aws-remove-public-ip")));
    }
    if !options.allow_from.is_empty() {
        left.push(Remaining::new("analysts, and whoever else is in the ranges of allow_from, can reach it"));
    }
    if facts.instance.tags.keys().any(|key| key.starts_with("kubernetes.io/cluster/") || key == "eks:cluster-name") {
        left.push(
            Remaining::new("it is a node: every pod on it loses its network, and no eviction from it is confirmed")
                .next("k8s-drain-node on its node, before this"),
        );
    }
    if let Some(group) = facts.serving() {
        left.push(
            Remaining::new(format!("{} will find it unhealthy, end it and start another one", group.name))
                .next(next("aws-release-instance")),
        );
    }
    left
}

#[cfg(test)]
mod tests;
