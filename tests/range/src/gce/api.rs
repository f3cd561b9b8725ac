//! Which path does what, and the permission it needs.

use http::Method;
use serde_json::{Value, json};

use super::error::Refusal;
use super::list::{aggregated, instances, list};
use super::state::{KeptDisk, Operation, ROOT, Scope, State, project_number};
use super::turn::{Noted, Turn};
use super::{addresses, firewalls, groups, iam, instances as writes, render, snapshots};
use crate::host::{Asked, Call};

/// Answers one request and notes it in the log.
pub(crate) fn answer(state: &mut State, asked: &Asked) -> (u16, Value) {
    state.settle();
    let mut seen = Noted { permissions: Vec::new(), write: false };
    let answer = route(state, asked, &mut seen);
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.status, refusal.body()),
    };
    state.log.push(Call {
        method: asked.method.to_string(),
        path: asked.path.clone(),
        query: asked.query.clone(),
        permission: (!seen.permissions.is_empty()).then(|| seen.permissions.join("+")),
        token: asked.token(),
        write: seen.write,
        status,
    });
    (status, body)
}

#[expect(clippy::too_many_lines, reason = "one table of paths reads better whole")]
fn route(state: &mut State, asked: &Asked, seen: &mut Noted) -> Result<Value, Refusal> {
    let segments = asked.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let parts = parts.strip_prefix(["compute", "v1"].as_slice()).unwrap_or(&parts);
    if let Some(path) = asked.path.strip_prefix("/v1/") {
        return iam::answer(state, asked, path, seen);
    }
    let ["projects", given, rest @ ..] = parts else {
        return Err(Refusal::new(404, "notFound", format!("Not Found: {}", asked.path)));
    };
    // A project is known by its number too.
    let by_number = state.projects.iter().find(|known| given.parse() == Ok(project_number(known)));
    let project = by_number.cloned().unwrap_or_else(|| (*given).to_owned());
    let project = &project.as_str();
    let get = asked.method == Method::GET;
    let post = asked.method == Method::POST;
    let here = format!("projects/{project}");
    let resource = parts.join("/");
    let mut need = |state: &mut State, permission: &'static str, on: &str| {
        seen.permissions.push(permission);
        permit(state, asked, permission, on)
    };
    match rest {
        [] if get => {
            need(state, "compute.projects.get", &here)?;
            known_project(state, project)?;
            let common = render::metadata(state.common.get(*project).unwrap_or(&std::collections::BTreeMap::new()));
            Ok(json!({"kind": "compute#project", "id": project_number(project).to_string(), "name": project,
                "selfLink": format!("{ROOT}/{here}"), "commonInstanceMetadata": common, "quotas": []}))
        }
        ["aggregated", "instances"] if get => {
            need(state, "compute.instances.list", &here)?;
            aggregated(state, asked, project)
        }
        ["zones", zone] if get => {
            need(state, "compute.zones.get", &here)?;
            known_zone(state, zone)?;
            Ok(json!({"kind": "compute#zone", "id": "1", "name": zone, "status": "UP",
                "region": format!("{ROOT}/{here}/regions/{}", super::model::region_of(zone)),
                "selfLink": format!("{ROOT}/{here}/zones/{zone}")}))
        }
        ["zones"] if get => {
            need(state, "compute.zones.list", &here)?;
            let items = state
                .zones
                .iter()
                .map(|zone| {
                    json!({"kind": "compute#zone", "name": zone, "status": "UP",
                "region": format!("{ROOT}/{here}/regions/{}", super::model::region_of(zone)),
                "selfLink": format!("{ROOT}/{here}/zones/{zone}")})
                })
                .collect();
            list("compute#zoneList", &resource, items, asked, state.page_size)
        }
        ["regions", region] if get => {
            need(state, "compute.regions.get", &here)?;
            Ok(json!({"kind": "compute#region", "id": "1", "name": region, "status": "UP", "quotas": [],
                "selfLink": format!("{ROOT}/{here}/regions/{region}")}))
        }
        ["zones", zone, "instances"] if get => {
            need(state, "compute.instances.list", &here)?;
            known_zone(state, zone)?;
            let items = instances(state, project, Some(zone));
            list("compute#instanceList", &resource, items, asked, state.page_size)
        }
        ["zones", zone, "instances", name] if get => {
            need(state, "compute.instances.get", &resource)?;
            known_zone(state, zone)?;
            state
                .instances
                .iter()
                .find(|kept| {
                    kept.seed.project == *project && kept.seed.zone == *zone && named(name, &kept.seed.name, kept.id)
                })
                .map(|kept| render::instance(state, kept))
                .ok_or_else(|| Refusal::not_found(&resource))
        }
        ["zones" | "regions", place, "disks", name] if get => {
            need(state, "compute.disks.get", &resource)?;
            let disk =
                find_disk(state, project, &scope(rest, place), name).ok_or_else(|| Refusal::not_found(&resource))?;
            Ok(render::disk(state, &disk))
        }
        ["zones" | "regions", _, "instances" | "disks" | "instanceGroupManagers", _, "testIamPermissions"]
        | ["global", "snapshots" | "firewalls", _, "testIamPermissions"]
            if post =>
        {
            test_permissions(state, asked)
        }
        ["zones" | "regions", place, "disks", name, "createSnapshot"] if post => {
            seen.write = true;
            let on = resource.trim_end_matches("/createSnapshot").to_owned();
            let body = json_body(asked)?;
            seen.permissions.extend(["compute.disks.createSnapshot", "compute.snapshots.create"]);
            permit(state, asked, "compute.disks.createSnapshot", &on)?;
            permit_create(state, asked, project, &body, seen)?;
            let disk = find_disk(state, project, &scope(rest, place), name).ok_or_else(|| Refusal::not_found(&on))?;
            take(state, asked, &disk, &body, ("createSnapshot", disk.scope.clone()))
        }
        ["global", "snapshots"] if post => {
            seen.write = true;
            let body = json_body(asked)?;
            let disk = source_disk(state, project, &body)?;
            seen.permissions.extend(["compute.disks.createSnapshot", "compute.snapshots.create"]);
            permit(state, asked, "compute.disks.createSnapshot", &disk.resource())?;
            permit_create(state, asked, project, &body, seen)?;
            take(state, asked, &disk, &body, ("insert", Scope::Global))
        }
        ["global", "snapshots"] if get => {
            need(state, "compute.snapshots.list", &here)?;
            let mut kept: Vec<_> = state.snapshots.iter().filter(|kept| kept.made.project == *project).collect();
            kept.sort_by(|a, b| a.made.name.cmp(&b.made.name));
            let newest_first = asked.param("orderBy").is_some_and(|order| order == "creationTimestamp desc");
            if newest_first {
                kept.sort_by_key(|kept| std::cmp::Reverse(kept.created));
            }
            let items = kept.into_iter().map(render::snapshot).collect();
            list("compute#snapshotList", &resource, items, asked, state.page_size)
        }
        ["global", "snapshots", name] if get => {
            need(state, "compute.snapshots.get", &resource)?;
            state
                .snapshots
                .iter()
                .find(|kept| kept.made.project == *project && named(name, &kept.made.name, kept.made.id))
                .map(render::snapshot)
                .ok_or_else(|| Refusal::not_found(&resource))
        }
        ["global", "snapshots", name] if asked.method == Method::DELETE => {
            seen.write = true;
            seen.permissions.push("compute.snapshots.delete");
            permit(state, asked, "compute.snapshots.delete", &resource)?;
            delete(state, asked, project, name, &resource)
        }
        ["zones" | "regions", place, "operations", name, tail @ ..] if operation_call(asked, tail) => {
            let permission = if rest.first() == Some(&"zones") {
                "compute.zoneOperations.get"
            } else {
                "compute.regionOperations.get"
            };
            need(state, permission, &resource)?;
            operation(state, project, &scope(rest, place), name, &resource)
        }
        ["global", "operations", name, tail @ ..] if operation_call(asked, tail) => {
            need(state, "compute.globalOperations.get", &resource)?;
            operation(state, project, &Scope::Global, name, &resource)
        }
        _ => {
            let (project, resource) = ((*project).to_owned(), resource);
            let mut turn = Turn { state, asked, noted: seen, project, resource };
            for route in [writes::route, firewalls::route, groups::route, addresses::route] {
                if let Some(answer) = route(&mut turn, rest) {
                    return answer;
                }
            }
            turn.noted.write = !get;
            Err(Refusal::new(404, "notFound", format!("The range does not know {} {}", asked.method, asked.path)))
        }
    }
}

fn operation_call(asked: &Asked, tail: &[&str]) -> bool {
    (asked.method == Method::GET && tail.is_empty()) || (asked.method == Method::POST && tail == ["wait"])
}

fn scope(rest: &[&str], place: &str) -> Scope {
    if rest.first() == Some(&"zones") { Scope::Zone(place.into()) } else { Scope::Region(place.into()) }
}

fn named(asked: &str, name: &str, id: u64) -> bool {
    asked == name || asked.parse() == Ok(id)
}

/// Planned refusals first, then the caller's own rights.
pub(super) fn permit(state: &mut State, asked: &Asked, permission: &str, resource: &str) -> Result<(), Refusal> {
    if let Some((_, refusal, left)) =
        state.refusals.iter_mut().find(|(part, _, left)| *left > 0 && asked.path.contains(part.as_str()))
    {
        *left -= 1;
        return Err(refusal.clone());
    }
    if state.allowed.is_empty() {
        return Ok(());
    }
    let token = asked.token().ok_or_else(Refusal::unauthenticated)?;
    let allowed = state.allowed.get(&token).ok_or_else(Refusal::unauthenticated)?;
    if allowed.contains(permission) { Ok(()) } else { Err(Refusal::forbidden(permission, resource)) }
}

fn permit_create(
    state: &mut State,
    asked: &Asked,
    project: &str,
    body: &Value,
    seen: &mut Noted,
) -> Result<(), Refusal> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let snapshot = format!("projects/{project}/global/snapshots/{name}");
    permit(state, asked, "compute.snapshots.create", &snapshot)?;
    if body.get("labels").and_then(Value::as_object).is_some_and(|labels| !labels.is_empty()) {
        seen.permissions.push("compute.snapshots.setLabels");
        permit(state, asked, "compute.snapshots.setLabels", &snapshot)?;
    }
    Ok(())
}

pub(super) fn test_permissions(state: &State, asked: &Asked) -> Result<Value, Refusal> {
    let body = json_body(asked)?;
    let wanted = body.get("permissions").and_then(Value::as_array).cloned().unwrap_or_default();
    let rights = match asked.token().map(|token| state.allowed.get(&token)) {
        _ if state.allowed.is_empty() => None,
        Some(Some(rights)) => Some(rights),
        _ => return Err(Refusal::unauthenticated()),
    };
    let held: Vec<&Value> = wanted
        .iter()
        .filter(|one| rights.is_none_or(|rights| one.as_str().is_some_and(|one| rights.contains(one))))
        .collect();
    Ok(if held.is_empty() { json!({}) } else { json!({ "permissions": held }) })
}

fn known_project(state: &State, project: &str) -> Result<(), Refusal> {
    if state.projects.contains(project) { Ok(()) } else { Err(Refusal::not_found(&format!("projects/{project}"))) }
}

pub(super) fn known_zone(state: &State, zone: &str) -> Result<(), Refusal> {
    if state.zones.contains(zone) { Ok(()) } else { Err(Refusal::field("zone", zone, "Unknown zone.")) }
}

pub(super) fn json_body(asked: &Asked) -> Result<Value, Refusal> {
    if asked.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&asked.body)
        .map_err(|error| Refusal::new(400, "parseError", format!("Parse Error: {error}")))
}

fn find_disk(state: &State, project: &str, scope: &Scope, name: &str) -> Option<KeptDisk> {
    state
        .disks
        .iter()
        .find(|disk| disk.project == project && disk.scope == *scope && named(name, &disk.seed.name, disk.id))
        .cloned()
}

/// `sourceDisk` of a `snapshots.insert`: a full link or a part of one.
fn source_disk(state: &State, project: &str, body: &Value) -> Result<KeptDisk, Refusal> {
    let link = body.get("sourceDisk").and_then(Value::as_str).unwrap_or_default();
    let parts: Vec<&str> = link.split('/').collect();
    let (scope, name) = match parts.as_slice() {
        [.., "zones", zone, "disks", name] => (Scope::Zone((*zone).into()), name),
        [.., "regions", region, "disks", name] => (Scope::Region((*region).into()), name),
        _ => return Err(Refusal::field("resource.sourceDisk", link, "The URL is malformed.")),
    };
    find_disk(state, project, &scope, name)
        .ok_or_else(|| Refusal::not_found(&format!("projects/{project}/{scope}/disks/{name}")))
}

fn take(
    state: &mut State,
    asked: &Asked,
    disk: &KeptDisk,
    body: &Value,
    kind: (&'static str, Scope),
) -> Result<Value, Refusal> {
    let (id, render): (_, fn(&State, &Operation) -> Value) = match snapshots::repeated(state, asked)? {
        Some(id) => (id, render::operation),
        None => (snapshots::create(state, asked, disk, body, kind)?, render::accepted),
    };
    let found = state.operations.iter().find(|kept| kept.id == id);
    found.map(|kept| render(state, kept)).ok_or_else(Refusal::unavailable)
}

fn delete(state: &mut State, asked: &Asked, project: &str, name: &str, resource: &str) -> Result<Value, Refusal> {
    let repeated = snapshots::repeated(state, asked)?;
    let id = if let Some(id) = repeated {
        id
    } else {
        let at = state
            .snapshots
            .iter()
            .position(|kept| kept.made.project == *project && named(name, &kept.made.name, kept.made.id))
            .ok_or_else(|| Refusal::not_found(resource))?;
        let gone = state.snapshots.remove(at);
        let target = (format!("{ROOT}/{resource}"), gone.made.id);
        snapshots::begin(state, asked, project, ("delete", Scope::Global), target, None)?
    };
    state
        .operations
        .iter()
        .find(|kept| kept.id == id)
        .map(|kept| render::operation(state, kept))
        .ok_or_else(Refusal::unavailable)
}

fn operation(state: &State, project: &str, scope: &Scope, name: &str, resource: &str) -> Result<Value, Refusal> {
    state
        .operations
        .iter()
        .find(|kept| kept.project == project && kept.scope == *scope && named(name, &kept.name, kept.id))
        .map(|kept| render::operation(state, kept))
        .ok_or_else(|| Refusal::not_found(resource))
}
