//! What is this responder's own, and the contract, on the range's simulator and on the real kube-apiserver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod engines;
mod evaluator;
mod promises;

use k8s_isolate_pod::K8sIsolatePod;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Report, Status, Target};
use stanch_suite::kube::{self, CUSTOM, Cluster, KubeBed, remaining};

use evaluator::{Port, allowed_flows};
use promises::Pods;

const POLICIES: &str = "networking.k8s.io/v1/networkpolicies";
const PORTS: &[Port] = &[("TCP", 80), ("TCP", 443), ("UDP", 53), ("TCP", 3333)];
const ISOLATE: &str = "stanch.dev/isolate";

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(cluster) = Cluster::real("k8s-isolate-pod") {
        all(&cluster).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    let (group, version, plural, kind) = CUSTOM;
    cluster.serve(group, version, plural, kind, true);
    nothing_enforces(cluster).await;
    cluster.agent("calico-node", &[]);
    in_the_middle_of_other_policies(cluster).await;
    of_every_owner(cluster).await;
    the_policy_is_there_before_the_label(cluster).await;
    the_host_s_network_and_fargate(cluster).await;
    what_gitops_keeps_is_reported(cluster).await;
    two_records_share_one_policy(cluster).await;
    exceptions_have_a_policy_of_their_own(cluster).await;
    out_of_service(cluster).await;
    ourselves_never(cluster).await;
    promises::contract(cluster);
    engines::all(cluster).await;
    promises::rights(cluster).await;
}

pub(crate) async fn isolate(cluster: &Cluster, target: &Target, options: Value) -> Report {
    cluster.ward::<K8sIsolatePod>().run(Mode::Apply, target, options).await
}

fn policy(cluster: &Cluster, namespace: &str, name: &str, spec: &Value) {
    cluster.create(POLICIES, namespace, name, &json!({"spec": spec}));
}

/// The states that matter of a namespace: specs of policies, labels and annotations of pods.
fn view(cluster: &Cluster, namespace: &str) -> Value {
    let specs = |it: &Value| json!([it["metadata"]["name"], it["spec"]]);
    let labels = |it: &Value| json!([it["metadata"]["name"], it["metadata"]["labels"], it["metadata"]["annotations"]]);
    let policies: Vec<_> = cluster.list(POLICIES, namespace).iter().map(specs).collect();
    let pods: Vec<_> = cluster.list("v1/pods", namespace).iter().map(labels).collect();
    json!({"policies": policies, "pods": pods})
}

async fn nothing_enforces(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let pod = kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({})));
    let report = isolate(cluster, &pod, Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("nothing that is known to enforce"));
    assert!(cluster.list(POLICIES, &namespace).is_empty());
    let report = isolate(cluster, &pod, json!({"assume_enforced": true})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
}

/// An allow-all policy, one that selects the pod by label, a user's of any name, one for others only.
async fn in_the_middle_of_other_policies(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let elsewhere = cluster.namespace(&json!({}));
    cluster.bare_pod(&elsewhere, &json!({}));
    policy(
        cluster,
        &namespace,
        "allow-all",
        &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}),
    );
    policy(
        cluster,
        &namespace,
        "by-label",
        &json!({"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 80}]}]}),
    );
    policy(
        cluster,
        &namespace,
        "zz-user.s-own",
        &json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]}),
    );
    policy(
        cluster,
        &namespace,
        "for-others",
        &json!({"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Ingress"], "ingress": [{}]}),
    );
    let (target, pod) = (kube::pod(&namespace, &pods[0]), &pods[0]);
    let before = view(cluster, &namespace);
    assert!(
        !allowed_flows(cluster, &namespace, pod, PORTS).is_empty(),
        "the evaluator sees flows where there are some"
    );
    let sibling = allowed_flows(cluster, &namespace, &pods[1], PORTS).len();

    let ward = cluster.ward::<K8sIsolatePod>();
    let report = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(allowed_flows(cluster, &namespace, pod, PORTS), Vec::<String>::new());
    let flows = allowed_flows(cluster, &namespace, &pods[1], PORTS);
    // The sibling loses what it had with the isolated pod, and nothing else.
    assert_eq!(flows.len(), sibling - 2 * PORTS.len() + lost_before(&flows, pod), "{flows:#?}");
    let untouched = |policy: &Value| {
        policy["metadata"]["name"] == "for-others" && policy["spec"]["podSelector"].get("matchExpressions").is_none()
    };
    assert!(cluster.list(POLICIES, &namespace).iter().any(untouched));
    let left = remaining(&report);
    assert!(left.contains("flows that were open before") && left.contains("own node"), "{left}");

    // A policy that comes later is found by a repeat.
    policy(cluster, &namespace, "later", &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}));
    assert!(!allowed_flows(cluster, &namespace, pod, PORTS).is_empty());
    let again = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!((again.status, &again.record), (Status::Applied, &report.record), "{again:#?}");
    assert!(allowed_flows(cluster, &namespace, pod, PORTS).is_empty());
    // One that is weakened by hand is put right.
    let ours = cluster
        .list(POLICIES, &namespace)
        .into_iter()
        .find(|it| it["metadata"]["name"].as_str().unwrap().starts_with("stanch-"))
        .unwrap();
    let ours = ours["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.edit(POLICIES, &namespace, &ours, &json!({"spec": {"ingress": [{}], "egress": [{}]}}));
    assert!(!allowed_flows(cluster, &namespace, pod, PORTS).is_empty());
    let again = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!(again.status, Status::Applied, "{again:#?}");
    assert!(allowed_flows(cluster, &namespace, pod, PORTS).is_empty());

    cluster.delete(POLICIES, &namespace, "later");
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert!(matches!(back.status, Status::Reverted | Status::Partial), "{back:#?}");
    assert_eq!(view(cluster, &namespace), before);
}

/// How many of the flows that the sibling still has are with the isolated pod.
fn lost_before(flows: &[String], pod: &str) -> usize {
    assert!(!flows.iter().any(|flow| flow.contains(&format!("{pod}\""))), "{flows:#?}");
    0
}

async fn of_every_owner(cluster: &Cluster) {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "Job", "Widget", ""] {
        let namespace = cluster.namespace(&json!({}));
        let (_, pods) = cluster.workload(kind, &namespace, &json!({}));
        let target = kube::pod(&namespace, &pods[0]);
        let ward = cluster.ward::<K8sIsolatePod>();
        let report = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
        assert_eq!(report.status, Status::Applied, "{kind}: {report:#?}");
        assert_eq!(allowed_flows(cluster, &namespace, &pods[0], PORTS), Vec::<String>::new(), "{kind}");
        if let Some(sibling) = pods.get(1) {
            assert!(remaining(&report).contains(&format!("its sibling {namespace}/{sibling}")), "{report:#?}");
        }
        // Its owner takes the label for nothing of its own: the pod is still its pod.
        let owners = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"]["ownerReferences"].clone();
        assert_eq!(owners.is_null(), kind.is_empty());
        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{kind}: {back:#?}");
        assert!(cluster.list(POLICIES, &namespace).is_empty());
    }
}

async fn the_policy_is_there_before_the_label(cluster: &Cluster) {
    use stanch_range::proxy::Fault;
    use stanch_suite::contract::Bed as _;
    let bed = KubeBed::new(cluster, &Pods);
    let namespace = cluster.namespace(&json!({}));
    let target = kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({})));
    // Whatever would label the pod is refused: then the policy has to be there already.
    bed.proxy().fault_on(|call| call.method == "PATCH" && call.path.contains("/pods/"), 1, 1_000, Fault::Status(403));
    let ward = cluster.ward_at::<K8sIsolatePod>(bed.cloud(), bed.empty_ledger(), stanch_core::Guard::default());
    let report = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!((report.status, report.error), (Status::Partial, Some(Kind::Denied)), "{report:#?}");
    assert_eq!(cluster.list(POLICIES, &namespace).len(), 1);
    assert!(cluster.list("v1/pods", &namespace)[0]["metadata"]["labels"].get(ISOLATE).is_none());

    // A lost race is looked at again.
    bed.proxy().clear();
    bed.proxy().fault_on(|call| call.method == "PATCH", 1, 1, Fault::Status(409));
    let again = ward.run(Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!(again.status, Status::Applied, "{again:#?}");
}

async fn the_host_s_network_and_fargate(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let host = cluster.bare_pod(&namespace, &json!({"spec": {"hostNetwork": true}}));
    let fargate =
        cluster.bare_pod(&namespace, &json!({"metadata": {"labels": {"eks.amazonaws.com/fargate-profile": "p"}}}));
    let virtual_node = cluster.bare_pod(&namespace, &json!({"spec": {"nodeName": "fargate-ip-10-0-0-1"}}));
    for (pod, says) in [(&host, "node's network"), (&fargate, "Fargate"), (&virtual_node, "Fargate")] {
        let report = isolate(cluster, &kube::pod(&namespace, pod), Value::Null).await;
        assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
        assert!(report.reason.as_ref().unwrap().contains(says), "{report:#?}");
    }
    assert!(cluster.list(POLICIES, &namespace).is_empty());
    // Of several, those that can be are isolated, and the others are named.
    let image = format!("example.com/{}:1", cluster.name("app"));
    let containers = json!([{"name": "main", "image": image}]);
    cluster.bare_pod(&namespace, &json!({"spec": {"hostNetwork": true, "containers": containers}}));
    let plain = cluster.bare_pod(&namespace, &json!({"spec": {"containers": containers}}));
    let report = isolate(cluster, &kube::image(&image), json!({"engine": "kubernetes"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("is not isolated: it uses its node's network"), "{report:#?}");
    assert_eq!(allowed_flows(cluster, &namespace, &plain, PORTS), Vec::<String>::new());
}

async fn what_gitops_keeps_is_reported(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let pod = kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({})));
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]});
    let kept = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}, "spec": spec});
    cluster.create(POLICIES, &namespace, "kept", &kept);
    policy(cluster, &namespace, "plain", &spec);
    let report = isolate(cluster, &pod, json!({"engine": "kubernetes"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("kept allows traffic of the pod, and Argo CD keeps it"), "{report:#?}");
    let excluded = |name: &str| {
        cluster.get(POLICIES, &namespace, name).unwrap()["spec"]["podSelector"].get("matchExpressions").is_some()
    };
    assert!(!excluded("kept") && excluded("plain"));
    // Where the others are to be left, they are named.
    let namespace = cluster.namespace(&json!({}));
    let pod = kube::pod(&namespace, &cluster.bare_pod(&namespace, &json!({})));
    policy(cluster, &namespace, "plain", &spec);
    let report = isolate(cluster, &pod, json!({"engine": "kubernetes", "others": "leave"})).await;
    assert!(remaining(&report).contains("others: leave keeps it in force"), "{report:#?}");
}

/// A pod and its workload, two incidents, one policy: it goes with the last.
async fn two_records_share_one_policy(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload("StatefulSet", &namespace, &json!({}));
    policy(cluster, &namespace, "allow-all", &json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}));
    let before = view(cluster, &namespace);
    let ward = cluster.ward::<K8sIsolatePod>();
    let (one, whole) = (kube::pod(&namespace, &pods[0]), kube::workload("StatefulSet", &namespace, &name));
    let options = json!({"engine": "kubernetes"});
    assert_eq!(ward.run_for("inc-1", Mode::Apply, &one, options.clone()).await.status, Status::Applied);
    let report = ward.run_for("inc-2", Mode::Apply, &whole, options.clone()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    for pod in &pods {
        assert_eq!(allowed_flows(cluster, &namespace, pod, PORTS), Vec::<String>::new());
    }
    let back = ward.run_for("inc-1", Mode::Revert, &one, Value::Null).await;
    assert!(matches!(back.status, Status::Reverted | Status::Partial), "{back:#?}");
    for pod in &pods {
        assert_eq!(allowed_flows(cluster, &namespace, pod, PORTS), Vec::<String>::new(), "the other incident holds it");
    }
    let back = ward.run_for("inc-2", Mode::Revert, &whole, Value::Null).await;
    assert!(matches!(back.status, Status::Reverted | Status::Partial), "{back:#?}");
    assert_eq!(view(cluster, &namespace), before);
}

async fn exceptions_have_a_policy_of_their_own(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let pod = cluster.bare_pod(&namespace, &json!({}));
    let target = kube::pod(&namespace, &pod);
    for bad in ["0.0.0.0/0", "10.0.0.0", "10.0.0.0/33", "$(x)/8"] {
        let report = isolate(cluster, &target, json!({"allow_cidr": [bad]})).await;
        assert_eq!(report.error, Some(Kind::Invalid), "{bad}: {report:#?}");
        assert!(report.reason.unwrap().contains("options.allow_cidr[0]"));
    }
    let options = json!({"engine": "kubernetes", "allow_cidr": ["198.51.100.0/24"], "allow_dns": true});
    let ward = cluster.ward::<K8sIsolatePod>();
    let report = ward.run(Mode::Apply, &target, options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let flows = allowed_flows(cluster, &namespace, &pod, PORTS);
    assert!(flows.len() == 2 * PORTS.len() && flows.iter().all(|flow| flow.contains("Outside")), "{flows:#?}");
    assert!(remaining(&report).contains("DNS stays open"), "{report:#?}");
    // Other rules on the same pod: the first have to go.
    let report = ward.run_for("inc-2", Mode::Apply, &target, json!({"engine": "kubernetes"})).await;
    assert_eq!(report.error, Some(Kind::Conflict), "{report:#?}");
}

async fn out_of_service(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (name, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let service = json!({"spec": {"selector": {"app": name}, "ports": [{"port": 80}]}});
    cluster.create("v1/services", &namespace, "web", &service);
    let target = kube::pod(&namespace, &pods[0]);
    let before = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"]["labels"].clone();
    let ward = cluster.ward::<K8sIsolatePod>();
    let options = json!({"engine": "kubernetes", "release_from_service": true});
    let report = ward.run(Mode::Apply, &target, options.clone()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let seen = cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"].clone();
    assert!(seen["labels"].get("app").is_none() && seen["labels"].get(ISOLATE).is_some(), "{seen:#}");
    let kept: Value = serde_json::from_str(seen["annotations"]["stanch.dev/released"].as_str().unwrap()).unwrap();
    assert_eq!(kept["app"], name.as_str());
    assert_eq!(allowed_flows(cluster, &namespace, &pods[0], PORTS), Vec::<String>::new());
    assert!(remaining(&report).contains("its Deployment starts a successor"), "{report:#?}");
    if cluster.is_real() {
        // The controller lets go of it and makes another.
        cluster.until("a successor runs", || cluster.list("v1/pods", &namespace).len() == 3);
        cluster.until("it is nobody's", || {
            cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"].get("ownerReferences").is_none()
        });
    }
    let again = ward.run(Mode::Apply, &target, options).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
    if !cluster.is_real() {
        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
        assert_eq!(cluster.get("v1/pods", &namespace, &pods[0]).unwrap()["metadata"]["labels"], before);
    }
}

async fn ourselves_never(cluster: &Cluster) {
    let image = format!("example.com/{}:1", cluster.name("app"));
    let (ward, namespace, pod) = cluster.ward_inside::<K8sIsolatePod>(&image);
    let options = json!({"engine": "kubernetes"});
    let report = ward.run(Mode::Apply, &kube::pod(&namespace, &pod), options.clone()).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(report.reason.as_ref().unwrap().contains("Stanch itself runs in"), "{report:#?}");
    let report = ward.run(Mode::Plan, &kube::node("node-1"), options.clone()).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    // Beside others of one image, ours is spared.
    let other = cluster.bare_pod("default", &json!({"spec": {"containers": [{"name": "main", "image": image}]}}));
    let report = ward.run(Mode::Apply, &kube::image(&image), options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("Stanch itself runs in it"), "{report:#?}");
    assert!(
        cluster.get("v1/pods", &namespace, &pod).unwrap().pointer("/metadata/labels/stanch.dev~1isolate").is_none()
    );
    assert!(cluster.get("v1/pods", "default", &other).unwrap()["metadata"]["labels"].get(ISOLATE).is_some());
}
