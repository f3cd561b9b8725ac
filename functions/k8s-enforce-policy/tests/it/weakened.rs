//! A policy of ours that somebody has weakened: a repeat puts it right and says so, and undo still takes it away.

use k8s_enforce_policy::K8sEnforcePolicy;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Status};
use stanch_suite::kube::{self, Cluster, declared, remaining};

use crate::{KYVERNO, POLICIES, VALIDATING};

const BINDINGS: &str = "admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const MUTATING: &str = "admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
const MUTATING_BINDINGS: &str = "admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";

pub(crate) async fn builtin(cluster: &Cluster) {
    let mutate = json!({"policy": "restrict-pods", "how": "mutate"});
    let elsewhere = json!({"matchResources": {"namespaceSelector": {"matchLabels": {"no": "namespace"}}}});
    let ignore = json!({"failurePolicy": "Ignore"});
    one(cluster, &Value::Null, BINDINGS, "stanch-deny-exec-", &json!({"validationActions": ["Audit"]})).await;
    one(cluster, &Value::Null, VALIDATING, "stanch-deny-exec-", &ignore).await;
    one(cluster, &mutate, MUTATING, "stanch-restrict-pods-", &ignore).await;
    one(cluster, &mutate, MUTATING_BINDINGS, "stanch-restrict-pods-", &elsewhere).await;
    let deny = json!({"policy": "default-deny"});
    one(cluster, &deny, POLICIES, "stanch-default-deny", &json!({"ingress": [{}]})).await;
}

/// An order with other options says that the first ones hold, and undo takes away what those made.
pub(crate) async fn other_options(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    let (target, name) = (kube::namespace(&namespace), format!("stanch-deny-exec-{namespace}"));
    let spec = || cluster.get(VALIDATING, "", &name).map(|it| it["spec"].clone());
    let ward = cluster.ward::<K8sEnforcePolicy>();
    assert_eq!(ward.run(Mode::Apply, &target, Value::Null).await.status, Status::Applied);
    let first = spec();
    let other = ward.run(Mode::Apply, &target, json!({"allow_users": ["jane@example.com"]})).await;
    assert_eq!(other.status, Status::Already, "{other:#?}");
    assert!(remaining(&other).contains(&format!("{name} stays as it was ordered first")), "{other:#?}");
    assert_eq!(spec(), first);
    assert_eq!(ward.run(Mode::Revert, &target, Value::Null).await.status, Status::Reverted);
    assert_eq!(spec(), None);
}

pub(crate) async fn kyverno(cluster: &Cluster) {
    let options = json!({"engine": "kyverno"});
    one(cluster, &options, KYVERNO, "stanch-deny-exec-", &json!({"background": true})).await;
}

/// Whoever may not update the object says so and leaves it; whoever may puts it right.
async fn one(cluster: &Cluster, options: &Value, resource: &str, name: &str, weaker: &Value) {
    let namespace = cluster.namespace(&json!({}));
    let target = kube::namespace(&namespace);
    let within = if resource == POLICIES { namespace.as_str() } else { "" };
    let name = if name.ends_with('-') { format!("{name}{namespace}") } else { name.to_owned() };
    let spec = || cluster.get(resource, within, &name).map(|it| it["spec"].clone());

    let ward = cluster.ward::<K8sEnforcePolicy>();
    let first = ward.run(Mode::Apply, &target, options.clone()).await;
    assert_eq!(first.status, Status::Applied, "{first:#?}");
    let strong = spec();
    cluster.edit(resource, within, &name, &json!({"spec": weaker}));
    let weak = spec();
    assert_ne!(weak, strong);

    let plural = resource.rsplit('/').next().unwrap();
    let rest: Vec<_> = declared::<K8sEnforcePolicy>();
    let rest: Vec<_> = rest.into_iter().filter(|(verb, _, it)| (*verb, *it) != ("update", plural)).collect();
    let reader = cluster.ward_of::<K8sEnforcePolicy>(&rest, ward.ledger());
    let denied = reader.run(Mode::Apply, &target, options.clone()).await;
    assert_eq!(denied.error, Some(Kind::Denied), "{denied:#?}");
    assert!(format!("{:?}", denied.changes).contains(&format!("missing permission: update {plural}.")), "{denied:#?}");
    assert_eq!(spec(), weak);

    let again = ward.run(Mode::Apply, &target, options.clone()).await;
    assert_eq!((again.status, &again.record), (Status::Applied, &first.record), "{again:#?}");
    assert_eq!(spec(), strong);
    assert!(remaining(&again).contains(&format!("{name} was changed since")), "{again:#?}");
    assert_eq!(ward.run(Mode::Apply, &target, options.clone()).await.status, Status::Already);

    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(spec(), None);
}
