//! The simulator's objects, versions and users.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::rbac::User;
use super::served::{self, Served};
use crate::host::Call;

/// (resource, namespace or "", name)
pub(crate) type Key = (String, String, String);

#[derive(Debug)]
pub(crate) struct State {
    version: u64,
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(crate) served: Vec<Served>,
    pub(crate) users: BTreeMap<String, User>,
    /// Whether a token is asked for at all.
    pub(crate) guarded: bool,
    pub(crate) node_lifecycle: bool,
    /// Lists begun before this version are expired.
    pub(crate) oldest_list: u64,
    pub(crate) log: Vec<Call>,
    /// When deleted pods will have ended.
    pub(crate) ending: BTreeMap<Key, Instant>,
}

impl State {
    pub(crate) fn new() -> Self {
        let mut state = Self {
            version: 1000,
            objects: BTreeMap::new(),
            served: served::built_in(),
            users: BTreeMap::new(),
            guarded: false,
            node_lifecycle: true,
            oldest_list: 0,
            log: Vec::new(),
            ending: BTreeMap::new(),
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let labels = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": name}}});
            let namespaces = state.serving("namespaces");
            state.add(&namespaces, "", name, &labels);
        }
        state
    }

    /// A resource that is served.
    pub(crate) fn serving(&self, qualified: &str) -> Served {
        let found = self.served.iter().find(|it| it.qualified() == qualified).cloned();
        found.unwrap_or_else(|| Served::new("", "v1", qualified, qualified, true))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Stores an object as new: with uid, times and defaults; answers its uid.
    pub(crate) fn add(&mut self, served: &Served, namespace: &str, name: &str, given: &Value) -> String {
        let resource = served.qualified();
        let mut object = json!({"apiVersion": served.api_version(), "kind": served.kind, "metadata": {}});
        super::patch::merge(&mut object, given);
        let uid = uuid::Uuid::new_v4().to_string();
        let status = match resource.as_str() {
            "namespaces" => json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
            "nodes" => json!({"spec": {}, "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "nodeInfo": {"kubeletVersion": "v1.34.0", "operatingSystem": "linux", "architecture": "amd64"}}}),
            "pods" => {
                json!({"spec": {"restartPolicy": "Always", "serviceAccountName": "default"}, "status": {"phase": "Running"}})
            }
            _ => json!({}),
        };
        fill(&mut object, &status);
        let mut meta = json!({"name": name, "uid": uid, "creationTimestamp": format!("{:.0}", Timestamp::now())});
        if let (false, Some(fields)) = (namespace.is_empty(), meta.as_object_mut()) {
            fields.insert("namespace".into(), namespace.into());
        }
        let given_uid = given.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
        if let (Some(given), Some(fields)) = (&given_uid, meta.as_object_mut()) {
            fields.insert("uid".into(), given.clone().into());
        }
        super::patch::merge(&mut object, &json!({ "metadata": meta }));
        self.put((resource, namespace.into(), name.into()), object);
        given_uid.unwrap_or(uid)
    }

    /// Stores an object under the next version.
    pub(crate) fn put(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert("resourceVersion".into(), self.version.to_string().into());
        }
        self.objects.insert(key, object.clone());
        object
    }

    /// What the node lifecycle controller does after a write: it mirrors `unschedulable` as a taint.
    pub(crate) fn reconcile(&mut self, name: &str) {
        const KEY: &str = "node.kubernetes.io/unschedulable";
        let key: Key = ("nodes".into(), String::new(), name.into());
        let Some(mut node) = self.objects.get(&key).cloned() else { return };
        let wanted = node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
        let Some(spec) = node.get_mut("spec").and_then(Value::as_object_mut) else { return };
        let taints = spec.entry("taints").or_insert_with(|| json!([]));
        let Some(list) = taints.as_array_mut() else { return };
        let there = list.iter().any(|taint| taint.get("key").is_some_and(|key| key == KEY));
        if there == wanted || !self.node_lifecycle {
            return;
        }
        if wanted {
            let now = format!("{:.0}", Timestamp::now());
            list.push(json!({"key": KEY, "effect": "NoSchedule", "timeAdded": now}));
        } else {
            list.retain(|taint| taint.get("key").is_none_or(|key| key != KEY));
        }
        if list.is_empty() {
            spec.remove("taints");
        }
        self.put(key, node);
    }
}

/// Adds what is missing.
fn fill(object: &mut Value, defaults: &Value) {
    if let (Value::Object(fields), Value::Object(defaults)) = (object, defaults) {
        for (key, value) in defaults {
            let there = fields
                .entry(key.clone())
                .or_insert_with(|| if value.is_object() { Map::new().into() } else { value.clone() });
            fill(there, value);
        }
    }
}
