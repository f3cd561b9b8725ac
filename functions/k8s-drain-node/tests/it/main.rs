//! A node with every sort of pod, on the range's simulator and on the real kube-apiserver (with its disruption
//! controller and a stand-in for the kubelet), as a user with only the declared permissions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;
mod scene;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stanch_core::{DoneState, Kind, Mode, Order, Report, Status, target::Cluster as Named};
use stanch_suite::kube::{Cluster, Server, node, pod, remaining};

use k8s_drain_node::K8sDrainNode;
use scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    let simulator = Cluster::simulator();
    Box::pin(all(&simulator)).await;
    Box::pin(a_hundred_pods_cost_a_hundred_evictions(&simulator)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(real) = tokio::task::block_in_place(|| Cluster::real("k8s-drain-node")) {
        Box::pin(all(&real)).await;
    }
}

async fn all(cluster: &Cluster) {
    nothing_is_evicted_when_something_would_be_lost(cluster).await;
    all_but_those_that_must_stay_are_evicted(cluster).await;
    what_blocks_is_named_and_a_later_run_goes_on(cluster).await;
    force_is_for_those_who_ask(cluster).await;
    a_finalizer_is_named(cluster).await;
    Box::pin(one_drain_at_a_time(cluster)).await;
    the_rate_is_kept(cluster).await;
    a_virtual_node_is_no_node(cluster).await;
    promises::rights(cluster).await;
    promises::contract(cluster);
}

fn said(report: &Report) -> String {
    format!("{:?} {:?}", report.reason, report.changes)
}

async fn nothing_is_evicted_when_something_would_be_lost(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let plain = scene.pod(json!({}));
    let data = scene.pod(json!({"spec": {"volumes": [{"name": "cache", "emptyDir": {}}]}}));
    let bare = scene.pod_of(json!([]), json!({}));
    // What has ended loses nothing.
    let ended = scene.completed(json!([]));
    let ward = cluster.ward::<K8sDrainNode>();
    cluster.clear_log();
    let refused = ward.run(Mode::Apply, &node(&scene.node), Value::Null).await;
    assert_eq!((refused.status, refused.error), (Status::Refused, Some(Kind::Refused)), "{refused:#?}");
    // All of it at once, with what allows it.
    let reason = refused.reason.as_deref().unwrap();
    for text in [&data, &bare, "allow_emptydir", "allow_unmanaged"] {
        assert!(reason.contains(text), "{text}: {reason}");
    }
    assert!(!reason.contains(&plain) && !reason.contains(&ended), "{reason}");
    if let Server::Simulator(simulator) = &cluster.server {
        assert_eq!(simulator.writes().len(), 0);
    }
    assert!([&plain, &data, &bare, &ended].iter().all(|name| scene.runs(name)) && !scene.unschedulable());

    let options = json!({"allow_emptydir": true, "allow_unmanaged": true});
    let report = ward.run(Mode::Apply, &node(&scene.node), options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!([&plain, &data, &bare, &ended].iter().all(|name| scene.is_gone(name)));
}

async fn all_but_those_that_must_stay_are_evicted(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({"spec": {"providerID": "gce://acme-prod/europe-west1-b/drained"}}));
    let slow = json!({"metadata": {"annotations": {"stanch.dev/test-termination-ms": "300"}}});
    let leave: Vec<_> = (0..5).map(|_| scene.pod(slow.clone())).chain([scene.completed(json!([]))]).collect();
    let labelled = |key: &str| scene.pod(json!({"metadata": {"labels": {key: "true"}}}));
    let (accused, quarantined, isolated) =
        (scene.pod(json!({})), labelled("quarantine"), labelled("stanch.dev/isolate"));
    let mirror = scene.pod_of(json!([]), json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}));
    let stay = [&accused, &quarantined, &isolated, &mirror, &scene.daemon()].map(Clone::clone);
    let (ward, target) = (cluster.ward::<K8sDrainNode>(), pod(&scene.namespace, &accused));

    cluster.clear_log();
    let planned = ward.run(Mode::Plan, &target, Value::Null).await;
    assert_eq!(planned.status, Status::Planned, "{planned:#?}");
    if let Server::Simulator(simulator) = &cluster.server {
        assert_eq!(simulator.writes().len(), 0, "a plan does not even ask for an eviction");
    }
    assert!(leave.iter().chain(&stay).all(|name| scene.runs(name)) && !scene.unschedulable());

    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(scene.unschedulable() && leave.iter().all(|name| scene.is_gone(name)));
    assert!(stay.iter().all(|name| scene.runs(name)), "{report:#?}");
    // The cordon comes before the first eviction, and each pod is named with who owns it.
    assert!(report.changes[0].what.starts_with("cordon"), "{report:#?}");
    let evicted: Vec<_> = report.changes.iter().filter(|it| it.what.starts_with("evict")).collect();
    assert_eq!(evicted.len(), leave.len());
    assert!(said(&report).contains("ConfigMap owner makes another one") && said(&report).contains("it has ended"));
    assert!(evicted[0].command.contains("/eviction -f -") && evicted[0].command.contains("preconditions"));
    let left = remaining(&report);
    for text in ["quarantined", "accused", "DaemonSets", "static", "gcp-release-instance {", "k8s-redeploy-pod {"] {
        assert!(left.contains(text), "{text}: {left}");
    }

    let again = ward.run(Mode::Apply, &node(&scene.node), Value::Null).await;
    // The node alone names no pod that must stay: the formerly accused one is a pod like any other.
    assert_eq!(again.record, report.record, "{again:#?}");
    assert!(scene.is_gone(&accused));
    let back = ward.run(Mode::Revert, &node(&scene.node), Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(!scene.unschedulable() && leave.iter().all(|name| scene.is_gone(name)));
    for change in back.changes.iter().filter(|it| it.what.starts_with("evict")) {
        assert_eq!(change.state, DoneState::Skipped, "{change:#?}");
    }
}

async fn what_blocks_is_named_and_a_later_run_goes_on(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let free = scene.pod(json!({}));
    let one = scene.pod(labels(json!({"one": "yes"})));
    let two = scene.pod(labels(json!({"two": "yes", "three": "yes"})));
    for name in ["one", "two", "three"] {
        scene.budget(name, name);
    }
    let (ward, target) = (cluster.ward::<K8sDrainNode>(), node(&scene.node));
    let planned = ward.run(Mode::Plan, &target, Value::Null).await;
    let left = remaining(&planned);
    assert!(left.contains("lets none go now") && left.contains("and the eviction API takes one"), "{left}");

    let report = ward.run(Mode::Apply, &target, json!({"timeout": 2})).await;
    assert_eq!((report.status, report.error), (Status::Partial, Some(Kind::Throttled)), "{report:#?}");
    assert!(scene.unschedulable() && scene.is_gone(&free) && scene.runs(&one) && scene.runs(&two));
    let failed = |name: &str| {
        let change = report.changes.iter().find(|it| it.what.contains(name)).unwrap();
        assert_eq!(change.state, DoneState::Failed, "{change:#?}");
        change.error.clone().unwrap()
    };
    assert!(failed(&one).contains(&format!("the disruption budget {}/one does not let it go", scene.namespace)));
    assert!(failed(&two).contains("two disruption budgets select it"));

    for name in ["one", "two"] {
        scene.drop_budget(name);
    }
    scene.drop_budget("three");
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(scene.is_gone(&one) && scene.is_gone(&two));
}

async fn force_is_for_those_who_ask(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let held = scene.pod(json!({"metadata": {"labels": {"one": "yes"}}}));
    scene.budget("one", "one");
    let begun = Instant::now();
    let ward = cluster.ward::<K8sDrainNode>();
    let report = ward.run(Mode::Apply, &node(&scene.node), json!({"force_after": 2})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(scene.is_gone(&held) && begun.elapsed() >= Duration::from_secs(2));
    assert!(said(&report).contains("or delete it if it is refused for 2 seconds"));
}

async fn a_finalizer_is_named(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let stuck = scene.pod(json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    let (ward, target) = (cluster.ward::<K8sDrainNode>(), node(&scene.node));
    let report = ward.run(Mode::Apply, &target, json!({"timeout": 1, "grace_period": 1})).await;
    assert_eq!((report.status, report.error), (Status::Partial, Some(Kind::Unavailable)), "{report:#?}");
    assert!(said(&report).contains("held by the finalizer example.com/hold"), "{report:#?}");
    assert!(!scene.runs(&stuck) && !scene.is_gone(&stuck));
    cluster.edit("v1/pods", &scene.namespace, &stuck, &json!({"metadata": {"finalizers": null}}));
    if !cluster.is_real() {
        cluster.delete("v1/pods", &scene.namespace, &stuck);
    }
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(scene.is_gone(&stuck));
}

async fn one_drain_at_a_time(cluster: &Cluster) {
    let (held, free) = (Scene::new(cluster, &json!({})), Scene::new(cluster, &json!({})));
    let blocked = held.pod(json!({"metadata": {"labels": {"one": "yes"}}}));
    held.budget("one", "one");
    let waiting = free.pod(json!({}));
    let first = cluster.ward::<K8sDrainNode>();
    let second = cluster.ward_of::<K8sDrainNode>(&stanch_suite::kube::declared::<K8sDrainNode>(), first.ledger());
    let (target, other) = (node(&held.node), node(&free.node));
    let later = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        second.run(Mode::Apply, &other, Value::Null).await
    };
    let (one, two) = futures::join!(first.run(Mode::Apply, &target, json!({"timeout": 4})), later);
    assert_eq!(one.status, Status::Partial, "{one:#?}");
    assert_eq!((two.status, two.error), (Status::Failed, Some(Kind::Unavailable)), "{two:#?}");
    assert!(held.runs(&blocked) && free.runs(&waiting) && !free.unschedulable());
}

async fn the_rate_is_kept(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let pods: Vec<_> = (0..6).map(|_| scene.pod(json!({}))).collect();
    let begun = Instant::now();
    let report = cluster.ward::<K8sDrainNode>().run(Mode::Apply, &node(&scene.node), json!({"per_second": 4})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    // The sixth goes out after five gaps.
    assert!(begun.elapsed() >= Duration::from_millis(1250), "{:?}", begun.elapsed());
    assert!(pods.iter().all(|name| scene.is_gone(name)));
}

async fn a_virtual_node_is_no_node(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}}));
    let only = scene.pod(json!({}));
    let report = cluster.ward::<K8sDrainNode>().run(Mode::Apply, &node(&scene.node), Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(scene.runs(&only) && !scene.unschedulable());
}

async fn a_hundred_pods_cost_a_hundred_evictions(cluster: &Cluster) {
    let scene = Scene::new(cluster, &json!({}));
    let slow = json!({"metadata": {"annotations": {"stanch.dev/test-termination-ms": "1000"}}});
    let pods: Vec<_> = (0..100).map(|_| scene.pod(slow.clone())).collect();
    let ward = cluster.ward::<K8sDrainNode>();
    cluster.clear_log();
    let begun = Instant::now();
    let report = ward.run(Mode::Apply, &node(&scene.node), Value::Null).await;
    let took = begun.elapsed();
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(pods.iter().all(|name| scene.is_gone(name)));
    let Server::Simulator(simulator) = &cluster.server else { panic!("a simulator") };
    let log = simulator.log();
    let evictions = log.iter().filter(|call| call.path.ends_with("/eviction")).count();
    assert_eq!(evictions, 100);
    // Node, plan, cordon; then lists that all hundred share.
    assert!(log.len() < 100 + 45, "{} calls in {took:?}", log.len());
}

#[test]
fn the_example_names_its_pod() {
    let context = stanch_signals::Context::new(Some(Named::Current), "2026-03-02T02:42:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sDrainNode>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "pod/default/batch-5f7d9c8b44-q8zlm");
}
