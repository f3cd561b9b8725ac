//! One identity among the subjects of a role binding.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{
    Disruption, Kind, Mark, Result,
    names::{KubeName, Namespace, SubjectName},
    target::Cluster,
};

use super::{KubeState, KubeToken, Look, Place};
use crate::{
    BindingRef, KubeApi,
    command::{kubectl, quote},
    error::BY_ESCALATION,
    patch::{Patch, same, test},
};

/// Whom a subject of a binding stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A service account, as `ServiceAccount` or as the `User` that the API server knows it by.
    Account {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: KubeName,
    },
    /// A user.
    User(SubjectName),
    /// A group.
    Group(SubjectName),
}

impl Who {
    /// Whether a subject of a binding is this one, in whichever spelling.
    pub fn is(&self, subject: &Value) -> bool {
        let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or_default();
        match self {
            Self::Account { namespace, name } => match text("kind") {
                "ServiceAccount" => text("namespace") == namespace.as_str() && text("name") == name.as_str(),
                "User" => text("name") == format!("system:serviceaccount:{namespace}:{name}"),
                _ => false,
            },
            Self::User(name) => text("kind") == "User" && text("name") == name.as_str(),
            Self::Group(name) => text("kind") == "Group" && text("name") == name.as_str(),
        }
    }

    /// As a sentence names it.
    pub fn words(&self) -> String {
        match self {
            Self::Account { namespace, name } => format!("service account {namespace}/{name}"),
            Self::User(name) => format!("user {name}"),
            Self::Group(name) => format!("group {name}"),
        }
    }

    /// The filter of jq that selects it.
    fn jq(&self) -> String {
        match self {
            Self::Account { namespace, name } => format!(
                ".kind==\"ServiceAccount\" and .namespace==\"{namespace}\" and .name==\"{name}\" or .kind==\"User\" and \
                 .name==\"system:serviceaccount:{namespace}:{name}\""
            ),
            Self::User(name) => format!(".kind==\"User\" and .name=={}", json!(name.as_str())),
            Self::Group(name) => format!(".kind==\"Group\" and .name=={}", json!(name.as_str())),
        }
    }

    /// The flag of `kubectl set subject`.
    fn flag(&self) -> String {
        match self {
            Self::Account { namespace, name } => format!("--serviceaccount={namespace}:{name}"),
            Self::User(name) => quote(&format!("--user={name}")).into_owned(),
            Self::Group(name) => quote(&format!("--group={name}")).into_owned(),
        }
    }
}

/// The subjects of a binding that stand for one identity: a [`KubeState`] of the list of them. The other subjects are
/// not looked at, but the write is made on the condition that the list is the one that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subjects {
    /// The `RoleBinding` or `ClusterRoleBinding`.
    pub binding: BindingRef,
    /// The kind and name of the role that it gives.
    pub role: (String, String),
    /// Whose.
    pub who: Who,
}

impl Subjects {
    /// What the binding holds of it.
    pub fn state_in(&self, binding: &Value) -> KubeState {
        let listed = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
        KubeState(listed.filter(|subject| self.who.is(subject)).cloned().collect())
    }
}

/// Replaces the list of subjects, if it is the one that was seen. A list that becomes empty stays, empty.
fn patch(uid: &str, seen: Option<&Value>, who: &Who, to: &[Value]) -> Patch {
    const PATH: &str = "/subjects";
    let others = seen.and_then(Value::as_array).into_iter().flatten().filter(|subject| !who.is(subject)).cloned();
    let list: Vec<_> = others.chain(to.iter().cloned()).collect();
    Patch::Json(vec![same(uid), test(PATH, seen), json!({"op": "add", "path": PATH, "value": list})])
}

impl Place for Subjects {
    fn cluster(&self) -> &Cluster {
        &self.binding.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.binding.get(api).await?;
            Ok(Look::new(self.state_in(&seen), Some(Arc::new(seen))))
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
            let damaged = || self.binding.error("patch", Kind::Internal, "the record holds a state of another kind");
            let to = to.0.as_array().ok_or_else(damaged)?;
            let seen = seen.as_ref().and_then(|binding| binding.get("subjects"));
            let patch = patch(self.binding.uid.as_str(), seen, &self.who, to);
            self.binding.patch(api, &patch).await.map_err(|error| {
                if error.message() != BY_ESCALATION {
                    return error;
                }
                // Whoever changes a binding must hold what it gives, or may bind its role.
                let roles = if self.role.0 == "ClusterRole" { "clusterroles" } else { "roles" };
                let message = format!("missing permission: bind {roles}.rbac.authorization.k8s.io");
                self.binding.error("patch", Kind::Denied, &message)
            })
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let (who, binding, (kind, role)) = (self.who.words(), self.binding.words(), &self.role);
        if to.0.as_array().is_some_and(Vec::is_empty) {
            format!("take {who} out of {binding} ({kind} {role})")
        } else {
            format!("put {who} into {binding} ({kind} {role})")
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let cluster = &self.binding.cluster;
        if to.0.as_array().is_none_or(|list| !list.is_empty()) {
            return kubectl(cluster, &format!("set subject {} {}", self.binding.kubectl(), self.who.flag()));
        }
        let filter = format!("del(.subjects[]? | select({}))", self.who.jq());
        let get = kubectl(cluster, &format!("get {} -o json", self.binding.kubectl()));
        format!("{get} | jq {} | {}", quote(&filter), kubectl(cluster, "replace -f -"))
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Who {
        Who::Account { namespace: "shop".parse().expect("a namespace"), name: "web".parse().expect("a name") }
    }

    #[test]
    fn a_service_account_is_known_in_both_spellings() {
        for (subject, expected) in [
            (json!({"kind": "ServiceAccount", "namespace": "shop", "name": "web"}), true),
            (
                json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccount:shop:web"}),
                true,
            ),
            (json!({"kind": "ServiceAccount", "namespace": "shop2", "name": "web"}), false),
            (json!({"kind": "User", "name": "web"}), false),
            (json!({"kind": "Group", "name": "system:serviceaccount:shop:web"}), false),
            (json!({"kind": "Group", "name": "system:serviceaccounts:shop"}), false),
        ] {
            assert_eq!(account().is(&subject), expected, "{subject}");
        }
        let user = Who::User("system:anonymous".parse().expect("a name"));
        assert!(user.is(&json!({"kind": "User", "name": "system:anonymous"})));
        assert!(!user.is(&json!({"kind": "Group", "name": "system:anonymous"})));
    }

    #[test]
    fn others_stay_and_the_list_must_be_the_one_that_was_seen() {
        let (ours, other) = (
            json!({"kind": "ServiceAccount", "namespace": "shop", "name": "web"}),
            json!({"kind": "Group", "name": "dev"}),
        );
        let seen = json!([ours, other]);
        let Patch::Json(operations) = patch("u", Some(&seen), &account(), &[]) else { panic!("a JSON patch") };
        assert_eq!(operations[0]["path"], "/metadata/uid");
        assert_eq!(operations[1], json!({"op": "test", "path": "/subjects", "value": seen}));
        assert_eq!(operations[2]["value"], json!([other]));
        let Patch::Json(operations) = patch("u", None, &account(), std::slice::from_ref(&ours)) else {
            panic!("a JSON patch")
        };
        assert_eq!((&operations[1]["value"], &operations[2]["value"]), (&Value::Null, &json!([ours])));
    }
}
