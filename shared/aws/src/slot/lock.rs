//! A lock on a snapshot: nobody can delete it for some days, unless allowed to unlock it first.
//!
//! Sources: EC2 API Reference "`LockSnapshot`" (1 to 36500 days; pending snapshots can be locked, the days count from
//! completion); EBS User Guide "Amazon EBS snapshot lock".

use aws_sdk_ec2::types::LockMode;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Mark, Result, Seen,
    names::{AccountId, InstanceId, Region, VolumeId},
};

use super::{
    TAG_RECORD,
    snapshot::{SnapshotSlot, SnapshotState, SnapshotToken},
};
use crate::{ec2::Ec2Api, error::classify, shell};

/// The lock on the record's snapshot of one volume. The snapshot's id is not known when the lock is planned: it is
/// found by tag, as the snapshot itself is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotLock {
    /// The region of the snapshot.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance that the volume is attached to.
    pub instance: InstanceId,
    /// The volume that it is of.
    pub volume: VolumeId,
    /// For how long.
    pub days: u32,
}

impl SnapshotLock {
    pub(super) async fn look(&self, api: &Ec2Api, mark: &Mark) -> Result<Seen<SnapshotSlot>> {
        let evidence = api.evidence(mark, std::slice::from_ref(&self.volume)).await?;
        // The set was seen before this stage began, so it is there, or was deleted: either way looking again, or
        // ordering again, is what helps.
        let snapshot =
            evidence.captured.get(&self.volume).map(|captured| captured.snapshot.clone()).ok_or_else(|| {
                Error::new(Kind::Unavailable, "ec2:DescribeSnapshots", "the record's snapshot does not show")
                    .on(self.volume.as_str())
            })?;
        let lock = api.lock(&snapshot).await?;
        Ok(Seen {
            state: SnapshotState::Lock { locked: lock.active && lock.days >= self.days },
            token: SnapshotToken::Snapshot(snapshot.clone()),
            ids: vec![snapshot],
            settling: None,
        })
    }

    /// Governance, not compliance: a lock that nobody at all could take off again is a person's decision.
    pub(super) async fn lock(&self, api: &Ec2Api, snapshot: &str) -> Result<()> {
        const OPERATION: &str = "ec2:LockSnapshot";
        let days = i32::try_from(self.days)
            .map_err(|_| Error::new(Kind::Internal, OPERATION, "more days than a lock can have").on(snapshot))?;
        api.client
            .lock_snapshot()
            .snapshot_id(snapshot)
            .lock_mode(LockMode::Governance)
            .lock_duration(days)
            .send()
            .await
            .map_err(|error| classify(OPERATION, snapshot, error))?;
        Ok(())
    }

    pub(super) fn command(&self, mark: &Mark) -> String {
        let filter = |text: String| shell::word(&text);
        format!(
            "aws ec2 lock-snapshot --region {region} --lock-mode governance --lock-duration {days} --snapshot-id \
             \"$(aws ec2 describe-snapshots --region {region} --owner-ids self --filters {record} {volume} \
             --query 'Snapshots[0].SnapshotId' --output text)\"",
            region = self.region,
            days = self.days,
            record = filter(format!("Name=tag:{TAG_RECORD},Values={}", mark.record)),
            volume = filter(format!("Name=volume-id,Values={}", self.volume)),
        )
    }
}
