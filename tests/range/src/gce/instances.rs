//! What changes an instance. A fingerprint is checked when the call comes and again when its operation is carried out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::error::Refusal;
use super::model::{Attached, Instance, OperationFailure};
use super::render::fingerprint;
use super::snapshots::{check_name, labels};
use super::state::{Effect, KeptInstance, ROOT, Scope, State};
use super::turn::{Turn, vanished};
use super::{firewalls, render};

/// What an operation does to its instance.
type Edit = Box<dyn FnOnce(&mut KeptInstance) -> Result<(), OperationFailure> + Send>;

/// Metadata: at most so many bytes a value, and in all (Compute Engine: "About VM metadata").
const VALUE: usize = 256 * 1024;
const METADATA: usize = 512 * 1024;
/// Network tags of one instance (Compute Engine: "VPC quotas and limits").
const TAGS: usize = 64;

pub(super) fn route(turn: &mut Turn<'_>, rest: &[&str]) -> Option<Result<Value, Refusal>> {
    let ["zones", zone, "instances", name, tail @ ..] = rest else { return None };
    if *tail == ["getEffectiveFirewalls"] && turn.get() {
        return Some(firewalls::effective(turn, zone, name));
    }
    if tail.is_empty() && turn.asked.method == http::Method::DELETE {
        return Some(delete(turn, zone, name));
    }
    let [verb] = tail else { return None };
    if !turn.post() {
        return None;
    }
    let at = (*zone, *name);
    Some(match *verb {
        "setTags" => write(turn, at, &["compute.instances.setTags"], "setTags", set_tags),
        "setLabels" => write(turn, at, &["compute.instances.setLabels"], "setLabels", set_labels),
        "setMetadata" => write(turn, at, &["compute.instances.setMetadata"], "setMetadata", set_metadata),
        "setDeletionProtection" => {
            write(turn, at, &["compute.instances.setDeletionProtection"], "setDeletionProtection", protect)
        }
        "setDiskAutoDelete" => {
            write(turn, at, &["compute.instances.setDiskAutoDelete"], "setDiskAutoDelete", set_auto_delete)
        }
        "setServiceAccount" => {
            write(turn, at, &["compute.instances.setServiceAccount"], "setServiceAccount", set_service_account)
        }
        "addAccessConfig" => super::addresses::add(turn, zone, name),
        "deleteAccessConfig" => {
            write(turn, at, &["compute.instances.deleteAccessConfig"], "deleteAccessConfig", super::addresses::delete)
        }
        "stop" => stop(turn, zone, name),
        "start" => start(turn, zone, name),
        _ => return None,
    })
}

/// Rights first, then whether it is there, then a repeated request, then the request itself.
pub(super) fn write(
    turn: &mut Turn<'_>,
    (zone, name): (&str, &str),
    permissions: &[&'static str],
    kind: &'static str,
    prepare: impl FnOnce(&mut Turn<'_>, &KeptInstance) -> Result<Edit, Refusal>,
) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.may(permissions, &resource)?;
    let kept = find(turn, zone, name, &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let edit = prepare(turn, &kept)?;
    let (id, target) = (kept.id, (format!("{ROOT}/{}", kept.resource()), kept.id));
    let effect: Effect = Box::new(move |state| match state.by_id(id) {
        Some(kept) => edit(kept),
        None => Err(vanished(&resource)),
    });
    turn.start(kind, Scope::Zone(zone.to_owned()), target, effect)
}

pub(super) fn find(turn: &Turn<'_>, zone: &str, name: &str, resource: &str) -> Result<KeptInstance, Refusal> {
    super::api::known_zone(turn.state, zone)?;
    turn.state.instance(&turn.project, zone, name).cloned().ok_or_else(|| Refusal::not_found(resource))
}

fn moved(what: &str) -> Refusal {
    Refusal::new(412, "conditionNotMet", format!("Supplied fingerprint does not match current {what} fingerprint."))
}

fn moved_later(what: &str) -> OperationFailure {
    let message = format!("Supplied fingerprint does not match current {what} fingerprint.");
    OperationFailure::new("CONDITION_NOT_MET", 412, &message)
}

/// Boxes an edit that holds only while the fingerprint of `of` is the one that the caller gave.
fn guarded<T: serde::Serialize + 'static>(
    what: &'static str,
    given: Option<&str>,
    kept: &KeptInstance,
    of: impl Fn(&Instance) -> T + Send + 'static,
    edit: impl FnOnce(&mut KeptInstance) + Send + 'static,
) -> Result<Edit, Refusal> {
    let given = given.unwrap_or_default().to_owned();
    if given != fingerprint(&of(&kept.seed)) {
        return Err(moved(what));
    }
    Ok(Box::new(move |kept| {
        if given != fingerprint(&of(&kept.seed)) {
            return Err(moved_later(what));
        }
        edit(kept);
        Ok(())
    }))
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn set_tags(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    let body = turn.body()?;
    let given: Vec<String> = strings(&body, "items");
    let mut items = Vec::new();
    for tag in given {
        check_name("resource.tags.items", &tag)?;
        if !items.contains(&tag) {
            items.push(tag);
        }
    }
    if items.len() > TAGS {
        let why = format!("Too many tags: at most {TAGS}.");
        return Err(Refusal::field("resource.tags.items", "", &why));
    }
    guarded("tags", text(&body, "fingerprint"), kept, |seed| seed.tags.clone(), |kept| kept.seed.tags = items)
}

fn set_labels(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    let body = turn.body()?;
    let labels = labels(&body)?;
    let given = text(&body, "labelFingerprint");
    guarded("labels", given, kept, |seed| seed.labels.clone(), |kept| kept.seed.labels = labels)
}

/// Whoever sets the metadata of an instance can run what it wants there: it must be allowed to act as its account
/// (IAM: "Service account permissions, iam.serviceAccounts.actAs").
fn set_metadata(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    act_as(turn, kept.seed.account.as_ref().map(|(email, _)| email.as_str()))?;
    let body = turn.body()?;
    let mut items = BTreeMap::new();
    for item in body.get("items").and_then(Value::as_array).into_iter().flatten() {
        let (key, value) = (text(item, "key").unwrap_or_default(), text(item, "value").unwrap_or_default());
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if key.is_empty() || key.len() > 128 || !key.bytes().all(fits) {
            return Err(Refusal::field("resource.items.key", key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'"));
        }
        if value.len() > VALUE {
            return Err(Refusal::field(&format!("metadata.items[{key}].value"), "", "Value is too large."));
        }
        if items.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Refusal::field("metadata.items.key", key, "Metadata has duplicate keys."));
        }
    }
    if items.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > METADATA {
        return Err(Refusal::field("metadata", "", "Metadata is too large."));
    }
    let given = text(&body, "fingerprint");
    guarded("metadata", given, kept, |seed| seed.metadata.clone(), |kept| kept.seed.metadata = items)
}

fn act_as(turn: &mut Turn<'_>, email: Option<&str>) -> Result<(), Refusal> {
    match email {
        Some(email) => turn.need(&["iam.serviceAccounts.actAs"], email),
        None => Ok(()),
    }
}

fn protect(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    // The parameter is true where it is not given (discovery document: default "true").
    let wanted = turn.flag("deletionProtection").unwrap_or(true);
    let (project, zone, name) = (kept.seed.project.clone(), kept.seed.zone.clone(), kept.seed.name.clone());
    if wanted && turn.state.groups.iter().any(|group| group.has(&project, &zone, &name)) {
        let why = "Deletion protection cannot be set on an instance that a managed instance group manages.";
        return Err(Refusal::new(400, "invalidResourceUsage", format!("Invalid resource usage: '{why}'.")));
    }
    Ok(Box::new(move |kept| {
        kept.seed.protected = wanted;
        Ok(())
    }))
}

fn set_auto_delete(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    let (device, wanted) = (turn.required("deviceName")?, turn.required("autoDelete")? == "true");
    let has = |disk: &Attached| matches!(disk, Attached::Persistent(disk) if disk.name == device);
    if !kept.seed.disks.iter().any(has) {
        return Err(Refusal::field("deviceName", &device, "No attached disk found with this device name."));
    }
    Ok(Box::new(move |kept| {
        for disk in &mut kept.seed.disks {
            if let Attached::Persistent(disk) = disk
                && disk.name == device
            {
                disk.auto_delete = wanted;
            }
        }
        Ok(())
    }))
}

fn set_service_account(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    let body = turn.body()?;
    let email = text(&body, "email").filter(|email| !email.is_empty()).map(str::to_owned);
    if let Some(email) = email.clone() {
        act_as(turn, Some(&email))?;
    }
    if kept.seed.status != "TERMINATED" {
        let why = "The instance must be stopped before the service account can be changed.";
        return Err(Refusal::new(400, "badRequest", why));
    }
    let scopes = strings(&body, "scopes");
    if email.is_none() && !scopes.is_empty() {
        return Err(Refusal::field("email", "", "Scopes need a service account."));
    }
    Ok(Box::new(move |kept| {
        kept.seed.account = email.map(|email| (email, scopes));
        Ok(())
    }))
}

/// A group keeps its members running: one that stops or goes is made again, under the same name, as another instance.
fn replaced(state: &mut State, kept: &KeptInstance) -> bool {
    let seed = &kept.seed;
    let managed = state.groups.iter().any(|group| group.has(&seed.project, &seed.zone, &seed.name));
    if managed {
        let fresh = Instance { id: None, status: "RUNNING".into(), tags: Vec::new(), ..seed.clone() };
        state.seed(fresh);
    }
    managed
}

fn stop(turn: &mut Turn<'_>, zone: &str, name: &str) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.may(&["compute.instances.stop"], &resource)?;
    let kept = find(turn, zone, name, &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let ssd = kept.seed.disks.iter().any(|disk| matches!(disk, Attached::LocalSsd));
    if ssd && turn.flag("discardLocalSsd").is_none() {
        let why = "VM has a Local SSD attached but an undefined value for `discard-local-ssd`.";
        return Err(Refusal::new(400, "badRequest", why));
    }
    let (id, target) = (kept.id, (format!("{ROOT}/{resource}"), kept.id));
    let effect: Effect = Box::new(move |state| {
        let reserved: BTreeSet<String> = state.addresses.iter().map(|kept| kept.address.clone()).collect();
        let kept = state.by_id(id).ok_or_else(|| vanished(&resource))?;
        kept.seed.status = "TERMINATED".into();
        for access in kept.seed.nics.iter_mut().flat_map(|nic| &mut nic.access) {
            // An ephemeral address is given back.
            access.address = access.address.take().filter(|address| reserved.contains(address));
        }
        let kept = kept.clone();
        replaced(state, &kept);
        Ok(())
    });
    turn.start("stop", Scope::Zone(zone.to_owned()), target, effect)
}

fn start(turn: &mut Turn<'_>, zone: &str, name: &str) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.may(&["compute.instances.start"], &resource)?;
    let kept = find(turn, zone, name, &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let (id, target) = (kept.id, (format!("{ROOT}/{resource}"), kept.id));
    let effect: Effect = Box::new(move |state| {
        let fresh: Vec<_> = (0..kept.seed.nics.len()).map(|_| state.ephemeral()).collect();
        let kept = state.by_id(id).ok_or_else(|| vanished(&resource))?;
        kept.seed.status = "RUNNING".into();
        for (nic, fresh) in kept.seed.nics.iter_mut().zip(fresh) {
            for access in &mut nic.access {
                access.address.get_or_insert(fresh.clone());
            }
        }
        Ok(())
    });
    turn.start("start", Scope::Zone(zone.to_owned()), target, effect)
}

fn delete(turn: &mut Turn<'_>, zone: &str, name: &str) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.may(&["compute.instances.delete"], &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let kept = find(turn, zone, name, &resource)?;
    if kept.seed.protected {
        let why = format!("Resource cannot be deleted if it's protected against deletion. Resource: '{resource}'");
        return Err(Refusal::new(400, "invalidResourceUsage", format!("Invalid resource usage: '{why}'.")));
    }
    let (id, target) = (kept.id, (format!("{ROOT}/{resource}"), kept.id));
    let effect: Effect = Box::new(move |state| {
        let kept = state.by_id(id).ok_or_else(|| vanished(&resource))?.clone();
        remove(state, &kept);
        replaced(state, &kept);
        Ok(())
    });
    turn.start("delete", Scope::Zone(zone.to_owned()), target, effect)
}

/// Takes an instance away, with the disks that go with it.
pub(super) fn remove(state: &mut State, kept: &KeptInstance) {
    let link = format!("{ROOT}/{}", kept.resource());
    let gone: BTreeSet<&str> = kept
        .seed
        .disks
        .iter()
        .filter_map(|disk| match disk {
            Attached::Persistent(disk) if disk.auto_delete => Some(disk.name.as_str()),
            _ => None,
        })
        .collect();
    state.disks.retain(|disk| disk.user.as_ref() != Some(&link) || !gone.contains(disk.seed.name.as_str()));
    for disk in &mut state.disks {
        disk.user = disk.user.take().filter(|user| *user != link);
    }
    state.instances.retain(|one| one.id != kept.id);
}

pub(super) fn strings(body: &Value, name: &str) -> Vec<String> {
    let items = body.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `tags` of an instance.
pub(super) fn tags(seed: &Instance) -> Value {
    let mut out = json!({"fingerprint": render::fingerprint(&seed.tags)});
    if let (false, Some(fields)) = (seed.tags.is_empty(), out.as_object_mut()) {
        fields.insert("items".into(), json!(seed.tags));
    }
    out
}
