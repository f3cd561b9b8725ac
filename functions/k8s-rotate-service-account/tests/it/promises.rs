//! What every responder promises: no right too many, and the contract.

use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Right, Subject, account, least_privilege_of};

use k8s_rotate_service_account::K8sRotateServiceAccount;

use crate::{BINDINGS, with_rights};

pub(crate) async fn rights(cluster: &Cluster) {
    least_privilege_of::<K8sRotateServiceAccount>(cluster, |cluster, (verb, _, resource): Right| {
        if (verb, resource) == ("patch", "serviceaccounts") {
            // Of the real controller nobody knows whether it is faster than we are.
            if cluster.is_real() {
                return None;
            }
            let namespace = cluster.namespace(&json!({}));
            cluster.account(&namespace, "default");
            return Some((account(&namespace, "default"), Value::Null));
        }
        let (namespace, name) = with_rights(cluster);
        let runs_as = json!({"serviceAccountName": name});
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            cluster.workload(kind, &namespace, &runs_as);
        }
        let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
        let view = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        let everywhere = json!({"roleRef": view, "subjects": subjects});
        cluster.create(
            "rbac.authorization.k8s.io/v1/clusterrolebindings",
            "",
            &cluster.name("everywhere"),
            &everywhere,
        );
        cluster.create(BINDINGS, &namespace, "views", &everywhere);
        let bindings = resource.contains("role");
        Some((account(&namespace, &name), if bindings { json!({"how": "replace"}) } else { Value::Null }))
    })
    .await;
}

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Rotated);
}

struct Rotated;

fn place(target: &Target) -> (&str, &str) {
    let Target::ServiceAccount(account) = target else { panic!("not an account: {target}") };
    (account.namespace.as_str(), account.name.as_str())
}

impl Subject for Rotated {
    type R = K8sRotateServiceAccount;
    const KEEPS: bool = true;

    fn target(&self, cluster: &Cluster) -> Target {
        let (namespace, name) = with_rights(cluster);
        cluster.workload("Deployment", &namespace, &json!({"serviceAccountName": name}));
        account(&namespace, &name)
    }

    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let (namespace, name) = place(target);
        let found = cluster.get("v1/serviceaccounts", namespace, name).unwrap();
        let users = cluster.list("apps/v1/deployments", namespace);
        let restarted = |user: &Value| user["spec"]["template"]["metadata"]["annotations"].is_object();
        json!({
            "uid": found["metadata"]["uid"],
            "labels": found["metadata"]["labels"],
            "record": found["metadata"]["annotations"]["stanch.dev/record"],
            "restarted": users.iter().all(restarted),
        })
    }

    fn assert_contained(&self, state: &Value) {
        assert!(state["record"].is_string(), "{state:#}");
        assert_eq!((&state["labels"], &state["restarted"]), (&json!({"team": "web"}), &json!(true)), "{state:#}");
    }

    fn drift(&self, _: &Cluster, _: &Target) -> Option<&'static str> {
        None
    }

    /// Somebody makes an account by that name, without our mark.
    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let (namespace, name) = place(target);
        cluster.delete("v1/serviceaccounts", namespace, name);
        cluster.create("v1/serviceaccounts", namespace, name, &json!({"metadata": {"labels": {"team": "web"}}}));
    }
}
