//! Snapshots the EBS volumes of an EC2 instance as one crash-consistent set.
//!
//! **When.** At once, when a detector accuses an instance: it changes nothing on it, the attacker cannot see it from
//! the inside, and what is on the disks now may be wiped in a minute.
//!
//! **What.** One `CreateSnapshots` on the instance. EC2 has no client token for it, so the snapshots carry the
//! record's id as a tag from their creation, and are looked for by it before any are made. Options leave volumes out,
//! lock the snapshots against deletion, and wait until they are completed.
//!
//! **Permissions.** Looking: `ec2:DescribeInstances`, `ec2:DescribeSnapshots`, `ec2:DescribeLockedSnapshots` (with
//! `lock`). Acting: `ec2:CreateSnapshots`, `ec2:CreateTags` (the tags at creation need it), `ec2:LockSnapshot` (with
//! `lock`). No KMS permission: a snapshot of an encrypted volume has the volume's key.
//!
//! **Blast radius.** None on the instance. Several pending snapshots of a volume can slow it down, hence the
//! cool-down of an hour; each snapshot costs storage until someone deletes it.
//!
//! **Undo.** None: snapshots are evidence.
//!
//! Sources: EC2 API Reference "`CreateSnapshots`", EBS User Guide "Create Amazon EBS snapshots" and "Amazon EBS
//! snapshot lock", EC2 User Guide "Amazon EC2 managed instances".

use std::time::Duration;

use serde::Deserialize;
use stanch_aws::{
    Aws, Ec2Api, Evidence, Instance, MAX_EXCLUDED, SnapshotLock, SnapshotSet, SnapshotSlot, SnapshotState, Volume,
};
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    names::VolumeId, target::Ec2Instance,
};

/// The longest lock (EC2 API Reference: "`LockSnapshot`").
const MAX_LOCK_DAYS: u32 = 36_500;

/// Snapshots every EBS volume of an EC2 instance.
pub struct AwsSnapshotVolumes;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Leave the root volume out.
    pub exclude_boot: bool,
    /// Leave these data volumes out.
    pub exclude_volumes: Vec<VolumeId>,
    /// Lock the snapshots for so many days.
    pub lock: Option<u32>,
    /// Wait until the snapshots are completed.
    pub wait: bool,
}

impl Responder for AwsSnapshotVolumes {
    const NAME: &'static str = "aws-snapshot-volumes";
    const ABOUT: &'static str = "Snapshots the EBS volumes of an EC2 instance as one crash-consistent set.";
    const UNDO: &'static str = "Nothing is undone: the snapshots are evidence, and the instance was not changed.";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeSnapshots"),
            Permission::Aws("ec2:DescribeLockedSnapshots"),
        ],
        apply: &[
            Permission::Aws("ec2:CreateSnapshots"),
            Permission::Aws("ec2:CreateTags"),
            Permission::Aws("ec2:LockSnapshot"),
        ],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "exclude_boot", form: "bool, false", about: "Leave the root volume out." },
        OptionDoc {
            name: "exclude_volumes",
            form: "[vol-…], none",
            about: "Leave these data volumes out, at most 40.",
        },
        OptionDoc {
            name: "lock",
            form: "days, none",
            about: "Lock the snapshots in governance mode, so that they cannot be deleted for so many days.",
        },
        OptionDoc { name: "wait", form: "bool, false", about: "Wait until the snapshots are completed." },
    ];
    const COOL_DOWN: Option<Duration> = Some(Duration::from_hours(1));
    const GENTLE: bool = true;

    type Cloud = Aws;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = SnapshotSlot;

    async fn plan(api: &Ec2Api, scene: &Scene<'_, Self>) -> Result<Plan<SnapshotSlot>> {
        let Scene { target, options, facts, mark, fresh } = scene;
        let set = select(target, options, facts)?;
        let evidence = if *fresh { Evidence::default() } else { api.evidence(mark, &set.volumes).await? };
        let taken = evidence.covers(&set.volumes);
        // AWS blocks changes to instances that another service operates, and does not say which: so it is tried.
        if let (false, Some(operator)) = (taken, &facts.operator) {
            api.may_snapshot(&set, mark).await.map_err(|error| operated(operator, error))?;
        }
        let snapshots = Change {
            slot: SnapshotSlot::Snapshots(set.clone()),
            before: SnapshotState::Snapshots { taken },
            after: SnapshotState::Snapshots { taken: true },
        };
        let mut plan = Plan::empty().then([snapshots]);
        if let Some(days) = options.lock {
            plan = plan.then(locks(api, &set, &evidence, days).await?);
        }
        if options.wait {
            plan = plan.then([Change {
                before: SnapshotState::Completion { completed: evidence.completed(&set.volumes) },
                after: SnapshotState::Completion { completed: true },
                slot: SnapshotSlot::Completion(set),
            }]);
        }
        Ok(plan.leaving(remaining(options, facts, &evidence)))
    }
}

/// What is to be captured.
fn select(target: &Ec2Instance, options: &Options, facts: &Instance) -> Result<SnapshotSet> {
    let refuse = |field: &str, message: String| Err(Error::invalid(format!("options.{field}"), message));
    if options.lock.is_some_and(|days| !(1..=MAX_LOCK_DAYS).contains(&days)) {
        return refuse("lock", format!("must be 1 to {MAX_LOCK_DAYS} days"));
    }
    let mut exclude = options.exclude_volumes.clone();
    exclude.sort();
    exclude.dedup();
    if exclude.len() > MAX_EXCLUDED {
        return refuse("exclude_volumes", format!("must be at most {MAX_EXCLUDED} volumes"));
    }
    for id in &exclude {
        match facts.volume(id) {
            // A misspelt exclusion would snapshot what was to be left out.
            None => return refuse("exclude_volumes", format!("{id} is not attached to {}", target.id)),
            Some(volume) if volume.root => {
                return refuse("exclude_volumes", format!("{id} is the root volume: use exclude_boot"));
            }
            Some(_) => {}
        }
    }
    if facts.volumes.is_empty() {
        let message = "it has no EBS volume; capture its disks and memory from the inside while it runs: instance store \
                       is lost when it stops";
        return Err(Error::new(Kind::Unsupported, "plan", message).on(target.id.as_str()));
    }
    let volumes: Vec<VolumeId> =
        facts.volumes.iter().filter(|volume| !is_left_out(options, volume)).map(|volume| volume.id.clone()).collect();
    if volumes.is_empty() {
        let field = if exclude.is_empty() { "exclude_boot" } else { "exclude_volumes" };
        return refuse(field, "every volume is left out".to_owned());
    }
    Ok(SnapshotSet {
        region: target.region.clone(),
        account: target.account.clone(),
        instance: target.id.clone(),
        volumes,
        exclude_boot: options.exclude_boot,
        exclude,
    })
}

fn is_left_out(options: &Options, volume: &Volume) -> bool {
    (options.exclude_boot && volume.root) || options.exclude_volumes.contains(&volume.id)
}

/// One lock a volume: they are independent. A snapshot that is still to be made has none.
async fn locks(api: &Ec2Api, set: &SnapshotSet, evidence: &Evidence, days: u32) -> Result<Vec<Change<SnapshotSlot>>> {
    let mut changes = Vec::with_capacity(set.volumes.len());
    for volume in &set.volumes {
        let locked = match evidence.captured.get(volume).filter(|_| evidence.covers(&set.volumes)) {
            Some(captured) => {
                let lock = api.lock(&captured.snapshot).await?;
                lock.active && lock.days >= days
            }
            None => false,
        };
        changes.push(Change {
            slot: SnapshotSlot::Lock(SnapshotLock {
                region: set.region.clone(),
                account: set.account.clone(),
                instance: set.instance.clone(),
                volume: volume.clone(),
                days,
            }),
            before: SnapshotState::Lock { locked },
            after: SnapshotState::Lock { locked: true },
        });
    }
    Ok(changes)
}

/// What is not captured, and what must not be taken for evidence.
fn remaining(options: &Options, facts: &Instance, evidence: &Evidence) -> Vec<Remaining> {
    let mut left = Vec::new();
    for volume in &facts.volumes {
        if is_left_out(options, volume) {
            left.push(Remaining::new(format!("{} ({}) is not captured: it was left out", volume.id, volume.device)));
        }
    }
    if facts.has_instance_store() {
        let what = format!(
            "the instance store volumes of {} are not captured: no snapshot reaches them, and they are lost when it stops",
            if facts.instance_type.is_empty() { "the instance" } else { &facts.instance_type },
        );
        left.push(Remaining::new(what).next("copy them from the inside before anything stops the instance"));
    }
    left.push(
        Remaining::new("memory, and what the operating system had not yet written, are not captured")
            .next("capture memory from the inside while the instance runs"),
    );
    for snapshot in &evidence.discounted {
        let what =
            format!("{} carries this record's tag and is no evidence of it: {}", snapshot.snapshot, snapshot.why);
        left.push(Remaining::new(what));
    }
    left
}

/// An instance that another service operates, and that AWS does not let us capture.
fn operated(operator: &str, error: Error) -> Error {
    if error.kind() != Kind::Unsupported {
        return error;
    }
    let message = format!(
        "{operator} operates the instance and AWS blocks it; use the Kubernetes responders on its node \
         (k8s-cordon-node, k8s-isolate-pod)"
    );
    Error::new(Kind::Unsupported, error.operation(), message).on(error.resource()).because(error.message())
}

#[cfg(test)]
mod tests;
