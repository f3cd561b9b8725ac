//! The look-ups, bound to one account and region.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_sdk_ec2::{
    Client,
    types::{Filter, LockState, LockedSnapshotsInfo},
};
use stanch_core::{
    Error, Kind, Mark, Result,
    names::{AccountId, InstanceId, Region, SecurityGroupId, VolumeId, VpcId},
    target::Ec2Instance,
};

use crate::{
    error::classify,
    evidence::Evidence,
    instance::{Instance, is_gone, only},
    profile::Planned,
    slot::{SnapshotSet, TAG_RECORD},
};

/// As many as `DescribeSnapshots` gives at once (EC2 API Reference: "`DescribeSnapshots`").
const PAGE: i32 = 1000;
/// A record has at most a few dozen snapshots. Whoever may tag can plant more; this bounds what we read of them.
const PAGES: usize = 20;

/// What can be looked up about an EC2 instance. Nothing here writes.
#[derive(Clone, Debug)]
pub struct Ec2Api {
    pub(crate) client: Client,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    /// The quarantine groups that this order has seen, so that what the plan has read is not read again.
    pub(crate) groups: Arc<Mutex<BTreeMap<(VpcId, String), SecurityGroupId>>>,
    /// The profile that this order's plan has read a moment ago, for the one look before its write.
    pub(crate) planned: Arc<Mutex<Option<Planned>>>,
}

/// How a snapshot is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotLockInfo {
    /// The lock is in force: an expired one is not.
    pub active: bool,
    /// For how many days.
    pub days: u32,
}

impl Ec2Api {
    pub(crate) fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Self {
        let (account, region) = (target.account.clone(), target.region.clone());
        Self { client: Client::new(config), account, region, groups: Arc::default(), planned: Arc::default() }
    }

    /// The instance. One call, `ec2:DescribeInstances`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is terminated or shutting down; [`Kind::Conflict`] when the credentials see it in
    /// another account than the target names.
    pub async fn instance(&self, id: &InstanceId) -> Result<Instance> {
        let instance = self.instance_even_gone(id).await?;
        if is_gone(&instance.state) {
            let message = format!("it is {}", instance.state);
            return Err(Error::new(Kind::NotFound, "ec2:DescribeInstances", message).on(id.as_str()));
        }
        Ok(instance)
    }

    /// The same, as long as EC2 describes it: an hour after its end it no longer does.
    ///
    /// # Errors
    /// As [`instance`](Self::instance), but for an instance that is terminated or shutting down.
    pub async fn instance_even_gone(&self, id: &InstanceId) -> Result<Instance> {
        const OPERATION: &str = "ec2:DescribeInstances";
        let found = self
            .client
            .describe_instances()
            .instance_ids(id.as_str())
            .send()
            .await
            .map_err(|error| classify(OPERATION, id.as_str(), error))?;
        let refuse = |kind, message: String| Error::new(kind, OPERATION, message).on(id.as_str());
        let (described, owner) =
            only(found.reservations(), id).ok_or_else(|| refuse(Kind::NotFound, "there is no such instance".into()))?;
        if owner != self.account.as_str() {
            let message = format!("these credentials see it in another account than {}", self.account);
            return Err(refuse(Kind::Conflict, message));
        }
        Ok(Instance::read(described))
    }

    /// The snapshots of a record. One call a page, `ec2:DescribeSnapshots`; one page unless someone plants.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn evidence(&self, mark: &Mark, wanted: &[VolumeId]) -> Result<Evidence> {
        const OPERATION: &str = "ec2:DescribeSnapshots";
        let ours = Filter::builder().name(format!("tag:{TAG_RECORD}")).values(mark.record.as_str()).build();
        let mut evidence = Evidence::default();
        let mut next = None;
        for _ in 0..PAGES {
            let page = self
                .client
                .describe_snapshots()
                .owner_ids("self")
                .filters(ours.clone())
                .max_results(PAGE)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| classify(OPERATION, mark.record.as_str(), error))?;
            for snapshot in page.snapshots() {
                evidence.judge(snapshot, &self.account, mark, wanted);
            }
            // The last page has an empty token or none.
            match page.next_token().filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(evidence),
            }
        }
        let message = format!("more than {} snapshots carry the record's tag", PAGES * 1000);
        Err(Error::new(Kind::Conflict, OPERATION, message).on(mark.record.as_str()))
    }

    /// How a snapshot is locked. One call, `ec2:DescribeLockedSnapshots`.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn lock(&self, snapshot: &str) -> Result<SnapshotLockInfo> {
        let found = self
            .client
            .describe_locked_snapshots()
            .snapshot_ids(snapshot)
            .send()
            .await
            .map_err(|error| classify("ec2:DescribeLockedSnapshots", snapshot, error))?;
        let lock = found.snapshots().iter().find(|lock| lock.snapshot_id() == Some(snapshot));
        let active = |state: &LockState| {
            matches!(state, LockState::Governance | LockState::Compliance | LockState::ComplianceCooloff)
        };
        Ok(SnapshotLockInfo {
            active: lock.and_then(|lock| lock.lock_state()).is_some_and(active),
            days: lock
                .and_then(LockedSnapshotsInfo::lock_duration)
                .and_then(|days| u32::try_from(days).ok())
                .unwrap_or(0),
        })
    }

    /// Whether EC2 would take these snapshots. One call, `ec2:CreateSnapshots` with `DryRun`, which changes nothing.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where an operator such as EKS Auto Mode manages the instance; [`Kind::Denied`].
    pub async fn may_snapshot(&self, set: &SnapshotSet, mark: &Mark) -> Result<()> {
        let tried = set.request(self, Some(mark), true).dry_run(true).send().await;
        dry_run("ec2:CreateSnapshots", set.instance.as_str(), tried)
    }
}

/// The answer to a call with `DryRun`: the error code `DryRunOperation` is success (EC2 API Reference: "`DryRun`").
pub(crate) fn dry_run<O, E>(
    operation: &str,
    resource: &str,
    answer: Result<
        O,
        aws_smithy_runtime_api::client::result::SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    >,
) -> Result<()>
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().and_then(|e| e.code()) == Some("DryRunOperation") => Ok(()),
        Err(error) => Err(classify(operation, resource, error)),
    }
}
