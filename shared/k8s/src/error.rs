//! What an answer of a Kubernetes API server means.
//!
//! The server's own text is read to tell causes apart and never repeated: it quotes objects, and a webhook may
//! quote more.

use std::{error::Error as StdError, time::Duration};

use kube::{client::AuthError, core::Status};
use stanch_core::{Error, Kind};

/// No role of ours can change it.
pub(crate) const BY_ADMISSION: &str = "an admission webhook or policy of the cluster refuses it";

/// Who changes a role or a binding must hold what it gives (Kubernetes: "Using RBAC Authorization, privilege escalation
/// prevention").
pub(crate) const BY_ESCALATION: &str = "it would give rights that we do not hold";

/// A call, as an error names it: `patch nodes on node/web-1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// `get`, `list`, `patch`, `create`: the verb that RBAC knows.
    pub(crate) verb: &'static str,
    /// The resource that RBAC knows.
    pub(crate) resource: &'a str,
    /// Which one.
    pub(crate) object: &'a str,
}

impl Call<'_> {
    pub(crate) fn error(&self, kind: Kind, message: impl Into<String>) -> Error {
        Error::new(kind, format!("{} {}", self.verb, self.resource), message).on(self.object)
    }

    /// An answer that is not a success.
    pub(crate) fn answered(&self, code: u16, retry_after: Option<Duration>, status: &Status) -> Error {
        let (kind, message) = match code {
            401 => (Kind::Denied, "the cluster does not accept our credentials".to_owned()),
            403 if by_admission(status) => (Kind::Denied, BY_ADMISSION.to_owned()),
            403 if status.message.contains("attempting to grant RBAC permissions not currently held") => {
                (Kind::Denied, BY_ESCALATION.to_owned())
            }
            403 => (Kind::Denied, format!("missing permission: {} {}", self.verb, self.resource)),
            404 => (Kind::NotFound, "does not exist".to_owned()),
            409 => (Kind::Conflict, "it changed at the same moment".to_owned()),
            422 => unprocessable(status),
            429 => (Kind::Throttled, "the API server asks for fewer calls".to_owned()),
            // 410: the list that was being paged has expired.
            408 | 410 | 500..=599 => (Kind::Unavailable, format!("the API server answered {code}")),
            _ => (Kind::Internal, format!("the API server answered {code}")),
        };
        let asked = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|&seconds| seconds > 0);
        let wait = retry_after.or_else(|| asked.map(|seconds| Duration::from_secs(seconds.into())));
        self.error(kind, message).retry_after(wait)
    }

    /// No answer. Of the cause only an I/O error is repeated: the error of a credential plugin carries what the
    /// plugin printed.
    pub(crate) fn unanswered(&self, error: &kube::Error) -> Error {
        let causes = || std::iter::successors(Some(error as &(dyn StdError + 'static)), |cause| (*cause).source());
        if causes().any(<dyn StdError>::is::<AuthError>) {
            return self.error(Kind::Denied, "no credentials for the cluster: its token or plugin failed");
        }
        let io = causes().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last();
        let error = self.error(Kind::Unavailable, "no answer from the API server");
        match io {
            Some(io) => error.because(io.to_string()),
            None => error,
        }
    }
}

/// Whether a 403 comes from admission, which no role can change, and not from RBAC.
fn by_admission(status: &Status) -> bool {
    ["admission webhook", "ValidatingAdmissionPolicy", "is not allowed to modify"]
        .iter()
        .any(|words| status.message.contains(words))
}

/// A JSON patch whose `test` fails is 422 without a field; a value that validation refuses is 422 with one.
/// Kubernetes API conventions: "Failure status; Reason Invalid".
fn unprocessable(status: &Status) -> (Kind, String) {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let field = causes
        .iter()
        .find(|cause| cause.reason.starts_with("FieldValue") && cause.reason != "FieldValueDuplicate")
        .map(|cause| cause.field.as_str());
    match field {
        Some("metadata.uid") => (Kind::Conflict, "it was recreated under its name".to_owned()),
        Some(field) => {
            let field: String = field.chars().filter(char::is_ascii_graphic).take(80).collect();
            (Kind::Internal, format!("the API server does not accept the value of {field}"))
        }
        None => (Kind::Conflict, "it changed since it was looked at".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { verb: "patch", resource: "nodes", object: "node/a" };

    fn status(json: &str) -> Status {
        serde_json::from_str(json).expect("a status")
    }

    #[test]
    fn each_code_has_its_kind() {
        for (code, kind) in [
            (401, Kind::Denied),
            (403, Kind::Denied),
            (404, Kind::NotFound),
            (409, Kind::Conflict),
            (422, Kind::Conflict),
            (429, Kind::Throttled),
            (500, Kind::Unavailable),
            (504, Kind::Unavailable),
            (400, Kind::Internal),
        ] {
            assert_eq!(CALL.answered(code, None, &Status::default()).kind(), kind, "{code}");
        }
    }

    #[test]
    fn the_server_s_text_is_not_repeated() {
        let status = status(r#"{"code":403,"message":"secret-thing is forbidden","reason":"Forbidden"}"#);
        let error = CALL.answered(403, None, &status);
        assert_eq!(error.to_string(), "patch nodes on node/a: missing permission: patch nodes");
    }

    #[test]
    fn admission_is_not_rbac() {
        let status = status(r#"{"code":403,"message":"admission webhook \"w\" denied the request: no"}"#);
        assert!(CALL.answered(403, None, &status).message().contains("admission"));
    }

    #[test]
    fn a_refused_value_is_our_mistake_and_a_duplicate_taint_a_conflict() {
        let with = |reason: &str, field: &str| {
            let json = format!(
                r#"{{"code":422,"reason":"Invalid","details":{{"causes":[{{"reason":"{reason}","field":"{field}"}}]}}}}"#
            );
            CALL.answered(422, None, &status(&json)).kind()
        };
        assert_eq!(with("FieldValueInvalid", "metadata.labels"), Kind::Internal);
        assert_eq!(with("FieldValueInvalid", "metadata.uid"), Kind::Conflict);
        assert_eq!(with("FieldValueDuplicate", "metadata.taints[1]"), Kind::Conflict);
        assert_eq!(with("UnexpectedServerResponse", ""), Kind::Conflict);
    }

    #[test]
    fn the_wait_of_header_or_body_is_kept() {
        let status = status(r#"{"code":429,"details":{"retryAfterSeconds":10}}"#);
        assert_eq!(CALL.answered(429, None, &status).wait(), Some(Duration::from_secs(10)));
        let header = Some(Duration::from_secs(1));
        assert_eq!(CALL.answered(429, header, &status).wait(), header);
    }
}
