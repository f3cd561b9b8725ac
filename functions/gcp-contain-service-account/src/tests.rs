//! Whole runs against the range's IAM; what happened is read back from there.

mod contract;

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{Mode, Report, Status};
use stanch_gcp::iam::WORKLOAD_IDENTITY_USER;
use stanch_gcp_suite::{Bench, PROJECT, Way, ZONE, account, least_privilege_of, left, reason};
use stanch_range::gce::{Account, Instance, Refusal};

use super::*;

const EMAIL: &str = "web@acme-prod.iam.gserviceaccount.com";
const CREATOR: &str = "roles/iam.serviceAccountTokenCreator";
const WORKLOADS: [&str; 2] =
    ["serviceAccount:acme-prod.svc.id.goog[web/front]", "serviceAccount:acme-prod.svc.id.goog[web/back]"];

fn made(email: &str) -> Account {
    Account::new(PROJECT, email)
        .key("0123456789abcdef0123456789abcdef01234567")
        .key("89abcdef0123456789abcdef0123456789abcdef")
        .system_key("fedcba9876543210fedcba9876543210fedcba98")
        .binding(WORKLOAD_IDENTITY_USER, &WORKLOADS)
        .binding(CREATOR, &["user:ana@example.com"])
}

fn seeded() -> Bench {
    let bench = Bench::new();
    bench.gce.seed_account(made(EMAIL));
    bench.gce.seed(Instance::new(PROJECT, ZONE, "web-1").service_account(EMAIL));
    bench
}

/// What IAM holds of the account.
fn state(bench: &Bench) -> Value {
    state_of(bench, EMAIL)
}

fn state_of(bench: &Bench, email: &str) -> Value {
    let account = bench.gce.account(email).expect("it is there");
    let keys: Vec<_> = account.keys().iter().map(|key| json!([key.id, key.disabled])).collect();
    json!({
        "disabled": account.is_disabled(),
        "keys": keys,
        "workloads": account.members(WORKLOAD_IDENTITY_USER),
        "creators": account.members(CREATOR),
    })
}

/// Somebody lets another workload in.
async fn let_in(bench: &Bench, email: &str) {
    let url = format!("{}/v1/projects/acme-prod/serviceAccounts/{email}:setIamPolicy", bench.gce.endpoint());
    let new = json!({"role": WORKLOAD_IDENTITY_USER, "members": ["serviceAccount:acme-prod.svc.id.goog[web/new]"]});
    let body = json!({"policy": {"bindings": [new]}});
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("answers");
    assert!(answer.status().is_success());
}

fn everything() -> Value {
    json!({"drop_bindings": true, "disable_keys": true})
}

async fn apply(bench: &Bench, options: Value) -> Report {
    bench.run::<GcpContainServiceAccount>(Mode::Apply, &account(EMAIL), &options).await
}

async fn revert(bench: &Bench, options: Value) -> Report {
    bench.run::<GcpContainServiceAccount>(Mode::Revert, &account(EMAIL), &options).await
}

#[tokio::test]
async fn the_account_its_keys_and_its_workloads_are_cut_and_come_back_as_they_were() {
    let bench = seeded();
    let before = state(&bench);
    let report = apply(&bench, everything()).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 4), "{report:#?}");
    let cut = state(&bench);
    assert_eq!(cut["disabled"], true);
    let disabled: Vec<_> = cut["keys"].as_array().expect("keys").iter().map(|key| key[1].clone()).collect();
    assert_eq!(disabled, [true, true, false], "Google's own key cannot be disabled, and nobody has it");
    assert_eq!((&cut["workloads"], &cut["creators"]), (&json!([]), &before["creators"]));
    assert!(left(&report, "1 instance of the project run as it"), "{:#?}", report.remaining);

    let again = apply(&bench, everything()).await;
    assert_eq!((again.status, again.record), (Status::Already, report.record), "{:?}", again.reason);
    assert_eq!(revert(&bench, json!({"revive_tokens": true})).await.status, Status::Reverted);
    assert_eq!(state(&bench), before);
}

#[tokio::test]
async fn enabling_within_an_hour_is_refused_and_changes_nothing() {
    let bench = seeded();
    let before = state(&bench);
    apply(&bench, everything()).await;
    let cut = state(&bench);
    let report = revert(&bench, json!({})).await;
    assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{report:#?}");
    assert!(reason(&report).contains("revive_tokens"), "{:?}", report.reason);
    assert_eq!(state(&bench), cut);
    // It is not half undone: it can still be told apart from one that is, and contained again.
    assert_eq!(apply(&bench, everything()).await.status, Status::Already);
    bench.clock.skip(Duration::from_hours(1));
    assert_eq!(revert(&bench, json!({})).await.status, Status::Reverted);
    assert_eq!(state(&bench), before);
}

#[tokio::test]
async fn only_what_is_asked_for_and_was_not_so_before_is_changed() {
    let bench = seeded();
    let report = apply(&bench, json!({"disable": false, "drop_bindings": true})).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 1), "{report:#?}");
    let now = state(&bench);
    assert_eq!((&now["disabled"], &now["workloads"]), (&json!(false), &json!([])));
    for part in
        ["2 of its keys are enabled", "may still become it by roles/iam.serviceAccountTokenCreator", "live up to"]
    {
        assert!(left(&report, part), "{part}: {:#?}", report.remaining);
    }
    // Nothing was disabled, so nothing is revived.
    assert_eq!(revert(&bench, json!({})).await.status, Status::Reverted);
    assert_eq!(state(&bench)["workloads"].as_array().map(Vec::len), Some(2));

    let bench = Bench::new();
    bench.gce.seed_account(Account::new(PROJECT, EMAIL).disabled());
    let report = apply(&bench, json!({})).await;
    assert_eq!(report.status, Status::Already, "somebody else had disabled it: {report:#?}");
}

#[tokio::test]
async fn a_policy_that_moves_is_read_again_and_keeps_what_others_wrote() {
    let bench = seeded();
    let why = "There were concurrent policy changes.";
    bench.gce.refuse(":setIamPolicy", Refusal::new(409, "ABORTED", why), 2);
    bench.gce.refuse(":disable", Refusal::unavailable(), 1);
    let report = apply(&bench, json!({"drop_bindings": true})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(state(&bench)["creators"], json!(["user:ana@example.com"]));

    // Somebody lets a workload in meanwhile: that binding is theirs, and undo leaves all of them and says so.
    let_in(&bench, EMAIL).await;
    let report = revert(&bench, json!({"revive_tokens": true})).await;
    assert_eq!(report.status, Status::Partial, "{report:#?}");
    let now = state(&bench);
    assert_eq!((&now["disabled"], now["workloads"].as_array().map(Vec::len)), (&json!(false), Some(1)));
}

#[tokio::test]
async fn what_must_not_be_disabled_is_not() {
    let bench = seeded();
    let own = bench.cloud(None).acting_as(EMAIL.parse().expect("an address"));
    let report = bench.run_at::<GcpContainServiceAccount>(own, Mode::Apply, &account(EMAIL), &json!({})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(reason(&report).contains("this runs as"));
    assert_eq!(state(&bench)["disabled"], false);

    for agent in ["123@cloudservices.gserviceaccount.com", "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"] {
        bench.gce.seed_account(Account::new(PROJECT, agent));
        let report = bench.run::<GcpContainServiceAccount>(Mode::Apply, &account(agent), &json!({})).await;
        assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    }
    let nobody = account("nobody@acme-prod.iam.gserviceaccount.com");
    let report = bench.run::<GcpContainServiceAccount>(Mode::Apply, &nobody, &json!({})).await;
    assert_eq!(report.error, Some(Kind::NotFound), "{report:#?}");
    let report = apply(&bench, json!({"disable": false})).await;
    assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn an_account_with_more_users_than_the_guard_allows_is_left_to_a_person() {
    let bench = seeded();
    for n in 0..30 {
        let name = format!("node-{n}");
        bench.gce.seed(Instance::new(PROJECT, ZONE, &name).service_account(EMAIL));
    }
    bench.gce.page_size(7);
    let report = apply(&bench, json!({})).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert_eq!(state(&bench)["disabled"], false);
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    let way = Way::new(|| async { (seeded(), account(EMAIL), everything()) });
    least_privilege_of::<GcpContainServiceAccount>(&[way.undone_with(json!({"revive_tokens": true}))]).await;
}
