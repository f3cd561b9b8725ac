//! Nobody gets into a pod.

use serde_json::{Value, json};
use stanch_core::{Error, Kind, Plan, Result};
use stanch_k8s::{Compare, KubeApi, NamespaceFacts, PolicySlot, Resource};

use crate::{ADMISSION, Engine, KYVERNO, Options, Ours, only, said};

const RESPONDERS: &str = "stanch:responders";
/// What gets into a running pod. The API server connects by `get` (websockets) and by `create` alike: both are the
/// operation `CONNECT`.
const CONNECT: [&str; 3] = ["pods/exec", "pods/attach", "pods/portforward"];
const MESSAGE: &str = "denied by stanch: this namespace is under investigation";

pub(crate) async fn plan(
    ours: &mut Ours<'_>,
    namespace: &NamespaceFacts,
    options: &Options,
) -> Result<Plan<PolicySlot>> {
    let api = ours.api;
    let default = vec![RESPONDERS.to_owned()];
    let groups = options.allow_groups.as_ref().unwrap_or(&default);
    checked("options.allow_groups", groups)?;
    checked("options.allow_users", &options.allow_users)?;
    let mut users = options.allow_users.clone();
    users.extend(api.own_user());
    let name = format!("stanch-deny-exec-{}", namespace.name());
    let plan = match engine(api, options.engine).await? {
        Found::Builtin(policies, bindings) => {
            let policy = json!({"spec": validating(namespace, groups, &users)});
            let policy = ours.object(&policies, None, &name, policy, Compare::Exact).await?;
            let binding = json!({"spec": {"policyName": name, "validationActions": ["Deny"]}});
            let binding = ours.object(&bindings, None, &name, binding, Compare::Exact).await?;
            Plan::empty().then([policy]).then([binding])
        }
        Found::Kyverno(policies) => {
            let policy = json!({"spec": kyverno(namespace, groups, &users)});
            Plan::empty().then([ours.object(&policies, None, &name, policy, Compare::Contains).await?])
        }
    };
    Ok(plan.leaving([
        said("sessions that are open go on: an exec or a port-forward ends with its pod or its client"),
        said(format!("whoever is of {} may still get in", groups.join(", "))),
        said("a kubelet's own API, and whoever may delete the policy, are not bound by it"),
    ]))
}

enum Found {
    Builtin(Resource, Resource),
    Kyverno(Resource),
}

async fn engine(api: &KubeApi, wanted: Engine) -> Result<Found> {
    if wanted != Engine::Kyverno
        && let (Some(policies), Some(bindings)) = (
            api.serves(ADMISSION, "validatingadmissionpolicies").await?,
            api.serves(ADMISSION, "validatingadmissionpolicybindings").await?,
        )
    {
        return Ok(Found::Builtin(policies, bindings));
    }
    if wanted != Engine::Builtin
        && let Some(policies) = api.serves(KYVERNO, "clusterpolicies").await?
    {
        return Ok(Found::Kyverno(policies));
    }
    let message = match wanted {
        Engine::Auto => {
            "the cluster serves neither ValidatingAdmissionPolicy (Kubernetes 1.30) nor Kyverno's ClusterPolicy"
        }
        Engine::Builtin => "the cluster does not serve ValidatingAdmissionPolicy (Kubernetes 1.30)",
        Engine::Kyverno => "the cluster does not serve Kyverno's ClusterPolicy",
    };
    Err(Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string()))
}

/// Names go into an expression: only what cannot leave its quotes.
fn checked(option: &str, names: &[String]) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:@/-".contains(c);
    match names.iter().position(|name| name.is_empty() || name.len() > 253 || !name.chars().all(plain)) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(format!("{option}[{at}]"), "must be letters, digits and ._:@/-, at most 253")),
    }
}

fn validating(namespace: &NamespaceFacts, groups: &[String], users: &[String]) -> Value {
    // JSON strings of these characters are CEL strings.
    let list = |names: &[String]| Value::from(names.to_vec()).to_string();
    let expression = format!(
        "request.userInfo.username in {} || (has(request.userInfo.groups) && request.userInfo.groups.exists(group, group in {}))",
        list(users),
        list(groups)
    );
    let rule = |operation: &str, resources: &[&str]| json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": resources, "scope": "Namespaced"});
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": only(namespace),
            "resourceRules": [rule("CONNECT", &CONNECT), rule("UPDATE", &["pods/ephemeralcontainers"])],
        },
        "validations": [{"expression": expression, "message": MESSAGE, "reason": "Forbidden"}],
    })
}

fn kyverno(namespace: &NamespaceFacts, groups: &[String], users: &[String]) -> Value {
    let subject = |kind: &'static str| move |name: &String| json!({"kind": kind, "name": name});
    let subjects: Vec<_> = groups.iter().map(subject("Group")).chain(users.iter().map(subject("User"))).collect();
    let rule = |name: &str, kinds: &[&str], operation: &str| {
        json!({
            "name": name,
            "match": {"any": [{"resources": {"kinds": kinds, "namespaces": [namespace.name()], "operations": [operation]}}]},
            "exclude": {"any": [{"subjects": subjects}]},
            "validate": {"failureAction": "Enforce", "message": MESSAGE, "deny": {}},
        })
    };
    json!({
        "background": false,
        "rules": [
            rule("connect", &["Pod/exec", "Pod/attach", "Pod/portforward"], "CONNECT"),
            rule("ephemeral-containers", &["Pod/ephemeralcontainers"], "UPDATE"),
        ],
    })
}
