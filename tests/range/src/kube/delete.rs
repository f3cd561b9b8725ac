//! Deletion, and what it does to what an object owns.

use serde_json::{Value, json};

use super::api::Place;
use super::state::{Key, State};
use super::status::Failure;
use crate::host::Asked;

pub(super) fn delete(
    state: &mut State,
    asked: &Asked,
    place: &Place<'_>,
    old: &Value,
    dry: bool,
) -> Result<Value, Failure> {
    let options: Value = if asked.body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&asked.body)
            .map_err(|error| Failure::bad_request(format!("the object provided is unrecognized: {error}")))?
    };
    let (resource, name) = (place.served.qualified(), place.name.unwrap_or_default());
    for (field, words) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted = options.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str);
        let have = old.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
        if wanted.is_some() && wanted != have {
            let why = format!(
                "Precondition failed: {words} in precondition: {}, {words} in object meta: {}",
                wanted.unwrap_or_default(),
                have.unwrap_or_default()
            );
            return Err(Failure::conflict(&resource, name, &why));
        }
    }
    let uid = old.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !dry {
        let orphan = options.get("propagationPolicy").and_then(Value::as_str) == Some("Orphan");
        let takes = super::evict::termination(&resource, old, &options);
        if finalizers(old) || !takes.is_zero() {
            state.ending.entry(place.key()).or_insert_with(|| std::time::Instant::now() + takes);
            let mut ending = old.clone();
            super::patch::merge(
                &mut ending,
                &json!({"metadata": {"deletionTimestamp": format!("{:.0}", jiff::Timestamp::now())}}),
            );
            state.put(place.key(), ending);
        } else {
            remove(state, &place.key(), orphan);
        }
    }
    let details = json!({"name": name, "group": place.served.group, "kind": place.served.plural, "uid": uid});
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}))
}

fn finalizers(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// It was deleted, and its last finalizer is gone.
pub(super) fn is_due(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some() && !finalizers(object)
}

pub(super) fn forget(state: &mut State, key: &Key) {
    remove(state, key, false);
}

/// The controller of service accounts is at once: every namespace has an account `default`.
fn make_default_again(state: &mut State, (resource, namespace, name): &Key) {
    let stands = state.objects.contains_key(&("namespaces".into(), String::new(), namespace.clone()));
    if resource == "serviceaccounts" && name == "default" && stands {
        let accounts = state.serving(resource);
        state.add(&accounts, namespace, name, &json!({}));
    }
}

/// The garbage collector is at once: what is owned goes too, or loses its owner.
pub(super) fn remove(state: &mut State, key: &Key, orphan: bool) {
    let Some(gone) = state.objects.remove(key) else { return };
    make_default_again(state, key);
    let uid = gone.pointer("/metadata/uid").cloned().unwrap_or_default();
    let owned: Vec<Key> = state
        .objects
        .iter()
        .filter(|(_, object)| {
            let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.is_some_and(|owners| owners.iter().any(|owner| owner.get("uid") == Some(&uid)))
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in owned {
        if !orphan {
            remove(state, &key, false);
        } else if let Some(mut object) = state.objects.get(&key).cloned() {
            if let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
                owners.retain(|owner| owner.get("uid") != Some(&uid));
            }
            state.put(key, object);
        }
    }
}
