//! The rules of policy reports, one by one, on a report with one change.

use serde_json::{Value, json};
use stanch_core::{Result, Severity};

use crate::testing::{alert, alerts, names, with};

const CLUSTER: &str = "context:prod";

fn report() -> Value {
    json!({
        "apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport",
        "metadata": {"name": "r", "namespace": "web", "uid": "r-1", "creationTimestamp": "2026-11-19T20:00:00Z"},
        "results": [
            {"policy": "no-privilege", "rule": "containers", "result": "fail", "severity": "high", "source": "kyverno",
                "resources": [{"apiVersion": "v1", "kind": "Pod", "name": "cart-1", "namespace": "web", "uid": "u-1"}],
                "timestamp": {"seconds": 1_763_592_097, "nanos": 0}},
            {"policy": "labels", "result": "pass", "resources": [{"kind": "Pod", "name": "cart-2"}]},
        ],
        "summary": {"fail": 1, "pass": 1},
    })
}

#[test]
fn a_failed_result_is_an_alert() -> Result<()> {
    let alert = alert(CLUSTER, &report())?;
    assert_eq!(names(&alert), ["context:prod pod/web/cart-1"]);
    assert_eq!((alert.rule.as_str(), alert.severity), ("no-privilege/containers", Some(Severity::High)));
    assert_eq!(alert.last_seen, "2025-11-19T22:41:37Z".parse().ok());
    assert_eq!((alert.id.as_deref(), alert.inactive), (Some("r-1"), None));
    Ok(())
}

#[test]
fn every_group_and_kind_is_read() -> Result<()> {
    let expected = alert(CLUSTER, &report())?;
    for (group, kind) in [
        ("wgpolicyk8s.io/v1beta1", "PolicyReport"),
        ("reports.x-k8s.io/v1beta1", "ClusterPolicyReport"),
        ("openreports.io/v1alpha1", "Report"),
        ("reports.kyverno.io/v1", "EphemeralReport"),
    ] {
        let document = with(with(report(), "/apiVersion", json!(group)), "/kind", json!(kind));
        assert_eq!(alert(CLUSTER, &document)?, expected);
    }
    let mut ephemeral = report();
    ephemeral["spec"] = json!({"results": ephemeral["results"].take()});
    assert_eq!(alert(CLUSTER, &ephemeral)?, expected);
    let mut first = report();
    first["results"][0]["status"] = first["results"][0]["result"].take();
    assert_eq!(alert(CLUSTER, &first)?, expected);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [report(), report()]});
    assert_eq!(alerts(CLUSTER, &list)?, [expected.clone(), expected]);
    Ok(())
}

#[test]
fn the_scope_stands_in_for_resources() -> Result<()> {
    for (kind, expected) in [
        ("Deployment", vec!["context:prod Deployment/web/cart"]),
        ("Pod", vec!["context:prod pod/web/cart"]),
        ("Node", vec!["context:prod node/cart"]),
        ("ServiceAccount", vec!["context:prod serviceaccount/web/cart"]),
        ("Namespace", vec![]),
    ] {
        let mut document = with(report(), "/scope", json!({"kind": kind, "name": "cart", "namespace": "web"}));
        document["results"][0]["resources"] = json!(null);
        let alert = alert(CLUSTER, &document)?;
        assert_eq!(names(&alert), expected, "{kind}");
        assert!(!expected.is_empty() || alert.note.is_some());
    }
    Ok(())
}

#[test]
fn a_custom_resource_is_not_the_one_that_it_is_named_like() -> Result<()> {
    for (version, kind, expected) in [
        ("batch/v1", "Job", vec!["context:prod Job/web/cart"]),
        ("batch.volcano.sh/v1alpha1", "Job", vec![]),
        ("apps.kruise.io/v1beta1", "StatefulSet", vec![]),
        ("v1", "ServiceAccount", vec!["context:prod serviceaccount/web/cart"]),
    ] {
        let resource = json!([{"apiVersion": version, "kind": kind, "name": "cart", "namespace": "web"}]);
        let alert = alert(CLUSTER, &with(report(), "/results/0/resources", resource))?;
        assert_eq!(names(&alert), expected, "{version}");
        assert!(!expected.is_empty() || alert.note.is_some_and(|note| note.contains("no responder takes")));
    }
    Ok(())
}

#[test]
fn a_report_in_a_namespace_accuses_nothing_in_another() -> Result<()> {
    let other = with(report(), "/results/0/resources/0/namespace", json!("kube-system"));
    let error = alert(CLUSTER, &other).expect_err("they disagree").to_string();
    assert!(error.contains("results[0].resources[0].namespace: disagrees with metadata.namespace"), "{error}");
    let mut scoped = with(report(), "/scope", json!({"kind": "Deployment", "name": "dns", "namespace": "kube-system"}));
    scoped["results"][0]["resources"] = json!(null);
    assert!(alert(CLUSTER, &scoped).is_err());
    // The other results of the report still count.
    let mut two = other.clone();
    two["results"][1]["result"] = json!("fail");
    let outcomes = crate::decode_each(
        two.to_string().as_bytes(),
        &crate::Context::new(CLUSTER.parse().ok(), "2026-11-20T12:00:00Z".parse().expect("a time")),
    )?;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    let cluster = with(with(other, "/kind", json!("ClusterPolicyReport")), "/metadata/namespace", json!(null));
    assert_eq!(names(&alert(CLUSTER, &cluster)?), ["context:prod pod/kube-system/cart-1"]);
    for nothing in [json!(null), json!("")] {
        let own = with(report(), "/results/0/resources/0/namespace", nothing);
        assert_eq!(names(&alert(CLUSTER, &own)?), ["context:prod pod/web/cart-1"]);
    }
    Ok(())
}

#[test]
fn a_report_in_which_nothing_failed_asks_for_nothing() -> Result<()> {
    for word in ["pass", "warn", "error", "skip"] {
        let alert = alert(CLUSTER, &with(report(), "/results/0/result", json!(word)))?;
        assert_eq!(alert.inactive.as_deref(), Some("nothing in the report failed"), "{word}");
    }
    assert!(alert(CLUSTER, &with(report(), "/results", json!([])))?.inactive.is_some());
    Ok(())
}

#[test]
fn a_new_scan_is_the_same_incident() -> Result<()> {
    let first = alert(CLUSTER, &report())?.incident;
    for (pointer, value, same) in [
        ("/metadata/uid", json!("r-2"), true),
        ("/results/0/timestamp/seconds", json!(1_763_600_000), true),
        ("/results/0/policy", json!("other"), false),
        ("/results/0/resources/0/name", json!("other"), false),
    ] {
        assert_eq!(alert(CLUSTER, &with(report(), pointer, value))?.incident == first, same, "{pointer}");
    }
    Ok(())
}

#[test]
fn what_is_not_a_report_is_refused() {
    for (pointer, value) in [
        ("/kind", json!("ConfigMap")),
        ("/apiVersion", json!("example.com/v1")),
        ("/results", json!({})),
        ("/results/0/result", json!("maybe")),
        ("/results/0/severity", json!("worst")),
        ("/results/0/resources/0/name", json!("../x")),
        ("/results/0/resources/0/namespace", json!("*")),
        ("/results/0/resources", json!(std::iter::repeat_n(json!({}), 26).collect::<Vec<_>>())),
    ] {
        assert!(alert(CLUSTER, &with(report(), pointer, value.clone())).is_err(), "{pointer} {value}");
    }
    let error = alert("", &report()).expect_err("no cluster").to_string();
    assert!(error.contains("STANCH_CLUSTER"), "{error}");
}
