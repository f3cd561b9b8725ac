//! The whole responder, with ledger and driver, against the range's Compute Engine.

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status};
use stanch_gcp_suite::{Bench, PROJECT, ZONE, differences, least_privilege, remaining, target};
use stanch_range::gce::{Disk, Gce, Instance, Nic, OperationFailure, Refusal};

use super::*;

const KEY: &str =
    "ana:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ana@example.com";
const OTHER: &str = "bob:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJm bob";
const ACCOUNT: &str = "web@acme-prod.iam.gserviceaccount.com";

fn vm(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot()).service_account(ACCOUNT)
}

fn quarantined(name: &str) -> Instance {
    vm(name).tag("stanch-quarantine-0123abcd").metadata("startup-script", "exit").metadata("ssh-keys", OTHER)
}

fn planted() -> Bench {
    let bench = Bench::new();
    bench.gce.seed(quarantined("web-1"));
    bench.gce.seed(quarantined("web-2"));
    bench.gce.seed(vm("bastion").tag("jump"));
    bench
}

fn options() -> Value {
    json!({"bastion": "bastion", "public_key": KEY})
}

async fn run(bench: &Bench, mode: Mode, name: &str, options: Value) -> Report {
    bench.run::<GcpAllowBastion>(mode, &target(name), &options).await
}

#[tokio::test]
async fn key_tag_and_rule_are_there_and_everything_else_is_kept() {
    let bench = planted();
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, "web-1", options()).await;
    assert_eq!((applied.status, applied.changes.len()), (Status::Applied, 3), "{applied:#?}");
    assert!(remaining(&applied).contains("from bastion: ssh ana@web-1"));
    let state = bench.gce.dump(PROJECT);
    let web = &state["instances"]["europe-west1-b/web-1"];
    assert_eq!(web["metadata"], json!({"ssh-keys": format!("{OTHER}\n{KEY}"), "startup-script": "exit"}));
    assert_eq!(state["instances"]["europe-west1-b/bastion"]["tags"], json!(["jump", "stanch-bastion"]));
    let rules: Vec<_> = state["firewalls"].as_object().expect("rules").values().collect();
    let [rule] = rules[..] else { panic!("{rules:#?}") };
    assert_eq!(
        (&rule["allowed"], &rule["priority"], &rule["sourceTags"], &rule["targetTags"], &rule["direction"]),
        (
            &json!([{"IPProtocol": "tcp", "ports": ["22"]}]),
            &json!(0),
            &json!(["stanch-bastion"]),
            &json!(["stanch-quarantine-0123abcd"]),
            &json!("INGRESS")
        )
    );
    assert!(rule.get("sourceRanges").is_none(), "{rule}");
    assert_eq!(run(&bench, Mode::Apply, "web-1", options()).await.status, Status::Already);
    assert_eq!(run(&bench, Mode::Revert, "web-1", options()).await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn tag_and_rule_stay_while_another_instance_uses_them() {
    let bench = planted();
    let before = bench.gce.dump(PROJECT);
    for name in ["web-1", "web-2"] {
        assert_eq!(run(&bench, Mode::Apply, name, options()).await.status, Status::Applied);
    }
    assert_eq!(run(&bench, Mode::Revert, "web-1", options()).await.status, Status::Reverted);
    let state = bench.gce.dump(PROJECT);
    assert_eq!(state["instances"]["europe-west1-b/web-1"]["metadata"]["ssh-keys"], OTHER);
    assert_eq!(state["instances"]["europe-west1-b/bastion"]["tags"], json!(["jump", "stanch-bastion"]));
    assert_eq!(state["firewalls"].as_object().expect("rules").len(), 1);
    assert_eq!(run(&bench, Mode::Revert, "web-2", options()).await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn without_keys_before_there_are_none_afterwards() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").tag("quarantine"));
    bench.gce.seed(vm("bastion"));
    let before = bench.gce.dump(PROJECT);
    assert_eq!(run(&bench, Mode::Apply, "web-1", options()).await.status, Status::Applied, "the guide's tag counts");
    run(&bench, Mode::Revert, "web-1", options()).await;
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn with_os_login_it_says_what_to_do_instead() {
    for (project, instance, works) in [
        (None, None, true),
        (Some("TRUE"), None, false),
        (Some("true"), Some("false"), true),
        (None, Some("TRUE"), false),
    ] {
        let bench = planted();
        if let Some(value) = project {
            bench.gce.project_metadata(PROJECT, "enable-oslogin", value);
        }
        if let Some(value) = instance {
            bench.gce.seed(quarantined("web-1").metadata("enable-oslogin", value));
        }
        let report = run(&bench, Mode::Apply, "web-1", options()).await;
        assert_eq!(report.status == Status::Applied, works, "{project:?} {instance:?}: {report:#?}");
        if !works {
            assert_eq!(report.error, Some(Kind::Unsupported));
            assert!(report.reason.is_some_and(|reason| reason.contains("gcloud compute os-login ssh-keys add")));
            assert!(bench.gce.writes().is_empty());
        }
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let bench = planted();
    bench.gce.seed(vm("free"));
    bench.gce.seed(vm("far").nic(Nic::new("data")).nic(Nic::new("default")));
    let with = |key: &str, value: Value| {
        let mut options = options();
        options[key] = value;
        options
    };
    let key = |text: &str| with("public_key", json!(text));
    for (name, options, kind, named) in [
        ("free", options(), Kind::Unsupported, "gcp-isolate-instance {"),
        ("web-1", with("quarantine_tag", json!("mine")), Kind::Unsupported, "not quarantined"),
        ("web-1", with("bastion", json!("absent")), Kind::NotFound, "the bastion does not exist"),
        ("web-1", with("bastion", json!("web-1")), Kind::Invalid, "options.bastion"),
        ("web-1", with("bastion", json!("far")), Kind::Unsupported, "primary interface"),
        ("web-1", json!({"bastion": "bastion"}), Kind::Invalid, "options.public_key"),
        ("web-1", json!({"public_key": KEY}), Kind::Invalid, "options.bastion"),
        ("web-1", key(&KEY.replace("ana:", "root:")), Kind::Invalid, "public_key"),
        ("web-1", key(&format!("{KEY}\nmallory:ssh-ed25519 AAAA")), Kind::Invalid, "public_key"),
        ("web-1", key("ssh-ed25519 AAAA"), Kind::Invalid, "public_key"),
    ] {
        let report = run(&bench, Mode::Apply, name, options).await;
        assert_eq!((report.status, report.error), (Status::Failed, Some(kind)), "{named}: {report:#?}");
        assert!(report.reason.as_deref().is_some_and(|reason| reason.contains(named)), "{named}: {report:#?}");
    }
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn lost_races_and_failed_operations_are_run_again() {
    let bench = planted();
    bench.gce.refuse("/setMetadata", Refusal::new(412, "conditionNotMet", "Supplied fingerprint"), 1);
    bench.gce.fail_operation_on("/setMetadata", OperationFailure::internal());
    bench.gce.fail_operation_on("/setTags", OperationFailure::new("RESOURCE_NOT_READY", 400, "not ready"));
    let report = run(&bench, Mode::Apply, "web-1", options()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
}

fn scene(gce: &Gce) -> (Target, Value) {
    gce.seed(quarantined("web-1"));
    gce.seed(vm("bastion"));
    (target("web-1"), options())
}

fn weakened(gce: &Gce) -> (Target, Value) {
    let network = NetworkRef { project: PROJECT.parse().expect("project"), name: "default".parse().expect("network") };
    let tag = "stanch-quarantine-0123abcd".parse().expect("tag");
    let (slot, _) = bastion::rule(&network, &network.project, &tag).expect("a rule");
    let wide = json!({"name": slot.name, "network": "global/networks/default", "allowed": [{"IPProtocol": "all"}]});
    gce.seed_firewall(PROJECT, &wide);
    scene(gce)
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpAllowBastion>(&[scene, weakened]).await;
}
