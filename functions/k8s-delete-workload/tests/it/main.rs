//! Workloads of every kind, on the range's simulator and on the real kube-apiserver with its controllers, as a user with
//! only the declared permissions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Order, Status, target::Cluster as Named};
use stanch_suite::kube::{Cluster, remaining, workload};

use k8s_delete_workload::K8sDeleteWorkload;

pub(crate) const DEPLOYMENTS: &str = "apps/v1/deployments";
const SETS: &str = "apps/v1/statefulsets";

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(real) = tokio::task::block_in_place(|| Cluster::real("k8s-delete-workload")) {
        all(&real).await;
        volumes_survive_their_set(&real).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    it_is_deleted_and_made_again(cluster).await;
    a_successor_is_never_overwritten(cluster).await;
    a_cure_under_the_same_name_is_left_alone(cluster).await;
    pods_may_stay(cluster).await;
    it_is_scaled_to_zero(cluster).await;
    jobs_are_suspended_and_made_again(cluster).await;
    who_would_make_it_again_is_named(cluster).await;
    promises::rights(cluster).await;
    promises::contract(cluster);
}

/// What a person gave of a workload, without what the server and its controllers fill in.
pub(crate) fn own(value: Option<Value>) -> Value {
    let Some(value) = value.filter(|it| it["metadata"].get("deletionTimestamp").is_none()) else { return Value::Null };
    let mut own = stanch_k8s::manifest_of(&value);
    let meta = own["metadata"].as_object_mut().unwrap();
    if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !key.starts_with("deployment.kubernetes.io/"));
        if annotations.is_empty() {
            meta.remove("annotations");
        }
    }
    own
}

fn pods(cluster: &Cluster, namespace: &str) -> usize {
    cluster.list("v1/pods", namespace).iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none()).count()
}

async fn it_is_deleted_and_made_again(cluster: &Cluster) {
    for (kind, resource) in [("Deployment", DEPLOYMENTS), ("StatefulSet", SETS), ("DaemonSet", "apps/v1/daemonsets")] {
        let namespace = cluster.namespace(&json!({}));
        let (name, _) = cluster.workload(kind, &namespace, &json!({}));
        let before = cluster.get(resource, &namespace, &name).unwrap();
        let (ward, target) = (cluster.ward::<K8sDeleteWorkload>(), workload(kind, &namespace, &name));
        let report = ward.run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        cluster.until("it is gone, with its pods", || {
            cluster.get(resource, &namespace, &name).is_none() && pods(cluster, &namespace) == 0
        });
        assert!(report.changes[0].command.contains("--cascade=foreground"), "{report:#?}");
        // Bodies are in the record, not in reports.
        assert!(!serde_json::to_string(&report).unwrap().contains("example.com/app"), "{report:#?}");
        assert!(remaining(&report).contains("no successor is named"));
        let again = ward.run(Mode::Apply, &target, Value::Null).await;
        assert_eq!((again.status, &again.record), (Status::Already, &report.record), "{again:#?}");

        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
        assert!(!serde_json::to_string(&back).unwrap().contains("example.com/app"), "{back:#?}");
        let after = cluster.get(resource, &namespace, &name).unwrap();
        assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(own(Some(after)), own(Some(before)));
    }
}

async fn a_successor_is_never_overwritten(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let manifest = stanch_k8s::manifest_of(&cluster.get(DEPLOYMENTS, &namespace, &name).unwrap());
    let (ward, target) = (cluster.ward::<K8sDeleteWorkload>(), workload("deploy", &namespace, &name));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    cluster.until("it is gone", || cluster.get(DEPLOYMENTS, &namespace, &name).is_none());
    let mut cure = manifest;
    cure["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/app:2".into();
    cure["metadata"].as_object_mut().unwrap().remove("annotations");
    cluster.create(DEPLOYMENTS, &namespace, &name, &cure);
    let uid = cluster.get(DEPLOYMENTS, &namespace, &name).unwrap()["metadata"]["uid"].clone();
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.error, Some(Kind::Conflict), "{back:#?}");
    let present = cluster.get(DEPLOYMENTS, &namespace, &name).unwrap();
    assert_eq!(
        (&present["metadata"]["uid"], &present["spec"]["template"]["spec"]["containers"][0]["image"]),
        (&uid, &json!("example.com/app:2"))
    );
}

async fn a_cure_under_the_same_name_is_left_alone(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let manifest = own(cluster.get(DEPLOYMENTS, &namespace, &name));
    let (ward, target) = (cluster.ward::<K8sDeleteWorkload>(), workload("Deployment", &namespace, &name));
    ward.run(Mode::Apply, &target, Value::Null).await;
    cluster.until("it is gone", || cluster.get(DEPLOYMENTS, &namespace, &name).is_none());
    // The same again is not the cure.
    cluster.create(DEPLOYMENTS, &namespace, &name, &manifest);
    let again = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(again.status, Status::Applied, "{again:#?}");
    cluster.until("it is gone again", || cluster.get(DEPLOYMENTS, &namespace, &name).is_none());
    let mut cure = manifest;
    cure["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/app:2".into();
    cluster.create(DEPLOYMENTS, &namespace, &name, &cure);
    let redelivered = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(redelivered.status, Status::Already, "{redelivered:#?}");
    assert!(remaining(&redelivered).contains("another workload of other images"), "{}", remaining(&redelivered));
    assert!(!own(cluster.get(DEPLOYMENTS, &namespace, &name)).is_null());
}

async fn pods_may_stay(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, _) = cluster.workload("StatefulSet", &namespace, &json!({}));
    let options = json!({"keep_pods": true});
    let report = cluster
        .ward::<K8sDeleteWorkload>()
        .run(Mode::Apply, &workload("StatefulSet", &namespace, &name), options)
        .await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    cluster.until("it is gone", || cluster.get(SETS, &namespace, &name).is_none());
    let pods = cluster.list("v1/pods", &namespace);
    assert_eq!(pods.len(), 2);
    cluster.until("nobody owns them", || {
        let owned = |pod: &Value| pod["metadata"]["ownerReferences"].as_array().is_some_and(|list| !list.is_empty());
        !cluster.list("v1/pods", &namespace).iter().any(owned)
    });
    assert!(remaining(&report).contains("its pods go on running"));
}

async fn it_is_scaled_to_zero(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let scaler = json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "maxReplicas": 3}});
    cluster.create("autoscaling/v2/horizontalpodautoscalers", &namespace, "scaler", &scaler);
    let zero = json!({"how": "scale_to_zero"});
    let (ward, target) = (cluster.ward::<K8sDeleteWorkload>(), workload("Deployment", &namespace, &name));
    let report = ward.run(Mode::Apply, &target, zero.clone()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let replicas = || cluster.get(DEPLOYMENTS, &namespace, &name).unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(), 0);
    assert!(remaining(&report).contains("the autoscaler scaler leaves it alone"), "{}", remaining(&report));
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!((back.status, replicas()), (Status::Reverted, json!(2)), "{back:#?}");

    let (name, _) = cluster.workload("DaemonSet", &namespace, &json!({}));
    let refused = ward.run(Mode::Apply, &workload("DaemonSet", &namespace, &name), zero).await;
    assert_eq!(refused.error, Some(Kind::Unsupported), "{refused:#?}");
}

async fn jobs_are_suspended_and_made_again(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let zero = json!({"how": "scale_to_zero"});
    let ward = cluster.ward::<K8sDeleteWorkload>();
    let (cron, _) = cluster.workload("CronJob", &namespace, &json!({}));
    let target = workload("CronJob", &namespace, &cron);
    let report = ward.run(Mode::Apply, &target, zero).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let suspended = || cluster.get("batch/v1/cronjobs", &namespace, &cron).unwrap()["spec"]["suspend"].clone();
    assert_eq!(suspended(), true);
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_ne!(suspended(), true);

    // The server gives a Job a selector and labels that name its UID: the next one has its own.
    let (job, _) = cluster.workload("Job", &namespace, &json!({}));
    let target = workload("Job", &namespace, &job);
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    cluster.until("it is gone", || cluster.get("batch/v1/jobs", &namespace, &job).is_none());
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let restored = cluster.get("batch/v1/jobs", &namespace, &job).unwrap();
    assert_eq!(restored["spec"]["template"]["spec"]["containers"][0]["image"], "example.com/app:1");
}

async fn who_would_make_it_again_is_named(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let sets = cluster.list("apps/v1/replicasets", &namespace);
    let set = sets[0]["metadata"]["name"].as_str().unwrap();
    let ward = cluster.ward::<K8sDeleteWorkload>();
    let refused = ward.run(Mode::Apply, &workload("ReplicaSet", &namespace, set), Value::Null).await;
    assert_eq!((refused.status, refused.error), (Status::Refused, Some(Kind::Refused)), "{refused:#?}");
    assert!(refused.reason.is_some_and(|reason| reason.contains(&format!("Deployment {name} controls it"))));

    cluster.edit(
        DEPLOYMENTS,
        &namespace,
        &name,
        &json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}}),
    );
    let (same, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let target = workload("Deployment", &namespace, &name);
    for (successor, text) in
        [("Deployment/nobody", "does not exist"), (&format!("Deployment/{same}"), "has an image of")]
    {
        let planned = ward.run(Mode::Plan, &target, json!({"successor": successor})).await;
        let left = remaining(&planned);
        assert!(left.contains("Argo CD keeps it") && left.contains(text), "{left}");
    }
    let wrong = ward.run(Mode::Plan, &target, json!({"successor": "nobody"})).await;
    assert_eq!(wrong.error, Some(Kind::Invalid), "{wrong:#?}");
}

/// With `whenDeleted: Delete` the set owns its claims, and the garbage collector would take them.
async fn volumes_survive_their_set(real: &Cluster) {
    let namespace = real.namespace(&json!({}));
    let labels = json!({"app": "db"});
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let template = json!({"metadata": {"labels": labels}, "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "example.com/db:1"}]}});
    let set = json!({"spec": {"replicas": 2, "serviceName": "db", "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
        "template": template, "volumeClaimTemplates": [claim],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}});
    real.create(SETS, &namespace, "db", &set);
    let claims = || real.list("v1/persistentvolumeclaims", &namespace);
    let owned = || claims().iter().filter(|it| it["metadata"]["ownerReferences"].is_array()).count();
    real.until("the set owns its claims", || owned() == 2);
    let (ward, target) = (real.ward::<K8sDeleteWorkload>(), workload("StatefulSet", &namespace, "db"));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 2), "{report:#?}");
    real.until("the set is gone", || real.get(SETS, &namespace, "db").is_none() && pods(real, &namespace) == 0);
    // The garbage collector had its time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let living = claims().iter().filter(|it| it["metadata"].get("deletionTimestamp").is_none()).count();
    assert_eq!(living, 2, "{:#?}", claims());
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    let restored = real.get(SETS, &namespace, "db").unwrap();
    assert_eq!(restored["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Delete");
}

#[test]
fn the_example_names_its_workload() {
    let context = stanch_signals::Context::new(Some(Named::Current), "2026-03-02T23:11:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sDeleteWorkload>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "deployments/default/updater");
}
