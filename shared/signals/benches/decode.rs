//! Decoding beside plain parsing of the same bytes, in the same run, on one core: prints the table that
//! `tests/bench/signals` keeps.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a program that measures and prints"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stanch_signals::{Context, decode};

/// Rounds, in which decoding and parsing take turns, so that what else the machine does meets both.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);
/// Events of the audit batch.
const EVENTS: usize = 10_000;

fn main() {
    let mut context = Context::new("context:prod".parse().ok(), "2026-11-20T12:00:00Z".parse().expect("a time"));
    context.limits.body = 64 * 1024 * 1024;
    let batch = batch(EVENTS).to_string();
    let events: [(&str, usize, &[u8]); 4] = [
        ("GuardDuty finding (EventBridge)", 1, include_bytes!("../../../tests/fixtures/guardduty/eks-runtime.json")),
        ("Falco alert (falcosidekick)", 1, include_bytes!("../../../tests/fixtures/falco/shell-falcosidekick.json")),
        ("Security Command Center finding", 1, include_bytes!("../../../tests/fixtures/scc/ctd-added-binary.json")),
        ("Kubernetes audit batch, 10,000 events", EVENTS, batch.as_bytes()),
    ];
    println!("| | bytes | events/s | alerts/s | decoded MB/s | `serde_json::Value` MB/s | ratio | target |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, events, bytes) in events {
        let alerts = decode(bytes, &context).expect(name).len();
        let (mut decoding, mut parsing) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            decoding.push(seconds(|| drop(black_box(decode(black_box(bytes), &context)))));
            parsing.push(seconds(|| drop(black_box(serde_json::from_slice::<Value>(black_box(bytes))))));
        }
        let (decoding, parsing) = (median(decoding), median(parsing));
        #[expect(clippy::cast_precision_loss, reason = "of sizes far below 2^52")]
        let rate = |count: usize, seconds: f64| count as f64 / seconds;
        println!(
            "| {name} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | ≥ 0.70 |",
            bytes.len(),
            rate(events, decoding),
            rate(alerts, decoding),
            rate(bytes.len(), decoding) / 1e6,
            rate(bytes.len(), parsing) / 1e6,
            parsing / decoding
        );
    }
}

/// The time of one call, from as many as fit into a round.
fn seconds(call: impl Fn()) -> f64 {
    let started = Instant::now();
    let mut calls = 0;
    while started.elapsed() < ROUND {
        call();
        calls += 1;
    }
    started.elapsed().as_secs_f64() / f64::from(calls)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What an API server logs: mostly kubelets and controllers at level Metadata, now and then an object as it was sent,
/// and one call in a hundred that means something.
fn batch(count: usize) -> Value {
    let items: Vec<Value> = (0..count).map(event).collect();
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items})
}

fn event(index: usize) -> Value {
    let node = format!("system:node:ip-10-20-{}-{}.eu-central-1.compute.internal", index / 250 % 250, index % 250);
    let agent = "kubelet/v1.34.1 (linux/amd64) kubernetes/93248f9";
    let (verb, user, object, uri) = match index % 100 {
        0 => (
            "create",
            format!("system:serviceaccount:web:job-{index}"),
            json!({"resource": "selfsubjectaccessreviews", "apiGroup": "authorization.k8s.io", "apiVersion": "v1"}),
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
        ),
        1..40 => (
            "update",
            node,
            json!({"resource": "leases", "namespace": "kube-node-lease", "name": format!("node-{index}"),
                "apiGroup": "coordination.k8s.io", "apiVersion": "v1", "resourceVersion": format!("{index}")}),
            format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-{index}?timeout=10s"),
        ),
        40..70 => (
            "get",
            "system:serviceaccount:kube-system:deployment-controller".to_owned(),
            json!({"resource": "deployments", "namespace": "web", "name": format!("app-{index}"),
                "apiGroup": "apps", "apiVersion": "v1"}),
            format!("/apis/apps/v1/namespaces/web/deployments/app-{index}"),
        ),
        _ => (
            "patch",
            node,
            json!({"resource": "pods", "namespace": "web", "name": format!("app-{index}"), "apiVersion": "v1",
                "subresource": "status"}),
            format!("/api/v1/namespaces/web/pods/app-{index}/status"),
        ),
    };
    let mut event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
        "auditID": format!("{index:08x}-1111-4222-8333-444455556666"), "requestURI": uri, "verb": verb,
        "user": {"username": user, "uid": "u", "groups": ["system:nodes", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=9f3c6f2e-8a41-4f0c-b7f0-1d2e3f405162"]}},
        "sourceIPs": ["10.20.1.7"], "userAgent": agent, "objectRef": object,
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-19T22:41:37.123456Z", "stageTimestamp": "2026-11-19T22:41:37.133456Z",
        "annotations": {"authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "RBAC: allowed by ClusterRoleBinding \"system:node\""},
    });
    if index % 10 == 7 {
        let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-19T22:41:37Z",
            "message": "containers are \"ready\"\n"}]);
        event["requestObject"] = json!({"metadata": {"uid": "u", "labels": {"app": "app", "tier": "web"}},
            "status": {"conditions": conditions, "podIP": "10.20.3.4", "startTime": "2026-11-19T22:00:00Z"}});
    }
    event
}
