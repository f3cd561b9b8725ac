//! The whole responder, with ledger and driver, against the range's Compute Engine.

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status};
use stanch_gcp_suite::{Bench, PROJECT, ZONE, differences, least_privilege, target};
use stanch_range::gce::{Disk, Gce, Instance, Refusal};

use super::*;

fn vm(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot()).label("team", "shop").label("status", "live")
}

async fn run(bench: &Bench, mode: Mode, options: Value) -> Report {
    bench.run::<GcpMarkInstance>(mode, &target("web-1"), &options).await
}

fn labels(bench: &Bench) -> Value {
    bench.gce.dump(PROJECT)["instances"][format!("{ZONE}/web-1")]["labels"].clone()
}

#[tokio::test]
async fn labels_are_added_the_others_kept_and_each_goes_back() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    let found = labels(&bench);
    assert_eq!((&found["team"], &found["status"]), (&json!("shop"), &json!("under-investigation")));
    assert_eq!((&found["stanch-incident"], &found["stanch-by"]), (&json!("inc-1"), &json!("analyst-example-com")));
    assert_eq!(found["stanch-record"], applied.record.expect("a record").as_str());
    assert!(found["stanch-since"].as_str().is_some_and(|since| since.starts_with("20") && since.ends_with('z')));
    assert_eq!(run(&bench, Mode::Apply, json!({})).await.status, Status::Already);
    assert_eq!(run(&bench, Mode::Revert, json!({})).await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn a_lost_race_is_run_again() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    bench.gce.refuse("/setLabels", Refusal::new(412, "conditionNotMet", "Labels fingerprint either invalid"), 2);
    let applied = run(&bench, Mode::Apply, json!({"labels": {"quarantine": "true"}})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    assert_eq!((&labels(&bench)["quarantine"], &labels(&bench)["status"]), (&json!("true"), &json!("live")));
}

#[tokio::test]
async fn what_cannot_be_a_label_is_refused_by_name() {
    let bench = Bench::new();
    let full = (0..60).fold(vm("web-1"), |vm, n| vm.label(&format!("l{n}"), "x"));
    bench.gce.seed(full);
    for labels in
        [json!({"Key": "v"}), json!({"k": "Big"}), json!({"stanch-exempt": "x"}), json!({"k": "a b"}), json!("k")]
    {
        let report = run(&bench, Mode::Apply, json!({"labels": labels})).await;
        assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Invalid)), "{report:#?}");
        assert!(report.reason.is_some_and(|reason| reason.contains("labels") || reason.contains("map")));
    }
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn what_somebody_changed_meanwhile_is_left() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    run(&bench, Mode::Apply, json!({})).await;
    bench.gce.label_by_hand(PROJECT, "web-1", "status", "closed");
    let back = run(&bench, Mode::Revert, json!({})).await;
    assert_eq!(back.error, Some(Kind::Conflict), "{back:#?}");
    assert_eq!(labels(&bench)["status"], "closed");
}

fn scene(gce: &Gce) -> (Target, Value) {
    gce.seed(vm("web-1"));
    (target("web-1"), json!({}))
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpMarkInstance>(&[scene]).await;
}
