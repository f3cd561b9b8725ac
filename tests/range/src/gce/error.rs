//! Google's JSON error form, with the wording that Compute Engine uses.

use serde_json::{Value, json};

/// An error answer: what a caller of the real API would read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, repeated as `error.code`.
    pub status: u16,
    /// `notFound`, `forbidden`, `quotaExceeded` …
    pub reason: String,
    /// `global`, or `usageLimits` for quotas.
    pub domain: String,
    /// What went wrong, in words.
    pub message: String,
    /// It has the form of Google's newer services.
    pub newer: Option<Box<Newer>>,
}

/// What the newer form says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// `PERMISSION_DENIED` …
    pub code: String,
    /// The permission that is missing, as `ErrorInfo` names it.
    pub permission: Option<String>,
}

impl Refusal {
    /// Any refusal in the domain `global`.
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), domain: "global".into(), message: message.into(), newer: None }
    }

    /// 403 `quotaExceeded`, as when a project has reached its number of snapshots.
    pub fn quota(metric: &str, limit: u32) -> Self {
        Self {
            domain: "usageLimits".into(),
            ..Self::new(403, "quotaExceeded", format!("Quota '{metric}' exceeded.  Limit: {limit}.0 globally."))
        }
    }

    /// 403 `rateLimitExceeded`: too many calls in a minute.
    pub fn rate_limit() -> Self {
        Self { domain: "usageLimits".into(), ..Self::new(403, "rateLimitExceeded", "Rate Limit Exceeded") }
    }

    /// 403 `forbidden`: a permission is missing on a resource.
    pub fn forbidden(permission: &str, resource: &str) -> Self {
        Self::new(403, "forbidden", format!("Required '{permission}' permission for '{resource}'"))
    }

    /// 503 `backendError`: worth another try.
    pub fn unavailable() -> Self {
        Self::new(503, "backendError", "Backend Error")
    }

    pub(crate) fn not_found(resource: &str) -> Self {
        Self::new(404, "notFound", format!("The resource '{resource}' was not found"))
    }

    pub(crate) fn exists(resource: &str) -> Self {
        Self::new(409, "alreadyExists", format!("The resource '{resource}' already exists"))
    }

    pub(crate) fn field(field: &str, value: &str, why: &str) -> Self {
        Self::new(400, "invalid", format!("Invalid value for field '{field}': '{value}'. {why}"))
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            401,
            "required",
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or \
             other valid authentication credential.",
        )
    }

    /// The answer's body.
    pub fn json(&self) -> String {
        self.body().to_string()
    }

    /// An error of a newer service, such as IAM.
    pub(crate) fn rpc(status: u16, code: &str, message: String) -> Self {
        let newer = Newer { code: code.into(), permission: None };
        Self { newer: Some(Box::new(newer)), ..Self::new(status, "", message) }
    }

    pub(crate) fn missing(mut self, permission: &str) -> Self {
        if let Some(newer) = &mut self.newer {
            newer.permission = Some(permission.into());
        }
        self
    }

    pub(crate) fn body(&self) -> Value {
        if let Some(Newer { code, permission }) = self.newer.as_deref() {
            let mut error = json!({"code": self.status, "message": self.message, "status": code});
            if let (Some(permission), Some(fields)) = (permission, error.as_object_mut()) {
                let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "iam.googleapis.com",
                    "reason": "IAM_PERMISSION_DENIED", "metadata": {"permission": permission}});
                fields.insert("details".into(), json!([detail]));
            }
            return json!({ "error": error });
        }
        let status = match self.status {
            401 => Some("UNAUTHENTICATED"),
            429 => Some("RESOURCE_EXHAUSTED"),
            503 => Some("UNAVAILABLE"),
            _ => None,
        };
        let mut error = json!({
            "code": self.status,
            "message": self.message,
            "errors": [{"message": self.message, "domain": self.domain, "reason": self.reason}],
        });
        if let (Some(status), Some(error)) = (status, error.as_object_mut()) {
            error.insert("status".into(), status.into());
        }
        json!({ "error": error })
    }
}
