//! A Cloud Logging alert, through Pub/Sub push over HTTP, on the Compute Engine simulator; seen by the real `gcloud`.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use stanch_range::{
    gce::Gce,
    scenario::{self, PROJECT, VM, ZONE},
};
use stanch_tests::{root, skipped};

use crate::service::Service;

pub(crate) struct World {
    pub(crate) gce: Gce,
    id: u64,
    folder: tempfile::TempDir,
}

pub(crate) fn world() -> World {
    let gce = Gce::start().unwrap();
    let id = scenario::gcp(&gce);
    World { gce, id, folder: tempfile::tempdir().unwrap() }
}

impl World {
    pub(crate) fn environment(&self, mode: Option<&str>) -> Vec<(&'static str, String)> {
        let ledger = self.folder.path().join("ledger.db");
        let mut environment = vec![
            ("STANCH_GCE_ENDPOINT", self.gce.endpoint()),
            ("STANCH_GUARD", json!({"projects": [PROJECT]}).to_string()),
            ("STANCH_LEDGER", format!("sqlite:{}", ledger.display())),
        ];
        environment.extend(mode.map(|mode| ("STANCH_MODE", mode.to_owned())));
        environment
    }

    pub(crate) fn entry(&self) -> Value {
        let path = root().join("functions/gcp-snapshot-disks/event.json");
        let mut entry: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        entry["resource"]["labels"]["instance_id"] = json!(self.id.to_string());
        entry["timestamp"] = json!(jiff::Timestamp::now().to_string());
        entry
    }

    fn gcloud(&self, arguments: &[&str]) -> Option<String> {
        let done = Command::new("gcloud")
            .args(arguments)
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", self.gce.gcloud_endpoint())
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_CORE_PROJECT", PROJECT)
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CONFIG", self.folder.path().join("gcloud"))
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .ok()?;
        assert!(done.status.success(), "gcloud {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        Some(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

/// What Pub/Sub pushes.
pub(crate) fn push(data: &[u8], id: &str) -> String {
    json!({
        "message": {"data": STANDARD.encode(data), "messageId": id, "message_id": id, "publishTime": "2026-11-20T09:14:32Z"},
        "subscription": format!("projects/{PROJECT}/subscriptions/stanch"),
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_alert_is_contained_once() {
    let world = world();
    let service = Service::start("gcp-snapshot-disks", &world.environment(Some("enforce"))).await;
    let message = push(world.entry().to_string().as_bytes(), "1");
    let first = service.post(message.clone(), &[]).await;
    assert_eq!((first.status, &first.report()["status"]), (200, &json!("applied")), "{first:#?}");
    assert!(
        first.report()["remaining"].to_string().to_lowercase().contains("ssd"),
        "the local SSD is named: {first:#?}"
    );
    let disks = |world: &World| {
        let mut disks: Vec<_> =
            world.gce.snapshots().iter().map(|one| one.source_disk.rsplit('/').next().unwrap().to_owned()).collect();
        disks.sort();
        disks
    };
    assert_eq!(disks(&world), ["web-1", "web-1-data", "web-shared"]);

    let again = service.post(message, &[]).await;
    assert_eq!((again.status, &again.report()["status"]), (200, &json!("already")), "{again:#?}");
    assert_eq!(disks(&world).len(), 3);

    // Another instance may be named by then: the numeric id is what counts.
    let mut other = world.entry();
    other["resource"]["labels"]["instance_id"] = json!("4811234567890123456");
    other["insertId"] = json!("other");
    let refused = service.post(push(other.to_string().as_bytes(), "2"), &[]).await;
    assert_eq!(refused.status, 204, "a permanent failure is not pushed for days: {refused:#?}");
    assert_eq!(disks(&world).len(), 3);

    // Google's guide, by its own tool, sees the same disks and our snapshots of them.
    let describe = ["compute", "instances", "describe", VM, "--zone", ZONE, "--format=flattened([disks])"];
    let Some(seen) = world.gcloud(&describe) else {
        return skipped("reading back by gcloud", "gcloud is not installed");
    };
    for disk in disks(&world) {
        assert!(seen.contains(&format!("/disks/{disk}")), "{seen}");
    }
    let record = first.report()["record"].as_str().unwrap();
    let filter = format!("--filter=labels.stanch-record={record}");
    let listed = world.gcloud(&["compute", "snapshots", "list", &filter, "--format=value(name)"]).unwrap();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let by_hand = ["compute", "disks", "snapshot", VM, "--zone", ZONE, "--snapshot-names", "by-hand"];
    world.gcloud(&by_hand);
    assert_eq!(world.gce.snapshots().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_is_the_default_and_writes_nothing() {
    let world = world();
    let service = Service::start("gcp-snapshot-disks", &world.environment(None)).await;
    let answer = service.post(push(world.entry().to_string().as_bytes(), "1"), &[]).await;
    assert_eq!((answer.status, &answer.report()["status"]), (200, &json!("planned")), "{answer:#?}");
    assert!(answer.report()["changes"][0]["command"].as_str().unwrap().starts_with("gcloud compute"));
    assert!(world.gce.snapshots().is_empty() && world.gce.writes().is_empty());
}
