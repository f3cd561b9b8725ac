//! A service account with rights.

use serde_json::{Value, json};
use stanch_suite::kube::Cluster;

pub(crate) const BINDINGS: &str = "rbac.authorization.k8s.io/v1/rolebindings";
pub(crate) const CLUSTER_BINDINGS: &str = "rbac.authorization.k8s.io/v1/clusterrolebindings";
const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
    pub(crate) account: String,
}

pub(crate) fn group(name: &str) -> Value {
    json!({"kind": "Group", "apiGroup": GROUP, "name": name})
}

pub(crate) fn user(name: &str) -> Value {
    json!({"kind": "User", "apiGroup": GROUP, "name": name})
}

impl<'a> Scene<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let namespace = cluster.namespace(&json!({}));
        let account = cluster.name("account");
        cluster.create("v1/serviceaccounts", &namespace, &account, &json!({}));
        let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
        let role = json!({"rules": rules});
        cluster.create("rbac.authorization.k8s.io/v1/roles", &namespace, "reads-pods", &role);
        if cluster.get("rbac.authorization.k8s.io/v1/clusterroles", "", "reads-all-pods").is_none() {
            cluster.create("rbac.authorization.k8s.io/v1/clusterroles", "", "reads-all-pods", &role);
        }
        Self { cluster, namespace, account }
    }

    pub(crate) fn as_account(&self) -> Value {
        json!({"kind": "ServiceAccount", "name": self.account, "namespace": self.namespace})
    }

    pub(crate) fn as_user(&self) -> Value {
        user(&format!("system:serviceaccount:{}:{}", self.namespace, self.account))
    }

    /// A binding in our namespace, of the Role or the `ClusterRole`.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
    pub(crate) fn bind(&self, name: &str, kind: &str, subjects: Value) {
        self.bind_in(&self.namespace, name, kind, &subjects);
    }

    pub(crate) fn bind_in(&self, namespace: &str, name: &str, kind: &str, subjects: &Value) {
        let role = if kind == "Role" { "reads-pods" } else { "reads-all-pods" };
        let binding = json!({"roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}, "subjects": subjects});
        let resource = if namespace.is_empty() { CLUSTER_BINDINGS } else { BINDINGS };
        self.cluster.create(resource, namespace, name, &binding);
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
    pub(crate) fn bind_everywhere(&self, subjects: Value) -> String {
        let name = self.cluster.name("range:everywhere");
        self.bind_in("", &name, "ClusterRole", &subjects);
        name
    }

    /// The subjects of a binding, in no order.
    pub(crate) fn subjects(&self, namespace: &str, name: &str) -> Vec<String> {
        let resource = if namespace.is_empty() { CLUSTER_BINDINGS } else { BINDINGS };
        let binding = self.cluster.get(resource, namespace, name).unwrap();
        sorted(&binding)
    }
}

pub(crate) fn sorted(binding: &Value) -> Vec<String> {
    let mut list: Vec<_> = binding["subjects"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    list.sort();
    list
}
