//! Some fields of one object, written together: a pod template changes once, and rolls out once.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stanch_core::{Disruption, Mark, Result, target::Cluster};

use super::{
    KubeState, KubeToken, Look, Place,
    node::{damaged, uid_of},
};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    patch::Patch,
    workload::rollout,
};

/// Some fields of one object, by JSON pointer: a [`KubeState`] of pointer → value, `null` where the field is absent.
/// The object above each field must be there.
///
/// The write names the UID and every field's former value; whatever else changes in the object is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// Which object.
    pub object: ObjectRef,
    /// Which fields, as JSON pointers (RFC 6901): `/spec/replicas`.
    pub paths: Vec<String>,
    /// What the write does, in words: `confine`.
    pub about: String,
    /// What it interrupts.
    pub disruption: Disruption,
}

impl Fields {
    /// What the fields hold in an object.
    pub fn state_in(&self, object: &Value) -> KubeState {
        let value = |path: &String| (path.clone(), object.pointer(path).cloned().unwrap_or_default());
        KubeState(Value::Object(self.paths.iter().map(value).collect()))
    }

    fn operations(&self, seen: &Value, to: &Map<String, Value>) -> Vec<Value> {
        let changed =
            || self.paths.iter().filter(|path| seen.pointer(path) != to.get(*path).filter(|it| !it.is_null()));
        let tests = self.paths.iter().map(|path| json!({"op": "test", "path": path, "value": seen.pointer(path)}));
        let writes = changed().map(|path| match to.get(path).filter(|value| !value.is_null()) {
            Some(value) => json!({"op": "add", "path": path, "value": value}),
            None => json!({"op": "remove", "path": path}),
        });
        tests.chain(writes).collect()
    }
}

impl Place for Fields {
    fn cluster(&self) -> &Cluster {
        &self.object.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.object.get(api).await?;
            let settling = self.paths.iter().any(|path| path.starts_with("/spec/template")).then(|| rollout(&seen));
            Ok(Look { settling: settling.flatten(), ..Look::new(self.state_in(&seen), Some(seen)) })
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
            let (Some(seen), Some(to)) = (seen, to.0.as_object()) else { return Err(damaged(&self.object)) };
            let uid = uid_of(&self.object)?;
            let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid})];
            operations.extend(self.operations(seen, to));
            api.patch(&self.object, &Patch::Json(operations)).await
        }
        .boxed()
    }

    fn what(&self, _: &KubeState) -> String {
        format!("{} {}", self.about, self.object.words())
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let operation = |(path, value): (&String, &Value)| match value {
            Value::Null => json!({"op": "remove", "path": path}),
            value => json!({"op": "add", "path": path, "value": value}),
        };
        let patch = Value::from(to.0.as_object().into_iter().flatten().map(operation).collect::<Vec<_>>());
        let patch = quote(&patch.to_string()).into_owned();
        kubectl(&self.object.cluster, &format!("patch {} --type=json -p {patch}", self.object.kubectl()))
    }

    fn disruption(&self) -> Disruption {
        self.disruption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written_and_everything_is_tested() {
        let fields = Fields {
            object: ObjectRef {
                cluster: Cluster::Current,
                resource: crate::Resource::new("apps", "v1", "deployments", "Deployment"),
                namespace: None,
                name: "a".parse().expect("a name"),
                uid: None,
            },
            paths: vec!["/spec/a".to_owned(), "/spec/b".to_owned(), "/spec/c".to_owned()],
            about: "change".to_owned(),
            disruption: Disruption::None,
        };
        let seen = json!({"spec": {"a": {"x": 1}, "b": 2}});
        let to = json!({"/spec/a": null, "/spec/b": 2, "/spec/c": [3]});
        assert_eq!(
            Value::from(fields.operations(&seen, to.as_object().expect("a map"))),
            json!([
                {"op": "test", "path": "/spec/a", "value": {"x": 1}},
                {"op": "test", "path": "/spec/b", "value": 2},
                {"op": "test", "path": "/spec/c", "value": null},
                {"op": "remove", "path": "/spec/a"},
                {"op": "add", "path": "/spec/c", "value": [3]},
            ])
        );
    }
}
