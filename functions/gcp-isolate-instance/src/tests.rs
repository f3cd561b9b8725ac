//! The whole responder, with ledger and driver, against the range's Compute Engine.

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status};
use stanch_gcp::NetworkRef;
use stanch_gcp_suite::{Bench, PROJECT, ZONE, differences, least_privilege, remaining, target, through};
use stanch_range::{
    gce::{Disk, Gce, Group, Instance, Nic, OperationFailure, Refusal, Timing},
    proxy::Fault,
};

use super::*;

fn vm(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot()).tag("web")
}

async fn run(bench: &Bench, mode: Mode, name: &str, options: Value) -> Report {
    bench.run::<GcpIsolateInstance>(mode, &target(name), &options).await
}

fn set() -> Quarantine {
    Quarantine::new(Protocols::All, &[]).expect("a set")
}

/// The rules that the usual options make in a network, by name.
fn rules(network: &str) -> Vec<String> {
    let network = NetworkRef { project: PROJECT.parse().expect("project"), name: network.parse().expect("network") };
    let rules = set().rules(&network, &network.project).expect("rules");
    rules.into_iter().map(|(slot, _)| slot.name.to_string()).collect()
}

#[tokio::test]
async fn one_interface_is_cut_off_both_ways_in_both_families_and_let_go_again() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1").nic(Nic::new("default").external("External NAT", "203.0.113.7")));
    bench.gce.seed(vm("web-2"));
    let before = bench.gce.dump(PROJECT);

    let planned = run(&bench, Mode::Plan, "web-1", json!({})).await;
    assert_eq!((planned.status, planned.changes.len()), (Status::Planned, 5), "{planned:#?}");
    assert!(bench.gce.writes().is_empty());
    let applied = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");

    let state = bench.gce.dump(PROJECT);
    let tag = set().tag().to_string();
    assert_eq!(state["instances"]["europe-west1-b/web-1"]["tags"], json!(["web", tag]));
    assert_eq!(state["instances"]["europe-west1-b/web-2"]["tags"], json!(["web"]));
    let found = state["firewalls"].as_object().expect("rules");
    let mut seen: Vec<_> = found
        .values()
        .map(|rule| {
            assert_eq!((&rule["denied"], &rule["disabled"]), (&json!([{"IPProtocol": "all"}]), &json!(false)));
            assert_eq!((&rule["targetTags"], &rule["logConfig"]["enable"]), (&json!([tag]), &json!(true)));
            let ranges = rule.get("sourceRanges").or(rule.get("destinationRanges")).expect("ranges");
            format!("{} {} {}", rule["direction"], rule["priority"], ranges[0])
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [r#""EGRESS" 0 "0.0.0.0/0""#, r#""EGRESS" 0 "::/0""#, r#""INGRESS" 1 "0.0.0.0/0""#, r#""INGRESS" 1 "::/0""#]
    );
    // The tag comes last: before it, nothing is cut, and after it, everything.
    assert!(bench.gce.writes().last().expect("writes").path.ends_with("/setTags"));
    let left = remaining(&applied);
    for part in ["metadata server", "203.0.113.7", "gcp-remove-external-ip {", "gcp-snapshot-disks {"] {
        assert!(left.contains(part), "{part}: {left}");
    }

    let again = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
    let back = run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn every_interface_is_cut_off_in_its_own_network() {
    let bench = Bench::new();
    let three = vm("web-1").nic(Nic::new("default")).nic(Nic::new("data").external_ipv6("v6", "2600:1900:4010:1::"));
    bench.gce.seed(three.nic(Nic::new("admin").ipv6("fd20::1")));
    let before = bench.gce.dump(PROJECT);
    let applied = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    let state = bench.gce.dump(PROJECT);
    for network in ["default", "data", "admin"] {
        for name in rules(network) {
            assert_eq!(state["firewalls"][&name]["network"], network, "{name}");
        }
    }
    assert_eq!(state["firewalls"].as_object().expect("rules").len(), 12);
    run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn the_rules_stand_until_the_last_instance_is_released() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    bench.gce.seed(vm("web-2").nic(Nic::new("default")).nic(Nic::new("data")));
    let before = bench.gce.dump(PROJECT);
    for name in ["web-1", "web-2"] {
        assert_eq!(run(&bench, Mode::Apply, name, json!({})).await.status, Status::Applied);
    }
    let made = |bench: &Bench| bench.gce.dump(PROJECT)["firewalls"].as_object().expect("rules").len();
    assert_eq!(made(&bench), 8, "the rules of default are there once");

    let back = run(&bench, Mode::Revert, "web-1", json!({})).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let state = bench.gce.dump(PROJECT);
    assert_eq!(state["instances"]["europe-west1-b/web-1"]["tags"], json!(["web"]));
    for name in rules("default") {
        assert!(state["firewalls"].get(&name).is_some(), "{name} is gone, and web-2 relies on it");
    }
    assert_eq!(run(&bench, Mode::Revert, "web-2", json!({})).await.status, Status::Reverted);
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn a_weakened_rule_is_put_right_and_reported() {
    let name = rules("default").remove(0);
    let tag = set().tag().to_string();
    let whole = json!({
        "name": name, "network": "global/networks/default", "direction": "EGRESS", "priority": 0,
        "denied": [{"IPProtocol": "all"}], "destinationRanges": ["0.0.0.0/0"], "targetTags": [tag],
        "logConfig": {"enable": true},
    });
    for weaker in [
        json!({"disabled": true}),
        json!({"priority": 900}),
        json!({"destinationRanges": ["10.0.0.0/8"]}),
        json!({"denied": [{"IPProtocol": "tcp"}]}),
        json!({"denied": null, "allowed": [{"IPProtocol": "all"}]}),
        json!({"targetTags": ["other"]}),
        json!({"logConfig": {"enable": false}}),
    ] {
        let bench = Bench::new();
        bench.gce.seed(vm("web-1"));
        let mut rule = whole.clone();
        for (key, value) in weaker.as_object().expect("fields") {
            rule[key] = value.clone();
        }
        bench.gce.seed_firewall(PROJECT, &rule);
        let planned = run(&bench, Mode::Plan, "web-1", json!({})).await;
        let change = planned.changes.iter().find(|change| change.command.contains(&name)).expect("planned");
        assert_ne!((&change.before, &change.before), (&change.after, &Value::Null), "{weaker}: {change:#?}");
        let applied = run(&bench, Mode::Apply, "web-1", json!({})).await;
        assert_eq!(applied.status, Status::Applied, "{weaker}: {applied:#?}");
        let mut seen = bench.gce.dump(PROJECT)["firewalls"][&name].clone();
        for key in ["description", "disabled"] {
            seen.as_object_mut().expect("a rule").remove(key);
        }
        assert_eq!(seen["denied"], json!([{"IPProtocol": "all"}]), "{weaker}");
        assert_eq!(
            (&seen["priority"], &seen["destinationRanges"], &seen["targetTags"], &seen["logConfig"]["enable"]),
            (&json!(0), &json!(["0.0.0.0/0"]), &json!([tag]), &json!(true)),
            "{weaker}"
        );

        // Weakened again, after it was applied: lost containment, brought back under the same record.
        bench.gce.seed_firewall(PROJECT, &rule);
        let again = run(&bench, Mode::Apply, "web-1", json!({})).await;
        assert_eq!((again.status, again.record), (Status::Applied, applied.record), "{weaker}");
        let disabled = &bench.gce.dump(PROJECT)["firewalls"][&name]["disabled"];
        assert_eq!(disabled, false, "{weaker}");
    }
}

#[tokio::test]
async fn what_still_lets_traffic_through_is_a_warning() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    let deny = json!({"action": "deny", "direction": "INGRESS", "priority": 1, "match": {}});
    let off = json!({"action": "allow", "direction": "INGRESS", "priority": 2, "disabled": true, "match": {}});
    let allow = json!({"action": "allow", "direction": "INGRESS", "priority": 10, "match":
        {"srcIpRanges": ["35.235.240.0/20"], "layer4Configs": [{"ipProtocol": "tcp", "ports": ["22"]}]}});
    let policy = json!({"name": "1234", "shortName": "org-base", "type": "HIERARCHY", "rules": [deny, off, allow]});
    bench.gce.seed_policy(PROJECT, policy);
    let rule = |name: &str, priority: u32| json!({"name": name, "network": "global/networks/default", "allowed": [{"IPProtocol": "tcp"}], "priority": priority});
    bench.gce.seed_firewall(PROJECT, &rule("health-checks", 0));
    bench.gce.seed_firewall(PROJECT, &rule("usual", 1));
    let applied = run(&bench, Mode::Apply, "web-1", json!({"allow_from": ["198.51.100.7/32"]})).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    let again = run(&bench, Mode::Apply, "web-1", json!({"allow_from": ["198.51.100.7/32"]})).await;
    let left = remaining(&again);
    assert!(
        left.contains(
            "the hierarchy firewall policy org-base (rule 10) allows ingress tcp:22 35.235.240.0/20 on nic0, before any \
             rule of the network is asked"
        ),
        "{left}"
    );
    assert!(left.contains("the firewall rule health-checks (priority 0) lets ingress through"), "{left}");
    for quiet in ["usual", "rule 1)", "rule 2)", "ingress-allow"] {
        assert!(!left.contains(quiet), "{quiet}: {left}");
    }
}

#[tokio::test]
async fn options_make_other_rule_sets() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    bench.gce.seed(vm("web-2"));
    let before = bench.gce.dump(PROJECT);
    let tcp = run(&bench, Mode::Apply, "web-1", json!({"protocols": "tcp"})).await;
    assert!(remaining(&tcp).contains("all but TCP goes on"));
    let options = json!({"allow_from": ["198.51.100.7/32", "2001:db8::/64"]});
    assert_eq!(run(&bench, Mode::Apply, "web-2", options).await.status, Status::Applied);
    let state = bench.gce.dump(PROJECT);
    let found: Vec<_> = state["firewalls"].as_object().expect("rules").values().collect();
    assert_eq!(found.iter().filter(|rule| rule["denied"] == json!([{"IPProtocol": "tcp"}])).count(), 4);
    let allows: Vec<_> = found.iter().filter(|rule| rule["priority"] == 0 && rule.get("allowed").is_some()).collect();
    let mut ranges: Vec<_> = allows.iter().map(|rule| rule["sourceRanges"][0].clone()).collect();
    ranges.sort_by_key(ToString::to_string);
    assert_eq!(ranges, ["198.51.100.7/32", "2001:db8::/64"]);
    for name in ["web-1", "web-2"] {
        assert_eq!(run(&bench, Mode::Revert, name, json!({})).await.status, Status::Reverted);
    }
    assert_eq!(differences(&before, &bench.gce.dump(PROJECT)), [""; 0]);
    for (options, named) in [
        (json!({"allow_from": ["0.0.0.0/0"]}), "allow_from"),
        (json!({"protocols": "udp"}), "protocols"),
        (json!({"protocol": "tcp"}), "protocol"),
    ] {
        let refused = run(&bench, Mode::Apply, "web-1", options).await;
        assert_eq!(refused.error, Some(Kind::Invalid));
        assert!(refused.reason.as_deref().unwrap_or_default().contains(named), "{refused:#?}");
    }
}

#[tokio::test]
async fn a_member_of_a_managed_group_is_refused_unless_asked_for() {
    for regional in [false, true] {
        let bench = Bench::new();
        for name in ["node-1", "node-2", "free"] {
            bench.gce.seed(vm(name));
        }
        bench.gce.seed_group(if regional {
            let group = Group::regional(PROJECT, "europe-west1", "pool");
            group.member("europe-west1-b/node-1").member("europe-west1-b/node-2")
        } else {
            Group::zonal(PROJECT, ZONE, "pool").member("node-1").member("node-2")
        });
        let refused = run(&bench, Mode::Apply, "node-1", json!({})).await;
        assert_eq!((refused.status, refused.exit_code()), (Status::Refused, 3), "{refused:#?}");
        let reason = refused.reason.unwrap_or_default();
        assert!(reason.contains("managed group pool") && reason.contains("gcp-release-instance {"), "{reason}");
        assert!(bench.gce.writes().is_empty());
        let applied = run(&bench, Mode::Apply, "node-1", json!({"even_if_managed": true})).await;
        assert_eq!(applied.status, Status::Applied, "{applied:#?}");
        assert!(remaining(&applied).contains("the managed group pool"));
        assert_eq!(run(&bench, Mode::Apply, "free", json!({})).await.status, Status::Applied);
    }
}

#[tokio::test]
async fn what_an_instance_says_of_its_group_is_a_hint() {
    // Its account rewrote the hint; and one that was abandoned still has it.
    let bench = Bench::new();
    bench.gce.seed(vm("node-1"));
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-1"));
    bench.gce.seed(vm("node-1").metadata("created-by", "projects/1/zones/europe-west1-b/instanceGroupManagers/other"));
    assert_eq!(run(&bench, Mode::Apply, "node-1", json!({})).await.status, Status::Refused);
    let hint = "projects/1/zones/europe-west1-b/instanceGroupManagers/pool";
    bench.gce.seed(vm("abandoned").metadata("created-by", hint));
    assert_eq!(run(&bench, Mode::Apply, "abandoned", json!({})).await.status, Status::Applied);
}

#[tokio::test]
async fn a_sixty_fifth_tag_is_refused_beforehand() {
    let bench = Bench::new();
    let full = (0..MOST_TAGS).fold(Instance::new(PROJECT, ZONE, "web-1"), |vm, n| vm.tag(&format!("t{n}")));
    bench.gce.seed(full);
    let report = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Unsupported)), "{report:#?}");
    assert!(report.reason.is_some_and(|reason| reason.contains("64 network tags")));
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn somebody_who_tags_at_the_same_moment_is_not_overwritten() {
    let bench = std::sync::Arc::new(Bench::new());
    bench.gce.seed(vm("web-1"));
    let proxy = bench.proxy();
    let other = std::sync::Arc::clone(&bench);
    let first = std::sync::atomic::AtomicBool::new(true);
    proxy.rewrite(move |call| {
        if call.path.ends_with("/setTags") && first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            other.gce.tag_by_hand(PROJECT, "web-1", "by-hand");
        }
        None
    });
    let (cloud, target) = (through(&proxy), target("web-1"));
    let report = bench.run_at::<GcpIsolateInstance>(cloud, Mode::Apply, &target, &json!({})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let tags = bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["tags"].clone();
    assert_eq!(tags, json!(["web", "by-hand", set().tag().to_string()]));
    let statuses: Vec<_> =
        bench.gce.writes().iter().filter(|call| call.path.ends_with("/setTags")).map(|call| call.status).collect();
    assert_eq!(statuses, [412, 200]);
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_and_looked_for() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    let proxy = bench.proxy();
    proxy.fault_on(|call| call.path.ends_with("/setTags"), 1, 1, Fault::Hang);
    let (cloud, target) = (through(&proxy), target("web-1"));
    let report = bench.run_at::<GcpIsolateInstance>(cloud, Mode::Apply, &target, &json!({})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
}

#[tokio::test]
async fn an_accepted_operation_that_fails_is_tried_again_or_told() {
    for (part, failure) in [
        ("/setTags", OperationFailure::internal()),
        ("/global/firewalls", OperationFailure::rate()),
        ("/setTags", OperationFailure::new("RESOURCE_NOT_READY", 400, "The resource is not ready")),
    ] {
        let bench = Bench::new();
        bench.gce.seed(vm("web-1"));
        bench.gce.timing(Timing::each(Duration::from_millis(5)));
        bench.gce.fail_operation_on(part, failure);
        let report = run(&bench, Mode::Apply, "web-1", json!({})).await;
        assert_eq!(report.status, Status::Applied, "{part}: {report:#?}");
        assert!(bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["tags"].to_string().contains("stanch"));
    }
    // What does not pass is told, and the instance is not cut off by half a rule set.
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    for _ in 0..100 {
        let quota = OperationFailure::new("QUOTA_EXCEEDED", 403, "Quota 'FIREWALLS' exceeded.  Limit: 100.0 globally.");
        bench.gce.fail_operation_on("/global/firewalls", quota);
    }
    let report = run(&bench, Mode::Apply, "web-1", json!({})).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Throttled)), "{report:#?}");
    assert!(format!("{:?}", report.changes).contains("quota FIREWALLS is used up"), "{report:#?}");
    assert_eq!(bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["tags"], json!(["web"]));
}

#[tokio::test]
async fn throttled_and_unavailable_calls_are_tried_again() {
    for refusal in [Refusal::rate_limit(), Refusal::new(429, "rateLimitExceeded", "x"), Refusal::unavailable()] {
        let bench = Bench::new();
        bench.gce.seed(vm("web-1"));
        bench.gce.refuse("/global/firewalls", refusal.clone(), 3);
        bench.gce.refuse("/setTags", refusal, 2);
        let report = run(&bench, Mode::Apply, "web-1", json!({})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
    }
}

#[tokio::test]
async fn one_that_was_recreated_is_not_cut() {
    let bench = Bench::new();
    let old = bench.gce.seed(vm("web-1"));
    run(&bench, Mode::Apply, "web-1", json!({})).await;
    bench.gce.seed(vm("web-1"));
    // The record is of the old one: undo finds it gone, and the new one untouched.
    let Target::GceInstance(named) = target("web-1") else { panic!("not an instance") };
    let by_id = GceInstance { id: Some(old.to_string().parse().expect("id")), ..named };
    let report = bench.run::<GcpIsolateInstance>(Mode::Apply, &by_id.into(), &json!({})).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Conflict)), "{report:#?}");
    assert_eq!(bench.gce.dump(PROJECT)["instances"]["europe-west1-b/web-1"]["tags"], json!(["web"]));
}

fn alone(gce: &Gce) -> (Target, Value) {
    gce.seed(vm("web-1"));
    // Where an instance says nothing of a group, those that there are have to be asked.
    gce.seed(vm("node-1"));
    gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-1"));
    (target("web-1"), json!({}))
}

fn weakened(gce: &Gce) -> (Target, Value) {
    let name = rules("default").remove(0);
    gce.seed_firewall(
        PROJECT,
        &json!({"name": name, "network": "global/networks/default", "denied": [{"IPProtocol": "all"}]}),
    );
    alone(gce)
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    least_privilege::<GcpIsolateInstance>(&[alone, weakened]).await;
}

#[tokio::test]
async fn every_change_is_a_command_to_paste() {
    let bench = Bench::new();
    bench.gce.seed(vm("web-1"));
    let report = run(&bench, Mode::Plan, "web-1", json!({})).await;
    let commands: Vec<_> = report.changes.iter().map(|change| change.command.as_str()).collect();
    let tag = set().tag().to_string();
    let egress = format!(
        "gcloud compute firewall-rules create {} --project=acme-prod --network=default --action=deny --direction=egress \
         --rules=all --destination-ranges=0.0.0.0/0 --priority=0 --target-tags={tag} --enable-logging",
        rules("default")[0]
    );
    assert!(commands[0].starts_with(&egress), "{commands:#?}");
    assert_eq!(
        commands[4],
        format!("gcloud compute instances add-tags web-1 --project=acme-prod --zone=europe-west1-b --tags={tag}")
    );
}
