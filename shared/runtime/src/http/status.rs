//! From an answer to an HTTP status.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use stanch_core::{Kind, Status};

use crate::answer::Answer;

/// Sooner a new try only finds the lease (30 s) or the throttle of the last one.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// The status of an error kind. 429 and 5xx say "try again", so nothing permanent but a defect has one of them.
pub(super) fn of_kind(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        // It is we who lack a permission, not the caller.
        Kind::Denied => StatusCode::FAILED_DEPENDENCY,
        Kind::Refused => StatusCode::FORBIDDEN,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status of an order's answer.
pub(super) fn of_order(answer: &Answer) -> StatusCode {
    let Some(report) = answer.reports.first() else { return StatusCode::INTERNAL_SERVER_ERROR };
    match report.status {
        Status::Planned | Status::Applied | Status::Already | Status::Reverted if !report.wants_retry() => {
            StatusCode::OK
        }
        Status::Refused => report.error.map_or(StatusCode::FORBIDDEN, of_kind),
        _ => of_kind(report.error.unwrap_or(Kind::Internal)),
    }
}

/// The status of an event's answer. That the guard refuses is an answer: the sender did nothing wrong.
pub(super) fn of_event(answer: &Answer) -> StatusCode {
    match answer.retry().or_else(|| answer.failure()) {
        Some(report) => of_kind(report.error.unwrap_or(Kind::Internal)),
        None => StatusCode::OK,
    }
}

/// A response with JSON in it.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A report is for whoever asked, now.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A response that says what is wrong with the request itself.
pub(super) fn problem(status: StatusCode, message: &str) -> Response {
    let mut response = json_response(status, &json!({"error": message}));
    // Its body may be unread: then the connection ends here, and the client must not send on it.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
