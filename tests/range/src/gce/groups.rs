//! Managed instance groups, zonal and regional.

use serde_json::{Value, json};

use super::error::Refusal;
use super::instances::{remove, strings};
use super::list::{list, page};
use super::model::{Attached, Disk, Instance};
use super::render::fingerprint;
use super::seeds::KeptGroup;
use super::state::{Effect, ROOT, Scope, State, project_number};
use super::turn::{Turn, vanished, zonal_link};

const GET: &str = "compute.instanceGroupManagers.get";
const UPDATE: &str = "compute.instanceGroupManagers.update";

pub(super) fn route(turn: &mut Turn<'_>, rest: &[&str]) -> Option<Result<Value, Refusal>> {
    if *rest == ["aggregated", "instanceGroupManagers"] && turn.get() {
        return Some(aggregated(turn));
    }
    let (scope, tail) = match rest {
        ["zones", zone, "instanceGroupManagers", tail @ ..] => (Scope::Zone((*zone).to_owned()), tail),
        ["regions", region, "instanceGroupManagers", tail @ ..] => (Scope::Region((*region).to_owned()), tail),
        _ => return None,
    };
    let post = turn.post();
    Some(match tail {
        [] if turn.get() => all(turn, &scope),
        [name] if turn.get() => get(turn, &scope, name),
        [name, "listManagedInstances"] if post => members(turn, &scope, name),
        [name, "abandonInstances"] if post => leave(turn, &scope, name, false),
        [name, "deleteInstances"] if post => leave(turn, &scope, name, true),
        [name, "resize"] if post => resize(turn, &scope, name),
        _ => return None,
    })
}

fn resource(turn: &Turn<'_>, scope: &Scope, name: &str) -> String {
    format!("projects/{}/{scope}/instanceGroupManagers/{name}", turn.project)
}

fn find(turn: &Turn<'_>, scope: &Scope, name: &str) -> Result<KeptGroup, Refusal> {
    let wanted = resource(turn, scope, name);
    let found = turn.state.groups.iter().find(|group| {
        let by_number =
            name.parse() == Ok(group.id) && group.seed.project == turn.project && group.seed.scope == *scope;
        group.resource() == wanted || by_number
    });
    found.cloned().ok_or_else(|| Refusal::not_found(&wanted))
}

fn all(turn: &mut Turn<'_>, scope: &Scope) -> Result<Value, Refusal> {
    turn.need(&["compute.instanceGroupManagers.list"], &format!("projects/{}", turn.project))?;
    let of = |group: &&KeptGroup| group.seed.project == turn.project && group.seed.scope == *scope;
    let items = turn.state.groups.iter().filter(of).map(|group| render(turn.state, group)).collect();
    list("compute#instanceGroupManagerList", &turn.resource, items, turn.asked, turn.state.page_size)
}

fn aggregated(turn: &mut Turn<'_>) -> Result<Value, Refusal> {
    turn.need(&["compute.instanceGroupManagers.list"], &format!("projects/{}", turn.project))?;
    let of_project = turn.state.groups.iter().filter(|group| group.seed.project == turn.project);
    let items = of_project.map(|group| render(turn.state, group)).collect();
    let (items, next) = page(items, turn.asked, turn.state.page_size)?;
    let mut scopes = serde_json::Map::new();
    for item in items {
        let place = ["zone", "region"].iter().find_map(|key| item.get(*key)?.as_str()).unwrap_or_default();
        let key: Vec<&str> = place.rsplit('/').take(2).collect();
        let key = key.into_iter().rev().collect::<Vec<_>>().join("/");
        let entry = scopes.entry(key).or_insert_with(|| json!({"instanceGroupManagers": []}));
        if let Some(list) = entry.get_mut("instanceGroupManagers").and_then(Value::as_array_mut) {
            list.push(item);
        }
    }
    let mut out = json!({"kind": "compute#instanceGroupManagerAggregatedList", "id": turn.resource, "items": scopes});
    if let (Some(next), Some(fields)) = (next, out.as_object_mut()) {
        fields.insert("nextPageToken".into(), next.into());
    }
    Ok(out)
}

fn get(turn: &mut Turn<'_>, scope: &Scope, name: &str) -> Result<Value, Refusal> {
    let resource = resource(turn, scope, name);
    turn.need(&[GET], &resource)?;
    let group = find(turn, scope, name)?;
    Ok(render(turn.state, &group))
}

fn members(turn: &mut Turn<'_>, scope: &Scope, name: &str) -> Result<Value, Refusal> {
    let resource = resource(turn, scope, name);
    turn.need(&[GET], &resource)?;
    let group = find(turn, scope, name)?;
    let project = turn.project.clone();
    let items = group.seed.members.iter().filter_map(|(zone, name)| {
        let kept = turn.state.instance(&project, zone, name)?;
        Some(json!({
            "instance": format!("{ROOT}/{}", kept.resource()),
            "id": kept.id.to_string(),
            "name": kept.seed.name,
            "instanceStatus": kept.seed.status,
            "currentAction": "NONE",
        }))
    });
    let (items, next) = page(items.collect(), turn.asked, turn.state.page_size)?;
    let mut out = json!({});
    if let Some(fields) = out.as_object_mut() {
        if !items.is_empty() {
            fields.insert("managedInstances".into(), items.into());
        }
        if let Some(next) = next {
            fields.insert("nextPageToken".into(), next.into());
        }
    }
    Ok(out)
}

/// Members leave, with or without being deleted; the group wants that many fewer.
fn leave(turn: &mut Turn<'_>, scope: &Scope, name: &str, delete: bool) -> Result<Value, Refusal> {
    let resource = resource(turn, scope, name);
    turn.may(&[UPDATE], &resource)?;
    let group = find(turn, scope, name)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let mut leaving = Vec::new();
    for link in strings(&turn.body()?, "instances") {
        let given = zonal_link(&link);
        let member = given.filter(|member| group.seed.members.contains(member));
        let Some(member) = member else {
            let why = format!("Instance is not a member of the managed instance group '{resource}'.");
            return Err(Refusal::field("instances", &link, &why));
        };
        leaving.push(member);
    }
    if leaving.is_empty() {
        return Err(Refusal::field("instances", "", "At least one instance must be given."));
    }
    let protected = leaving
        .iter()
        .find(|(zone, name)| turn.state.instance(&turn.project, zone, name).is_some_and(|kept| kept.seed.protected));
    if let (true, Some((_, name))) = (delete, protected) {
        let why = format!("Instance '{name}' is protected against deletion.");
        return Err(Refusal::new(400, "invalidResourceUsage", format!("Invalid resource usage: '{why}'.")));
    }
    let (id, project) = (group.id, turn.project.clone());
    let target = (format!("{ROOT}/{resource}"), id);
    let effect: Effect = Box::new(move |state| {
        let group = state.groups.iter_mut().find(|group| group.id == id).ok_or_else(|| vanished(&resource))?;
        let before = group.seed.members.len();
        group.seed.members.retain(|member| !leaving.contains(member));
        let gone = u64::try_from(before - group.seed.members.len()).unwrap_or(0);
        group.seed.size = group.seed.size.saturating_sub(gone);
        if delete {
            for (zone, name) in &leaving {
                if let Some(kept) = state.instance(&project, zone, name).cloned() {
                    remove(state, &kept);
                }
            }
        }
        Ok(())
    });
    let kind = if delete {
        "compute.instanceGroupManagers.deleteInstances"
    } else {
        "compute.instanceGroupManagers.abandonInstances"
    };
    turn.start(kind, scope.clone(), target, effect)
}

fn resize(turn: &mut Turn<'_>, scope: &Scope, name: &str) -> Result<Value, Refusal> {
    let resource = resource(turn, scope, name);
    turn.may(&[UPDATE], &resource)?;
    let group = find(turn, scope, name)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let given = turn.required("size")?;
    let bad = || Refusal::field("size", &given, "Must be a number that is not negative.");
    let size: u64 = given.parse().map_err(|_| bad())?;
    let target = (format!("{ROOT}/{resource}"), group.id);
    let effect: Effect = Box::new(move |state| {
        scale(state, group.id, size);
        Ok(())
    });
    turn.start("compute.instanceGroupManagers.resize", scope.clone(), target, effect)
}

/// Makes members or, the newest first, deletes them.
fn scale(state: &mut State, id: u64, size: u64) {
    let wanted = usize::try_from(size).unwrap_or(usize::MAX);
    let Some(at) = state.groups.iter().position(|group| group.id == id) else { return };
    let Some(mut group) = state.groups.get(at).cloned() else { return };
    group.seed.size = size;
    let made_by = format!(
        "projects/{}/{}/instanceGroupManagers/{}",
        project_number(&group.seed.project),
        group.seed.scope,
        group.seed.name
    );
    while group.seed.members.len() > wanted {
        if let Some((zone, name)) = group.seed.members.pop()
            && let Some(kept) = state.instance(&group.seed.project, &zone, &name).cloned()
        {
            remove(state, &kept);
        }
    }
    while group.seed.members.len() < wanted {
        let zone = match &group.seed.scope {
            Scope::Zone(zone) => zone.clone(),
            Scope::Region(region) => format!("{region}-b"),
            Scope::Global => return,
        };
        // As Google names them: the base name and four characters.
        let name = format!("{}-{:04x}", group.seed.base, state.id() % 65_521);
        let like = group.seed.members.first().and_then(|(zone, name)| state.instance(&group.seed.project, zone, name));
        let nics = like.map(|kept| kept.seed.nics.iter().map(|nic| super::Nic::new(&nic.network)).collect());
        let mut seed = Instance::new(&group.seed.project, &zone, &name).metadata("created-by", &made_by);
        seed.nics = nics.unwrap_or_default();
        seed.disks.push(Attached::Persistent(Disk::zonal(&name).boot()));
        state.seed(seed);
        group.seed.members.push((zone, name));
    }
    if let Some(kept) = state.groups.get_mut(at) {
        *kept = group;
    }
}

fn render(state: &State, group: &KeptGroup) -> Value {
    let seed = &group.seed;
    let scope = format!("{ROOT}/projects/{}/{}", seed.project, seed.scope);
    let mut out = json!({
        "kind": "compute#instanceGroupManager",
        "id": group.id.to_string(),
        "name": seed.name,
        "creationTimestamp": state.stamp(std::time::Duration::ZERO),
        "baseInstanceName": seed.base,
        "targetSize": seed.size,
        "fingerprint": fingerprint(&(seed.size, &seed.members)),
        "instanceGroup": format!("{scope}/instanceGroups/{}", seed.name),
        "instanceTemplate": format!("{ROOT}/projects/{}/global/instanceTemplates/{}", seed.project, seed.base),
        "currentActions": {"none": seed.members.len(), "abandoning": 0, "creating": 0, "deleting": 0, "recreating": 0,
            "refreshing": 0, "restarting": 0, "verifying": 0, "creatingWithoutRetries": 0},
        "status": {"isStable": true, "versionTarget": {"isReached": true}},
        "selfLink": format!("{scope}/instanceGroupManagers/{}", seed.name),
    });
    if let Some(fields) = out.as_object_mut() {
        let key = if matches!(seed.scope, Scope::Zone(_)) { "zone" } else { "region" };
        fields.insert(key.into(), scope.into());
    }
    out
}
