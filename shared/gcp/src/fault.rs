//! What a failed call means. The service's own text is never passed on (a 400 repeats the field that it refuses,
//! which may be a key): of it only the permission, the quota, the field's name and the reason are taken, and those
//! only where they have the form of one.

use std::time::Duration;

use serde_json::Value;
use stanch_core::{Error, Kind};

/// Turns an answer that is no success into an error. `operation` is the call's documented name, `resource` its path.
pub(crate) fn answer(operation: &str, resource: &str, status: u16, bytes: &[u8], wait: Option<Duration>) -> Error {
    let (kind, message) = by_status(status, &Reply::of_json(bytes));
    Error::new(kind, operation, message).on(resource).retry_after(wait)
}

/// What an accepted operation failed with, if it did. Nothing was made.
pub(crate) fn failed(operation: &str, resource: &str, answer: &Value) -> Option<Error> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let status = answer.get("httpErrorStatusCode").and_then(Value::as_u64).filter(|status| *status >= 400);
    if answer.get("error").is_none() && status.is_none() {
        return None;
    }
    let reply = Reply {
        reason: text("/error/errors/0/code").and_then(word),
        message: text("/error/errors/0/message").unwrap_or_default().to_owned(),
        ..Reply::default()
    };
    Some(of_operation(operation, resource, status.and_then(|status| u16::try_from(status).ok()), &reply))
}

fn of_operation(operation: &str, resource: &str, status: Option<u16>, reply: &Reply) -> Error {
    let code = reply.reason.as_deref().unwrap_or_default();
    let (kind, message) = match code {
        "QUOTA_EXCEEDED" => (Kind::Throttled, quota(reply)),
        "RESOURCE_OPERATION_RATE_EXCEEDED" | "RATE_LIMIT_EXCEEDED" => {
            (Kind::Throttled, "too many operations on this resource in a short time".to_owned())
        }
        "RESOURCE_NOT_FOUND" => (Kind::NotFound, "it does not exist".to_owned()),
        "RESOURCE_ALREADY_EXISTS" => (Kind::Conflict, "the name is taken".to_owned()),
        "PERMISSIONS_ERROR" => (Kind::Denied, denied(reply)),
        "RESOURCE_NOT_READY" | "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE" => {
            (Kind::Unavailable, "the resource is busy".to_owned())
        }
        _ => by_status(status.unwrap_or(500), reply),
    };
    Error::new(kind, operation, format!("the accepted operation failed: {message}")).on(resource)
}

#[derive(Default)]
struct Reply {
    reason: Option<String>,
    permission: Option<String>,
    quota: Option<String>,
    message: String,
}

impl Reply {
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
        assert!(failed("x", "y", &serde_json::json!({"status": "DONE"})).is_none());
        let operation = serde_json::json!({"status": "DONE", "error": {"errors": [{"code": "QUOTA_EXCEEDED", "message": "Quota 'CPUS' exceeded."}]}});
        assert_eq!(failed("x", "y", &operation).map(|error| error.kind()), Some(Kind::Throttled));
    }
}
