//! What a client asks before it asks anything: versions, groups, resources.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::served::Served;

/// Groups that are served by hand.
const REVIEWS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// The Kubernetes version that the simulator claims.
const VERSION: (&str, &str) = ("1", "34");

/// The documents that need no rights.
pub(crate) fn answer(served: &[Served], path: &[&str]) -> Option<Value> {
    let resource = |name: &str, kind: &str, namespaced: bool, verbs: &[&str]| json!({"name": name, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": verbs});
    let list = |group: &str, version: &str| -> Vec<Value> {
        let verbs = ["create", "delete", "get", "list", "patch", "update"];
        let ours = served.iter().filter(|it| it.group == group && it.version == version);
        ours.map(|it| resource(&it.plural, &it.kind, it.namespaced, &verbs)).collect()
    };
    let versions = |name: &str| -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for it in served.iter().filter(|it| it.group == name) {
            if !found.contains(&it.version.as_str()) {
                found.push(&it.version);
            }
        }
        if REVIEWS.contains(&name) { vec!["v1"] } else { found }
    };
    let group = |name: &str| {
        let listed: Vec<Value> = versions(name)
            .into_iter()
            .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
            .collect();
        json!({"name": name, "versions": listed, "preferredVersion": listed.first()})
    };
    Some(match path {
        ["version"] => {
            json!({"major": VERSION.0, "minor": VERSION.1, "gitVersion": format!("v{}.{}.0-range", VERSION.0, VERSION.1),
            "gitCommit": "0", "gitTreeState": "clean", "buildDate": "2025-08-27T00:00:00Z", "goVersion": "go1.24",
            "compiler": "gc", "platform": "linux/amd64"})
        }
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]}),
        ["apis"] => {
            let mut names: BTreeSet<&str> = served.iter().map(|it| it.group.as_str()).collect();
            names.remove("");
            names.extend(REVIEWS);
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": names.into_iter().map(group).collect::<Vec<_>>()})
        }
        ["api", "v1"] => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": list("", "v1")}),
        ["apis", "authentication.k8s.io", "v1"] => json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "authentication.k8s.io/v1",
            "resources": [resource("tokenreviews", "TokenReview", false, &["create"])]}),
        ["apis", "authorization.k8s.io", "v1"] => json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": "authorization.k8s.io/v1",
            "resources": [resource("selfsubjectaccessreviews", "SelfSubjectAccessReview", false, &["create"])]}),
        ["apis", name] if !versions(name).is_empty() => {
            let mut found = group(name);
            super::patch::merge(&mut found, &json!({"kind": "APIGroup", "apiVersion": "v1"}));
            found
        }
        ["apis", name, version] if versions(name).contains(version) => json!({"kind": "APIResourceList",
            "apiVersion": "v1", "groupVersion": format!("{name}/{version}"), "resources": list(name, version)}),
        _ => return None,
    })
}
