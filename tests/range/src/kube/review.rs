//! Access and token reviews.

use serde_json::{Value, json};

use super::api::Place;
use super::rbac::{Access, User};
use super::state::State;
use super::status::Failure;

/// Whoever writes a binding may bind its role. (The real server is content, too, with who holds all that the role
/// gives; nobody of the range does.)
pub(super) fn may_bind(user: &User, place: &Place<'_>, binding: &Value) -> Result<(), Failure> {
    if !matches!(place.served.plural.as_str(), "rolebindings" | "clusterrolebindings") {
        return Ok(());
    }
    let text = |path: &str| binding.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let resource = if text("/roleRef/kind") == "ClusterRole" { "clusterroles" } else { "roles" };
    let group = "rbac.authorization.k8s.io";
    let access =
        Access { verb: "bind", group, resource, name: Some(text("/roleRef/name")), namespace: place.namespace };
    if user.may(&access) { Ok(()) } else { Err(Failure::escalation(&place.served.qualified(), place.name, &user.name)) }
}

pub(super) fn review_access(user: &User, review: &Value) -> Result<Value, Failure> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let Some(wanted) = spec.get("resourceAttributes") else {
        return Err(Failure::bad_request("the range answers resourceAttributes only"));
    };
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).unwrap_or_default();
    let some = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
    let access = Access {
        verb: text("verb"),
        group: text("group"),
        resource: text("resource"),
        name: some("name"),
        namespace: some("namespace"),
    };
    // RBAC writes a subresource as `pods/eviction`.
    let joined = some("subresource").map(|sub| format!("{}/{sub}", access.resource));
    let access = Access { resource: joined.as_deref().unwrap_or(access.resource), ..access };
    let status = if user.may(&access) {
        json!({"allowed": true, "reason": "RBAC: allowed by the range"})
    } else {
        json!({"allowed": false})
    };
    Ok(json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": spec, "status": status}))
}

pub(super) fn review_token(state: &State, review: &Value) -> Value {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let token = spec.get("token").and_then(Value::as_str).unwrap_or_default();
    let wanted: Vec<&str> =
        spec.get("audiences").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let status = match state.users.get(token) {
        Some(user) => {
            let shared: Vec<&str> =
                user.audiences.iter().map(String::as_str).filter(|held| wanted.contains(held)).collect();
            if !wanted.is_empty() && shared.is_empty() {
                json!({"authenticated": false, "user": {}, "error": format!("[invalid bearer token, token audiences {:?} is invalid for the target audiences {wanted:?}]", user.audiences)})
            } else {
                let mut status = json!({"authenticated": true,
                    "user": {"username": user.name, "uid": user.uid, "groups": user.groups}});
                if let (false, Some(fields)) = (wanted.is_empty(), status.as_object_mut()) {
                    fields.insert("audiences".into(), json!(shared));
                }
                status
            }
        }
        None => json!({"user": {}, "error": "[invalid bearer token, token lookup failed]"}),
    };
    json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": spec, "status": status})
}
