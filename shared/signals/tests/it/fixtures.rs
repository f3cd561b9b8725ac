//! Our own events, written after the documented formats, and hostile ones derived from them.

use std::{fs, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use stanch_core::{Severity, Source};
use stanch_signals::decode;

use crate::common::{check, context, files, fixtures, shown};

const EKS: &str = "eks:210987654321/eu-central-1/shop";
const GKE: &str = "gke:shop-prod-4711/europe-west1/shop";

/// File, the cluster of `STANCH_CLUSTER`, outcome.
const EVENTS: [(&str, &str, &str); 26] = [
    ("guardduty/ec2.json", "", "aws:210987654321 i-0a1b2c3d4e5f67890"),
    ("guardduty/ec2-getfindings.json", "", "aws:210987654321 i-0a1b2c3d4e5f67890"),
    ("guardduty/ec2-sample.json", "", "! aws:210987654321 i-0a1b2c3d4e5f67890"),
    (
        "guardduty/eks-audit.json",
        "",
        "eks:210987654321/eu-central-1/shop pod/web/cart-7c9d8f6b5-x2k4q, \
         eks:210987654321/eu-central-1/shop serviceaccount/web/deployer",
    ),
    ("guardduty/eks-audit-daemonset.json", "", "eks:210987654321/eu-central-1/shop daemonsets/web/log-agent"),
    (
        "guardduty/eks-runtime.json",
        "",
        "eks:210987654321/eu-central-1/shop pod/web/cart-7c9d8f6b5-x2k4q, aws:210987654321 i-0a1b2c3d4e5f67890, \
         eks:210987654321/eu-central-1/shop image/registry.example.com/shop/cart:1.4",
    ),
    ("guardduty/iam-role.json", "", "aws:210987654321 i-0a1b2c3d4e5f67890, aws:210987654321 role/shop-node"),
    ("logentry/gke-exec-create.json", "", GKE_EXEC),
    ("logentry/gke-exec-get.json", "", GKE_EXEC),
    ("logentry/gke-portforward-get.json", "", GKE_EXEC),
    ("logentry/gke-exec-push.json", "", GKE_EXEC),
    ("logentry/gke-exec-labels-lost.json", GKE, GKE_EXEC),
    ("logentry/gke-exec-labels-lost.json", EKS, "none"),
    ("logentry/gke-exec-labels-lost.json", "gke:other-project/europe-west1/shop", "none"),
    ("logentry/gce-instance.json", "", GCE),
    ("logentry/gce-instance-push.json", "", GCE),
    ("logentry/gce-instance-eventarc.json", "", GCE),
    (
        "logentry/gke-node.json",
        "",
        "gke:shop-prod-4711/europe-west1-b/shop node/gke-shop-pool-1-0a1b2c3d-x2k4, \
         gcp:shop-prod-4711 instance/europe-west1-b/gke-shop-pool-1-0a1b2c3d-x2k4",
    ),
    ("logentry/gke-node-regional.json", "", "gke:shop-prod-4711/europe-west1/shop node/gke-shop-pool-1-0a1b2c3d-x2k4"),
    ("falco/shell.json", EKS, FALCO_POD),
    ("falco/shell-falcosidekick.json", EKS, FALCO_POD),
    ("falco/shell-cloudevent.json", EKS, FALCO_POD),
    ("falco/shell-push.json", EKS, FALCO_POD),
    (
        "falco/host-process.json",
        EKS,
        "eks:210987654321/eu-central-1/shop node/ip-10-20-1-7.eu-central-1.compute.internal",
    ),
    (
        "falco/k8s-audit-exec.json",
        EKS,
        "eks:210987654321/eu-central-1/shop pod/web/cart-7c9d8f6b5-x2k4q, \
         eks:210987654321/eu-central-1/shop serviceaccount/web/deployer",
    ),
    ("falco/event-drop.json", EKS, "none"),
];
const GKE_EXEC: &str = "gke:shop-prod-4711/europe-west1/shop pod/web/cart-7c9d8f6b5-x2k4q, \
                        gke:shop-prod-4711/europe-west1/shop serviceaccount/web/deployer";
const GCE: &str = "gcp:shop-prod-4711 instance/europe-west1-b/gke-shop-pool-1-0a1b2c3d-x2k4";
const FALCO_POD: &str = "eks:210987654321/eu-central-1/shop pod/web/cart-7c9d8f6b5-x2k4q";

#[test]
fn every_event_names_its_subjects() -> io::Result<()> {
    for (file, cluster, expected) in EVENTS {
        let bytes = fs::read(fixtures().join(file))?;
        let outcome = decode(&bytes, &context(cluster));
        check(file, &bytes, &outcome);
        assert_eq!(shown(&outcome), expected, "{file}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn a_falco_alert_from_the_api_server_keeps_who_was_impersonated_apart() -> io::Result<()> {
    let bytes = fs::read(fixtures().join("falco/k8s-audit-exec.json"))?;
    let outcome = decode(&bytes, &context(EKS));
    let alert = outcome.expect("decodes").remove(0);
    assert_eq!((alert.source, alert.severity), (Source::Falco, Some(Severity::Low)));
    assert_eq!(alert.acted_as.as_deref(), Some("system:admin"));
    Ok(())
}

#[test]
fn falco_without_a_cluster_is_told_what_is_missing() -> io::Result<()> {
    let error = decode(&fs::read(fixtures().join("falco/shell.json"))?, &context("")).expect_err("no cluster");
    assert!(error.to_string().contains("STANCH_CLUSTER must name the cluster"), "{error}");
    Ok(())
}

#[test]
fn every_hostile_event_has_the_outcome_that_is_expected_of_it() -> io::Result<()> {
    let folder = fixtures().join("hostile");
    let table = fs::read_to_string(folder.join("EXPECT.tsv"))?;
    let mut listed = Vec::new();
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let [file, _, expected]: [&str; 3] = row.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
        listed.push(file.to_owned());
        let bytes = fs::read(folder.join(file))?;
        let outcome = decode(&bytes, &context(EKS));
        check(file, &bytes, &outcome);
        let shown = shown(&outcome);
        let as_expected = match expected {
            "inactive" => shown.starts_with("! "),
            "no subject" => shown == "none",
            subjects if subjects.starts_with("only ") => outcome.as_ref().is_ok_and(|alerts| {
                let names: Vec<_> = alerts.iter().flat_map(|it| &it.subjects).map(ToString::to_string).collect();
                subjects == format!("only {}", names.join(" ")) && alerts.iter().all(|it| it.inactive.is_none())
            }),
            refusal => shown == refusal,
        };
        assert!(as_expected, "{file}: expected {expected:?}, got {shown:?} ({outcome:?})");
    }
    for (name, _) in files(&folder)? {
        assert!(name == "EXPECT.tsv" || listed.contains(&name), "{name} is not in EXPECT.tsv");
    }
    Ok(())
}

#[test]
fn a_wrapping_changes_nothing() -> io::Result<()> {
    for file in [
        "guardduty/ec2.json",
        "guardduty/eks-runtime.json",
        "logentry/gce-instance.json",
        "falco/shell.json",
        "scc/ctd-added-binary.json",
        "monitoring/vm-open.json",
        "tracee/event.json",
        "reports/kyverno-scope.json",
        "reports/trivy.json",
    ] {
        let bytes = fs::read(fixtures().join(file))?;
        let bare = decode(&bytes, &context(EKS)).expect(file);
        let value: Value = serde_json::from_slice(&bytes)?;
        let base64 = BASE64_STANDARD.encode(&bytes);
        let push = json!({"message": {"data": base64, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"});
        let event =
            |key: &str, data: &Value| json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", key: data});
        for wrapped in [
            push.clone(),
            event("data", &value),
            event("data_base64", &json!(base64)),
            event("data", &push),
            event("data_base64", &json!(BASE64_STANDARD.encode(push.to_string()))),
        ] {
            let outcome = decode(wrapped.to_string().as_bytes(), &context(EKS)).expect(file);
            assert_eq!(outcome, bare, "{file}");
        }
    }
    Ok(())
}

#[test]
fn a_batch_of_cloudevents_is_read_event_by_event() -> io::Result<()> {
    let event = |file: &str| -> io::Result<Value> {
        let data: Value = serde_json::from_slice(&fs::read(fixtures().join(file))?)?;
        Ok(json!({"specversion": "1.0", "id": file, "source": "s", "type": "t", "data": data}))
    };
    let (falco, scc) = (event("falco/shell.json")?, event("scc/vmtd-mining.json")?);
    let broken = json!({"specversion": "1.0", "id": "", "source": "s", "type": "t", "data": {}});
    let batch = json!([falco, broken, scc]).to_string();
    let items = stanch_signals::decode_each(batch.as_bytes(), &context(EKS)).expect("a batch");
    let shown: Vec<_> = items.into_iter().map(|item| shown(&item.map(|alert| vec![alert]))).collect();
    let vm = "gcp:shop-prod-4711 instance/europe-west1-b/gke-shop-pool-1-0a1b2c3d-x2k4";
    assert_eq!(shown, [FALCO_POD, "invalid [1].id", vm]);
    Ok(())
}

#[test]
fn redeliveries_and_relays_make_one_incident() -> io::Result<()> {
    let incident = |file: &str| -> io::Result<_> {
        let bytes = fs::read(fixtures().join(file))?;
        Ok(decode(&bytes, &context(EKS)).expect(file).remove(0).incident)
    };
    for (one, other) in [
        ("guardduty/ec2.json", "guardduty/ec2-getfindings.json"),
        ("logentry/gke-exec-create.json", "logentry/gke-exec-push.json"),
        ("logentry/gce-instance.json", "logentry/gce-instance-eventarc.json"),
        ("falco/shell.json", "falco/shell-falcosidekick.json"),
        ("falco/shell.json", "falco/shell-cloudevent.json"),
        ("falco/shell.json", "falco/shell-binary-request.json"),
        ("falco/shell.json", "falco/shell-k8smeta.json"),
        ("scc/vmtd-mining.json", "scc/vmtd-bare.json"),
        ("scc/vmtd-mining.json", "scc/vmtd-inactive.json"),
        ("scc/ctd-added-binary.json", "scc/ctd-added-binary-push.json"),
        ("scc/ctd-added-binary.json", "scc/ctd-added-binary-eventarc.json"),
        ("scc/ctd-added-binary.json", "scc/ctd-properties-beside.json"),
        ("monitoring/vm-open.json", "monitoring/vm-open-push.json"),
        ("monitoring/vm-open.json", "monitoring/vm-closed.json"),
        ("tracee/event.json", "tracee/flat.json"),
        ("tracee/event.json", "tracee/finding.json"),
        ("tracee/event.json", "tracee/v1beta1.json"),
        ("reports/trivy.json", "reports/trivy-webhook-delete.json"),
    ] {
        assert_eq!(incident(one)?, incident(other)?, "{one} and {other}");
    }
    assert_eq!(incident("guardduty/ec2.json")?.as_str(), "guardduty-11aa22bb33cc44dd55ee66ff77008899");
    assert_ne!(incident("logentry/gce-instance.json")?, incident("logentry/gke-node.json")?);
    Ok(())
}

#[test]
fn guardduty_through_security_hub_is_the_same_incident_with_the_same_subjects() -> io::Result<()> {
    let read = |file: &str| -> io::Result<_> {
        let bytes = fs::read(fixtures().join(file))?;
        Ok(decode(&bytes, &context(EKS)).expect(file).remove(0))
    };
    for (direct, through) in [
        ("guardduty/ec2.json", "securityhub/imported-guardduty-ec2.json"),
        ("guardduty/ec2.json", "securityhub/ocsf-guardduty-ec2.json"),
        ("guardduty/ec2.json", "securityhub/aggregated-region.json"),
        ("guardduty/credential-exfiltration.json", "securityhub/imported-guardduty-credentials.json"),
    ] {
        let (direct, through) = (read(direct)?, read(through)?);
        assert_eq!((&direct.incident, &direct.rule, direct.source), (&through.incident, &through.rule, through.source));
        assert_eq!(direct.subjects, through.subjects, "{}", direct.rule);
    }
    Ok(())
}
