//! One table of cases for both servers.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use serde_json::json;
use stanch_core::{
    Cloud, Kind, Mark, Permission, Permissions, Slot, Target,
    names::KubeUid,
    target::{Cluster, Node, NodeOrPod, Pod},
};

use super::{
    KubeSlot,
    bed::{Bed, DECLARED, Server, target},
};
use crate::{
    Annotation, EXEMPT_NAMESPACE, EXEMPT_NODE, How, Kube, KubeApi, KubeState, Label, MARKS, Marks, NodeFacts,
    ObjectRef, Removal, Resource, Taint, Unschedulable,
    dial::{self, Patience},
};

const TAINT: (&str, &str) = ("stanch.dev/quarantine", "NoSchedule");
const KEY: &str = "karpenter.sh/do-not-disrupt";

pub(crate) async fn all(bed: &Bed) {
    a_node_is_known_by_its_uid(bed).await;
    a_pod_stands_for_its_node(bed).await;
    marks_ask_for_being_left_alone(bed).await;
    virtual_nodes_are_told(bed).await;
    each_field_is_written_and_undone_alone(bed).await;
    a_bare_node_takes_all_changes_at_once(bed).await;
    a_lost_race_writes_nothing(bed).await;
    other_taints_may_come_and_go(bed).await;
    a_recreated_node_is_another_one(bed).await;
    a_removal_is_of_one_pod(bed).await;
    what_is_missing_is_named(bed).await;
    pods_are_counted_by_owner(bed).await;
    the_kubeconfig_decides(bed).await;
    what_a_cloud_tells_is_enough(bed).await;
}

pub(crate) fn mark() -> Mark {
    Mark {
        record: "0123456789abcdef01234567".parse().expect("a record"),
        incident: "inc-1".parse().expect("an incident"),
        opened: jiff::Timestamp::UNIX_EPOCH,
        by: "analyst@example.com".to_owned(),
    }
}

pub(crate) async fn facts(kube: &Kube, target: &NodeOrPod) -> (KubeApi, NodeFacts) {
    let api = kube.connect(target).await.expect("a connection");
    let found = kube.identify(&api, target).await.expect("an identity");
    (api, found.facts)
}

async fn refusal(kube: &Kube, target: impl Into<NodeOrPod>) -> (Kind, String) {
    let target = target.into();
    let api = kube.connect(&target).await.expect("a connection");
    let error = kube.identify(&api, &target).await.expect_err("no identity");
    (error.kind(), error.to_string())
}

/// Every slot of a node with a value to write.
fn writes(node: &ObjectRef) -> Vec<(KubeSlot, KubeState)> {
    let node = || node.clone();
    let value = |text: &str| KubeState::text(Some(text));
    let marks: BTreeMap<_, _> = MARKS.iter().map(|key| ((*key).to_owned(), "x y=1".to_owned())).collect();
    vec![
        (Unschedulable { node: node() }.into(), KubeState::flag(true)),
        (Taint { node: node(), key: TAINT.0.to_owned(), effect: TAINT.1.to_owned() }.into(), value("")),
        (Annotation { object: node(), key: KEY.to_owned() }.into(), value("true")),
        (Annotation { object: node(), key: "example.com/other".to_owned() }.into(), value("true")),
        (Label { object: node(), key: "example.com/label".to_owned() }.into(), value("true")),
        (Marks { object: node() }.into(), KubeState::entries(marks)),
    ]
}

async fn write(api: &KubeApi, slot: &KubeSlot, to: &KubeState) {
    let seen = slot.look(api, &mark()).await.expect("a look");
    slot.put(&seen.token, to, &mark(), api).await.unwrap_or_else(|error| panic!("{slot:?}: {error}"));
    let seen = slot.look(api, &mark()).await.expect("a look");
    assert_eq!(&seen.state, to, "{slot:?}");
}

async fn a_node_is_known_by_its_uid(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let mut node = bed.node(&json!({"spec": {"providerID": "gce://acme-prod/europe-west1-b/a"}}));
    let (_, found) = facts(&kube, &target(&node)).await;
    assert_eq!(bed.see(&node)["metadata"]["uid"], found.uid.as_str());
    assert!(!found.unschedulable && found.provider_id.is_some());

    node.uid = Some("another".parse().expect("a uid"));
    let (kind, text) = refusal(&kube, NodeOrPod::Node(node.clone())).await;
    assert_eq!(kind, Kind::Conflict, "{text}");
    node.name = "absent".parse().expect("a name");
    let (kind, text) = refusal(&kube, NodeOrPod::Node(node)).await;
    assert_eq!((kind, text.as_str()), (Kind::NotFound, "get nodes on node/absent: does not exist"));
}

async fn a_pod_stands_for_its_node(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let node = bed.node(&json!({}));
    let pod = bed.pod("default", Some(&node), None);
    let api = kube.connect(&NodeOrPod::Pod(pod.clone())).await.expect("a connection");
    let found = kube.identify(&api, &NodeOrPod::Pod(pod.clone())).await.expect("an identity");
    let Target::Node(resolved) = &found.target else { panic!("not a node: {}", found.target) };
    assert_eq!((&resolved.name, resolved.uid.as_ref()), (&node.name, Some(&found.facts.uid)));
    assert_eq!(found.uid, found.facts.uid.as_str());
    assert_eq!(found.facts.pod, Some(pod.clone()));

    let recreated = Pod { uid: Some("former".parse().expect("a uid")), ..pod.clone() };
    let (kind, text) = refusal(&kube, NodeOrPod::Pod(recreated)).await;
    assert_eq!(kind, Kind::Conflict, "{text}");
    assert!(text.contains("recreated"), "{text}");

    let pending = bed.pod("default", None, None);
    let (kind, text) = refusal(&kube, NodeOrPod::Pod(pending)).await;
    assert_eq!(kind, Kind::NotFound);
    assert!(text.contains("not scheduled"), "{text}");

    let absent = Pod { name: "absent".parse().expect("a name"), ..pod };
    assert_eq!(refusal(&kube, NodeOrPod::Pod(absent)).await.0, Kind::NotFound);
}

async fn marks_ask_for_being_left_alone(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let namespace = bed.namespace(&json!({EXEMPT_NAMESPACE: "true"}));
    let node = bed.node(&json!({"metadata": {"labels": {EXEMPT_NODE: "true"}}}));
    let pod = NodeOrPod::Pod(bed.pod(&namespace, Some(&node), None));
    let api = kube.connect(&pod).await.expect("a connection");
    let found = kube.identify(&api, &pod).await.expect("an identity");
    let marks: Vec<_> = found.exempt.iter().map(|it| (it.mark.as_str(), it.forgeable)).collect();
    assert_eq!(
        marks,
        [
            (format!("label {EXEMPT_NAMESPACE} of namespace/{namespace}").as_str(), false),
            (format!("label {EXEMPT_NODE} of node/{}", node.name).as_str(), false),
        ]
    );
    let plain = target(&bed.node(&json!({"metadata": {"labels": {EXEMPT_NODE: "false"}}})));
    assert!(kube.identify(&api, &plain).await.expect("an identity").exempt.is_empty());
}

async fn virtual_nodes_are_told(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    for (label, value, is_virtual) in [
        ("eks.amazonaws.com/compute-type", "fargate", true),
        ("eks.amazonaws.com/compute-type", "auto", false),
        ("type", "virtual-kubelet", true),
    ] {
        let node = bed.node(&json!({"metadata": {"labels": {label: value}}}));
        assert_eq!(facts(&kube, &target(&node)).await.1.is_virtual().is_some(), is_virtual, "{label}={value}");
    }
    let name = bed.name("node").replace("k8s-", "fargate-");
    bed.add_node(&name, &json!({}));
    let node = Node { cluster: Cluster::Current, name: name.parse().expect("a name"), uid: None };
    assert!(facts(&kube, &target(&node)).await.1.is_virtual().is_some());
}

async fn each_field_is_written_and_undone_alone(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let taint = json!({"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"});
    let node = bed.node(&json!({
        "metadata": {"labels": {"team": "web"}, "annotations": {"example.com/owner": "web", MARKS[2]: "before"}},
        "spec": {"taints": [taint]},
    }));
    let (api, found) = facts(&kube, &target(&node)).await;
    let view = |node: &Node| {
        let it = bed.see(node);
        (it["metadata"]["labels"].clone(), it["metadata"]["annotations"].clone(), it["spec"].clone())
    };
    let before = view(&node);
    for (slot, to) in writes(&found.object_ref()) {
        let former = slot.look(&api, &mark()).await.expect("a look").state;
        write(&api, &slot, &to).await;
        assert!(bed.see(&node)["spec"]["taints"].as_array().is_some_and(|all| all.contains(&taint)));
        write(&api, &slot, &former).await;
        assert_eq!(view(&node), before, "{slot:?}");
    }
}

async fn a_bare_node_takes_all_changes_at_once(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let node = bed.node(&json!({}));
    let (api, found) = facts(&kube, &target(&node)).await;
    let writes = writes(&found.object_ref());
    let mark = mark();
    let seen = join_all(writes.iter().map(|(slot, _)| slot.look(&api, &mark))).await;
    let done = join_all(writes.iter().zip(&seen).map(|((slot, to), seen)| {
        let token = &seen.as_ref().expect("a look").token;
        slot.put(token, to, &mark, &api)
    }))
    .await;
    for ((slot, to), done) in writes.iter().zip(done) {
        // The controller's own taint may come between: that is a lost race and no more, and the driver looks again.
        match (slot, done) {
            (KubeSlot::Taint(_), Err(error)) if error.kind() == Kind::Conflict => write(&api, slot, to).await,
            (_, done) => done.unwrap_or_else(|error| panic!("{slot:?}: {error}")),
        }
        assert_eq!(&slot.look(&api, &mark).await.expect("a look").state, to, "{slot:?}");
    }
}

async fn a_lost_race_writes_nothing(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let node = bed.node(&json!({"metadata": {"annotations": {"example.com/owner": "web"}}}));
    let (api, found) = facts(&kube, &target(&node)).await;
    let foreign = json!({
        "metadata": {"annotations": {KEY: "theirs", MARKS[0]: "theirs"}},
        "spec": {"unschedulable": true, "taints": [{"key": TAINT.0, "effect": TAINT.1, "value": "theirs"}]},
    });
    let writes: Vec<_> = writes(&found.object_ref())
        .into_iter()
        .filter(|(slot, _)| match slot {
            KubeSlot::Label(_) => false,
            KubeSlot::Annotation(it) => it.key == KEY,
            _ => true,
        })
        .collect();
    let mut seen = Vec::new();
    for (slot, _) in &writes {
        seen.push(slot.look(&api, &mark()).await.expect("a look"));
    }
    bed.edit(&node, &foreign);
    let theirs = bed.see(&node);
    for ((slot, to), seen) in writes.iter().zip(&seen) {
        let error = slot.put(&seen.token, to, &mark(), &api).await.expect_err("a lost race");
        assert_eq!(error.kind(), Kind::Conflict, "{slot:?}: {error}");
    }
    assert_eq!(bed.see(&node)["spec"], theirs["spec"]);
    assert_eq!(bed.see(&node)["metadata"]["annotations"], theirs["metadata"]["annotations"]);
}

async fn other_taints_may_come_and_go(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let other = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let ours = json!({"key": TAINT.0, "effect": TAINT.1});
    let node = bed.node(&json!({"spec": {"taints": [other("a")]}}));
    let (api, found) = facts(&kube, &target(&node)).await;
    let slot: KubeSlot = Taint { node: found.object_ref(), key: TAINT.0.to_owned(), effect: TAINT.1.to_owned() }.into();
    let on = KubeState::text(Some(""));

    // A controller's taint comes between look and write: ours is added to it.
    let seen = slot.look(&api, &mark()).await.expect("a look");
    bed.edit(&node, &json!({"spec": {"taints": [other("a"), other("b")]}}));
    slot.put(&seen.token, &on, &mark(), &api).await.expect("added");
    assert_eq!(bed.see(&node)["spec"]["taints"], json!([other("a"), other("b"), ours]));

    // It goes between look and removal: no other taint is hit instead.
    let seen = slot.look(&api, &mark()).await.expect("a look");
    bed.edit(&node, &json!({"spec": {"taints": [other("b"), ours, other("c")]}}));
    let lost = slot.put(&seen.token, &KubeState::absent(), &mark(), &api).await.expect_err("a lost race");
    assert_eq!(lost.kind(), Kind::Conflict);
    write(&api, &slot, &KubeState::absent()).await;
    assert_eq!(bed.see(&node)["spec"]["taints"], json!([other("b"), other("c")]));
}

async fn a_recreated_node_is_another_one(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    for given in [json!({}), json!({"metadata": {"annotations": {"a": "b"}, "labels": {"a": "b"}}})] {
        let node = bed.node(&given);
        let (api, found) = facts(&kube, &target(&node)).await;
        let writes = writes(&found.object_ref());
        let mut seen = Vec::new();
        for (slot, _) in &writes {
            seen.push(slot.look(&api, &mark()).await.expect("a look"));
        }
        bed.recreate(&node);
        let fresh = bed.see(&node);
        for ((slot, to), seen) in writes.iter().zip(&seen) {
            assert_eq!(slot.look(&api, &mark()).await.expect_err("gone").kind(), Kind::NotFound);
            let error = slot.put(&seen.token, to, &mark(), &api).await.expect_err("another node");
            assert_eq!(error.kind(), Kind::Conflict, "{slot:?}: {error}");
        }
        assert_eq!(bed.see(&node), fresh);
    }
}

/// On the wire: the server is told which UID is meant, and refuses another one.
async fn a_removal_is_of_one_pod(bed: &Bed) {
    let kube = bed.kube(&[(&["get", "list", "delete"], "pods"), (&["create"], "pods/eviction")]);
    let api = kube.api(&Cluster::Current).await.expect("a connection");
    let node = bed.node(&json!({}));
    for how in [How::Evict { force_after: None }, How::Delete] {
        let pod = bed.pod("default", Some(&node), None);
        let removal = |uid: &KubeUid| -> KubeSlot {
            let object = ObjectRef {
                cluster: Cluster::Current,
                resource: Resource::pods(),
                namespace: Some(pod.namespace.clone()),
                name: pod.name.clone(),
                uid: Some(uid.clone()),
            };
            let successor = "nobody makes it again".to_owned();
            Removal { pod: object, node: None, successor, how, grace: Some(0), within: 1 }.into()
        };
        let (own, other) = (pod.uid.clone().expect("a uid"), "0a1b".parse::<KubeUid>().expect("a uid"));
        let there = async |uid: &KubeUid| removal(uid).look(&api, &mark()).await.expect("a look").state;
        let gone = KubeState::flag(false);
        assert_eq!((there(&own).await, there(&other).await), (KubeState::flag(true), gone.clone()));
        let error = removal(&other).put(&None, &gone, &mark(), &api).await.expect_err("another pod");
        assert_eq!(error.kind(), Kind::Conflict, "{how:?}: {error}");
        assert_eq!(there(&own).await, KubeState::flag(true), "{how:?}");
        removal(&own).put(&None, &gone, &mark(), &api).await.expect("it is that one");
        assert_eq!(there(&own).await, gone, "{how:?}");
        // Gone is as good as removed.
        removal(&own).put(&None, &gone, &mark(), &api).await.expect("it is gone");
    }
}

async fn what_is_missing_is_named(bed: &Bed) {
    const fn on(resource: &'static str, verbs: &'static [&'static str]) -> Permission {
        Permission::Kube { group: "", resource, verbs }
    }
    const NEEDS: Permissions = Permissions {
        plan: &[on("nodes", &["get"]), on("pods", &["get", "list"]), on("namespaces", &["get"])],
        apply: &[on("nodes", &["patch"])],
        revert: &[on("nodes", &["patch"])],
    };
    let node = bed.node(&json!({}));
    let pod = bed.pod("default", Some(&node), None);
    let everything = bed.kube(DECLARED);
    let (api, found) = facts(&everything, &target(&node)).await;
    let checks = everything.check(&api, &target(&node), &NEEDS).await;
    assert_eq!(checks.len(), 6, "{checks:#?}");
    assert!(checks.iter().all(|check| check.ok), "{checks:#?}");

    let nodes_only = bed.kube(&[(&["get"], "nodes")]);
    let (api, _) = facts(&nodes_only, &target(&node)).await;
    for (slot, to) in writes(&found.object_ref()) {
        let error = slot.put(&None, &to, &mark(), &api).await.expect_err("no permission");
        assert_eq!(error.kind(), Kind::Denied);
        assert_eq!(error.message(), "missing permission: patch nodes");
    }
    let error = api.pods_on(&node.name).await.expect_err("no permission");
    assert_eq!((error.kind(), error.message()), (Kind::Denied, "missing permission: list pods"));
    let (kind, text) = refusal(&nodes_only, NodeOrPod::Pod(pod.clone())).await;
    assert_eq!(kind, Kind::Denied);
    assert!(text.contains("missing permission: get pods"), "{text}");
    let missing: Vec<_> = nodes_only
        .check(&api, &target(&node), &NEEDS)
        .await
        .into_iter()
        .filter(|check| !check.ok)
        .map(|check| check.what)
        .collect();
    assert_eq!(missing, ["plan: get pods", "plan: list pods", "plan: get namespaces", "apply: patch nodes"]);

    let no_namespaces = bed.kube(&[(&["get"], "nodes"), (&["get"], "pods")]);
    let (kind, text) = refusal(&no_namespaces, NodeOrPod::Pod(pod.clone())).await;
    assert_eq!(kind, Kind::Denied);
    assert!(text.contains("missing permission: get namespaces"), "{text}");
    let no_nodes = bed.kube(&[(&["get"], "pods"), (&["get"], "namespaces")]);
    let (kind, text) = refusal(&no_nodes, NodeOrPod::Pod(pod)).await;
    assert_eq!(kind, Kind::Denied);
    assert!(text.contains("missing permission: get nodes"), "{text}");
}

async fn pods_are_counted_by_owner(bed: &Bed) {
    let kube = bed.kube(DECLARED);
    let (node, other) = (bed.node(&json!({})), bed.node(&json!({})));
    bed.pod("default", Some(&node), None);
    bed.pod("default", Some(&node), Some(&node));
    bed.pod("default", Some(&other), None);
    let (api, _) = facts(&kube, &target(&node)).await;
    let mut owners: Vec<_> = api.pods_on(&node.name).await.expect("a list").into_iter().map(|pod| pod.owner).collect();
    owners.sort();
    assert_eq!(owners, [None, Some("Node".to_owned())]);
}

async fn the_kubeconfig_decides(bed: &Bed) {
    let path = bed.kubeconfig(DECLARED);
    let text = std::fs::read_to_string(&path).expect("a kubeconfig");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut named = config["contexts"][0].clone();
    named["name"] = "eks:123456789012/eu-central-1/prod".into();
    config["contexts"].as_array_mut().expect("contexts").push(named);
    std::fs::write(&path, config.to_string()).expect("a kubeconfig");

    let cluster: Cluster = "eks:123456789012/eu-central-1/prod".parse().expect("a cluster");
    let kube = Kube::with_kubeconfig(&path, Some(cluster.clone()));
    assert_eq!(kube.own_cluster(), cluster);
    let node = Node { cluster, ..bed.node(&json!({})) };
    let (api, found) = facts(&kube, &target(&node)).await;
    let slot: KubeSlot = Unschedulable { node: found.object_ref() }.into();
    write(&api, &slot, &KubeState::flag(true)).await;

    // A record of one cluster is never written to another.
    let here = Kube::with_kubeconfig(&path, None).api(&Cluster::Current).await.expect("a connection");
    assert_eq!(slot.look(&here, &mark()).await.expect_err("another cluster").kind(), Kind::Internal);

    let absent: Cluster = "context:absent".parse().expect("a cluster");
    assert_eq!(kube.api(&absent).await.expect_err("no context").kind(), Kind::NotFound);
    let unread = Kube::with_kubeconfig(path.with_extension("absent"), None);
    assert_eq!(unread.api(&Cluster::Current).await.expect_err("no file").kind(), Kind::Invalid);
}

/// A URL, an authority and a token: what EKS tells of a cluster.
async fn what_a_cloud_tells_is_enough(bed: &Bed) {
    let Server::Real(_) = &bed.server else { return };
    let text = std::fs::read_to_string(bed.kubeconfig(DECLARED)).expect("a kubeconfig");
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let said = |pointer: &str| config.pointer(pointer).and_then(|it| it.as_str()).expect(pointer).to_owned();
    let (url, token) = (said("/clusters/0/cluster/server"), said("/users/0/user/token"));
    let ca_pem = STANDARD.decode(said("/clusters/0/cluster/certificate-authority-data")).expect("base64");
    let node = bed.node(&json!({})).name;

    let patience = Patience { connect: Duration::from_secs(5), silence: Duration::from_secs(5) };
    let look = async |url: &str, ca_pem: &[u8], token: &str| {
        let client = dial::client(url, ca_pem, token, patience).expect("a client");
        KubeApi::new(client, Cluster::Current, None).node(&node).await.map_err(|error| error.kind())
    };
    assert_eq!(look(&url, &ca_pem, &token).await.map(|found| found.name), Ok(node.clone()));
    assert_eq!(look(&format!("{url}/"), &ca_pem, &token).await.map(|found| found.name), Ok(node.clone()));
    assert_eq!(look(&url, &ca_pem, "another").await.map(|found| found.name), Err(Kind::Denied));
    // Nobody is trusted but whom the cloud names.
    assert_eq!(look(&url, b"", &token).await.map(|found| found.name), Err(Kind::Unavailable));
    let broken = |url: &str, ca_pem: &[u8], token: &str| dial::client(url, ca_pem, token, patience).err();
    assert_eq!(broken("http://10.0.0.1", &ca_pem, &token), Some("the endpoint is not https"));
    assert_eq!(broken(&url, &ca_pem, "a\nb"), Some("the token is no header"));
}

/// More pods than a page holds.
pub(crate) async fn many_pods(bed: &Bed) {
    let Server::Simulator(simulator) = &bed.server else { return };
    let node = bed.node(&json!({}));
    for at in 0..1_200 {
        simulator.add_pod("default", &format!("many-{at}"), node.name.as_str(), json!({}));
    }
    simulator.add_pod("default", "over", node.name.as_str(), json!({"status": {"phase": "Succeeded"}}));
    let (api, _) = facts(&bed.kube(DECLARED), &target(&node)).await;
    simulator.clear_log();
    assert_eq!(api.pods_on(&node.name).await.expect("a list").len(), 1_200);
    assert_eq!(simulator.log().len(), 3);
}
