//! Takes an EC2 instance out of its Auto Scaling group and its load balancers, and keeps it running.
//!
//! **When.** Before its network or its credentials are cut: a group ends what fails its health checks, and the evidence
//! with it. And to take an accused instance out of traffic.
//!
//! **What.** Into standby in its group (`how: detach`: out of it), which takes it out of the group's own load balancers;
//! then deregistered from every other target group of its VPCs and classic load balancer that has it. The group wants one
//! less, so that it starts no replacement, unless `replace_capacity` says so, or it would fall below its minimum. Detached
//! in place of standby while an instance refresh runs that terminates what is in standby.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `autoscaling:DescribeAutoScalingGroups`,
//! `autoscaling:DescribeInstanceRefreshes`, `elasticloadbalancing:DescribeTargetGroups`,
//! `elasticloadbalancing:DescribeTargetHealth`, `elasticloadbalancing:DescribeLoadBalancers`. Acting:
//! `autoscaling:DescribeAutoScalingInstances`, `autoscaling:EnterStandby`, `autoscaling:DetachInstances`,
//! `elasticloadbalancing:DeregisterTargets`, `elasticloadbalancing:DeregisterInstancesFromLoadBalancer`. Undoing:
//! `autoscaling:DescribeAutoScalingInstances`, `autoscaling:ExitStandby`, `autoscaling:AttachInstances`,
//! `elasticloadbalancing:RegisterTargets`, `elasticloadbalancing:RegisterInstancesWithLoadBalancer`.
//!
//! **Blast radius.** The service that the instance is a part of has one less. Connections are drained first, 300 seconds
//! by default: until then it is entering standby.
//!
//! **Undo.** Back into service, registered again. A replacement that was started stays; where it fills the group, undo
//! fails at the maximum, which it never raises: the plan says so beforehand.
//!
//! Sources: Amazon EC2 Auto Scaling API Reference "`EnterStandby`", "`ExitStandby`", "`DetachInstances`",
//! "`AttachInstances`", "`RefreshPreferences`"; Elastic Load Balancing API Reference "`DeregisterTargets`".

use serde::Deserialize;
use stanch_aws::next_order;
use stanch_aws_balancers::{BalancerSlot, BalancerState, BalancersApi, ClassicBalancer, GroupTarget, Registered};
use stanch_aws_scaling::{Group, InGroup, Lifecycle, Membership, ScalingApi, ScalingSlot, ScalingState};
use stanch_core::{
    Change, Either, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene,
    Trigger, names::VpcId, target::Ec2Instance,
};

/// Takes an EC2 instance out of its Auto Scaling group and its load balancers.
pub struct AwsReleaseInstance;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How it leaves the group.
    pub how: How,
    /// The group starts another one in its place.
    pub replace_capacity: bool,
}

/// How an instance leaves its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It stays a member, and is left alone.
    #[default]
    Standby,
    /// It is a member no more.
    Detach,
}

/// Its place in the group, and its place behind load balancers.
type Slots = Either<ScalingSlot, BalancerSlot>;

impl Responder for AwsReleaseInstance {
    const NAME: &'static str = "aws-release-instance";
    const ABOUT: &'static str = "Takes an EC2 instance out of its Auto Scaling group and its load balancers.";
    const UNDO: &'static str =
        "It goes back into service where the group has room; a replacement that was started stays.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("autoscaling:DescribeAutoScalingGroups"),
            Permission::Aws("autoscaling:DescribeInstanceRefreshes"),
            Permission::Aws("elasticloadbalancing:DescribeTargetGroups"),
            Permission::Aws("elasticloadbalancing:DescribeTargetHealth"),
            Permission::Aws("elasticloadbalancing:DescribeLoadBalancers"),
        ],
        apply: &[
            Permission::Aws("autoscaling:DescribeAutoScalingInstances"),
            Permission::Aws("autoscaling:EnterStandby"),
            Permission::Aws("autoscaling:DetachInstances"),
            Permission::Aws("elasticloadbalancing:DeregisterTargets"),
            Permission::Aws("elasticloadbalancing:DeregisterInstancesFromLoadBalancer"),
        ],
        revert: &[
            Permission::Aws("autoscaling:DescribeAutoScalingInstances"),
            Permission::Aws("autoscaling:ExitStandby"),
            Permission::Aws("autoscaling:AttachInstances"),
            Permission::Aws("elasticloadbalancing:RegisterTargets"),
            Permission::Aws("elasticloadbalancing:RegisterInstancesWithLoadBalancer"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "how", form: "standby|detach, standby", about: "How it leaves its Auto Scaling group." },
        OptionDoc {
            name: "replace_capacity",
            form: "bool, false",
            about: "The group starts another one in its place, which then fills it.",
        },
    ];

    type Cloud = InGroup<Slots>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = Slots;

    async fn plan((scaling, balancers): &(ScalingApi, BalancersApi), scene: &Scene<'_, Self>) -> Result<Plan<Slots>> {
        let Scene { target, options, facts, .. } = scene;
        let instance = &facts.instance;
        let mut vpcs: Vec<VpcId> = instance.interfaces.iter().map(|interface| interface.vpc.clone()).collect();
        vpcs.sort();
        vpcs.dedup();
        let mut registered = balancers.registered(target.id.as_str(), &vpcs, &instance.private).await?;
        let mut plan = Plan::empty();
        let mut left = Vec::new();
        if let Some(group) = &facts.group {
            let leaving = Leaving::of(scaling, options, group).await?;
            plan = plan.then([leaving.change(target, group).one()]);
            if group.lifecycle == Lifecycle::InService {
                registered = beyond(registered, group);
            }
            if group.lifecycle == Lifecycle::InService {
                plan = plan.of(format!("asg/{}", group.name), group.size);
            }
            left = leaving.remaining(group);
        }
        plan = plan.then(deregistrations(target, &registered).into_iter().map(Change::other));
        Ok(plan.leaving(left).leaving(remaining(scene)))
    }
}

/// How an instance leaves its group, decided.
struct Leaving {
    to: Lifecycle,
    decrement: bool,
    /// It was to wait in standby, where a refresh would end it.
    refresh: bool,
    /// One less would be below the minimum.
    at_minimum: bool,
}

impl Leaving {
    async fn of(api: &ScalingApi, options: &Options, group: &Group) -> Result<Self> {
        if matches!(group.lifecycle, Lifecycle::Warm | Lifecycle::Terminating) {
            let message = match group.lifecycle {
                Lifecycle::Warm => "it waits in the group's warm pool; protect it, and scale the pool by hand",
                _ => "its group is ending it; snapshot its volumes while they are there",
            };
            return Err(Error::new(Kind::Unsupported, "plan", message).on(group.name.as_str()));
        }
        let refresh = options.how == How::Standby && api.refresh_ends_standby(&group.name).await?;
        // What has left is looked at, not moved from standby to nowhere behind the person's back.
        let to = match (options.how, group.lifecycle) {
            (How::Standby, _) if !refresh => Lifecycle::Standby,
            _ => Lifecycle::Detached,
        };
        // In standby it is not counted any more: leaving the group then needs no decrement.
        let counted = group.lifecycle == Lifecycle::InService;
        let at_minimum = counted && group.desired <= group.min;
        Ok(Self { to, decrement: counted && !options.replace_capacity && !at_minimum, refresh, at_minimum })
    }

    fn change(&self, target: &Ec2Instance, group: &Group) -> Change<ScalingSlot> {
        Change {
            slot: ScalingSlot::Membership(Membership {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
                group: group.name.clone(),
                decrement: stanch_aws::Manner(self.decrement),
            }),
            before: ScalingState::Membership { membership: group.lifecycle },
            after: ScalingState::Membership { membership: self.to },
        }
    }

    fn remaining(&self, group: &Group) -> Vec<Remaining> {
        let mut left = Vec::new();
        let name = &group.name;
        if self.refresh {
            left.push(Remaining::new(format!(
                "an instance refresh of {name} terminates what is in standby, so it is detached instead"
            )));
        }
        if group.lifecycle != Lifecycle::InService {
            return left;
        }
        if self.at_minimum {
            left.push(Remaining::new(format!(
                "{name} is at its minimum of {}: it starts a replacement all the same",
                group.min
            )));
        }
        if !self.decrement && group.desired >= group.max {
            left.push(
                Remaining::new(format!(
                    "the replacement fills {name}: undo fails at its maximum of {}, which it never raises",
                    group.max
                ))
                .next(format!("before undoing: make room in {name}, by its maximum or by taking the replacement out")),
            );
        } else if !self.decrement {
            left.push(Remaining::new(format!("the replacement stays when this is undone: {name} then has one more")));
        }
        if self.decrement {
            left.push(Remaining::new(format!("{name} has one less to serve with, and starts no replacement")));
        }
        left
    }
}

/// What the group does not take it out of by itself: from its own load balancers it is deregistered as it leaves, and
/// registered again as it comes back.
fn beyond(registered: Registered, group: &Group) -> Registered {
    let Registered { mut targets, mut classic } = registered;
    targets.retain(|(arn, ..)| !group.target_groups.contains(arn));
    classic.retain(|name| !group.balancers.contains(name));
    Registered { targets, classic }
}

/// One change for each place that still sends it traffic.
fn deregistrations(target: &Ec2Instance, registered: &Registered) -> Vec<Change<BalancerSlot>> {
    let targets = registered.targets.iter().map(|(group, id, port)| {
        BalancerSlot::Target(GroupTarget {
            region: target.region.clone(),
            account: target.account.clone(),
            group: group.clone(),
            target: id.clone(),
            port: *port,
        })
    });
    let classic = registered.classic.iter().map(|balancer| {
        BalancerSlot::Classic(ClassicBalancer {
            region: target.region.clone(),
            account: target.account.clone(),
            balancer: balancer.clone(),
            instance: target.id.clone(),
        })
    });
    let change =
        |slot| Change { slot, before: BalancerState { registered: true }, after: BalancerState { registered: false } };
    targets.chain(classic).map(change).collect()
}

/// Who else may bring it back, or end it.
fn remaining(scene: &Scene<'_, AwsReleaseInstance>) -> Vec<Remaining> {
    let Scene { target, facts, mark, .. } = scene;
    let tags = &facts.instance.tags;
    let mut left = Vec::new();
    if let Some(nodes) = tags.get("eks:nodegroup-name") {
        left.push(
            Remaining::new(format!(
                "it is a node of the managed node group {}: EKS sees the group change, may replace the node, and keeps \
                 scheduling pods on it",
                stanch_aws::plain(nodes)
            ))
            .next("k8s-cordon-node on its node"),
        );
    }
    if tags.keys().any(|key| key.starts_with("karpenter.sh/")) {
        left.push(
            Remaining::new(
                "Karpenter made it, and ends it when it finds it empty, expired or drifted: no Auto Scaling group is asked",
            )
            .next("k8s-cordon-node on its node, which marks it as not to be disrupted"),
        );
    }
    left.push(Remaining::new("it goes on running, with its network and its credentials").next(next_order(
        "aws-isolate-instance",
        mark,
        target,
    )));
    left
}

#[cfg(test)]
mod tests;
