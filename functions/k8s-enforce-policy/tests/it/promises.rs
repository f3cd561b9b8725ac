//! What every responder promises: no right too many, and the contract.

use k8s_enforce_policy::K8sEnforcePolicy;
use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Scene, Subject, least_privilege_of, scene_for};

use crate::VALIDATING;

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Namespaces);
}

pub(crate) async fn rights(cluster: &Cluster) {
    let of =
        |options: Value| move |cluster: &Cluster| (kube::namespace(&cluster.namespace(&json!({}))), options.clone());
    let (exec, restrict, deny) =
        (of(Value::Null), of(json!({"policy": "restrict-pods"})), of(json!({"policy": "default-deny"})));
    let (mutate, kyverno) = (of(json!({"policy": "restrict-pods", "how": "mutate"})), of(json!({"engine": "kyverno"})));
    let by_pod = |cluster: &Cluster| {
        let namespace = cluster.namespace(&json!({}));
        (kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({}))), Value::Null)
    };
    // Only a server that knows the standards has something to ask nodes and pods about.
    let forced = |cluster: &Cluster| {
        let namespace = cluster.namespace(&json!({}));
        let node = cluster.node(&json!({"spec": {"unschedulable": true}}));
        cluster.bare_pod(&namespace, &json!({"spec": {"nodeName": node}}));
        cluster.edit("v1/nodes", "", &node, &json!({"metadata": {"labels": {"cordoned": "yes"}}}));
        (kube::namespace(&namespace), json!({"policy": "restrict-pods", "force": true}))
    };
    if !cluster.is_real() {
        return;
    }
    let (m, b) = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
    let name = |verb: &str, resource: &str| format!("{verb} {resource}");
    let mutating: Vec<String> =
        ["get", "create", "delete"].iter().flat_map(|verb| [name(verb, m), name(verb, b)]).collect();
    let mutating: Vec<&str> = mutating.iter().map(String::as_str).collect();
    let scenes: &[Scene<'_>] = &[
        (&[], &exec),
        (&["patch namespaces"], &restrict),
        (&["get pods"], &by_pod),
        (&["list nodes", "list pods"], &forced),
        (
            &[
                "list daemonsets",
                "get networkpolicies",
                "list networkpolicies",
                "create networkpolicies",
                "delete networkpolicies",
            ],
            &deny,
        ),
        (&mutating, &mutate),
        (&["get clusterpolicies", "create clusterpolicies", "delete clusterpolicies"], &kyverno),
    ];
    // What only a weakened policy needs is tried with one: see `weakened`.
    least_privilege_of::<K8sEnforcePolicy>(cluster, |cluster, right| {
        (right.0 != "update").then(|| scene_for(scenes, right)(cluster))
    })
    .await;
}

struct Namespaces;

fn name(target: &Target) -> &str {
    let Target::Namespace(it) = target else { panic!("not a namespace: {target}") };
    it.name.as_str()
}

impl Subject for Namespaces {
    type R = K8sEnforcePolicy;

    fn target(&self, cluster: &Cluster) -> Target {
        kube::namespace(&cluster.namespace(&json!({})))
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let name = format!("stanch-deny-exec-{}", name(target));
        let spec = |resource: &str| cluster.get(resource, "", &name).map(|it| it["spec"].clone());
        json!({"policy": spec(VALIDATING), "binding": spec("admissionregistration.k8s.io/v1/validatingadmissionpolicybindings")})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["binding"]["validationActions"], json!(["Deny"]), "{state:#}");
        let rules = state["policy"]["matchConstraints"]["resourceRules"].to_string();
        assert!(
            ["pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"]
                .iter()
                .all(|it| rules.contains(it)),
            "{rules}"
        );
    }

    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str> {
        let name = format!("stanch-deny-exec-{}", name(target));
        cluster.edit(
            "admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
            "",
            &name,
            &json!({"spec": {"validationActions": ["Audit"]}}),
        );
        Some("validatingadmissionpolicybinding")
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let name = format!("stanch-deny-exec-{}", name(target));
        cluster.delete("admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", "", &name);
    }
}
