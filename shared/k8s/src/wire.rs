//! One request, one answer.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode, header};
use kube::{Client, client::Body, core::Status};
use serde::Deserialize;
use stanch_core::{Error, Kind, Result};

use crate::error::Call;

/// For one call, all of it: the client's own timeouts are per read and per write.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The metadata of one object.
pub(crate) const META: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
/// The metadata of each item of a list.
pub(crate) const META_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// One attempt. The answer's status is read by us and not by `kube`, whose own reading loses the header
/// `Retry-After` and logs bodies that it cannot parse.
pub(crate) async fn exchange(
    client: &Client,
    call: Call<'_>,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<Answer> {
    let request =
        request.body(Body::from(body)).map_err(|_| call.error(Kind::Internal, "the request cannot be built"))?;
    let exchange: BoxFuture<'_, kube::Result<_>> = Box::pin(async {
        let (head, body) = client.send(request).await?.into_parts();
        Ok((head, body.collect_bytes().await?))
    });
    let (head, body) = tokio::time::timeout(CALL_TIMEOUT, exchange)
        .await
        .map_err(|_| call.error(Kind::Unavailable, "no answer from the API server in time"))?
        .map_err(|error| call.unanswered(&error))?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.into() })
}

/// The body of an answer that is a success.
pub(crate) async fn send(
    client: &Client,
    call: Call<'_>,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<Vec<u8>> {
    let answer = exchange(client, call, request, body).await?;
    if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(call, &answer)) }
}

/// What an answer that is no success means.
pub(crate) fn refusal(call: Call<'_>, answer: &Answer) -> Error {
    let seconds =
        answer.headers.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
    let status: Status = serde_json::from_slice(&answer.body).unwrap_or_default();
    call.answered(answer.status.as_u16(), seconds.map(Duration::from_secs), &status)
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    get_as(path, "application/json")
}

/// A builder adds headers and replaces none: what is accepted is said once.
pub(crate) fn get_as(path: &str, accept: &'static str) -> http::request::Builder {
    Request::get(path).header(header::ACCEPT, accept)
}

pub(crate) fn parse<T: for<'de> Deserialize<'de>>(call: Call<'_>, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| call.error(Kind::Internal, "the answer is not the JSON that is documented"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_one_query_value() {
        assert_eq!(escape("spec.nodeName=a,status.phase!=Failed"), "spec.nodeName%3Da%2Cstatus.phase%21%3DFailed");
        assert_eq!(escape("a&b=c"), "a%26b%3Dc");
    }
}
