//! What is this responder's own; what every responder promises is in the contract suite. On the range's simulator
//! and on the real kube-apiserver, as a user with only the declared permissions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod bed;

use std::io::Write as _;

use serde_json::{Value, json};
use stanch_core::{
    DoneState, Kind, Mode, Order, Report, Status, Target,
    target::{Node, Pod},
};
use stanch_k8s::{EXEMPT_NAMESPACE, EXEMPT_NODE};
use stanch_range::{control_plane::ControlPlane, kube::Kube as Simulator};

use bed::Bed;
use k8s_cordon_node::K8sCordonNode;

const SCALE_DOWN: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

#[tokio::test]
async fn on_the_simulator() {
    all(&Bed::Simulator(Simulator::start().unwrap())).await;
}

#[tokio::test]
async fn on_the_real_api_server() {
    match ControlPlane::start() {
        Ok(real) => all(&Bed::Real(Box::new(real))).await,
        // Past the harness's capture: a suite that was not run must be seen.
        Err(why) => writeln!(std::io::stderr(), "skipped: k8s-cordon-node on the real kube-apiserver: {why}").unwrap(),
    }
}

async fn all(bed: &Bed) {
    a_node_is_cordoned_and_given_back(bed).await;
    a_foreign_cordon_is_noted_and_left(bed).await;
    a_pod_stands_for_its_node(bed).await;
    load_balancers_only_when_asked(bed).await;
    exempt_and_virtual_nodes_are_left_alone(bed).await;
    what_somebody_changed_since_is_left(bed).await;
    missing_permissions_are_named(bed).await;
}

fn node(name: &str) -> Target {
    Node { cluster: bed::cluster(), name: name.parse().unwrap(), uid: None }.into()
}

fn pod(namespace: &str, name: &str) -> Target {
    let (namespace, name) = (namespace.parse().unwrap(), name.parse().unwrap());
    Pod { cluster: bed::cluster(), namespace, name, uid: None, host: None }.into()
}

fn remaining(report: &Report) -> String {
    let line = |it: &stanch_core::Remaining| format!("{} -> {}\n", it.what, it.next.as_deref().unwrap_or_default());
    report.remaining.iter().map(line).collect()
}

fn settings(seen: &Value) -> (Value, Value, Value) {
    (seen["spec"].clone(), seen["metadata"]["annotations"].clone(), seen["metadata"]["labels"].clone())
}

async fn a_node_is_cordoned_and_given_back(bed: &Bed) {
    bed.add_node("plain", json!({"spec": {"providerID": "gce://acme-prod/europe-west1-b/plain"}}));
    let before = bed.see("plain");
    let ward = bed.ward(bed::DECLARED);
    bed.clear_log();
    let report = ward.run(Mode::Apply, &node("plain"), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    // The node and its pods; one look for the five changes of the stage, five writes, and at most one look for each. The
    // node controller answers the cordon with a taint of its own: where that makes the list of taints, ours is written a
    // second time.
    bed.assert_calls(2 + 1 + 5 + 1..=2 + 1 + 5 + 5 + 2);
    let seen = bed.see("plain");
    assert_eq!(seen["spec"]["unschedulable"], true);
    let taints = seen["spec"]["taints"].as_array().unwrap();
    assert!(taints.contains(&json!({"key": "stanch.dev/quarantine", "effect": "NoSchedule"})), "{taints:?}");
    let annotations = &seen["metadata"]["annotations"];
    assert_eq!(annotations[SCALE_DOWN], "true");
    assert_eq!(annotations["karpenter.sh/do-not-disrupt"], "true");
    assert_eq!(annotations["stanch.dev/incident"], "inc-1");
    assert_eq!(annotations["stanch.dev/record"], report.record.as_ref().unwrap().as_str());
    assert_eq!(annotations["stanch.dev/by"], "analyst@example.com");
    assert!(seen["metadata"]["labels"].get("node.kubernetes.io/exclude-from-external-load-balancers").is_none());
    assert!(report.changes.iter().any(|change| change.command == "kubectl cordon plain"), "{report:#?}");

    let left = remaining(&report);
    assert!(!left.contains("by somebody else"), "{left}");
    // What is printed as the next order is one.
    for next in report.remaining.iter().filter_map(|it| it.next.as_deref()) {
        let (responder, order) = next.split_once(' ').unwrap();
        let order: Order = serde_json::from_str(order).unwrap_or_else(|error| panic!("{next}: {error}"));
        assert!(!responder.is_empty() && order.incident.as_str() == "inc-1");
    }
    assert!(left.contains("gcp-snapshot-disks {") && left.contains("k8s-drain-node {"), "{left}");

    bed.clear_log();
    let again = ward.run(Mode::Apply, &node("plain"), Value::Null).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
    bed.assert_calls(2..=2);
    assert!(!remaining(&again).contains("by somebody else"), "our own cordon is taken for a foreign one");
    let back = ward.run(Mode::Revert, &node("plain"), Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    bed.settled("plain").await;
    assert_eq!(settings(&bed.see("plain")), settings(&before));
}

async fn a_foreign_cordon_is_noted_and_left(bed: &Bed) {
    let theirs = json!({"metadata": {"annotations": {SCALE_DOWN: "true"}}, "spec": {"unschedulable": true}});
    bed.add_node("foreign", theirs);
    let ward = bed.ward(bed::DECLARED);
    let report = ward.run(Mode::Apply, &node("foreign"), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("cordoned before us, by somebody else"), "{}", remaining(&report));
    let what: Vec<_> = report.changes.iter().map(|change| change.what.as_str()).collect();
    assert!(!what.iter().any(|what| what.starts_with("cordon") || what.contains(SCALE_DOWN)), "{what:?}");
    let back = ward.run(Mode::Revert, &node("foreign"), Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let seen = bed.see("foreign");
    assert_eq!(
        (&seen["spec"]["unschedulable"], &seen["metadata"]["annotations"][SCALE_DOWN]),
        (&json!(true), &json!("true"))
    );
}

async fn a_pod_stands_for_its_node(bed: &Bed) {
    bed.add_node("host", json!({}));
    bed.add_pod("default", "web-1", "host");
    let ward = bed.ward(bed::DECLARED);
    let report = ward.run(Mode::Apply, &pod("default", "web-1"), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let Some(Target::Node(found)) = &report.target else { panic!("{report:#?}") };
    assert!(found.name.as_str() == "host" && found.uid.is_some());
    let left = remaining(&report);
    assert!(left.contains("the accused pod default/web-1") && left.contains("k8s-isolate-pod {"), "{left}");
    assert!(left.contains("1 pods go on running"), "{left}");
    // A person who names the node joins the same record.
    let again = ward.run(Mode::Apply, &node("host"), Value::Null).await;
    assert_eq!((again.status, &again.record), (Status::Already, &report.record), "{again:#?}");
}

async fn load_balancers_only_when_asked(bed: &Bed) {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    bed.add_node("served", json!({}));
    let ward = bed.ward(bed::DECLARED);
    let unknown = ward.run(Mode::Plan, &node("served"), json!({"exclude": true})).await;
    assert_eq!(unknown.error, Some(Kind::Invalid), "{unknown:#?}");
    let options = json!({"exclude_from_load_balancers": true});
    let report = ward.run(Mode::Apply, &node("served"), options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bed.see("served")["metadata"]["labels"][label], "true");
    let back = ward.run(Mode::Revert, &node("served"), Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(bed.see("served").pointer("/metadata/labels").is_none_or(|labels| labels.get(label).is_none()));
}

async fn exempt_and_virtual_nodes_are_left_alone(bed: &Bed) {
    bed.add_node("exempt", json!({"metadata": {"labels": {EXEMPT_NODE: ""}}}));
    bed.add_node("fargate", json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}}));
    bed.add_node("shared", json!({}));
    bed.add_namespace("spared", &json!({EXEMPT_NAMESPACE: "true"}));
    bed.add_pod("spared", "web-2", "shared");
    for (target, name, kind) in [
        (node("exempt"), "exempt", Kind::Refused),
        (pod("spared", "web-2"), "shared", Kind::Refused),
        (node("fargate"), "fargate", Kind::Unsupported),
    ] {
        let before = bed.see(name);
        let report = bed.ward(bed::DECLARED).run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(report.error, Some(kind), "{report:#?}");
        assert_eq!(settings(&bed.see(name)), settings(&before));
    }
}

async fn what_somebody_changed_since_is_left(bed: &Bed) {
    bed.add_node("drifted", json!({}));
    let ward = bed.ward(bed::DECLARED);
    ward.run(Mode::Apply, &node("drifted"), Value::Null).await;
    bed.edit("drifted", &json!({"metadata": {"annotations": {SCALE_DOWN: "theirs"}}}));
    let back = ward.run(Mode::Revert, &node("drifted"), Value::Null).await;
    assert_eq!((back.status, back.error), (Status::Partial, Some(Kind::Conflict)), "{back:#?}");
    for change in &back.changes {
        assert_eq!(change.state == DoneState::Skipped, change.what.contains(SCALE_DOWN), "{change:#?}");
    }
    assert_eq!(bed.see("drifted")["metadata"]["annotations"][SCALE_DOWN], "theirs");
    assert!(bed.see("drifted")["spec"].get("unschedulable").is_none());
}

async fn missing_permissions_are_named(bed: &Bed) {
    for (at, &(verb, resource)) in bed::DECLARED.iter().enumerate() {
        let (host, web) = (format!("guarded-{at}"), format!("guarded-{at}"));
        bed.add_node(&host, json!({}));
        bed.add_pod("default", &web, &host);
        let rules: Vec<_> = bed::DECLARED.iter().copied().filter(|rule| *rule != (verb, resource)).collect();
        let report = bed.ward(&rules).run(Mode::Apply, &pod("default", &web), Value::Null).await;
        let named = format!("missing permission: {verb} {resource}");
        if verb == "list" {
            // Containment does not wait for a count.
            assert_eq!(report.status, Status::Applied, "{report:#?}");
            assert!(remaining(&report).contains(&named), "{report:#?}");
            continue;
        }
        assert_eq!(report.error, Some(Kind::Denied), "{verb} {resource}: {report:#?}");
        let said = format!("{:?} {:?}", report.reason, report.changes);
        assert!(said.contains(&named), "{said}");
        assert!(bed.see(&host)["spec"].get("unschedulable").is_none());
    }
}

#[test]
fn the_example_names_its_pod() {
    let context = stanch_signals::Context::new(Some(bed::cluster()), "2026-03-02T09:15:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sCordonNode>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "pod/default/web-7d9c5b6f48-x2k4q");
}
