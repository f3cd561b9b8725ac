//! Pages, states, owners: canned in EC2's documented form, since moto has one page and one state.

use jiff::{SignedDuration, Timestamp};
use stanch_core::{Kind, Slot};

use super::{
    bed::{Bed, TAKEN, mark},
    canned::{Snapshot, answer, snapshots},
};
use crate::{SnapshotSlot, SnapshotState};

const STARTED: &str = "2026-11-20T09:40:00.000Z";

fn opened() -> stanch_core::Mark {
    let mut mark = mark(SignedDuration::ZERO);
    mark.opened = "2026-11-20T09:41:00Z".parse::<Timestamp>().expect("a time");
    mark
}

#[tokio::test]
async fn every_page_is_read_and_each_snapshot_judged() {
    let bed = Bed::new(2, &[]).await;
    let (mut set, owner) = (bed.set(), bed.seeded.account.clone());
    set.volumes.sort();
    let [first, second] = [set.volumes[0].to_string(), set.volumes[1].to_string()];
    answer(&bed.proxy, "DescribeSnapshots", move |call| {
        let it = |id, volume, owner, state, started| Snapshot { id, volume, owner, state, progress: "40%", started };
        Some(match call.form("NextToken").as_deref() {
            None => snapshots(
                &[
                    it("snap-1", &first, &owner, "completed", STARTED),
                    it("snap-2", &second, "999999999999", "completed", STARTED),
                    it("snap-3", &second, &owner, "error", STARTED),
                ],
                "page-2",
            ),
            Some("page-2") => snapshots(
                &[
                    it("snap-4", &second, &owner, "recoverable", STARTED),
                    it("snap-5", &second, &owner, "completed", "2026-11-20T09:38:59.000Z"),
                ],
                "page-3",
            ),
            Some(_) => snapshots(&[it("snap-6", &second, &owner, "pending", STARTED)], ""),
        })
    });
    let evidence = bed.api.evidence(&opened(), &set.volumes).await.expect("looks");
    assert_eq!(bed.proxy.count(), 3);
    assert_eq!(evidence.ids(), ["snap-1", "snap-6"], "a minute before the record is within the clocks' skew");
    assert_eq!(evidence.pending().as_deref(), Some("1 of 2 snapshots pending (70 %)"));
    let why: Vec<_> = evidence.discounted.iter().map(|it| (it.snapshot.as_str(), it.why.as_str())).collect();
    assert_eq!(
        why,
        [
            ("snap-2", "it belongs to another account"),
            ("snap-3", "it ended in error: out of luck"),
            ("snap-4", "its state is recoverable"),
            ("snap-5", "it is older than the record"),
        ]
    );

    let seen = SnapshotSlot::Snapshots(set.clone()).look(&bed.api, &opened()).await.expect("looks");
    assert_eq!((seen.state, seen.settling.as_deref()), (TAKEN, Some("1 of 2 snapshots pending (70 %)")));
    let seen = SnapshotSlot::Completion(set).look(&bed.api, &opened()).await.expect("looks");
    assert_eq!(seen.state, SnapshotState::Completion { completed: false });
}

#[tokio::test]
async fn a_failed_snapshot_ends_the_wait() {
    let bed = Bed::new(1, &[]).await;
    let (volume, owner) = (bed.seeded.volumes[0].clone(), bed.seeded.account.clone());
    answer(&bed.proxy, "DescribeSnapshots", move |_| {
        let failed =
            Snapshot { id: "snap-1", volume: &volume, owner: &owner, state: "error", progress: "", started: STARTED };
        Some(snapshots(&[failed], ""))
    });
    let error = SnapshotSlot::Completion(bed.set()).look(&bed.api, &opened()).await.expect_err("it never completes");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.message().contains("snap-1"), "{error}");
    let seen = SnapshotSlot::Snapshots(bed.set()).look(&bed.api, &opened()).await.expect("looks");
    assert_eq!(seen.state, SnapshotState::Snapshots { taken: false }, "so that ordering again takes a new set");
}

#[tokio::test]
async fn endless_pages_end() {
    let bed = Bed::new(1, &[]).await;
    answer(&bed.proxy, "DescribeSnapshots", |_| Some(snapshots(&[], "again")));
    let error = bed.api.evidence(&opened(), &bed.set().volumes).await.expect_err("no end");
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(bed.proxy.count(), 20);
}
