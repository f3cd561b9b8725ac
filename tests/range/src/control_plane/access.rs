//! Speaking to a cluster through its kubeconfig, and making subjects with exact rights.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const NAMESPACE: &str = "stanch";
/// How long a new binding may take to be in force.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) ca: Vec<u8>,
    identity: Vec<u8>,
    token: Option<String>,
}

impl Cluster {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let config: Value = yaml_serde::from_str(&text).map_err(io::Error::other)?;
        let named = |list: &str, name: &Value| -> Value {
            let items = config.get(list).and_then(Value::as_array);
            items.into_iter().flatten().find(|item| item.get("name") == Some(name)).cloned().unwrap_or_default()
        };
        let context = named("contexts", config.get("current-context").unwrap_or(&Value::Null));
        let part = |list: &str, what: &str| {
            let name = context.pointer(&format!("/context/{what}")).cloned().unwrap_or_default();
            named(list, &name).get(what).cloned().unwrap_or_default()
        };
        let (cluster, user) = (part("clusters", "cluster"), part("users", "user"));
        let server = cluster.get("server").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/').to_owned();
        if server.is_empty() {
            return Err(io::Error::other(format!("{}: the current context names no server", path.display())));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut identity = bytes(&user, "client-key", folder)?;
        identity.push(b'\n');
        identity.extend(bytes(&user, "client-certificate", folder)?);
        let identity = if identity.len() > 1 { identity } else { Vec::new() };
        let token = user.get("token").and_then(Value::as_str).map(str::to_owned);
        if identity.is_empty() && token.is_none() && server.starts_with("https") {
            return Err(io::Error::other(format!(
                "{}: only client certificates and tokens are understood",
                path.display()
            )));
        }
        Ok(Self { server, ca: bytes(&cluster, "certificate-authority", folder)?, identity, token })
    }

    pub(super) fn kubeconfig(&self, token: &str) -> String {
        let cluster = json!({"server": self.server, "certificate-authority-data": STANDARD.encode(&self.ca)});
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "range",
            "clusters": [{"name": "range", "cluster": cluster}],
            "users": [{"name": "range", "user": {"token": token}}],
            "contexts": [{"name": "range", "context": {"cluster": "range", "user": "range"}}]});
        format!("{config:#}\n")
    }

    /// As the administrator, or as the bearer of a token. Blocks, on a thread of its own.
    pub(super) fn request(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> io::Result<(u16, Value)> {
        let mut client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        if !self.ca.is_empty() {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&self.ca).map_err(io::Error::other)?);
        }
        if token.is_none() && !self.identity.is_empty() {
            client = client.identity(reqwest::Identity::from_pem(&self.identity).map_err(io::Error::other)?);
        }
        let client = client.build().map_err(io::Error::other)?;
        let method = http::Method::from_bytes(method.as_bytes()).map_err(io::Error::other)?;
        let mut request = client.request(method, format!("{}{path}", self.server));
        if let Some(token) = token.or(self.token.as_deref()) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", content_type).body(body.to_string());
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let answer = request.send().await.map_err(io::Error::other)?;
                    let status = answer.status().as_u16();
                    let text = answer.text().await.map_err(io::Error::other)?;
                    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
                })
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the request panicked")))
        })
    }

    /// Creates an object, or replaces the one of that name.
    fn ensure(&self, collection: &str, object: &Value) -> io::Result<()> {
        let (status, said) = self.request(None, "POST", collection, "application/json", Some(object))?;
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let (status, said) = match status {
            409 if object.get("rules").is_some() => {
                self.request(None, "PUT", &format!("{collection}/{name}"), "application/json", Some(object))?
            }
            409 => (200, said),
            _ => (status, said),
        };
        if status < 300 { Ok(()) } else { Err(io::Error::other(format!("{collection}/{name}: {status} {said}"))) }
    }

    pub(super) fn user_token(&self, name: &str, rules: &Value) -> io::Result<String> {
        let (core, rbac) =
            (format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), "/apis/rbac.authorization.k8s.io/v1");
        let role = format!("stanch-range-{name}");
        self.ensure("/api/v1/namespaces", &json!({"metadata": {"name": NAMESPACE}}))?;
        self.ensure(&core, &json!({"metadata": {"name": name}}))?;
        self.ensure(&format!("{rbac}/clusterroles"), &json!({"metadata": {"name": role}, "rules": rules}))?;
        self.ensure(
            &format!("{rbac}/clusterrolebindings"),
            &json!({"metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]}),
        )?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let (status, said) =
            self.request(None, "POST", &format!("{core}/{name}/token"), "application/json", Some(&review))?;
        let token = said.pointer("/status/token").and_then(Value::as_str).map(str::to_owned);
        let token = token.ok_or_else(|| io::Error::other(format!("no token for {name}: {status} {said}")))?;
        self.wait_for_rules(&token, rules)?;
        Ok(token)
    }

    /// The authorizer learns of a binding a moment after it was made.
    fn wait_for_rules(&self, token: &str, rules: &Value) -> io::Result<()> {
        let first = |rule: &Value, list: &str| {
            rule.pointer(&format!("/{list}/0")).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        for rule in rules.as_array().into_iter().flatten() {
            let (resource, verb) = (first(rule, "resources"), first(rule, "verbs"));
            if resource.is_empty() {
                continue;
            }
            let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
                "resourceAttributes": {"group": first(rule, "apiGroups"), "resource": resource, "subresource": subresource,
                    "verb": verb, "name": first(rule, "resourceNames")}}});
            let until = Instant::now() + PATIENCE;
            loop {
                let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
                let (_, said) = self.request(Some(token), "POST", path, "application/json", Some(&review))?;
                if said.pointer("/status/allowed") == Some(&Value::Bool(true)) {
                    break;
                }
                if Instant::now() > until {
                    return Err(io::Error::other(format!("the rights did not come into force: {said}")));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

/// `NAME-data` (base64) or the file that `NAME` names; empty if neither.
fn bytes(of: &Value, name: &str, folder: &Path) -> io::Result<Vec<u8>> {
    if let Some(data) = of.get(format!("{name}-data")).and_then(Value::as_str) {
        return STANDARD.decode(data.trim()).map_err(io::Error::other);
    }
    match of.get(name).and_then(Value::as_str) {
        Some(file) => std::fs::read(folder.join(file)),
        None => Ok(Vec::new()),
    }
}
