//! The rules of Trivy's reports, one by one, on a report with one change.

use serde_json::{Value, json};
use stanch_core::{Result, Severity};

use crate::testing::{alert, alerts, names, with};

const CLUSTER: &str = "context:prod";

fn report() -> Value {
    json!({
        "apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReport",
        "metadata": {
            "name": "replicaset-cart-5d-cart", "namespace": "web", "uid": "v-1",
            "labels": {
                "trivy-operator.container.name": "cart", "trivy-operator.resource.kind": "ReplicaSet",
                "trivy-operator.resource.name": "cart-5d", "trivy-operator.resource.namespace": "web",
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d", "controller": true}],
        },
        "report": {
            "artifact": {"repository": "library/nginx", "tag": "1.16"}, "registry": {"server": "index.docker.io"},
            "summary": {"criticalCount": 1, "highCount": 2, "mediumCount": 0, "lowCount": 0, "unknownCount": 3},
            "updateTimestamp": "2026-11-19T22:41:37Z",
            "vulnerabilities": [
                {"vulnerabilityID": "CVE-2026-0001", "severity": "HIGH", "score": 9.9},
                {"vulnerabilityID": "CVE-2026-0002", "severity": "CRITICAL", "score": 9.1},
            ],
        },
    })
}

#[test]
fn a_report_names_the_workload_and_the_image() -> Result<()> {
    let alert = alert(CLUSTER, &report())?;
    assert_eq!(
        names(&alert),
        ["context:prod ReplicaSet/web/cart-5d", "context:prod image/docker.io/library/nginx:1.16"]
    );
    assert_eq!((alert.rule.as_str(), alert.severity), ("CVE-2026-0002", Some(Severity::Critical)));
    assert_eq!((alert.count, alert.note.as_deref()), (Some(6), Some("1 critical; 2 high")));
    Ok(())
}

#[test]
fn a_digest_and_a_long_name_are_read() -> Result<()> {
    let digest = with(report(), "/report/artifact/digest", json!("sha256:0123"));
    assert_eq!(names(&alert(CLUSTER, &digest)?)[1], "context:prod image/docker.io/library/nginx@sha256:0123");
    let mut long = report();
    long["metadata"]["annotations"] = json!({"trivy-operator.resource.name": "cart-5d"});
    long["metadata"]["labels"]["trivy-operator.resource.name"] = json!(null);
    assert_eq!(names(&alert(CLUSTER, &long)?), names(&alert(CLUSTER, &report())?));
    Ok(())
}

#[test]
fn without_labels_there_is_nobody_to_act_on() -> Result<()> {
    for pointer in ["/metadata/labels", "/metadata/labels/trivy-operator.resource.kind"] {
        let alert = alert(CLUSTER, &with(report(), pointer, json!(null)))?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true), "{pointer}");
    }
    Ok(())
}

#[test]
fn the_worst_count_is_the_severity_and_no_count_is_no_alert() -> Result<()> {
    let counted = |summary: Value, listed: Value| {
        alert(CLUSTER, &with(with(report(), "/report/summary", summary), "/report/vulnerabilities", listed))
    };
    let none = json!({"criticalCount": 0, "highCount": 0});
    for (summary, listed) in [(none.clone(), json!([])), (none, json!(null)), (json!(null), json!([]))] {
        let clean = counted(summary, listed)?;
        assert_eq!((clean.severity, clean.inactive.as_deref()), (None, Some("no vulnerability was found")));
    }
    let medium = counted(json!({"mediumCount": 7, "criticalCount": 0}), json!([]))?;
    assert_eq!((medium.severity, medium.count, medium.inactive), (Some(Severity::Medium), Some(7), None));
    let silent = counted(json!(null), json!(null))?;
    assert_eq!(silent.inactive.as_deref(), Some("the report counts and lists nothing"));
    Ok(())
}

#[test]
fn neither_the_summary_nor_the_list_alone_calls_a_report_clean() -> Result<()> {
    let none = json!({"criticalCount": 0, "highCount": 0, "mediumCount": 0, "lowCount": 0, "unknownCount": 0});
    let less = json!({"criticalCount": 0, "highCount": 5, "mediumCount": 1});
    for (summary, count, note) in [
        (json!(null), 2, "1 critical; 1 high"),
        (json!({}), 2, "1 critical; 1 high; the summary counts fewer than are listed"),
        (none, 2, "1 critical; 1 high; the summary counts fewer than are listed"),
        (less, 7, "1 critical; 5 high; the summary counts fewer than are listed"),
    ] {
        let alert = alert(CLUSTER, &with(report(), "/report/summary", summary.clone()))?;
        assert_eq!((alert.severity, alert.inactive), (Some(Severity::Critical), None), "{summary}");
        assert_eq!((alert.count, alert.note.as_deref()), (Some(count), Some(note)), "{summary}");
    }
    // A severity that nobody knows is still a vulnerability.
    let mut odd = with(report(), "/report/summary", json!(null));
    odd["report"]["vulnerabilities"] = json!([{"vulnerabilityID": "CVE-2026-0003", "severity": "UNKNOWN"}, {}]);
    let alert = alert(CLUSTER, &odd)?;
    assert_eq!((alert.severity, alert.count, alert.inactive), (None, Some(2), None));
    Ok(())
}

#[test]
fn a_new_scan_is_the_same_incident_and_a_deleted_report_is_inactive() -> Result<()> {
    let first = alert(CLUSTER, &report())?;
    let again =
        with(with(report(), "/metadata/uid", json!("v-2")), "/report/updateTimestamp", json!("2026-11-20T01:00:00Z"));
    assert_eq!(alert(CLUSTER, &again)?.incident, first.incident);
    let other = alert(CLUSTER, &with(report(), "/report/artifact/tag", json!("1.17")))?;
    assert_ne!(other.incident, first.incident);
    let sent = |verb: &str| alert(CLUSTER, &json!({"verb": verb, "operatorObject": report()}));
    assert_eq!(sent("update")?, first);
    assert!(sent("delete")?.inactive.is_some());
    let list = json!({"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReportList", "items": [report()]});
    assert_eq!(alerts(CLUSTER, &list)?, [first]);
    Ok(())
}

#[test]
fn contradictions_and_wrong_types_are_refused() {
    for (pointer, value) in [
        ("/report/summary/criticalCount", json!("2")),
        ("/report/summary/criticalCount", json!(-1)),
        ("/metadata/namespace", json!("other")),
        ("/metadata/ownerReferences/0/name", json!("other")),
        ("/metadata/ownerReferences/0/kind", json!("DaemonSet")),
        ("/metadata/labels/trivy-operator.resource.namespace", json!("..")),
        ("/report/artifact/repository", json!("a b")),
        ("/report/vulnerabilities", json!({})),
        ("/report", json!(null)),
    ] {
        assert!(alert(CLUSTER, &with(report(), pointer, value.clone())).is_err(), "{pointer} {value}");
    }
}
