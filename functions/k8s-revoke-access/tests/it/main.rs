//! Identities with rights, on the range's simulator and on the real kube-apiserver, as a user with only the declared
//! permissions. That a token is refused afterwards only the real server can say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod promises;
mod scene;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stanch_core::{
    Kind, Mode, Order, Status, Target,
    target::{Cluster as Named, KubeSubject, KubeWho},
};
use stanch_k8s::{Kube, List, Resource};
use stanch_suite::kube::{Cluster, Server, account, remaining};

use k8s_revoke_access::{K8sRevokeAccess, REFUSED_WITHIN};
use scene::{CLUSTER_BINDINGS, Scene, group, user};

#[tokio::test(flavor = "multi_thread")]
async fn on_the_simulator() {
    let simulator = Cluster::simulator();
    // What the real server makes by itself.
    let public = json!({"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:public-info-viewer"},
        "subjects": [group("system:authenticated"), group("system:unauthenticated")]});
    simulator.create(CLUSTER_BINDINGS, "", "system:public-info-viewer", &public);
    all(&simulator).await;
    lists_are_paged(&simulator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_real_api_server() {
    if let Some(real) = tokio::task::block_in_place(|| Cluster::real("k8s-revoke-access")) {
        a_token_is_refused(&real).await;
        all(&real).await;
    }
}

async fn all(cluster: &Cluster) {
    every_spelling_is_taken_out_and_put_back(cluster).await;
    what_the_cluster_stands_on_is_refused(cluster).await;
    those_who_did_not_sign_in(cluster).await;
    promises::rights(cluster).await;
    promises::contract(cluster);
}

fn subject(who: KubeWho) -> Target {
    KubeSubject { cluster: Named::Current, who }.into()
}

fn as_user(name: &str) -> Target {
    subject(KubeWho::User(name.parse().unwrap()))
}

fn as_group(name: &str) -> Target {
    subject(KubeWho::Group(name.parse().unwrap()))
}

async fn every_spelling_is_taken_out_and_put_back(cluster: &Cluster) {
    let scene = Scene::new(cluster);
    let (other, elsewhere) = (user("alice@example.com"), cluster.namespace(&json!({})));
    let own_group = group(&format!("system:serviceaccounts:{}", scene.namespace));
    let everywhere = scene.bind_everywhere(json!([scene.as_account(), other]));
    scene.bind("both", "Role", json!([scene.as_user(), other, scene.as_account()]));
    scene.bind("alone", "ClusterRole", json!([scene.as_account()]));
    scene.bind_in(&elsewhere, "abroad", "ClusterRole", &json!([scene.as_user()]));
    scene.bind("others", "Role", json!([other]));
    scene.bind("of-the-group", "Role", json!([own_group]));
    let places = [
        ("", everywhere.as_str()),
        (&scene.namespace, "both"),
        (&scene.namespace, "alone"),
        (&elsewhere, "abroad"),
        (&scene.namespace, "others"),
        (&scene.namespace, "of-the-group"),
    ];
    let see = || places.map(|(namespace, name)| scene.subjects(namespace, name));
    let before = see();

    let (ward, target) = (cluster.ward::<K8sRevokeAccess>(), account(&scene.namespace, &scene.account));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 4), "{report:#?}");
    let other = vec![other.to_string()];
    // A binding that is left without subjects stays.
    assert_eq!(see(), [other.clone(), other.clone(), vec![], vec![], other, vec![own_group.to_string()]]);
    let left = remaining(&report);
    for text in ["of-the-group", "refused within 5 seconds", "k8s-rotate-service-account {"] {
        assert!(left.contains(text), "{text}: {left}");
    }
    // Under its other name it is the same identity, with the same record.
    let named = as_user(&format!("system:serviceaccount:{}:{}", scene.namespace, scene.account));
    let again = ward.run(Mode::Apply, &named, Value::Null).await;
    assert_eq!((again.status, &again.record), (Status::Already, &report.record), "{again:#?}");
    let back = ward.run(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(see(), before);
}

async fn what_the_cluster_stands_on_is_refused(cluster: &Cluster) {
    let ward = cluster.ward::<K8sRevokeAccess>();
    cluster.account("kube-system", "replicaset-controller");
    let mut targets = vec![(account("kube-system", "replicaset-controller"), true)];
    for name in ["system:kube-scheduler", "system:kube-controller-manager", "system:node:node-1"] {
        targets.push((as_user(name), false));
    }
    targets.push((as_user("system:serviceaccount:kube-system:replicaset-controller"), true));
    targets.extend(["system:masters", "system:nodes"].map(|name| (as_group(name), false)));
    for (target, protected) in targets {
        let order = Order {
            mode: Mode::Apply,
            incident: "inc-1".parse().unwrap(),
            target: target.clone(),
            options: Value::Null,
            requested_by: None,
            protected,
        };
        let report = ward.order(order).await;
        assert_eq!((report.status, report.error), (Status::Refused, Some(Kind::Refused)), "{target}: {report:#?}");
    }
}

async fn those_who_did_not_sign_in(cluster: &Cluster) {
    const PUBLIC: &str = "system:public-info-viewer";
    let scene = Scene::new(cluster);
    let public = scene.subjects("", PUBLIC);
    assert!(public.iter().any(|it| it.contains("system:unauthenticated")), "{public:?}");
    let (anonymous, everybody) = (user("system:anonymous"), group("system:unauthenticated"));
    let open = scene.bind_everywhere(json!([anonymous, everybody]));
    let ward = cluster.ward::<K8sRevokeAccess>();
    let report = ward.run(Mode::Apply, &as_user("system:anonymous"), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(scene.subjects("", &open), [everybody.to_string()]);
    assert!(remaining(&report).contains("system:unauthenticated has rights of its own"), "{}", remaining(&report));
    let report = ward.run(Mode::Apply, &as_group("system:unauthenticated"), Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(scene.subjects("", &open), Vec::<String>::new());
    assert_eq!(scene.subjects("", PUBLIC), public);
    assert!(remaining(&report).contains("the default binding system:public-info-viewer"));
    for target in [as_group("system:unauthenticated"), as_user("system:anonymous")] {
        let back = ward.run(Mode::Revert, &target, Value::Null).await;
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
    }
    assert_eq!(scene.subjects("", &open).len(), 2);
    cluster.delete(CLUSTER_BINDINGS, "", &open);
}

async fn lists_are_paged(cluster: &Cluster) {
    let scene = Scene::new(cluster);
    for at in 0..1_100 {
        let whose = if at == 1_099 { scene.as_account() } else { user("alice@example.com") };
        scene.bind(&format!("b-{at:04}"), "Role", json!([whose]));
    }
    cluster.clear_log();
    let report = cluster
        .ward::<K8sRevokeAccess>()
        .run(Mode::Apply, &account(&scene.namespace, &scene.account), Value::Null)
        .await;
    assert_eq!((report.status, report.changes.len()), (Status::Applied, 1), "{report:#?}");
    let Server::Simulator(simulator) = &cluster.server else { panic!("a simulator") };
    let pages = simulator
        .log()
        .iter()
        .filter(|call| call.path.ends_with("/rolebindings") && call.query.contains("limit=500"))
        .count();
    assert!(pages >= 3, "{pages}");
}

/// A token that worked is refused within the time that the report states, and works again after undo.
async fn a_token_is_refused(real: &Cluster) {
    let scene = Scene::new(real);
    scene.bind("reads", "Role", json!([scene.as_account()]));
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", scene.namespace, scene.account);
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let (status, answer) = real.admin("POST", &path, "application/json", Some(&review));
    assert_eq!(status, 201, "{answer}");
    let stolen = Kube::with_kubeconfig(real.kubeconfig_of(answer["status"]["token"].as_str().unwrap()), None);
    let stolen = stolen.api(&Named::Current).await.unwrap();
    let list = List::of(Resource::pods()).within(&scene.namespace);
    let works = async || stolen.list(&list, |_: Value| Some(())).await;
    let until = Instant::now() + Duration::from_secs(10);
    while works().await.is_err() {
        assert!(Instant::now() < until, "the token never worked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (ward, target) = (real.ward::<K8sRevokeAccess>(), account(&scene.namespace, &scene.account));
    let report = ward.run(Mode::Apply, &target, Value::Null).await;
    let written = Instant::now();
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    loop {
        match works().await {
            Err(error) => break assert_eq!(error.kind(), Kind::Denied, "{error}"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        assert!(written.elapsed() < Duration::from_secs(REFUSED_WITHIN), "the token still works");
    }
    let took = written.elapsed();
    assert!(took < Duration::from_secs(REFUSED_WITHIN), "{took:?}");
    ward.run(Mode::Revert, &target, Value::Null).await;
    let until = Instant::now() + Duration::from_secs(10);
    while works().await.is_err() {
        assert!(Instant::now() < until, "undo does not bring the rights back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_example_names_who_called_and_not_whom_it_reached_for() {
    let context = stanch_signals::Context::new(Some(Named::Current), "2026-03-02T08:04:00Z".parse().unwrap());
    let alerts = stanch_signals::decode(include_bytes!("../../event.json"), &context).unwrap();
    let orders: Vec<_> = alerts.iter().flat_map(Order::from_alert::<K8sRevokeAccess>).collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(orders[0].target.to_string(), "serviceaccount/default/report");
}
