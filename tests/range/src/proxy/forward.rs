//! Passing a call on, and its answer back.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::{CallInfo, status};

/// Headers that concern one connection only (RFC 9110, 7.6.1), and the length, which the client sets anew.
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

pub(super) async fn forward(upstream: &str, client: &reqwest::Client, info: &CallInfo) -> Response {
    let query = if info.query.is_empty() { String::new() } else { format!("?{}", info.query) };
    let url = format!("{}{}{query}", upstream, info.path);
    let Ok(method) = http::Method::from_bytes(info.method.as_bytes()) else { return status(StatusCode::BAD_REQUEST) };
    let mut headers = info.headers.clone();
    for name in HOP {
        headers.remove(name);
    }
    let request = client.request(method, url).headers(headers).body(info.body.clone());
    let given = match request.send().await {
        Ok(given) => given,
        Err(error) => {
            let mut answer = Response::new(Body::from(format!("the range's proxy cannot reach upstream: {error}\n")));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            return answer;
        }
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = given.status();
    *answer.headers_mut() = given.headers().clone();
    for name in HOP {
        // The length of an answer stays: it is passed on as it is.
        if name != "content-length" {
            answer.headers_mut().remove(name);
        }
    }
    *answer.body_mut() = Body::from_stream(given.bytes_stream());
    answer
}
