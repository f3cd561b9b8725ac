//! Ends every token of a service account, and gives its workloads new ones.
//!
//! **When**: a token of the account has left the cluster, or may have. `k8s-revoke-access` is faster and takes the
//! rights away; this takes the tokens away and leaves the rights with those who should have them.
//!
//! **Changes** (`how: recreate`): the account is deleted, on the condition that it still has its UID, and made again
//! with the same labels, annotations, `imagePullSecrets` and automount. A token names the UID of its account, so every
//! token of the old one ends. Then each Deployment, `StatefulSet` and `DaemonSet` that runs as the account is restarted.
//! The account `default` is made again by its controller: what that makes is marked.
//!
//! **Changes** (`how: replace`): a new account under another name, put into every binding of the old one; the workloads
//! run as the new one; then the old one is deleted. Nothing is without an account meanwhile.
//!
//! No access to Secrets is needed: the token controller deletes the token Secrets of an account that is gone.
//!
//! **Permissions**: `get serviceaccounts, namespaces`, `list pods`, `get, list` of the three workload kinds to plan;
//! `create, delete, patch serviceaccounts`, `patch` of the workloads to apply; for `replace` also the bindings, as
//! `k8s-revoke-access`.
//!
//! **Blast radius**: a rollout of every workload that runs as the account. Pods that nobody restarts (bare ones, Jobs,
//! those of operators) lose their access until somebody does; they are named.
//!
//! **Undo**: of `recreate` none, for tokens that have ended do not come back. `replace` gives names, bindings and
//! templates back.
//!
//! Sources: Kubernetes, "Managing Service Accounts", "Configure Service Accounts for Pods"; Amazon EKS Best Practices,
//! "Incident response and forensics".

mod replace;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::ServiceAccount,
};
use stanch_k8s::{
    AccountByName, AccountNamed, AccountSlot, Kube, KubeApi, KubeState, Renewal, Restart, RunsAs, next_order,
};

/// Ends every token of a service account.
#[derive(Debug)]
pub struct K8sRotateServiceAccount;

/// What it can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Under the same name, or under another.
    pub how: How,
    /// The other name.
    pub new_name: Option<stanch_core::names::KubeName>,
    /// Do not restart the workloads.
    pub leave_running: bool,
}

/// Under which name the account goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The same.
    #[default]
    Recreate,
    /// Another.
    Replace,
}

/// How long an API server takes a token for good that it has just seen (Kubernetes: the cache of its token
/// authenticator).
pub const TOKEN_CACHE: u64 = 10;

const RBAC: &str = "rbac.authorization.k8s.io";

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

impl Responder for K8sRotateServiceAccount {
    const NAME: &'static str = "k8s-rotate-service-account";
    const ABOUT: &'static str =
        "Deletes a service account and makes it again, so that all its tokens end, and restarts what runs as it.";
    const UNDO: &'static str =
        "Tokens that have ended do not come back; how: replace gives names, bindings and templates back.";
    const TRIGGER: Trigger = Trigger::Order;
    const COOL_DOWN: Option<Duration> = Some(Duration::from_hours(1));
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "serviceaccounts", &["get"]),
            on("", "namespaces", &["get"]),
            on("", "pods", &["list"]),
            on("apps", "daemonsets", &["get", "list"]),
            on("apps", "deployments", &["get", "list"]),
            on("apps", "statefulsets", &["get", "list"]),
            on(RBAC, "clusterrolebindings", &["get", "list"]),
            on(RBAC, "rolebindings", &["get", "list"]),
        ],
        apply: CHANGE,
        revert: CHANGE,
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "how",
            form: "recreate or replace, default recreate",
            about: "under the same name, or under another one that gets the same rights",
        },
        OptionDoc {
            name: "new_name",
            form: "a name, default the old one with six digits of the record",
            about: "the other name, for how: replace",
        },
        OptionDoc {
            name: "leave_running",
            form: "true or false, default false",
            about: "how: recreate restarts no workload; what runs has no access until somebody does",
        },
    ];

    type Cloud = Kube;
    type Target = AccountByName;
    type Options = Options;
    type Slot = AccountSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<AccountSlot>> {
        let AccountNamed { object, value } = scene.facts;
        let Some(value) = value else {
            return Err(Error::new(Kind::NotFound, "get serviceaccounts", "does not exist").on(text(scene)));
        };
        if Renewal::is_renewed(value, scene.mark) {
            return Ok(Plan::empty().leaving([Remaining::new("the account was renewed under this record")]));
        }
        let users = api.runs_as(object).await?;
        if scene.options.how == How::Replace {
            return replace::plan(api, scene, value, users).await;
        }
        if scene.options.new_name.is_some() {
            return Err(Error::invalid("options.new_name", "is for how: replace"));
        }
        let renewal = Change {
            slot: Renewal::of(object.clone(), value).into(),
            before: Renewal::accused(),
            after: Renewal::renewed(),
        };
        let now = format!("{:.0}", jiff::Timestamp::now());
        let restarts = users.workloads.iter().filter(|_| !scene.options.leave_running).map(|workload| Change {
            slot: Restart { workload: workload.object.clone() }.into(),
            before: Restart::state_in(&workload.value),
            after: KubeState::text(Some(&now)),
        });
        let restarts: Vec<_> = restarts.collect();
        let many = restarts.len();
        let left = remaining(scene, value, &users);
        Ok(Plan::empty().then([renewal]).then(restarts).over(many).leaving(left))
    }
}

const CHANGE: &[Permission] = &[
    on("", "serviceaccounts", &["create", "delete", "patch"]),
    on("apps", "daemonsets", &["patch"]),
    on("apps", "deployments", &["patch"]),
    on("apps", "statefulsets", &["patch"]),
    on(RBAC, "clusterrolebindings", &["patch"]),
    on(RBAC, "rolebindings", &["patch"]),
    on(RBAC, "clusterroles", &["bind"]),
    on(RBAC, "roles", &["bind"]),
];

fn text(scene: &Scene<'_, K8sRotateServiceAccount>) -> String {
    stanch_core::Target::from(scene.target.clone()).to_string()
}

/// What is left, whichever way it is done.
fn remaining(scene: &Scene<'_, K8sRotateServiceAccount>, value: &Value, users: &RunsAs) -> Vec<Remaining> {
    let incident = &scene.mark.incident;
    let mut left = vec![Remaining::new(format!(
        "a token that was just used is taken for up to {TOKEN_CACHE} seconds more (the API server's cache), and for as \
         long as it is valid where the API server runs with --service-account-lookup=false"
    ))];
    let secrets = value.get("secrets").and_then(Value::as_array).into_iter().flatten();
    let secrets: Vec<_> = secrets.filter_map(|it| it.get("name").and_then(Value::as_str)).collect();
    if !secrets.is_empty() {
        let what = format!("the token controller deletes the token Secrets ({}); we may not look", secrets.join(", "));
        let namespace = scene.facts.object.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
        left.push(Remaining::new(what).next(format!("kubectl -n {namespace} get secrets")));
    }
    let annotation = |key: &str| value.pointer("/metadata/annotations").and_then(|it| it.get(key)).is_some();
    if annotation("eks.amazonaws.com/role-arn") {
        left.push(
            Remaining::new("credentials of its AWS role that were taken before live until they expire")
                .next("aws-contain-principal, on that role"),
        );
    }
    if annotation("iam.gke.io/gcp-service-account") {
        left.push(
            Remaining::new("access tokens of its Google service account that were taken before live until they expire")
                .next("gcp-contain-service-account, on that account"),
        );
    }
    let stranded: Vec<_> =
        if scene.options.leave_running { users.pods.iter().collect() } else { users.stranded().collect() };
    if let Some(first) = stranded.first() {
        let names: Vec<_> = stranded.iter().take(12).map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
        let more = if stranded.len() > names.len() { " and more" } else { "" };
        let what = format!(
            "{} pods run on with a token that is dead, and nobody restarts them: {}{more}",
            stranded.len(),
            names.join(", ")
        );
        left.push(Remaining::new(what).next(next_order("k8s-redeploy-pod", incident, first.target().into())));
    }
    if let Some(account) = account(scene) {
        left.push(Remaining::new("its rights are as they were").next(next_order(
            "k8s-revoke-access",
            incident,
            account.into(),
        )));
    }
    left
}

fn account(scene: &Scene<'_, K8sRotateServiceAccount>) -> Option<ServiceAccount> {
    let object = &scene.facts.object;
    let namespace = object.namespace.clone()?;
    Some(ServiceAccount { cluster: object.cluster.clone(), namespace, name: object.name.clone() })
}
