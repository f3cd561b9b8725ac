//! What every responder promises: no right too many, and the contract.

use k8s_isolate_pod::K8sIsolatePod;
use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Subject, least_privilege};

use crate::{ISOLATE, engines, evaluator::allowed_flows, policy, view};

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Pods);
}

pub(crate) async fn rights(cluster: &Cluster) {
    let apply = |kind: &'static str, part: &'static str| {
        move |cluster: &Cluster| (of_workload(cluster, kind, part), json!({"engine": "kubernetes"}))
    };
    let allowing = |cluster: &Cluster| {
        let namespace = cluster.namespace(&json!({}));
        let pod = cluster.bare_pod(&namespace, &json!({}));
        policy(
            cluster,
            &namespace,
            "allow-all",
            &json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}),
        );
        (kube::pod(&namespace, &pod), json!({"engine": "kubernetes"}))
    };
    let weakened = |cluster: &Cluster| {
        let (target, options) = allowing(cluster);
        let Target::Pod(pod) = &target else { unreachable!() };
        let name = format!("stanch-isolate-{}", engines::id("kubernetes"));
        let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]});
        policy(cluster, pod.namespace.as_str(), &name, &spec);
        (target, options)
    };
    let released = |cluster: &Cluster| {
        (of_workload(cluster, "Deployment", "pod"), json!({"engine": "kubernetes", "release_from_service": true}))
    };
    engines::serve_all(cluster);
    least_privilege::<K8sIsolatePod>(
        cluster,
        &[
            (&[], &allowing),
            (&["update networkpolicies"], &weakened),
            (&["get pods", "list pods", "get namespaces"], &apply("Deployment", "pod")),
            (&["list services"], &released),
            (&["get deployments", "list replicasets"], &apply("Deployment", "")),
            (&["get replicasets"], &apply("Deployment", "ReplicaSet")),
            (&["get statefulsets"], &apply("StatefulSet", "")),
            (&["get daemonsets"], &apply("DaemonSet", "")),
            (&["get jobs"], &apply("Job", "")),
            (&["get cronjobs", "list jobs"], &apply("CronJob", "")),
            (&["get nodes"], &|cluster| (kube::node(&cluster.node(&json!({}))), json!({"engine": "kubernetes"}))),
            (&["list namespaces"], &|cluster| {
                let image = format!("example.com/{}:1", cluster.name("app"));
                cluster.bare_pod("default", &json!({"spec": {"containers": [{"name": "main", "image": image}]}}));
                (kube::image(&image), json!({"engine": "kubernetes"}))
            }),
            (&["get serviceaccounts"], &|cluster| {
                let namespace = cluster.namespace(&json!({}));
                cluster.account(&namespace, "web");
                (kube::account(&namespace, "web"), json!({"engine": "kubernetes"}))
            }),
            (
                &["get adminnetworkpolicies", "create adminnetworkpolicies", "delete adminnetworkpolicies"],
                &engines::of("admin"),
            ),
            (&["update adminnetworkpolicies"], &engines::weakened("admin")),
            (
                &["get ciliumnetworkpolicies", "create ciliumnetworkpolicies", "delete ciliumnetworkpolicies"],
                &engines::of("cilium"),
            ),
            (&["update ciliumnetworkpolicies"], &engines::weakened("cilium")),
            (
                &["get globalnetworkpolicies", "create globalnetworkpolicies", "delete globalnetworkpolicies"],
                &engines::of("calico"),
            ),
            (&["update globalnetworkpolicies.projectcalico.org"], &engines::weakened("calico")),
            (
                &[
                    "get globalnetworkpolicies.crd.projectcalico.org",
                    "create globalnetworkpolicies.crd.projectcalico.org",
                    "delete globalnetworkpolicies.crd.projectcalico.org",
                ],
                &engines::of("calico-storage"),
            ),
            (&["update globalnetworkpolicies.crd.projectcalico.org"], &engines::weakened("calico-storage")),
        ],
    )
    .await;
}

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

/// A pod of a namespace with an allow-all policy.
pub(crate) struct Pods;

fn place(target: &Target) -> (&str, &str) {
    let Target::Pod(pod) = target else { panic!("not a pod: {target}") };
    (pod.namespace.as_str(), pod.name.as_str())
}

impl Subject for Pods {
    type R = K8sIsolatePod;

    fn target(&self, cluster: &Cluster) -> Target {
        let namespace = cluster.namespace(&json!({}));
        let pod = cluster.bare_pod(&namespace, &json!({"metadata": {"labels": {"app": "web"}}}));
        policy(
            cluster,
            &namespace,
            "allow-all",
            &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}),
        );
        kube::pod(&namespace, &pod)
    }

    fn options(&self) -> Value {
        json!({"engine": "kubernetes"})
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let (namespace, pod) = place(target);
        let mut state = view(cluster, namespace);
        state["flows"] = json!(allowed_flows(cluster, namespace, pod, &[("TCP", 80)]));
        // Other tests' pods come and go: what counts is whether there is any flow.
        state["flows"] = json!(!state["flows"].as_array().unwrap().is_empty());
        state
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["flows"], false, "{state:#}");
        assert_eq!(state["policies"].as_array().unwrap().len(), 2, "{state:#}");
    }

    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str> {
        let (namespace, pod) = place(target);
        cluster.edit("v1/pods", namespace, pod, &json!({"metadata": {"annotations": {"stanch.dev/by": "somebody"}}}));
        Some("our marks off")
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let (namespace, pod) = place(target);
        cluster.edit("v1/pods", namespace, pod, &json!({"metadata": {"labels": {ISOLATE: null}}}));
    }
}
