//! Service accounts with their users, on the range's simulator and on the real kube-apiserver with its controllers, as a
//! user with only the declared permissions. That a token is dead afterwards only the real server can say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stanch_core::{DoneState, Kind, Mode, Order, Status, target::Cluster as Named};
use stanch_k8s::{Kube, KubeApi, List, Resource};
use stanch_suite::kube::{Cluster, account, remaining};

use k8s_rotate_service_account::{K8sRotateServiceAccount, TOKEN_CACHE};

pub(crate) const BINDINGS: &str = "rbac.authorization.k8s.io/v1/rolebindings";
const KINDS: [(&str, &str); 3] = [
    ("Deployment", "apps/v1/deployments"),
    ("StatefulSet", "apps/v1/statefulsets"),
    ("DaemonSet", "apps/v1/daemonsets"),
];

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    all(&Cluster::simulator()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(real) = tokio::task::block_in_place(|| Cluster::real("k8s-rotate-service-account")) {
        tokens_end(&real).await;
        all(&real).await;
    }
}

async fn all(cluster: &Cluster) {
    cluster.worker();
    it_is_made_again_and_its_users_restart(cluster).await;
    the_default_account_has_a_controller(cluster).await;
    it_goes_on_under_another_name(cluster).await;
    a_second_rotation_waits(cluster).await;
    promises::rights(cluster).await;
    promises::contract(cluster);
}

/// An account with a binding.
pub(crate) fn with_rights(cluster: &Cluster) -> (String, String) {
    let (namespace, name) = (cluster.namespace(&json!({})), cluster.name("account"));
    let given = json!({
        "metadata": {"labels": {"team": "web"}, "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/web"}},
        "imagePullSecrets": [{"name": "registry"}], "automountServiceAccountToken": false, "secrets": [{"name": "legacy"}],
    });
    cluster.create("v1/serviceaccounts", &namespace, &name, &given);
    // More than the responder itself may: whoever may all of it needs no `bind`.
    let rules = json!({"rules": [{"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["list"]}]});
    cluster.create("rbac.authorization.k8s.io/v1/roles", &namespace, "reads-pods", &rules);
    bind(cluster, &namespace, "reads", &name);
    (namespace, name)
}

pub(crate) fn bind(cluster: &Cluster, namespace: &str, binding: &str, name: &str) {
    let binding_of = json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads-pods"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]});
    cluster.create(BINDINGS, namespace, binding, &binding_of);
}

fn see(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    cluster.get("v1/serviceaccounts", namespace, name).unwrap()
}

fn restarted(cluster: &Cluster, resource: &str, namespace: &str, name: &str) -> Value {
    let found = cluster.get(resource, namespace, name).unwrap();
    found["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].clone()
}

async fn it_is_made_again_and_its_users_restart(cluster: &Cluster) {
    let (namespace, name) = with_rights(cluster);
    let runs_as = json!({"serviceAccountName": name});
    let users = KINDS.map(|(kind, resource)| (resource, cluster.workload(kind, &namespace, &runs_as).0));
    let (bystander, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let bare = cluster.bare_pod(&namespace, &json!({"spec": runs_as}));
    let before = see(cluster, &namespace, &name);

    let (ward, target) = (cluster.ward::<K8sRotateServiceAccount>(), account(&namespace, &name));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 4), "{report:#?}");
    let after = see(cluster, &namespace, &name);
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations["eks.amazonaws.com/role-arn"], "arn:aws:iam::123456789012:role/web");
    assert_eq!(annotations["stanch.dev/record"], report.record.as_ref().unwrap().as_str());
    for field in ["imagePullSecrets", "automountServiceAccountToken"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert!(after.get("secrets").is_none_or(|it| !it.to_string().contains("legacy")), "{after:#}");
    for (resource, user) in &users {
        assert!(restarted(cluster, resource, &namespace, user).is_string(), "{resource}");
    }
    assert!(restarted(cluster, "apps/v1/deployments", &namespace, &bystander).is_null());
    let left = remaining(&report);
    for text in [
        &*bare,
        "1 pods run on",
        "token Secrets (legacy)",
        "aws-contain-principal",
        "up to 10 seconds",
        "k8s-revoke-access {",
    ] {
        assert!(left.contains(text), "{text}: {left}");
    }

    let again = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!((again.status, &again.record), (Status::Already, &report.record), "{again:#?}");
    assert_eq!(see(cluster, &namespace, &name)["metadata"]["uid"], after["metadata"]["uid"]);
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Refused, "{back:#?}");
    assert!(back.changes.iter().all(|change| change.state == DoneState::Skipped));
}

async fn the_default_account_has_a_controller(cluster: &Cluster) {
    let namespace = cluster.namespace(&json!({}));
    cluster.account(&namespace, "default");
    let labels = json!({"metadata": {"labels": {"team": "web"}}, "imagePullSecrets": [{"name": "registry"}]});
    cluster.edit("v1/serviceaccounts", &namespace, "default", &labels);
    let (user, _) = cluster.workload("Deployment", &namespace, &json!({}));
    let before = see(cluster, &namespace, "default");
    let (ward, target) = (cluster.ward::<K8sRotateServiceAccount>(), account(&namespace, "default"));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let after = see(cluster, &namespace, "default");
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        (&after["metadata"]["labels"], &after["imagePullSecrets"]),
        (&before["metadata"]["labels"], &before["imagePullSecrets"])
    );
    assert!(restarted(cluster, "apps/v1/deployments", &namespace, &user).is_string());
    let refused = ward.run(Mode::Plan, &target, json!({"how": "replace"})).await;
    // The record stands: what was renewed is shown, whatever is asked.
    assert_eq!(refused.status, Status::Already, "{refused:#?}");
    let other = cluster.namespace(&json!({}));
    cluster.account(&other, "default");
    let refused = ward.run(Mode::Apply, &account(&other, "default"), json!({"how": "replace"})).await;
    assert_eq!((refused.status, refused.error), (Status::Refused, Some(Kind::Refused)), "{refused:#?}");
}

async fn it_goes_on_under_another_name(cluster: &Cluster) {
    let (namespace, name) = with_rights(cluster);
    let runs_as = json!({"serviceAccountName": name});
    let users = KINDS.map(|(kind, resource)| (resource, cluster.workload(kind, &namespace, &runs_as).0));
    let before = see(cluster, &namespace, &name);
    let new = format!("{name}-new");
    let (ward, target) = (cluster.ward::<K8sRotateServiceAccount>(), account(&namespace, &name));
    let wrong = ward.run(Mode::Plan, &target, json!({"new_name": new})).await;
    assert_eq!(wrong.error, Some(Kind::Invalid), "{wrong:#?}");

    let options = json!({"how": "replace", "new_name": new});
    let report = ward.run(Mode::Apply, &target, options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert!(cluster.get("v1/serviceaccounts", &namespace, &name).is_none());
    let after = see(cluster, &namespace, &new);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    let subjects = || cluster.get(BINDINGS, &namespace, "reads").unwrap()["subjects"].to_string();
    assert!(subjects().contains(&format!("\"{new}\"")), "{}", subjects());
    let named = |resource: &str, user: &str| {
        let found = cluster.get(resource, &namespace, user).unwrap();
        found["spec"]["template"]["spec"]["serviceAccountName"].clone()
    };
    assert!(users.iter().all(|(resource, user)| named(resource, user) == new.as_str()));

    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert!(cluster.get("v1/serviceaccounts", &namespace, &new).is_none());
    // The name is back; the account, and with it every token, is another one.
    let restored = see(cluster, &namespace, &name);
    assert_ne!(restored["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(restored["metadata"]["labels"], before["metadata"]["labels"]);
    assert!(!subjects().contains(&format!("\"{new}\"")) && subjects().contains(&format!("\"{name}\"")));
    assert!(users.iter().all(|(resource, user)| named(resource, user) == name.as_str()));
}

async fn a_second_rotation_waits(cluster: &Cluster) {
    let (namespace, name) = with_rights(cluster);
    let (ward, target) = (cluster.ward::<K8sRotateServiceAccount>(), account(&namespace, &name));
    let first = ward.run(Mode::Apply, &target, Value::Null).await;
    let uid = see(cluster, &namespace, &name)["metadata"]["uid"].clone();
    let second = ward.run_for("inc-2", Mode::Apply, &target, Value::Null).await;
    assert_eq!((second.status, &second.record), (Status::Already, &first.record), "{second:#?}");
    assert!(second.reason.is_some_and(|reason| reason.contains("already (last at")));
    assert_eq!(see(cluster, &namespace, &name)["metadata"]["uid"], uid);
}

async fn client(real: &Cluster, token: &str) -> KubeApi {
    Kube::with_kubeconfig(real.kubeconfig_of(token), None).api(&Named::Current).await.unwrap()
}

/// Tokens that worked are dead within the time that the report states: one that was asked for, and a legacy one, whose
/// Secret the token controller deletes. A new token of the same name works.
async fn tokens_end(real: &Cluster) {
    let (namespace, name) = with_rights(real);
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let ask = || {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let (status, answer) = real.admin("POST", &path, "application/json", Some(&review));
        assert_eq!(status, 201, "{answer}");
        answer["status"]["token"].as_str().unwrap().to_owned()
    };
    let legacy = json!({"type": "kubernetes.io/service-account-token", "metadata": {"annotations": {"kubernetes.io/service-account.name": name}}});
    real.create("v1/secrets", &namespace, "legacy-token", &legacy);
    let data = || {
        real.get("v1/secrets", &namespace, "legacy-token")
            .and_then(|it| it["data"]["token"].as_str().map(str::to_owned))
    };
    real.until("the legacy token is made", || data().is_some());
    let decoded = {
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data().unwrap()).unwrap()).unwrap()
    };
    let list = List::of(Resource::pods()).within(&namespace);
    let stolen = [client(real, &ask()).await, client(real, &decoded).await];
    for token in &stolen {
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = token.list(&list, |_: Value| Some(())).await {
            assert!(Instant::now() < until, "the token never worked: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let report =
        real.ward::<K8sRotateServiceAccount>().run(Mode::Apply, &account(&namespace, &name), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let written = Instant::now();
    for token in &stolen {
        loop {
            match token.list(&list, |_: Value| Some(())).await {
                Err(error) => {
                    assert!(error.message().contains("does not accept our credentials"), "{error}");
                    break;
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            assert!(written.elapsed() < Duration::from_secs(TOKEN_CACHE + 1), "a token still works");
        }
    }
    real.until("the legacy Secret is gone", || real.get("v1/secrets", &namespace, "legacy-token").is_none());
    let new = client(real, &ask()).await;
    new.list(&list, |_: Value| Some(())).await.expect("the new token has the rights of the old one");
}

#[test]
fn the_example_names_its_account() {
    let context = stanch_signals::Context::new(Some(Named::Current), "2026-03-02T11:49:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sRotateServiceAccount>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "serviceaccount/default/report");
}
