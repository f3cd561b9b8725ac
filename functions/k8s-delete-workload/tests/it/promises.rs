//! What every responder promises: no right too many, and the contract.

use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Right, Subject, least_privilege_of, workload};

use k8s_delete_workload::K8sDeleteWorkload;

use crate::{DEPLOYMENTS, own};

pub(crate) async fn rights(cluster: &Cluster) {
    least_privilege_of::<K8sDeleteWorkload>(cluster, |cluster, (verb, _, resource): Right| {
        let namespace = cluster.namespace(&json!({}));
        let options = if verb == "patch" { json!({"how": "scale_to_zero"}) } else { Value::Null };
        let of = |kind: &str| workload(kind, &namespace, &cluster.workload(kind, &namespace, &json!({})).0);
        Some(match resource {
            // It has no scale; its retention is of StatefulSets.
            "daemonsets" => (of("DaemonSet"), Value::Null),
            "persistentvolumeclaims" => (set_with_volumes(cluster, &namespace), Value::Null),
            "statefulsets" => (of("StatefulSet"), options),
            "cronjobs" => (of("CronJob"), options),
            "jobs" => (of("Job"), options),
            "replicasets" | "replicationcontrollers" => (bare_set(cluster, &namespace, resource), options),
            _ => (of("Deployment"), options),
        })
    })
    .await;
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]}})
}

fn bare_set(cluster: &Cluster, namespace: &str, resource: &str) -> Target {
    let labels = json!({"app": "a"});
    if resource == "replicasets" {
        let set = json!({"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template()}});
        cluster.create("apps/v1/replicasets", namespace, "bare", &set);
        return workload("ReplicaSet", namespace, "bare");
    }
    let set = json!({"spec": {"replicas": 1, "selector": labels, "template": template()}});
    cluster.create("v1/replicationcontrollers", namespace, "bare", &set);
    workload("ReplicationController", namespace, "bare")
}

fn set_with_volumes(cluster: &Cluster, namespace: &str) -> Target {
    let set = json!({"spec": {"replicas": 1, "serviceName": "a", "selector": {"matchLabels": {"app": "a"}}, "template": template(),
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}});
    cluster.create("apps/v1/statefulsets", namespace, "bare", &set);
    workload("StatefulSet", namespace, "bare")
}

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Deleted);
}

struct Deleted;

fn place(target: &Target) -> (&str, &str) {
    let Target::Workload(workload) = target else { panic!("not a workload: {target}") };
    (workload.namespace.as_str(), workload.name.as_str())
}

impl Subject for Deleted {
    type R = K8sDeleteWorkload;

    fn target(&self, cluster: &Cluster) -> Target {
        let namespace = cluster.namespace(&json!({}));
        let spec = json!({"metadata": {"labels": {"team": "web"}}, "spec": {"replicas": 0,
            "selector": {"matchLabels": {"app": "a"}}, "template": template()}});
        let name = cluster.name("deleted");
        cluster.create(DEPLOYMENTS, &namespace, &name, &spec);
        workload("Deployment", &namespace, &name)
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let (namespace, name) = place(target);
        own(cluster.get(DEPLOYMENTS, namespace, name))
    }

    fn assert_contained(&self, state: &Value) {
        assert!(state.is_null(), "{state:#}");
    }

    /// There is one change; that a successor is not overwritten is tried apart.
    fn drift(&self, _: &Cluster, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let (namespace, name) = place(target);
        cluster.until("it is gone", || cluster.get(DEPLOYMENTS, namespace, name).is_none());
        let spec = json!({"metadata": {"labels": {"team": "web"}}, "spec": {"replicas": 0,
            "selector": {"matchLabels": {"app": "a"}}, "template": template()}});
        cluster.create(DEPLOYMENTS, namespace, name, &spec);
    }
}
