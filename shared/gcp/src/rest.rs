//! IAM's REST API as JSON: a responder asks it a handful of questions about one service account.
//!
//! One attempt a call; the one retry layer is the driver's.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use stanch_core::{Error, Kind, Result};
use tokio::sync::OnceCell;

use crate::{
    clients::{Access, CALL},
    fault,
};

/// A list of more pages than this is not one that a responder should work on.
const PAGES: usize = 100;

/// The client.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    access: Access,
    credentials: Credentials,
    http: std::sync::Arc<OnceCell<reqwest::Client>>,
}

impl Rest {
    pub(crate) fn new(access: &Access, credentials: &Credentials) -> Self {
        Self { access: access.clone(), credentials: credentials.clone(), http: std::sync::Arc::default() }
    }

    /// A resource. `path` holds names that were parsed, and may end in a query that [`query`] made.
    pub(crate) async fn get(&self, operation: &str, path: &str) -> Result<Value> {
        self.call(Method::GET, operation, path, None).await
    }

    /// A method or a new resource.
    pub(crate) async fn post(&self, operation: &str, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, operation, path, Some(body)).await
    }

    /// Everything under `field`, page by page.
    pub(crate) async fn list(&self, operation: &str, path: &str, field: &str) -> Result<Vec<Value>> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let path = match &token {
                Some(token) => {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    format!("{path}{mark}pageToken={}", query(token))
                }
                None => path.to_owned(),
            };
            let mut page = self.get(operation, &path).await?;
            if let Some(Value::Array(items)) = page.get_mut(field).map(Value::take) {
                all.extend(items);
            }
            token =
                page.get("nextPageToken").and_then(Value::as_str).filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(Error::new(Kind::Unsupported, operation, format!("a list of more than {PAGES} pages")).on(path))
    }

    async fn call(&self, method: Method, operation: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        // What is after the question mark says how much is asked, not of what.
        let resource = path.split('?').next().unwrap_or(path);
        let silent = |kind, message: &str| Error::new(kind, operation, message).on(resource);
        let root = match &self.access {
            Access::Google => "https://iam.googleapis.com",
            Access::At { endpoint, .. } => endpoint.trim_end_matches('/'),
        };
        let http = self.http.get_or_try_init(|| async { client() }).await?;
        let mut call =
            http.request(method, format!("{root}/v1/{path}")).headers(self.headers(operation, resource).await?);
        if let Some(body) = body {
            call = call.json(body);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_one_value() {
        assert_eq!(query("labels.a=b c&x/€"), "labels.a%3Db%20c%26x%2F%E2%82%AC");
    }
}
