//! When a workload was last restarted.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{Disruption, Mark, Result, target::Cluster};

use super::{KubeState, KubeToken, Look, Place, node::uid_of};
use crate::{KubeApi, ObjectRef, command::kubectl, patch::Patch, workload::rollout};

/// When a workload was last restarted, as `kubectl rollout restart` notes it in the pod template: a
/// [`KubeState::text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Which workload.
    pub workload: ObjectRef,
}

const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

impl Restart {
    /// What a workload says of its last restart.
    pub fn state_in(workload: &Value) -> KubeState {
        let annotations = workload.pointer("/spec/template/metadata/annotations");
        KubeState::text(annotations.and_then(|it| it.get(RESTARTED)).and_then(Value::as_str))
    }
}

impl Place for Restart {
    fn cluster(&self) -> &Cluster {
        &self.workload.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.workload.get(api).await?;
            Ok(Look { settling: rollout(&seen), ..Look::new(Self::state_in(&seen), Some(seen)) })
        }
        .boxed()
    }

    /// A merge patch: the annotations of the template may be absent as a whole. The server compares the UID; of the
    /// value nothing depends on what it was.
    fn put<'a>(
        &'a self,
        _: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let annotations = json!({"metadata": {"annotations": {RESTARTED: to.0}}});
            let patch = json!({"metadata": {"uid": uid_of(&self.workload)?}, "spec": {"template": annotations}});
            api.patch(&self.workload, &Patch::Merge(patch)).await
        }
        .boxed()
    }

    fn what(&self, _: &KubeState) -> String {
        format!("restart {}, so that its pods get new tokens", self.workload.words())
    }

    fn command(&self, _: &KubeState, _: &Mark) -> String {
        kubectl(self.cluster(), &format!("rollout restart {}", self.workload.kubectl()))
    }

    fn kept(&self) -> Option<&'static str> {
        Some("pods that were replaced do not come back")
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }
}
