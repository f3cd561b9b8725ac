//! Terminates an EC2 instance.
//!
//! **When.** Last of all: the case is understood, the volumes are captured, nothing is needed of its memory.
//!
//! **What.** `TerminateInstances`, after the termination protection is lifted, if it was aws-protect-instance that set it:
//! its record in the ledger says so. A protection that somebody else set stays, and refuses the order.
//!
//! It refuses unless every EBS volume of the instance has a completed snapshot of aws-snapshot-volumes: its record says
//! which, and a snapshot counts only if the account owns it, it is of that volume, and it was started after the record
//! was opened. A tag alone proves nothing. `without_snapshot` is the way past it.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `ec2:DescribeInstanceAttribute`, `ec2:DescribeSnapshots`. Acting:
//! `ec2:TerminateInstances`, `ec2:ModifyInstanceAttribute`.
//!
//! **Blast radius.** The instance, its memory, its instance store volumes, and each EBS volume that is deleted with it.
//!
//! **Undo.** None.
//!
//! Sources: EC2 User Guide "Terminate Amazon EC2 instances", "Change instance termination protection", "Preserve data
//! when an instance is terminated".

use serde::Deserialize;
use stanch_aws::{
    Ec2Api, EvenGone, Evidence, Instance, InstanceAttribute, Protection, ProtectionSlot, ProtectionState,
    TerminationSlot, TerminationState,
};
use stanch_core::{
    Change, Error, Kind, Known, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Sibling,
    Trigger, names::VolumeId, target::Ec2Instance,
};

/// Who captures the volumes.
const SNAPSHOTS: &str = "aws-snapshot-volumes";
/// Who protects the instance.
const PROTECT: &str = "aws-protect-instance";

/// Terminates an EC2 instance.
pub struct AwsTerminateInstance;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Terminate it although not every volume is captured.
    pub without_snapshot: bool,
}

impl Responder for AwsTerminateInstance {
    const NAME: &'static str = "aws-terminate-instance";
    const ABOUT: &'static str = "Terminates an EC2 instance whose volumes are captured.";
    const UNDO: &'static str = "Nothing is undone: a terminated instance does not come back.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstanceAttribute"),
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeSnapshots"),
        ],
        apply: &[Permission::Aws("ec2:ModifyInstanceAttribute"), Permission::Aws("ec2:TerminateInstances")],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "without_snapshot",
        form: "bool, false",
        about: "Terminate it although not every volume has a completed snapshot of this record.",
    }];
    const SIBLINGS: &'static [&'static str] = &[SNAPSHOTS, PROTECT];

    type Cloud = EvenGone<TerminationSlot>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = TerminationSlot;

    async fn plan(api: &Ec2Api, scene: &Scene<'_, Self>) -> Result<Plan<TerminationSlot>> {
        draw(api, scene, &[]).await
    }

    async fn plan_knowing(
        api: &Ec2Api,
        scene: &Scene<'_, Self>,
        known: &Known<TerminationSlot>,
    ) -> Result<Plan<TerminationSlot>> {
        draw(api, scene, &known.siblings).await
    }
}

async fn draw(
    api: &Ec2Api,
    scene: &Scene<'_, AwsTerminateInstance>,
    siblings: &[Sibling],
) -> Result<Plan<TerminationSlot>> {
    let Scene { target, options, facts, .. } = scene;
    let (region, instance) = (target.region.clone(), target.id.clone());
    if facts.is_gone() {
        return Ok(Plan::empty().leaving([gone()]));
    }
    if let Some(operator) = &facts.operator {
        let message =
            format!("{operator} operates the instance: delete its node, or the claim behind it, in the cluster");
        return Err(Error::new(Kind::Unsupported, "plan", message).on(target.id.as_str()));
    }
    let sibling = |name: &str| siblings.iter().find(|sibling| sibling.responder == name);
    let evidence = match sibling(SNAPSHOTS) {
        Some(snapshots) => api.evidence(&snapshots.mark, &ids(facts)).await?,
        None => Evidence::default(),
    };
    if !options.without_snapshot {
        captured(scene, &evidence)?;
    }
    let mut plan = Plan::empty();
    if api.protects(&target.id, Protection::Termination).await? {
        if !sibling(PROTECT).is_some_and(is_ours) {
            let message = "its termination protection is on, and not by us: whoever set it has to lift it";
            return Err(Error::refused(message).on(target.id.as_str()));
        }
        plan = plan.then([Change {
            slot: TerminationSlot::TerminationProtection { region: region.clone(), instance: instance.clone() },
            before: TerminationState::Protection { termination_protected: true },
            after: TerminationState::Protection { termination_protected: false },
        }]);
    }
    let end = Change {
        slot: TerminationSlot::Life { region, instance },
        before: TerminationState::Life { terminated: false },
        after: TerminationState::Life { terminated: true },
    };
    Ok(plan.then([end]).leaving(remaining(facts, &evidence)))
}

fn ids(facts: &Instance) -> Vec<VolumeId> {
    facts.volumes.iter().map(|volume| volume.id.clone()).collect()
}

/// Refuses while a volume is not captured, with what to do about it.
fn captured(scene: &Scene<'_, AwsTerminateInstance>, evidence: &Evidence) -> Result<()> {
    let Scene { target, facts, mark, .. } = scene;
    let missing: Vec<_> = facts
        .volumes
        .iter()
        .filter(|volume| evidence.captured.get(&volume.id).is_none_or(|snapshot| !snapshot.completed))
        .map(|volume| match evidence.captured.get(&volume.id) {
            Some(snapshot) => format!("{} ({} is at {} %)", volume.id, snapshot.snapshot, snapshot.percent),
            None => format!("{} (none)", volume.id),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Ec2Instance { account, region, id } = target;
    Err(Error::refused(format!(
        "no completed snapshot of {}: first {SNAPSHOTS} apply --incident {} --account {account} --region {region} \
         --id {id} --set wait=true, or set options.without_snapshot",
        missing.join(", "),
        mark.incident
    ))
    .on(id.as_str()))
}

/// Whether a record of aws-protect-instance has switched the termination protection on.
fn is_ours(protect: &Sibling) -> bool {
    protect.made::<ProtectionSlot, ProtectionState>().iter().any(|(slot, after)| {
        matches!(slot, ProtectionSlot::Attribute(InstanceAttribute { protection: Protection::Termination, .. }))
            && *after == ProtectionState::Attribute { protected: true }
    })
}

fn gone() -> Remaining {
    Remaining::new("EC2 describes a terminated instance for about an hour; its tags and its address are free then")
}

/// What ends with it, and what stays.
fn remaining(facts: &Instance, evidence: &Evidence) -> Vec<Remaining> {
    let mut left = Vec::new();
    for volume in &facts.volumes {
        let captured = evidence
            .captured
            .get(&volume.id)
            .map_or_else(|| "not captured".to_owned(), |snapshot| format!("captured as {}", snapshot.snapshot));
        let fate = if volume.delete_on_termination { "is deleted with it" } else { "stays, detached" };
        left.push(Remaining::new(format!("{} ({}) {fate}; {captured}", volume.id, volume.device)));
    }
    if facts.has_instance_store() {
        left.push(Remaining::new("its instance store volumes and its memory are lost"));
    }
    if let Some(group) = facts.tags.get("aws:autoscaling:groupName") {
        left.push(Remaining::new(format!("the Auto Scaling group {group} starts another one from the same template")));
    }
    left
}

#[cfg(test)]
mod tests;
