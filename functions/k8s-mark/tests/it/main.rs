//! What is this responder's own, and the contract, on the range's simulator and on the real kube-apiserver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use k8s_mark::K8sMark;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Order, Status, Target};
use stanch_k8s::{EXEMPT_NAMESPACE, EXEMPT_NODE};
use stanch_suite::kube::{self, CUSTOM, Cluster, Subject, least_privilege, remaining};

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(cluster) = Cluster::real("k8s-mark") {
        all(&cluster).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    let (group, version, plural, kind) = CUSTOM;
    cluster.serve(group, version, plural, kind, true);
    a_pod_is_marked_and_its_siblings_are_named(cluster).await;
    every_kind_of_owner_stands_for_its_pods(cluster).await;
    an_account_an_image_and_a_node(cluster).await;
    what_is_exempt_is_spared(cluster).await;
    another_record_s_marks_stay(cluster).await;
    bad_options_are_refused(cluster).await;
    the_twenty_sixth_pod_is_too_many(cluster).await;
    kube::contract(cluster, &Pods);
    least_privilege::<K8sMark>(
        cluster,
        &[
            (&[], &|cluster| (of_workload(cluster, "Deployment", ""), Value::Null)),
            (&["get nodes", "patch nodes"], &|cluster| (kube::node(&cluster.node(&json!({}))), Value::Null)),
            (&["get pods", "list pods", "get namespaces"], &|cluster| {
                (of_workload(cluster, "Deployment", "pod"), Value::Null)
            }),
            (&["list namespaces"], &|cluster| (of_image(cluster), Value::Null)),
            (&["get serviceaccounts"], &|cluster| {
                (kube::account(&cluster.namespace(&json!({})), "default"), Value::Null)
            }),
            (&["get statefulsets"], &|cluster| (of_workload(cluster, "StatefulSet", ""), Value::Null)),
            (&["get daemonsets"], &|cluster| (of_workload(cluster, "DaemonSet", ""), Value::Null)),
            (&["get replicasets"], &|cluster| (of_workload(cluster, "Deployment", "ReplicaSet"), Value::Null)),
            (&["get jobs"], &|cluster| (of_workload(cluster, "Job", ""), Value::Null)),
            (&["get cronjobs", "list jobs"], &|cluster| (of_workload(cluster, "CronJob", ""), Value::Null)),
        ],
    )
    .await;
}

/// A workload with pods, or one of its parts.
fn of_workload(cluster: &Cluster, kind: &str, part: &str) -> Target {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload(kind, &namespace, &json!({}));
    match part {
        "pod" => kube::pod(&namespace, &pods[0]),
        "ReplicaSet" => {
            let sets = cluster.list("apps/v1/replicasets", &namespace);
            kube::workload("rs", &namespace, sets[0]["metadata"]["name"].as_str().unwrap())
        }
        _ => kube::workload(kind, &namespace, &name),
    }
}

fn of_image(cluster: &Cluster) -> Target {
    let image = format!("example.com/{}:1", cluster.name("app"));
    cluster.bare_pod("default", &json!({"spec": {"containers": [{"name": "main", "image": image}]}}));
    kube::image(&image)
}

fn labels(cluster: &Cluster, namespace: &str, pod: &str) -> Value {
    cluster.get("v1/pods", namespace, pod).unwrap()["metadata"]["labels"].clone()
}

async fn a_pod_is_marked_and_its_siblings_are_named(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (_, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let target = kube::pod(&namespace, &pods[0]);
    let before = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"].clone();
    let ward = cluster.ward::<K8sMark>();
    let options = json!({"labels": {"status": "compromised"}, "annotations": {"example.com/case": "see wiki #12"}});
    let report = ward.run(Mode::Apply, &target, options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let seen = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"].clone();
    assert_eq!(seen["labels"]["status"], "compromised");
    assert_eq!(seen["annotations"]["example.com/case"], "see wiki #12");
    assert_eq!(seen["annotations"]["stanch.dev/incident"], "inc-1");
    assert!(labels(cluster, &namespace, &pods[1]).get("status").is_none());
    let left = remaining(&report);
    assert!(
        left.contains(&format!("its sibling {namespace}/{}", pods[1])) && left.contains("k8s-cordon-node {"),
        "{left}"
    );
    for next in report.remaining.iter().filter_map(|it| it.next.as_deref()) {
        let (_, order) = next.split_once(' ').unwrap();
        serde_json::from_str::<Order>(order).unwrap_or_else(|error| panic!("{next}: {error}"));
    }
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let after = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"].clone();
    assert_eq!((&after["labels"], &after["annotations"]), (&before["labels"], &before["annotations"]));
}

async fn every_kind_of_owner_stands_for_its_pods(cluster: &Cluster) {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Widget"] {
        let namespace = cluster.namespace(&json!({}));
        let (name, pods) = cluster.workload(kind, &namespace, &json!({}));
        // Not of the workload, whatever its labels claim; but a custom resource's selector is all that is known of it.
        let stranger = cluster.bare_pod(&namespace, &json!({"metadata": {"labels": {"app": "stranger"}}}));
        let target = kube::workload(kind, &namespace, &name);
        let report = cluster.ward::<K8sMark>().run(Mode::Apply, &target, Value::Null).await;
        let custom = kind == "Widget";
        if custom {
            // The role names no custom resource: what is missing is named.
            assert_eq!(report.error, Some(Kind::Denied), "{report:#?}");
            assert!(
                report.reason.as_ref().unwrap().contains("missing permission: get widgets.example.com"),
                "{report:#?}"
            );
            let mut rights = stanch_suite::kube::declared::<K8sMark>();
            rights.push(("get", "example.com", "widgets"));
            let ward = cluster.ward_of::<K8sMark>(&rights, std::sync::Arc::new(stanch_suite::Memory::default()));
            let report = ward.run(Mode::Apply, &target, Value::Null).await;
            assert_eq!(report.status, Status::Applied, "{report:#?}");
        } else {
            assert_eq!(report.status, Status::Applied, "{kind}: {report:#?}");
        }
        for pod in &pods {
            assert_eq!(labels(cluster, &namespace, pod)["quarantine"], "true", "{kind}");
        }
        assert!(labels(cluster, &namespace, &stranger).get("quarantine").is_none());
    }
}

async fn an_account_an_image_and_a_node(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    cluster.account(&namespace, "web");
    let image = format!("example.com/{}:1", cluster.name("app"));
    let mine = json!({"spec": {"serviceAccountName": "web"}});
    let pod = cluster.bare_pod(&namespace, &mine);
    let other = cluster.bare_pod(&namespace, &json!({"spec": {"initContainers": [{"name": "init", "image": image}]}}));
    let node = cluster.node(&json!({"metadata": {"labels": {"team": "web"}}}));
    for (target, marked) in [(kube::account(&namespace, "web"), &pod), (kube::image(&image), &other)] {
        let report = cluster.ward::<K8sMark>().run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        for pod in [&pod, &other] {
            let has = labels(cluster, &namespace, pod).get("quarantine").is_some();
            assert_eq!(has, pod == marked, "{target}");
        }
        let back = cluster.ward::<K8sMark>();
        back.run(Mode::Apply, &target, Value::Null).await;
        cluster.edit("v1/pods", &namespace, marked, &json!({"metadata": {"labels": {"quarantine": null}}}));
    }
    let ward = cluster.ward::<K8sMark>();
    let report = ward.run(Mode::Apply, &kube::node(&node), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(cluster.get("v1/nodes", "", &node).unwrap()["metadata"]["labels"]["quarantine"], "true");
    ward.run(Mode::Revert, &kube::node(&node), Value::Null).await;
    let seen = cluster.get("v1/nodes", "", &node).unwrap();
    assert_eq!(
        (&seen["metadata"]["labels"]["team"], seen["metadata"]["labels"].get("quarantine")),
        (&json!("web"), None)
    );
}

async fn what_is_exempt_is_spared(cluster: &Cluster) {
    let (spared, open) = (cluster.namespace(&json!({EXEMPT_NAMESPACE: "true"})), cluster.namespace(&json!({})));
    let image = format!("example.com/{}:1", cluster.name("app"));
    let spec = json!({"spec": {"containers": [{"name": "main", "image": image}]}});
    let (kept, marked) = (cluster.bare_pod(&spared, &spec), cluster.bare_pod(&open, &spec));
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::pod(&spared, &kept), Value::Null).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::image(&image), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains(&format!("pod {spared}/{kept} is left alone: exempt by")), "{report:#?}");
    assert!(cluster.get("v1/pods", &spared, &kept).unwrap()["metadata"]["labels"].get("quarantine").is_none());
    assert_eq!(labels(cluster, &open, &marked)["quarantine"], "true");

    // In the control plane a fan-out touches nothing, and a label that a kubelet can set protects nothing.
    let system = cluster.bare_pod("kube-system", &spec);
    let report = cluster.ward::<K8sMark>().run_for("inc-2", Mode::Apply, &kube::image(&image), Value::Null).await;
    assert!(remaining(&report).contains(&format!("pod kube-system/{system} is left alone")), "{report:#?}");
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::pod("kube-system", &system), Value::Null).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    let by_hand = cluster.node(&json!({"metadata": {"labels": {"stanch.dev/exempt": "true"}}}));
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::node(&by_hand), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let exempt = cluster.node(&json!({"metadata": {"labels": {EXEMPT_NODE: "true"}}}));
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::node(&exempt), Value::Null).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
}

async fn another_record_s_marks_stay(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let theirs = json!({"stanch.dev/record": "0123456789abcdef01234567", "stanch.dev/incident": "inc-0"});
    let pod = cluster.bare_pod(&namespace, &json!({"metadata": {"annotations": theirs}}));
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::pod(&namespace, &pod), Value::Null).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 1), "{report:#?}");
    let seen = cluster.get("v1/pods", &namespace, &pod).unwrap();
    assert_eq!(seen["metadata"]["annotations"]["stanch.dev/incident"], "inc-0");
}

async fn bad_options_are_refused(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let pod = kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({})));
    for options in [
        json!({"labels": {"stanch.dev/isolate": "x"}}),
        json!({"labels": {"a": "$(reboot)"}}),
        json!({"annotations": {"a b": "x"}}),
        json!({"label": {}}),
    ] {
        let report = cluster.ward::<K8sMark>().run(Mode::Plan, &pod, options.clone()).await;
        assert_eq!(report.error, Some(Kind::Invalid), "{options}: {report:#?}");
        assert!(!report.reason.unwrap().contains("reboot"));
    }
}

async fn the_twenty_sixth_pod_is_too_many(cluster: &Cluster) {
    if cluster.is_real() {
        return;
    }
    let namespace = cluster.namespace(&json!({}));
    let image = format!("example.com/{}:1", cluster.name("app"));
    for _ in 0..26 {
        cluster.bare_pod(&namespace, &json!({"spec": {"containers": [{"name": "main", "image": image}]}}));
    }
    let report = cluster.ward::<K8sMark>().run(Mode::Apply, &kube::image(&image), Value::Null).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(report.reason.as_ref().unwrap().contains("26"), "{report:#?}");
}

struct Pods;

impl Subject for Pods {
    type R = K8sMark;

    fn target(&self, cluster: &Cluster) -> Target {
        let name = cluster.bare_pod(
            "default",
            &json!({"metadata": {"labels": {"app": "web"}, "annotations": {"example.com/owner": "web"}}}),
        );
        kube::pod("default", &name)
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let Target::Pod(pod) = target else { panic!("not a pod: {target}") };
        let seen = cluster.get("v1/pods", "default", pod.name.as_str()).unwrap();
        json!({"labels": seen["metadata"]["labels"], "annotations": seen["metadata"]["annotations"]})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(
            (&state["labels"]["quarantine"], &state["labels"]["app"]),
            (&json!("true"), &json!("web")),
            "{state:#}"
        );
        assert!(state["annotations"]["stanch.dev/record"].is_string(), "{state:#}");
        assert_eq!(state["annotations"]["example.com/owner"], "web");
    }

    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str> {
        let Target::Pod(pod) = target else { panic!("not a pod: {target}") };
        cluster.edit("v1/pods", "default", pod.name.as_str(), &json!({"metadata": {"labels": {"quarantine": "done"}}}));
        Some("quarantine")
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let Target::Pod(pod) = target else { panic!("not a pod: {target}") };
        cluster.edit("v1/pods", "default", pod.name.as_str(), &json!({"metadata": {"labels": {"quarantine": null}}}));
    }
}
