//! Whole runs against the range's managed groups; what happened is read back from there.

mod contract;

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{DoneState, Mode, Report, Status, Target};
use stanch_gcp_suite::{Bench, PROJECT, REGION, Way, ZONE, least_privilege_of, left, numbered, reason, target, web};
use stanch_range::gce::{Group, Instance, OperationFailure, Refusal, Timing};

use super::*;

const ZONAL: &str = "zones/europe-west1-b/instanceGroupManagers/web";
const REGIONAL: &str = "regions/europe-west1/instanceGroupManagers/web";

/// `web-1` and two more in a zonal group.
fn zonal() -> Bench {
    let bench = Bench::with_web();
    for name in ["web-2", "web-3"] {
        bench.gce.seed(Instance::new(PROJECT, ZONE, name));
    }
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "web").member("web-1").member("web-2").member("web-3"));
    bench
}

/// The same in a regional group.
fn regional() -> Bench {
    let bench = Bench::with_web();
    bench.gce.seed(Instance::new(PROJECT, ZONE, "web-2"));
    let group = Group::regional(PROJECT, REGION, "web");
    bench.gce.seed_group(group.member("europe-west1-b/web-1").member("europe-west1-b/web-2"));
    bench
}

fn web_1() -> Target {
    target("web-1")
}

async fn run(bench: &Bench, mode: Mode, options: Value) -> Report {
    bench.run::<GcpReleaseInstance>(mode, &web_1(), &options).await
}

#[tokio::test]
async fn the_group_lets_it_go_and_it_runs_on() {
    for (bench, path, size) in [(zonal(), ZONAL, 3), (regional(), REGIONAL, 2)] {
        let before = bench.instance("web-1").await;
        let plan = run(&bench, Mode::Plan, json!({})).await;
        assert!(left(&plan, "irreversible"), "said before it is done: {:#?}", plan.remaining);
        let report = run(&bench, Mode::Apply, json!({})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        let (group, members) = bench.group(path).await;
        assert!(!members.contains(&"web-1".to_owned()), "{members:?}");
        assert_eq!(group["targetSize"], json!(size - 1), "nobody takes its place");
        let after = bench.instance("web-1").await;
        assert_eq!((&after["id"], &after["status"]), (&before["id"], &json!("RUNNING")));
        let next: Vec<_> = report.remaining.iter().filter_map(|left| left.next.as_deref()).collect();
        assert!(next.iter().any(|next| next.contains(&format!("--set group={path} --set size={size}"))), "{next:?}");

        let again = run(&bench, Mode::Apply, json!({})).await;
        assert_eq!((again.status, again.record), (Status::Already, report.record), "{:?}", again.reason);
        let back = run(&bench, Mode::Revert, json!({})).await;
        assert_eq!(back.status, Status::Refused, "{back:#?}");
        assert!(back.changes.iter().all(|change| change.state == DoneState::Skipped));
        assert!(back.changes[0].error.as_deref().is_some_and(|why| why.contains("irreversible")));
    }
}

#[tokio::test]
async fn its_capacity_can_be_made_good() {
    for (bench, path, size) in [(zonal(), ZONAL, 3), (regional(), REGIONAL, 2)] {
        let report = run(&bench, Mode::Apply, json!({"replace_capacity": true})).await;
        assert_eq!((report.status, report.changes.len()), (Status::Applied, 2), "{report:#?}");
        let (group, members) = bench.group(path).await;
        assert_eq!((group["targetSize"].clone(), members.len()), (json!(size), size), "{members:?}");
        assert!(!members.contains(&"web-1".to_owned()), "{members:?}");
        assert_eq!(run(&bench, Mode::Revert, json!({})).await.status, Status::Refused);
        assert_eq!(bench.group(path).await.0["targetSize"], json!(size), "undo makes no group smaller");
    }
}

#[tokio::test]
async fn metadata_is_a_hint_and_nothing_more() {
    // It points at another group, which may exist and does not manage it: the right one is found by the id.
    let number = stanch_range::gce::Gce::project_number(PROJECT);
    for forged in [
        format!("projects/{number}/zones/{ZONE}/instanceGroupManagers/db"),
        format!("projects/4711/zones/{ZONE}/instanceGroupManagers/nowhere"),
        "../../../x".to_owned(),
        String::new(),
    ] {
        let bench = zonal();
        bench.gce.seed(Instance::new(PROJECT, ZONE, "db-1"));
        bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "db").member("db-1"));
        bench.gce.instance_metadata(PROJECT, "web-1", "created-by", &forged);
        let report = run(&bench, Mode::Apply, json!({})).await;
        assert_eq!(report.status, Status::Applied, "{forged}: {report:#?}");
        assert_eq!(bench.group(ZONAL).await.1, ["web-2", "web-3"], "{forged}");
        let db = "zones/europe-west1-b/instanceGroupManagers/db";
        assert_eq!(bench.group(db).await.0["targetSize"], json!(1), "{forged}: the other group is as it was");
    }

    // It points at a group and no group has it.
    let bench = Bench::new();
    bench.gce.seed(web().metadata("created-by", &format!("projects/{number}/zones/{ZONE}/instanceGroupManagers/web")));
    bench.gce.seed(Instance::new(PROJECT, ZONE, "web-2"));
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "web").member("web-2"));
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Already, "{report:#?}");
    assert!(left(&report, "does not manage it"), "{:#?}", report.remaining);
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn a_successor_of_the_same_name_is_left_alone() {
    let bench = zonal();
    let id = bench.instance("web-1").await["id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
    // Its group heals it: the same name, another number.
    bench.gce.seed(web());
    let report = bench.run::<GcpReleaseInstance>(Mode::Apply, &numbered(Some("web-1"), Some(id)), &json!({})).await;
    assert_eq!(report.error, Some(Kind::Conflict), "{report:#?}");
    assert_eq!(bench.group(ZONAL).await.1.len(), 3);
}

#[tokio::test]
async fn autopilot_is_not_ours_to_change() {
    let bench = Bench::new();
    bench.gce.seed(Instance::new(PROJECT, ZONE, "gk3-prod-pool-1-abc").label("goog-gke-node", ""));
    let target = target("gk3-prod-pool-1-abc");
    let report = bench.run::<GcpReleaseInstance>(Mode::Apply, &target, &json!({})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(reason(&report).contains("k8s-isolate-pod"));
}

#[tokio::test]
async fn what_is_in_no_group_is_answered_so() {
    let bench = Bench::with_web();
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Already, "{report:#?}");
}

#[tokio::test]
async fn a_failure_after_acceptance_and_a_throttle_are_tried_again() {
    let bench = zonal();
    bench.gce.timing(Timing::each(Duration::from_millis(5)));
    bench.gce.fail_operation_on("abandonInstances", OperationFailure::rate());
    bench.gce.refuse("/abandonInstances", Refusal::rate_limit(), 1);
    bench.gce.refuse("/abandonInstances", Refusal::unavailable(), 1);
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bench.group(ZONAL).await.1, ["web-2", "web-3"]);
}

#[tokio::test]
async fn long_lists_are_read_to_their_end() {
    let bench = zonal();
    bench.gce.page_size(1);
    assert_eq!(run(&bench, Mode::Apply, json!({})).await.status, Status::Applied);
    assert_eq!(bench.group(ZONAL).await.0["targetSize"], json!(2));
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    // Without the hint, so that the groups are listed.
    let unhinted = |make: fn() -> Bench| {
        Way::new(move || async move {
            let bench = make();
            bench.gce.instance_metadata(PROJECT, "web-1", "created-by", "");
            (bench, web_1(), json!({"replace_capacity": true}))
        })
    };
    least_privilege_of::<GcpReleaseInstance>(&[unhinted(zonal), unhinted(regional)]).await;
}
