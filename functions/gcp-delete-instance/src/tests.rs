//! Whole runs against the range's Compute Engine; what happened is read back from there.

mod contract;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status, Target};
use stanch_gcp_suite::{
    Bench, INCIDENT, PROJECT, REGION, Way, ZONE, least_privilege_of, left, numbered, reason, target, through, web,
};
use stanch_range::gce::{Disk, Group, Instance, OperationFailure, Refusal, Timing};

use super::*;

async fn captured() -> Bench {
    let bench = Bench::with_web();
    bench.capture_web().await;
    bench
}

async fn web_1(bench: &Bench) -> Target {
    numbered(Some("web-1"), bench.instance("web-1").await["id"].as_str().and_then(|id| id.parse().ok()))
}

async fn run(bench: &Bench, mode: Mode, target: &Target) -> Report {
    bench.run::<GcpDeleteInstance>(mode, target, &Value::Null).await
}

fn writes(bench: &Bench) -> Vec<String> {
    let calls = bench.gce.writes();
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    calls.iter().filter(|call| call.status == 200).map(|call| format!("{} {}", call.method, last(&call.path))).collect()
}

#[tokio::test]
async fn an_instance_whose_disks_are_captured_goes() {
    let bench = captured().await;
    let target = web_1(&bench).await;
    bench.gce.clear_log();
    let plan = run(&bench, Mode::Plan, &target).await;
    assert!(left(&plan, "memory is lost"), "{:#?}", plan.remaining);
    let report = run(&bench, Mode::Apply, &target).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bench.instance("web-1").await, Value::Null);
    let Target::GceInstance(named) = &target else { panic!("an instance") };
    let id = named.id.as_ref().expect("a number");
    assert_eq!(writes(&bench), [format!("DELETE {id}")], "by its number, not by its name");
    assert_eq!(bench.gce.snapshots().len(), 2, "evidence stays");

    // Delivered again, it is found gone.
    let again = run(&bench, Mode::Apply, &target).await;
    assert_eq!((again.status, again.record), (Status::Already, report.record), "{:?}", again.reason);
    let back = run(&bench, Mode::Revert, &target).await;
    assert_eq!(back.status, Status::Refused, "{back:#?}");
    assert_eq!(bench.instance("web-1").await, Value::Null);
}

#[tokio::test]
async fn a_group_is_told_and_makes_no_other() {
    for regional in [false, true] {
        let bench = captured().await;
        bench.gce.seed(Instance::new(PROJECT, ZONE, "web-2"));
        let group = if regional { Group::regional(PROJECT, REGION, "web") } else { Group::zonal(PROJECT, ZONE, "web") };
        bench.gce.seed_group(group.member("europe-west1-b/web-1").member("europe-west1-b/web-2"));
        let target = web_1(&bench).await;
        bench.gce.clear_log();
        let report = run(&bench, Mode::Apply, &target).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        assert_eq!(writes(&bench), ["POST deleteInstances"]);
        assert_eq!(bench.instance("web-1").await, Value::Null, "it was not healed");
        let place = if regional { "regions/europe-west1" } else { "zones/europe-west1-b" };
        let (group, members) = bench.group(&format!("{place}/instanceGroupManagers/web")).await;
        assert_eq!((members, &group["targetSize"]), (vec!["web-2".to_owned()], &json!(1)));
    }
}

#[tokio::test]
async fn every_disk_needs_a_ready_snapshot_of_this_incident() {
    let none = Bench::with_web();
    let half = Bench::with_web();
    half.capture("web-1-shared", INCIDENT).await;
    let other = Bench::with_web();
    other.capture("web-1", "inc-2").await;
    other.capture("web-1-shared", "inc-2").await;
    let uploading = Bench::with_web();
    uploading.gce.timing(Timing::each(Duration::from_mins(1)));
    uploading.capture("web-1", INCIDENT).await;
    uploading.capture("web-1-shared", INCIDENT).await;
    uploading.gce.advance(Duration::from_secs(150));
    let ssd = Bench::new();
    ssd.gce.seed(Instance::new(PROJECT, ZONE, "web-1").local_ssd());
    for (bench, named) in [
        (none, "web-1 is not captured, web-1-shared is not captured"),
        (half, "web-1 is not captured"),
        (other, "web-1 is not captured, web-1-shared is not captured"),
        (uploading, "web-1 is not ready, web-1-shared is not ready"),
        (ssd, "nothing of it can be captured"),
    ] {
        bench.gce.clear_log();
        let report = run(&bench, Mode::Apply, &web_1(&bench).await).await;
        assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{report:#?}");
        assert!(reason(&report).contains(named), "{named}: {:?}", report.reason);
        assert!(bench.gce.writes().is_empty());
        assert_ne!(bench.instance("web-1").await, Value::Null);
    }
}

#[tokio::test]
async fn a_planted_snapshot_of_another_disk_does_not_count() {
    let bench = Bench::with_web();
    bench.gce.seed_disk(PROJECT, ZONE, Disk::in_zone("decoy", ZONE));
    bench.capture("decoy", INCIDENT).await;
    bench.capture("web-1-shared", INCIDENT).await;
    let report = run(&bench, Mode::Apply, &web_1(&bench).await).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("web-1 is not captured"), "{:?}", report.reason);
}

#[tokio::test]
async fn another_run_that_deletes_it_between_two_looks_is_no_failure() {
    for instance_too in [false, true] {
        let bench = Arc::new(captured().await);
        let target = web_1(&bench).await;
        let (proxy, other) = (bench.proxy(), Arc::clone(&bench));
        proxy.rewrite(move |call| {
            if call.path.ends_with("/disks/web-1") {
                other.gce.remove_disk(PROJECT, "web-1");
                if instance_too {
                    other.gce.remove_instance(PROJECT, "web-1");
                }
            }
            None
        });
        bench.gce.clear_log();
        let report = bench.run_at::<GcpDeleteInstance>(through(&proxy), Mode::Apply, &target, &Value::Null).await;
        // Of an instance that is still there, a disk that is gone proves nothing.
        let expected = if instance_too { (Status::Already, None) } else { (Status::Failed, Some(Kind::NotFound)) };
        assert_eq!((report.status, report.error), expected, "{report:#?}");
        assert!(bench.gce.writes().is_empty());
    }
}

#[tokio::test]
async fn deletion_protection_is_not_lifted() {
    let bench = Bench::new();
    bench.gce.seed(web().deletion_protection());
    bench.capture_web().await;
    let report = run(&bench, Mode::Apply, &web_1(&bench).await).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("gcp-protect-instance"));
    assert_ne!(bench.instance("web-1").await, Value::Null);
}

#[tokio::test]
async fn a_successor_of_the_same_name_is_never_deleted() {
    let bench = captured().await;
    let old = web_1(&bench).await;
    bench.gce.seed(web());
    bench.capture("web-1-shared", "inc-9").await;
    let successor = bench.instance("web-1").await;
    let report = run(&bench, Mode::Apply, &old).await;
    assert_eq!(report.status, Status::Already, "the accused is gone: {report:#?}");
    assert_eq!(bench.instance("web-1").await, successor);
    // Without a number, a name that is nobody's is not taken for a success.
    bench.gce.remove_instance(PROJECT, "web-1");
    let report = run(&bench, Mode::Apply, &target("web-1")).await;
    assert_eq!(report.error, Some(Kind::NotFound), "{report:#?}");
}

#[tokio::test]
async fn failures_on_the_way_are_tried_again() {
    let bench = captured().await;
    let target = web_1(&bench).await;
    bench.gce.timing(Timing::each(Duration::from_millis(5)));
    bench.gce.refuse("/instances/", Refusal::unavailable(), 1);
    let Target::GceInstance(named) = &target else { panic!("an instance") };
    let id = named.id.as_ref().expect("a number").to_string();
    bench.gce.fail_operation_on(&format!("/instances/{id}"), OperationFailure::rate());
    let report = run(&bench, Mode::Apply, &target).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bench.instance("web-1").await, Value::Null);
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    let alone = Way::new(|| async {
        let bench = captured().await;
        let target = web_1(&bench).await;
        (bench, target, Value::Null)
    });
    let managed = |group: fn() -> Group| {
        Way::new(move || async move {
            let bench = captured().await;
            bench.gce.seed_group(group().member("europe-west1-b/web-1"));
            let target = web_1(&bench).await;
            (bench, target, Value::Null)
        })
    };
    let zonal = managed(|| Group::zonal(PROJECT, ZONE, "web"));
    let regional = managed(|| Group::regional(PROJECT, REGION, "web"));
    least_privilege_of::<GcpDeleteInstance>(&[alone, zonal, regional]).await;
}
