//! Which path does what.

use http::Method;
use serde_json::{Map, Value};

use super::rbac::{Access, User};
use super::served::Served;
use super::state::{Key, State};
use super::status::Failure;
use super::{delete, discovery, evict, list, patch, review, validate};
use crate::host::{Asked, Call};

/// Answers one request and notes it in the log.
pub(crate) fn answer(state: &mut State, asked: &Asked) -> (u16, Value) {
    evict::sweep(state);
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

pub(super) struct Seen {
    pub(super) permission: Option<String>,
    pub(super) write: bool,
    pub(super) created: bool,
}

/// What a path below a group and version names.
pub(super) struct Place<'a> {
    pub(super) served: Served,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) subresource: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn read(state: &State, path: &[&'a str]) -> Option<Self> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let find = |plural: &str, namespaced: Option<bool>| {
            state.served.iter().find(|it| {
                it.group == group
                    && it.version == version
                    && it.plural == plural
                    && namespaced.is_none_or(|namespaced| it.namespaced == namespaced)
            })
        };
        let (plural, namespace, name, subresource) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if find(plural, Some(true)).is_some() => {
                (*plural, Some(*namespace), rest.first().copied(), rest.get(1).copied())
            }
            [plural] => (*plural, None, None, None),
            [plural, name, rest @ ..] if find(plural, Some(false)).is_some() => {
                (*plural, None, Some(*name), rest.first().copied())
            }
            _ => return None,
        };
        Some(Self { served: find(plural, None)?.clone(), namespace, name, subresource })
    }

    pub(super) fn key(&self) -> Key {
        let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (self.served.qualified(), own(self.namespace), own(self.name))
    }
}

fn route(state: &mut State, asked: &Asked, seen: &mut Seen) -> Result<Value, Failure> {
    let segments = asked.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    if asked.method == Method::GET
        && let Some(document) = discovery::answer(&state.served, &path)
    {
        return Ok(document);
    }
    let user = authenticate(state, asked)?;
    match path.as_slice() {
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] if asked.method == Method::POST => {
            seen.permission = Some("create selfsubjectaccessreviews".into());
            seen.created = true;
            return review::review_access(&user, &body(asked)?);
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
            return Ok(review::review_token(state, &body(asked)?));
        }
        _ => {}
    }
    let Some(place) = Place::read(state, &path) else {
        seen.write = asked.method != Method::GET;
        return Err(Failure::no_such_path());
    };
    match (&asked.method, place.name, place.subresource) {
        (&Method::POST, Some(_), Some("eviction")) if place.served.qualified() == "pods" => {
            evict::evict(state, asked, seen, &user, &place)
        }
        (_, _, Some(_)) => {
            seen.write = asked.method != Method::GET;
            Err(Failure::no_such_path())
        }
        (&Method::GET, None, None) => collection(state, asked, seen, &user, &place),
        (&Method::POST, None, None) => create(state, asked, seen, &user, &place),
        (method, None, None) => {
            seen.write = true;
            Err(Failure::method(method.as_str()))
        }
        (_, Some(_), None) => object(state, asked, seen, &user, &place),
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

pub(super) fn permit(user: &User, access: &Access<'_>) -> Result<(), Failure> {
    if user.may(access) { Ok(()) } else { Err(Failure::forbidden(&user.name, access)) }
}

pub(super) fn body(asked: &Asked) -> Result<Value, Failure> {
    let given = asked.header("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    // `kubectl auth can-i` speaks protobuf only.
    if !given.ends_with("json") && !given.is_empty() {
        return Err(Failure::media_type(given));
    }
    serde_json::from_slice(&asked.body)
        .map_err(|error| Failure::bad_request(format!("the object provided is unrecognized: {error}")))
}

/// Notes the permission and asks for it.
pub(super) fn allowed(seen: &mut Seen, user: &User, place: &Place<'_>, verb: &str) -> Result<(), Failure> {
    let resource = match place.subresource {
        Some(subresource) => format!("{}/{subresource}", place.served.plural),
        None => place.served.plural.clone(),
    };
    let dot = if place.served.group.is_empty() { "" } else { "." };
    seen.permission = Some(format!("{verb} {resource}{dot}{}", place.served.group));
    // To read a namespace counts as being within it.
    let within = place.namespace.or(if place.served.plural == "namespaces" { place.name } else { None });
    let access = Access { verb, group: &place.served.group, resource: &resource, name: place.name, namespace: within };
    permit(user, &access)
}

fn collection(state: &State, asked: &Asked, seen: &mut Seen, user: &User, place: &Place<'_>) -> Result<Value, Failure> {
    let may = allowed(seen, user, place, "list");
    if let Err(refused) = may {
        // A list of one object by name may be granted by that name.
        let selector = asked.param("fieldSelector").unwrap_or_default();
        let name = selector.strip_prefix("metadata.name=").filter(|name| !name.contains(',')).ok_or(refused)?;
        let named = Place { name: Some(name), served: place.served.clone(), ..*place };
        allowed(seen, user, &named, "list")?;
    }
    if asked.param("watch").is_some_and(|watch| watch == "1" || watch == "true") {
        return Err(Failure::method("watch"));
    }
    list::list(state, asked, &place.served, place.namespace)
}

fn create(state: &mut State, asked: &Asked, seen: &mut Seen, user: &User, place: &Place<'_>) -> Result<Value, Failure> {
    let dry = dry_run(asked)?;
    seen.write = !dry;
    allowed(seen, user, place, "create")?;
    let given = body(asked)?;
    let text = |path: &str| given.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let served = &place.served;
    let expected = (served.kind.clone(), served.api_version());
    let (kind, version) = (text("/kind"), text("/apiVersion"));
    if (!kind.is_empty() && kind != expected.0) || (!version.is_empty() && version != expected.1) {
        return Err(Failure::bad_request(format!("{version} {kind} in a collection of {} {}", expected.1, expected.0)));
    }
    let namespace = text("/metadata/namespace");
    if !namespace.is_empty() && Some(namespace.as_str()) != place.namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !text("/metadata/resourceVersion").is_empty() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    if let Some(namespace) = place.namespace
        && !state.objects.contains_key(&("namespaces".into(), String::new(), namespace.into()))
    {
        return Err(Failure::not_found("namespaces", namespace));
    }
    let mut name = text("/metadata/name");
    if name.is_empty() {
        let prefix = text("/metadata/generateName");
        if prefix.is_empty() {
            return Err(Failure::invalid(
                &served.kind,
                "",
                &[("metadata.name".into(), "Required value: name or generateName is required".into())],
            ));
        }
        let unique = uuid::Uuid::new_v4().simple().to_string();
        name = format!("{prefix}{}", unique.get(..5).unwrap_or_default());
    }
    let place = Place { name: Some(&name), served: served.clone(), ..*place };
    if state.objects.contains_key(&place.key()) {
        return Err(Failure::exists(&place.served.qualified(), &name));
    }
    let mut given = given;
    if let Some(meta) = given.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("uid");
        meta.insert("name".into(), name.clone().into());
    }
    validate::update(&place.served.plural, &place.served.kind, &name, &given, &given)?;
    review::may_bind(user, &place, &given)?;
    seen.created = true;
    if dry {
        return Ok(given);
    }
    state.add(&place.served, place.namespace.unwrap_or_default(), &name, &given);
    Ok(state.objects.get(&place.key()).cloned().unwrap_or_default())
}

fn object(state: &mut State, asked: &Asked, seen: &mut Seen, user: &User, place: &Place<'_>) -> Result<Value, Failure> {
    let verb = match asked.method {
        Method::GET => "get",
        Method::PATCH => "patch",
        Method::PUT => "update",
        Method::DELETE => "delete",
        _ => "create",
    };
    let dry = dry_run(asked)?;
    seen.write = verb != "get" && !dry;
    allowed(seen, user, place, verb)?;
    let (key, name) = (place.key(), place.name.unwrap_or_default());
    let resource = place.served.qualified();
    let old = state.objects.get(&key).cloned().ok_or_else(|| Failure::not_found(&resource, name))?;
    let new = match verb {
        "get" => return Ok(if list::metadata_only(asked) { list::partial(&old) } else { old }),
        "delete" => return delete::delete(state, asked, place, &old, dry),
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
    let new = precondition(&resource, name, &old, new)?;
    validate::update(&place.served.plural, &place.served.kind, name, &old, &new)?;
    review::may_bind(user, place, &new)?;
    let new = keep_own(&old, new);
    if new == old || dry {
        return Ok(new);
    }
    let stored = state.put(key.clone(), new);
    if resource == "nodes" {
        state.reconcile(name);
    }
    if delete::is_due(&stored) {
        delete::forget(state, &key);
    }
    Ok(if list::metadata_only(asked) { list::partial(&stored) } else { stored })
}

pub(super) fn dry_run(asked: &Asked) -> Result<bool, Failure> {
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
    let own = ["uid", "creationTimestamp", "resourceVersion", "namespace", "generation", "deletionTimestamp"];
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
