//! Pods of every sort of owner, on the range's simulator and on the real kube-apiserver with its controllers, as a user
//! with only the declared permissions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;

use serde_json::{Value, json};
use stanch_core::{
    Kind, Mode, Order, Report, Status, Target,
    target::{Cluster as Named, Pod},
};
use stanch_suite::kube::{Cluster, pod, remaining};

use k8s_redeploy_pod::K8sRedeployPod;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(real) = tokio::task::block_in_place(|| Cluster::real("k8s-redeploy-pod")) {
        all(&real).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    the_fix_comes_first(cluster).await;
    a_rollout_that_is_stuck_is_told(cluster).await;
    a_fixed_template_makes_a_fixed_pod(cluster).await;
    a_digest_is_the_same_under_any_name(cluster).await;
    the_accused_image_decides(cluster).await;
    a_partition_holds_the_former_revision(cluster).await;
    nobody_makes_a_bare_pod_again(cluster).await;
    promises::rights(cluster).await;
    promises::contract(cluster);
}

/// The pod under its full name.
pub(crate) fn full(cluster: &Cluster, namespace: &str, name: &str) -> Target {
    let found = cluster.get("v1/pods", namespace, name).unwrap();
    Pod {
        cluster: Named::Current,
        namespace: namespace.parse().unwrap(),
        name: name.parse().unwrap(),
        uid: Some(found["metadata"]["uid"].as_str().unwrap().parse().unwrap()),
        host: None,
    }
    .into()
}

/// Whether the pod with that UID is there.
pub(crate) fn runs(cluster: &Cluster, target: &Target) -> bool {
    let Target::Pod(pod) = target else { panic!("not a pod: {target}") };
    let found = cluster.get("v1/pods", pod.namespace.as_str(), pod.name.as_str());
    found.is_some_and(|found| found["metadata"]["uid"] == pod.uid.as_ref().unwrap().as_str())
}

fn refusal(report: &Report) -> &str {
    assert_eq!((report.status, report.error), (Status::Refused, Some(Kind::Refused)), "{report:#?}");
    report.reason.as_deref().unwrap()
}

async fn the_fix_comes_first(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (_, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let (ward, target) = (cluster.ward::<K8sRedeployPod>(), full(cluster, &namespace, &pods[0]));
    let refused = ward.run(Mode::Apply, &target, Value::Null).await;
    assert!(refusal(&refused).contains("still has the image example.com/app:1"), "{refused:#?}");
    assert!(runs(cluster, &target));

    let report = ward.run(Mode::Apply, &target, json!({"same_image": true})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(!runs(cluster, &target));
    assert!(report.changes[0].what.contains("ReplicaSet") && report.changes[0].what.contains("of example.com/app:1"));
    assert!(report.changes[0].command.ends_with("--grace-period=10"), "{}", report.changes[0].command);
    assert!(remaining(&report).contains("k8s-rotate-service-account {"), "{}", remaining(&report));
    // Another one has the name by now, or none: neither is the one that was named.
    let again = ward.run(Mode::Apply, &target, json!({"same_image": true})).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Refused, "{back:#?}");
    let nobody = ward.run(Mode::Apply, &pod(&namespace, "nobody"), Value::Null).await;
    assert_eq!(nobody.error, Some(Kind::NotFound), "{nobody:#?}");
}

async fn a_rollout_that_is_stuck_is_told(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let fixed = json!({"spec": {"paused": true, "template": {"spec": {"containers": [{"name": "main", "image": "example.com/app:2"}]}}}});
    cluster.edit("apps/v1/deployments", &namespace, &name, &fixed);
    let target = full(cluster, &namespace, &pods[0]);
    let refused = cluster.ward::<K8sRedeployPod>().run(Mode::Apply, &target, Value::Null).await;
    // The Deployment is fixed; who would make the pod again is its former ReplicaSet.
    assert!(refusal(&refused).contains("ReplicaSet") && runs(cluster, &target), "{refused:#?}");
}

/// A `StatefulSet` that brings no new revision by itself.
fn on_delete(cluster: &Cluster, namespace: &str, spec: &Value) -> (String, Vec<String>) {
    let (name, pods) = cluster.workload("StatefulSet", namespace, spec);
    cluster.edit(
        "apps/v1/statefulsets",
        namespace,
        &name,
        &json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}),
    );
    (name, pods)
}

fn set_image(cluster: &Cluster, namespace: &str, name: &str, image: &str) {
    let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}});
    cluster.edit("apps/v1/statefulsets", namespace, name, &template);
    if cluster.is_real() {
        cluster.until("the controller has seen it", || {
            let set = cluster.get("apps/v1/statefulsets", namespace, name).unwrap();
            set["status"]["observedGeneration"] == set["metadata"]["generation"]
        });
    }
}

async fn a_fixed_template_makes_a_fixed_pod(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = on_delete(cluster, &namespace, &json!({}));
    set_image(cluster, &namespace, &name, "example.com/app:2");
    let target = full(cluster, &namespace, &pods[0]);
    let ward = cluster.ward::<K8sRedeployPod>();
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(report.changes[0].what.contains(&format!("StatefulSet {name} makes another one, of example.com/app:2")));
    assert!(!runs(cluster, &target));
    if cluster.is_real() {
        let image =
            || cluster.get("v1/pods", &namespace, &pods[0]).map(|it| it["spec"]["containers"][0]["image"].clone());
        cluster.until("its successor runs the fix", || image() == Some(json!("example.com/app:2")));
        let successor = full(cluster, &namespace, &pods[0]);
        // Whoever took the name is not the one that was accused.
        let again = ward.run(Mode::Apply, &target, Value::Null).await;
        assert_eq!(again.status, Status::Already, "{again:#?}");
        assert!(runs(cluster, &successor));
    }
}

async fn a_digest_is_the_same_under_any_name(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = on_delete(cluster, &namespace, &json!({}));
    if !cluster.is_real() {
        let id = format!("example.com/app@sha256:{}", "a".repeat(64));
        let status = json!({"status": {"containerStatuses": [{"name": "main", "imageID": id}]}});
        cluster.edit("v1/pods", &namespace, &pods[0], &status);
    }
    let running = cluster.get("v1/pods", &namespace, &pods[0]).unwrap();
    let id = running["status"]["containerStatuses"][0]["imageID"].as_str().unwrap().to_owned();
    set_image(cluster, &namespace, &name, &id);
    let target = full(cluster, &namespace, &pods[0]);
    let refused = cluster.ward::<K8sRedeployPod>().run(Mode::Apply, &target, Value::Null).await;
    assert!(refusal(&refused).contains("still has the image") && runs(cluster, &target), "{refused:#?}");
}

async fn the_accused_image_decides(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let two = json!({"containers": [{"name": "main", "image": "example.com/app:1"}, {"name": "mesh", "image": "example.com/mesh:1"}]});
    let (name, pods) = on_delete(cluster, &namespace, &two);
    let fixed = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "main", "image": "example.com/app:2"}, {"name": "mesh", "image": "example.com/mesh:1"}]}}}});
    cluster.edit("apps/v1/statefulsets", &namespace, &name, &fixed);
    let target = full(cluster, &namespace, &pods[0]);
    let ward = cluster.ward::<K8sRedeployPod>();
    let refused = ward.run(Mode::Apply, &target, json!({"image": "example.com/mesh:1"})).await;
    assert!(refusal(&refused).contains("still has the image example.com/mesh:1"), "{refused:#?}");
    let unknown = ward.run(Mode::Apply, &target, json!({"image": "example.com/none"})).await;
    assert_eq!(unknown.error, Some(Kind::Invalid), "{unknown:#?}");
    // The other container is the same as before, and was not accused.
    let report = ward.run(Mode::Apply, &target, json!({"image": "example.com/app:1", "grace_period": 0})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("with no grace period"), "{}", remaining(&report));
}

async fn a_partition_holds_the_former_revision(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload("StatefulSet", &namespace, &json!({}));
    cluster.edit(
        "apps/v1/statefulsets",
        &namespace,
        &name,
        &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 5}}}}),
    );
    set_image(cluster, &namespace, &name, "example.com/app:2");
    let target = full(cluster, &namespace, &pods[0]);
    let refused = cluster.ward::<K8sRedeployPod>().run(Mode::Apply, &target, Value::Null).await;
    assert!(refusal(&refused).contains("partition") && runs(cluster, &target), "{refused:#?}");
}

async fn nobody_makes_a_bare_pod_again(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let name = cluster.bare_pod(&namespace, &json!({}));
    let target = full(cluster, &namespace, &name);
    let refused = cluster.ward::<K8sRedeployPod>().run(Mode::Apply, &target, json!({"same_image": true})).await;
    assert!(refusal(&refused).contains("nothing owns it") && runs(cluster, &target), "{refused:#?}");
}

#[test]
fn the_example_names_its_pod() {
    let context = stanch_signals::Context::new(Some(Named::Current), "2026-03-02T17:23:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sRedeployPod>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "pod/default/api-6b8f4d7c95-wm3tz");
}
