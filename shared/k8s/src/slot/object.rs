//! Whether an object is there: created by us and taken away by undo, or taken away by us and created by undo.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stanch_core::{Disruption, Kind, Mark, Result, target::Cluster};

use super::{KubeState, KubeToken, Look, Place, node::damaged};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    facts::uid,
};

/// Whether an object is there, as its manifest says: [`Object::present`], [`Object::absent`], or a text that names
/// the first field in which what is there differs.
///
/// The state is no body: reports carry names and differences. The body is in the slot, and thus in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Which object. With a UID: that very one is the one that is there.
    pub object: ObjectRef,
    /// What is created: `apiVersion`, `kind`, `metadata`, `spec` …, without what the server assigns.
    pub manifest: Value,
    /// What counts as being the same.
    pub compare: Compare,
    /// What becomes of what it owns.
    pub propagation: Propagation,
    /// What it interrupts.
    pub disruption: Disruption,
    /// Several records use it: it goes with the last of them.
    #[serde(default)]
    pub shared: bool,
}

/// When an object is what its manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// `spec` and its like are equal: one rule more is another policy. The manifest names what the server would fill
    /// in; empty maps and lists count as absent.
    Exact,
    /// It holds at least what the manifest says: for kinds whose server or webhooks fill in more.
    Contains,
}

/// What becomes of what an object owns when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// It is deleted afterwards.
    Background,
    /// It is deleted before.
    Foreground,
    /// It stays.
    Orphan,
}

/// The manifest of an object as it can be created again: without what the server assigned.
pub fn manifest_of(object: &Value) -> Value {
    let mut manifest = object.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("status");
    }
    if let Some(meta) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            meta.remove(name);
        }
    }
    manifest
}

impl Object {
    /// An object of ours, compared exactly.
    pub fn ours(object: ObjectRef, manifest: Value) -> Self {
        Self {
            object,
            manifest,
            compare: Compare::Exact,
            propagation: Propagation::Background,
            disruption: Disruption::None,
            shared: false,
        }
    }

    /// It is there, as the manifest says.
    pub fn present() -> KubeState {
        KubeState::text(Some("present"))
    }

    /// It is not there.
    pub const fn absent() -> KubeState {
        KubeState::absent()
    }

    /// What is there, given the answer of a look-up.
    pub fn state_in(&self, found: Option<&Value>) -> KubeState {
        let Some(found) = found else { return Self::absent() };
        if found.pointer("/metadata/deletionTimestamp").is_some() {
            return Self::absent();
        }
        if self.object.uid.is_some() && uid(found) == self.object.uid {
            return Self::present();
        }
        match difference(found, &self.manifest, self.compare) {
            None => Self::present(),
            Some(field) => KubeState::text(Some(&format!("differs in {field}"))),
        }
    }
}

/// What the server assigned.
fn assigned(seen: &Value, names: &[&str]) -> Map<String, Value> {
    let value = |name: &&str| Some(((*name).to_owned(), seen.get("metadata")?.get(*name)?.clone()));
    names.iter().filter_map(value).collect()
}

/// The first field in which what is there differs from a manifest.
fn difference(found: &Value, manifest: &Value, compare: Compare) -> Option<String> {
    let (found, manifest) = (without_empty(found), without_empty(manifest));
    let (found, manifest) = (found.as_object()?, manifest.as_object()?);
    for map in ["labels", "annotations"] {
        let of = |object: &Map<String, Value>| object.get("metadata").and_then(|meta| meta.get(map)).cloned();
        if let Some(wanted) = of(manifest)
            && !contains(&of(found).unwrap_or_default(), &wanted)
        {
            return Some(format!("metadata.{map}"));
        }
    }
    let own = |key: &&String| !["apiVersion", "kind", "metadata", "status"].contains(&key.as_str());
    match compare {
        Compare::Contains => manifest
            .iter()
            .filter(|(key, _)| own(key))
            .find(|(key, wanted)| !contains(found.get(*key).unwrap_or(&Value::Null), wanted))
            .map(|(key, _)| key.clone()),
        Compare::Exact => manifest
            .keys()
            .chain(found.keys())
            .filter(own)
            .find_map(|key| unequal(found.get(key), manifest.get(key), key)),
    }
}

fn unequal(found: Option<&Value>, wanted: Option<&Value>, path: &str) -> Option<String> {
    match (found, wanted) {
        (Some(Value::Object(found)), Some(Value::Object(wanted))) => found
            .keys()
            .chain(wanted.keys())
            .find_map(|key| unequal(found.get(key), wanted.get(key), &format!("{path}.{key}"))),
        (found, wanted) if found == wanted => None,
        _ => Some(path.to_owned()),
    }
}

fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| contains(found.get(key).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// Go leaves out what is empty. An item of a list stays, however empty: `ingress: [{}]` allows everything.
fn without_empty(value: &Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), without_empty(value)))
            .filter(|(_, value)| !empty(value))
            .collect(),
        Value::Array(items) => items.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

impl Place for Object {
    fn cluster(&self) -> &Cluster {
        &self.object.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let found = match api.shared(&self.object).await {
                Ok(found) => Some(found),
                Err(error) if error.kind() == Kind::NotFound => None,
                Err(error) => return Err(error),
            };
            let ending = found.as_ref().is_some_and(|it| it.pointer("/metadata/deletionTimestamp").is_some());
            let state = self.state_in(found.as_deref());
            Ok(Look { settling: ending.then(|| "terminating".to_owned()), ..Look::new(state, found) })
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let ending = |seen: &Value| seen.pointer("/metadata/deletionTimestamp").is_some();
            match (seen, *to == Self::present(), to.is_absent()) {
                (Some(seen), true, _) if ending(seen) => {
                    Err(self.object.error("create", Kind::Unavailable, "the former one is not gone yet"))
                }
                (None, true, _) => api.create(&self.object, &self.manifest).await,
                (Some(seen), true, _) => {
                    let mut manifest = self.manifest.clone();
                    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
                        metadata.extend(assigned(seen, &["uid", "resourceVersion"]));
                    }
                    api.replace(&self.object, &manifest).await
                }
                (Some(seen), _, true) => {
                    // Where more is filled in than the manifest says, more is written by others too.
                    let names: &[&str] =
                        if self.compare == Compare::Exact { &["uid", "resourceVersion"] } else { &["uid"] };
                    let preconditions = Value::Object(assigned(seen, names));
                    api.delete(&self.object, &preconditions, self.propagation).await
                }
                (None, _, true) => Ok(()),
                // What was there before was not saved: it was no object of ours.
                _ => Err(damaged(&self.object)),
            }
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let verb = if to.is_absent() { "delete" } else { "create" };
        format!("{verb} {}", self.object.words())
    }

    fn command(&self, to: &KubeState, mark: &Mark) -> String {
        let cluster = &self.object.cluster;
        if to.is_absent() {
            let cascade = match self.propagation {
                Propagation::Background => "background",
                Propagation::Foreground => "foreground",
                Propagation::Orphan => "orphan",
            };
            return kubectl(cluster, &format!("delete {} --cascade={cascade}", self.object.kubectl()));
        }
        if self.object.uid.is_some() {
            // What others wrote may hold secrets, in the environment of a container: it stays in the record.
            return kubectl(cluster, &format!("create -f manifest-in-record-{}.json", mark.record));
        }
        let manifest = self.manifest.to_string();
        format!("printf %s {} | {}", quote(&manifest), kubectl(cluster, "create -f -"))
    }

    fn shared(&self) -> Option<KubeState> {
        self.shared.then(Self::absent)
    }

    fn disruption(&self) -> Disruption {
        self.disruption
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_rule_more_is_another_policy() {
        let ours =
            json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"], "ingress": []}});
        let same = json!({"metadata": {"uid": "u"}, "spec": {"podSelector": {"matchLabels": {"a": "b"}},
            "policyTypes": ["Ingress"]}, "status": {}});
        assert_eq!(difference(&same, &ours, Compare::Exact), None);
        let mut open = same.clone();
        open["spec"]["ingress"] = json!([{}]);
        assert_eq!(difference(&open, &ours, Compare::Exact), Some("spec.ingress".to_owned()));
        let mut other = same;
        other["spec"]["podSelector"]["matchLabels"]["c"] = json!("d");
        assert_eq!(difference(&other, &ours, Compare::Exact), Some("spec.podSelector.matchLabels.c".to_owned()));
    }

    #[test]
    fn what_a_server_fills_in_does_not_matter_where_it_may() {
        let ours = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"rules": [{"name": "x"}]}});
        let filled =
            json!({"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": {"rules": [{"name": "x", "y": 1}], "z": 2}});
        assert_eq!(difference(&filled, &ours, Compare::Contains), None);
        let more = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"rules": [{"name": "x"}, {}]}});
        assert_eq!(difference(&more, &ours, Compare::Contains), Some("spec".to_owned()));
        let unlabelled = json!({"spec": {"rules": [{"name": "x"}]}});
        assert_eq!(difference(&unlabelled, &ours, Compare::Contains), Some("metadata.labels".to_owned()));
    }
}
