//! How each API says no.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::CallInfo;
use crate::host::pairs;

/// Whose error form a fault is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// EC2's or `DynamoDB`'s form, as the call itself is.
    Aws,
    /// EC2's XML.
    Ec2,
    /// `DynamoDB`'s JSON.
    DynamoDb,
    /// Google's JSON.
    Gce,
    /// A Kubernetes `Status`.
    Kubernetes,
}

impl Dialect {
    fn of(self, info: &CallInfo) -> Self {
        match self {
            Self::Aws if info.headers.contains_key("x-amz-target") => Self::DynamoDb,
            Self::Aws => Self::Ec2,
            other => other,
        }
    }

    pub(super) fn throttle(self, info: &CallInfo) -> Response {
        match self.of(info) {
            Self::DynamoDb => {
                dynamodb_error(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput.")
            }
            Self::Gce => gce_error(429, "rateLimitExceeded", "Rate Limit Exceeded"),
            Self::Kubernetes => {
                let mut answer = kubernetes_error(
                    429,
                    "TooManyRequests",
                    "Too many requests, please try again later.",
                    json!({"retryAfterSeconds": 1}),
                );
                answer.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
                answer
            }
            _ => ec2_error(503, "RequestLimitExceeded", "Request limit exceeded."),
        }
    }

    pub(super) fn status(self, info: &CallInfo, code: u16) -> Response {
        match (self.of(info), code) {
            (Self::DynamoDb, 500..) => dynamodb_error(code, "InternalServerError", "Internal server error"),
            (Self::DynamoDb, 403) => {
                dynamodb_error(400, "AccessDeniedException", "User is not authorized to perform this action")
            }
            (Self::DynamoDb, _) => dynamodb_error(code, "ValidationException", "Refused by the range"),
            (Self::Gce, 403) => gce_error(code, "forbidden", "Forbidden by the range"),
            (Self::Gce, 500..) => gce_error(code, "backendError", "Backend Error"),
            (Self::Gce, _) => gce_error(code, "invalid", "Refused by the range"),
            (Self::Kubernetes, 403) => kubernetes_error(code, "Forbidden", "forbidden by the range", json!({})),
            (Self::Kubernetes, 409) => kubernetes_error(code, "Conflict", "conflict by the range", json!({})),
            (Self::Kubernetes, 503) => kubernetes_error(
                code,
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
                json!({}),
            ),
            (Self::Kubernetes, 500..) => kubernetes_error(code, "InternalError", "Internal error occurred", json!({})),
            (Self::Kubernetes, _) => kubernetes_error(code, "BadRequest", "refused by the range", json!({})),
            (_, 403) => ec2_error(code, "UnauthorizedOperation", "You are not authorized to perform this operation."),
            (_, 503) => ec2_error(code, "Unavailable", "The service is unavailable. Please try again shortly."),
            (_, 500..) => ec2_error(code, "InternalError", "An internal error has occurred"),
            (_, _) => ec2_error(code, "InvalidParameterValue", "Refused by the range"),
        }
    }
}

/// EC2's documented error form: `ec2_error(400, "SnapshotCreationPerVolumeRateExceeded", …)`.
pub fn ec2_error(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message>\
         </Error></Errors><RequestID>{}</RequestID></Response>",
        escape(code),
        escape(message),
        uuid::Uuid::new_v4(),
    );
    answer(status, "text/xml;charset=UTF-8", body)
}

/// `DynamoDB`'s documented error form; `code` without its namespace.
pub fn dynamodb_error(status: u16, code: &str, message: &str) -> Response {
    let namespace = match code {
        "AccessDeniedException" | "ValidationException" => "com.amazon.coral.service",
        _ => "com.amazonaws.dynamodb.v20120810",
    };
    let body = json!({"__type": format!("{namespace}#{code}"), "message": message});
    let mut answer = answer(status, "application/x-amz-json-1.0", body.to_string());
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        answer.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}

/// Google's error form.
pub fn gce_error(status: u16, reason: &str, message: &str) -> Response {
    answer(status, "application/json; charset=UTF-8", crate::gce::Refusal::new(status, reason, message).json())
}

/// A Kubernetes `Status`.
#[expect(clippy::needless_pass_by_value, reason = "callers write json! in place")]
pub fn kubernetes_error(status: u16, reason: &str, message: &str, details: serde_json::Value) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": status});
    answer(status, "application/json", body.to_string())
}

/// A list that expired, with the token that goes on with it as it is now; the query's percent-encoding is taken off.
pub fn kubernetes_expired(next: &str) -> Response {
    let next = pairs(&format!("continue={next}")).into_iter().next().map(|(_, value)| value).unwrap_or_default();
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {"continue": next}, "status": "Failure",
        "message": "The provided continue parameter is too old", "reason": "Expired", "code": 410});
    answer(410, "application/json", body.to_string())
}

fn answer(status: u16, kind: &'static str, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    answer
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `X-Amz-Target: DynamoDB_20120810.PutItem` → `PutItem`; a form body's `Action=DescribeInstances` likewise.
pub(super) fn action(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(target) = headers.get("x-amz-target") {
        return target.to_str().ok()?.rsplit('.').next().map(str::to_owned);
    }
    let kind = headers.get("content-type")?.to_str().ok()?;
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    pairs(std::str::from_utf8(body).ok()?).into_iter().find(|(key, _)| key == "Action").map(|(_, value)| value)
}
