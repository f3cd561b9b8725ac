//! Whether the permissions are there, without using them: each action is tried with `DryRun`.

use stanch_core::{Check, Error, Kind, Permission, Permissions, Result, names::InstanceId};

use crate::{
    ec2::{Ec2Api, dry_run},
    slot::SnapshotSet,
};

/// A snapshot that does not exist: enough to be refused for want of permission.
const NO_SNAPSHOT: &str = "snap-00000000000000000";

/// One line a permission.
pub(crate) async fn permissions(api: &Ec2Api, instance: &InstanceId, needs: &Permissions) -> Vec<Check> {
    let mut lines = Vec::new();
    for permission in needs.plan.iter().chain(needs.apply).chain(needs.revert) {
        let Permission::Aws(action) = permission else { continue };
        lines.push(line(action, attempt(api, instance, action).await));
    }
    lines
}

/// What trying an action says of it.
pub fn line(action: &str, tried: Result<()>) -> Check {
    let (ok, detail) = match tried {
        Ok(()) => (true, "allowed".to_owned()),
        // EC2 looks at the permission before the resource; whether it does so for every resource is not documented.
        Err(error) if error.kind() == Kind::NotFound => (true, format!("not refused: {}", error.message())),
        Err(error) => (false, error.to_string()),
    };
    Check { what: action.to_owned(), ok, detail }
}

/// An action that nobody knows how to try.
pub(crate) fn unknown(action: &str) -> Error {
    Error::new(Kind::Internal, action, "no way to try it is known")
}

pub(crate) async fn describe_instances(api: &Ec2Api, instance: &InstanceId) -> Result<()> {
    let id = instance.as_str();
    let tried = api.client.describe_instances().instance_ids(id).dry_run(true).send().await;
    dry_run("ec2:DescribeInstances", id, tried)
}

async fn attempt(api: &Ec2Api, instance: &InstanceId, action: &str) -> Result<()> {
    let client = &api.client;
    match action {
        "ec2:DescribeInstances" => describe_instances(api, instance).await,
        "ec2:DescribeSnapshots" => {
            let tried = client.describe_snapshots().owner_ids("self").max_results(5).dry_run(true).send().await;
            dry_run(action, instance.as_str(), tried)
        }
        "ec2:DescribeLockedSnapshots" => {
            dry_run(action, instance.as_str(), client.describe_locked_snapshots().dry_run(true).send().await)
        }
        "ec2:CreateSnapshots" => create(api, instance, false).await,
        // On its own it would be tried on the wrong resource: the role may tag only what it creates
        // (condition `ec2:CreateAction`), so it is tried as it is used.
        "ec2:CreateTags" => create(api, instance, true).await,
        "ec2:LockSnapshot" => {
            let lock = client.lock_snapshot().snapshot_id(NO_SNAPSHOT).lock_duration(1);
            let lock = lock.lock_mode(aws_sdk_ec2::types::LockMode::Governance);
            dry_run(action, NO_SNAPSHOT, lock.dry_run(true).send().await)
        }
        _ => Err(unknown(action)),
    }
}

async fn create(api: &Ec2Api, instance: &InstanceId, tagged: bool) -> Result<()> {
    let set = SnapshotSet {
        region: api.region.clone(),
        account: api.account.clone(),
        instance: instance.clone(),
        volumes: Vec::new(),
        exclude_boot: false,
        exclude: Vec::new(),
    };
    let mut request = set.request(api, None, false);
    if tagged {
        request = request.tag_specifications(
            aws_sdk_ec2::types::TagSpecification::builder()
                .resource_type(aws_sdk_ec2::types::ResourceType::Snapshot)
                .tags(aws_sdk_ec2::types::Tag::builder().key(crate::slot::TAG_RECORD).value("check").build())
                .build(),
        );
    }
    dry_run(
        if tagged { "ec2:CreateTags" } else { "ec2:CreateSnapshots" },
        instance.as_str(),
        request.dry_run(true).send().await,
    )
}

/// A group that does not exist.
pub(crate) const NO_GROUP: &str = "sg-00000000000000000";
/// An interface that does not exist.
pub(crate) const NO_INTERFACE: &str = "eni-00000000000000000";

/// A tag as we set it on what we make.
pub(crate) fn tag(kind: aws_sdk_ec2::types::ResourceType) -> aws_sdk_ec2::types::TagSpecification {
    let tag = aws_sdk_ec2::types::Tag::builder().key(crate::slot::TAG_RECORD).value("check").build();
    aws_sdk_ec2::types::TagSpecification::builder().resource_type(kind).tags(tag).build()
}
