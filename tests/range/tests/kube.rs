use serde_json::{Value, json};
use stanch_range::kube::{ADMIN, Kube, Rule};
use stanch_range::scenario::{self, NODE};

use crate::web::{call, call_as, client};

fn seeded() -> (Kube, String) {
    let kube = Kube::start().unwrap();
    scenario::k8s(&kube);
    let node = format!("{}/api/v1/nodes/{NODE}", kube.url());
    (kube, node)
}

async fn merge(url: &str, patch: Value) -> (u16, Value) {
    call_as("PATCH", url, None, "application/merge-patch+json", Some(&patch)).await
}

#[tokio::test]
async fn a_merge_patch_checks_the_version_and_counts_it_up() {
    let (kube, node) = seeded();
    let (_, before) = call("GET", &node, None, None).await;
    let version = before["metadata"]["resourceVersion"].clone();
    let taint = json!({"key": "stanch.dev/quarantine", "effect": "NoSchedule"});
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"unschedulable": true, "taints": [taint]}});
    let (status, after) = merge(&format!("{node}?&fieldManager=stanch"), patch.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(after["spec"]["taints"], json!([taint]));
    assert_ne!(after["metadata"]["resourceVersion"], version);
    // The node lifecycle controller has been there since.
    let now = kube.node(NODE).unwrap();
    assert_eq!(now["spec"]["taints"][1]["key"], "node.kubernetes.io/unschedulable");
    assert_ne!(now["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);

    let (status, conflict) = merge(&node, patch).await;
    assert_eq!((status, &conflict["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        conflict["message"],
        "Operation cannot be fulfilled on nodes \"node-b\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let (status, same) = merge(&node, json!({"spec": {"unschedulable": true}})).await;
    assert_eq!((status, &same["metadata"]["resourceVersion"]), (200, &now["metadata"]["resourceVersion"]));
    let (_, open) = merge(&node, json!({"spec": {"unschedulable": null, "taints": null}})).await;
    assert_eq!(open["spec"].get("unschedulable"), None);
    assert_eq!(kube.node(NODE).unwrap()["spec"].get("taints"), None);
}

#[tokio::test]
async fn a_json_patch_tests_before_it_writes() {
    let (kube, node) = seeded();
    let kind = "application/json-patch+json";
    let uid = kube.node(NODE).unwrap()["metadata"]["uid"].clone();
    let good = json!([{"op": "test", "path": "/metadata/uid", "value": uid}, {"op": "add", "path": "/spec/unschedulable", "value": true}]);
    assert_eq!(call_as("PATCH", &node, None, kind, Some(&good)).await.0, 200);
    let bad =
        json!([{"op": "test", "path": "/metadata/uid", "value": "x"}, {"op": "remove", "path": "/spec/unschedulable"}]);
    let (status, refused) = call_as("PATCH", &node, None, kind, Some(&bad)).await;
    assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")));
    assert_eq!(kube.node(NODE).unwrap()["spec"]["unschedulable"], true);
    assert_eq!(call_as("PATCH", &node, None, "application/apply-patch+yaml", Some(&json!({}))).await.0, 415);
}

#[tokio::test]
async fn put_and_validation() {
    let (kube, node) = seeded();
    let (_, mut whole) = call("GET", &node, None, None).await;
    kube.edit_node(NODE, &json!({"metadata": {"annotations": {"somebody": "else"}}}));
    assert_eq!(call("PUT", &node, None, Some(&whole)).await.0, 409);
    whole["metadata"]["resourceVersion"] = kube.node(NODE).unwrap()["metadata"]["resourceVersion"].clone();
    whole["spec"]["unschedulable"] = true.into();
    assert_eq!(call("PUT", &node, None, Some(&whole)).await.0, 200);
    for patch in [
        json!({"spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
        json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}]}}),
        json!({"metadata": {"labels": {"a": "not a label"}}}),
        json!({"spec": {"providerID": "gce://other"}}),
    ] {
        let (status, said) = merge(&node, patch.clone()).await;
        assert_eq!((status, &said["reason"]), (422, &json!("Invalid")), "{patch}");
    }
    assert_eq!(merge(&node, json!({"metadata": {"uid": "other"}})).await.0, 409);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (kube, node) = seeded();
    let before = kube.node(NODE);
    let (status, would) = merge(&format!("{node}?dryRun=All"), json!({"spec": {"unschedulable": true}})).await;
    assert_eq!((status, &would["spec"]["unschedulable"]), (200, &json!(true)));
    assert_eq!(kube.node(NODE), before);
    assert!(kube.writes().is_empty());
}

#[tokio::test]
async fn pods_by_node_in_pages_and_as_metadata() {
    let (kube, _) = seeded();
    let pods = format!("{}/api/v1/pods", kube.url());
    let (_, first) = call("GET", &format!("{pods}?fieldSelector=spec.nodeName%3D{NODE}&limit=1"), None, None).await;
    assert_eq!(first["kind"], "PodList");
    assert_eq!(first["items"][0]["metadata"]["name"], "web-6d4cf56db6-9vqnl");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let next = format!("{pods}?fieldSelector=spec.nodeName%3D{NODE}&limit=1&continue={token}");
    let (_, second) = call("GET", &next, None, None).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "fluentbit-node-b");
    assert_eq!(second["metadata"].get("continue"), None);
    kube.expire_lists();
    assert_eq!(call("GET", &next, None, None).await.0, 410);

    let url = format!("{}/api/v1/namespaces/default/pods?labelSelector=app%3Dweb", kube.url());
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list: Value =
        serde_json::from_str(&client().get(&url).header("accept", accept).send().await.unwrap().text().await.unwrap())
            .unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("PartialObjectMetadataList"), 3));
    assert_eq!(list["items"][0].get("spec"), None);
    let bad = call("GET", &format!("{pods}?fieldSelector=spec.hostname%3Dx"), None, None).await;
    assert_eq!(bad.0, 400);
    assert_eq!(call("GET", &format!("{}/api/v1/namespaces/kube-system", kube.url()), None, None).await.0, 200);
    assert_eq!(
        call("GET", &format!("{}/api/v1/nodes/absent", kube.url()), None, None).await.1["message"],
        "nodes \"absent\" not found"
    );
}

#[tokio::test]
async fn rights_are_exact_and_worded_as_the_server_words_them() {
    let (kube, node) = seeded();
    let user = "system:serviceaccount:stanch:cordon";
    kube.allow(
        "t",
        user,
        &[Rule::new(&["get"], "", &["nodes"]), Rule::new(&["patch"], "", &["nodes"]).names(&["node-a"])],
    );
    assert_eq!(call("GET", &node, None, None).await.0, 401);
    assert_eq!(call("GET", &node, Some("t"), None).await.0, 200);
    assert_eq!(call("GET", &node, Some(ADMIN), None).await.0, 200);
    let (status, refused) = call_as("PATCH", &node, Some("t"), "application/merge-patch+json", Some(&json!({}))).await;
    assert_eq!(status, 403);
    assert_eq!(
        refused["message"],
        "nodes \"node-b\" is forbidden: User \"system:serviceaccount:stanch:cordon\" cannot patch resource \"nodes\" in API group \"\" at the cluster scope"
    );
    let (_, refused) = call("GET", &format!("{}/api/v1/namespaces/default/pods", kube.url()), Some("t"), None).await;
    assert_eq!(
        refused["message"],
        "pods is forbidden: User \"system:serviceaccount:stanch:cordon\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    let url = format!("{}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", kube.url());
    for (verb, name, allowed) in [("get", "node-b", true), ("patch", "node-a", true), ("patch", "node-b", false)] {
        let review = json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "nodes", "name": name}}});
        let (status, said) = call("POST", &url, Some("t"), Some(&review)).await;
        assert_eq!((status, &said["status"]["allowed"]), (201, &json!(allowed)), "{verb} {name}");
    }
    assert_eq!(kube.writes().len(), 1);
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let kube = Kube::start().unwrap();
    kube.add_token("sender", "system:serviceaccount:falco:sidekick", &["system:authenticated"], &["stanch"]);
    let url = format!("{}/apis/authentication.k8s.io/v1/tokenreviews", kube.url());
    for (token, audience, expected) in
        [("sender", "stanch", true), ("sender", "other", false), ("forged", "stanch", false)]
    {
        let review = json!({"spec": {"token": token, "audiences": [audience]}});
        let (_, said) = call("POST", &url, Some(ADMIN), Some(&review)).await;
        assert_eq!(said["status"]["authenticated"] == true, expected, "{token} {audience}");
    }
}
