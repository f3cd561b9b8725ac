//! What every responder promises: no right too many, and the contract.

use serde_json::{Value, json};
use stanch_core::Target;
use stanch_suite::kube::{self, Cluster, Subject, account, least_privilege};

use k8s_revoke_access::K8sRevokeAccess;

use crate::scene::{BINDINGS, CLUSTER_BINDINGS, Scene, sorted, user};

fn bound(cluster: &Cluster) -> Scene<'_> {
    let scene = Scene::new(cluster);
    scene.bind_everywhere(json!([user("alice@example.com"), scene.as_account()]));
    scene.bind("rb-role", "Role", json!([scene.as_user()]));
    scene.bind("rb-cluster-role", "ClusterRole", json!([scene.as_account(), user("alice@example.com")]));
    scene
}

pub(crate) async fn rights(cluster: &Cluster) {
    let scene = |cluster: &Cluster| {
        let scene = bound(cluster);
        (account(&scene.namespace, &scene.account), Value::Null)
    };
    least_privilege::<K8sRevokeAccess>(cluster, &[(&[], &scene)]).await;
}

pub(crate) fn contract(cluster: &Cluster) {
    kube::contract(cluster, &Bound);
}

struct Bound;

fn place(target: &Target) -> (&str, &str) {
    let Target::ServiceAccount(account) = target else { panic!("not an account: {target}") };
    (account.namespace.as_str(), account.name.as_str())
}

impl Subject for Bound {
    type R = K8sRevokeAccess;

    fn target(&self, cluster: &Cluster) -> Target {
        let scene = bound(cluster);
        account(&scene.namespace, &scene.account)
    }

    /// The subjects of every binding of the namespace, and whether any elsewhere names the account.
    fn state(&self, cluster: &Cluster, target: &Target) -> Value {
        let (namespace, name) = place(target);
        let mut state = json!({"account": name});
        for binding in cluster.list(BINDINGS, namespace) {
            state[binding["metadata"]["name"].as_str().unwrap()] = json!(sorted(&binding));
        }
        let named = |binding: &Value| sorted(binding).iter().any(|it| it.contains(name));
        state["everywhere"] = cluster.list(CLUSTER_BINDINGS, "").iter().any(named).into();
        state
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["everywhere"], false, "{state:#}");
        assert_eq!(state["rb-role"], json!([]), "{state:#}");
        assert_eq!(state["rb-cluster-role"], json!([user("alice@example.com").to_string()]), "{state:#}");
    }

    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str> {
        // In another spelling than ours.
        let (namespace, name) = place(target);
        let theirs = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
        cluster.edit(BINDINGS, namespace, "rb-role", &json!({"subjects": theirs}));
        Some("rb-role")
    }

    fn undo_by_hand(&self, cluster: &Cluster, target: &Target) {
        let (namespace, name) = place(target);
        let theirs =
            json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}, user("alice@example.com")]);
        cluster.edit(BINDINGS, namespace, "rb-cluster-role", &json!({"subjects": theirs}));
    }
}
