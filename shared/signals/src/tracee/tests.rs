//! The rules of Tracee, one by one, on an event with one change.

use serde_json::{Value, json};
use stanch_core::{Result, Severity};

use crate::testing::{alert, names, with};

const CLUSTER: &str = "context:prod";

fn event() -> Value {
    json!({
        "timestamp": 1_763_592_097_123_456_789_i64, "processName": "strace", "hostName": "cart-1",
        "containerId": "c1", "container": {"id": "c1", "name": "cart", "image": "registry.example.com/cart:1"},
        "kubernetes": {"podName": "cart-1", "podNamespace": "web", "podUID": "u-1"},
        "eventId": "6018", "eventName": "anti_debugging", "matchedPolicies": ["default"], "args": [],
        "metadata": {"Version": "1", "Properties": {"Category": "defense-evasion", "Severity": 1, "signatureID": "TRC-102"}},
    })
}

#[test]
fn a_pod_is_named_in_every_shape() -> Result<()> {
    let expected = alert(CLUSTER, &event())?;
    assert_eq!(names(&expected), ["context:prod pod/web/cart-1"]);
    assert_eq!((expected.severity, expected.tactic.as_deref()), (Some(Severity::Low), Some("Defense Evasion")));
    assert_eq!(expected.last_seen, "2025-11-19T22:41:37.123456789Z".parse().ok());
    let mut flat = event();
    for (key, value) in [("podName", "cart-1"), ("podNamespace", "web"), ("podUID", "u-1")] {
        flat[key] = json!(value);
    }
    flat["kubernetes"] = json!(null);
    flat["container"] = json!(null);
    let finding = json!({"Data": null, "Context": event(), "SigMetadata": {"ID": "TRC-102", "Properties":
        {"Category": "defense-evasion", "Severity": 1}}});
    let grpc = json!({
        "timestamp": "2025-11-19T22:41:37.123456789Z", "id": "anti_debugging", "name": "anti_debugging",
        "policies": {"matched": ["default"]},
        "workload": {"container": {"id": "c1"},
            "k8s": {"pod": {"name": "cart-1", "uid": "u-1"}, "namespace": {"name": "web"}}},
        "threat": {"severity": "LOW", "mitre": {"tactic": {"name": "Defense Evasion"}}},
    });
    let text = with(event(), "/timestamp", json!("1763592097123456789"));
    for document in [flat, finding, grpc, text] {
        assert_eq!(alert(CLUSTER, &document)?, expected, "{document}");
    }
    Ok(())
}

#[test]
fn the_host_is_never_a_subject() -> Result<()> {
    let host = with(with(event(), "/kubernetes", json!({})), "/container", json!({}));
    let host = with(host, "/containerId", json!(""));
    let alert = alert(CLUSTER, &host)?;
    assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true));
    Ok(())
}

#[test]
fn a_hundred_events_of_one_container_are_one_incident() -> Result<()> {
    let first = alert(CLUSTER, &event())?.incident;
    for (pointer, value, same) in [
        ("/timestamp", json!(1_763_592_000_000_000_000_i64), true),
        ("/processName", json!("gdb"), true),
        ("/hostName", json!("other"), true),
        ("/timestamp", json!(1_763_596_000_000_000_000_i64), false),
        ("/eventName", json!("other"), false),
        ("/kubernetes/podUID", json!("u-2"), false),
    ] {
        assert_eq!(alert(CLUSTER, &with(event(), pointer, value))?.incident == first, same, "{pointer}");
    }
    assert_ne!(alert("context:other", &event())?.incident, first);
    Ok(())
}

#[test]
fn severities_are_numbers_or_words() -> Result<()> {
    for (value, expected) in [
        (json!(0), Some(Severity::Info)),
        (json!(3), Some(Severity::High)),
        (json!("4"), Some(Severity::Critical)),
        (json!("MEDIUM"), Some(Severity::Medium)),
        (json!(null), None),
    ] {
        let document = with(event(), "/metadata/Properties/Severity", value.clone());
        assert_eq!(alert(CLUSTER, &document)?.severity, expected, "{value}");
    }
    Ok(())
}

#[test]
fn what_is_not_an_event_is_refused() {
    for (pointer, value) in [
        ("/metadata/Properties/Severity", json!(5)),
        ("/metadata/Properties/Severity", json!(1.5)),
        ("/metadata/Properties/Severity", json!("worst")),
        ("/metadata/Properties/Severity", json!([])),
        ("/timestamp", json!(null)),
        ("/timestamp", json!("now")),
        ("/kubernetes/podName", json!("$(reboot)")),
        ("/kubernetes/podNamespace", json!(1)),
        ("/podName", json!("other")),
        ("/containerId", json!("c2")),
        ("/kubernetes", json!([])),
    ] {
        assert!(alert(CLUSTER, &with(event(), pointer, value.clone())).is_err(), "{pointer} {value}");
    }
    let error = alert("", &event()).expect_err("no cluster").to_string();
    assert!(error.contains("STANCH_CLUSTER"), "{error}");
}
