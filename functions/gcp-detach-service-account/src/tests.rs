//! Whole runs against the range's Compute Engine and IAM; what happened is read back from there.

mod contract;

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{Mode, Report, Status, Target};
use stanch_gcp_suite::{Bench, INCIDENT, PROJECT, Way, ZONE, least_privilege_of, left, reason, target, web};
use stanch_range::gce::{Account, Group, Instance, OperationFailure, Refusal, Timing};

use super::*;

const EMAIL: &str = "web@acme-prod.iam.gserviceaccount.com";
const OTHER: &str = "empty@acme-prod.iam.gserviceaccount.com";

fn seeded(instance: Instance) -> Bench {
    let bench = Bench::new();
    bench.gce.seed_account(Account::new(PROJECT, EMAIL));
    bench.gce.seed_account(Account::new(PROJECT, OTHER));
    bench.gce.seed(instance.service_account(EMAIL));
    bench
}

/// With both disks captured for this incident.
async fn captured() -> Bench {
    let bench = seeded(web());
    bench.capture_web().await;
    bench
}

fn web_1() -> Target {
    target("web-1")
}

async fn run(bench: &Bench, mode: Mode, options: Value) -> Report {
    bench.run::<GcpDetachServiceAccount>(mode, &web_1(), &options).await
}

/// Status and service accounts of `web-1`, which is the same one all the time.
async fn state(bench: &Bench) -> Value {
    let found = bench.instance("web-1").await;
    json!({"id": found["id"], "status": found["status"], "accounts": found.get("serviceAccounts")})
}

fn verbs(bench: &Bench) -> Vec<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    bench.gce.writes().iter().filter(|call| call.status == 200).map(|call| last(&call.path)).collect()
}

#[tokio::test]
async fn the_account_goes_by_a_restart_and_comes_back_by_another() {
    let bench = captured().await;
    let before = state(&bench).await;
    assert_eq!(before["accounts"][0]["email"], json!(EMAIL));
    bench.gce.clear_log();
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 3), "{report:#?}");
    assert_eq!(verbs(&bench), ["stop", "setServiceAccount", "start"]);
    let now = state(&bench).await;
    assert_eq!((&now["id"], &now["status"], &now["accounts"]), (&before["id"], &json!("RUNNING"), &Value::Null));
    assert!(left(&report, "live up to an hour") && left(&report, "memory"), "{:#?}", report.remaining);
    assert!(report.remaining.iter().any(|left| left.until.is_some()));

    let again = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!((again.status, again.record), (Status::Already, report.record), "{:?}", again.reason);
    let back = run(&bench, Mode::Revert, json!({})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(state(&bench).await, before);
}

#[tokio::test]
async fn another_account_may_take_its_place_and_a_stopped_instance_stays_stopped() {
    let bench = captured().await;
    let report = run(&bench, Mode::Apply, json!({"replacement": OTHER})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(state(&bench).await["accounts"][0]["email"], json!(OTHER));

    let bench = seeded(web().status("TERMINATED"));
    let before = state(&bench).await;
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 1), "nothing is lost: {report:#?}");
    assert_eq!(state(&bench).await["status"], json!("TERMINATED"));
    assert_eq!(run(&bench, Mode::Revert, json!({})).await.status, Status::Reverted);
    assert_eq!(state(&bench).await, before);
}

#[tokio::test]
async fn nothing_is_stopped_before_its_disks_are_captured_for_this_incident() {
    let none = seeded(web());
    let half = seeded(web());
    half.capture("web-1", INCIDENT).await;
    let other = seeded(web());
    other.capture("web-1", "inc-2").await;
    other.capture("web-1-shared", "inc-2").await;
    let ssd_only = seeded(Instance::new(PROJECT, ZONE, "web-1").local_ssd());
    for (bench, named, options) in [
        (none, "web-1, web-1-shared", json!({})),
        (half, "web-1-shared", json!({})),
        (other, "web-1, web-1-shared", json!({})),
        (ssd_only, "nothing of it", json!({"discard_local_ssd": true})),
    ] {
        bench.gce.clear_log();
        let report = run(&bench, Mode::Apply, options).await;
        assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{report:#?}");
        assert!(reason(&report).contains(&format!("not captured for this incident: {named}")), "{:?}", report.reason);
        assert!(reason(&report).contains("gcp-snapshot-disks apply --incident inc-1"));
        assert!(bench.gce.writes().is_empty());
    }
}

#[tokio::test]
async fn a_disk_that_was_made_anew_is_not_captured_by_the_old_ones_snapshot() {
    let bench = captured().await;
    bench.gce.seed(web().service_account(EMAIL));
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
}

#[tokio::test]
async fn local_ssds_are_given_up_only_on_request() {
    let bench = seeded(web().local_ssd());
    bench.capture_web().await;
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("discard_local_ssd"));
    let report = run(&bench, Mode::Apply, json!({"discard_local_ssd": true})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(state(&bench).await["accounts"], Value::Null);
}

#[tokio::test]
async fn a_member_of_a_managed_group_is_not_stopped() {
    let bench = captured().await;
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "web").member("web-1"));
    bench.gce.clear_log();
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("gcp-release-instance apply --incident inc-1"), "{:?}", report.reason);
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn disabling_the_account_is_immediate_and_needs_no_restart() {
    let bench = seeded(web());
    let before = state(&bench).await;
    let report = run(&bench, Mode::Apply, json!({"how": "disable"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(verbs(&bench), [format!("{}:disable", bench.gce.account(EMAIL).expect("there").unique_id())]);
    assert!(bench.gce.account(EMAIL).expect("there").is_disabled());
    assert_eq!(state(&bench).await, before);

    let early = run(&bench, Mode::Revert, json!({"how": "disable"})).await;
    assert_eq!(early.status, Status::Refused, "{early:#?}");
    assert!(reason(&early).contains("revive_tokens"));
    assert!(bench.gce.account(EMAIL).expect("there").is_disabled());
    let back = run(&bench, Mode::Revert, json!({"how": "disable", "revive_tokens": true})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(!bench.gce.account(EMAIL).expect("there").is_disabled());
}

#[tokio::test]
async fn a_shared_account_is_not_disabled_by_way_of_one_instance() {
    let bench = seeded(web());
    bench.gce.seed(Instance::new(PROJECT, "europe-west1-c", "web-2").service_account(EMAIL));
    bench.gce.page_size(1);
    let report = run(&bench, Mode::Apply, json!({"how": "disable"})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("europe-west1-c/web-2") && reason(&report).contains("how=replace"));
    assert!(!bench.gce.account(EMAIL).expect("there").is_disabled());

    let bench = seeded(web());
    let own = bench.cloud(None).acting_as(EMAIL.parse().expect("an address"));
    let report = bench.run_at::<GcpDetachServiceAccount>(own, Mode::Apply, &web_1(), &json!({"how": "disable"})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");

    // Of another project: not this one's to disable.
    let bench = Bench::new();
    bench.gce.seed(web().service_account("x@other-project.iam.gserviceaccount.com"));
    let report = run(&bench, Mode::Apply, json!({"how": "disable"})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
}

#[tokio::test]
async fn an_instance_without_an_account_and_one_in_between() {
    let bench = Bench::with_web();
    assert_eq!(run(&bench, Mode::Apply, json!({})).await.status, Status::Already);
    let bench = seeded(web().status("SUSPENDED"));
    assert_eq!(run(&bench, Mode::Apply, json!({})).await.error, Some(Kind::Unsupported));
    let bench = seeded(web());
    let report = run(&bench, Mode::Apply, json!({"how": "ask nicely"})).await;
    assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
}

#[tokio::test]
async fn failures_on_the_way_are_tried_again_and_a_slow_stop_is_waited_for() {
    let bench = captured().await;
    let before = state(&bench).await;
    bench.gce.fail_operation_on("/stop", OperationFailure::rate());
    bench.gce.refuse("/setServiceAccount", Refusal::unavailable(), 1);
    bench.gce.refuse("/start", Refusal::rate_limit(), 2);
    bench.gce.timing(Timing::each(Duration::from_millis(300)));
    let report = run(&bench, Mode::Apply, json!({})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let now = state(&bench).await;
    assert_eq!((&now["status"], &now["accounts"]), (&before["status"], &Value::Null));
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    let replace = Way::new(|| async {
        let bench = captured().await;
        // A group of the zone, which has to be asked whether it manages the instance.
        bench.gce.seed(Instance::new(PROJECT, ZONE, "db-1"));
        bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "db").member("db-1"));
        (bench, web_1(), json!({"replacement": OTHER}))
    });
    let disable = Way::new(|| async { (seeded(web()), web_1(), json!({"how": "disable"})) });
    let disable = disable.undone_with(json!({"revive_tokens": true}));
    least_privilege_of::<GcpDetachServiceAccount>(&[replace, disable]).await;
}
