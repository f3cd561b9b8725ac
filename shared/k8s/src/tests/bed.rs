//! A cluster to test on, with an administrator's view of it.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use stanch_core::target::{Cluster, Node, NodeOrPod, Pod};
use stanch_range::{
    control_plane::ControlPlane,
    kube::{Kube as Simulator, Rule},
};

use crate::Kube;

/// What a role holds: verbs and the resource of the core group.
pub(crate) type Rules<'a> = &'a [(&'a [&'a str], &'a str)];

/// What the responder declares.
pub(crate) const DECLARED: Rules<'static> =
    &[(&["get", "patch"], "nodes"), (&["get", "list"], "pods"), (&["get"], "namespaces")];

pub(crate) enum Server {
    Simulator(Simulator),
    Real(ControlPlane),
}

pub(crate) struct Bed {
    pub(crate) server: Server,
    folder: tempfile::TempDir,
    made: AtomicUsize,
}

impl Bed {
    pub(crate) fn simulator() -> Self {
        Self::new(Server::Simulator(Simulator::start().expect("a simulator")))
    }

    pub(crate) fn real(real: ControlPlane) -> Self {
        Self::new(Server::Real(real))
    }

    fn new(server: Server) -> Self {
        Self { server, folder: tempfile::tempdir().expect("a folder"), made: AtomicUsize::new(0) }
    }

    /// A name that was not used before, in a cluster that may be shared.
    pub(crate) fn name(&self, kind: &str) -> String {
        format!("k8s-{kind}-{}-{}", std::process::id(), self.made.fetch_add(1, Ordering::SeqCst))
    }

    /// The wing as a user with these rules and no more.
    pub(crate) fn kube(&self, rules: Rules<'_>) -> Kube {
        Kube::with_kubeconfig(self.kubeconfig(rules), None)
    }

    pub(crate) fn kubeconfig(&self, rules: Rules<'_>) -> PathBuf {
        let user = self.name("user");
        match &self.server {
            Server::Simulator(simulator) => {
                let rules: Vec<_> = rules.iter().map(|(verbs, resource)| Rule::new(verbs, "", &[resource])).collect();
                let path = self.folder.path().join(&user);
                simulator.allow(&user, &format!("system:serviceaccount:stanch:{user}"), &rules);
                simulator.kubeconfig(&path, &user).expect("a kubeconfig");
                path
            }
            Server::Real(real) => {
                let rules: Vec<_> = rules
                    .iter()
                    .map(|(verbs, resource)| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs}))
                    .collect();
                real.user_kubeconfig(&user, &json!(rules)).expect("a user")
            }
        }
    }

    fn admin(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> (u16, Value) {
        let Server::Real(real) = &self.server else { panic!("the simulator has no administrator") };
        real.admin(method, path, content_type, body).expect("an answer")
    }

    fn create(&self, path: &str, mut object: Value, name: &str) -> String {
        object["metadata"]["name"] = name.into();
        let mut answer = (0, Value::Null);
        // A new namespace has no service account yet, and takes no pods until then.
        for _ in 0..50 {
            answer = self.admin("POST", path, "application/json", Some(&object));
            if answer.0 != 403 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(answer.0, 201, "{path}: {}", answer.1);
        answer.1["metadata"]["uid"].as_str().expect("a uid").to_owned()
    }

    /// A new node; its target.
    pub(crate) fn node(&self, given: &Value) -> Node {
        let name = self.name("node");
        self.add_node(&name, given);
        Node { cluster: Cluster::Current, name: name.parse().expect("a name"), uid: None }
    }

    pub(crate) fn add_node(&self, name: &str, given: &Value) -> String {
        match &self.server {
            Server::Simulator(simulator) => simulator.add_node(name, given.clone()),
            Server::Real(_) => self.create("/api/v1/nodes", given.clone(), name),
        }
    }

    /// Somebody else's write.
    pub(crate) fn edit(&self, node: &Node, merge: &Value) {
        match &self.server {
            Server::Simulator(simulator) => simulator.edit_node(node.name.as_str(), merge),
            Server::Real(_) => {
                let path = format!("/api/v1/nodes/{}", node.name);
                let (status, answer) = self.admin("PATCH", &path, "application/merge-patch+json", Some(merge));
                assert_eq!(status, 200, "{answer}");
            }
        }
    }

    /// The node gone, and another one under its name.
    pub(crate) fn recreate(&self, node: &Node) {
        match &self.server {
            Server::Simulator(simulator) => simulator.remove_node(node.name.as_str()),
            Server::Real(_) => drop(self.admin("DELETE", &format!("/api/v1/nodes/{}", node.name), "", None)),
        }
        self.add_node(node.name.as_str(), &json!({}));
    }

    /// The node as the administrator sees it.
    pub(crate) fn see(&self, node: &Node) -> Value {
        match &self.server {
            Server::Simulator(simulator) => simulator.node(node.name.as_str()).expect("a node"),
            Server::Real(_) => self.admin("GET", &format!("/api/v1/nodes/{}", node.name), "", None).1,
        }
    }

    pub(crate) fn namespace(&self, labels: &Value) -> String {
        let name = self.name("ns");
        let given = json!({"metadata": {"labels": labels}});
        match &self.server {
            Server::Simulator(simulator) => drop(simulator.add_namespace(&name, given)),
            Server::Real(_) => drop(self.create("/api/v1/namespaces", given, &name)),
        }
        name
    }

    /// A pod on a node, or on none, alone or owned by a node as a static pod's mirror is; its target with its uid.
    pub(crate) fn pod(&self, namespace: &str, node: Option<&Node>, owner: Option<&Node>) -> Pod {
        let name = self.name("pod");
        let mut given = json!({"metadata": {}, "spec": {"nodeName": node.map(|node| node.name.as_str())}});
        if let Some(node) = owner {
            given["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "v1", "kind": "Node", "name": node.name.as_str(), "controller": true,
                "uid": self.see(node)["metadata"]["uid"],
            }]);
        }
        let uid = match &self.server {
            Server::Simulator(simulator) => {
                simulator.add_pod(namespace, &name, node.map_or("", |node| node.name.as_str()), given)
            }
            Server::Real(_) => {
                given["spec"]["containers"] = json!([{"name": "main", "image": "example.com/app:1"}]);
                self.create(&format!("/api/v1/namespaces/{namespace}/pods"), given, &name)
            }
        };
        Pod {
            cluster: Cluster::Current,
            namespace: namespace.parse().expect("a namespace"),
            name: name.parse().expect("a name"),
            uid: Some(uid.parse().expect("a uid")),
            host: None,
        }
    }
}

pub(crate) fn target(node: &Node) -> NodeOrPod {
    NodeOrPod::Node(node.clone())
}
