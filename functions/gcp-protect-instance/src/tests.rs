//! The whole responder, with ledger and driver, against the range's Compute Engine.

use serde_json::{Value, json};
use stanch_core::{Mode, Report, Status};
use stanch_gcp_suite::{Bench, PROJECT, ZONE, differences, least_privilege, remaining, target};
use stanch_range::gce::{Disk, Gce, Group, Instance, OperationFailure};

use super::*;

fn vm(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name)
        .disk(Disk::zonal(name).boot())
        .disk(Disk::regional(&format!("{name}-shared"), &[ZONE, "europe-west1-c"]).auto_delete(true))
        .disk(Disk::zonal(&format!("{name}-data")))
}

async fn run(bench: &Bench, mode: Mode, name: &str) -> Report {
    bench.run::<GcpProtectInstance>(mode, &target(name), &json!({})).await
}

fn kept(bench: &Bench, name: &str) -> (Value, Vec<Value>) {
    let vm = bench.gce.dump(PROJECT)["instances"][format!("{ZONE}/{name}")].clone();
    let disks = vm["disks"].as_array().expect("disks").iter().map(|disk| disk["autoDelete"].clone()).collect();
    (vm["deletionProtection"].clone(), disks)
}

#[tokio::test]
async fn the_instance_and_every_disk_are_kept_and_each_goes_back() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").local_ssd());
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, "web-1").await;
    assert_eq!((applied.status, applied.changes.len()), (Status::Applied, 3), "{applied:#?}");
    let (protected, disks) = kept(&bench, "web-1");
    assert_eq!((protected, &disks[..3]), (json!(true), &[json!(false), json!(false), json!(false)][..]));
    assert!(remaining(&applied).contains("local SSD local-ssd-3 is lost when the instance stops"));
    assert_eq!(run(&bench, Mode::Apply, "web-1").await.status, Status::Already);
    assert_eq!(run(&bench, Mode::Revert, "web-1").await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn a_member_of_a_group_keeps_its_disks_and_the_rest_is_named() {
    for regional in [false, true] {
        let bench = Bench::new();
        bench.gce.seed(vm("node-1"));
        bench.gce.seed_group(if regional {
            Group::regional(PROJECT, "europe-west1", "pool").member("europe-west1-b/node-1")
        } else {
            Group::zonal(PROJECT, ZONE, "pool").member("node-1")
        });
        let applied = run(&bench, Mode::Apply, "node-1").await;
        assert_eq!(applied.status, Status::Applied, "{applied:#?}");
        let left = remaining(&applied);
        assert!(left.contains("managed group pool") && left.contains("gcp-release-instance {"), "{left}");
        let (protected, disks) = kept(&bench, "node-1");
        assert_eq!((protected, disks), (json!(false), vec![json!(false); 3]));
    }
}

#[tokio::test]
async fn what_was_protected_before_stays_so() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").deletion_protection());
    let applied = run(&bench, Mode::Apply, "web-1").await;
    assert_eq!((applied.status, applied.changes.len()), (Status::Applied, 2), "{applied:#?}");
    run(&bench, Mode::Revert, "web-1").await;
    assert_eq!(kept(&bench, "web-1"), (json!(true), vec![json!(true), json!(true), json!(false)]));
}

#[tokio::test]
async fn a_stopped_instance_is_protected_too_and_failures_are_tried_again() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").status("TERMINATED"));
    bench.gce.fail_operation_on("/setDiskAutoDelete", OperationFailure::internal());
    bench.gce.fail_operation_on(
        "/setDeletionProtection",
        OperationFailure::new("RESOURCE_NOT_READY", 400, "The resource is not ready"),
    );
    let applied = run(&bench, Mode::Apply, "web-1").await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    assert_eq!(kept(&bench, "web-1").0, true);
}

fn alone(gce: &Gce) -> (Target, Value) {
    gce.seed(vm("node-1"));
    gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-1"));
    gce.seed(vm("web-1"));
    (target("web-1"), json!({}))
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpProtectInstance>(&[alone]).await;
}
