//! Which path does what.

use http::Method;
use serde_json::{Map, Value, json};

use super::rbac::{Access, User};
use super::state::{Key, State, kind};
use super::status::Failure;
use super::{discovery, patch, select, validate};
use crate::host::{Asked, Call};

/// Answers one request and notes it in the log.
pub(crate) fn answer(state: &mut State, asked: &Asked) -> (u16, Value) {
    let mut seen = Seen { permission: None, write: false, created: false };
    let (status, body) = match route(state, asked, &mut seen) {
        Ok(body) => (if seen.created { 201 } else { 200 }, body),
        Err(failure) => (failure.code, failure.body()),
    };
    state.log.push(Call {
        method: asked.method.to_string(),
        path: asked.path.clone(),
        query: asked.query.clone(),
        permission: seen.permission,
        token: asked.token(),
        write: seen.write,
        status,
    });
    (status, body)
}

struct Seen {
    permission: Option<String>,
    write: bool,
    created: bool,
}

fn route(state: &mut State, asked: &Asked, seen: &mut Seen) -> Result<Value, Failure> {
    let segments = asked.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    if asked.method == Method::GET
        && let Some(document) = discovery::answer(&path)
    {
        return Ok(document);
    }
    let user = authenticate(state, asked)?;
    match path.as_slice() {
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] if asked.method == Method::POST => {
            seen.permission = Some("create selfsubjectaccessreviews".into());
            seen.created = true;
            review_access(&user, &body(asked)?)
        }
        ["apis", "authentication.k8s.io", "v1", "tokenreviews"] if asked.method == Method::POST => {
            seen.permission = Some("create tokenreviews".into());
            permit(
                &user,
                &Access {
                    verb: "create",
                    group: "authentication.k8s.io",
                    resource: "tokenreviews",
                    name: None,
                    namespace: None,
                },
            )?;
            seen.created = true;
            Ok(review_token(state, &body(asked)?))
        }
        ["api", "v1", resource @ ("nodes" | "pods" | "namespaces")] => {
            collection(state, asked, seen, &user, resource, None)
        }
        ["api", "v1", resource @ ("nodes" | "namespaces"), name] => {
            object(state, asked, seen, &user, resource, None, name)
        }
        ["api", "v1", "namespaces", namespace, "pods"] => {
            collection(state, asked, seen, &user, "pods", Some(namespace))
        }
        ["api", "v1", "namespaces", namespace, "pods", name] => {
            object(state, asked, seen, &user, "pods", Some(namespace), name)
        }
        _ => {
            seen.write = asked.method != Method::GET;
            Err(Failure::no_such_path())
        }
    }
}

fn authenticate(state: &State, asked: &Asked) -> Result<User, Failure> {
    if let Some(user) = asked.token().and_then(|token| state.users.get(&token)) {
        return Ok(user.clone());
    }
    if state.guarded {
        return Err(Failure::unauthorized());
    }
    Ok(User {
        name: "kubernetes-admin".into(),
        uid: String::new(),
        groups: vec!["system:masters".into()],
        audiences: Vec::new(),
        rules: None,
    })
}

fn permit(user: &User, access: &Access<'_>) -> Result<(), Failure> {
    if user.may(access) { Ok(()) } else { Err(Failure::forbidden(&user.name, access)) }
}

fn body(asked: &Asked) -> Result<Value, Failure> {
    let given = asked.header("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    // `kubectl auth can-i` speaks protobuf only.
    if !given.ends_with("json") && !given.is_empty() {
        return Err(Failure::media_type(given));
    }
    serde_json::from_slice(&asked.body)
        .map_err(|error| Failure::bad_request(format!("the object provided is unrecognized: {error}")))
}

fn collection(
    state: &State,
    asked: &Asked,
    seen: &mut Seen,
    user: &User,
    resource: &str,
    namespace: Option<&str>,
) -> Result<Value, Failure> {
    if asked.method != Method::GET {
        seen.write = true;
        return Err(Failure::method(asked.method.as_str()));
    }
    seen.permission = Some(format!("list {resource}"));
    // A list of one object by name may be granted by that name.
    let selector = asked.param("fieldSelector").unwrap_or_default();
    let by_name = selector.strip_prefix("metadata.name=").filter(|name| !name.contains(','));
    permit(user, &Access { verb: "list", group: "", resource, name: by_name, namespace })
        .or_else(|_| permit(user, &Access { verb: "list", group: "", resource, name: None, namespace }))?;
    if asked.param("watch").is_some_and(|watch| watch == "1" || watch == "true") {
        return Err(Failure::method("watch"));
    }
    list(state, asked, resource, namespace)
}

fn list(state: &State, asked: &Asked, resource: &str, namespace: Option<&str>) -> Result<Value, Failure> {
    let (field, label) =
        (asked.param("fieldSelector").unwrap_or_default(), asked.param("labelSelector").unwrap_or_default());
    let mut found = Vec::new();
    for ((of, within, _), object) in &state.objects {
        if of == resource
            && namespace.is_none_or(|namespace| namespace == within)
            && select::fields(&field, resource, object)?
            && select::labels(&label, object)?
        {
            found.push(object.clone());
        }
    }
    let limit: usize = match asked.param("limit") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?,
    };
    let (start, version) = match asked.param("continue") {
        None => (0, state.version()),
        Some(token) => {
            let (version, start) = token
                .split_once('.')
                .and_then(|(version, start)| Some((version.parse::<u64>().ok()?, start.parse::<usize>().ok()?)))
                .ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
            if version < state.oldest_list {
                return Err(Failure::expired());
            }
            (start, version)
        }
    };
    let left = found.len().saturating_sub(start);
    let size = if limit == 0 { left } else { limit.min(left) };
    let mut meta = json!({"resourceVersion": version.to_string()});
    if let (true, Some(fields)) = (size < left, meta.as_object_mut()) {
        fields.insert("continue".into(), format!("{version}.{}", start + size).into());
        if field.is_empty() && label.is_empty() {
            fields.insert("remainingItemCount".into(), (left - size).into());
        }
    }
    let page = found.into_iter().skip(start).take(size);
    if metadata_only(asked) {
        let items: Vec<Value> = page.map(|object| partial(&object)).collect();
        return Ok(
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}),
        );
    }
    // Items of a list carry neither kind nor apiVersion.
    let items: Vec<Value> = page
        .map(|mut object| {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            object
        })
        .collect();
    Ok(json!({"kind": format!("{}List", kind(resource)), "apiVersion": "v1", "metadata": meta, "items": items}))
}

fn object(
    state: &mut State,
    asked: &Asked,
    seen: &mut Seen,
    user: &User,
    resource: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value, Failure> {
    let verb = match asked.method {
        Method::GET => "get",
        Method::PATCH => "patch",
        Method::PUT => "update",
        Method::DELETE => "delete",
        _ => "create",
    };
    seen.permission = Some(format!("{verb} {resource}"));
    let dry = dry_run(asked)?;
    seen.write = verb != "get" && !dry;
    // To read a namespace counts as being within it.
    let within = namespace.or_else(|| (resource == "namespaces").then_some(name));
    permit(user, &Access { verb, group: "", resource, name: Some(name), namespace: within })?;
    let key: Key = (resource.into(), namespace.unwrap_or_default().into(), name.into());
    let old = state.objects.get(&key).cloned().ok_or_else(|| Failure::not_found(resource, name))?;
    let new = match verb {
        "get" => return Ok(if metadata_only(asked) { partial(&old) } else { old }),
        "patch" => patched(asked, &old)?,
        "update" => {
            let new = body(asked)?;
            if !new.is_object() {
                return Err(Failure::bad_request("the object provided is unrecognized"));
            }
            new
        }
        other => return Err(Failure::method(other)),
    };
    let new = precondition(resource, name, &old, new)?;
    validate::update(resource, kind(resource), name, &old, &new)?;
    let new = keep_own(&old, new);
    if new == old || dry {
        return Ok(new);
    }
    let stored = state.put(key, new);
    if resource == "nodes" {
        state.reconcile(name);
    }
    Ok(if metadata_only(asked) { partial(&stored) } else { stored })
}

fn dry_run(asked: &Asked) -> Result<bool, Failure> {
    match asked.param("dryRun").as_deref() {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            Err(Failure::bad_request(format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\"")))
        }
    }
}

fn patched(asked: &Asked, old: &Value) -> Result<Value, Failure> {
    let given = asked.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let patch = body(asked)?;
    let mut new = old.clone();
    match given {
        "application/merge-patch+json" => patch::merge(&mut new, &patch),
        "application/strategic-merge-patch+json" => patch::strategic(&mut new, &patch),
        "application/json-patch+json" => patch::json(&mut new, &patch).map_err(|refused| match refused {
            patch::Refused::Malformed(why) => Failure::bad_request(why),
            patch::Refused::Inapplicable => Failure::patch_refused(),
        })?,
        other => return Err(Failure::media_type(other)),
    }
    Ok(new)
}

/// A version that the caller names must be the present one.
fn precondition(resource: &str, name: &str, old: &Value, new: Value) -> Result<Value, Failure> {
    const PATH: &str = "/metadata/resourceVersion";
    let wanted = new.pointer(PATH).and_then(Value::as_str).filter(|version| !version.is_empty());
    if wanted.is_some() && wanted != old.pointer(PATH).and_then(Value::as_str) {
        return Err(Failure::modified(resource, name));
    }
    Ok(new)
}

/// What the server owns stays as it was; what is empty goes away, as Go's `omitempty` has it.
fn keep_own(old: &Value, mut new: Value) -> Value {
    let own = ["uid", "creationTimestamp", "resourceVersion", "namespace"];
    if let (Some(meta), Some(was)) =
        (new.get_mut("metadata").and_then(Value::as_object_mut), old.get("metadata").and_then(Value::as_object))
    {
        for name in own {
            match was.get(name) {
                Some(value) => drop(meta.insert(name.into(), value.clone())),
                None => drop(meta.remove(name)),
            }
        }
        meta.remove("managedFields");
        for name in ["labels", "annotations"] {
            if meta.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
                meta.remove(name);
            }
        }
    }
    if let Some(fields) = new.as_object_mut() {
        for name in ["kind", "apiVersion", "status"] {
            match old.get(name) {
                Some(value) => drop(fields.insert(name.into(), value.clone())),
                None => drop(fields.remove(name)),
            }
        }
    }
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
        if spec.get("unschedulable") == Some(&Value::Bool(false)) {
            spec.remove("unschedulable");
        }
        if spec.get("taints").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            spec.remove("taints");
        }
    }
    new
}

fn metadata_only(asked: &Asked) -> bool {
    asked.header("accept").is_some_and(|accept| accept.contains("as=PartialObjectMetadata"))
}

fn partial(object: &Value) -> Value {
    let meta = object.get("metadata").cloned().unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
}

fn review_access(user: &User, review: &Value) -> Result<Value, Failure> {
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

fn review_token(state: &State, review: &Value) -> Value {
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
