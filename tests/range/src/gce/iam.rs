//! IAM v1 of service accounts, and the one call of Resource Manager that `check` makes. Errors in Google's newer form.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::api::{json_body, permit, test_permissions};
use super::error::Refusal;
use super::seeds::{Account, Key};
use super::state::State;
use super::turn::Noted;
use crate::host::{Asked, decode};

/// Answers what stands behind `/v1/`.
pub(super) fn answer(state: &mut State, asked: &Asked, path: &str, noted: &mut Noted) -> Result<Value, Refusal> {
    let unknown = || Refusal::rpc(404, "NOT_FOUND", format!("The range does not know {} {}", asked.method, asked.path));
    let post = asked.method == http::Method::POST;
    let path = decode(path, false);
    let (path, verb) = path.rsplit_once(':').filter(|(_, verb)| !verb.contains('/')).unwrap_or((&path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    if let (["projects", _], "testIamPermissions", true) = (parts.as_slice(), verb, post) {
        return test_permissions(state, asked);
    }
    let ["projects", project, "serviceAccounts", who, rest @ ..] = parts.as_slice() else { return Err(unknown()) };
    if verb == "testIamPermissions" {
        return test_permissions(state, asked);
    }
    let (permission, write): (&'static str, bool) = match (asked.method.as_str(), rest, verb) {
        ("GET", [], "") => ("iam.serviceAccounts.get", false),
        ("POST", [], "disable") => ("iam.serviceAccounts.disable", true),
        ("POST", [], "enable") => ("iam.serviceAccounts.enable", true),
        // A POST that reads; GET is what the discovery document of today does not know.
        ("POST", [], "getIamPolicy") => ("iam.serviceAccounts.getIamPolicy", false),
        ("POST", [], "setIamPolicy") => ("iam.serviceAccounts.setIamPolicy", true),
        ("GET", ["keys"], "") => ("iam.serviceAccountKeys.list", false),
        ("GET", ["keys", _], "") => ("iam.serviceAccountKeys.get", false),
        ("POST", ["keys", _], "disable") => ("iam.serviceAccountKeys.disable", true),
        ("POST", ["keys", _], "enable") => ("iam.serviceAccountKeys.enable", true),
        _ => return Err(unknown()),
    };
    noted.write = write;
    noted.permissions.push(permission);
    permit(state, asked, permission, path).map_err(|refusal| newer(refusal, permission))?;
    let at = state.accounts.iter().position(|account| {
        let here = *project == "-" || account.project == *project;
        here && (account.email == *who || account.unique_id() == *who)
    });
    let missing = || Refusal::rpc(404, "NOT_FOUND", "Unknown service account".to_owned());
    let account = at.and_then(|at| state.accounts.get_mut(at)).ok_or_else(missing)?;
    match (rest, verb) {
        ([], "") => Ok(render(account)),
        ([], "disable" | "enable") => {
            account.disabled = verb == "disable";
            Ok(json!({}))
        }
        ([], "getIamPolicy") => Ok(policy(account)),
        ([], _) => set_policy(account, &json_body(asked)?),
        (["keys"], _) => Ok(json!({"keys": account.keys.iter().map(|key| key_of(account, key)).collect::<Vec<_>>()})),
        ([_, id], _) => {
            let missing = || Refusal::rpc(404, "NOT_FOUND", format!("Service account key {id} does not exist."));
            let key = account.keys.iter_mut().find(|key| key.id == *id).ok_or_else(missing)?;
            if verb.is_empty() {
                let key = key.clone();
                return Ok(key_of(account, &key));
            }
            if key.managed == "SYSTEM_MANAGED" {
                let why = "Precondition check failed.".to_owned();
                return Err(Refusal::rpc(400, "FAILED_PRECONDITION", why));
            }
            key.disabled = verb == "disable";
            Ok(json!({}))
        }
        _ => Err(unknown()),
    }
}

/// What `permit` says, as IAM says it; a refusal that a test planned passes as it is.
fn newer(refusal: Refusal, permission: &str) -> Refusal {
    if refusal.status != 403 || refusal.reason != "forbidden" {
        return refusal;
    }
    let message = format!("Permission '{permission}' denied on resource (or it may not exist).");
    Refusal::rpc(403, "PERMISSION_DENIED", message).missing(permission)
}

fn name(account: &Account) -> String {
    format!("projects/{}/serviceAccounts/{}", account.project, account.email)
}

fn render(account: &Account) -> Value {
    let mut out = json!({
        "name": name(account),
        "projectId": account.project,
        "uniqueId": account.unique_id(),
        "email": account.email,
        "etag": "MDEwMjE5MjA=",
        "oauth2ClientId": account.unique_id(),
    });
    // A field of proto3 that is false is not there.
    if let (true, Some(fields)) = (account.disabled, out.as_object_mut()) {
        fields.insert("disabled".into(), json!(true));
    }
    out
}

fn key_of(account: &Account, key: &Key) -> Value {
    let mut out = json!({
        "name": format!("{}/keys/{}", name(account), key.id),
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": key.managed,
        "validAfterTime": "2026-01-01T00:00:00Z",
        "validBeforeTime": "9999-12-31T23:59:59Z",
    });
    if let (true, Some(fields)) = (key.disabled, out.as_object_mut()) {
        fields.insert("disabled".into(), json!(true));
    }
    out
}

fn policy(account: &Account) -> Value {
    let bindings: Vec<_> =
        account.bindings.iter().map(|(role, members)| json!({"role": role, "members": members})).collect();
    let mut out = json!({"version": 1, "etag": STANDARD.encode(format!("v{}", account.version))});
    if let (false, Some(fields)) = (bindings.is_empty(), out.as_object_mut()) {
        fields.insert("bindings".into(), bindings.into());
    }
    out
}

/// Replaces the policy. With an etag, only the one that it was read at.
fn set_policy(account: &mut Account, body: &Value) -> Result<Value, Refusal> {
    let bad = |why: &str| Refusal::rpc(400, "INVALID_ARGUMENT", why.to_owned());
    let given = body.get("policy").ok_or_else(|| bad("The policy is missing."))?;
    let now = policy(account);
    if let Some(etag) = given.get("etag").filter(|etag| !etag.is_null())
        && Some(etag) != now.get("etag")
    {
        let why =
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.";
        return Err(Refusal::rpc(409, "ABORTED", why.to_owned()));
    }
    let mut bindings = Vec::new();
    for binding in given.get("bindings").and_then(Value::as_array).into_iter().flatten() {
        let role = binding.get("role").and_then(Value::as_str).unwrap_or_default();
        if !role.starts_with("roles/") && !role.contains("/roles/") {
            return Err(bad("Invalid role."));
        }
        let members: BTreeSet<String> = super::instances::strings(binding, "members").into_iter().collect();
        if members.iter().any(|member| !member.contains(':') && !member.starts_with("all")) {
            return Err(bad("The member has an unknown form."));
        }
        if !members.is_empty() {
            bindings.push((role.to_owned(), members));
        }
    }
    account.bindings = bindings;
    account.version += 1;
    Ok(policy(account))
}
