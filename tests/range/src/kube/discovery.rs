//! What a client asks before it asks anything: versions, groups, resources.

use serde_json::{Value, json};

/// The Kubernetes version that the simulator claims.
const VERSION: (&str, &str) = ("1", "34");

/// The documents that need no rights.
pub(crate) fn answer(path: &[&str]) -> Option<Value> {
    let resource = |name: &str, kind: &str, namespaced: bool, verbs: &[&str]| json!({"name": name, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": verbs});
    Some(match path {
        ["version"] => {
            json!({"major": VERSION.0, "minor": VERSION.1, "gitVersion": format!("v{}.{}.0-range", VERSION.0, VERSION.1),
            "gitCommit": "0", "gitTreeState": "clean", "buildDate": "2025-08-27T00:00:00Z", "goVersion": "go1.24",
            "compiler": "gc", "platform": "linux/amd64"})
        }
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]}),
        ["apis"] => {
            let group = |name: &str| {
                let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
                json!({"name": name, "versions": [version], "preferredVersion": version})
            };
            json!({"kind": "APIGroupList", "apiVersion": "v1",
                "groups": [group("authentication.k8s.io"), group("authorization.k8s.io")]})
        }
        ["api", "v1"] => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
            resource("namespaces", "Namespace", false, &["get", "list"]),
            resource("nodes", "Node", false, &["get", "list", "patch", "update"]),
            resource("pods", "Pod", true, &["get", "list"]),
        ]}),
        ["apis", "authentication.k8s.io", "v1"] => json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "authentication.k8s.io/v1",
            "resources": [resource("tokenreviews", "TokenReview", false, &["create"])]}),
        ["apis", "authorization.k8s.io", "v1"] => json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "authorization.k8s.io/v1",
            "resources": [resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", false, &["create"])]}),
        _ => return None,
    })
}
