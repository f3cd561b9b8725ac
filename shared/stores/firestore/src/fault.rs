//! What Firestore's errors mean. Sources: Firestore "Understand error codes", "Security for server client libraries"
//! (which permission a method needs); Google API Improvement Proposal 193 (the form of an error).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use stanch_core::{Error, Kind};

/// The part of an error answer that decides.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    http: u16,
    /// `NOT_FOUND`, `ABORTED` …
    status: String,
    reason: String,
    permission: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    error: Body,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    status: String,
    details: Vec<Value>,
}

impl Fault {
    /// Reads an error answer. A streaming method wraps its error in a list.
    pub(crate) fn read(http: u16, bytes: &[u8]) -> Self {
        let one = serde_json::from_slice::<Answer>(bytes).ok();
        let body = one.or_else(|| serde_json::from_slice::<Vec<Answer>>(bytes).ok()?.into_iter().next());
        let body = body.map(|answer| answer.error).unwrap_or_default();
        let info = |pointer: &str| body.details.iter().find_map(|one| word(one.pointer(pointer)?.as_str()?));
        Self {
            http,
            reason: info("/reason").unwrap_or_default(),
            permission: info("/metadata/permission"),
            status: word(&body.status).unwrap_or_default(),
        }
    }

    /// A document is not as a precondition says. Also what a missing database, or one of another kind, answers: so the
    /// caller looks.
    pub(crate) fn may_be_moved(&self) -> bool {
        matches!(self.status.as_str(), "FAILED_PRECONDITION" | "NOT_FOUND" | "ALREADY_EXISTS")
    }

    /// The error that it is. `needs` are the permissions of the call, which Firestore does not always name.
    pub(crate) fn error(&self, operation: &str, resource: &str, needs: &str, wait: Option<Duration>) -> Error {
        let (kind, message) = match (self.http, self.status.as_str()) {
            (401, _) => (Kind::Denied, "the credentials were refused".to_owned()),
            (403, _) if self.reason == "SERVICE_DISABLED" => {
                (Kind::Denied, "the Cloud Firestore API is not enabled in the project".to_owned())
            }
            (403, _) => {
                let missing = self.permission.as_deref().unwrap_or(needs);
                (Kind::Denied, format!("the permission {missing} is missing"))
            }
            (404, _) => (Kind::NotFound, "the database does not exist: create it in Native mode".to_owned()),
            // Another transaction held a document: nothing of this one was written.
            (409, "ABORTED") => (Kind::Throttled, "another transaction was under way".to_owned()),
            (429, _) => (Kind::Throttled, "too many calls, or a quota is used up".to_owned()),
            (400, "FAILED_PRECONDITION") => {
                (Kind::Unsupported, "the database does not take it: it must be in Native mode".to_owned())
            }
            (408 | 500..=599, _) => (Kind::Unavailable, format!("no result (HTTP {})", self.http)),
            (http, status) => (Kind::Internal, format!("undocumented answer (HTTP {http} {status})")),
        };
        Error::new(kind, operation, message).on(resource).retry_after(wait)
    }
}

/// A code or a permission: nothing else of the answer gets into our text.
fn word(text: &str) -> Option<String> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"._".contains(&c);
    ((1..=100).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(http: u16, body: &str) -> (Kind, String) {
        let error =
            Fault::read(http, body.as_bytes()).error("firestore:commit", "x", "datastore.entities.update", None);
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn a_status_decides_and_text_is_not_repeated() {
        let missing = |permission: &str| (Kind::Denied, format!("the permission {permission} is missing"));
        let plain =
            r#"{"error":{"code":403,"message":"Missing or insufficient permissions.","status":"PERMISSION_DENIED"}}"#;
        assert_eq!(of(403, plain), missing("datastore.entities.update"));
        assert_eq!(of(403, &format!("[{plain}]")), missing("datastore.entities.update"));
        let named = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
            "reason":"IAM_PERMISSION_DENIED","metadata":{"permission":"datastore.entities.create"}}]}}"#;
        assert_eq!(of(403, named), missing("datastore.entities.create"));
        let disabled = r#"{"error":{"status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}"#;
        assert_eq!(of(403, disabled).1, "the Cloud Firestore API is not enabled in the project");
        assert_eq!(of(409, r#"{"error":{"status":"ABORTED","message":"lock"}}"#).0, Kind::Throttled);
        assert_eq!(of(404, r#"{"error":{"status":"NOT_FOUND"}}"#).0, Kind::NotFound);
        assert_eq!(of(503, "<html>").0, Kind::Unavailable);
        let (kind, text) = of(418, "{\"error\":{\"status\":\"\\u001b[2J\",\"message\":\"\\u001b[2J\"}}");
        assert_eq!((kind, text.contains('\u{1b}')), (Kind::Internal, false));
    }
}
