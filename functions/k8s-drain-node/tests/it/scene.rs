//! Nodes with pods.

use serde_json::{Value, json};
use stanch_suite::kube::Cluster;

/// A node and a namespace for its pods.
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) node: String,
    pub(crate) namespace: String,
    owner: Value,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(cluster: &'a Cluster, node: &Value) -> Self {
        let (node, namespace) = (cluster.node(node), cluster.namespace(&json!({})));
        // An owner that does not make pods again: a ReplicaSet would, on the same node, for there is no scheduler.
        let uid = cluster.create("v1/configmaps", &namespace, "owner", &json!({}));
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": true});
        Self { cluster, node, namespace, owner }
    }

    /// A pod with an owner; its name.
    pub(crate) fn pod(&self, given: Value) -> String {
        self.pod_of(json!([self.owner]), given)
    }

    /// A pod with these owners.
    pub(crate) fn pod_of(&self, owners: Value, mut given: Value) -> String {
        given["metadata"]["ownerReferences"] = owners;
        given["spec"]["nodeName"] = self.node.clone().into();
        self.cluster.bare_pod(&self.namespace, &given)
    }

    /// A pod that has run to its end.
    pub(crate) fn completed(&self, owners: Value) -> String {
        let name = self.pod_of(owners, json!({}));
        let over = json!({"status": {"phase": "Succeeded"}});
        if self.cluster.is_real() {
            let path = format!("/api/v1/namespaces/{}/pods/{name}/status", self.namespace);
            let (status, answer) = self.cluster.admin("PATCH", &path, "application/merge-patch+json", Some(&over));
            assert_eq!(status, 200, "{answer}");
        } else {
            self.cluster.edit("v1/pods", &self.namespace, &name, &over);
        }
        name
    }

    /// The pod of a real `DaemonSet`, where there is a controller for it.
    pub(crate) fn daemon(&self) -> String {
        let labels = json!({"app": "daemon"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"nodeName": self.node,
            "containers": [{"name": "main", "image": "example.com/agent:1"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        let set = json!({"spec": {"selector": {"matchLabels": labels}, "template": template}});
        let uid = self.cluster.create("apps/v1/daemonsets", &self.namespace, "agent", &set);
        if !self.cluster.is_real() {
            let by = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": uid, "controller": true}]);
            return self.pod_of(by, json!({"metadata": {"labels": labels}, "spec": template["spec"]}));
        }
        let found = || {
            let pods = self.cluster.list("v1/pods", &self.namespace);
            pods.into_iter()
                .find(|pod| pod["metadata"]["labels"]["app"] == "daemon" && pod["status"]["phase"] == "Running")
        };
        self.cluster.until("the daemon runs", || found().is_some());
        found().unwrap()["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// A disruption budget that lets none of the pods with this label go.
    pub(crate) fn budget(&self, name: &str, label: &str) {
        let budget = json!({
            "metadata": {"generation": 1},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {label: "yes"}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 1, "currentHealthy": 1},
        });
        self.cluster.create("policy/v1/poddisruptionbudgets", &self.namespace, name, &budget);
        self.cluster.until("the budget is known", || {
            let budget = self.cluster.get("policy/v1/poddisruptionbudgets", &self.namespace, name).unwrap();
            budget["status"]["observedGeneration"] == 1 && budget["status"]["currentHealthy"] == 1
        });
    }

    pub(crate) fn drop_budget(&self, name: &str) {
        self.cluster.delete("policy/v1/poddisruptionbudgets", &self.namespace, name);
        self.cluster.until("the budget is gone", || {
            self.cluster.get("policy/v1/poddisruptionbudgets", &self.namespace, name).is_none()
        });
    }

    /// Whether a pod is there and not on its way out.
    pub(crate) fn runs(&self, pod: &str) -> bool {
        let pod = self.cluster.get("v1/pods", &self.namespace, pod);
        pod.is_some_and(|pod| pod["metadata"].get("deletionTimestamp").is_none())
    }

    pub(crate) fn is_gone(&self, pod: &str) -> bool {
        self.cluster.get("v1/pods", &self.namespace, pod).is_none()
    }

    pub(crate) fn unschedulable(&self) -> bool {
        self.cluster.get("v1/nodes", "", &self.node).unwrap()["spec"]["unschedulable"] == true
    }
}
