//! What every responder promises: no right too many, and the contract.

use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Right, Subject, least_privilege_of, node, pod};

use k8s_drain_node::K8sDrainNode;

use crate::scene::Scene;

pub(crate) async fn rights(cluster: &Cluster) {
    least_privilege_of::<K8sDrainNode>(cluster, |cluster, right: Right| {
        let pool = cluster.name("pool");
        let scene = Scene::new(cluster, &json!({"metadata": {"labels": {"karpenter.sh/nodepool": pool}}}));
        let named = scene.pod(json!({}));
        if right.0 == "delete" {
            scene.pod(json!({"metadata": {"labels": {"one": "yes"}}}));
            scene.budget("one", "one");
            return Some((node(&scene.node), json!({"force_after": 1})));
        }
        scene.pod(json!({}));
        Some((pod(&scene.namespace, &named), Value::Null))
    })
    .await;
}

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Drained { cluster });
}

struct Drained<'a> {
    cluster: &'a Cluster,
}

fn name(target: &Target) -> &str {
    let Target::Node(node) = target else { panic!("not a node: {target}") };
    node.name.as_str()
}

impl Subject for Drained<'_> {
    type R = K8sDrainNode;

    fn target(&self, cluster: &Cluster) -> Target {
        let scene = Scene::new(cluster, &json!({"metadata": {"annotations": {"example.com/owner": "web"}}}));
        for _ in 0..2 {
            scene.pod(json!({}));
        }
        scene.pod(json!({"metadata": {"labels": {"quarantine": "true"}}}));
        node(&scene.node)
    }

    /// Of the node, what undo brings back; its pods are looked at by [`Self::assert_contained`].
    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let node = cluster.get("v1/nodes", "", name(target)).unwrap();
        let ours = |taint: &&Value| taint["key"] != "node.kubernetes.io/unschedulable";
        let taints: Vec<_> = node["spec"]["taints"].as_array().into_iter().flatten().filter(ours).cloned().collect();
        json!({
            "name": name(target),
            "unschedulable": node["spec"]["unschedulable"] == true,
            "taints": taints,
            "annotations": node["metadata"]["annotations"],
        })
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["unschedulable"], true, "{state:#}");
        let pods = self.cluster.list("v1/pods", "");
        let there: Vec<_> = pods.iter().filter(|pod| pod["spec"]["nodeName"] == state["name"]).collect();
        assert_eq!(there.len(), 1, "{there:#?}");
        assert_eq!(there[0]["metadata"]["labels"]["quarantine"], "true");
    }

    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str> {
        let key = "karpenter.sh/do-not-disrupt";
        cluster.edit("v1/nodes", "", name(target), &json!({"metadata": {"annotations": {key: "until-friday"}}}));
        Some(key)
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        cluster.edit("v1/nodes", "", name(target), &json!({"spec": {"unschedulable": null}}));
    }
}
