//! The whole responder, with ledger and driver, against the range's Compute Engine.

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status};
use stanch_gcp_suite::{Bench, PROJECT, ZONE, differences, least_privilege, remaining, target};
use stanch_range::gce::{Disk, Gce, Group, Instance, Nic, OperationFailure};

use super::*;

fn vm(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot())
}

async fn run(bench: &Bench, mode: Mode, name: &str, options: Value) -> Report {
    bench.run::<GcpRemoveExternalIp>(mode, &target(name), &options).await
}

#[tokio::test]
async fn a_reserved_address_goes_and_comes_back_with_name_tier_and_ptr() {
    let bench = Bench::new();
    let nic = Nic::new("default").external("My address & co", "203.0.113.7").tier("STANDARD").ptr("web.example.com.");
    bench.gce.seed(vm("web-1").nic(nic));
    bench.gce.seed_address(PROJECT, "europe-west1", "front", "203.0.113.7");
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    assert!(!remaining(&applied).contains("ephemeral"), "{applied:#?}");
    assert_eq!(bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["nics"][0]["accessConfigs"], json!([]));
    assert_eq!(run(&bench, Mode::Apply, "web-1", json!({})).await.status, Status::Already);
    let back = run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn an_ephemeral_address_is_lost_and_said_so_beforehand() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").nic(Nic::new("default").external("External NAT", "198.51.100.9")));
    let before = bench.gce.dump(PROJECT);
    let planned = run(&bench, Mode::Plan, "web-1", json!({})).await;
    assert!(
        remaining(&planned).contains("198.51.100.9 of nic0 is ephemeral: undo gives another address, not this one")
    );
    run(&bench, Mode::Apply, "web-1", json!({})).await;
    let back = run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let differs = differences(&before, &bench.gce.dump(PROJECT));
    let [line] = &differs[..] else { panic!("{differs:#?}") };
    assert!(line.starts_with("/instances/europe-west1-b/web-1/nics:") && line.contains("External NAT"), "{line}");
}

#[tokio::test]
async fn every_interface_loses_both_families() {
    let bench = Bench::new();
    bench.gce.seed(
        vm("web-1")
            .nic(Nic::new("default").external("external-nat", "203.0.113.7"))
            .nic(Nic::new("data").external("External NAT", "203.0.113.8").external_ipv6("v6-out", "2600:1900:4010:1::"))
            .nic(Nic::new("admin")),
    );
    for (name, address) in [("a", "203.0.113.7"), ("b", "203.0.113.8"), ("c", "2600:1900:4010:1::")] {
        bench.gce.seed_address(PROJECT, "europe-west1", name, address);
    }
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!((applied.status, applied.changes.len()), (Status::Applied, 3), "{applied:#?}");
    let nics = bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["nics"].clone();
    for nic in nics.as_array().expect("interfaces") {
        assert_eq!((&nic["accessConfigs"], &nic["ipv6AccessConfigs"]), (&json!([]), &json!([])), "{nic}");
    }
    assert_eq!(run(&bench, Mode::Revert, "web-1", json!({})).await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn without_an_address_there_is_nothing_to_do() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    let report = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(report.status, Status::Already, "{report:#?}");
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn an_address_that_somebody_gives_it_meanwhile_is_left_by_undo() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").nic(Nic::new("default").external("External NAT", "198.51.100.9")));
    run(&bench, Mode::Apply, "web-1", json!({})).await;
    bench.gce.attach_address(PROJECT, "web-1", "by-hand", "198.51.100.10");
    // Brought back under the same record where it is asked for again …
    let again = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(again.status, Status::Applied, "{again:#?}");
    // … and left alone by undo where it is not.
    bench.gce.attach_address(PROJECT, "web-1", "by-hand", "198.51.100.10");
    let back = run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(back.error, Some(Kind::Conflict), "{back:#?}");
    let configs = &bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["nics"][0]["accessConfigs"];
    assert_eq!(configs[0]["name"], "by-hand");
}

#[tokio::test]
async fn a_member_of_a_managed_group_is_refused_unless_asked_for() {
    let bench = Bench::new();
    bench.gce.seed(vm("node-1").nic(Nic::new("default").external("External NAT", "198.51.100.9")));
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-1"));
    let refused = run(&bench, Mode::Apply, "node-1", json!({})).await;
    assert_eq!(refused.status, Status::Refused, "{refused:#?}");
    let applied = run(&bench, Mode::Apply, "node-1", json!({"even_if_managed": true})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
}

#[tokio::test]
async fn an_operation_that_fails_after_acceptance_is_tried_again() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").nic(Nic::new("default").external("External NAT", "198.51.100.9")));
    bench.gce.fail_operation_on("/deleteAccessConfig", OperationFailure::internal());
    assert_eq!(run(&bench, Mode::Apply, "web-1", json!({})).await.status, Status::Applied);
    bench.gce.fail_operation_on("/addAccessConfig", OperationFailure::internal());
    assert_eq!(run(&bench, Mode::Revert, "web-1", json!({})).await.status, Status::Reverted);
}

fn reserved(gce: &Gce) -> (Target, Value) {
    gce.seed(vm("node-1"));
    gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-1"));
    gce.seed(vm("web-1").nic(Nic::new("default").external("External NAT", "203.0.113.7")));
    gce.seed_address(PROJECT, "europe-west1", "front", "203.0.113.7");
    (target("web-1"), json!({}))
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpRemoveExternalIp>(&[reserved]).await;
}
