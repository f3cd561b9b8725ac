//! Taking a snapshot, checked as the service checks.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Refusal;
use super::model::Snapshot;
use super::state::{KeptDisk, KeptSnapshot, Operation, ROOT, Scope, State};
use crate::host::Asked;

/// `createSnapshot` of a disk that was found; the answer is the operation's id.
pub(crate) fn create(
    state: &mut State,
    asked: &Asked,
    disk: &KeptDisk,
    body: &Value,
    kind: (&'static str, Scope),
) -> Result<u64, Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let name = text("name").unwrap_or_default();
    check_name("resource.name", name)?;
    let labels = labels(body)?;
    let storage_locations = storage(body, disk)?;
    check_key(disk, body)?;
    let resource = format!("projects/{}/global/snapshots/{name}", disk.project);
    if state.snapshots.iter().any(|kept| kept.made.project == disk.project && kept.made.name == name) {
        return Err(Refusal::exists(&resource));
    }
    let guest_flush = asked.param("guestFlush").is_some_and(|value| value == "true")
        || body.get("guestFlush").and_then(Value::as_bool).unwrap_or(false);

    let (id, now) = (state.id(), state.now());
    let source = format!("{ROOT}/{}", disk.resource());
    let target = if kind.0 == "insert" { (format!("{ROOT}/{resource}"), id) } else { (source.clone(), disk.id) };
    let failure = state.planned_failure(&asked.path);
    let operation = begin(state, asked, &disk.project, kind, target, failure)?;
    let made = Snapshot {
        id,
        name: name.to_owned(),
        project: disk.project.clone(),
        status: "CREATING".into(),
        source_disk: source,
        source_disk_id: disk.id,
        disk_size_gb: disk.seed.size_gb,
        storage_locations,
        labels,
        description: text("description").map(str::to_owned),
        guest_flush,
        created: state.stamp(now),
        by: asked.token(),
    };
    state.snapshots.push(KeptSnapshot { made, created: now, operation });
    state.settle();
    Ok(operation)
}

/// Starts an operation and notes its `requestId`.
pub(crate) fn begin(
    state: &mut State,
    asked: &Asked,
    project: &str,
    (kind, scope): (&'static str, Scope),
    (target, target_id): (String, u64),
    failure: Option<super::OperationFailure>,
) -> Result<u64, Refusal> {
    let (id, born) = (state.id(), state.now());
    state.operations.push(Operation {
        id,
        name: format!("operation-{}-{id:x}", born.as_millis()),
        project: project.to_owned(),
        scope,
        kind,
        target,
        target_id,
        request: request_id(asked)?.map(|request| (asked.path.clone(), request)),
        born,
        timing: state.timing,
        failure,
        user: asked.token(),
    });
    Ok(id)
}

/// The operation that this `requestId` started before, on the same resource.
pub(crate) fn repeated(state: &State, asked: &Asked) -> Result<Option<u64>, Refusal> {
    let Some(request) = request_id(asked)? else { return Ok(None) };
    let key = (asked.path.clone(), request);
    Ok(state.operations.iter().find(|kept| kept.request.as_ref() == Some(&key)).map(|kept| kept.id))
}

fn request_id(asked: &Asked) -> Result<Option<String>, Refusal> {
    let Some(text) = asked.param("requestId") else { return Ok(None) };
    match uuid::Uuid::parse_str(&text) {
        Ok(id) if !id.is_nil() => Ok(Some(id.to_string())),
        _ => Err(Refusal::field("requestId", &text, "Must be a valid, non-zero UUID.")),
    }
}

/// RFC 1035, 63 characters.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let middle = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let bytes = name.as_bytes();
    let good = matches!(bytes.first(), Some(b'a'..=b'z'))
        && bytes.len() <= 63
        && bytes.iter().all(|&c| middle(c))
        && bytes.last() != Some(&b'-');
    if good {
        return Ok(());
    }
    Err(Refusal::field(field, name, "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"))
}

pub(super) fn labels(body: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(given) = body.get("labels").filter(|labels| !labels.is_null()) else { return Ok(BTreeMap::new()) };
    let bad = |why: String| Refusal::field("resource.labels", "", &why);
    let given = given.as_object().ok_or_else(|| bad("Must be an object.".into()))?;
    if given.len() > 64 {
        return Err(bad("Too many labels: at most 64.".into()));
    }
    let fits = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || c == '_' || c == '-')
    };
    let mut out = BTreeMap::new();
    for (key, value) in given {
        let value = value.as_str().ok_or_else(|| bad(format!("Label value of '{key}' is no string.")))?;
        if !fits(key) || !key.chars().next().is_some_and(char::is_alphabetic) {
            return Err(bad(format!(
                "Label key '{key}' violates format constraints. The key must start with a lowercase character, can only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most 63 characters long."
            )));
        }
        if !fits(value) {
            return Err(bad(format!(
                "Label value '{value}' violates format constraints. The value can only contain lowercase letters, numeric characters, underscores and dashes. The value can be at most 63 characters long."
            )));
        }
        out.insert(key.clone(), value.to_owned());
    }
    Ok(out)
}

/// At most one location, a region or a multi-region; the default is the multi-region nearest to the disk.
fn storage(body: &Value, disk: &KeptDisk) -> Result<Vec<String>, Refusal> {
    let given: Vec<&str> = body
        .get("storageLocations")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    match given.as_slice() {
        [] => {
            let region = disk.region();
            let near = match region.split_once('-').map(|(continent, _)| continent) {
                Some("europe") => "eu".to_owned(),
                Some(continent @ ("us" | "asia")) => continent.to_owned(),
                _ => region,
            };
            Ok(vec![near])
        }
        [one] => {
            let region = |text: &str| {
                text.contains('-')
                    && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
                    && text.bytes().last().is_some_and(|c| c.is_ascii_digit())
            };
            if matches!(*one, "eu" | "us" | "asia") || region(one) {
                Ok(vec![(*one).to_owned()])
            } else {
                Err(Refusal::field("resource.storageLocations", one, "Storage location is not valid."))
            }
        }
        many => {
            Err(Refusal::field("resource.storageLocations", &many.join(","), "Only one storage location is allowed."))
        }
    }
}

fn check_key(disk: &KeptDisk, body: &Value) -> Result<(), Refusal> {
    let given = body.pointer("/sourceDiskEncryptionKey/rawKey").and_then(Value::as_str);
    let resource = disk.resource();
    match (&disk.seed.csek, given) {
        (None, None) => Ok(()),
        (Some(key), Some(given)) if key == given => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::new(
            400,
            "customerEncryptionKeyIsIncorrect",
            format!("The provided encryption key does not match the key that '{resource}' is encrypted with."),
        )),
        (Some(_), None) => Err(Refusal::new(
            400,
            "resourceIsEncryptedWithCustomerEncryptionKey",
            format!(
                "The resource '{resource}' is encrypted with a customer-supplied encryption key, which must be provided."
            ),
        )),
        (None, Some(_)) => Err(Refusal::new(
            400,
            "resourceIsNotEncryptedWithCustomerEncryptionKey",
            format!("The resource '{resource}' is not encrypted with a customer-supplied encryption key."),
        )),
    }
}
