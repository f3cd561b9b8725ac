//! What becomes of the volumes of a `StatefulSet` that is deleted.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{Mark, Result, names::Namespace, target::Cluster};

use super::{KubeState, KubeToken, Look, Place, node::uid_of};
use crate::{
    KubeApi, List, ObjectRef, Resource,
    command::kubectl,
    patch::{Patch, same, test},
};

/// `spec.persistentVolumeClaimRetentionPolicy.whenDeleted` of a `StatefulSet`, `Delete` or `Retain`: a
/// [`KubeState::text`].
///
/// With `Delete` its controller makes the set the owner of its claims, so that the garbage collector deletes them with
/// it. It takes that back some time after the field says `Retain`: until no claim is owned by the set any more, this
/// place says `Delete`, whatever the field says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// The `StatefulSet`.
    pub set: ObjectRef,
}

const PATH: &str = "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted";
const DELETE: &str = "Delete";
/// The controller acts on every change at once; it may be behind by a queue.
const CONTROLLER: Duration = Duration::from_mins(2);

impl Retain {
    /// What the field of a `StatefulSet` says.
    pub fn state_in(set: &Value) -> KubeState {
        KubeState::text(set.pointer(PATH).and_then(Value::as_str))
    }

    async fn owned_claims(&self, api: &KubeApi) -> Result<usize> {
        let resource = Resource::new("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim");
        let namespace = self.set.namespace.as_ref().map_or("", Namespace::as_str);
        let list = List { metadata_only: true, ..List::of(resource).within(namespace) };
        let set = self.set.uid.as_ref().map(ToString::to_string);
        let owned = |claim: Value| {
            let owners = claim.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            let by_set = |owner: &Value| owner.get("uid").and_then(Value::as_str) == set.as_deref();
            owners.is_some_and(|owners| owners.iter().any(by_set)).then_some(())
        };
        Ok(api.list(&list, owned).await?.len())
    }
}

impl Place for Retain {
    fn cluster(&self) -> &Cluster {
        &self.set.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.set.get(api).await?;
            let field = Self::state_in(&seen);
            if field == KubeState::text(Some(DELETE)) {
                return Ok(Look::new(field, Some(seen)));
            }
            let owned = self.owned_claims(api).await?;
            if owned == 0 {
                return Ok(Look::new(field, Some(seen)));
            }
            let settling = Some(format!("{owned} volume claims would still be deleted with it"));
            Ok(Look { settling, ..Look::new(KubeState::text(Some(DELETE)), Some(seen)) })
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
            let field = seen.as_ref().and_then(|set| set.pointer(PATH));
            let write = json!({"op": "add", "path": PATH, "value": to.0});
            api.patch(&self.set, &Patch::Json(vec![same(uid_of(&self.set)?), test(PATH, field), write])).await
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let does = if *to == KubeState::text(Some(DELETE)) { "are deleted with it" } else { "stay when it is deleted" };
        format!("let the volumes of {} be such that {does}", self.set.words())
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": to.0}}});
        kubectl(self.cluster(), &format!("patch {} --type=merge -p '{patch}'", self.set.kubectl()))
    }

    fn patience(&self) -> Duration {
        CONTROLLER
    }
}
