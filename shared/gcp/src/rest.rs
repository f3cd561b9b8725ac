//! Google's REST APIs as JSON. A responder asks a handful of questions; the SDK's clients of the same would double its
//! size and its start.
//!
//! One attempt a call; the one retry layer is the driver's.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use stanch_core::{Error, Kind, Result};

use crate::{
    clients::{Access, CALL},
    fault,
};

/// How long one write waits for its operation.
const WAIT: Duration = Duration::from_secs(16);
/// How often it asks meanwhile: at first at once, then less and less.
const POLLS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1000)];
/// A list of more pages than this is not one that a responder should work on.
const PAGES: usize = 100;

/// Which of the APIs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    /// `compute.googleapis.com/compute/v1`
    Compute,
    /// `iam.googleapis.com/v1`
    Iam,
}

/// The client of both.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    access: Access,
    credentials: Credentials,
    http: reqwest::Client,
}

impl Rest {
    pub(crate) fn new(access: &Access, credentials: &Credentials) -> Result<Self> {
        Ok(Self { access: access.clone(), credentials: credentials.clone(), http: client()? })
    }

    /// A resource. `path` holds names that were parsed, and may end in a query that [`query`] made.
    pub(crate) async fn get(&self, service: Service, operation: &str, path: &str) -> Result<Value> {
        self.call(service, Method::GET, operation, path, None).await
    }

    /// A method or a new resource.
    pub(crate) async fn post(&self, service: Service, operation: &str, path: &str, body: &Value) -> Result<Value> {
        self.call(service, Method::POST, operation, path, Some(body)).await
    }

    /// Everything under `field`, page by page. Some lists are asked for by POST.
    pub(crate) async fn list(
        &self,
        service: Service,
        method: Method,
        operation: &str,
        path: &str,
        field: &str,
    ) -> Result<Vec<Value>> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let path = match &token {
                Some(token) => {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    format!("{path}{mark}pageToken={}", query(token))
                }
                None => path.to_owned(),
            };
            let body = (method == Method::POST).then(|| json!({}));
            let mut page = self.call(service, method.clone(), operation, &path, body.as_ref()).await?;
            match page.get_mut(field).map(Value::take) {
                Some(Value::Array(items)) => all.extend(items),
                // An aggregated list is a map from scope to list.
                Some(scopes @ Value::Object(_)) => all.push(scopes),
                _ => {}
            }
            token =
                page.get("nextPageToken").and_then(Value::as_str).filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(Error::new(Kind::Unsupported, operation, format!("a list of more than {PAGES} pages")).on(path))
    }

    /// Carries out a write of Compute Engine, and waits a moment to see whether the accepted operation fails.
    pub(crate) async fn operate(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<()> {
        let answer = self.call(Service::Compute, method, operation, path, body).await?;
        self.done(operation, path, answer).await
    }

    /// Waits a moment for an accepted operation, and says why it failed.
    pub(crate) async fn done(&self, operation: &str, path: &str, mut answer: Value) -> Result<()> {
        let resource = path.split('?').next().unwrap_or(path);
        // `projects/P/zones/Z`, `projects/P/regions/R` or `projects/P/global`: where the operation is, too.
        let parts: Vec<&str> = resource.split('/').collect();
        let (kind, length) = match parts.get(2) {
            Some(&"zones") => ("compute.zoneOperations.get", 4),
            Some(&"regions") => ("compute.regionOperations.get", 4),
            _ => ("compute.globalOperations.get", 3),
        };
        let place = parts.get(..length).unwrap_or_default().join("/");
        let (mut waited, mut polls) = (Duration::ZERO, POLLS.iter());
        let mut pause = Duration::from_millis(2000);
        while answer.get("status").and_then(Value::as_str) != Some("DONE") && waited < WAIT {
            let Some(name) = answer.get("name").and_then(Value::as_str).filter(|name| is_name(name)) else {
                return Err(Error::new(Kind::Internal, operation, "the answer is not an operation").on(resource));
            };
            let at = format!("{place}/operations/{name}");
            pause = polls.next().copied().unwrap_or(pause);
            tokio::time::sleep(pause).await;
            waited += pause;
            answer = self.get(Service::Compute, kind, &at).await?;
        }
        match fault::failed(operation, resource, &answer) {
            Some(error) => Err(error),
            None if answer.get("status").and_then(Value::as_str) == Some("DONE") => Ok(()),
            None => Err(Error::new(Kind::Unavailable, operation, "the accepted operation is still running").on(resource)),
        }
    }

    async fn call(
        &self,
        service: Service,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        // What is after the question mark says how much is asked, not of what.
        let resource = path.split('?').next().unwrap_or(path);
        let silent = |kind, message: &str| Error::new(kind, operation, message).on(resource);
        let root = match (&self.access, service) {
            (Access::Google, Service::Compute) => "https://compute.googleapis.com/compute/v1".to_owned(),
            (Access::Google, Service::Iam) => "https://iam.googleapis.com/v1".to_owned(),
            (Access::At { endpoint, .. }, Service::Compute) => format!("{}/compute/v1", endpoint.trim_end_matches('/')),
            (Access::At { endpoint, .. }, Service::Iam) => format!("{}/v1", endpoint.trim_end_matches('/')),
        };
        let mut call = self
            .http
            .request(method.clone(), format!("{root}/{path}"))
            .headers(self.headers(operation, resource).await?);
        if let Some(body) = body {
            call = call.json(body);
        } else if method != Method::GET {
            call = call.header(http::header::CONTENT_LENGTH, 0);
        }
        let answer = call.send().await.map_err(|error| {
            let message = if error.is_timeout() { "no answer in time" } else { "no answer" };
            silent(Kind::Unavailable, message).because(error.without_url())
        })?;
        let status = answer.status().as_u16();
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
        let bytes = answer
            .bytes()
            .await
            .map_err(|error| silent(Kind::Unavailable, "the answer broke off").because(error.without_url()))?;
        if !(200..300).contains(&status) {
            return Err(fault::answer(operation, resource, status, &bytes, wait.map(Duration::from_secs)));
        }
        if bytes.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&bytes)
            .map_err(|_| silent(Kind::Internal, "the answer does not have the documented form"))
    }

    async fn headers(&self, operation: &str, resource: &str) -> Result<HeaderMap> {
        match self.credentials.headers(http::Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(error) => {
                let kind = if error.is_transient() { Kind::Unavailable } else { Kind::Denied };
                Err(Error::new(kind, operation, "no credentials").on(resource).because(error))
            }
        }
    }
}

fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CALL)
        .timeout(CALL)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::new(Kind::Internal, "gcp:connect", "the client cannot be built").because(error))
}

/// A value of a query: everything but letters, digits and `-._~` percent-encoded (RFC 3986).
pub(crate) fn query(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The name of an operation goes into a path.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_one_value() {
        assert_eq!(query("labels.a=b c&x/€"), "labels.a%3Db%20c%26x%2F%E2%82%AC");
        assert!(is_name("operation-1763-abc") && !is_name("../x") && !is_name(""));
    }
}
