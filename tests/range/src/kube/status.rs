//! `Status` errors, worded as the real API server words them.

use serde_json::{Value, json};

/// A failure: code, reason, message, details.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    /// The continue token of a list that expired.
    pub(crate) next: Option<String>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Self {
        Self { code, reason, message, details, next: None }
    }

    pub(crate) fn not_found(resource: &str, name: &str) -> Self {
        let details = json!({"name": name, "kind": resource});
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found"), Some(details))
    }

    /// A path that the server does not serve.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource".into(), Some(json!({})))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".into(), None)
    }

    pub(crate) fn forbidden(user: &str, asked: &super::rbac::Access<'_>) -> Self {
        let named = asked.name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let place = asked
            .namespace
            .map_or_else(|| "at the cluster scope".to_owned(), |namespace| format!("in the namespace \"{namespace}\""));
        let of_group = if asked.group.is_empty() { String::new() } else { format!(".{}", asked.group) };
        let message = format!(
            "{}{of_group}{named} is forbidden: User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            asked.resource, asked.verb, asked.resource, asked.group
        );
        let mut details = json!({"kind": asked.resource});
        if let Some(fields) = details.as_object_mut() {
            if let Some(name) = asked.name {
                fields.insert("name".into(), name.into());
            }
            if !asked.group.is_empty() {
                fields.insert("group".into(), asked.group.into());
            }
        }
        Self::new(403, "Forbidden", message, Some(details))
    }

    pub(crate) fn conflict(resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message, Some(json!({"name": name, "kind": resource})))
    }

    /// A binding of a role that gives more than the user has.
    pub(crate) fn escalation(resource: &str, name: Option<&str>, user: &str) -> Self {
        let name = name.unwrap_or_default();
        let message = format!(
            "{resource} \"{name}\" is forbidden: user \"{user}\" (groups=[]) is attempting to grant RBAC permissions not currently held"
        );
        Self::new(403, "Forbidden", message, Some(json!({"name": name, "kind": resource})))
    }

    /// A disruption budget that does not let a pod go.
    pub(crate) fn budget(cause: &str, retry_after: u32) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
        let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
        if let (1.., Some(fields)) = (retry_after, details.as_object_mut()) {
            fields.insert("retryAfterSeconds".into(), retry_after.into());
        }
        Self::new(429, "TooManyRequests", message, Some(details))
    }

    pub(crate) fn two_budgets() -> Self {
        let message =
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                .to_owned();
        Self::new(500, "", message, None)
    }

    /// Nothing can be created in a namespace that is being deleted.
    pub(crate) fn namespace_ends(name: &str, namespace: &str) -> Self {
        let message = format!(
            "pods \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = json!({"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace"});
        Self::new(403, "Forbidden", message, Some(json!({"name": name, "kind": "pods", "causes": [cause]})))
    }

    pub(crate) fn modified(resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// One or more fields that do not pass validation: (field, message).
    pub(crate) fn invalid(kind: &str, name: &str, causes: &[(String, String)]) -> Self {
        let said: Vec<String> = causes.iter().map(|(field, why)| format!("{field}: {why}")).collect();
        let said = match said.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let listed: Vec<Value> = causes
            .iter()
            .map(|(field, why)| json!({"reason": "FieldValueInvalid", "message": why, "field": field}))
            .collect();
        let details = json!({"name": name, "kind": kind, "causes": listed});
        Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {said}"), Some(details))
    }

    /// A JSON Patch that cannot be applied, a failed `test` among them.
    pub(crate) fn patch_refused() -> Self {
        Self::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request".into(),
            Some(json!({})),
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into(), None)
    }

    pub(crate) fn method(verb: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("the range does not serve {verb} here"), Some(json!({})))
    }

    pub(crate) fn media_type(given: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             not {given}"
        );
        Self::new(415, "UnsupportedMediaType", message, Some(json!({})))
    }

    pub(crate) fn exists(resource: &str, name: &str) -> Self {
        let details = json!({"name": name, "kind": resource});
        Self::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists"), Some(details))
    }

    /// A list that cannot be continued as it was; `next` continues it as it is now.
    pub(crate) fn expired(next: &str) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start \
                       a new list without the continue parameter."
            .into();
        Self { next: Some(next.into()), ..Self::new(410, "Expired", message, None) }
    }

    pub(crate) fn body(&self) -> Value {
        let mut out = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code});
        if let (Some(fields), Some(details)) = (out.as_object_mut(), &self.details) {
            fields.insert("details".into(), details.clone());
        }
        if let (Some(next), Some(meta)) = (&self.next, out.get_mut("metadata").and_then(Value::as_object_mut)) {
            meta.insert("continue".into(), next.clone().into());
        }
        out
    }
}
