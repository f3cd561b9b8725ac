//! Against the range's Compute Engine; what happened is read back from there.

use std::time::Duration;

use jiff::Timestamp;
use stanch_core::{Cloud, target::GceInstance};
use stanch_range::gce::{Disk, Gce, Instance, OperationFailure, Refusal, Timing};

use super::*;
use crate::{CsekKeys, DiskKind, GceFacts, Gcp};

const PROJECT: &str = "acme-prod";
const ZONE: &str = "europe-west1-b";
/// Base64 of 32 bytes.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const TAKEN: GcpState = GcpState::Snapshot { taken: true };

fn target(name: Option<&str>, id: Option<u64>) -> GceInstance {
    GceInstance {
        project: PROJECT.parse().expect("project"),
        zone: ZONE.parse().expect("zone"),
        name: name.map(|name| name.parse().expect("name")),
        id: id.map(|id| id.to_string().parse().expect("id")),
    }
}

fn mark(record: char) -> Mark {
    Mark {
        record: record.to_string().repeat(24).parse().expect("record"),
        incident: "gd/Finding:1".parse().expect("incident"),
        opened: Timestamp::now(),
        by: "ana@example.com".into(),
    }
}

async fn connect(gce: &Gce, token: Option<&str>) -> (Gcp, GceApi) {
    let gcp = Gcp::at(&gce.endpoint(), token).expect("an address");
    let api = gcp.connect(&target(Some("web-1"), None)).await.expect("clients");
    (gcp, api)
}

/// A range with one instance and one disk, and the slot of that disk.
async fn bench(disk: Disk) -> (Gce, GceApi, SnapshotSlot) {
    let gce = Gce::start().expect("range");
    gce.timing(Timing::NONE);
    gce.seed(Instance::new(PROJECT, ZONE, "web-1").disk(disk.boot()));
    let (_, api) = connect(&gce, None).await;
    let slot = slot(&api, &mark('a')).await;
    gce.clear_log();
    (gce, api, slot)
}

async fn slot(api: &GceApi, mark: &Mark) -> SnapshotSlot {
    let facts: GceFacts = api.instance(&target(Some("web-1"), None)).await.expect("instance");
    let DiskKind::Persistent(disk) = facts.disks[0].disk.clone() else { panic!("a local SSD") };
    let found = api.disk(&disk).await.expect("disk");
    SnapshotSlot { csek: found.needs_key, ..SnapshotSlot::new(disk, found.id, mark).expect("name") }
}

/// What the driver does with a change.
async fn take(slot: &SnapshotSlot, mark: &Mark, api: &GceApi) -> Result<bool> {
    let seen = slot.look(api, mark).await?;
    if seen.state == TAKEN {
        return Ok(false);
    }
    slot.write(&TAKEN, mark, &seen.token.0, api).await.map(|()| true)
}

#[tokio::test]
async fn zonal_and_regional_disks_get_one_labelled_snapshot() {
    for (disk, method) in [
        (Disk::zonal("web-1"), "zones/europe-west1-b/disks/web-1/createSnapshot"),
        (Disk::regional("web-1", &[ZONE, "europe-west1-c"]), "regions/europe-west1/disks/web-1/createSnapshot"),
    ] {
        let (gce, api, mut slot) = bench(disk).await;
        slot.storage_location = Some(StorageLocation::try_from("europe-west4".to_owned()).expect("location"));
        let mark = mark('a');
        assert!(take(&slot, &mark, &api).await.expect("taken"));
        assert!(!take(&slot, &mark, &api).await.expect("already"));

        let [snapshot] = &gce.snapshots()[..] else { panic!("{:?}", gce.snapshots()) };
        assert_eq!(snapshot.name, slot.name.as_str());
        assert_eq!(snapshot.source_disk_id.to_string(), slot.disk_id.as_str());
        assert_eq!(snapshot.storage_locations, ["europe-west4"]);
        assert_eq!(snapshot.labels["stanch-record"], mark.record.as_str());
        assert_eq!(snapshot.labels["stanch-incident"], "gd-finding-1");
        assert_eq!(snapshot.labels["stanch-by"], "ana-example-com");
        assert!(!snapshot.guest_flush);
        // One look, one write (that is done at once, here, and so looked for), one look.
        assert_eq!(gce.log().len(), 4, "{:?}", gce.log());
        assert!(gce.writes()[0].path.ends_with(method), "{:?}", gce.writes());
        assert!(gce.writes()[0].query.contains("requestId="));
    }
}

#[tokio::test]
async fn a_write_that_is_repeated_takes_no_second_snapshot() {
    let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
    let mark = mark('a');
    for _ in 0..3 {
        // As after a lost answer: the token still says that nothing is there.
        slot.write(&TAKEN, &mark, &Found::Free(slot.name.clone()), &api).await.expect("accepted");
    }
    assert_eq!(gce.snapshots().len(), 1);
    let [first, rest @ ..] = &gce.writes()[..] else { panic!("no write") };
    assert!(rest.iter().all(|call| call.query == first.query), "the request id must not change");
}

#[tokio::test]
async fn a_snapshot_that_was_deleted_is_taken_again() {
    let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
    let mark = mark('a');
    for _ in 0..3 {
        assert!(take(&slot, &mark, &api).await.expect("taken"));
        assert_eq!(gce.snapshots().len(), 1);
        let snapshots = api.clients.snapshots().await.expect("a client");
        let delete = snapshots.delete().set_project(PROJECT).set_snapshot(slot.name.as_str());
        delete.send().await.expect("deleted");
        assert!(gce.snapshots().is_empty());
    }
}

#[tokio::test]
async fn a_planted_snapshot_is_neither_counted_nor_replaced() {
    let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
    let mark = mark('a');
    gce.seed_disk(PROJECT, ZONE, Disk::zonal("other"));
    let mut planted = slot.clone();
    planted.disk.name = "other".parse().expect("name");
    planted.write(&TAKEN, &mark, &Found::Free(slot.name.clone()), &api).await.expect("planted");

    let error = take(&slot, &mark, &api).await.expect_err("foreign");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("it is of another disk"), "{error}");
    // In the gap between look and write it is a conflict too.
    let error = slot.write(&TAKEN, &mark, &Found::Free(slot.name.clone()), &api).await.expect_err("409");
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(gce.snapshots().len(), 1);
}

#[tokio::test]
async fn a_snapshot_of_another_record_or_of_before_is_not_ours() {
    let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
    take(&slot, &mark('a'), &api).await.expect("taken");
    let error = slot.look(&api, &mark('b')).await.expect_err("another record");
    assert!(error.to_string().contains("record's label"), "{error}");
    let later = Mark { opened: Timestamp::now() + Duration::from_mins(10), ..mark('a') };
    let error = slot.look(&api, &later).await.expect_err("older");
    assert!(error.to_string().contains("older than the record"), "{error}");
    assert_eq!(gce.snapshots().len(), 1);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let (gce, _, slot) = bench(Disk::zonal("web-1")).await;
    gce.allow("reader", &["compute.snapshots.get"]);
    gce.allow("unlabelled", &["compute.snapshots.get", "compute.disks.createSnapshot", "compute.snapshots.create"]);
    for (token, missing) in [("reader", "compute.disks.createSnapshot"), ("unlabelled", "compute.snapshots.setLabels")]
    {
        let (_, api) = connect(&gce, Some(token)).await;
        let error = take(&slot, &mark('a'), &api).await.expect_err("denied");
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().contains(&format!("the permission {missing} is missing")), "{error}");
    }
    let (_, api) = connect(&gce, Some("nobody")).await;
    assert_eq!(slot.look(&api, &mark('a')).await.expect_err("401").kind(), Kind::Denied);
    assert!(gce.snapshots().is_empty());
}

#[tokio::test]
async fn quota_rate_and_outage_are_told_apart() {
    let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
    for (refusal, kind, text) in [
        (Refusal::quota("SNAPSHOTS", 100), Kind::Throttled, "quota SNAPSHOTS is used up"),
        (Refusal::rate_limit(), Kind::Throttled, "too many calls"),
        (Refusal::unavailable(), Kind::Unavailable, "HTTP 503"),
        (Refusal::new(412, "conditionNotMet", "x"), Kind::Conflict, "changed meanwhile"),
        (Refusal::new(500, "internalError", "<html>secret</html>"), Kind::Unavailable, "HTTP 500"),
    ] {
        gce.refuse("/createSnapshot", refusal, 1);
        let error = take(&slot, &mark('a'), &api).await.expect_err(text);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text) && !error.to_string().contains("secret"), "{error}");
        // The SDK must not have tried again.
        assert_eq!(gce.writes().len(), 1);
        gce.clear_log();
    }
    assert!(take(&slot, &mark('a'), &api).await.expect("works again"));
}

#[tokio::test]
async fn an_operation_that_fails_after_acceptance_is_not_a_snapshot() {
    for failure in [OperationFailure::rate(), OperationFailure::internal()] {
        let (gce, api, slot) = bench(Disk::zonal("web-1")).await;
        let (mark, leaves) = (mark('a'), failure.leaves_failed_snapshot);
        gce.timing(Timing::each(Duration::from_mins(1)));
        gce.fail_operation(failure);
        take(&slot, &mark, &api).await.expect("accepted");
        let seen = slot.look(&api, &mark).await.expect("on its way");
        assert_eq!((&seen.state, seen.settling.is_some()), (&TAKEN, true));

        gce.advance(Duration::from_secs(181));
        let seen = slot.look(&api, &mark).await.expect("failed");
        assert_eq!(seen.state, GcpState::Snapshot { taken: false });
        // The next run takes one; what failed keeps its name, and its request id answers with the old failure.
        assert!(take(&slot, &mark, &api).await.expect("taken"));
        gce.advance(Duration::from_secs(181));
        let ready: Vec<_> = gce.snapshots().into_iter().filter(|one| one.status == "READY").collect();
        let [ready] = &ready[..] else { panic!("{:?}", gce.snapshots()) };
        assert_eq!(ready.name, if leaves { format!("{}-2", slot.name) } else { slot.name.to_string() });
        assert!(!take(&slot, &mark, &api).await.expect("already"));
    }
}

#[tokio::test]
async fn waiting_ends_when_the_snapshot_is_ready_and_goes_on_after_a_crash() {
    let (gce, api, mut slot) = bench(Disk::zonal("web-1")).await;
    let mark = mark('a');
    slot.wait = true;
    gce.timing(Timing::each(Duration::from_millis(700)));
    assert!(take(&slot, &mark, &api).await.expect("ready"));
    assert_eq!(gce.snapshots()[0].status, "READY");

    // Another record, killed after the write was accepted: the next run only waits.
    let (gce, api, mut slot) = bench(Disk::zonal("web-1")).await;
    gce.timing(Timing::each(Duration::from_millis(300)));
    take(&slot, &mark, &api).await.expect("accepted");
    slot.wait = true;
    let seen = slot.look(&api, &mark).await.expect("on its way");
    assert_eq!(seen.state, GcpState::Snapshot { taken: false });
    assert!(take(&slot, &mark, &api).await.expect("ready"));
    assert_eq!((gce.writes().len(), gce.snapshots()[0].status.as_str()), (1, "READY"));
}

#[tokio::test]
async fn waiting_says_why_a_snapshot_failed() {
    let (gce, api, mut slot) = bench(Disk::zonal("web-1")).await;
    slot.wait = true;
    gce.timing(Timing::each(Duration::from_millis(500)));
    gce.fail_operation(OperationFailure::rate());
    let error = take(&slot, &mark('a'), &api).await.expect_err("failed");
    assert_eq!(error.kind(), Kind::Throttled);
    assert!(error.to_string().contains("the accepted operation failed"), "{error}");

    // It failed before it was first looked for, and nothing of it is to be seen.
    gce.timing(Timing::each(Duration::from_nanos(1)));
    gce.fail_operation(OperationFailure::rate());
    let error = take(&slot, &mark('b'), &api).await.expect_err("failed");
    assert_eq!(error.kind(), Kind::Throttled, "{error}");
}

#[tokio::test]
async fn a_customer_key_is_used_and_never_recorded() {
    let (gce, api, slot) = bench(Disk::zonal("web-1").csek(KEY)).await;
    assert!(slot.csek);
    let error = take(&slot, &mark('a'), &api).await.expect_err("no key");
    assert_eq!((error.kind(), error.resource()), (Kind::Invalid, "options.csek"));
    assert!(gce.writes().is_empty());

    let keys: CsekKeys = serde_json::from_value(serde_json::json!({"web-1": KEY})).expect("keys");
    api.lend_keys(&keys);
    assert!(take(&slot, &mark('a'), &api).await.expect("taken"));
    let recorded = serde_json::to_string(&GcpSlot::Snapshot(slot)).expect("serializes");
    assert!(!recorded.contains(KEY) && !format!("{api:?}").contains(KEY));
    assert!(gce.log().iter().all(|call| !call.query.contains("Key")));
}

#[tokio::test]
async fn evidence_is_not_deleted() {
    let (_gce, api, slot) = bench(Disk::zonal("web-1")).await;
    let to = GcpState::Snapshot { taken: false };
    let error = slot.write(&to, &mark('a'), &Found::Free(slot.name.clone()), &api).await.expect_err("kept");
    assert_eq!(error.kind(), Kind::Refused);
}

#[tokio::test]
async fn an_instance_is_known_by_its_number() {
    let gce = Gce::start().expect("range");
    let id = gce.seed(Instance::new(PROJECT, ZONE, "web-1").disk(Disk::zonal("web-1")).label("stanch-exempt", "true"));
    let (gcp, api) = connect(&gce, None).await;
    for target in [target(Some("web-1"), None), target(None, Some(id)), target(Some("web-1"), Some(id))] {
        let found = gcp.identify(&api, &target).await.expect("found");
        assert_eq!(found.uid, id.to_string());
        assert_eq!(found.target, self::target(Some("web-1"), Some(id)).into());
        assert!(found.exempt[0].forgeable);
    }
    assert_eq!(gce.log().len(), 3);

    // A managed group makes a new one under the old name.
    let new = gce.seed(Instance::new(PROJECT, ZONE, "web-1").disk(Disk::zonal("web-1")));
    assert_ne!(id, new);
    let error = gcp.identify(&api, &target(Some("web-1"), Some(id))).await.expect_err("recreated");
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(gcp.identify(&api, &target(None, Some(id))).await.expect_err("gone").kind(), Kind::NotFound);
    gce.remove_instance(PROJECT, "web-1");
    assert_eq!(gcp.identify(&api, &target(Some("web-1"), None)).await.expect_err("gone").kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_refused_connection_is_told_at_once() {
    let gcp = Gcp::at("http://127.0.0.1:9", None).expect("an address");
    let target = target(Some("web-1"), None);
    let api = gcp.connect(&target).await.expect("clients");
    let started = std::time::Instant::now();
    assert_eq!(gcp.identify(&api, &target).await.expect_err("refused").kind(), Kind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(2), "the SDK tried again");
    assert_eq!(Gcp::at("not a url", None).expect_err("address").kind(), Kind::Invalid);
}

#[test]
fn the_command_is_that_of_the_guide() {
    let disk = DiskRef {
        project: PROJECT.parse().expect("project"),
        place: Place::Zone(ZONE.parse().expect("zone")),
        name: "web-1".parse().expect("name"),
    };
    let mark = mark('a');
    let slot = SnapshotSlot::new(disk, "42".parse().expect("id"), &mark).expect("name");
    assert_eq!(
        slot.command(&mark),
        format!(
            "gcloud compute disks snapshot web-1 --project=acme-prod --zone=europe-west1-b --snapshot-names={} \
             --labels=stanch-incident=gd-finding-1,stanch-record={},stanch-by=ana-example-com \
             '--description=Stanch: incident gd/Finding:1, record {}, asked for by ana@example.com' --async",
            slot.name, mark.record, mark.record
        )
    );
}
