//! The other engines, and what stands above a `NetworkPolicy`.

use std::{path::PathBuf, process::Command};

use k8s_isolate_pod::K8sIsolatePod;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Status, Target};
use stanch_suite::{
    kube::{self, Cluster, remaining},
    skipped,
};

use crate::isolate;

const ADMIN: &str = "policy.networking.k8s.io";
/// Engine, group, version, resource, kind, whether it is in a namespace.
const ENGINES: [(&str, &str, &str, &str, &str, bool); 4] = [
    ("admin", ADMIN, "v1alpha1", "adminnetworkpolicies", "AdminNetworkPolicy", false),
    ("cilium", "cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", true),
    ("calico", "projectcalico.org", "v3", "globalnetworkpolicies", "GlobalNetworkPolicy", false),
    // Without its API server: what it stores.
    ("calico-storage", "crd.projectcalico.org", "v1", "globalnetworkpolicies", "GlobalNetworkPolicy", false),
];

pub(crate) async fn all(cluster: &Cluster) {
    an_allow_of_an_administrator_is_a_failure(cluster).await;
    the_aws_cni_leaves_bare_pods_alone(cluster).await;
    each_engine_writes_its_own_policy(cluster).await;
}

/// The label's value for an isolation without exceptions, as a person can find it out: from a plan.
pub(crate) fn id(engine: &str) -> String {
    // The rules are the name: engine, DNS, networks.
    let text = json!([engine, false, []]).to_string();
    let digest = Command::new("sha256sum").stdin(file(&text)).output().expect("sha256sum");
    String::from_utf8(digest.stdout).unwrap()[..8].to_owned()
}

fn file(text: &str) -> std::fs::File {
    use std::io::{Seek as _, Write as _};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// Serves what is not served yet.
pub(crate) fn serve_all(cluster: &Cluster) {
    serve(cluster, ADMIN, "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", false);
    for (_, group, version, plural, kind, namespaced) in ENGINES {
        serve(cluster, group, version, plural, kind, namespaced);
    }
}

/// Serves the policies of an engine and not those that go before them; the option that asks for it.
fn only(cluster: &Cluster, engine: &str) -> Value {
    let (_, group, version, plural, kind, namespaced) = ENGINES.into_iter().find(|it| it.0 == engine).unwrap();
    if engine == "calico-storage" && is_served(cluster, "projectcalico.org", "v3", plural) {
        cluster.unserve("projectcalico.org", plural);
    }
    serve(cluster, group, version, plural, kind, namespaced);
    json!({"engine": engine.trim_end_matches("-storage")})
}

fn is_served(cluster: &Cluster, group: &str, version: &str, plural: &str) -> bool {
    match &cluster.server {
        stanch_suite::kube::Server::Simulator(simulator) => simulator.is_served(&format!("{plural}.{group}")),
        stanch_suite::kube::Server::Real(_) => {
            cluster.admin("GET", &format!("/apis/{group}/{version}/{plural}"), "", None).0 == 200
        }
    }
}

fn serve(cluster: &Cluster, group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) {
    if !is_served(cluster, group, version, plural) {
        cluster.serve(group, version, plural, kind, namespaced);
    }
}

fn bare(cluster: &Cluster) -> (String, String) {
    let namespace = cluster.namespace(&json!({"team": "shop"}));
    let pod = cluster.bare_pod(&namespace, &json!({"metadata": {"labels": {"app": "web"}}}));
    (namespace, pod)
}

/// A scene for the rights of an engine.
pub(crate) fn of(engine: &'static str) -> impl Fn(&Cluster) -> (Target, Value) {
    move |cluster| {
        let options = only(cluster, engine);
        let (namespace, pod) = bare(cluster);
        let (_, group, version, plural, ..) = ENGINES.into_iter().find(|it| it.0 == engine).unwrap();
        for policy in cluster.list(&format!("{group}/{version}/{plural}"), "") {
            let text = |field: &str| policy["metadata"][field].as_str().unwrap_or_default().to_owned();
            cluster.delete(&format!("{group}/{version}/{plural}"), &text("namespace"), &text("name"));
        }
        (kube::pod(&namespace, &pod), options)
    }
}

/// The same, where somebody has weakened the policy.
pub(crate) fn weakened(engine: &'static str) -> impl Fn(&Cluster) -> (Target, Value) {
    move |cluster| {
        let (target, options) = of(engine)(cluster);
        let (_, group, version, plural, kind, namespaced) = ENGINES.into_iter().find(|it| it.0 == engine).unwrap();
        let Target::Pod(pod) = &target else { unreachable!() };
        let namespace = if namespaced { pod.namespace.as_str() } else { "" };
        let tier = if engine.starts_with("calico") { "default." } else { "" };
        let weak = json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "spec": {"weak": true}});
        cluster.create(
            &format!("{group}/{version}/{plural}"),
            namespace,
            &format!("{tier}stanch-isolate-{}", id(engine.trim_end_matches("-storage"))),
            &weak,
        );
        (target, options)
    }
}

async fn an_allow_of_an_administrator_is_a_failure(cluster: &Cluster) {
    serve(cluster, ADMIN, "v1alpha1", "adminnetworkpolicies", "AdminNetworkPolicy", false);
    serve(cluster, ADMIN, "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", false);
    let (namespace, pod) = bare(cluster);
    let target = kube::pod(&namespace, &pod);
    let subject = json!({"pods": {"namespaceSelector": {"matchLabels": {"team": "shop"}}, "podSelector": {"matchLabels": {"app": "web"}}}});
    let rule = |action: &str| json!([{"name": "x", "action": action, "from": [{"namespaces": {}}]}]);
    for (resource, kind, action, tier) in [
        ("policy.networking.k8s.io/v1alpha1/adminnetworkpolicies", "AdminNetworkPolicy", "Allow", None),
        ("policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", "ClusterNetworkPolicy", "Accept", Some("Admin")),
    ] {
        let (api_version, _) = resource.rsplit_once('/').unwrap();
        let mut spec = json!({"priority": 10, "subject": subject, "ingress": rule(action)});
        if let Some(tier) = tier {
            spec["tier"] = tier.into();
        }
        let policy = json!({"apiVersion": api_version, "kind": kind, "spec": spec});
        cluster.create(resource, "", "monitoring", &policy);
        let report = isolate(cluster, &target, json!({"engine": "kubernetes"})).await;
        assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Conflict)), "{report:#?}");
        assert!(report.reason.as_ref().unwrap().contains("monitoring allows traffic of the pod"), "{report:#?}");
        // One that only denies, or is about others, or stands below, is in nobody's way.
        cluster.edit(resource, "", "monitoring", &json!({"spec": {"ingress": rule("Deny")}}));
        let report = isolate(cluster, &target, json!({"engine": "kubernetes"})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        cluster.edit(resource, "", "monitoring", &json!({"spec": {"ingress": rule(action), "subject": {"pods": {"podSelector": {"matchLabels": {"app": "other"}}}}}}));
        let (namespace, pod) = bare(cluster);
        let report = isolate(cluster, &kube::pod(&namespace, &pod), json!({"engine": "kubernetes"})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        cluster.delete(resource, "", "monitoring");
        // For the next round the first pod is free again.
        cluster.edit(
            "v1/pods",
            target.namespace().unwrap().as_str(),
            pod_of(&target),
            &json!({"metadata": {"labels": {crate::ISOLATE: null}}}),
        );
    }
}

fn pod_of(target: &Target) -> &str {
    let Target::Pod(pod) = target else { panic!("not a pod") };
    pod.name.as_str()
}

async fn the_aws_cni_leaves_bare_pods_alone(cluster: &Cluster) {
    cluster.no_agent("calico-node");
    cluster.agent("aws-node", &["--enable-network-policy=false"]);
    let (namespace, pod) = bare(cluster);
    let report = isolate(cluster, &kube::pod(&namespace, &pod), Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("nothing that is known to enforce"));
    cluster.no_agent("aws-node");
    cluster.agent("aws-node", &["--enable-network-policy=true"]);
    let report = isolate(cluster, &kube::pod(&namespace, &pod), Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("pod without an owner"));
    let namespace = cluster.namespace(&json!({}));
    let (_, pods) = cluster.workload("Deployment", &namespace, &json!({}));
    let target = kube::pod(&namespace, &pods[0]);
    let report = isolate(cluster, &target, json!({"release_from_service": true})).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(report.reason.unwrap().contains("would orphan it"));
    let report = isolate(cluster, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(remaining(&report).contains("pods of the same owner on the same node"), "{report:#?}");
    cluster.no_agent("aws-node");
    cluster.agent("calico-node", &[]);
}

async fn each_engine_writes_its_own_policy(cluster: &Cluster) {
    serve_all(cluster);
    for (engine, group, version, plural, kind, namespaced) in ENGINES {
        let asked = only(cluster, engine);
        let (namespace, pod) = bare(cluster);
        let target = kube::pod(&namespace, &pod);
        let resource = format!("{group}/{version}/{plural}");
        let within = if namespaced { namespace.as_str() } else { "" };
        let ward = cluster.ward::<K8sIsolatePod>();
        let report = ward.run(Mode::Apply, &target, asked).await;
        assert_eq!(report.status, Status::Applied, "{engine}: {report:#?}");
        let found = cluster.list(&resource, within);
        let [policy] = found.as_slice() else { panic!("{engine}: {found:#?}") };
        let label = cluster.get("v1/pods", &namespace, &pod).unwrap()["metadata"]["labels"][crate::ISOLATE].clone();
        assert!(policy["spec"].to_string().contains(label.as_str().unwrap()), "{engine}: {policy:#}");
        match engine {
            "cilium" => valid_for_cilium(policy),
            "calico" | "calico-storage" => documented_by_calico(policy),
            _ => assert_eq!(
                (&policy["spec"]["priority"], &policy["spec"]["egress"][0]["action"]),
                (&json!(0), &json!("Deny"))
            ),
        }
        assert_eq!(policy["kind"], kind);
        if !engine.starts_with("calico") {
            let exception =
                ward.run_for("inc-2", Mode::Plan, &target, json!({"engine": engine, "allow_dns": true})).await;
            assert_eq!(exception.error, Some(Kind::Invalid), "{exception:#?}");
        }
        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{engine}: {back:#?}");
        assert!(cluster.list(&resource, within).is_empty(), "{engine}");
    }
    // Where an agent's own policies are served, auto takes them.
    let (namespace, pod) = bare(cluster);
    let report = isolate(cluster, &kube::pod(&namespace, &pod), Value::Null).await;
    assert!(report.changes.iter().any(|it| it.what.contains("globalnetworkpolicy")), "{report:#?}");
    cluster.no_agent("calico-node");
    cluster.agent("cilium", &[]);
    let (namespace, pod) = bare(cluster);
    let report = isolate(cluster, &kube::pod(&namespace, &pod), Value::Null).await;
    assert!(report.changes.iter().any(|it| it.what.contains("ciliumnetworkpolicy")), "{report:#?}");
    // A deny of Cilium leaves no exceptions: with one, auto takes NetworkPolicy.
    let (namespace, pod) = bare(cluster);
    let report = isolate(cluster, &kube::pod(&namespace, &pod), json!({"allow_dns": true})).await;
    assert!(report.changes.iter().any(|it| it.what.contains("create networkpolicy")), "{report:#?}");
    cluster.no_agent("cilium");
    cluster.agent("calico-node", &[]);
}

/// Against the JSON schema of Cilium's own definition, as npm has it.
fn valid_for_cilium(policy: &Value) {
    let Some(folder) = npm("@kubernetes-models/cilium@4.0.0") else { return };
    let script = "import{CiliumNetworkPolicy as P}from'@kubernetes-models/cilium/cilium.io/v2';\
                  import{readFileSync}from'fs';\
                  const p=JSON.parse(readFileSync(0));for(const k of Object.keys(p.metadata))if(!['name','namespace','labels'].includes(k))delete p.metadata[k];\
                  new P(p).validate();\
                  let bad=false;try{const q=structuredClone(p);q.spec.ingressDeny=[{fromEntities:'all'}];new P(q).validate()}catch{bad=true}\
                  if(!bad)throw new Error('the schema accepts anything');";
    let path = folder.join("validate.mjs");
    std::fs::write(&path, script).unwrap();
    let done = Command::new("node").arg(&path).stdin(file(&policy.to_string())).output().unwrap();
    assert!(done.status.success(), "{policy:#}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// A package, installed once into the cache of the tests.
fn npm(package: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("STANCH_CACHE")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache")), PathBuf::from);
    let folder = cache.join("npm").join(package.replace(['/', '@'], "_"));
    if !folder.join("node_modules").is_dir() {
        std::fs::create_dir_all(&folder).unwrap();
        let done = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", package])
            .current_dir(&folder)
            .output();
        if !done.as_ref().is_ok_and(|it| it.status.success()) {
            skipped("Cilium's schema", "npm cannot install it here");
            return None;
        }
    }
    Some(folder)
}

/// The fields of Calico's documentation ("Global network policy"), and no others.
fn documented_by_calico(policy: &Value) {
    let spec = policy["spec"].as_object().unwrap();
    let known = ["tier", "order", "selector", "types", "ingress", "egress"];
    assert!(spec.keys().all(|key| known.contains(&key.as_str())), "{policy:#}");
    assert!(policy["metadata"]["name"].as_str().unwrap().starts_with("default."), "a policy is named after its tier");
    assert_eq!(spec["types"], json!(["Ingress", "Egress"]));
    for direction in ["ingress", "egress"] {
        assert_eq!(spec[direction].as_array().unwrap().last(), Some(&json!({"action": "Deny"})));
    }
    let selector = spec["selector"].as_str().unwrap();
    assert!(selector.starts_with("stanch.dev/isolate == '") && selector.ends_with('\''), "{selector}");
}
