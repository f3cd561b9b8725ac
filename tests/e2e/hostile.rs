//! The public hostile payloads, and our own, through all three release binaries in enforce mode, on clouds where the
//! resource that they are about exists: nothing may be changed that the payload does not rightly name.

use std::{path::PathBuf, time::Duration};

use serde_json::json;
use stanch_range::{
    kube::{ADMIN, Kube, kubeconfig},
    proxy::{Dialect, Proxy},
    scenario,
};
use stanch_tests::{root, skipped};

use crate::{aws, gcp, service::Service};

/// What is odd about these is not whom they accuse: they may act, and on that resource alone.
const MAY_ACT: [&str; 8] = [
    "guardduty-schema-9.json",
    "guardduty-type-wrong-case.json",
    "guardduty-log-and-chat-injection.json",
    "guardduty-duplicate-id-a.json",
    "guardduty-duplicate-id-b.json",
    "guardduty-two-subjects.json",
    "falco-output-text-spoof.json",
    "falco-output-names-another.json",
];
/// The resource that the public payloads accuse, where it is a valid one.
const INSTANCE: &str = "i-02468ace13579bdf0";
/// One body may cost this much memory at most, beside what the process has anyway.
const MOST_KIB: u64 = 64 * 1024;

fn payloads() -> Vec<(String, Vec<u8>)> {
    let public = std::env::var_os("STANCH_EVENTS").map_or_else(|| root().join("../shared/events"), PathBuf::from);
    if !public.is_dir() {
        skipped("the public hostile payloads", "the events folder is absent");
    }
    let mut payloads = Vec::new();
    for folder in [public.join("hostile"), root().join("tests/fixtures/hostile")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name != "EXPECT.tsv" {
                payloads.push((name, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    payloads.sort();
    assert!(payloads.len() > 50, "{} payloads", payloads.len());
    payloads
}

/// Puts what exists, and now, in place of the payload's own: neither age nor absence shall be what saves us.
fn aim(bytes: &[u8], instance: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let now = jiff::Timestamp::now().to_string();
    text.replace(INSTANCE, instance)
        .replace("us-east-1", "eu-central-1")
        .replace("2026-09-30T03:02:20.000Z", &now)
        .replace("2023-05-25T13:44:05.478445995Z", &now)
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_payloads_change_nothing() {
    let ec2 = aws::world();
    let calls = Proxy::start(&ec2.moto.url(), Dialect::Aws).unwrap();
    let function = ec2.lambda(&calls.url(), Some("enforce"));
    let compute = gcp::world();
    let mut gcp_service = Service::start("gcp-snapshot-disks", &compute.environment(Some("enforce"))).await;

    let cluster = Kube::start().unwrap();
    scenario::k8s(&cluster);
    for (pod, node) in [("kubecon", "node-a"), ("web", scenario::NODE)] {
        cluster.add_pod("default", pod, node, json!({}));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(&cluster.url(), ADMIN)).unwrap();
    let environment = [
        ("KUBECONFIG", config.display().to_string()),
        ("STANCH_CLUSTER", "context:range".to_owned()),
        ("STANCH_LEDGER", format!("sqlite:{}", folder.path().join("ledger.db").display())),
        ("STANCH_MODE", "enforce".to_owned()),
    ];
    let mut k8s_service = Service::start("k8s-cordon-node", &environment).await;

    let (may_act, must_not): (Vec<_>, Vec<_>) =
        payloads().into_iter().partition(|(name, _)| MAY_ACT.contains(&name.as_str()));
    for (name, bytes) in &must_not {
        let bytes = aim(bytes, &ec2.instance);
        let done = function.invoke_bytes(bytes.clone(), Duration::from_secs(30)).await;
        if let Err(error) = done.result {
            assert!(!error.error_type.contains("Runtime") && !error.message.contains("panic"), "{name}: {error:?}");
        }
        for service in [&gcp_service, &k8s_service] {
            let answer = service.post(bytes.clone(), &[]).await;
            assert!(answer.status < 500 || answer.status == 503, "{name}: {answer:?}");
            let text = answer.body.to_string();
            assert!(!text.contains("$(") && !text.contains('\u{1b}'), "{name}: the answer repeats it: {text}");
        }
        assert!(!calls.actions().iter().any(|action| action == "CreateSnapshots"), "{name} acted on EC2");
        assert!(compute.gce.writes().is_empty(), "{name} acted on Compute Engine: {:?}", compute.gce.writes());
        assert!(cluster.writes().is_empty(), "{name} acted on the cluster: {:?}", cluster.writes());
    }
    assert_eq!(ec2.snapshots().len(), 0);
    for (name, bytes) in &may_act {
        let bytes = aim(bytes, &ec2.instance);
        let _ = function.invoke_bytes(bytes.clone(), Duration::from_secs(30)).await;
        k8s_service.post(bytes, &[]).await;
        assert!(matches!(ec2.snapshots().len(), 0 | 3), "{name}");
    }
    assert_eq!(ec2.snapshots().len(), 3, "what rightly accuses the instance is acted on, once");
    let cordoned: Vec<_> = ["node-a", scenario::NODE, "node-c"]
        .into_iter()
        .filter(|name| cluster.node(name).unwrap()["spec"]["unschedulable"] == true)
        .collect();
    assert!(!cordoned.contains(&"node-c"), "{cordoned:?}");

    assert!(function.is_running() && gcp_service.is_running() && k8s_service.is_running(), "a process died");
    for (name, peak) in [
        ("aws-snapshot-volumes", function.peak_rss_kib()),
        ("gcp-snapshot-disks", gcp_service.peak_kib()),
        ("k8s-cordon-node", k8s_service.peak_kib()),
    ] {
        assert!(peak.is_none_or(|peak| peak < MOST_KIB), "{name} took {peak:?} KiB");
    }
}
