//! Keeps an EC2 instance and its volumes from being ended, by mistake or to destroy evidence.
//!
//! **When.** First of all: it changes nothing that the instance does, and the attacker cannot see it from the inside.
//!
//! **What.** All at once, each an independent call, since EC2 takes one attribute a call: termination protection, stop
//! protection (a stop loses memory), a shutdown from the inside stops instead of terminating, each EBS volume outlives
//! its instance, and in an Auto Scaling group protection from scaling in. EC2 gives Spot instances neither termination
//! nor stop protection: these two are left out, and said.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `ec2:DescribeInstanceAttribute`; in a group
//! `autoscaling:DescribeAutoScalingGroups`. Acting and undoing, which are the same calls: `ec2:ModifyInstanceAttribute`; in
//! a group `autoscaling:SetInstanceProtection`, `autoscaling:DescribeAutoScalingInstances`.
//!
//! **Blast radius.** None. What terminates instances on purpose (a pipeline, a person) is refused by EC2.
//!
//! **Undo.** What we changed, each to its own former value; what was protected before stays so.
//!
//! Sources: EC2 API Reference "`ModifyInstanceAttribute`"; EC2 User Guide "Change instance termination protection",
//! "Enable stop protection for your EC2 instances"; Amazon EC2 Auto Scaling User Guide "Use instance scale-in
//! protection".

use futures::future::try_join_all;
use serde::Deserialize;
use stanch_aws::{
    DeleteOnTermination, Ec2Api, InstanceAttribute, Protection, ProtectionSlot, ProtectionState, next_order,
};
use stanch_aws_scaling::{InGroup, Lifecycle, ScaleIn, ScalingApi, ScalingSlot, ScalingState};
use stanch_core::{
    Change, Either, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::Ec2Instance,
};

/// Keeps an EC2 instance and its volumes from being ended.
pub struct AwsProtectInstance;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Let the API stop it.
    pub allow_stop: bool,
}

/// Attributes of the instance, and its place in a group.
type Slots = Either<ProtectionSlot, ScalingSlot>;

impl Responder for AwsProtectInstance {
    const NAME: &'static str = "aws-protect-instance";
    const ABOUT: &'static str = "Keeps an EC2 instance and its volumes from being ended.";
    const UNDO: &'static str = "Each protection that was not there before goes again.";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeInstanceAttribute"),
            Permission::Aws("autoscaling:DescribeAutoScalingGroups"),
        ],
        apply: &[
            Permission::Aws("ec2:ModifyInstanceAttribute"),
            Permission::Aws("autoscaling:DescribeAutoScalingInstances"),
            Permission::Aws("autoscaling:SetInstanceProtection"),
        ],
        revert: &[
            Permission::Aws("ec2:ModifyInstanceAttribute"),
            Permission::Aws("autoscaling:DescribeAutoScalingInstances"),
            Permission::Aws("autoscaling:SetInstanceProtection"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "allow_stop",
        form: "bool, false",
        about: "Leave stop protection as it is: whoever may stop it can end what its memory holds.",
    }];

    type Cloud = InGroup<Slots>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = Slots;

    async fn plan(api: &(Ec2Api, ScalingApi), scene: &Scene<'_, Self>) -> Result<Plan<Slots>> {
        let Scene { target, options, facts, .. } = scene;
        let wanted = wanted(options, &facts.instance);
        let present = try_join_all(wanted.iter().map(|what| api.0.protects(&target.id, *what))).await?;
        let attributes = wanted.iter().zip(present).map(|(what, protected)| Change {
            slot: ProtectionSlot::Attribute(InstanceAttribute {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
                protection: *what,
            }),
            before: ProtectionState::Attribute { protected },
            after: ProtectionState::Attribute { protected: true },
        });
        let volumes = facts.instance.volumes.iter().map(|volume| Change {
            slot: ProtectionSlot::Volume(DeleteOnTermination {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
                volume: volume.id.clone(),
                device: volume.device.clone(),
            }),
            before: ProtectionState::Volume { deleted_with_instance: volume.delete_on_termination },
            after: ProtectionState::Volume { deleted_with_instance: false },
        });
        // What waits in a warm pool, or is being ended, cannot be protected.
        let member =
            facts.group.iter().filter(|group| matches!(group.lifecycle, Lifecycle::InService | Lifecycle::Standby));
        let scale_in = member.map(|group| Change {
            slot: ScalingSlot::ScaleIn(ScaleIn {
                region: target.region.clone(),
                account: target.account.clone(),
                instance: target.id.clone(),
                group: group.name.clone(),
            }),
            before: ScalingState::ScaleIn { protected_from_scale_in: group.protected },
            after: ScalingState::ScaleIn { protected_from_scale_in: true },
        });
        let stage = attributes.chain(volumes).map(Change::one).chain(scale_in.map(Change::other));
        Ok(Plan::empty().then(stage).leaving(remaining(scene)))
    }
}

/// The attributes that EC2 lets this instance have.
fn wanted(options: &Options, instance: &stanch_aws::Instance) -> Vec<Protection> {
    let mut wanted = Vec::new();
    if !instance.spot {
        wanted.push(Protection::Termination);
    }
    if !instance.spot && !instance.instance_store_root && !options.allow_stop {
        wanted.push(Protection::Stop);
    }
    // It cannot be stopped at all.
    if !instance.instance_store_root {
        wanted.push(Protection::Shutdown);
    }
    wanted
}

/// What can still end it.
fn remaining(scene: &Scene<'_, AwsProtectInstance>) -> Vec<Remaining> {
    let Scene { target, options, facts, mark, .. } = scene;
    let instance = &facts.instance;
    let mut left = Vec::new();
    if instance.spot {
        left.push(
            Remaining::new(
                "it is a Spot instance: EC2 gives it neither termination nor stop protection, and may take it away with \
                 two minutes' notice",
            )
            .next(next_order("aws-snapshot-volumes", mark, target)),
        );
    } else if instance.instance_store_root {
        left.push(Remaining::new("its root is an instance store volume: EC2 gives it no stop protection"));
    } else if options.allow_stop {
        left.push(Remaining::new("whoever may stop it can end what its memory holds: stop protection was left out"));
    }
    if instance.has_instance_store() {
        left.push(Remaining::new("its instance store volumes are lost when it stops or fails"));
    }
    if let Some(operator) = &instance.operator {
        left.push(Remaining::new(format!("{operator} operates it, and may end it all the same")));
    }
    match &facts.group {
        Some(group) if group.lifecycle == Lifecycle::InService => left.push(
            Remaining::new(format!(
                "{} may still end it when it is unhealthy, too old or replaced by an instance refresh: protection is \
                 from scaling in alone",
                group.name
            ))
            .next(next_order("aws-release-instance", mark, target)),
        ),
        Some(group) if group.lifecycle != Lifecycle::Standby => {
            left.push(Remaining::new(format!("{} is about to end it, and cannot be kept from it", group.name)));
        }
        _ => {}
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
