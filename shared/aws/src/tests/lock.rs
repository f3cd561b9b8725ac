//! Locks: canned, since moto has none.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use stanch_core::Slot;
use stanch_range::proxy::ec2_error;

use super::bed::{Bed, TAKEN, now, take};
use crate::{SnapshotLock, SnapshotSlot, SnapshotState, SnapshotToken};

const LOCKED: SnapshotState = SnapshotState::Lock { locked: true };

#[tokio::test]
async fn the_records_snapshot_is_locked_and_seen_locked() {
    let bed = Bed::new(2, &[]).await;
    let (set, mark) = (bed.set(), now());
    let lock = SnapshotSlot::Lock(SnapshotLock {
        region: set.region.clone(),
        account: set.account.clone(),
        instance: set.instance.clone(),
        volume: set.volumes[1].clone(),
        days: 30,
    });
    let error = lock.look(&bed.api, &mark).await.expect_err("there is no snapshot yet");
    assert!(error.kind().is_transient(), "{error}");
    take(&SnapshotSlot::Snapshots(set), &TAKEN, &mark, &bed.api).await.expect("captured");

    let locked = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&locked);
    bed.proxy.rewrite(move |call| {
        let body = match call.action.as_deref()? {
            "LockSnapshot" => {
                state.store(true, Ordering::SeqCst);
                "<LockSnapshotResponse><lockState>governance</lockState></LockSnapshotResponse>".to_owned()
            }
            "DescribeLockedSnapshots" => {
                let item = format!(
                    "<item><snapshotId>{}</snapshotId><lockState>governance</lockState><lockDuration>30</lockDuration></item>",
                    call.form("SnapshotId.1")?
                );
                let items = if state.load(Ordering::SeqCst) { item } else { String::new() };
                format!("<DescribeLockedSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeLockedSnapshotsResponse>")
            }
            _ => return None,
        };
        let mut response = ec2_error(200, "", "");
        *response.body_mut() = body.into();
        response.headers_mut().remove("content-length");
        Some(response)
    });
    bed.proxy.clear();
    let seen = lock.look(&bed.api, &mark).await.expect("looks");
    assert_eq!(seen.state, SnapshotState::Lock { locked: false });
    let SnapshotToken::Snapshot(snapshot) = &seen.token else { panic!("{:?}", seen.token) };
    lock.carry_out(&LOCKED, &mark, &seen, &bed.api).await.expect("locks");
    assert_eq!(lock.look(&bed.api, &mark).await.expect("looks").state, LOCKED);
    let calls = bed.proxy.calls();
    let locking = calls.iter().find(|call| call.action.as_deref() == Some("LockSnapshot")).expect("one call");
    assert_eq!(locking.form("SnapshotId").as_ref(), Some(snapshot));
    assert_eq!(locking.form("LockMode").as_deref(), Some("governance"));
    assert_eq!(locking.form("LockDuration").as_deref(), Some("30"));

    // A shorter lock than wanted is no lock.
    let SnapshotSlot::Lock(mut longer) = lock.clone() else { panic!("{lock:?}") };
    longer.days = 31;
    let seen = SnapshotSlot::Lock(longer).look(&bed.api, &mark).await.expect("looks");
    assert_eq!(seen.state, SnapshotState::Lock { locked: false });
    assert!(lock.command(&LOCKED, &mark).starts_with(
        "aws ec2 lock-snapshot --region eu-central-1 --lock-mode governance --lock-duration 30 --snapshot-id \"$(aws"
    ));
}
