//! REST APIs as JSON, where an SDK client would be out of proportion to what is asked.
//!
//! Of IAM that is a handful of questions about one service account. Of Compute Engine it is what is the same call for a
//! zone, a region and the whole project: managed groups, and waiting for operations. Each place has a client of its own in
//! the SDK, and a program that links a client links all of its methods: two for the groups would be 1.1 MB.
//!
//! One attempt a call; the one retry layer is the driver's.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{HeaderMap, Method, header::CONTENT_LENGTH};
use serde::de::DeserializeOwned;
use serde_json::Value;
use stanch_core::{Error, Kind, Result};
use tokio::sync::OnceCell;

use crate::{
    clients::{Access, CALL},
    fault,
};

/// A list of more pages than this is not one that a responder should work on.
const PAGES: usize = 100;

/// An API that is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Api {
    Iam,
    Compute,
}

impl Api {
    /// Where Google has it, and where it is below the root of an endpoint.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Iam => ("https://iam.googleapis.com", "v1"),
            Self::Compute => ("https://compute.googleapis.com", "compute/v1"),
        }
    }
}

/// A client of one API.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    base: String,
    credentials: Credentials,
    http: Arc<OnceCell<reqwest::Client>>,
}

impl Rest {
    pub(crate) fn new(api: Api, access: &Access, credentials: &Credentials) -> Self {
        let (google, below) = api.place();
        let root = match access {
            Access::Google => google,
            Access::At { endpoint, .. } => endpoint.trim_end_matches('/'),
        };
        Self { base: format!("{root}/{below}"), credentials: credentials.clone(), http: Arc::default() }
    }

    /// A resource. `path` holds names that were parsed, and may end in a query that [`query`] made.
    pub(crate) async fn get<T: DeserializeOwned>(&self, operation: &str, path: &str) -> Result<T> {
        self.call(Method::GET, operation, path, None, CALL).await
    }

    /// A method or a new resource.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T> {
        self.call(Method::POST, operation, path, body, CALL).await
    }

    /// A method that may hold its answer back for as long as this.
    pub(crate) async fn wait<T: DeserializeOwned>(&self, operation: &str, path: &str, patience: Duration) -> Result<T> {
        self.call(Method::POST, operation, path, None, patience).await
    }

    /// Everything under `field`, page by page.
    pub(crate) async fn list(&self, operation: &str, path: &str, field: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let nothing = self.pages(Method::GET, operation, path, field, |item| {
            all.push(item);
            None::<()>
        });
        nothing.await.map(|_| all)
    }

    /// The first of what is under `field` that `wanted` makes something of. No page after it is asked for.
    pub(crate) async fn pages<T>(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        field: &str,
        mut wanted: impl FnMut(Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut token = None::<String>;
        for _ in 0..PAGES {
            let path = match &token {
                Some(token) => {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    format!("{path}{mark}pageToken={}", query(token))
                }
                None => path.to_owned(),
            };
            let mut page: Value = self.call(method.clone(), operation, &path, None, CALL).await?;
            if let Some(Value::Array(items)) = page.get_mut(field).map(Value::take)
                && let Some(found) = items.into_iter().find_map(&mut wanted)
            {
                return Ok(Some(found));
            }
            token =
                page.get("nextPageToken").and_then(Value::as_str).filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(None);
            }
        }
        Err(Error::new(Kind::Unsupported, operation, format!("a list of more than {PAGES} pages")).on(path))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<T> {
        let bytes = self.send(method, operation, path, body, patience).await?;
        // An answer without a body has no members.
        let bytes = if bytes.is_empty() { b"{}" } else { &*bytes };
        serde_json::from_slice(bytes).map_err(|_| {
            let message = "the answer does not have the documented form";
            Error::new(Kind::Internal, operation, message).on(resource(path))
        })
    }

    async fn send(
        &self,
        method: Method,
        operation: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Bytes> {
        let resource = resource(path);
        let silent = |kind, message: &str| Error::new(kind, operation, message).on(resource);
        let http = self.http.get_or_try_init(|| async { client() }).await?;
        let mut call = http.request(method.clone(), format!("{}/{path}", self.base)).timeout(patience);
        call = call.headers(self.headers(operation, resource).await?);
        call = match body {
            Some(body) => call.json(body),
            // Google refuses a POST that does not tell its length.
            None if method == Method::POST => call.header(CONTENT_LENGTH, 0),
            None => call,
        };
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
        Ok(bytes)
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

/// What is after the question mark says how much is asked, not of what.
fn resource(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CALL)
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
