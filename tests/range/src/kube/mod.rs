//! A small Kubernetes API server: the resources that the responders use and any that a test adds, readable and
//! writable; access and token reviews. Plain http. No controller stands behind it but the one below, and a garbage
//! collector.
//!
//! After a write to a node the simulator does at once what the node lifecycle controller does soon: it mirrors
//! `spec.unschedulable` as the taint `node.kubernetes.io/unschedulable`, under a further version
//! ([`Kube::node_lifecycle`] turns that off).

mod api;
mod delete;
mod discovery;
mod evict;
mod list;
mod patch;
mod rbac;
mod review;
mod select;
mod served;
mod state;
mod status;
mod validate;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

pub use rbac::Rule;

use crate::host::{Asked, Call, Host, lock};
use rbac::User;
use state::State;

/// A token that may do everything, whatever is allowed to others.
pub const ADMIN: &str = "range-admin";

/// A running simulator.
#[derive(Debug)]
pub struct Kube {
    host: Host,
    state: Arc<Mutex<State>>,
}

impl Kube {
    /// Starts one on an ephemeral loopback port, with the namespaces of an empty cluster.
    pub fn start() -> io::Result<Self> {
        let mut state = State::new();
        state.users.insert(ADMIN.into(), user("kubernetes-admin", &["system:masters"], None));
        let state = Arc::new(Mutex::new(state));
        let app = axum::Router::new().fallback({
            let state = Arc::clone(&state);
            move |request: axum::extract::Request| serve(Arc::clone(&state), request)
        });
        Ok(Self { host: Host::router("kube", app)?, state })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// Adds or replaces a node (as recreated: with a new uid, unless `given` names one); answers the uid.
    /// `given` is merged over a ready node: `{"spec": …, "metadata": {"labels": …}}`.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
    pub fn add_node(&self, name: &str, given: Value) -> String {
        let mut labelled =
            json!({"metadata": {"labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}});
        patch::merge(&mut labelled, &given);
        self.put("nodes", "", name, &labelled)
    }

    /// Adds or replaces a pod on a node; answers the uid. `given` is merged over a running pod.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
    pub fn add_pod(&self, namespace: &str, name: &str, node: &str, given: Value) -> String {
        let mut pod =
            json!({"spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/app:1"}]}});
        patch::merge(&mut pod, &given);
        self.put("pods", namespace, name, &pod)
    }

    /// Adds a namespace; answers the uid.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
    pub fn add_namespace(&self, name: &str, given: Value) -> String {
        let mut labelled = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": name}}});
        patch::merge(&mut labelled, &given);
        self.put("namespaces", "", name, &labelled)
    }

    /// Serves a further resource, as a `CustomResourceDefinition` does.
    pub fn serve(&self, group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) {
        lock(&self.state).served.push(served::Served::new(group, version, plural, kind, namespaced));
    }

    /// Whether a resource is served.
    pub fn is_served(&self, qualified: &str) -> bool {
        lock(&self.state).served.iter().any(|it| it.qualified() == qualified)
    }

    /// No longer serves a resource: `networkpolicies.networking.k8s.io`.
    pub fn unserve(&self, qualified: &str) {
        lock(&self.state).served.retain(|it| it.qualified() != qualified);
    }

    /// Adds or replaces an object of any resource (`deployments.apps`); answers the uid.
    pub fn put(&self, qualified: &str, namespace: &str, name: &str, given: &Value) -> String {
        let mut state = lock(&self.state);
        let served = state.serving(qualified);
        state.add(&served, namespace, name, given)
    }

    /// An object as it is now.
    pub fn object(&self, qualified: &str, namespace: &str, name: &str) -> Option<Value> {
        evict::sweep(&mut lock(&self.state));
        lock(&self.state).objects.get(&(qualified.into(), namespace.into(), name.into())).cloned()
    }

    /// The objects of a resource.
    pub fn objects(&self, qualified: &str) -> Vec<Value> {
        let mut state = lock(&self.state);
        evict::sweep(&mut state);
        state.objects.iter().filter(|((of, ..), _)| of == qualified).map(|(_, object)| object.clone()).collect()
    }

    /// Writes to an object as somebody else would: a merge patch, under a new version.
    pub fn edit(&self, qualified: &str, namespace: &str, name: &str, merge_patch: &Value) {
        let mut state = lock(&self.state);
        let key = (qualified.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(mut object) = state.objects.get(&key).cloned() {
            patch::merge(&mut object, merge_patch);
            state.put(key, object);
        }
    }

    /// Takes an object away, with what it owns.
    pub fn remove(&self, qualified: &str, namespace: &str, name: &str) {
        delete::remove(&mut lock(&self.state), &(qualified.into(), namespace.into(), name.into()), false);
    }

    /// Takes a node away.
    pub fn remove_node(&self, name: &str) {
        lock(&self.state).objects.remove(&("nodes".into(), String::new(), name.into()));
    }

    /// A node as it is now.
    pub fn node(&self, name: &str) -> Option<Value> {
        lock(&self.state).objects.get(&("nodes".into(), String::new(), name.into())).cloned()
    }

    /// Writes to a node as somebody else would: a merge patch, under a new version.
    pub fn edit_node(&self, name: &str, merge_patch: &Value) {
        let mut state = lock(&self.state);
        let key = ("nodes".to_owned(), String::new(), name.to_owned());
        if let Some(mut node) = state.objects.get(&key).cloned() {
            patch::merge(&mut node, merge_patch);
            state.put(key, node);
            state.reconcile(name);
        }
    }

    /// Whether `unschedulable` is mirrored as a taint, as the controller of a whole cluster does (default: yes).
    pub fn node_lifecycle(&self, on: bool) {
        lock(&self.state).node_lifecycle = on;
    }

    /// Lets the continue tokens given so far expire (410), as compaction does.
    pub fn expire_lists(&self) {
        let mut state = lock(&self.state);
        state.oldest_list = state.version() + 1;
    }

    /// Gives a bearer token exactly these rules. From the first such call on, unknown tokens get 401.
    pub fn allow(&self, token: &str, username: &str, rules: &[Rule]) {
        let groups = ["system:serviceaccounts", "system:authenticated"];
        let mut state = lock(&self.state);
        state.guarded = true;
        state.users.insert(token.into(), user(username, &groups, Some(rules.to_vec())));
    }

    /// Makes a token that `tokenreviews` recognises, for these audiences; it may do nothing.
    pub fn add_token(&self, token: &str, username: &str, groups: &[&str], audiences: &[&str]) {
        let mut new = user(username, groups, Some(Vec::new()));
        new.audiences = audiences.iter().map(|&one| one.to_owned()).collect();
        lock(&self.state).users.insert(token.into(), new);
    }

    /// Writes a kubeconfig for this token ([`ADMIN`] or one that was allowed).
    pub fn kubeconfig(&self, path: &Path, token: &str) -> io::Result<()> {
        std::fs::write(path, kubeconfig(&self.url(), token))
    }

    /// Every call so far.
    pub fn log(&self) -> Vec<Call> {
        lock(&self.state).log.clone()
    }

    /// The calls that would have changed something; reviews and dry runs are none.
    pub fn writes(&self) -> Vec<Call> {
        lock(&self.state).log.iter().filter(|call| call.write).cloned().collect()
    }

    /// Forgets the calls so far.
    pub fn clear_log(&self) {
        lock(&self.state).log.clear();
    }
}

/// A kubeconfig (JSON is YAML) for a plain http server, also for a [`crate::proxy::Proxy`] before one.
pub fn kubeconfig(server: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "range",
        "clusters": [{"name": "range", "cluster": {"server": server}}],
        "users": [{"name": "range", "user": {"token": token}}],
        "contexts": [{"name": "range", "context": {"cluster": "range", "user": "range"}}],
    });
    format!("{config:#}\n")
}

fn user(name: &str, groups: &[&str], rules: Option<Vec<Rule>>) -> User {
    User {
        name: name.into(),
        uid: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, name.as_bytes()).to_string(),
        groups: groups.iter().map(|&one| one.to_owned()).collect(),
        audiences: Vec::new(),
        rules,
    }
}

async fn serve(state: Arc<Mutex<State>>, request: axum::extract::Request) -> Response {
    let Ok(asked) = Asked::read(request).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if matches!(asked.path.as_str(), "/healthz" | "/livez" | "/readyz") {
        return "ok".into_response();
    }
    let (status, body) = api::answer(&mut lock(&state), &asked);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}
