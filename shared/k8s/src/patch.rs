//! Patches of one field of a Node, on the condition that the field still is what was seen.
//!
//! A patch never carries a `resourceVersion`: a kubelet writes its Node every few seconds, and the changes of one
//! stage run at once. What is compared is the node's UID and the touched value alone, by the `test` operation of
//! a JSON patch (RFC 6902). The API server takes `test` of an absent field with the value null as passed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A patch body with its media type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(Vec<Value>),
    /// RFC 7396.
    Merge(Value),
}

impl Patch {
    pub(crate) const fn media_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json-patch+json",
            Self::Merge(_) => "application/merge-patch+json",
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        match self {
            Self::Json(operations) => Value::from(operations.clone()).to_string().into_bytes(),
            Self::Merge(object) => object.to_string().into_bytes(),
        }
    }
}

/// Sets or removes `spec.unschedulable`. Removed and not `false`, because the API server does not store `false`.
pub(crate) fn unschedulable(uid: &str, seen: Option<&Value>, to: bool) -> Patch {
    const PATH: &str = "/spec/unschedulable";
    let mut operations = vec![same(uid), test(PATH, seen)];
    match (to, seen) {
        (true, _) => operations.push(json!({"op": "add", "path": PATH, "value": true})),
        (false, Some(_)) => operations.push(json!({"op": "remove", "path": PATH})),
        (false, None) => {}
    }
    Patch::Json(operations)
}

/// A taint's place in the list and the taint itself.
pub(crate) fn find_taint<'a>(taints: Option<&'a Value>, key: &str, effect: &str) -> Option<(usize, &'a Value)> {
    let is = |taint: &Value, field: &str, value: &str| taint.get(field).and_then(Value::as_str) == Some(value);
    taints?.as_array()?.iter().enumerate().find(|(_, taint)| is(taint, "key", key) && is(taint, "effect", effect))
}

/// Adds, changes or removes one taint. The rest of the list is not compared: controllers add and remove their own
/// taints at any time, not least `node.kubernetes.io/unschedulable` right after a cordon.
pub(crate) fn taint(uid: &str, seen: Option<&Value>, (key, effect): (&str, &str), to: Option<&str>) -> Patch {
    const PATH: &str = "/spec/taints";
    let wanted = to.map(|value| {
        let mut taint = json!({"key": key, "effect": effect});
        if let (false, Some(taint)) = (value.is_empty(), taint.as_object_mut()) {
            taint.insert("value".to_owned(), value.into());
        }
        taint
    });
    let mut operations = vec![same(uid)];
    match (find_taint(seen, key, effect), wanted) {
        (Some((at, present)), wanted) => {
            let path = format!("{PATH}/{at}");
            operations.push(test(&path, Some(present)));
            operations.push(match wanted {
                Some(taint) => json!({"op": "replace", "path": path, "value": taint}),
                None => json!({"op": "remove", "path": path}),
            });
        }
        (None, Some(taint)) if seen.is_some_and(Value::is_array) => {
            // Validation refuses a second taint of this key and effect, so this cannot double one.
            operations.push(json!({"op": "add", "path": format!("{PATH}/-"), "value": taint}));
        }
        (None, Some(taint)) => {
            operations.push(test(PATH, None));
            operations.push(json!({"op": "add", "path": PATH, "value": [taint]}));
        }
        (None, None) => {}
    }
    Patch::Json(operations)
}

/// Sets and removes entries of `metadata.annotations` or `metadata.labels`.
///
/// Where the whole map is absent a JSON patch would have to create it, and two patches at once would overwrite
/// each other: there a merge patch is used, whose UID the server compares, and the entries are known to be absent.
pub(crate) fn entries(
    uid: &str,
    map: &str,
    seen: Option<&Map<String, Value>>,
    to: &BTreeMap<&str, Option<&str>>,
) -> Patch {
    let Some(seen) = seen else {
        return Patch::Merge(json!({"metadata": {"uid": uid, map: to}}));
    };
    let mut operations = vec![same(uid)];
    for (key, value) in to {
        let path = format!("/metadata/{map}/{}", key.replace('~', "~0").replace('/', "~1"));
        let present = seen.get(*key);
        operations.push(test(&path, present));
        match (value, present) {
            (Some(value), _) => operations.push(json!({"op": "add", "path": path, "value": value})),
            (None, Some(_)) => operations.push(json!({"op": "remove", "path": path})),
            (None, None) => {}
        }
    }
    Patch::Json(operations)
}

pub(crate) fn same(uid: &str) -> Value {
    test("/metadata/uid", Some(&uid.into()))
}

pub(crate) fn test(path: &str, value: Option<&Value>) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(patch: &Patch) -> Vec<String> {
        match patch {
            Patch::Json(operations) => operations
                .iter()
                .skip(1)
                .map(|it| {
                    let text = |field: &str| it.get(field).and_then(Value::as_str).unwrap_or_default();
                    let value = it.get("value").map(|value| format!(" {value}")).unwrap_or_default();
                    format!("{} {}{value}", text("op"), text("path"))
                })
                .collect(),
            Patch::Merge(object) => vec![object.to_string()],
        }
    }

    const OURS: (&str, &str) = ("stanch.dev/quarantine", "NoSchedule");

    #[test]
    fn every_patch_names_the_uid_first() {
        let Patch::Json(operations) = unschedulable("u", None, true) else { panic!("a JSON patch") };
        assert_eq!(operations[0], json!({"op": "test", "path": "/metadata/uid", "value": "u"}));
        let Patch::Merge(object) = entries("u", "labels", None, &BTreeMap::new()) else { panic!("a merge patch") };
        assert_eq!(object.pointer("/metadata/uid"), Some(&json!("u")));
    }

    #[test]
    fn a_cordon_tests_what_was_seen() {
        assert_eq!(
            operations(&unschedulable("u", None, true)),
            ["test /spec/unschedulable null", "add /spec/unschedulable true"]
        );
        assert_eq!(
            operations(&unschedulable("u", Some(&json!(true)), false)),
            ["test /spec/unschedulable true", "remove /spec/unschedulable"]
        );
    }

    #[test]
    fn a_taint_touches_no_other() {
        let other = json!({"key": "a", "effect": "NoSchedule"});
        let ours = json!({"key": OURS.0, "effect": OURS.1});
        let both = json!([other, ours]);
        assert_eq!(
            operations(&taint("u", Some(&json!([other])), OURS, Some(""))),
            [r#"add /spec/taints/- {"effect":"NoSchedule","key":"stanch.dev/quarantine"}"#]
        );
        assert_eq!(
            operations(&taint("u", Some(&both), OURS, None)),
            [r#"test /spec/taints/1 {"effect":"NoSchedule","key":"stanch.dev/quarantine"}"#, "remove /spec/taints/1"]
        );
        assert_eq!(
            operations(&taint("u", None, OURS, Some("x"))),
            [
                "test /spec/taints null",
                r#"add /spec/taints [{"effect":"NoSchedule","key":"stanch.dev/quarantine","value":"x"}]"#
            ]
        );
    }

    #[test]
    fn a_slash_in_a_key_is_escaped() {
        let seen = Map::from_iter([("stanch.dev/by".to_owned(), json!("x"))]);
        let to = BTreeMap::from([("stanch.dev/by", None), ("stanch.dev/record", Some("r"))]);
        assert_eq!(
            operations(&entries("u", "annotations", Some(&seen), &to)),
            [
                r#"test /metadata/annotations/stanch.dev~1by "x""#,
                "remove /metadata/annotations/stanch.dev~1by",
                "test /metadata/annotations/stanch.dev~1record null",
                r#"add /metadata/annotations/stanch.dev~1record "r""#,
            ]
        );
    }
}
