//! Cluster access for Google Kubernetes Engine: where the API server is, what proves it, and a token.
//!
//! Reads the cluster once (GKE API: `projects.locations.clusters.get`, permission `container.clusters.get`; the DNS
//! endpoint also asks for `container.clusters.connect`). The token is the access token of Application Default
//! Credentials, which GKE takes as a bearer token.

mod cluster;

use std::{env, fmt, time::Duration};

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{
    Error, Kind, Result,
    names::{GkeName, Location, ProjectId},
};

use cluster::Cluster;

const GET: &str = "container.clusters.get";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// One attempt; the core retries.
const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The credentials renew a token four minutes before its end and do not tell the end.
const FRESH: SignedDuration = SignedDuration::from_mins(3);
/// A cluster with a thousand node pools is smaller.
const MOST: usize = 8 * 1024 * 1024;

/// How to reach a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterAccess {
    /// `https://…`.
    pub server: String,
    /// The cluster's own authority, PEM. None: a publicly trusted certificate (the DNS endpoint).
    pub ca_pem: Option<Vec<u8>>,
    /// The bearer token.
    pub token: String,
    /// Until when the token surely works; ask again then.
    pub expires: Timestamp,
}

impl fmt::Debug for ClusterAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, expires, .. } = self;
        f.debug_struct("ClusterAccess").field("server", server).field("expires", expires).finish_non_exhaustive()
    }
}

/// The GKE API. Made once a process.
#[derive(Clone)]
pub struct Gke {
    endpoint: String,
    token: Source,
    client: reqwest::Client,
}

#[derive(Clone)]
enum Source {
    Default(AccessTokenCredentials),
    Fixed(String),
}

impl Gke {
    /// Google's API with Application Default Credentials; or the server of `STANCH_GKE_ENDPOINT` with the token of
    /// `STANCH_GKE_TOKEN`, for tests: never with real credentials.
    ///
    /// # Errors
    /// [`Kind::Denied`] without credentials.
    pub fn from_env() -> Result<Self> {
        if let Ok(endpoint) = env::var("STANCH_GKE_ENDPOINT") {
            return Self::at(&endpoint, &env::var("STANCH_GKE_TOKEN").unwrap_or_default());
        }
        let token = Builder::default().with_scopes([SCOPE]).build_access_token_credentials();
        let none = |error| Error::new(Kind::Denied, GET, "no usable Application Default Credentials").because(error);
        Self::new("https://container.googleapis.com".to_owned(), Source::Default(token.map_err(none)?))
    }

    /// Another server than Google's, with a fixed token.
    ///
    /// # Errors
    /// [`Kind::Internal`] when no client can be built.
    pub fn at(endpoint: &str, token: &str) -> Result<Self> {
        Self::new(endpoint.trim_end_matches('/').to_owned(), Source::Fixed(token.to_owned()))
    }

    fn new(endpoint: String, token: Source) -> Result<Self> {
        let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(CALL);
        let client = client.redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| Error::new(Kind::Internal, GET, "no client").because(error))?;
        Ok(Self { endpoint, token, client })
    }

    /// Reads the cluster and gets a token.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Denied`], [`Kind::Unavailable`] … as the API answers.
    pub async fn access(
        &self,
        project: &ProjectId,
        location: &Location,
        name: &GkeName,
        now: Timestamp,
    ) -> Result<ClusterAccess> {
        let path = format!("projects/{project}/locations/{location}/clusters/{name}");
        let failed = |kind, what: &str| Error::new(kind, GET, what).on(path.as_str());
        let token = match &self.token {
            Source::Fixed(token) => token.clone(),
            Source::Default(source) => match source.access_token().await {
                Ok(token) => token.token,
                Err(error) if error.is_transient() => {
                    return Err(failed(Kind::Unavailable, "no token now").because(error));
                }
                Err(error) => return Err(failed(Kind::Denied, "no token").because(error)),
            },
        };
        // The names are checked; the colon of a domain-scoped project is allowed in a path.
        let call = self.client.get(format!("{}/v1/{path}", self.endpoint)).bearer_auth(&token).send();
        let broken = |error: reqwest::Error| failed(Kind::Unavailable, "no answer").because(error.without_url());
        let mut answer = call.await.map_err(broken)?;
        let status = answer.status().as_u16();
        match status {
            200 => {}
            401 => return Err(failed(Kind::Denied, "the credentials were refused")),
            403 => {
                return Err(failed(
                    Kind::Denied,
                    "the permission container.clusters.get is missing, or the GKE API is off",
                ));
            }
            404 => return Err(failed(Kind::NotFound, "there is no such cluster")),
            429 => return Err(failed(Kind::Throttled, "too many calls")),
            400 => return Err(failed(Kind::Invalid, "the service refuses the request")),
            _ => return Err(failed(Kind::Unavailable, &format!("no result (HTTP {status})"))),
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(broken)? {
            if body.len() + part.len() > MOST {
                return Err(failed(Kind::Internal, "the answer is too long"));
            }
            body.extend_from_slice(&part);
        }
        let cluster: Cluster = serde_json::from_slice(&body)
            .map_err(|_| failed(Kind::Internal, "the answer does not have the documented form"))?;
        let (server, ca_pem) = cluster.reach().map_err(|(kind, what)| failed(kind, what))?;
        Ok(ClusterAccess { server, ca_pem, token, expires: now.checked_add(FRESH).unwrap_or(now) })
    }
}

#[cfg(test)]
mod tests;
