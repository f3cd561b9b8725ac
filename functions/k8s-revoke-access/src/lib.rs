//! Takes an identity out of every role binding: it can still say who it is, and may do nothing.
//!
//! **When**: the token of a service account was stolen, a user's certificate leaked, or somebody gave rights to
//! `system:anonymous`. The fastest lever there is: the API servers refuse within a second, and nothing restarts.
//!
//! **Changes**, all at once: one per `ClusterRoleBinding` and `RoleBinding` that names the identity, in whichever
//! spelling (`ServiceAccount`, or the `User` `system:serviceaccount:NAMESPACE:NAME`). A binding that is left without
//! subjects stays. Bindings of groups that the identity is in are not touched and listed.
//!
//! **Refused**: `system:masters`, `system:nodes`, `system:node:*`, `system:kube-*` and the accounts of kube-system: the
//! cluster itself stands on them. For `system:anonymous` and `system:unauthenticated` the default binding
//! `system:public-info-viewer` stays; for the groups that everybody is in, all default bindings.
//!
//! **Permissions**: `get serviceaccounts, namespaces`, `get, list` of both kinds of bindings to plan; `patch` on
//! them and `bind` on roles to apply and to revert. The API server asks whoever changes a binding for the rights that
//! it gives, or for `bind`: whoever holds this responder's identity can give itself any role.
//!
//! **Blast radius**: whatever the identity does, for whoever uses it.
//!
//! **Undo**: each subject is put back into each binding, in the spelling that it had.
//!
//! Sources: Kubernetes, "Using RBAC Authorization"; Amazon `GuardDuty`, finding `AnonymousAccessGranted`.

use serde::Deserialize;
use stanch_core::{
    Change, Error, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::{Cluster, ServiceAccount},
};
use stanch_k8s::{AccessSlot, Binding, Grantee, Kube, KubeApi, KubeState, Who, next_order};

/// Takes an identity out of every role binding.
#[derive(Debug)]
pub struct K8sRevokeAccess;

/// It has none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// How many seconds after the write every API server refuses. Each learns of it by a watch; 0.1 was measured.
pub const REFUSED_WITHIN: u64 = 5;

/// The one default binding of those who did not sign in: the cluster's version and health.
const PUBLIC: &str = "system:public-info-viewer";

const RBAC: &str = "rbac.authorization.k8s.io";

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

const CHANGE: &[Permission] = &[
    on(RBAC, "clusterrolebindings", &["patch"]),
    on(RBAC, "rolebindings", &["patch"]),
    on(RBAC, "clusterroles", &["bind"]),
    on(RBAC, "roles", &["bind"]),
];

impl Responder for K8sRevokeAccess {
    const NAME: &'static str = "k8s-revoke-access";
    const ABOUT: &'static str = "Takes a service account, user or group out of every role binding.";
    const UNDO: &'static str = "Each subject is put back into each binding.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "serviceaccounts", &["get"]),
            on("", "namespaces", &["get"]),
            on(RBAC, "clusterrolebindings", &["get", "list"]),
            on(RBAC, "rolebindings", &["get", "list"]),
        ],
        apply: CHANGE,
        revert: CHANGE,
    };
    const OPTIONS: &'static [OptionDoc] = &[];

    type Cloud = Kube;
    type Target = Grantee;
    type Options = Options;
    type Slot = AccessSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<AccessSlot>> {
        let who = &scene.facts.who;
        admit(who)?;
        let groups = groups(who);
        let found =
            api.bindings(|it| !it.naming(who).is_empty() || groups.iter().any(|group| !it.naming(group).is_empty()));
        let found = found.await?;
        let (ours, kept): (Vec<_>, Vec<_>) =
            found.iter().filter(|binding| !binding.naming(who).is_empty()).partition(|binding| !is_kept(who, binding));
        let changes: Vec<_> = ours
            .iter()
            .map(|binding| Change {
                slot: binding.subjects_of(who).into(),
                before: KubeState(binding.naming(who).into()),
                after: KubeState(serde_json::Value::Array(Vec::new())),
            })
            .collect();
        let many = changes.len();
        let mut left = by_groups(&groups, &found);
        left.extend(kept.iter().map(|it| Remaining::new(format!("the default binding {} stays", it.words()))));
        left.extend(remaining(api, scene, &ours));
        Ok(Plan::empty().then(changes).over(many).leaving(left))
    }
}

/// Whoever holds one of these is the cluster: taking its rights away would end the cluster, not the attack.
fn admit(who: &Who) -> Result<()> {
    let refused = match who {
        Who::Account { namespace, .. } => namespace.as_str() == "kube-system",
        Who::User(name) | Who::Group(name) => {
            let name = name.as_str();
            matches!(name, "system:masters" | "system:nodes")
                || name.starts_with("system:node:")
                || name.starts_with("system:kube-")
                || name == "system:serviceaccounts:kube-system"
        }
    };
    if !refused {
        return Ok(());
    }
    Err(Error::refused("the cluster itself stands on it: contain where it runs (k8s-cordon-node, the machine)")
        .on(who.words()))
}

/// The groups that the API server puts it in. Those of a user are in its certificate or token.
fn groups(who: &Who) -> Vec<Who> {
    let names = match who {
        Who::Account { namespace, .. } => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        Who::User(name) if name.as_str() == "system:anonymous" => vec!["system:unauthenticated".to_owned()],
        Who::User(_) => vec!["system:authenticated".to_owned()],
        Who::Group(_) => Vec::new(),
    };
    names.into_iter().filter_map(|name| name.parse().ok().map(Who::Group)).collect()
}

fn is_kept(who: &Who, binding: &Binding) -> bool {
    let (Who::User(name) | Who::Group(name)) = who else { return false };
    match name.as_str() {
        "system:anonymous" | "system:unauthenticated" => {
            binding.object.name.as_str() == PUBLIC && binding.object.namespace.is_none()
        }
        name if name == "system:authenticated" || name.starts_with("system:serviceaccounts") => binding.is_default,
        _ => false,
    }
}

/// What it still may do because a group that it is in may.
fn by_groups(groups: &[Who], found: &[Binding]) -> Vec<Remaining> {
    let by = |group: &Who| {
        let bindings: Vec<_> =
            found.iter().filter(|it| !it.is_default && !it.naming(group).is_empty()).map(Binding::words).collect();
        (!bindings.is_empty()).then(|| {
            Remaining::new(format!("{} has rights of its own, by {}: not touched", group.words(), bindings.join(", ")))
        })
    };
    groups.iter().filter_map(by).collect()
}

fn remaining(api: &KubeApi, scene: &Scene<'_, K8sRevokeAccess>, ours: &[&Binding]) -> Vec<Remaining> {
    let mut left = vec![Remaining::new(format!(
        "its tokens and certificates are still accepted; what RBAC gave is refused within {REFUSED_WITHIN} seconds, \
         but connections that are open (exec, port-forward, watch) go on until they end"
    ))];
    if ours.iter().any(|binding| binding.is_default) {
        left.push(Remaining::new("a default binding is put right by the API server when it starts again"));
    }
    if matches!(scene.facts.who, Who::User(_)) {
        left.push(Remaining::new("which groups a user is in is in its certificate or token, and not known here"));
    }
    match api.cluster() {
        Cluster::Eks { .. } => left.push(Remaining::new("rights of EKS access entries and policies are not of RBAC")),
        Cluster::Gke { .. } => {
            left.push(Remaining::new("rights that Google Cloud IAM gives on the cluster are not of RBAC"));
        }
        _ => {}
    }
    if let Some(account) = &scene.facts.account {
        let target = account_of(scene);
        let annotations = account.value.pointer("/metadata/annotations");
        let annotation = |key: &str| annotations.and_then(|it| it.get(key)).is_some();
        if annotation("eks.amazonaws.com/role-arn") {
            left.push(Remaining::new("its AWS role keeps its rights").next("aws-contain-principal, on that role"));
        }
        if annotation("iam.gke.io/gcp-service-account") {
            left.push(
                Remaining::new("its Google service account keeps its rights")
                    .next("gcp-contain-service-account, on that account"),
            );
        }
        if let Some(target) = target {
            left.push(Remaining::new("its tokens live on").next(next_order(
                "k8s-rotate-service-account",
                &scene.mark.incident,
                target.into(),
            )));
        }
    }
    left
}

/// The account, as an order names it.
fn account_of(scene: &Scene<'_, K8sRevokeAccess>) -> Option<ServiceAccount> {
    let object = &scene.facts.account.as_ref()?.object;
    Some(ServiceAccount {
        cluster: object.cluster.clone(),
        namespace: object.namespace.clone()?,
        name: object.name.clone(),
    })
}
