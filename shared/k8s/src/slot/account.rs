//! Which service account stands under a name.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stanch_core::{Disruption, Kind, Mark, Result, target::Cluster};

use super::{KubeState, KubeToken, Look, MARKS, Place, Propagation, marks, object::manifest_of};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    facts::uid,
    patch::Patch,
};

/// Which service account stands under a name: [`Renewal::accused`], [`Renewal::renewed`], or on the way between the
/// two none or one that is not marked as ours yet (the account `default` is made again by its controller, bare).
///
/// A token names the UID of its account, so with the UID every token ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The accused account, with its UID.
    pub account: ObjectRef,
    /// What is made in its place, without our marks: labels, annotations, `imagePullSecrets` …
    pub manifest: Value,
}

const ACCUSED: &str = "accused";
const RENEWED: &str = "renewed";
const OTHER: &str = "another, unmarked";

impl Renewal {
    /// The renewal of an account, as the server stores it now. The list of token Secrets is not taken over: they are
    /// the accused account's.
    pub fn of(account: ObjectRef, value: &Value) -> Self {
        let mut manifest = manifest_of(value);
        if let Some(fields) = manifest.as_object_mut() {
            fields.remove("secrets");
            fields.entry("apiVersion").or_insert_with(|| "v1".into());
            fields.entry("kind").or_insert_with(|| "ServiceAccount".into());
        }
        if let Some(meta) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("finalizers");
            if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|key, _| !MARKS.contains(&key.as_str()));
            }
        }
        Self { account, manifest }
    }

    /// The account that was accused is there.
    pub fn accused() -> KubeState {
        KubeState::text(Some(ACCUSED))
    }

    /// Its successor is there, with our mark.
    pub fn renewed() -> KubeState {
        KubeState::text(Some(RENEWED))
    }

    /// Whether an account carries the mark of this record: it is its successor.
    pub fn is_renewed(account: &Value, mark: &Mark) -> bool {
        let record = account.pointer("/metadata/annotations").and_then(|it| it.get(MARKS[1])).and_then(Value::as_str);
        record == Some(mark.record.as_str())
    }

    fn marked(&self, mark: &Mark) -> Value {
        let mut manifest = self.manifest.clone();
        if let Some(meta) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = meta.entry("annotations").or_insert_with(|| json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.extend(marks(mark).into_iter().map(|(key, value)| (key, Value::from(value))));
            }
        }
        manifest
    }

    /// Everything of the manifest onto an account that somebody else has made.
    fn patch(&self, seen: &Value, mark: &Mark) -> Patch {
        let marked = self.marked(mark);
        let mut patch: Map<String, Value> = marked.as_object().cloned().unwrap_or_default();
        let of = |map: &str| marked.pointer("/metadata").and_then(|meta| meta.get(map)).cloned().unwrap_or_default();
        let uid = seen.pointer("/metadata/uid").cloned().unwrap_or_default();
        patch.insert("metadata".into(), json!({"uid": uid, "labels": of("labels"), "annotations": of("annotations")}));
        Patch::Merge(Value::Object(patch))
    }
}

impl Place for Renewal {
    fn cluster(&self) -> &Cluster {
        &self.account.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, mark: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async move {
            let found = match api.shared(&self.account).await {
                Ok(found) => found,
                Err(error) if error.kind() == Kind::NotFound => return Ok(Look::new(KubeState::absent(), None)),
                Err(error) => return Err(error),
            };
            let state = if uid(&found) == self.account.uid {
                Self::accused()
            } else if Self::is_renewed(&found, mark) {
                Self::renewed()
            } else {
                KubeState::text(Some(OTHER))
            };
            Ok(Look::new(state, Some(found)))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        _: &'a KubeState,
        mark: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            match seen {
                Some(found) if uid(found) == self.account.uid => {
                    let preconditions = json!({"uid": self.account.uid});
                    api.delete(&self.account, &preconditions, Propagation::Background).await?;
                    // A 409 is the controller of `default`, which was faster: what it made is looked at, and marked.
                    api.create(&self.account, &self.marked(mark)).await
                }
                Some(found) => api.patch(&self.account, &self.patch(found, mark)).await,
                None => api.create(&self.account, &self.marked(mark)).await,
            }
        }
        .boxed()
    }

    fn what(&self, _: &KubeState) -> String {
        format!("delete {} and make it again, so that all its tokens end", self.account.words())
    }

    fn command(&self, _: &KubeState, mark: &Mark) -> String {
        let cluster = self.cluster();
        let delete = kubectl(cluster, &format!("delete {}", self.account.kubectl()));
        let manifest = self.marked(mark).to_string();
        format!("{delete} && printf %s {} | {}", quote(&manifest), kubectl(cluster, "apply -f -"))
    }

    fn halfway(&self, present: &KubeState) -> bool {
        present.is_absent() || *present == KubeState::text(Some(OTHER))
    }

    fn kept(&self) -> Option<&'static str> {
        Some("tokens that have ended do not come back; the account has its name, labels and rights as before")
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resource;

    #[test]
    fn what_is_made_again_has_no_token_secrets_and_no_uid() {
        let account = ObjectRef {
            cluster: Cluster::Current,
            resource: Resource::service_accounts(),
            namespace: Some("shop".parse().expect("a namespace")),
            name: "web".parse().expect("a name"),
            uid: Some("u".parse().expect("a uid")),
        };
        let value = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1",
            "labels": {"a": "b"}, "annotations": {"eks.amazonaws.com/role-arn": "arn", "stanch.dev/record": "old"}},
            "secrets": [{"name": "web-token"}], "imagePullSecrets": [{"name": "pull"}],
            "automountServiceAccountToken": false});
        assert_eq!(
            Renewal::of(account, &value).manifest,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop",
                "labels": {"a": "b"}, "annotations": {"eks.amazonaws.com/role-arn": "arn"}},
                "imagePullSecrets": [{"name": "pull"}], "automountServiceAccountToken": false})
        );
    }
}
