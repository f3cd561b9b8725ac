//! The real API server, where one is to be had without building for minutes: set `STANCH_RANGE_CONTROL_PLANE=build`
//! to build it, or give one.

use std::path::Path;

use serde_json::{Value, json};
use stanch_range::control_plane::ControlPlane;
use stanch_range::proxy::{Dialect, Proxy};

use crate::skipped;
use crate::web::call;

fn wanted() -> bool {
    ["STANCH_TEST_KUBECONFIG", "KUBEBUILDER_ASSETS", "STANCH_RANGE_CONTROL_PLANE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

#[tokio::test]
async fn a_user_has_exactly_the_rules_that_it_was_given() {
    if !wanted() {
        return skipped(
            "no API server was asked for (STANCH_TEST_KUBECONFIG, KUBEBUILDER_ASSETS or STANCH_RANGE_CONTROL_PLANE=build)",
        );
    }
    let plane = match ControlPlane::start() {
        Ok(plane) => plane,
        Err(why) => return skipped(&why.to_string()),
    };
    let (status, _) = plane.admin("GET", "/api/v1/nodes", "", None).unwrap();
    assert_eq!(status, 200);
    let rules = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]);
    let path = plane.user_kubeconfig("range-test", &rules).unwrap();
    assert!(Path::new(&path).is_file());
    let token = plane.user_token("range-test", &rules).unwrap();
    // Through the proxy in plain http, as the suites go.
    let proxy = Proxy::start_tls(plane.server(), plane.ca_pem(), Dialect::Kubernetes).unwrap();
    let get =
        async |path: &str| -> (u16, Value) { call("GET", &format!("{}{path}", proxy.url()), Some(&token), None).await };
    assert_eq!(get("/api/v1/nodes").await.0, 200);
    let (status, refused) = get("/api/v1/namespaces/default/pods").await;
    assert_eq!(status, 403);
    assert_eq!(
        refused["message"],
        "pods is forbidden: User \"system:serviceaccount:stanch:range-test\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
}
