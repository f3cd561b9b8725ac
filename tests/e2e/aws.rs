//! A GuardDuty finding, through the Lambda Runtime API, on moto.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use stanch_range::{
    lambda::{Lambda, Sandbox},
    moto::Moto,
    proxy::{Dialect, Fault, Proxy},
};
use stanch_tests::root;

use crate::service::{binary, terminal};

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) moto: Moto,
    pub(crate) instance: String,
    pub(crate) volumes: Vec<String>,
    pub(crate) account: String,
}

pub(crate) fn world() -> World {
    let moto = Moto::start().expect("moto starts");
    moto.seed_table("stanch-ledger").unwrap();
    let seeded = moto.seed_instance(3, &[("Name", "web-1")]).unwrap();
    World { moto, instance: seeded.id, volumes: seeded.volumes, account: seeded.account }
}

impl World {
    pub(crate) fn lambda(&self, endpoint: &str, mode: Option<&str>) -> Sandbox {
        let mut lambda = Lambda::new(binary("aws-snapshot-volumes")).env("STANCH_LEDGER", "dynamodb:stanch-ledger");
        for (name, value) in self.moto.env() {
            lambda = lambda.env(name, if name == "AWS_ENDPOINT_URL" { endpoint.to_owned() } else { value });
        }
        if let Some(mode) = mode {
            lambda = lambda.env("STANCH_MODE", mode);
        }
        lambda.start().expect("the function starts")
    }

    /// The responder's own example, about the instance that is there, now.
    pub(crate) fn event(&self) -> Value {
        self.aimed(&root().join("functions/aws-snapshot-volumes/event.json"))
    }

    /// A finding in EventBridge's envelope, about the instance that is there, now.
    pub(crate) fn aimed(&self, path: &Path) -> Value {
        let example: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let detail = &example["detail"];
        let text = example
            .to_string()
            .replace(detail["resource"]["instanceDetails"]["instanceId"].as_str().unwrap(), &self.instance)
            .replace(example["account"].as_str().unwrap(), &self.account)
            .replace(example["region"].as_str().unwrap(), "eu-central-1");
        let mut event: Value = serde_json::from_str(&text).unwrap();
        let now = jiff::Timestamp::now().to_string();
        event["time"] = json!(now);
        event["detail"]["service"]["eventLastSeen"] = json!(now);
        event
    }

    /// What EC2 has, by boto3.
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let all = self.moto.describe_snapshots().unwrap();
        all.into_iter().filter(|one| self.volumes.iter().any(|volume| one["VolumeId"] == **volume)).collect()
    }

    fn ledger(&self) -> Vec<Value> {
        self.moto.scan("stanch-ledger").unwrap()
    }
}

/// The report of an invocation, which must have been answered.
pub(crate) async fn invoke(function: &Sandbox, event: &Value) -> Value {
    let done = function.invoke(event, PATIENCE).await;
    let answer = done.result.unwrap_or_else(|error| panic!("{error:?}\n{}", function.logs().join("\n")));
    answer.as_array().map_or(answer.clone(), |reports| reports[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_contained_once() {
    let world = world();
    let function = world.lambda(&world.moto.url(), Some("enforce"));
    let event = world.event();
    let first = invoke(&function, &event).await;
    assert_eq!(first["status"], "applied", "{first:#}");
    assert_eq!(world.snapshots().len(), 3);
    for snapshot in world.snapshots() {
        let tags = snapshot["Tags"].as_array().unwrap();
        assert!(
            tags.iter().any(|tag| tag["Key"] == "stanch:record" && tag["Value"] == first["record"]),
            "{snapshot:#}"
        );
    }

    // The same finding again, in the same process and in another one.
    assert_eq!(invoke(&function, &event).await["status"], "already");
    let other = world.lambda(&world.moto.url(), Some("enforce"));
    let again = invoke(&other, &event).await;
    assert_eq!((&again["status"], &again["record"]), (&json!("already"), &first["record"]));
    assert_eq!(world.snapshots().len(), 3);

    // Through SQS, item by item.
    let record = |id: &str, body: String| {
        json!({"messageId": id, "eventSource": "aws:sqs", "body": body,
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:stanch", "awsRegion": "eu-central-1",
        "receiptHandle": "r", "attributes": {}, "messageAttributes": {}, "md5OfBody": ""})
    };
    let batch = json!({"Records": [record("good", event.to_string()), record("bad", "{".to_owned())]});
    let done = function.invoke(&batch, PATIENCE).await.result.unwrap();
    assert_eq!(done["batchItemFailures"], json!([]), "a bad message is not tried again: {done:#}");

    // Evidence is not undone, and the answer says so.
    let revert = json!({"mode": "revert", "incident": first["incident"], "target": first["target"]});
    let back = invoke(&function, &revert).await;
    assert_eq!(back["status"], "refused", "{back:#}");
    assert_eq!(world.snapshots().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_is_the_default_and_writes_nothing() {
    let world = world();
    let function = world.lambda(&world.moto.url(), None);
    let report = invoke(&function, &world.event()).await;
    assert_eq!(report["status"], "planned", "{report:#}");
    assert!(report["changes"][0]["command"].as_str().unwrap().starts_with("aws ec2 create-snapshots"));
    assert_eq!((world.snapshots().len(), world.ledger().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_resumed_by_the_next() {
    let world = world();
    let proxy = Proxy::start(&world.moto.url(), Dialect::Aws).unwrap();
    proxy.fault_on(|call| call.action.as_deref() == Some("CreateSnapshots"), 1, 1, Fault::KillAfter);
    let function = world.lambda(&proxy.url(), Some("enforce"));
    let event = world.event();
    let dead = tokio::join!(function.invoke(&event, PATIENCE), async {
        proxy.killed().await;
        function.kill();
    });
    assert!(dead.0.result.is_err(), "{dead:?}");
    assert_eq!(world.snapshots().len(), 3, "the snapshots were taken; nobody heard of it");
    proxy.clear();

    // While the lease of the dead lives, the answer is to try again; then the next process finds what was done.
    let next = world.lambda(&proxy.url(), Some("enforce"));
    assert!(next.invoke(&event, PATIENCE).await.result.is_err(), "a live lease is not an answer");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = invoke(&next, &event).await;
    assert_eq!(report["status"], "applied", "{report:#}");
    assert_eq!(world.snapshots().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_would_be_done_and_what_is_wrong() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let mut environment: Vec<(&str, String)> = world.moto.env();
    environment.push(("STANCH_LEDGER", format!("sqlite:{}", folder.path().join("ledger.db").display())));
    let target = ["--account", &world.account, "--region", "eu-central-1", "--id", &world.instance];
    let run = |first: &[&str]| terminal("aws-snapshot-volumes", &[first, &target, &["--json"]].concat(), &environment);

    let (code, report, _) = run(&["plan"]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("planned")), "{report:#}");
    assert!(world.snapshots().is_empty());
    let (code, report, _) = run(&["apply", "--set", "exclude_bott=true"]);
    assert_eq!(code, Some(2), "{report:#}");
    assert!(report["reason"].as_str().unwrap().contains("exclude_bott"), "{report:#}");
    let (code, ..) = run(["brake", "on"].as_slice()[..0].as_ref());
    assert_eq!(code, Some(2), "no command");
    let (code, _, done) = terminal("aws-snapshot-volumes", &["brake", "on", "--json"], &environment);
    assert_eq!(code, Some(0), "{done:?}");
    let (_, report, _) = run(&["apply"]);
    assert_eq!(report["status"], "planned", "{report:#}");
    assert!(world.snapshots().is_empty());
    terminal("aws-snapshot-volumes", &["brake", "off"], &environment);
    let (code, report, _) = run(&["apply", "--incident", "inc-7", "--set", "exclude_boot=true"]);
    assert_eq!((code, &report["status"]), (Some(0), &json!("applied")), "{report:#}");
    assert_eq!(world.snapshots().len(), 2);
    let (code, report, _) = run(&["check"]);
    // moto does not know DescribeLockedSnapshots, and `check` says so; what it knows is allowed.
    let lines = report.as_array().unwrap();
    let ok = |what: &str| lines.iter().any(|line| line["what"].as_str().unwrap().contains(what) && line["ok"] == true);
    assert!(ok("ec2:CreateSnapshots") && ok("ec2:DescribeInstances") && ok("ledger"), "{report:#}");
    assert_eq!(code, Some(1), "one line is red");
    let (code, _, done) = terminal("aws-snapshot-volumes", &["explain"], &environment);
    assert!(code == Some(0) && String::from_utf8_lossy(&done.stdout).contains("ec2:CreateSnapshots"));
}
