//! Firestore's REST API, as far as a ledger needs it: read some documents, commit some writes, give a transaction up.

use std::time::Duration;

use google_cloud_auth::credentials::{Builder as DefaultCredentials, CacheableResource, Credentials};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::Value;
use stanch_core::{Error, Kind, Result};

use crate::fault::Fault;

/// A TCP and TLS handshake within a region takes milliseconds.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt. Ledger calls take milliseconds, and a lease is 30 seconds: what takes longer has to be seen as lost
/// while the lease still holds. The one retry layer is the driver's.
const ATTEMPT: Duration = Duration::from_secs(5);
const SCOPE: &str = "https://www.googleapis.com/auth/datastore";

/// Who we are there.
#[derive(Debug)]
enum Who {
    /// Application Default Credentials.
    Found(Credentials),
    /// What the emulator takes for the owner of everything. Real credentials never go there.
    Owner,
}

/// A client of one database.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    who: Who,
    /// `https://firestore.googleapis.com/v1/projects/P/databases/D/documents`.
    documents: String,
    database: String,
}

/// An answer that is not a success, or none.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Firestore says no.
    Said { fault: Fault, wait: Option<Duration> },
    /// It said nothing that can be read.
    Silent(Error),
}

impl Client {
    pub(crate) fn build(database: &str, emulator: Option<&str>) -> Result<Self> {
        let (root, who) = match emulator {
            Some(host) if host.contains("://") => (host.trim_end_matches('/').to_owned(), Who::Owner),
            Some(host) => (format!("http://{host}"), Who::Owner),
            None => {
                let credentials = DefaultCredentials::default().with_scopes([SCOPE]).build().map_err(|error| {
                    // Its text names the file or the variable, never what is in it.
                    let message = "no usable Application Default Credentials";
                    Error::new(Kind::Denied, "firestore:credentials", message).because(error)
                })?;
                ("https://firestore.googleapis.com".to_owned(), Who::Found(credentials))
            }
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ATTEMPT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Error::new(Kind::Internal, "firestore:connect", "the client cannot be built").because(error)
            })?;
        Ok(Self { http, who, documents: format!("{root}/v1/{database}/documents"), database: database.to_owned() })
    }

    /// One attempt of a method: `batchGet`, `commit`, `rollback`.
    pub(crate) async fn call(&self, method: &str, body: &Value) -> Result<Value, Failure> {
        let operation = format!("firestore:{method}");
        let silent = |kind, message: &str| Error::new(kind, operation.clone(), message).on(&self.database);
        let headers = self.headers(&operation).await.map_err(Failure::Silent)?;
        let call = self.http.post(format!("{}:{method}", self.documents)).headers(headers).json(body).send();
        let answer = call.await.map_err(|error| {
            let message = if error.is_timeout() { "no answer in time" } else { "no answer" };
            Failure::Silent(silent(Kind::Unavailable, message).because(error.without_url()))
        })?;
        let status = answer.status().as_u16();
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
        let bytes = answer.bytes().await.map_err(|error| {
            Failure::Silent(silent(Kind::Unavailable, "the answer broke off").because(error.without_url()))
        })?;
        if status != 200 {
            return Err(Failure::Said { fault: Fault::read(status, &bytes), wait: wait.map(Duration::from_secs) });
        }
        let odd = || Failure::Silent(silent(Kind::Internal, "the answer does not have the documented form"));
        serde_json::from_slice(&bytes).map_err(|_| odd())
    }

    async fn headers(&self, operation: &str) -> Result<HeaderMap> {
        let Who::Found(credentials) = &self.who else {
            return Ok(HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer owner"))]));
        };
        match credentials.headers(http::Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(error) => {
                let kind = if error.is_transient() { Kind::Unavailable } else { Kind::Denied };
                Err(Error::new(kind, operation, "no credentials").on(&self.database).because(error))
            }
        }
    }
}
