//! Whether somebody else's `NetworkPolicy` leaves isolated pods alone.

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{Disruption, Mark, Result, target::Cluster};

use super::{
    KubeState, KubeToken, Look, Place,
    node::{damaged, uid_of},
};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    labels::ISOLATE,
    patch::Patch,
};

const PATH: &str = "/spec/podSelector/matchExpressions";

/// Whether a `NetworkPolicy` says that it does not select isolated pods: a [`KubeState::flag`]. Policies add up, so one
/// that allows would win over ours. One expression is added to its selector and one is taken out again, whatever else
/// is changed in it meanwhile; every isolated pod of the namespace uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// Which policy.
    pub policy: ObjectRef,
}

fn ours() -> Value {
    json!({"key": ISOLATE, "operator": "DoesNotExist"})
}

impl Exclusion {
    /// Whether a policy has it.
    pub fn state_in(policy: &Value) -> KubeState {
        let expressions = policy.pointer(PATH).and_then(Value::as_array);
        KubeState::flag(expressions.is_some_and(|list| list.contains(&ours())))
    }

    fn patch(&self, seen: &Value, to: bool) -> Result<Patch> {
        let present = seen.pointer(PATH);
        let mut list = present.and_then(Value::as_array).cloned().unwrap_or_default();
        list.retain(|expression| *expression != ours());
        if to {
            list.push(ours());
        }
        let mut operations = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": uid_of(&self.policy)?}),
            json!({"op": "test", "path": PATH, "value": present}),
        ];
        operations.push(match (list.is_empty(), present) {
            (true, None) => return Err(damaged(&self.policy)),
            (true, Some(_)) => json!({"op": "remove", "path": PATH}),
            (false, _) => json!({"op": "add", "path": PATH, "value": list}),
        });
        Ok(Patch::Json(operations))
    }
}

impl Place for Exclusion {
    fn cluster(&self) -> &Cluster {
        &self.policy.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.policy.get(api).await?;
            Ok(Look::new(Self::state_in(&seen), Some(seen)))
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
            let (Some(seen), Some(to)) = (seen, to.0.as_bool()) else { return Err(damaged(&self.policy)) };
            api.patch(&self.policy, &self.patch(seen, to)?).await
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        match to.0.as_bool() {
            Some(true) => format!("let {} leave isolated pods alone", self.policy.words()),
            _ => format!("let {} select isolated pods again", self.policy.words()),
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        if to.0.as_bool() != Some(true) {
            return kubectl(&self.policy.cluster, &format!("edit {}", self.policy.kubectl()));
        }
        // Where there is no list yet, a person adds it as one.
        let patch = json!([{"op": "add", "path": format!("{PATH}/-"), "value": ours()}]).to_string();
        kubectl(&self.policy.cluster, &format!("patch {} --type=json -p {}", self.policy.kubectl(), quote(&patch)))
    }

    fn shared(&self) -> Option<KubeState> {
        Some(KubeState::flag(false))
    }

    /// Of the isolated pods, and of no others.
    fn disruption(&self) -> Disruption {
        Disruption::Pod
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclusion() -> Exclusion {
        let policy = ObjectRef {
            cluster: Cluster::Current,
            resource: crate::Resource::network_policies(),
            namespace: None,
            name: "a".parse().expect("a name"),
            uid: Some("u".parse().expect("a uid")),
        };
        Exclusion { policy }
    }

    fn written(seen: &Value, to: bool) -> Value {
        let Patch::Json(operations) = exclusion().patch(seen, to).expect("a patch") else { panic!("a JSON patch") };
        operations.last().cloned().expect("an operation")
    }

    #[test]
    fn one_expression_comes_and_goes() {
        let theirs = json!({"key": "tier", "operator": "Exists"});
        let bare = json!({"spec": {"podSelector": {}}});
        assert_eq!(written(&bare, true), json!({"op": "add", "path": PATH, "value": [ours()]}));
        let both = json!({"spec": {"podSelector": {"matchExpressions": [theirs, ours()]}}});
        assert_eq!(written(&both, false), json!({"op": "add", "path": PATH, "value": [theirs]}));
        let alone = json!({"spec": {"podSelector": {"matchExpressions": [ours()]}}});
        assert_eq!(written(&alone, false), json!({"op": "remove", "path": PATH}));
        assert_eq!(
            (Exclusion::state_in(&both), Exclusion::state_in(&bare)),
            (KubeState::flag(true), KubeState::flag(false))
        );
    }
}
