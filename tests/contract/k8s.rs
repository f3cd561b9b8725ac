//! A node, on the range's simulator and on the real kube-apiserver: the same suite, as a user with only the RBAC that
//! the responder declares. The ledger is in SQLite.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use k8s_cordon_node::K8sCordonNode;
use serde_json::{Value, json};
use stanch_core::{Guard, Permission, Responder, Store, Target, target::Node};
use stanch_k8s::Kube;
use stanch_range::{
    control_plane::ControlPlane,
    kube::{Kube as Simulator, Rule, kubeconfig},
    proxy::{Dialect, Proxy},
};

use crate::suite::{Bed, contract};

const CLUSTER: &str = "context:range";

enum Server {
    Simulator(Simulator),
    Real(ControlPlane),
}

struct Nodes {
    server: Server,
    proxy: Proxy,
    token: String,
    made: AtomicUsize,
    folder: tempfile::TempDir,
}

fn declared() -> Vec<Permission> {
    [K8sCordonNode::NEEDS.plan, K8sCordonNode::NEEDS.apply, K8sCordonNode::NEEDS.revert].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn k8s_cordon_node_on_the_simulator() {
    let simulator = Simulator::start().expect("the simulator starts");
    let rules: Vec<_> = declared()
        .iter()
        .map(|permission| match permission {
            Permission::Kube { group, resource, verbs } => Rule::new(verbs, group, &[resource]),
            other => panic!("not RBAC: {other}"),
        })
        .collect();
    simulator.allow("cordon", "system:serviceaccount:stanch:cordon", &rules);
    let proxy = Proxy::start(&simulator.url(), Dialect::Kubernetes).expect("the proxy starts");
    contract(&Nodes::new(Server::Simulator(simulator), proxy, "cordon".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k8s_cordon_node_on_the_real_api_server() {
    let real = match tokio::task::block_in_place(ControlPlane::start) {
        Ok(real) => real,
        Err(why) => return stanch_tests::skipped("the contract on the real kube-apiserver", &why.to_string()),
    };
    let rules: Vec<_> = declared()
        .iter()
        .map(|permission| match permission {
            Permission::Kube { group, resource, verbs } => {
                json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
            }
            other => panic!("not RBAC: {other}"),
        })
        .collect();
    let token = tokio::task::block_in_place(|| real.user_token("contract-cordon", &json!(rules))).expect("a user");
    let proxy = Proxy::start_tls(real.server(), real.ca_pem(), Dialect::Kubernetes).expect("the proxy starts");
    contract(&Nodes::new(Server::Real(real), proxy, token)).await;
}

impl Nodes {
    fn new(server: Server, proxy: Proxy, token: String) -> Self {
        Self { server, proxy, token, made: AtomicUsize::new(0), folder: tempfile::tempdir().expect("a folder") }
    }

    fn next(&self) -> usize {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    fn admin(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Value {
        let Server::Real(real) = &self.server else { panic!("only the real server is asked") };
        let (status, answer) =
            tokio::task::block_in_place(|| real.admin(method, path, content_type, body)).expect("the server answers");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer:#}");
        answer
    }

    fn edit(&self, target: &Target, merge_patch: &Value) {
        let name = name(target);
        match &self.server {
            Server::Simulator(simulator) => simulator.edit_node(name, merge_patch),
            Server::Real(_) => {
                let path = format!("/api/v1/nodes/{name}");
                self.admin("PATCH", &path, "application/merge-patch+json", Some(merge_patch));
            }
        }
    }
}

fn name(target: &Target) -> &str {
    let Target::Node(node) = target else { panic!("not a node: {target}") };
    node.name.as_str()
}

impl Bed for Nodes {
    type R = K8sCordonNode;
    const KEEPS: bool = false;

    fn cloud(&self) -> Kube {
        let path = self.folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&self.proxy.url(), &self.token)).expect("a kubeconfig");
        Kube::with_kubeconfig(path, Some(CLUSTER.parse().unwrap()))
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join(format!("ledger-{}.db", self.next()));
        Arc::new(stanch_sqlite::Sqlite::open(&path).expect("a ledger"))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        let name = format!("contract-{}-{}", std::process::id(), self.next());
        // An annotation, a label and a taint of somebody else, which have to survive.
        let given = json!({
            "metadata": {"labels": {"team": "web"}, "annotations": {"example.com/owner": "web"}},
            "spec": {"taints": [{"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}]},
        });
        match &self.server {
            Server::Simulator(simulator) => drop(simulator.add_node(&name, given)),
            Server::Real(_) => {
                let mut node = given;
                node["metadata"]["name"] = json!(name);
                self.admin("POST", "/api/v1/nodes", "application/json", Some(&node));
            }
        }
        Node { cluster: CLUSTER.parse().unwrap(), name: name.parse().unwrap(), uid: None }.into()
    }

    fn guard(&self) -> Guard {
        Guard { clusters: Some(vec![CLUSTER.to_owned()]), ..Guard::default() }
    }

    fn state(&self, target: &Target) -> Value {
        let node = match &self.server {
            Server::Simulator(simulator) => simulator.node(name(target)).expect("the node"),
            Server::Real(_) => self.admin("GET", &format!("/api/v1/nodes/{}", name(target)), "", None),
        };
        // What the node controller mirrors from `unschedulable` is its own.
        let taints: Vec<_> = node["spec"]["taints"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|taint| taint["key"] != "node.kubernetes.io/unschedulable")
            .map(|taint| json!([taint["key"], taint["effect"], taint["value"].as_str().unwrap_or_default()]))
            .collect();
        json!({
            "unschedulable": node["spec"]["unschedulable"].as_bool().unwrap_or(false),
            "taints": taints,
            "labels": node["metadata"]["labels"],
            "annotations": node["metadata"]["annotations"],
        })
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(state["unschedulable"], true, "{state:#}");
        let ours: Vec<_> =
            state["taints"].as_array().unwrap().iter().filter(|taint| taint[0] == "stanch.dev/quarantine").collect();
        assert_eq!(ours, [&json!(["stanch.dev/quarantine", "NoSchedule", ""])], "{state:#}");
        let annotations = &state["annotations"];
        for key in ["cluster-autoscaler.kubernetes.io/scale-down-disabled", "karpenter.sh/do-not-disrupt"] {
            assert_eq!(annotations[key], "true", "{state:#}");
        }
        assert!(annotations["stanch.dev/incident"].is_string() && annotations["stanch.dev/record"].is_string());
        assert_eq!((&annotations["example.com/owner"], &state["labels"]["team"]), (&json!("web"), &json!("web")));
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        let key = "karpenter.sh/do-not-disrupt";
        self.edit(target, &json!({"metadata": {"annotations": {key: "until-friday"}}}));
        Some(key)
    }

    fn undo_by_hand(&self, target: &Target) {
        // What a stolen kubelet can do: uncordon itself.
        self.edit(target, &json!({"spec": {"unschedulable": null}}));
    }
}
