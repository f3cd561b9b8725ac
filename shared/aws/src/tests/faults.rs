//! What goes wrong, and that nothing is sent twice.

use std::time::Duration;

use stanch_core::{Kind, Slot};
use stanch_range::proxy::{Fault, ec2_error};

use super::{
    bed::{Bed, TAKEN, now, take},
    canned::refuse,
};
use crate::SnapshotSlot;

#[tokio::test]
async fn a_lost_answer_is_found_and_not_repeated() {
    let bed = Bed::new(2, &[]).await;
    let (slot, mark) = (SnapshotSlot::Snapshots(bed.set()), now());
    bed.proxy.fault_on(|call| call.action.as_deref() == Some("CreateSnapshots"), 1, 1, Fault::AnswerLost);
    let error = take(&slot, &TAKEN, &mark, &bed.api).await.expect_err("no answer");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(bed.proxy.actions(), ["DescribeSnapshots", "CreateSnapshots"]);
    assert_eq!(slot.look(&bed.api, &mark).await.expect("looks").state, TAKEN);
}

#[tokio::test]
async fn throttling_says_how_long_to_wait_and_takes_nothing() {
    let bed = Bed::new(1, &[]).await;
    let before = bed.moto.describe_snapshots().expect("lists").len();
    for (code, wait) in [
        ("SnapshotCreationPerVolumeRateExceeded", Some(15)),
        ("ConcurrentSnapshotLimitExceeded", Some(60)),
        ("RequestLimitExceeded", None),
    ] {
        bed.proxy.clear();
        refuse(&bed.proxy, "CreateSnapshots", 400, code, "slow down");
        let error = take(&SnapshotSlot::Snapshots(bed.set()), &TAKEN, &now(), &bed.api).await.expect_err(code);
        assert_eq!((error.kind(), error.wait()), (Kind::Throttled, wait.map(Duration::from_secs)), "{error}");
        assert_eq!(bed.proxy.count(), 2, "one look, one write, no retry of the SDK's own");
    }
    assert_eq!(bed.moto.describe_snapshots().expect("lists").len(), before);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let bed = Bed::new(1, &[]).await;
    let api = bed.as_user("looker", &["ec2:Describe*"]).await;
    bed.moto.enforce_iam(0.0).expect("enforces");
    let error = take(&SnapshotSlot::Snapshots(bed.set()), &TAKEN, &now(), &api).await.expect_err("not allowed");
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.message().starts_with("ec2:CreateSnapshots is not allowed"), "{error}");
    assert_eq!(error.resource(), bed.seeded.id);
}

#[tokio::test]
async fn an_operated_instance_is_tried_and_named_unsupported() {
    let bed = Bed::new(1, &[]).await;
    let before = bed.moto.describe_snapshots().expect("lists").len();
    bed.api.may_snapshot(&bed.set(), &now()).await.expect("it may");
    assert_eq!(bed.proxy.calls()[0].form("DryRun").as_deref(), Some("true"));
    let text = "The operation is not permitted because an operator manages the resource.";
    refuse(&bed.proxy, "CreateSnapshots", 400, "OperationNotPermitted", text);
    let error = bed.api.may_snapshot(&bed.set(), &now()).await.expect_err("it may not");
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!(bed.moto.describe_snapshots().expect("lists").len(), before);
}

#[tokio::test]
async fn tags_of_a_volume_cannot_keep_it_from_being_captured() {
    let bed = Bed::new(1, &[]).await;
    bed.proxy.rewrite(|call| {
        (call.action.as_deref() == Some("CreateSnapshots") && call.form("CopyTagsFromSource").is_some())
            .then(|| ec2_error(400, "TagLimitExceeded", "You've reached the limit on the number of tags."))
    });
    let (slot, mark) = (SnapshotSlot::Snapshots(bed.set()), now());
    take(&slot, &TAKEN, &mark, &bed.api).await.expect("captured");
    assert_eq!(bed.proxy.actions(), ["DescribeSnapshots", "CreateSnapshots", "CreateSnapshots"]);
    assert_eq!(slot.look(&bed.api, &mark).await.expect("looks").state, TAKEN);
}

#[tokio::test]
async fn a_volume_that_was_detached_meanwhile_is_named_and_not_tried_again() {
    let bed = Bed::new(2, &[]).await;
    let mut set = bed.set();
    let detached = "vol-0ffffffffffffffff";
    set.volumes.push(detached.parse().expect("a volume id"));
    let error = take(&SnapshotSlot::Snapshots(set), &TAKEN, &now(), &bed.api).await.expect_err("it is not in the set");
    assert_eq!(error.kind(), Kind::NotFound, "a kind that is never tried again: each try would be one more set");
    assert!(error.message().contains(detached), "{error}");
}
