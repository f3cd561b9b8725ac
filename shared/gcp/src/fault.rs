//! What a failed call means. The service's own text is never passed on (a 400 repeats the field that it refuses,
//! which may be a key): of it only the permission, the quota, the field's name and the reason are taken, and those
//! only where they have the form of one.

use std::{error::Error as _, time::Duration};

use google_cloud_compute_v1::model::Operation;
use google_cloud_gax::error::{
    CredentialsError, Error as CallError,
    rpc::{Code, StatusDetails},
};
use serde_json::Value;
use stanch_core::{Error, Kind};

/// Turns the error of a call into ours. `operation` is its documented name, `resource` its path.
pub(crate) fn call(operation: &str, resource: &str, error: &CallError) -> Error {
    let (kind, message) = if error.is_authentication() {
        let source = error.source().and_then(|source| source.downcast_ref::<CredentialsError>());
        if source.is_some_and(CredentialsError::is_transient) {
            (Kind::Unavailable, "the credentials could not be fetched".to_owned())
        } else {
            (Kind::Denied, "no usable credentials: see Application Default Credentials".to_owned())
        }
    } else if let Some(status) = error.http_status_code() {
        let reply = Reply::read(error);
        by_status(status, &reply)
    } else if error.is_timeout() {
        (Kind::Unavailable, "no answer in time".to_owned())
    } else if error.is_connect() {
        (Kind::Unavailable, "no connection".to_owned())
    } else if error.is_deserialization() || error.is_serialization() || error.is_binding() {
        (Kind::Internal, "the answer does not have the documented form".to_owned())
    } else {
        (Kind::Unavailable, "the connection broke".to_owned())
    };
    let wait = error.http_headers().and_then(|headers| headers.get("retry-after")?.to_str().ok()?.parse().ok());
    Error::new(kind, operation, message).on(resource).retry_after(wait.map(Duration::from_secs))
}

/// The same of an answer that was read as JSON.
pub(crate) fn answer(operation: &str, resource: &str, status: u16, bytes: &[u8], wait: Option<Duration>) -> Error {
    let (kind, message) = by_status(status, &Reply::of_json(bytes));
    Error::new(kind, operation, message).on(resource).retry_after(wait)
}

/// What an accepted operation failed with, if it did. Nothing was made.
pub(crate) fn operation(operation: &str, resource: &str, answer: &Operation) -> Option<Error> {
    let first = answer.error.as_ref().and_then(|error| error.errors.first());
    let status = answer.http_error_status_code.filter(|status| *status >= 400);
    if answer.error.is_none() && status.is_none() {
        return None;
    }
    let reply = Reply {
        reason: first.and_then(|error| word(error.code.as_deref()?)),
        message: first.and_then(|error| error.message.clone()).unwrap_or_default(),
        ..Reply::default()
    };
    let code = reply.reason.as_deref().unwrap_or_default();
    let (kind, message) = match code {
        "QUOTA_EXCEEDED" => (Kind::Throttled, quota(&reply)),
        "RESOURCE_OPERATION_RATE_EXCEEDED" | "RATE_LIMIT_EXCEEDED" => {
            (Kind::Throttled, "too many operations on this resource in a short time".to_owned())
        }
        "RESOURCE_NOT_FOUND" => (Kind::NotFound, "it does not exist".to_owned()),
        "RESOURCE_ALREADY_EXISTS" => (Kind::Conflict, "the name is taken".to_owned()),
        "PERMISSIONS_ERROR" => (Kind::Denied, denied(&reply)),
        "RESOURCE_NOT_READY" | "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE" => {
            (Kind::Unavailable, "the resource is busy".to_owned())
        }
        _ => by_status(status.and_then(|status| u16::try_from(status).ok()).unwrap_or(500), &reply),
    };
    Some(Error::new(kind, operation, format!("the accepted operation failed: {message}")).on(resource))
}

#[derive(Default)]
struct Reply {
    reason: Option<String>,
    permission: Option<String>,
    quota: Option<String>,
    message: String,
}

impl Reply {
    fn read(error: &CallError) -> Self {
        let Some(status) = error.status() else { return Self::default() };
        let mut reply = Self { message: status.message.clone(), ..Self::default() };
        for detail in &status.details {
            if let StatusDetails::ErrorInfo(info) = detail {
                reply.reason = word(&info.reason).or(reply.reason);
                let of = |keys: &[&str]| keys.iter().find_map(|key| word(info.metadata.get(*key)?));
                reply.permission = of(&["permission"]).or(reply.permission);
                reply.quota = of(&["quota_metric", "metricName", "quota_limit"]).or(reply.quota);
            }
        }
        if reply.reason.is_none() && status.code == Code::ResourceExhausted {
            reply.reason = Some("rateLimitExceeded".to_owned());
        }
        reply
    }

    /// Reads `{"error": {…}}`, in the form of Compute Engine (`errors`) or of the newer APIs (`status`, `details`).
    fn of_json(bytes: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let mut reply = Self {
            reason: text("/error/errors/0/reason").or_else(|| text("/error/status")).and_then(word),
            message: text("/error/message").unwrap_or_default().to_owned(),
            ..Self::default()
        };
        for detail in body.pointer("/error/details").and_then(Value::as_array).into_iter().flatten() {
            let of = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str).and_then(word);
            reply.reason = of("/reason").or(reply.reason);
            reply.permission = of("/metadata/permission").or(reply.permission);
            reply.quota = of("/metadata/quota_metric").or_else(|| of("/metadata/quota_limit")).or(reply.quota);
        }
        reply
    }

    /// What stands in quotes after `before`.
    fn quoted(&self, before: &str) -> Option<String> {
        let (_, rest) = self.message.split_once(before)?;
        word(rest.strip_prefix('\'')?.split_once('\'')?.0)
    }
}

/// A code, a permission, a field: nothing else gets into our text.
fn word(text: &str) -> Option<String> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"._-/[]".contains(&c);
    ((1..=100).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

fn by_status(status: u16, reply: &Reply) -> (Kind, String) {
    let reason = reply.reason.as_deref().unwrap_or_default();
    match (status, reason) {
        // A quota does not come back by waiting seconds, but nothing was done, and later it may work.
        (403 | 429, "quotaExceeded" | "QUOTA_EXCEEDED" | "limitExceeded") => (Kind::Throttled, quota(reply)),
        (403 | 429, "rateLimitExceeded" | "userRateLimitExceeded" | "RATE_LIMIT_EXCEEDED") | (429, _) => {
            (Kind::Throttled, "too many calls".to_owned())
        }
        (403, "accessNotConfigured" | "SERVICE_DISABLED") => {
            (Kind::Denied, "the API is not enabled in the project".to_owned())
        }
        (403, _) => (Kind::Denied, denied(reply)),
        (401, _) => (Kind::Denied, "the credentials were refused".to_owned()),
        (404 | 410, _) => (Kind::NotFound, "it does not exist".to_owned()),
        (409, "alreadyExists") => (Kind::Conflict, "the name is taken".to_owned()),
        (409, _) => (Kind::Conflict, with("the resource is in another state", reason)),
        (412, _) => (Kind::Conflict, "the resource has changed meanwhile".to_owned()),
        (408 | 500..=599, _) => (Kind::Unavailable, format!("no result (HTTP {status})")),
        (400, "resourceNotReady" | "resourceInUseByAnotherResource") => {
            (Kind::Unavailable, with("the resource is busy", reason))
        }
        (400, _) => match reply.quoted("field ") {
            Some(field) => (Kind::Invalid, format!("the service refuses the field {field}")),
            None => (Kind::Invalid, with("the service refuses the request", reason)),
        },
        (status, _) => (Kind::Internal, with(&format!("undocumented answer (HTTP {status})"), reason)),
    }
}

fn denied(reply: &Reply) -> String {
    match reply.permission.clone().or_else(|| reply.quoted("Required ")).or_else(|| reply.quoted("Permission ")) {
        Some(permission) => format!("the permission {permission} is missing"),
        None => with(
            "a permission is missing, or an organization policy forbids it",
            reply.reason.as_deref().unwrap_or_default(),
        ),
    }
}

fn quota(reply: &Reply) -> String {
    let which =
        reply.quota.clone().or_else(|| reply.quoted("Quota ")).map_or(String::new(), |quota| format!(" {quota}"));
    format!("the project's quota{which} is used up: raise it, or delete what is not needed")
}

fn with(text: &str, reason: &str) -> String {
    if reason.is_empty() { text.to_owned() } else { format!("{text} ({reason})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_compute_v1::model::operation;

    fn reply(reason: &str, message: &str) -> Reply {
        Reply { reason: word(reason), message: message.to_owned(), ..Reply::default() }
    }

    #[test]
    fn a_status_and_a_reason_decide() {
        let cases = [
            (
                "a missing permission",
                403,
                "forbidden",
                "Required 'compute.disks.createSnapshot' permission for 'x'",
                Kind::Denied,
                "the permission compute.disks.createSnapshot is missing",
            ),
            ("a rate", 403, "rateLimitExceeded", "Rate Limit Exceeded", Kind::Throttled, "too many calls"),
            (
                "a quota",
                403,
                "quotaExceeded",
                "Quota 'SNAPSHOTS' exceeded.  Limit: 3.0 globally.",
                Kind::Throttled,
                "the project's quota SNAPSHOTS is used up: raise it, or delete what is not needed",
            ),
            ("a missing resource", 404, "notFound", "x", Kind::NotFound, "it does not exist"),
            ("a fingerprint", 412, "conditionNotMet", "x", Kind::Conflict, "the resource has changed meanwhile"),
            ("a name", 409, "alreadyExists", "x", Kind::Conflict, "the name is taken"),
            ("a backend", 503, "backendError", "x", Kind::Unavailable, "no result (HTTP 503)"),
            (
                "a field",
                400,
                "invalid",
                "Invalid value for field 'resource.sourceDiskEncryptionKey.rawKey': 'c2VjcmV0'. Bad.",
                Kind::Invalid,
                "the service refuses the field resource.sourceDiskEncryptionKey.rawKey",
            ),
            ("foreign text", 400, "<b>", "\u{1b}[2J' field 'a b'", Kind::Invalid, "the service refuses the request"),
        ];
        for (name, status, reason, message, kind, text) in cases {
            assert_eq!(by_status(status, &reply(reason, message)), (kind, text.to_owned()), "{name}");
        }
    }

    #[test]
    fn the_permission_is_taken_from_the_details_too() {
        let reply = Reply { permission: word("compute.disks.get"), ..reply("IAM_PERMISSION_DENIED", "x") };
        assert_eq!(by_status(403, &reply), (Kind::Denied, "the permission compute.disks.get is missing".to_owned()));
    }

    #[test]
    fn both_forms_of_an_error_are_read() {
        let compute = r#"{"error":{"code":403,"message":"Required 'compute.instanceGroupManagers.update' permission for 'x'",
            "errors":[{"reason":"forbidden","message":"x"}]}}"#;
        let error = answer("x", "y", 403, compute.as_bytes(), None);
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Denied, "the permission compute.instanceGroupManagers.update is missing")
        );
        let iam = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"\u001b[2J","details":[{"reason":"IAM_PERMISSION_DENIED",
            "metadata":{"permission":"iam.serviceAccounts.disable"}}]}}"#;
        let error = answer("x", "y", 403, iam.as_bytes(), None);
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Denied, "the permission iam.serviceAccounts.disable is missing")
        );
        let error = answer("x", "y", 409, br#"{"error":{"code":409,"status":"ABORTED","message":"etag"}}"#, None);
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(answer("x", "y", 502, b"<html>", None).kind(), Kind::Unavailable);
    }

    #[test]
    fn an_operation_that_failed_is_told_from_one_that_runs() {
        assert!(operation("x", "y", &Operation::new()).is_none());
        let failed = Operation::new().set_http_error_status_code(429).set_error(
            operation::Error::new()
                .set_errors([operation::error::Errors::new().set_code("RESOURCE_OPERATION_RATE_EXCEEDED")]),
        );
        assert_eq!(super::operation("x", "y", &failed).map(|error| error.kind()), Some(Kind::Throttled));
    }
}
