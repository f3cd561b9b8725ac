//! The rules of Cloud Monitoring, one by one, on an incident with one change.

use serde_json::{Value, json};
use stanch_core::{Result, Severity};

use crate::testing::{alert, names, with};

fn open() -> Value {
    json!({
        "version": "1.2",
        "incident": {
            "incident_id": "0.abc", "scoping_project_id": "shop-prod", "state": "open", "started_at": 1_763_592_097,
            "ended_at": null, "severity": "Critical", "policy_name": "Outbound packets", "observed_value": "a word",
            "metric": {"type": "compute.googleapis.com/instance/network/sent_packets_count",
                "labels": {"instance_name": "vm-1"}},
            "resource": {"type": "gce_instance",
                "labels": {"project_id": "shop-prod", "zone": "europe-west1-b", "instance_id": "42"}},
        },
    })
}

#[test]
fn an_open_incident_names_its_vm() -> Result<()> {
    let alert = alert("", &open())?;
    assert_eq!(names(&alert), ["gcp:shop-prod instance/europe-west1-b/vm-1"]);
    assert_eq!((alert.severity, alert.rule.as_str()), (Some(Severity::High), "Outbound packets"));
    assert_eq!(alert.last_seen, "2025-11-19T22:41:37Z".parse().ok());
    assert_eq!((alert.incident.as_str(), alert.inactive), ("monitoring-shop-prod-0.abc", None));
    Ok(())
}

#[test]
fn a_custom_metric_does_not_name_the_vm() -> Result<()> {
    let alert = alert("", &with(open(), "/incident/metric/type", json!("custom.googleapis.com/x")))?;
    assert_eq!(names(&alert), ["gcp:shop-prod instance/europe-west1-b/42"]);
    Ok(())
}

#[test]
fn closed_incidents_and_tests_are_inactive() -> Result<()> {
    let closed = with(with(open(), "/incident/state", json!("closed")), "/incident/ended_at", json!(1_763_592_157));
    let closed = alert("", &closed)?;
    assert_eq!(closed.inactive.as_deref(), Some("the incident is closed"));
    assert_eq!(closed.last_seen, "2025-11-19T22:42:37Z".parse().ok());
    assert_eq!(closed.incident, alert("", &open())?.incident);
    assert!(alert("", &with(open(), "/version", json!("test")))?.inactive.is_some());
    Ok(())
}

#[test]
fn kubernetes_resources_are_named() -> Result<()> {
    let labels = json!({
        "project_id": "shop-prod", "location": "europe-west1", "cluster_name": "shop", "namespace_name": "web",
        "pod_name": "cart-1", "container_name": "cart", "node_name": "n-1",
    });
    for (kind, expected) in [
        ("k8s_container", vec!["gke:shop-prod/europe-west1/shop pod/web/cart-1"]),
        ("k8s_pod", vec!["gke:shop-prod/europe-west1/shop pod/web/cart-1"]),
        ("k8s_node", vec!["gke:shop-prod/europe-west1/shop node/n-1"]),
        ("pubsub_topic", vec![]),
    ] {
        let document = with(open(), "/incident/resource", json!({"type": kind, "labels": labels}));
        let alert = alert("", &document)?;
        assert_eq!(names(&alert), expected);
        assert!(!expected.is_empty() || alert.note.is_some());
    }
    Ok(())
}

#[test]
fn what_is_not_the_schema_is_refused() {
    for (pointer, value) in [
        ("/version", json!("3.0")),
        ("/version", json!(null)),
        ("/incident/started_at", json!("soon")),
        ("/incident/started_at", json!(1.5)),
        ("/incident/started_at", json!(-1)),
        ("/incident/state", json!("ajar")),
        ("/incident/incident_id", json!("")),
        ("/incident/incident_id", json!("a/../b")),
        ("/incident/resource/labels/zone", json!("../x")),
        ("/incident/resource/labels/instance_id", json!(42)),
        ("/incident", json!([])),
    ] {
        assert!(alert("", &with(open(), pointer, value.clone())).is_err(), "{pointer} {value}");
    }
}
