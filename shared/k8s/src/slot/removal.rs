//! Whether a pod is there.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{Disruption, Mark, Result, names::KubeName, target::Cluster};

use super::{KubeState, KubeToken, Look, Place};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    removal::{How, eviction},
};

/// Whether a pod is there: a [`KubeState::flag`]. Gone means gone, or another one under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Which pod.
    pub pod: ObjectRef,
    /// Its node, where many pods of one node are removed: then one list tells of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<KubeName>,
    /// Who makes another one.
    pub successor: String,
    /// Evicted, or deleted.
    pub how: How,
    /// How many seconds it gets to end; absent: what the pod says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// For how many seconds it is waited until it may go and has gone.
    pub within: u32,
}

impl Place for Removal {
    fn cluster(&self) -> &Cluster {
        &self.pod.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let present = api.presence(&self.pod, self.node.as_ref()).await?;
            let mut look = Look::new(KubeState::flag(present.is_some()), None);
            look.settling = present.flatten();
            Ok(look)
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        _: &'a KubeToken,
        _: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        api.remove(&self.pod, self.how, self.grace).boxed()
    }

    fn what(&self, _: &KubeState) -> String {
        let (verb, pod, successor) = (self.verb(), self.pod.words(), &self.successor);
        match self.how {
            How::Evict { force_after: Some(after) } => {
                format!("{verb} {pod} ({successor}), or delete it if it is refused for {after} seconds")
            }
            _ => format!("{verb} {pod} ({successor})"),
        }
    }

    fn command(&self, _: &KubeState, _: &Mark) -> String {
        let cluster = self.cluster();
        if self.how == How::Delete {
            let grace = self.grace.map(|grace| format!(" --grace-period={grace}")).unwrap_or_default();
            return kubectl(cluster, &format!("delete {}{grace}", self.pod.kubectl()));
        }
        let body = serde_json::to_value(eviction(&self.pod, self.grace)).unwrap_or(Value::Null).to_string();
        let create = kubectl(cluster, &format!("create --raw {}/eviction -f -", self.pod.path()));
        format!("echo {} | {create}", quote(&body))
    }

    fn kept(&self) -> Option<&'static str> {
        Some("a pod that was removed does not come back; whoever owns it makes another one")
    }

    fn disruption(&self) -> Disruption {
        Disruption::Pod
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.within.into())
    }
}

impl Removal {
    const fn verb(&self) -> &'static str {
        match self.how {
            How::Evict { .. } => "evict",
            How::Delete => "delete",
        }
    }
}
