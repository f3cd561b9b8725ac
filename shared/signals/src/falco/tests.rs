//! The rules of Falco, one by one, on an alert with one change.

use serde_json::{Value, json};
use stanch_core::{Alert, Result, Severity, Target};

use crate::{Context, decode};

fn shell() -> Value {
    json!({
        "hostname": "falco-1", "output": "text", "priority": "Critical", "rule": "Terminal shell in container",
        "source": "syscall", "time": "2026-11-19T22:41:37.123456789Z",
        "output_fields": {"container.id": "c1", "k8s.ns.name": "web", "k8s.pod.name": "cart", "k8s.pod.uid": "u-1"},
    })
}

fn fields(fields: &Value) -> Value {
    with(shell(), "output_fields", fields)
}

fn with(mut alert: Value, key: &str, value: &Value) -> Value {
    alert[key] = value.clone();
    alert
}

fn read(alert: &Value) -> Result<Alert> {
    read_in("context:prod", alert)
}

fn read_in(cluster: &str, alert: &Value) -> Result<Alert> {
    let context = Context::new(Some(cluster.parse()?), "2026-11-20T00:00:00Z".parse().expect("a time"));
    Ok(decode(alert.to_string().as_bytes(), &context)?.remove(0))
}

fn names(alert: &Alert) -> Vec<String> {
    alert.subjects.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod_comes_with_its_uid() -> Result<()> {
    let alert = read(&shell())?;
    assert_eq!(names(&alert), ["pod/web/cart"]);
    let Some(Target::Pod(pod)) = alert.subjects.first() else { panic!("{alert:?}") };
    assert_eq!(pod.uid.as_ref().map(ToString::to_string).as_deref(), Some("u-1"));
    assert_eq!(alert.last_seen, "2026-11-19T22:41:37.123456789Z".parse().ok());
    Ok(())
}

#[test]
fn what_falco_does_not_know_names_nothing() -> Result<()> {
    for nothing in [json!(null), json!(""), json!("<NA>")] {
        let alert = read(&fields(&json!({"container.id": "c1", "k8s.ns.name": nothing, "k8s.pod.name": nothing})))?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true), "{nothing}");
        let half = read(&fields(&json!({"k8s.ns.name": "web", "k8s.pod.name": nothing})))?;
        assert_eq!((names(&half).len(), half.note.is_some()), (0, true), "{nothing}");
    }
    for empty in [json!(null), json!({})] {
        let alert = read(&with(with(shell(), "output_fields", &empty), "hostname", &json!(null)))?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true));
    }
    Ok(())
}

#[test]
fn the_host_name_is_a_node_only_of_a_host_process() -> Result<()> {
    let host = |value: Value| with(fields(&value), "hostname", &json!("ip-10-0-0-1.ec2.internal"));
    let of_host = || json!({"container.id": "host"});
    for value in [
        json!({"evt.type": "execve"}),
        json!({"container.id": ""}),
        json!({"container.id": "host"}),
        json!({"container.id": null}),
    ] {
        assert_eq!(names(&read(&host(value))?), ["node/ip-10-0-0-1.ec2.internal"]);
    }
    for (alert, why) in [
        (host(json!({"container.id": "c1"})), "a container"),
        (host(json!({"k8s.ns.name": "web"})), "a namespace"),
        (host(json!(null)), "no fields at all"),
        (host(json!({})), "no fields"),
        (with(host(of_host()), "source", &json!("internal")), "a metrics snapshot"),
        (with(host(of_host()), "source", &json!("k8s_audit")), "an API call"),
        (with(host(of_host()), "rule", &json!("Falco internal: syscall event drop")), "an event drop"),
        (with(host(of_host()), "hostname", &json!("WIN-01$")), "no name of a node"),
        (with(host(of_host()), "hostname", &json!(null)), "no host name"),
    ] {
        assert_eq!(names(&read(&alert)?), [""; 0], "{why}");
    }
    let named = read(&fields(&json!({"k8s.ns.name": "web", "k8s.pod.name": "cart", "k8s.node.name": "n-1"})))?;
    assert_eq!(names(&named), ["pod/web/cart", "node/n-1"]);
    Ok(())
}

#[test]
fn an_api_call_names_its_object_and_its_caller() -> Result<()> {
    let call = |resource: &str, user: &str| {
        let fields = fields(&json!({
            "ka.target.resource": resource, "ka.target.namespace": "web", "ka.target.name": "cart", "ka.user.name": user,
            "ka.impuser.name": "system:node:victim",
        }));
        read(&with(fields, "source", &json!("k8s_audit")))
    };
    for (resource, user, expected) in [
        ("pods", "alice", vec!["pod/web/cart"]),
        ("deployments", "system:serviceaccount:web:ci", vec!["deployments/web/cart", "serviceaccount/web/ci"]),
        ("pods", "system:node:n-1", vec!["pod/web/cart", "node/n-1"]),
        ("configmaps", "alice", vec![]),
    ] {
        let alert = call(resource, user)?;
        assert_eq!(names(&alert), expected);
        assert_eq!(alert.acted_as.as_deref(), Some("system:node:victim"));
    }
    assert!(call("pods", "system:serviceaccount:web:a:b").is_err());
    Ok(())
}

#[test]
fn priorities_are_mapped_and_nothing_else_is_one() -> Result<()> {
    for (word, expected) in [
        ("Emergency", Severity::Critical),
        ("Alert", Severity::Critical),
        ("Critical", Severity::High),
        ("Error", Severity::Medium),
        ("Warning", Severity::Medium),
        ("Notice", Severity::Low),
        ("Informational", Severity::Info),
        ("Debug", Severity::Info),
        ("critical", Severity::High),
    ] {
        assert_eq!(read(&with(shell(), "priority", &json!(word)))?.severity, Some(expected), "{word}");
    }
    for wrong in [json!("Worst"), json!(2), json!(null), json!(""), json!(["Critical"])] {
        assert!(read(&with(shell(), "priority", &wrong)).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn the_event_time_is_read_to_the_nanosecond() -> Result<()> {
    let alert = with(fields(&json!({"evt.time": 1_763_592_097_123_456_789_i64})), "time", &json!(null));
    assert_eq!(read(&alert)?.last_seen, "2025-11-19T22:41:37.123456789Z".parse().ok());
    for wrong in [json!({"evt.time": null}), json!({"evt.time": 1.5e18}), json!({"evt.time": "now"}), json!({})] {
        assert!(read(&with(fields(&wrong), "time", &json!(null))).is_err(), "{wrong}");
    }
    assert!(read(&with(shell(), "time", &json!("soon"))).is_err());
    Ok(())
}

#[test]
fn a_hundred_shells_in_one_container_are_one_incident() -> Result<()> {
    let first = read(&shell())?.incident;
    for second in 0..100 {
        let mut again = with(shell(), "time", &json!(format!("2026-11-19T22:{:02}:{:02}Z", second / 2, second % 60)));
        again["uuid"] = json!(format!("uuid-{second}"));
        again["output_fields"]["proc.cmdline"] = json!(format!("sh -c {second}"));
        again["hostname"] = json!(format!("falco-{second}"));
        assert_eq!(read(&again)?.incident, first);
    }
    assert_ne!(read(&with(shell(), "time", &json!("2026-11-19T23:41:37Z")))?.incident, first);
    assert_ne!(read(&with(shell(), "rule", &json!("Other")))?.incident, first);
    assert_ne!(read_in("context:other", &shell())?.incident, first);
    for (key, value) in [("container.id", "c2"), ("k8s.ns.name", "other"), ("k8s.pod.uid", "u-2")] {
        let mut other = shell();
        other["output_fields"][key] = json!(value);
        assert_ne!(read(&other)?.incident, first, "{key}");
    }
    Ok(())
}
