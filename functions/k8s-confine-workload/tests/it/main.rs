//! What is this responder's own, and the contract, on the range's simulator and on the real kube-apiserver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use k8s_confine_workload::K8sConfineWorkload;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Status, Target};
use stanch_suite::kube::{self, Cluster, Subject, least_privilege, remaining};

const ISOLATOR: &str = "example.com.node-restriction.kubernetes.io/type";

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(cluster) = Cluster::real("k8s-confine-workload") {
        all(&cluster).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    without_nodes_or_class_nothing_is_done(cluster).await;
    let taint = json!({"key": "example.com/isolator", "value": "yes", "effect": "NoExecute"});
    cluster.node(&json!({"metadata": {"labels": {ISOLATOR: "isolator"}}, "spec": {"taints": [taint]}}));
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "runsc"});
    cluster.create("node.k8s.io/v1/runtimeclasses", "", "gvisor", &class);
    every_kind_with_a_template(cluster).await;
    a_sandbox(cluster).await;
    what_cannot_be_confined(cluster).await;
    the_pods_that_are_replaced_are_named(cluster).await;
    kube::contract(cluster, &Deployments);
    rights(cluster).await;
}

fn resource(kind: &str) -> String {
    match kind {
        "CronJob" => "batch/v1/cronjobs".to_owned(),
        kind => format!("apps/v1/{}s", kind.to_lowercase()),
    }
}

fn spec_of(kind: &str, object: &Value) -> Value {
    let path = if kind == "CronJob" { "/spec/jobTemplate/spec/template/spec" } else { "/spec/template/spec" };
    object.pointer(path).unwrap().clone()
}

/// A workload whose template names no node, with a selector and a toleration of its own.
fn workload(cluster: &Cluster, kind: &str) -> (String, String) {
    let namespace = cluster.namespace(&json!({}));
    let name = cluster.name("w");
    let labels = json!({"app": name});
    let spec = json!({"containers": [{"name": "main", "image": "example.com/app:1"}], "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}]});
    let mut template = json!({"metadata": {"labels": labels}, "spec": spec});
    let mut object = if kind == "CronJob" {
        template["spec"]["restartPolicy"] = json!("Never");
        json!({"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}})
    } else {
        json!({"spec": {"selector": {"matchLabels": labels}, "template": template}})
    };
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    cluster.create(&resource(kind), &namespace, &name, &object);
    (namespace, name)
}

async fn without_nodes_or_class_nothing_is_done(cluster: &Cluster) {
    let (namespace, name) = workload(cluster, "Deployment");
    let target = kube::workload("deployments", &namespace, &name);
    let before = cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["spec"].clone();
    for (options, kind, says) in [
        (Value::Null, Kind::Unsupported, "make the isolated node pool first"),
        (json!({"how": "runtime", "runtime_class": "gvisor"}), Kind::Unsupported, "install the sandbox first"),
        (json!({"how": "runtime"}), Kind::Invalid, "options.runtime_class"),
        (json!({"node_selector": {}}), Kind::Invalid, "options.node_selector"),
        (json!({"node_selector": {"a b": "c"}}), Kind::Invalid, "options.node_selector"),
    ] {
        let report = cluster.ward::<K8sConfineWorkload>().run(Mode::Apply, &target, options).await;
        assert_eq!(report.error, Some(kind), "{report:#?}");
        assert!(report.reason.as_ref().unwrap().contains(says), "{report:#?}");
    }
    assert_eq!(cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["spec"], before);
    let cordoned = cluster.node(&json!({"metadata": {"labels": {"pool": "closed"}}, "spec": {"unschedulable": true}}));
    let report = cluster
        .ward::<K8sConfineWorkload>()
        .run(Mode::Apply, &target, json!({"node_selector": {"pool": "closed"}}))
        .await;
    assert!(report.reason.as_ref().unwrap().contains("are cordoned"), "{cordoned}: {report:#?}");
}

async fn every_kind_with_a_template(cluster: &Cluster) {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "CronJob"] {
        let (namespace, name) = workload(cluster, kind);
        let target = kube::workload(kind, &namespace, &name);
        let before = spec_of(kind, &cluster.get(&resource(kind), &namespace, &name).unwrap());
        let ward = cluster.ward::<K8sConfineWorkload>();
        let report = ward.run(Mode::Apply, &target, Value::Null).await;
        assert_eq!((report.status, report.changes.len()), (Status::Applied, 1), "{kind}: {report:#?}");
        let seen = spec_of(kind, &cluster.get(&resource(kind), &namespace, &name).unwrap());
        assert_eq!(seen["nodeSelector"], json!({"disk": "ssd", ISOLATOR: "isolator"}), "{kind}");
        let taint = json!({"key": "example.com/isolator", "operator": "Equal", "value": "yes", "effect": "NoExecute"});
        assert_eq!(seen["tolerations"], json!([{"key": "gpu", "operator": "Exists"}, taint]), "{kind}");
        let again = ward.run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(again.status, Status::Already, "{kind}: {again:#?}");
        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{kind}: {back:#?}");
        assert_eq!(spec_of(kind, &cluster.get(&resource(kind), &namespace, &name).unwrap()), before, "{kind}");
    }
}

async fn a_sandbox(cluster: &Cluster) {
    let (namespace, name) = workload(cluster, "Deployment");
    let target = kube::workload("Deployment", &namespace, &name);
    let before = cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["spec"]["template"].clone();
    let ward = cluster.ward::<K8sConfineWorkload>();
    let report = ward.run(Mode::Apply, &target, json!({"how": "runtime", "runtime_class": "gvisor"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let seen = cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["spec"]["template"].clone();
    assert_eq!(seen["spec"]["runtimeClassName"], "gvisor");
    assert_eq!(ward.run(Mode::Revert, &target, Value::Null).await.status, Status::Reverted);
    assert_eq!(cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["spec"]["template"], before);
}

async fn what_cannot_be_confined(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (job, _) = cluster.workload("Job", &namespace, &json!({}));
    let (pinned, _) = cluster.workload("StatefulSet", &namespace, &json!({}));
    let bare = cluster.bare_pod(&namespace, &json!({}));
    for (target, says) in [
        (kube::workload("Job", &namespace, &job), "template of a Job cannot be changed"),
        (kube::workload("StatefulSet", &namespace, &pinned), "names a node"),
        (kube::pod(&namespace, &bare), "nothing owns it"),
    ] {
        let report = cluster.ward::<K8sConfineWorkload>().run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
        assert!(report.reason.as_ref().unwrap().contains(says), "{report:#?}");
    }
    let report = cluster
        .ward::<K8sConfineWorkload>()
        .run(Mode::Apply, &kube::workload("Gadget", &namespace, "x"), Value::Null)
        .await;
    assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
}

/// A pod stands for its Deployment, across the `ReplicaSet`; Argo CD is named.
async fn the_pods_that_are_replaced_are_named(cluster: &Cluster) {
    let (namespace, name) = workload(cluster, "Deployment");
    let kept = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}});
    cluster.edit(&resource("Deployment"), &namespace, &name, &kept);
    let pod = if cluster.is_real() {
        cluster.until("the pods are there", || !cluster.list("v1/pods", &namespace).is_empty());
        cluster.list("v1/pods", &namespace)[0]["metadata"]["name"].as_str().unwrap().to_owned()
    } else {
        let uid = cluster.get(&resource("Deployment"), &namespace, &name).unwrap()["metadata"]["uid"].clone();
        let owner = |kind: &str, name: &str, uid: &Value| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true});
        let labels = json!({"app": name});
        let set = json!({"metadata": {"labels": labels, "ownerReferences": [owner("Deployment", &name, &uid)]}, "spec": {"selector": {"matchLabels": labels}}});
        let uid = json!(cluster.create("apps/v1/replicasets", &namespace, "set", &set));
        let pod = json!({"metadata": {"labels": labels, "ownerReferences": [owner("ReplicaSet", "set", &uid)]}});
        cluster.create("v1/pods", &namespace, "set-1", &pod);
        "set-1".to_owned()
    };
    let ward = cluster.ward::<K8sConfineWorkload>();
    let report = ward.run(Mode::Apply, &kube::pod(&namespace, &pod), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(matches!(&report.target, Some(Target::Workload(it)) if it.name.as_str() == name), "{report:#?}");
    let left = remaining(&report);
    assert!(
        left.contains(&format!("the memory of {namespace}/{pod} is lost")) && left.contains("Argo CD keeps"),
        "{left}"
    );
    if cluster.is_real() {
        // There is no scheduler: the new pods stay pending, and that is said.
        assert!(report.changes[0].error.is_some(), "it settles: {report:#?}");
        let again = ward.run(Mode::Apply, &kube::workload("Deployment", &namespace, &name), Value::Null).await;
        assert!(remaining(&again).contains("not finished: "), "{again:#?}");
    }
}

async fn rights(cluster: &Cluster) {
    let of = |kind: &'static str| {
        move |cluster: &Cluster| {
            let (namespace, name) = workload(cluster, kind);
            (kube::workload(kind, &namespace, &name), Value::Null)
        }
    };
    let by_pod = |kind: &'static str| {
        move |cluster: &Cluster| {
            let namespace = cluster.namespace(&json!({}));
            let (_, pods) = cluster.workload(kind, &namespace, &json!({}));
            (kube::pod(&namespace, &pods[0]), Value::Null)
        }
    };
    least_privilege::<K8sConfineWorkload>(
        cluster,
        &[
            (&[], &of("Deployment")),
            (&["get pods", "get replicasets"], &by_pod("Deployment")),
            (&["get jobs"], &by_pod("CronJob")),
            (&["get statefulsets", "patch statefulsets"], &of("StatefulSet")),
            (&["get daemonsets", "patch daemonsets"], &of("DaemonSet")),
            (&["patch replicasets"], &of("ReplicaSet")),
            (&["get cronjobs", "list jobs", "patch cronjobs"], &of("CronJob")),
            (&["get runtimeclasses"], &|cluster| {
                let (namespace, name) = workload(cluster, "Deployment");
                let options = json!({"how": "runtime", "runtime_class": "gvisor"});
                (kube::workload("Deployment", &namespace, &name), options)
            }),
        ],
    )
    .await;
}

struct Deployments;

fn place(target: &Target) -> (&str, &str) {
    let Target::Workload(it) = target else { panic!("not a workload: {target}") };
    (it.namespace.as_str(), it.name.as_str())
}

impl Subject for Deployments {
    type R = K8sConfineWorkload;

    fn target(&self, cluster: &Cluster) -> Target {
        let (namespace, name) = workload(cluster, "Deployment");
        // Its controller notes the revision in it once: that is no change of ours.
        cluster.until("its controller has seen it", || {
            let seen = cluster.get(&resource("Deployment"), &namespace, &name).unwrap();
            !cluster.is_real() || seen["metadata"]["annotations"].is_object()
        });
        kube::workload("Deployment", &namespace, &name)
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let (namespace, name) = place(target);
        let seen = cluster.get(&resource("Deployment"), namespace, name).unwrap();
        json!({"template": seen["spec"]["template"], "labels": seen["metadata"]["labels"]})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(
            state["template"]["spec"]["nodeSelector"],
            json!({"disk": "ssd", ISOLATOR: "isolator"}),
            "{state:#}"
        );
        assert_eq!(state["template"]["spec"]["tolerations"].as_array().unwrap().len(), 2, "{state:#}");
    }

    fn drift(&self, _: &Cluster, _: &Target) -> Option<&'static str> {
        // One change: there is no other to be undone beside it.
        None
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let (namespace, name) = place(target);
        let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {ISOLATOR: null}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}}}});
        cluster.edit(&resource("Deployment"), namespace, name, &patch);
    }
}
