//! On the range's simulator and on the real kube-apiserver. It writes nothing, so the contract's clauses about writes
//! have nothing to hold; that it only reads is asserted on every call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use k8s_locate::K8sLocate;
use serde_json::{Value, json};
use stanch_core::{Guard, Kind, Mode, Report, Status, Target};
use stanch_k8s::Kube;
use stanch_range::{
    kube::kubeconfig,
    proxy::{Dialect, Fault, Proxy, kubernetes_error, kubernetes_expired},
};
use stanch_suite::{
    Memory,
    kube::{self, CUSTOM, Cluster, Server, declared, least_privilege, remaining},
};

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    let cluster = Cluster::simulator();
    all(&cluster).await;
    ten_thousand_pods(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(cluster) = Cluster::real("k8s-locate") {
        all(&cluster).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    let (group, version, plural, kind) = CUSTOM;
    cluster.serve(group, version, plural, kind, true);
    every_kind_of_owner(cluster).await;
    accounts_nodes_and_pods(cluster).await;
    images_in_every_spelling_and_role(cluster).await;
    what_is_not_there(cluster).await;
    a_list_that_expires_goes_on(cluster).await;
    rights(cluster).await;
}

async fn locate(cluster: &Cluster, target: &Target) -> Report {
    let report = cluster.ward::<K8sLocate>().run(Mode::Apply, target, Value::Null).await;
    if let Server::Simulator(simulator) = &cluster.server {
        assert!(simulator.writes().is_empty(), "{:#?}", simulator.writes());
    }
    assert!(report.changes.is_empty(), "{report:#?}");
    report
}

fn pods(report: &Report) -> BTreeSet<String> {
    let name = |target: &Target| match target {
        Target::Pod(pod) => pod.name.to_string(),
        other => panic!("not a pod: {other}"),
    };
    report.found.iter().map(|it| name(&it.target)).collect()
}

fn set(names: &[&String]) -> BTreeSet<String> {
    names.iter().map(|&it| it.clone()).collect()
}

async fn every_kind_of_owner(cluster: &Cluster) {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Widget"] {
        let namespace = cluster.namespace(&json!({}));
        let (name, made) = cluster.workload(kind, &namespace, &json!({}));
        // Of another workload, and a pod that only claims to be of this one.
        cluster.workload("StatefulSet", &namespace, &json!({}));
        let ended = json!({"metadata": {"labels": {"app": name}}, "spec": {"nodeName": null}});
        if kind == "StatefulSet" && !cluster.is_real() {
            cluster.create("v1/pods", &namespace, "claims", &ended);
        }
        let target = kube::workload(kind, &namespace, &name);
        let report = if kind == "Widget" {
            assert_eq!(locate(cluster, &target).await.error, Some(Kind::Denied));
            let mut rights = declared::<K8sLocate>();
            rights.push(("get", "example.com", "widgets"));
            cluster
                .ward_of::<K8sLocate>(&rights, Arc::new(Memory::default()))
                .run(Mode::Apply, &target, Value::Null)
                .await
        } else {
            locate(cluster, &target).await
        };
        assert_eq!(report.status, Status::Already, "{kind}: {report:#?}");
        assert_eq!(report.reason.as_deref(), Some("there is nothing to change"));
        assert_eq!(pods(&report), made.iter().cloned().collect(), "{kind}");
        for found in &report.found {
            assert_eq!(found.details["node"], "node-1", "{kind}");
            assert_eq!(found.details["instance"], "gce://acme-prod/europe-west1-b/node-1", "{kind}");
            assert!(!found.details["uid"].is_empty() && found.details.contains_key("owner"), "{found:#?}");
        }
        let left = remaining(&report);
        assert!(left.contains("gcp-snapshot-disks {") && left.contains("k8s-isolate-pod {"), "{left}");
    }
}

async fn accounts_nodes_and_pods(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    cluster.account(&namespace, "web");
    let node = cluster.node(&json!({"spec": {"providerID": "aws:///eu-central-1a/i-0123456789abcdef0"}}));
    let mine = cluster.bare_pod(&namespace, &json!({"spec": {"serviceAccountName": "web", "nodeName": node}}));
    cluster.bare_pod(&namespace, &json!({}));
    for target in [kube::account(&namespace, "web"), kube::node(&node)] {
        let report = locate(cluster, &target).await;
        assert_eq!(pods(&report), set(&[&mine]), "{report:#?}");
        let details = &report.found[0].details;
        assert_eq!((details["service-account"].as_str(), details["node"].as_str()), ("web", node.as_str()));
        assert!(remaining(&report).contains("i-0123456789abcdef0 in eu-central-1a"), "{report:#?}");
    }
    let (name, made) = cluster.workload("Deployment", &namespace, &json!({}));
    let report = locate(cluster, &kube::pod(&namespace, &made[0])).await;
    assert_eq!(pods(&report), set(&[&made[0]]));
    assert_eq!(report.found[0].details["workload"], format!("Deployment {name}"));
    // What is exempt may be looked at.
    let exempt = cluster.namespace(&json!({stanch_k8s::EXEMPT_NAMESPACE: "true"}));
    let spared = cluster.bare_pod(&exempt, &json!({}));
    assert_eq!(pods(&locate(cluster, &kube::pod(&exempt, &spared)).await), set(&[&spared]));
}

async fn images_in_every_spelling_and_role(cluster: &Cluster) {
    const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let namespace = cluster.namespace(&json!({}));
    let app = cluster.name("app");
    let with = |image: &str| json!({"spec": {"containers": [{"name": "main", "image": image}]}});
    let one = cluster.bare_pod(&namespace, &with(&format!("example.com/{app}:1")));
    let two = cluster.bare_pod(&namespace, &with(&format!("example.com/{app}:2")));
    let init = cluster.bare_pod(
        &namespace,
        &json!({"spec": {"initContainers": [{"name": "init", "image": format!("example.com/{app}:1")}]}}),
    );
    let pinned = cluster.bare_pod(&namespace, &with(&format!("example.com/{app}@{DIGEST}")));
    let debugged = cluster.bare_pod(&namespace, &json!({}));
    let ephemeral =
        json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": format!("example.com/{app}:2")}]}});
    match &cluster.server {
        Server::Simulator(_) => cluster.edit("v1/pods", &namespace, &debugged, &ephemeral),
        Server::Real(_) => {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{debugged}/ephemeralcontainers");
            let (status, answer) =
                cluster.admin("PATCH", &path, "application/strategic-merge-patch+json", Some(&ephemeral));
            assert_eq!(status, 200, "{answer}");
        }
    }
    for (image, expected) in [
        (format!("example.com/{app}"), set(&[&one, &two, &init, &pinned, &debugged])),
        (format!("example.com/{app}:1"), set(&[&one, &init])),
        (format!("example.com/{app}:2"), set(&[&two, &debugged])),
        (format!("example.com/{app}@{DIGEST}"), set(&[&pinned])),
        (DIGEST.to_owned(), set(&[&pinned])),
        (format!("{app}:1"), set(&[])),
    ] {
        let report = locate(cluster, &kube::image(&image)).await;
        assert_eq!(pods(&report), expected, "{image}");
    }
    let report = locate(cluster, &kube::image(&format!("example.com/{app}:2"))).await;
    let shown: Vec<_> = report.found.iter().map(|it| it.details["images"].as_str()).collect();
    assert!(shown.iter().any(|it| it.starts_with("ephemeral:debug=")), "{shown:?}");
    if cluster.is_real() {
        // The digest that runs, where the kubelet says which.
        let running = shown.iter().find(|it| it.starts_with("main=")).unwrap();
        let digest = running.split_once('@').unwrap().1;
        let report = locate(cluster, &kube::image(digest)).await;
        assert!(pods(&report).contains(&two), "{report:#?}");
    }
}

async fn what_is_not_there(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let report = locate(cluster, &kube::image("example.com/absent:1")).await;
    assert_eq!((report.status, report.found.len()), (Status::Already, 0), "{report:#?}");
    assert!(remaining(&report).contains("no pod that has not ended was found"));
    for (target, kind) in [
        (kube::pod(&namespace, "absent"), Kind::NotFound),
        (kube::workload("Deployment", &namespace, "absent"), Kind::NotFound),
        (kube::account(&namespace, "absent"), Kind::NotFound),
        (kube::workload("Gadget", &namespace, "absent"), Kind::Invalid),
    ] {
        assert_eq!(locate(cluster, &target).await.error, Some(kind), "{target}");
    }
}

/// 410 on a later page, with and without a token to go on with; throttling and a reset on the way.
async fn a_list_that_expires_goes_on(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let image = format!("example.com/{}:1", cluster.name("app"));
    for at in 0..1_100 {
        let pod = json!({"metadata": {"labels": {"at": at.to_string()}}, "spec": {"containers": [{"name": "main", "image": image}]}});
        cluster.create("v1/pods", &namespace, &format!("many-{at}"), &pod);
    }
    let token = cluster.token(&declared::<K8sLocate>());
    let proxy = match &cluster.server {
        Server::Simulator(simulator) => Proxy::start(&simulator.url(), Dialect::Kubernetes),
        Server::Real(real) => Proxy::start_tls(real.server(), real.ca_pem(), Dialect::Kubernetes),
    }
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig(&proxy.url(), &token)).unwrap();
    let target = kube::image(&image);
    let run = || async {
        let ward = cluster.ward_at::<K8sLocate>(
            Kube::with_kubeconfig(&path, None),
            Arc::new(Memory::default()),
            Guard::default(),
        );
        ward.run(Mode::Plan, &target, Value::Null).await
    };
    let expired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&expired);
    proxy.rewrite(move |call| {
        let later = call.path == "/api/v1/pods" && call.query.contains("continue=");
        (later && count.fetch_add(1, Ordering::SeqCst) == 0)
            .then(|| kubernetes_error(410, "Expired", "too old", json!({})))
    });
    let report = run().await;
    assert_eq!(pods(&report).len(), 1_100, "{:?}", report.reason);
    assert_eq!(report.found.len(), 1_100, "none is found twice");
    assert!(expired.load(Ordering::SeqCst) > 1);

    if let Server::Simulator(simulator) = &cluster.server {
        // The server's own token goes on from where the list is.
        simulator.clear_log();
        let proxy = Proxy::start(&simulator.url(), Dialect::Kubernetes).unwrap();
        std::fs::write(&path, kubeconfig(&proxy.url(), &token)).unwrap();
        let expired = AtomicUsize::new(0);
        proxy.rewrite(move |call| {
            let later = call.path == "/api/v1/pods" && call.query.contains("continue=");
            let first = later && expired.fetch_add(1, Ordering::SeqCst) == 0;
            let next = call.query.split('&').find_map(|it| it.strip_prefix("continue=")).unwrap_or_default().to_owned();
            first.then(|| kubernetes_expired(&next))
        });
        let report = run().await;
        assert_eq!((pods(&report).len(), report.found.len()), (1_100, 1_100));
        let pages = simulator.log().iter().filter(|call| call.path == "/api/v1/pods").count();
        assert_eq!(pages, 3, "it did not begin anew");
    }
    proxy.clear();
    for fault in [Fault::Throttle, Fault::Reset, Fault::Status(503)] {
        proxy.clear();
        proxy.fault_on(|call| call.query.contains("continue="), 2, 1, fault);
        std::fs::write(&path, kubeconfig(&proxy.url(), &token)).unwrap();
        assert_eq!(pods(&run().await).len(), 1_100, "{fault:?}");
    }
}

/// Ten thousand pods on two hundred nodes, one image in a hundredth of them.
async fn ten_thousand_pods(cluster: &Cluster) {
    let Server::Simulator(simulator) = &cluster.server else { return };
    for at in 0..200 {
        let id = format!("gce://acme-prod/europe-west1-b/big-{at}");
        simulator.add_node(&format!("big-{at}"), json!({"spec": {"providerID": id}}));
    }
    for at in 0..10_000 {
        let image = if at % 100 == 0 { "example.com/shop/web:1.14.2" } else { "example.com/shop/other:1" };
        let pod = json!({"spec": {"serviceAccountName": "web", "containers": [{"name": "main", "image": image}]}});
        simulator.add_pod("big", &format!("p-{at}"), &format!("big-{}", at % 200), pod);
    }
    simulator.clear_log();
    let started = Instant::now();
    let report = locate(cluster, &kube::image("example.com/shop/web")).await;
    assert_eq!(report.found.len(), 100, "{:?}", report.reason);
    assert!(report.found.iter().all(|it| it.details["instance"].starts_with("gce://acme-prod/")));
    let calls = simulator.log();
    let lists = calls.iter().filter(|call| call.path == "/api/v1/pods").count();
    assert!(
        calls.iter().all(|call| call.path != "/api/v1/pods" || call.query.contains("limit=500")),
        "every list is paged"
    );
    assert!((20..=26).contains(&lists), "{lists} pages after {:?}", started.elapsed());
    let report =
        cluster.ward::<K8sLocate>().run(Mode::Plan, &kube::image("example.com/shop/web"), json!({"most": 10})).await;
    assert_eq!(report.found.len(), 10);
    assert!(remaining(&report).contains("90 further pods were found"), "{report:#?}");
}

async fn rights(cluster: &Cluster) {
    let of = |kind: &'static str, part: &'static str| {
        move |cluster: &Cluster| {
            let namespace = cluster.namespace(&json!({}));
            let (name, pods) = cluster.workload(kind, &namespace, &json!({}));
            let target = match part {
                "pod" => kube::pod(&namespace, &pods[0]),
                "ReplicaSet" => {
                    let sets = cluster.list("apps/v1/replicasets", &namespace);
                    kube::workload("rs", &namespace, sets[0]["metadata"]["name"].as_str().unwrap())
                }
                _ => kube::workload(kind, &namespace, &name),
            };
            (target, Value::Null)
        }
    };
    let spread = |cluster: &Cluster| {
        let image = format!("example.com/{}:1", cluster.name("app"));
        for _ in 0..6 {
            let node = cluster.node(&json!({}));
            cluster.bare_pod(
                "default",
                &json!({"spec": {"nodeName": node, "containers": [{"name": "main", "image": image}]}}),
            );
        }
        (kube::image(&image), Value::Null)
    };
    let account = |cluster: &Cluster| {
        let namespace = cluster.namespace(&json!({}));
        cluster.account(&namespace, "web");
        (kube::account(&namespace, "web"), Value::Null)
    };
    least_privilege::<K8sLocate>(
        cluster,
        &[
            (&[], &of("Deployment", "")),
            (&["get pods", "get namespaces"], &of("Deployment", "pod")),
            (&["list nodes"], &spread),
            (&["get serviceaccounts"], &account),
            (&["get replicasets"], &of("Deployment", "ReplicaSet")),
            (&["get statefulsets"], &of("StatefulSet", "")),
            (&["get daemonsets"], &of("DaemonSet", "")),
            (&["get jobs"], &of("Job", "")),
            (&["get cronjobs", "list jobs"], &of("CronJob", "")),
        ],
    )
    .await;
}
