//! Streaming pull, by Google's own emulator.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::{Outcome, Place, Process, falco, order};

const TOPIC: &str = "projects/stanch-test/topics/alerts";
const SUBSCRIPTION: &str = "projects/stanch-test/subscriptions/alerts";
const DEAD: &str = "projects/stanch-test/topics/dead";
const DEAD_SUBSCRIPTION: &str = "projects/stanch-test/subscriptions/dead";

/// A running emulator, killed when dropped.
struct Emulator {
    child: Child,
    host: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The emulator's jar, where `gcloud` keeps it.
fn jar() -> Option<PathBuf> {
    let sdk = Command::new("gcloud").args(["info", "--format=value(installation.sdk_root)"]).output().ok()?;
    let root = PathBuf::from(String::from_utf8(sdk.stdout).ok()?.trim());
    let folder = root.join("platform/pubsub-emulator/lib");
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cloud-pubsub-emulator")))
}

async fn emulator() -> Option<Emulator> {
    let jar = jar()?;
    // The emulator takes no port 0; nobody else asks for this one within the moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let child = Command::new("java")
        .arg("-jar")
        .arg(jar)
        .args(["--host=127.0.0.1", &format!("--port={port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let emulator = Emulator { child, host: format!("127.0.0.1:{port}") };
    let until = Instant::now() + Duration::from_mins(1);
    while Client::new().get(format!("http://{}/", emulator.host)).send().await.is_err() {
        if Instant::now() > until {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Some(emulator)
}

async fn pulled(emulator: &Emulator, subscription: &str) -> Result<Vec<Value>, reqwest::Error> {
    let url = format!("http://{}/v1/{subscription}:pull", emulator.host);
    let body = json!({"maxMessages": 10, "returnImmediately": true});
    let answer: Value = Client::new().post(url).json(&body).send().await?.json().await?;
    Ok(answer["receivedMessages"].as_array().cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_message_is_acknowledged_once_it_is_dealt_with() -> Outcome {
    let Some(emulator) = emulator().await else {
        println!("skipped: gcloud with the Pub/Sub emulator, or Java, is not installed");
        return Ok(());
    };
    let client = Client::new();
    let base = format!("http://{}/v1/", emulator.host);
    for topic in [TOPIC, DEAD] {
        client.put(format!("{base}{topic}")).json(&json!({})).send().await?.error_for_status()?;
    }
    for (name, topic) in [(SUBSCRIPTION, TOPIC), (DEAD_SUBSCRIPTION, DEAD)] {
        let body = json!({"topic": topic, "ackDeadlineSeconds": 10});
        client.put(format!("{base}{name}")).json(&body).send().await?.error_for_status()?;
    }
    let place = Place::new()?;
    let variables = [
        ("STANCH_SUBSCRIPTION", SUBSCRIPTION),
        ("STANCH_DEAD_LETTER", DEAD),
        ("PUBSUB_EMULATOR_HOST", &emulator.host),
        ("STANCH_MODE", "enforce"),
    ];
    let mut puller = Process::start(&place, &variables, "pulling")?;
    let bodies = [falco("web-1"), falco("web-1"), falco("denied-1"), order("apply", "x", "web-2"), falco("slow-1")];
    let messages: Vec<_> =
        bodies.iter().map(|body| json!({"data": BASE64_STANDARD.encode(body.to_string())})).collect();
    let publish = client.post(format!("{base}{TOPIC}:publish")).json(&json!({"messages": messages}));
    publish.send().await?.error_for_status()?;

    let until = Instant::now() + Duration::from_secs(20);
    let mut dead = Vec::new();
    while (dead.len() < 2 || place.labels().is_empty()) && Instant::now() < until {
        dead.extend(pulled(&emulator, DEAD_SUBSCRIPTION).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut kinds: Vec<_> = dead.iter().map(|it| it["message"]["attributes"]["kind"].clone()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["denied", "invalid"], "{:#?}", puller.lines());

    // What runs is finished, and acknowledged, before it ends.
    puller.terminate()?;
    assert_eq!(puller.wait()?.code(), Some(0));
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["slow-1", "web-1"]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(pulled(&emulator, SUBSCRIPTION).await?, Vec::<Value>::new(), "all were acknowledged");
    Ok(())
}
