//! Callers with a Kubernetes service-account token, proved by the API server of the cluster that we run in
//! (Kubernetes: `TokenReview`, `authentication.k8s.io/v1`). Our own service account needs `create` on
//! `tokenreviews`, as the cluster role `system:auth-delegator` gives it.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use stanch_core::{Error, Result};
use tokio::sync::OnceCell;

use super::{Proved, Refusal, jwks, jwt::Claimed, oidc, proved, unproved};
use crate::{env::Env, yaml};

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The Kubernetes part of a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    /// For whom a token must be. A token for the API server itself is not for us.
    audience: String,
    /// The API server; in a cluster it is known.
    #[serde(default)]
    server: Option<String>,
    /// Its certificate authority.
    #[serde(default)]
    ca: Option<PathBuf>,
    /// Our own token.
    #[serde(default)]
    token: Option<PathBuf>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    orders: Vec<String>,
}

/// Asks the API server.
pub(crate) struct TokenReview {
    policy: Cluster,
    url: String,
    client: OnceCell<reqwest::Client>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Verdict,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Verdict {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

impl TokenReview {
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the field.
    pub(super) fn new(policy: Cluster, env: &Env) -> Result<Self> {
        if policy.audience.trim().is_empty() {
            return Err(Error::invalid("audience", "must not be empty"));
        }
        let server = match (&policy.server, env.text("KUBERNETES_SERVICE_HOST")?) {
            (Some(server), _) => server.trim_end_matches('/').to_owned(),
            (None, Some(host)) => {
                let port = env.text("KUBERNETES_SERVICE_PORT")?.unwrap_or_else(|| "443".to_owned());
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                format!("https://{host}:{port}")
            }
            (None, None) => return Err(Error::invalid("server", "must be set outside a cluster")),
        };
        let url = format!("{server}/apis/authentication.k8s.io/v1/tokenreviews");
        Ok(Self { policy, url, client: OnceCell::new() })
    }

    /// Proves the bearer of a token.
    pub(super) async fn prove(&self, token: &str, claimed: &Claimed) -> Result<Proved, Refusal> {
        // A token without times never ends: no proof of anything today. These are proved with the rest below.
        let iat = claimed.iat.ok_or_else(|| unproved("the token does not say when it was issued"))?;
        let exp = claimed.exp.ok_or_else(|| unproved("the token never ends"))?;
        if exp <= jiff::Timestamp::now().as_second() {
            return Err(unproved("the token has ended"));
        }
        let issued = oidc::issued(iat)?;
        let verdict = self.review(token).await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        // A server that does not know about audiences leaves the list out: then nothing says that it is for us.
        if !verdict.authenticated || !verdict.audiences.contains(&self.policy.audience) {
            return Err(unproved("the API server does not know the token, or it is for somebody else"));
        }
        Ok(proved(verdict.user.username, Some(issued), &self.policy.events, &self.policy.orders))
    }

    async fn review(&self, token: &str) -> Result<Verdict> {
        let failed = |error: reqwest::Error| self.unavailable("does not answer").because(error.without_url());
        let client = self.client.get_or_try_init(|| async { self.client() }).await?;
        let path = self.policy.token.clone().unwrap_or_else(|| PathBuf::from(ACCOUNT).join("token"));
        // Read each time: the kubelet replaces it about once an hour.
        let ours = yaml::read(&path).map_err(|error| error.within("kubernetes.token"))?;
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.policy.audience]},
        });
        let request = client.post(&self.url).bearer_auth(ours.trim()).json(&review);
        let answer = request.send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        Ok(answer.json::<Review>().await.map_err(failed)?.status)
    }

    fn client(&self) -> Result<reqwest::Client> {
        let mut builder = jwks::client();
        if self.url.starts_with("https:") {
            let path = self.policy.ca.clone().unwrap_or_else(|| PathBuf::from(ACCOUNT).join("ca.crt"));
            let pem = yaml::read(&path).map_err(|error| error.within("kubernetes.ca"))?;
            let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|error| Error::invalid("kubernetes.ca", "must be certificates in PEM").because(error))?;
            builder = builder.tls_certs_only(roots);
        }
        // The API server is in the cluster: no proxy leads there.
        builder.no_proxy().build().map_err(|error| self.unavailable("has no client").because(error))
    }

    fn unavailable(&self, message: &str) -> Error {
        Error::new(stanch_core::Kind::Unavailable, "tokenreviews", message).on(self.url.clone())
    }
}
