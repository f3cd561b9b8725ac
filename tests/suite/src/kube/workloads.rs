//! Workloads with their pods: made by the controllers of the real server, and by hand on the simulator.

use serde_json::{Value, json};

use super::Cluster;

/// The custom resource of the tests: it has a selector, and owns pods directly.
pub const CUSTOM: (&str, &str, &str, &str) = ("example.com", "v1", "widgets", "Widget");

impl Cluster {
    /// The node that pods run on.
    pub fn worker(&self) {
        self.create("v1/nodes", "", "node-1", &json!({"metadata": {"labels": {"suite": "worker"}}, "spec": {"providerID": "gce://acme-prod/europe-west1-b/node-1"}}));
    }

    /// A further node.
    pub fn node(&self, given: &Value) -> String {
        let name = self.name("node");
        self.create("v1/nodes", "", &name, given);
        name
    }

    /// A pod without an owner. `given` is merged over one container on a node.
    pub fn bare_pod(&self, namespace: &str, given: &Value) -> String {
        let name = self.name("pod");
        let mut pod =
            json!({"spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "example.com/app:1"}]}});
        merge(&mut pod, given);
        self.create("v1/pods", namespace, &name, &pod);
        self.running(namespace, std::slice::from_ref(&name));
        name
    }

    /// A workload of this kind with two pods (one of a `Job`), labelled `app: <its name>`; its name and its pods.
    /// `spec` is merged over the pods' spec.
    ///
    /// Kinds: `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, `CronJob`, `Widget`, and none for a bare pod.
    pub fn workload(&self, kind: &str, namespace: &str, spec: &Value) -> (String, Vec<String>) {
        let name = self.name(&format!("w{}", kind.to_lowercase()));
        let labels = json!({"app": name});
        let mut pod_spec =
            json!({"nodeName": "node-1", "containers": [{"name": "main", "image": "example.com/app:1"}]});
        merge(&mut pod_spec, spec);
        let template = json!({"metadata": {"labels": labels}, "spec": pod_spec});
        let selector = json!({"matchLabels": labels});
        let owner = |api: &str, kind: &str, name: &str, uid: &str| json!({"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true});
        match kind {
            "" => {
                let pod = json!({"metadata": {"labels": labels}, "spec": pod_spec});
                self.create("v1/pods", namespace, &name, &pod);
                self.running(namespace, std::slice::from_ref(&name));
                (name.clone(), vec![name])
            }
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                let resource = format!("apps/v1/{}s", kind.to_lowercase());
                let mut object = json!({"spec": {"selector": selector, "template": template}});
                if kind == "DaemonSet" {
                    object["spec"]["template"]["spec"]["nodeSelector"] = json!({"suite": "worker"});
                } else {
                    object["spec"]["replicas"] = json!(2);
                }
                if kind == "StatefulSet" {
                    object["spec"]["serviceName"] = json!(name);
                    object["spec"]["podManagementPolicy"] = json!("Parallel");
                }
                let uid = self.create(&resource, namespace, &name, &object);
                if self.is_real() {
                    let pods = if kind == "DaemonSet" { 1 } else { 2 };
                    return (name, self.made_by_controllers(namespace, &labels, pods));
                }
                let mut by = owner("apps/v1", kind, &name, &uid);
                if kind == "Deployment" {
                    let set = format!("{name}-5d9c");
                    let object = json!({"metadata": {"labels": labels, "ownerReferences": [by]}, "spec": {"selector": selector, "template": template}});
                    let uid = self.create("apps/v1/replicasets", namespace, &set, &object);
                    by = owner("apps/v1", "ReplicaSet", &set, &uid);
                }
                let pods = self.owned_pods(namespace, &name, &labels, &pod_spec, &by, 2);
                (name, pods)
            }
            "Job" | "CronJob" => {
                let mut spec = template;
                spec["spec"]["restartPolicy"] = json!("Never");
                let mut job = json!({"metadata": {"labels": labels}, "spec": {"template": spec}});
                let job_name = format!("{name}-1");
                if kind == "CronJob" {
                    let cron = json!({"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": spec}}}});
                    let uid = self.create("batch/v1/cronjobs", namespace, &name, &cron);
                    job["metadata"]["ownerReferences"] = json!([owner("batch/v1", "CronJob", &name, &uid)]);
                }
                let named = if kind == "CronJob" { &job_name } else { &name };
                if !self.is_real() {
                    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/job-name": named}});
                }
                let uid = self.create("batch/v1/jobs", namespace, named, &job);
                let pods = if self.is_real() {
                    self.made_by_controllers(namespace, &labels, 1)
                } else {
                    let labels = json!({"app": name, "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": named});
                    self.owned_pods(namespace, named, &labels, &pod_spec, &owner("batch/v1", "Job", named, &uid), 1)
                };
                (name, pods)
            }
            "Widget" => {
                let (group, version, plural, _) = CUSTOM;
                let object = json!({"apiVersion": format!("{group}/{version}"), "kind": "Widget",
                    "spec": {"selector": selector, "template": template}});
                let uid = self.create(&format!("{group}/{version}/{plural}"), namespace, &name, &object);
                let by = owner(&format!("{group}/{version}"), "Widget", &name, &uid);
                let pods = self.owned_pods(namespace, &name, &labels, &pod_spec, &by, 2);
                (name, pods)
            }
            other => panic!("{other} is no kind of the tests"),
        }
    }

    fn owned_pods(
        &self,
        namespace: &str,
        name: &str,
        labels: &Value,
        spec: &Value,
        owner: &Value,
        count: usize,
    ) -> Vec<String> {
        let pod = json!({"metadata": {"labels": labels, "ownerReferences": [owner]}, "spec": spec});
        let pods: Vec<_> = (0..count).map(|at| format!("{name}-{at}")).collect();
        for name in &pods {
            self.create("v1/pods", namespace, name, &pod);
        }
        self.running(namespace, &pods);
        pods
    }

    fn made_by_controllers(&self, namespace: &str, labels: &Value, count: usize) -> Vec<String> {
        let found = || {
            let mut pods = self.list("v1/pods", namespace);
            pods.retain(|pod| pod["metadata"]["labels"]["app"] == labels["app"] && pod["status"]["phase"] == "Running");
            pods
        };
        self.until("the pods run", || found().len() >= count);
        found().iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    fn running(&self, namespace: &str, pods: &[String]) {
        for name in pods {
            self.until("the pod runs", || {
                self.get("v1/pods", namespace, name)
                    .is_some_and(|pod| pod["spec"]["nodeName"].is_null() || pod["status"]["phase"] == "Running")
            });
        }
    }

    /// The service account of that name, where no controller makes it.
    pub fn account(&self, namespace: &str, name: &str) {
        let there = || self.get("v1/serviceaccounts", namespace, name).is_some();
        if self.is_real() && name == "default" {
            // Its controller is about to make it.
            self.until("the default account is there", there);
        } else if !there() {
            self.create("v1/serviceaccounts", namespace, name, &json!({}));
        }
    }

    /// Something on the nodes that knows network policies, as its `DaemonSet` shows it.
    pub fn agent(&self, name: &str, args: &[&str]) {
        let labels = json!({"k8s-app": name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"nodeSelector": {"no": "node"},
            "containers": [{"name": "agent", "image": "example.com/agent:1", "args": args}]}});
        let set = json!({"spec": {"selector": {"matchLabels": labels}, "template": template}});
        self.create("apps/v1/daemonsets", "kube-system", name, &set);
    }

    /// Takes it away.
    pub fn no_agent(&self, name: &str) {
        self.delete("apps/v1/daemonsets", "kube-system", name);
        self.until("the agent is gone", || self.get("apps/v1/daemonsets", "kube-system", name).is_none());
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
