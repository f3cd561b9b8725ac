//! `POST /batch/compute/v1`: several requests in one multipart body, as `gcloud` polls its operations.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::host::Asked;

/// The part's `Content-ID` and the request inside.
pub(crate) type Part = (String, Asked);

/// Takes a multipart/mixed body apart; `None` if it is none.
pub(crate) fn read(asked: &Asked) -> Option<Vec<Part>> {
    let kind = asked.header("content-type")?;
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let body = std::str::from_utf8(&asked.body).ok()?.replace("\r\n", "\n");
    let marker = format!("--{boundary}");
    let parts = body.split(marker.as_str()).skip(1).take_while(|part| !part.starts_with("--"));
    parts.map(|part| one(part, asked)).collect()
}

fn one(part: &str, outer: &Asked) -> Option<Part> {
    let (head, inner) = part.trim_start_matches('\n').split_once("\n\n")?;
    let id = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-id").then(|| value.trim().to_owned())
    })?;
    let (head, body) = inner.split_once("\n\n").unwrap_or((inner, ""));
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let method = Method::from_bytes(words.next()?.as_bytes()).ok()?;
    let (path, query) = words.next().map(|target| target.split_once('?').unwrap_or((target, "")))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.trim()))
        {
            headers.insert(name, value);
        }
    }
    // A part without credentials of its own is made with those of the whole.
    if let (None, Some(token)) = (headers.get("authorization"), outer.headers.get("authorization")) {
        headers.insert("authorization", token.clone());
    }
    let body = Bytes::from(body.trim_end().to_owned());
    Some((id, Asked { method, path: path.into(), query: query.into(), headers, body }))
}

/// Puts the answers together; the second value is the content type.
pub(crate) fn write(answers: &[(String, u16, Value)]) -> (String, String) {
    let boundary = "batch_stanch_range";
    let mut out = String::new();
    for (id, status, body) in answers {
        let id = id.trim_start_matches('<');
        let reason =
            http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status");
        let part = format!(
            "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}\r\n\r\nHTTP/1.1 {status} {reason}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{body}\r\n\r\n",
        );
        out.push_str(&part);
    }
    out.push_str("--batch_stanch_range--\r\n");
    (out, format!("multipart/mixed; boundary={boundary}"))
}
