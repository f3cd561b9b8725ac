//! What is planned, against the range's Compute Engine. What a plan's writes do is tested in the wing; the whole
//! way, killed at every call, in the contract suite.

mod contract;

use stanch_core::{Cloud, Identity, Mark};
use stanch_gcp::GceFacts;
use stanch_gcp_suite::{PROJECT, ZONE, least_privilege, target};
use stanch_range::gce::{Disk, Gce, Instance, OperationFailure};

use super::*;

/// Base64 of 32 bytes.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn web() -> Instance {
    Instance::new(PROJECT, ZONE, "web-1")
}

async fn plan(gce: &Gce, options: serde_json::Value) -> Result<Plan<GcpSlot>> {
    plan_after(gce, options, || ()).await
}

/// A plan of an instance to which something happens once it was looked at.
async fn plan_after(gce: &Gce, options: serde_json::Value, then: impl FnOnce()) -> Result<Plan<GcpSlot>> {
    let options: Options =
        serde_json::from_value(options).map_err(|error| Error::invalid("options", error.to_string()))?;
    let target = GceInstance { project: PROJECT.parse()?, zone: ZONE.parse()?, name: Some("web-1".parse()?), id: None };
    let gcp = Gcp::at(&gce.endpoint(), None)?;
    let api = gcp.connect(&target).await?;
    let Identity::<GceFacts> { facts, .. } = gcp.identify(&api, &target).await?;
    then();
    let mark = Mark {
        record: "a".repeat(24).parse()?,
        incident: "finding-1".parse()?,
        opened: jiff::Timestamp::now(),
        by: "ana@example.com".into(),
    };
    GcpSnapshotDisks::plan(
        &api,
        &Scene { target: &target, options: &options, facts: &facts, mark: &mark, fresh: false },
    )
    .await
}

fn captured(plan: &Plan<GcpSlot>) -> Vec<String> {
    let slots = plan.stages.iter().flatten().map(|change| &change.slot);
    slots.map(|GcpSlot::Snapshot(slot)| slot.disk.path()).collect()
}

fn left(plan: &Plan<GcpSlot>) -> Vec<&str> {
    plan.remaining.iter().map(|left| left.what.as_str()).collect()
}

#[tokio::test]
async fn every_persistent_disk_is_one_change_of_one_stage() {
    let gce = Gce::start().expect("range");
    let shared = Disk::regional("shared", &[ZONE, "europe-west1-c"]);
    gce.seed(web().disk(Disk::zonal("web-1").boot()).disk(shared).local_ssd());
    let plan = plan(&gce, serde_json::json!({})).await.expect("plan");
    assert_eq!(plan.stages.len(), 1);
    assert_eq!(
        captured(&plan),
        ["projects/acme-prod/zones/europe-west1-b/disks/web-1", "projects/acme-prod/regions/europe-west1/disks/shared"]
    );
    assert!(left(&plan).iter().any(|text| text.starts_with("local SSD")), "{:?}", left(&plan));
    // One for the instance, two for each disk; reads only.
    assert_eq!((gce.log().len(), gce.writes().len()), (5, 0));
}

#[tokio::test]
async fn what_is_excluded_is_named() {
    let gce = Gce::start().expect("range");
    gce.seed(web().disk(Disk::zonal("web-1").boot()).disk(Disk::zonal("data")).disk(Disk::zonal("logs")));
    let plan = plan(&gce, serde_json::json!({"exclude_boot": true, "exclude_disks": ["logs"]})).await.expect("plan");
    assert_eq!(captured(&plan), ["projects/acme-prod/zones/europe-west1-b/disks/data"]);
    assert_eq!(
        left(&plan),
        ["disk web-1 is not captured: excluded by option", "disk logs is not captured: excluded by option"]
    );
    let error = self::plan(&gce, serde_json::json!({"exclude_disks": ["web-1", "logs", "data"]})).await;
    assert_eq!(error.expect_err("nothing left").resource(), "options.exclude_disks");
}

#[tokio::test]
async fn a_disk_without_its_key_is_named_and_the_others_are_captured() {
    let gce = Gce::start().expect("range");
    gce.seed(web().disk(Disk::zonal("web-1").boot()).disk(Disk::zonal("vault").csek(KEY)));
    let without = plan(&gce, serde_json::json!({})).await.expect("plan");
    assert_eq!(captured(&without), ["projects/acme-prod/zones/europe-west1-b/disks/web-1"]);
    assert!(left(&without).contains(&"disk vault is encrypted with a customer-supplied key: not captured"));
    let with = plan(&gce, serde_json::json!({"csek": {"vault": KEY}})).await.expect("plan");
    assert_eq!(captured(&with).len(), 2);
    let text = format!("{with:?}");
    assert!(!text.contains(KEY), "{text}");

    gce.seed(web().disk(Disk::zonal("vault").csek(KEY)));
    assert_eq!(plan(&gce, serde_json::json!({})).await.expect_err("no key").kind(), Kind::Unsupported);
}

#[tokio::test]
async fn an_instance_without_persistent_disks_is_unsupported() {
    let gce = Gce::start().expect("range");
    gce.seed(web().local_ssd());
    let error = plan(&gce, serde_json::json!({})).await.expect_err("nothing to capture");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[tokio::test]
async fn a_disk_that_goes_meanwhile_is_named_and_all_of_them_are_an_error() {
    let gce = Gce::start().expect("range");
    let seed = || gce.seed(web().disk(Disk::zonal("web-1").boot()).disk(Disk::zonal("data")));
    seed();
    let one = || gce.remove_disk(PROJECT, "data");
    let plan = plan_after(&gce, serde_json::json!({}), one).await.expect("plan");
    assert_eq!(captured(&plan), ["projects/acme-prod/zones/europe-west1-b/disks/web-1"]);
    assert_eq!(left(&plan), ["disk data is gone: not captured"]);
    seed();
    let both = || ["web-1", "data"].iter().for_each(|name| gce.remove_disk(PROJECT, name));
    let error = plan_after(&gce, serde_json::json!({}), both).await.expect_err("nothing to capture");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

/// A zonal and a regional disk.
fn two(gce: &Gce) -> (stanch_core::Target, serde_json::Value) {
    let shared = Disk::regional("shared", &[ZONE, "europe-west1-c"]);
    gce.seed(web().disk(Disk::zonal("web-1").boot()).disk(shared));
    (target("web-1"), serde_json::json!({}))
}

/// Both are waited for, and their first snapshots fail after they were accepted, one without a trace: only the operations
/// say why.
fn failing(gce: &Gce) -> (stanch_core::Target, serde_json::Value) {
    for (disk, failure) in [("web-1", OperationFailure::rate()), ("shared", OperationFailure::internal())] {
        gce.fail_operation_on(&format!("/disks/{disk}/createSnapshot"), failure);
    }
    (two(gce).0, serde_json::json!({"wait": true}))
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpSnapshotDisks>(&[two, failing]).await;
}

#[tokio::test]
async fn an_option_that_is_wrong_is_named_and_not_repeated() {
    let gce = Gce::start().expect("range");
    for (options, named) in [
        (serde_json::json!({"exclude": []}), "exclude"),
        (serde_json::json!({"exclude_disks": ["../x"]}), "RFC 1035"),
        (serde_json::json!({"storage_location": "eu/../us"}), "storage_location"),
        (serde_json::json!({"csek": KEY}), "csek"),
        (serde_json::json!({"csek": {"vault": "short"}}), "csek"),
    ] {
        let error = plan(&gce, options).await.expect_err(named);
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(named) && !error.to_string().contains(KEY), "{error}");
    }
    assert!(gce.log().is_empty(), "nothing is asked before the options are read");
}

#[test]
fn the_example_event_is_a_log_entry_about_an_instance() {
    let event: serde_json::Value = serde_json::from_str(include_str!("../event.json")).expect("JSON");
    assert_eq!(event["resource"]["type"], "gce_instance");
    let labels = &event["resource"]["labels"];
    let path = format!(
        "projects/{}/zones/{}/instances/web-1/SerialPort/1",
        labels["project_id"].as_str().expect("project"),
        labels["zone"].as_str().expect("zone")
    );
    assert_eq!(event["protoPayload"]["resourceName"], path);
}
