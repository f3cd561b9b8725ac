//! What is this responder's own, and the contract, on the range's simulator and on the real kube-apiserver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;
mod weakened;

use k8s_enforce_policy::K8sEnforcePolicy;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status, Target};
use stanch_suite::{
    kube::{self, Cluster, Server, remaining},
    skipped,
};

const VALIDATING: &str = "admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const POLICIES: &str = "networking.k8s.io/v1/networkpolicies";
const KYVERNO: &str = "kyverno.io/v1/clusterpolicies";

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(cluster) = Cluster::real("k8s-enforce-policy") {
        all(&cluster).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    exec_is_denied_and_allowed_again(cluster).await;
    names_cannot_leave_their_quotes(cluster).await;
    pods_are_restricted_by_label(cluster).await;
    pods_are_made_to_comply(cluster).await;
    nothing_enforces(cluster).await;
    cluster.agent("calico-node", &[]);
    no_traffic_by_default(cluster).await;
    a_foreign_object_is_left_alone(cluster).await;
    weakened::builtin(cluster).await;
    weakened::other_options(cluster).await;
    promises::contract(cluster);
    with_kyverno(cluster).await;
    promises::rights(cluster).await;
}

async fn apply(cluster: &Cluster, target: &Target, options: Value) -> Report {
    cluster.ward::<K8sEnforcePolicy>().run(Mode::Apply, target, options).await
}

/// What the server answers to whoever would get into a pod: without a kubelet it is no success, but it is not 403.
fn exec(cluster: &Cluster, token: &str, method: &str, namespace: &str, pod: &str, how: &str) -> u16 {
    let Server::Real(real) = &cluster.server else { return 0 };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/{how}");
    real.request_as(token, method, &path, "application/json", None).expect("an answer").0
}

async fn exec_is_denied_and_allowed_again(cluster: &Cluster) {
    let (namespace, open) = (cluster.namespace(&json!({})), cluster.namespace(&json!({})));
    let (pod, other) = (cluster.bare_pod(&namespace, &json!({})), cluster.bare_pod(&open, &json!({})));
    let verbs = [
        ("create", "", "pods/exec"),
        ("get", "", "pods/exec"),
        ("create", "", "pods/attach"),
        ("create", "", "pods/portforward"),
    ];
    let attacker = cluster.token(&verbs);
    let ways = [
        ("POST", "exec?command=sh&stdout=true"),
        ("GET", "exec?command=sh&stdout=true"),
        ("POST", "attach?stdout=true"),
        ("POST", "portforward"),
    ];
    if cluster.is_real() {
        for (method, how) in ways {
            assert_ne!(
                exec(cluster, &attacker, method, &namespace, &pod, how),
                403,
                "{method} {how}: it was possible before"
            );
        }
    }
    let ward = cluster.ward::<K8sEnforcePolicy>();
    let target = kube::namespace(&namespace);
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 2), "{report:#?}");
    assert!(remaining(&report).contains("sessions that are open go on"), "{report:#?}");
    if cluster.is_real() {
        for (method, how) in ways {
            cluster.until(&format!("{method} {how} is denied"), || {
                exec(cluster, &attacker, method, &namespace, &pod, how) == 403
            });
            assert_ne!(exec(cluster, &attacker, method, &open, &other, how), 403, "another namespace is not touched");
        }
        // An ephemeral container is another way in.
        let body = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "example.com/debug:1"}]}});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/ephemeralcontainers");
        let (status, _) = cluster.admin("PATCH", &path, "application/strategic-merge-patch+json", Some(&body));
        assert_eq!(status, 403, "an administrator is no responder");
    }
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(cluster.get(VALIDATING, "", &format!("stanch-deny-exec-{namespace}")).is_none());
    if cluster.is_real() {
        for (method, how) in ways {
            cluster.until(&format!("{method} {how} is allowed"), || {
                exec(cluster, &attacker, method, &namespace, &pod, how) != 403
            });
        }
        // Whoever is let in by name gets in.
        let user = claim_user(&attacker);
        let report = apply(cluster, &target, json!({"allow_users": [user]})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        let stranger = cluster.token(&verbs);
        cluster.until("a stranger is denied", || exec(cluster, &stranger, "POST", &namespace, &pod, ways[0].1) == 403);
        assert_ne!(exec(cluster, &attacker, "POST", &namespace, &pod, ways[0].1), 403);
    }
}

fn claim_user(token: &str) -> String {
    stanch_suite::kube::claim(token, "/sub")
}

async fn names_cannot_leave_their_quotes(cluster: &Cluster) {
    let target = kube::namespace(&cluster.namespace(&json!({})));
    for options in [
        json!({"allow_groups": ["a'] || true || ['"]}),
        json!({"allow_groups": ["a\" || true"]}),
        json!({"allow_users": ["a\\"]}),
        json!({"allow_users": [""]}),
        json!({"policy": "allow-exec"}),
    ] {
        let report = apply(cluster, &target, options.clone()).await;
        assert_eq!(report.error, Some(Kind::Invalid), "{options}: {report:#?}");
    }
}

async fn pods_are_restricted_by_label(cluster: &Cluster) {
    let enforce = |namespace: &str| {
        cluster.get("v1/namespaces", "", namespace).unwrap()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
            .clone()
    };
    let options = json!({"policy": "restrict-pods"});
    let empty = cluster.namespace(&json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    let ward = cluster.ward::<K8sEnforcePolicy>();
    let report = ward.run(Mode::Apply, &kube::namespace(&empty), options.clone()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(enforce(&empty), "restricted");
    if cluster.is_real() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]}});
        let path = format!("/api/v1/namespaces/{empty}/pods");
        cluster.until("a plain pod is refused", || {
            cluster.admin("POST", &format!("{path}?dryRun=All"), "application/json", Some(&pod)).0 == 403
        });
    }
    assert_eq!(ward.run(Mode::Revert, &kube::namespace(&empty), Value::Null).await.status, Status::Reverted);
    assert_eq!(enforce(&empty), "baseline");

    // Where pods run that would be refused, the server says so, and nothing is written. The simulator knows no standard.
    if cluster.is_real() {
        let full = cluster.namespace(&json!({}));
        let node = cluster.node(&json!({}));
        cluster.bare_pod(&full, &json!({"spec": {"nodeName": node}}));
        let report = apply(cluster, &kube::namespace(&full), options).await;
        assert_eq!(report.status, Status::Refused, "{report:#?}");
        let reason = report.reason.unwrap();
        assert!(reason.contains("set force") && reason.contains("allowPrivilegeEscalation"), "{reason}");
        assert!(enforce(&full).is_null());
        let forced = json!({"policy": "restrict-pods", "force": true});
        cluster.edit("v1/nodes", "", &node, &json!({"spec": {"unschedulable": true}}));
        let report = apply(cluster, &kube::namespace(&full), forced.clone()).await;
        assert_eq!(report.status, Status::Refused, "{report:#?}");
        assert!(report.reason.unwrap().contains("is being drained"));
        cluster.edit("v1/nodes", "", &node, &json!({"spec": {"unschedulable": null}}));
        let report = apply(cluster, &kube::namespace(&full), forced).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        assert!(remaining(&report).contains("refused at its next start"), "{report:#?}");
    }
}

async fn pods_are_made_to_comply(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let target = kube::namespace(&namespace);
    let ward = cluster.ward::<K8sEnforcePolicy>();
    let report = ward.run(Mode::Apply, &target, json!({"policy": "restrict-pods", "how": "mutate"})).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 2), "{report:#?}");
    if cluster.is_real() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": false, "initContainers": [{"name": "init", "image": "example.com/app:1"}],
            "containers": [{"name": "main", "image": "example.com/app:1", "securityContext": {"privileged": true}}]}});
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let made = || cluster.admin("POST", &path, "application/json", Some(&pod)).1;
        cluster.until("a pod is made to comply", || made()["spec"]["securityContext"]["runAsNonRoot"] == true);
        let made = made();
        for list in ["containers", "initContainers"] {
            let context = &made["spec"][list][0]["securityContext"];
            assert_eq!(
                (&context["privileged"], &context["capabilities"]["drop"]),
                (&json!(false), &json!(["ALL"])),
                "{made:#}"
            );
        }
        // The standard itself agrees.
        let strict = cluster.namespace(&json!({"pod-security.kubernetes.io/enforce": "restricted"}));
        let mut copy = made;
        copy["metadata"] = json!({"name": "p"});
        copy["spec"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| ["containers", "initContainers", "securityContext"].contains(&key.as_str()));
        let path = format!("/api/v1/namespaces/{strict}/pods?dryRun=All");
        cluster.until("the namespace takes pods", || cluster.get("v1/serviceaccounts", &strict, "default").is_some());
        let (status, answer) = cluster.admin("POST", &path, "application/json", Some(&copy));
        assert_eq!(status, 201, "{answer:#}");
    }
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(cluster.list("admissionregistration.k8s.io/v1/mutatingadmissionpolicies", "").is_empty());
}

async fn nothing_enforces(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let target = kube::namespace(&namespace);
    let report = apply(cluster, &target, json!({"policy": "default-deny"})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("nothing that is known to enforce"));
    assert!(cluster.list(POLICIES, &namespace).is_empty());
    let report = apply(cluster, &target, json!({"policy": "default-deny", "assume_enforced": true})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(cluster.list(POLICIES, &namespace).len(), 1);
}

async fn no_traffic_by_default(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    cluster.create(
        POLICIES,
        &namespace,
        "web",
        &json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}}),
    );
    let target = kube::namespace(&namespace);
    let ward = cluster.ward::<K8sEnforcePolicy>();
    let report = ward.run(Mode::Apply, &target, json!({"policy": "default-deny"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let spec = cluster.get(POLICIES, &namespace, "stanch-default-deny").unwrap()["spec"].clone();
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(
        spec.get("ingress").is_none_or(|it| it == &json!([])) && spec.get("egress").is_none_or(|it| it == &json!([])),
        "{spec}"
    );
    assert!(remaining(&report).contains("go on allowing what they allow: web"), "{report:#?}");
    assert_eq!(ward.run(Mode::Revert, &target, Value::Null).await.status, Status::Reverted);
    assert!(cluster.get(POLICIES, &namespace, "stanch-default-deny").is_none());
    let report = apply(cluster, &target, json!({"policy": "default-deny", "new_namespaces": true})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("no built-in admission policy can create objects"));
}

async fn a_foreign_object_is_left_alone(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let theirs = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}});
    cluster.create(POLICIES, &namespace, "stanch-default-deny", &theirs);
    let report = apply(cluster, &kube::namespace(&namespace), json!({"policy": "default-deny"})).await;
    assert_eq!(report.error, Some(Kind::Conflict), "{report:#?}");
    assert_eq!(cluster.get(POLICIES, &namespace, "stanch-default-deny").unwrap()["spec"]["ingress"], json!([{}]));
}

/// With Kyverno's own definition of its policies, so that the server checks ours strictly.
fn serve_kyverno(cluster: &Cluster) -> bool {
    if !cluster.is_real() {
        cluster.serve("kyverno.io", "v1", "clusterpolicies", "ClusterPolicy", false);
        return true;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/crds/kyverno.io_clusterpolicies.yaml");
    let Ok(text) = std::fs::read_to_string(path) else {
        skipped("Kyverno's policies against its definition", "../shared/crds is not there");
        return false;
    };
    let definition: Value = yaml_serde::from_str(&text).unwrap();
    let name = definition["metadata"]["name"].as_str().unwrap();
    cluster.create("apiextensions.k8s.io/v1/customresourcedefinitions", "", name, &definition);
    cluster.until("cluster policies are served", || {
        // Discovery follows a moment later.
        let (status, listed) = cluster.admin("GET", "/apis/kyverno.io/v1", "", None);
        status == 200
            && cluster.admin("GET", "/apis/kyverno.io", "", None).0 == 200
            && listed.to_string().contains("clusterpolicies")
            && cluster.admin("GET", "/apis/kyverno.io/v1/clusterpolicies", "", None).0 == 200
    });
    true
}

async fn with_kyverno(cluster: &Cluster) {
    let target = kube::namespace(&cluster.namespace(&json!({})));
    let report = apply(cluster, &target, json!({"engine": "kyverno"})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    if !serve_kyverno(cluster) {
        return;
    }
    for options in [
        json!({"engine": "kyverno", "allow_users": ["jane@example.com"]}),
        json!({"policy": "default-deny", "new_namespaces": true}),
    ] {
        let namespace = cluster.namespace(&json!({}));
        let target = kube::namespace(&namespace);
        let ward = cluster.ward::<K8sEnforcePolicy>();
        let report = ward.run(Mode::Apply, &target, options.clone()).await;
        assert_eq!(report.status, Status::Applied, "{options}: {report:#?}");
        let found = cluster.list(KYVERNO, "");
        let [policy] = found.as_slice() else { panic!("{found:#?}") };
        assert!(policy["metadata"]["name"].as_str().unwrap().ends_with(&namespace), "{policy:#}");
        assert_eq!(ward.run(Mode::Apply, &target, options.clone()).await.status, Status::Already);
        assert_eq!(ward.run(Mode::Revert, &target, Value::Null).await.status, Status::Reverted);
        assert!(cluster.list(KYVERNO, "").is_empty());
    }
    weakened::kyverno(cluster).await;
}
