//! A cluster to test on, simulated or real, with an administrator's view of it.
//!
//! A resource is named by its path below the server: `v1/pods`, `apps/v1/deployments`.

mod bed;
mod rights;
mod ward;
mod workloads;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stanch_core::{
    Permission, Responder, Target,
    target::{Cluster as Named, Image, KubeNamespace, Node, Pod, ServiceAccount, Workload},
};
use stanch_range::{
    control_plane::ControlPlane,
    kube::{Kube as Simulator, Rule},
};

pub use bed::{KubeBed, Subject, contract};
pub use rights::{Scene, least_privilege, least_privilege_of, scene_for};
pub use ward::{Ward, claim, remaining};
pub use workloads::CUSTOM;

/// One verb on one resource of one group.
pub type Right = (&'static str, &'static str, &'static str);

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Which one.
    pub server: Server,
    folder: tempfile::TempDir,
    made: AtomicUsize,
}

/// What answers.
#[derive(Debug)]
pub enum Server {
    /// The range's simulator: no controllers.
    Simulator(Simulator),
    /// The real API server.
    Real(Box<ControlPlane>),
}

/// The rights that a responder declares, one by one.
pub fn declared<R: Responder>() -> Vec<Right> {
    let mut rights = Vec::new();
    for permission in [R::NEEDS.plan, R::NEEDS.apply, R::NEEDS.revert].concat() {
        let Permission::Kube { group, resource, verbs } = permission else { panic!("not RBAC: {permission}") };
        for &verb in verbs {
            if !rights.contains(&(verb, group, resource)) {
                rights.push((verb, group, resource));
            }
        }
    }
    rights
}

/// `apps/v1/deployments` as the simulator names it: `deployments.apps`.
fn qualified(resource: &str) -> String {
    match resource.split('/').collect::<Vec<_>>().as_slice() {
        [group, _, plural] => format!("{plural}.{group}"),
        [_, plural] => (*plural).to_owned(),
        _ => panic!("{resource} is no resource"),
    }
}

fn collection(resource: &str, namespace: &str) -> String {
    let (api_version, plural) = resource.rsplit_once('/').expect("a resource");
    let root = if api_version == "v1" { "/api" } else { "/apis" };
    let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{root}/{api_version}{within}/{plural}")
}

impl Cluster {
    /// The range's simulator.
    pub fn simulator() -> Self {
        Self::of(Server::Simulator(Simulator::start().expect("a simulator")))
    }

    /// The real API server; says so where there is none to be had.
    pub fn real(what: &str) -> Option<Self> {
        match ControlPlane::start() {
            Ok(real) => Some(Self::of(Server::Real(Box::new(real)))),
            Err(why) => {
                crate::skipped(&format!("{what} on the real kube-apiserver"), &why.to_string());
                None
            }
        }
    }

    fn of(server: Server) -> Self {
        Self { server, folder: tempfile::tempdir().expect("a folder"), made: AtomicUsize::new(0) }
    }

    /// Whether controllers and kubelets are there.
    pub fn is_real(&self) -> bool {
        matches!(self.server, Server::Real(_))
    }

    /// A name that was not used before.
    pub fn name(&self, kind: &str) -> String {
        format!("{kind}-{}-{}", std::process::id(), self.made.fetch_add(1, Ordering::SeqCst))
    }

    /// A request as the administrator of the real server.
    pub fn admin(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> (u16, Value) {
        let Server::Real(real) = &self.server else { panic!("the simulator has no administrator") };
        real.admin(method, path, content_type, body).expect("an answer")
    }

    /// Creates an object; its UID.
    pub fn create(&self, resource: &str, namespace: &str, name: &str, given: &Value) -> String {
        match &self.server {
            Server::Simulator(simulator) => simulator.put(&qualified(resource), namespace, name, given),
            Server::Real(_) => {
                let mut object = given.clone();
                object["metadata"]["name"] = name.into();
                let path = collection(resource, namespace);
                let until = Instant::now() + Duration::from_secs(10);
                loop {
                    match self.admin("POST", &path, "application/json", Some(&object)) {
                        (201, answer) => return answer["metadata"]["uid"].as_str().expect("a uid").to_owned(),
                        // A new namespace has no service account yet, and takes no pods until then; a new resource is
                        // not served at once.
                        (403 | 404, _) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                        (status, answer) => panic!("{path}: {status} {answer}"),
                    }
                }
            }
        }
    }

    /// An object as it is now.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        match &self.server {
            Server::Simulator(simulator) => simulator.object(&qualified(resource), namespace, name),
            Server::Real(_) => {
                let path = format!("{}/{name}", collection(resource, namespace));
                match self.admin("GET", &path, "", None) {
                    (200, object) => Some(object),
                    (404, _) => None,
                    (status, answer) => panic!("{path}: {status} {answer}"),
                }
            }
        }
    }

    /// The objects of a resource in a namespace.
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        match &self.server {
            Server::Simulator(simulator) => {
                let mut found = simulator.objects(&qualified(resource));
                found.retain(|it| namespace.is_empty() || it["metadata"]["namespace"] == namespace);
                found
            }
            Server::Real(_) => {
                let (status, answer) = self.admin("GET", &collection(resource, namespace), "", None);
                assert_eq!(status, 200, "{resource}: {answer}");
                answer["items"].as_array().cloned().unwrap_or_default()
            }
        }
    }

    /// Somebody else's write: a merge patch.
    pub fn edit(&self, resource: &str, namespace: &str, name: &str, merge: &Value) {
        match &self.server {
            Server::Simulator(simulator) => simulator.edit(&qualified(resource), namespace, name, merge),
            Server::Real(_) => {
                let path = format!("{}/{name}", collection(resource, namespace));
                let (status, answer) = self.admin("PATCH", &path, "application/merge-patch+json", Some(merge));
                assert_eq!(status, 200, "{path}: {answer}");
            }
        }
    }

    /// Takes an object away.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        match &self.server {
            Server::Simulator(simulator) => simulator.remove(&qualified(resource), namespace, name),
            Server::Real(_) => {
                let path = format!("{}/{name}", collection(resource, namespace));
                let now = json!({"gracePeriodSeconds": 0});
                let (status, answer) = self.admin("DELETE", &path, "application/json", Some(&now));
                assert!(matches!(status, 200 | 202 | 404), "{path}: {status} {answer}");
            }
        }
    }

    /// A resource that the cluster does not serve by itself. Namespaced, and takes any field.
    pub fn serve(&self, group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) {
        match &self.server {
            Server::Simulator(simulator) => simulator.serve(group, version, plural, kind, namespaced),
            Server::Real(_) => {
                let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
                let scope = if namespaced { "Namespaced" } else { "Cluster" };
                let mut annotations = json!({});
                if group.ends_with(".k8s.io") {
                    annotations["api-approved.kubernetes.io"] = "unapproved, for a test".into();
                }
                let definition = json!({"metadata": {"annotations": annotations}, "spec": {
                    "group": group, "scope": scope,
                    "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                    "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": any}}],
                }});
                let resource = "apiextensions.k8s.io/v1/customresourcedefinitions";
                self.create(resource, "", &format!("{plural}.{group}"), &definition);
                self.until(&format!("{plural} are served"), || {
                    self.admin("GET", &format!("/apis/{group}/{version}/{plural}"), "", None).0 == 200
                });
            }
        }
    }

    /// No longer serves it.
    pub fn unserve(&self, group: &str, plural: &str) {
        match &self.server {
            Server::Simulator(simulator) => simulator.unserve(&format!("{plural}.{group}")),
            Server::Real(_) => {
                self.delete("apiextensions.k8s.io/v1/customresourcedefinitions", "", &format!("{plural}.{group}"));
                self.until(&format!("{plural} are gone"), || {
                    self.admin("GET", &format!("/apis/{group}"), "", None).0 == 404
                });
            }
        }
    }

    /// Waits for something that controllers do.
    pub fn until(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < until, "it does not come about: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A new namespace with these labels.
    pub fn namespace(&self, labels: &Value) -> String {
        let name = self.name("ns");
        self.create("v1/namespaces", "", &name, &json!({"metadata": {"labels": labels}}));
        name
    }

    /// A token of a user with these rights and no more.
    pub fn token(&self, rights: &[Right]) -> String {
        let user = self.name("user");
        match &self.server {
            Server::Simulator(simulator) => {
                let rules: Vec<_> =
                    rights.iter().map(|(verb, group, resource)| Rule::new(&[verb], group, &[resource])).collect();
                simulator.allow(&user, &format!("system:serviceaccount:stanch:{user}"), &rules);
                user
            }
            Server::Real(real) => {
                let rule = |(verb, group, resource): &Right| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
                real.user_token(&user, &rights.iter().map(rule).collect()).expect("a user")
            }
        }
    }

    /// The same as a kubeconfig.
    pub fn kubeconfig(&self, rights: &[Right]) -> PathBuf {
        let token = self.token(rights);
        self.kubeconfig_of(&token)
    }

    /// A kubeconfig for a token.
    pub fn kubeconfig_of(&self, token: &str) -> PathBuf {
        let path = self.folder.path().join(self.name("kubeconfig"));
        match &self.server {
            Server::Simulator(simulator) => simulator.kubeconfig(&path, token).expect("a kubeconfig"),
            Server::Real(real) => std::fs::write(&path, real.kubeconfig_of(token)).expect("a kubeconfig"),
        }
        path
    }

    /// How many calls were made since; only the simulator counts.
    pub fn calls(&self) -> Option<usize> {
        match &self.server {
            Server::Simulator(simulator) => Some(simulator.log().len()),
            Server::Real(_) => None,
        }
    }

    /// Forgets the calls so far.
    pub fn clear_log(&self) {
        if let Server::Simulator(simulator) = &self.server {
            simulator.clear_log();
        }
    }
}

/// Targets, as an order names them.
pub fn node(name: &str) -> Target {
    Node { cluster: Named::Current, name: name.parse().unwrap(), uid: None }.into()
}

/// A pod.
pub fn pod(namespace: &str, name: &str) -> Target {
    let (namespace, name) = (namespace.parse().unwrap(), name.parse().unwrap());
    Pod { cluster: Named::Current, namespace, name, uid: None, host: None }.into()
}

/// A workload.
pub fn workload(kind: &str, namespace: &str, name: &str) -> Target {
    let (namespace, name, workload_kind) = (namespace.parse().unwrap(), name.parse().unwrap(), kind.parse().unwrap());
    Workload { cluster: Named::Current, namespace, workload_kind, name }.into()
}

/// A service account.
pub fn account(namespace: &str, name: &str) -> Target {
    let (namespace, name) = (namespace.parse().unwrap(), name.parse().unwrap());
    ServiceAccount { cluster: Named::Current, namespace, name }.into()
}

/// An image.
pub fn image(reference: &str) -> Target {
    Image { cluster: Named::Current, image: reference.parse().unwrap() }.into()
}

/// A namespace.
pub fn namespace(name: &str) -> Target {
    KubeNamespace { cluster: Named::Current, name: name.parse().unwrap() }.into()
}
