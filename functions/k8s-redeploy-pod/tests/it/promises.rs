//! What every responder promises: no right too many, and the contract.

use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Right, Subject, least_privilege_of, pod};

use k8s_redeploy_pod::K8sRedeployPod;

use crate::{full, runs};

const SAME: fn() -> Value = || json!({"same_image": true});

pub(crate) async fn rights(cluster: &Cluster) {
    least_privilege_of::<K8sRedeployPod>(cluster, |cluster, (verb, _, resource): Right| {
        let namespace = cluster.namespace(&json!({}));
        let kind = match resource {
            "daemonsets" => "DaemonSet",
            "statefulsets" => "StatefulSet",
            "jobs" => "Job",
            "cronjobs" => "CronJob",
            "replicationcontrollers" => return Some((of_a_replication_controller(cluster, &namespace), SAME())),
            _ => "Deployment",
        };
        let (_, pods) = cluster.workload(kind, &namespace, &json!({}));
        let mut target = pod(&namespace, &pods[0]);
        // A host that is no node is perhaps the detector's own pod.
        if let (Target::Pod(named), true) = (&mut target, resource == "nodes" || verb == "list") {
            named.host = Some(pods[0].parse().unwrap());
        }
        Some((target, SAME()))
    })
    .await;
}

fn of_a_replication_controller(cluster: &Cluster, namespace: &str) -> Target {
    let template = json!({"metadata": {"labels": {"app": "old"}},
        "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]}});
    let controller = json!({"spec": {"replicas": 1, "selector": {"app": "old"}, "template": template}});
    let uid = cluster.create("v1/replicationcontrollers", namespace, "old", &controller);
    let by =
        json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "old", "uid": uid, "controller": true}]);
    let name = cluster.bare_pod(namespace, &json!({"metadata": {"ownerReferences": by, "labels": {"app": "old"}}}));
    pod(namespace, &name)
}

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Owned);
}

struct Owned;

impl Subject for Owned {
    type R = K8sRedeployPod;
    const KEEPS: bool = true;
    const FINAL: bool = true;

    fn target(&self, cluster: &Cluster) -> Target {
        let namespace = cluster.namespace(&json!({}));
        let (_, pods) = cluster.workload("Deployment", &namespace, &json!({}));
        full(cluster, &namespace, &pods[0])
    }

    fn options(&self) -> Value {
        SAME()
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        json!({"runs": runs(cluster, target)})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["runs"], false);
    }

    fn drift(&self, _: &Cluster, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, _: &Cluster, _: &Target) {}
}
