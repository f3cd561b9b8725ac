use std::time::Duration;

use serde_json::{Value, json};
use stanch_range::gce::{Disk, Gce, Instance, OperationFailure, Refusal, Timing};

use crate::web::call;

const KEY: &str = "acXTX3rxrKAFTF0tYVLvydU1riRZTvUNC4g5I11NY+c=";

fn seeded() -> Gce {
    let gce = Gce::start().unwrap();
    gce.seed(
        Instance::new("acme", "europe-west1-b", "web")
            .id(42)
            .disk(Disk::zonal("web").size_gb(20).boot())
            .disk(Disk::regional("shared", &["europe-west1-b", "europe-west1-c"]))
            .disk(Disk::zonal("secret").csek(KEY))
            .local_ssd(),
    );
    gce
}

fn disk(gce: &Gce, name: &str) -> String {
    format!("{}/compute/v1/projects/acme/zones/europe-west1-b/disks/{name}", gce.endpoint())
}

async fn take(gce: &Gce, disk_name: &str, query: &str, body: Value) -> (u16, Value) {
    call("POST", &format!("{}/createSnapshot{query}", disk(gce, disk_name)), None, Some(&body)).await
}

#[tokio::test]
async fn an_instance_names_its_disks_by_name_and_by_id_with_and_without_prefix() {
    let gce = seeded();
    for path in ["/compute/v1/projects", "/projects"] {
        for name in ["web", "42"] {
            let url = format!("{}{path}/acme/zones/europe-west1-b/instances/{name}?&$alt=json&", gce.endpoint());
            let (status, instance) = call("GET", &url, None, None).await;
            assert_eq!(status, 200);
            assert_eq!(instance["id"], "42");
            let kinds: Vec<_> = instance["disks"].as_array().unwrap().iter().map(|disk| disk["type"].clone()).collect();
            assert_eq!(kinds, ["PERSISTENT", "PERSISTENT", "PERSISTENT", "SCRATCH"]);
            assert_eq!(instance["disks"][0]["boot"], true);
            assert_eq!(
                instance["disks"][1]["source"],
                "https://www.googleapis.com/compute/v1/projects/acme/regions/europe-west1/disks/shared"
            );
            assert_eq!(instance["disks"][3].get("source"), None);
        }
    }
    let (status, error) = call("GET", &disk(&gce, "absent"), None, None).await;
    assert_eq!(status, 404);
    assert_eq!(error["error"]["errors"][0]["reason"], "notFound");
}

#[tokio::test]
async fn a_snapshot_goes_from_creating_to_ready_with_its_operation() {
    let gce = seeded();
    gce.timing(Timing::each(Duration::from_mins(1)));
    let (status, operation) = take(&gce, "web", "", json!({"name": "s-1", "labels": {"stanch-record": "ab"}})).await;
    assert_eq!((status, &operation["status"]), (200, &json!("PENDING")));
    let url = format!(
        "{}/projects/acme/zones/europe-west1-b/operations/{}",
        gce.endpoint(),
        operation["name"].as_str().unwrap()
    );
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (_, now) = call("GET", &url, None, None).await;
        seen.push(format!("{} {}", now["status"].as_str().unwrap(), gce.snapshots().first().unwrap().status));
        gce.advance(Duration::from_mins(1));
    }
    assert_eq!(seen, ["PENDING CREATING", "RUNNING CREATING", "RUNNING UPLOADING", "DONE READY"]);
    let made = gce.snapshots().remove(0);
    assert_eq!((made.source_disk_id, made.disk_size_gb), (gce.disk_id("acme", "web").unwrap(), 20));
    assert_eq!(made.storage_locations, ["eu"]);
}

#[tokio::test]
async fn wait_returns_when_the_operation_is_done() {
    let gce = seeded();
    let (_, operation) = take(&gce, "web", "", json!({"name": "s-1"})).await;
    let url = format!(
        "{}/projects/acme/zones/europe-west1-b/operations/{}/wait",
        gce.endpoint(),
        operation["name"].as_str().unwrap()
    );
    let (_, done) = call("POST", &url, None, None).await;
    assert_eq!(done["status"], "DONE");
}

#[tokio::test]
async fn the_same_request_id_is_the_same_operation() {
    let gce = seeded();
    let query = "?requestId=7d8ca2e2-6bdd-4f53-8b19-4a0c8e2d7a10";
    let (_, first) = take(&gce, "web", query, json!({"name": "s-1"})).await;
    let (status, second) = take(&gce, "web", query, json!({"name": "s-1"})).await;
    assert_eq!((status, &second["id"]), (200, &first["id"]));
    assert_eq!(gce.snapshots().len(), 1);
    let (status, error) = take(&gce, "web", "", json!({"name": "s-1"})).await;
    assert_eq!((status, &error["error"]["errors"][0]["reason"]), (409, &json!("alreadyExists")));
    assert_eq!(take(&gce, "web", "?requestId=nonsense", json!({"name": "s-2"})).await.0, 400);
}

#[tokio::test]
async fn what_the_service_refuses_is_refused() {
    let gce = seeded();
    for body in [
        json!({"name": "Upper"}),
        json!({"name": "-a"}),
        json!({"name": "a".repeat(64)}),
        json!({}),
        json!({"name": "ok", "labels": {"Key": "v"}}),
        json!({"name": "ok", "labels": {"key": "UPPER"}}),
        json!({"name": "ok", "storageLocations": ["mars"]}),
        json!({"name": "ok", "storageLocations": ["eu", "us"]}),
    ] {
        let (status, error) = take(&gce, "web", "", body.clone()).await;
        assert_eq!((status, &error["error"]["errors"][0]["reason"]), (400, &json!("invalid")), "{body}");
    }
    for (key, expected) in [(None, 400), (Some("d3Jvbmc="), 400), (Some(KEY), 200)] {
        let body = json!({"name": "ok", "sourceDiskEncryptionKey": key.map(|key| json!({"rawKey": key}))});
        assert_eq!(take(&gce, "secret", "", body).await.0, expected);
    }
    assert_eq!(gce.snapshots().len(), 1);
}

#[tokio::test]
async fn a_regional_disk_has_its_own_call_and_operation() {
    let gce = seeded();
    let url = format!("{}/projects/acme/regions/europe-west1/disks/shared", gce.endpoint());
    assert_eq!(call("GET", &url, None, None).await.1["replicaZones"].as_array().unwrap().len(), 2);
    let (status, operation) = call("POST", &format!("{url}/createSnapshot"), None, Some(&json!({"name": "s"}))).await;
    assert_eq!(status, 200);
    assert!(operation["selfLink"].as_str().unwrap().contains("/regions/europe-west1/operations/"));
    assert_eq!(operation.get("zone"), None);
}

#[tokio::test]
async fn an_accepted_operation_may_fail() {
    let gce = seeded();
    gce.timing(Timing::NONE);
    gce.fail_operation(OperationFailure::internal());
    gce.fail_operation(OperationFailure::rate());
    let (status, operation) = take(&gce, "web", "", json!({"name": "a"})).await;
    assert_eq!((status, &operation["status"], &operation["httpErrorStatusCode"]), (200, &json!("DONE"), &json!(500)));
    let (_, operation) = take(&gce, "web", "", json!({"name": "b"})).await;
    assert_eq!(operation["error"]["errors"][0]["code"], "RESOURCE_OPERATION_RATE_EXCEEDED");
    let left: Vec<_> = gce.snapshots().into_iter().map(|made| (made.name, made.status)).collect();
    assert_eq!(left, [("a".to_owned(), "FAILED".to_owned())]);
}

#[tokio::test]
async fn rights_are_exact_and_refusals_change_nothing() {
    let gce = seeded();
    gce.allow("t", &["compute.instances.get", "compute.disks.createSnapshot"]);
    let url = format!("{}/createSnapshot", disk(&gce, "web"));
    let body = json!({"name": "s"});
    assert_eq!(call("POST", &url, None, Some(&body)).await.0, 401);
    assert_eq!(call("POST", &url, Some("other"), Some(&body)).await.0, 401);
    let (status, error) = call("POST", &url, Some("t"), Some(&body)).await;
    assert_eq!(status, 403);
    assert_eq!(
        error["error"]["message"],
        "Required 'compute.snapshots.create' permission for 'projects/acme/global/snapshots/s'"
    );
    let wanted = json!({"permissions": ["compute.disks.createSnapshot", "compute.disks.get"]});
    let (_, held) = call("POST", &format!("{}/testIamPermissions", disk(&gce, "web")), Some("t"), Some(&wanted)).await;
    assert_eq!(held, json!({"permissions": ["compute.disks.createSnapshot"]}));
    assert!(gce.snapshots().is_empty());
    let writes = gce.writes();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[2].permission.as_deref(), Some("compute.disks.createSnapshot+compute.snapshots.create"));
    assert_eq!(writes[2].token.as_deref(), Some("t"));
}

#[tokio::test]
async fn a_planned_refusal_comes_as_often_as_planned() {
    let gce = seeded();
    gce.refuse("/createSnapshot", Refusal::quota("SNAPSHOTS", 10), 1);
    let (status, error) = take(&gce, "web", "", json!({"name": "s"})).await;
    assert_eq!((status, &error["error"]["errors"][0]["reason"]), (403, &json!("quotaExceeded")));
    assert_eq!(take(&gce, "web", "", json!({"name": "s"})).await.0, 200);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let gce = seeded();
    for n in 0..5 {
        let body = json!({"name": format!("s-{n}"), "labels": {"stanch-record": if n < 3 { "ab" } else { "cd" }}});
        take(&gce, "web", "", body).await;
    }
    let list = format!("{}/projects/acme/global/snapshots", gce.endpoint());
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let url = format!("{list}?filter=labels.stanch-record%3Dab&maxResults=2&pageToken={token}");
        let (_, page) = call("GET", &url, None, None).await;
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        match page["nextPageToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(names, ["s-0", "s-1", "s-2"]);
    let (_, none) =
        call("GET", &format!("{list}?filter=(name = \"s-1\") (labels.stanch-record = \"cd\")"), None, None).await;
    assert_eq!(none.get("items"), None);
    assert_eq!(call("GET", &format!("{list}?filter=nonsense"), None, None).await.0, 400);
    let (_, all) = call("GET", &format!("{}/projects/acme/aggregated/instances", gce.endpoint()), None, None).await;
    assert_eq!(all["items"]["zones/europe-west1-b"]["instances"][0]["name"], "web");
    assert!(all["items"]["zones/europe-west1-c"].get("warning").is_some());
}

#[tokio::test]
async fn a_recreated_disk_has_another_id_and_snapshots_can_be_deleted() {
    let gce = seeded();
    take(&gce, "web", "", json!({"name": "s"})).await;
    let before = gce.disk_id("acme", "web");
    gce.seed_disk("acme", "europe-west1-b", Disk::zonal("web"));
    assert_ne!(gce.disk_id("acme", "web"), before);
    let url = format!("{}/projects/acme/global/snapshots/s", gce.endpoint());
    assert_eq!(call("GET", &url, None, None).await.1["sourceDiskId"], before.unwrap().to_string());
    assert_eq!(call("DELETE", &url, None, None).await.0, 200);
    assert!(gce.snapshots().is_empty());
}
