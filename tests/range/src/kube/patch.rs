//! The three patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), and of the strategic merge patch what
//! `kubectl cordon` and `kubectl taint` send.

use serde_json::{Map, Value};

/// Applies a merge patch.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let fields = object(target);
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Applies a strategic merge patch of a node or pod.
pub(crate) fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let fields = object(target);
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        fields.clear();
    }
    for (key, value) in patch {
        match (key.as_str(), value) {
            (directive, _) if directive.starts_with('$') => {}
            (_, Value::Null) => drop(fields.remove(key)),
            (_, Value::Array(items)) => match merge_key(key) {
                Some(by) => merge_list(fields.entry(key.clone()).or_insert(Value::Null), items, by),
                None => drop(fields.insert(key.clone(), value.clone())),
            },
            _ => strategic(fields.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// `patchMergeKey` of the lists that a node or pod has. Taints have none: they are replaced as a whole.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "conditions" | "addresses" => Some("type"),
        "ownerReferences" => Some("uid"),
        "containers" | "initContainers" | "volumes" | "env" => Some("name"),
        _ => None,
    }
}

fn merge_list(target: &mut Value, patch: &[Value], by: &str) {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(list) = target.as_array_mut() else { return };
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        *list = patch.iter().filter(|item| directive(item).is_none()).cloned().collect();
        return;
    }
    for item in patch {
        let same = |other: &Value| other.get(by).is_some() && other.get(by) == item.get(by);
        if directive(item).as_deref() == Some("delete") {
            list.retain(|other| !same(other));
        } else if let Some(there) = list.iter_mut().find(|other| same(other)) {
            strategic(there, item);
        } else {
            list.push(item.clone());
        }
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was just made an object"),
    }
}

/// Why a JSON Patch was not applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no JSON Patch.
    Malformed(String),
    /// A `test` failed or a path does not exist.
    Inapplicable,
}

/// Applies a JSON Patch, all of it or nothing.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), Refused> {
    let operations = patch.as_array().ok_or_else(|| Refused::Malformed("a JSON Patch is a list".into()))?;
    let mut out = target.clone();
    for operation in operations {
        one(&mut out, operation)?;
    }
    *target = out;
    Ok(())
}

fn one(target: &mut Value, operation: &Value) -> Result<(), Refused> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| Refused::Malformed("an operation without a path".into()))?;
    let value =
        || operation.get("value").cloned().ok_or_else(|| Refused::Malformed("an operation without a value".into()));
    let from = || {
        let from = text("from").ok_or_else(|| Refused::Malformed("an operation without from".into()))?;
        Ok(from)
    };
    match text("op").unwrap_or_default() {
        "test" => {
            // A missing value equals null, as in the library that the API server uses.
            let have = target.pointer(path).unwrap_or(&Value::Null);
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            if have == wanted { Ok(()) } else { Err(Refused::Inapplicable) }
        }
        "add" => add(target, path, value()?),
        "replace" => {
            let there = target.pointer_mut(path).ok_or(Refused::Inapplicable)?;
            *there = value()?;
            Ok(())
        }
        "remove" => remove(target, path).map(drop),
        "copy" => {
            let copied = target.pointer(from()?).cloned().ok_or(Refused::Inapplicable)?;
            add(target, path, copied)
        }
        "move" => {
            let moved = remove(target, from()?)?;
            add(target, path, moved)
        }
        other => Err(Refused::Malformed(format!("unknown operation {other:?}"))),
    }
}

fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Refused> {
    let (above, last) = path.rsplit_once('/').ok_or(Refused::Inapplicable)?;
    let parent = target.pointer_mut(above).ok_or(Refused::Inapplicable)?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), Refused> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    match parent(target, path)? {
        (Value::Object(fields), last) => drop(fields.insert(last, value)),
        (Value::Array(items), place) if place == "-" => items.push(value),
        (Value::Array(items), place) => {
            let at: usize = place.parse().map_err(|_| Refused::Inapplicable)?;
            if at > items.len() {
                return Err(Refused::Inapplicable);
            }
            items.insert(at, value);
        }
        _ => return Err(Refused::Inapplicable),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, Refused> {
    match parent(target, path)? {
        (Value::Object(fields), last) => fields.remove(&last).ok_or(Refused::Inapplicable),
        (Value::Array(items), place) => {
            let at: usize = place.parse().map_err(|_| Refused::Inapplicable)?;
            if at < items.len() { Ok(items.remove(at)) } else { Err(Refused::Inapplicable) }
        }
        _ => Err(Refused::Inapplicable),
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, json, merge, strategic};
    use serde_json::json as j;

    #[test]
    fn merge_patch_removes_by_null_and_replaces_lists() {
        let mut node = j!({"spec": {"unschedulable": true, "taints": [{"key": "a"}]}});
        merge(
            &mut node,
            &j!({"spec": {"unschedulable": null, "taints": [{"key": "b"}]}, "metadata": {"labels": {"x": "y"}}}),
        );
        assert_eq!(node, j!({"spec": {"taints": [{"key": "b"}]}, "metadata": {"labels": {"x": "y"}}}));
    }

    #[test]
    fn a_failed_test_changes_nothing() {
        let mut node = j!({"spec": {"taints": [{"key": "a"}]}});
        let before = node.clone();
        let patch = j!([{"op": "add", "path": "/spec/taints/-", "value": 1}, {"op": "test", "path": "/spec/unschedulable", "value": true}]);
        assert_eq!(json(&mut node, &patch), Err(Refused::Inapplicable));
        assert_eq!(node, before);
    }

    #[test]
    fn json_patch_escapes_and_indexes() {
        let mut node = j!({"metadata": {"annotations": {"a/b": "1"}}, "l": [1, 2, 3]});
        let patch = j!([
            {"op": "test", "path": "/metadata/annotations/a~1b", "value": "1"},
            {"op": "remove", "path": "/metadata/annotations/a~1b"},
            {"op": "move", "from": "/l/0", "path": "/l/-"},
            {"op": "test", "path": "/absent", "value": null},
        ]);
        assert_eq!(json(&mut node, &patch), Ok(()));
        assert_eq!(node, j!({"metadata": {"annotations": {}}, "l": [2, 3, 1]}));
        assert_eq!(json(&mut node, &j!([{"op": "replace", "path": "/l/9", "value": 1}])), Err(Refused::Inapplicable));
        assert!(matches!(json(&mut node, &j!({"op": "add"})), Err(Refused::Malformed(_))));
    }

    #[test]
    fn strategic_lists_merge_by_key_and_taints_do_not() {
        let mut node = j!({"spec": {"taints": [{"key": "a"}, {"key": "b"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Gone"}]}});
        let patch = j!({"spec": {"taints": [{"key": "c"}]},
            "status": {"$setElementOrder/conditions": [], "conditions": [{"type": "Ready", "reason": "x"}, {"type": "Gone", "$patch": "delete"}]}});
        strategic(&mut node, &patch);
        assert_eq!(
            node,
            j!({"spec": {"taints": [{"key": "c"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}]}})
        );
    }
}
