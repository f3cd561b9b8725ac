use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use stanch_range::kube::Kube;
use stanch_range::proxy::{CallInfo, Dialect, Fault, Proxy, ec2_error};
use stanch_range::scenario::{self, NODE};

use crate::web::{call, call_as, client};

fn cordon() -> serde_json::Value {
    json!({"spec": {"unschedulable": true}})
}

fn seeded(dialect: Dialect) -> (Kube, Proxy, String) {
    let kube = Kube::start().unwrap();
    scenario::k8s(&kube);
    let proxy = Proxy::start(&kube.url(), dialect).unwrap();
    let node = format!("{}/api/v1/nodes/{NODE}", proxy.url());
    (kube, proxy, node)
}

fn cordoned(kube: &Kube) -> bool {
    kube.node(NODE).unwrap().pointer("/spec/unschedulable") == Some(&true.into())
}

async fn try_patch(url: &str) -> Result<u16, reqwest::Error> {
    let request = client().patch(url).header("content-type", "application/merge-patch+json").body(cordon().to_string());
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test]
async fn calls_pass_and_are_counted() {
    let (kube, proxy, node) = seeded(Dialect::Kubernetes);
    assert_eq!(call("GET", &format!("{node}?a=b"), Some("t"), None).await.0, 200);
    assert_eq!(call_as("PATCH", &node, None, "application/merge-patch+json", Some(&cordon())).await.0, 200);
    assert!(cordoned(&kube));
    let calls = proxy.calls();
    assert_eq!(
        calls.iter().map(|call| (call.n, call.status, call.reads())).collect::<Vec<_>>(),
        [(1, Some(200), true), (2, Some(200), false)]
    );
    assert_eq!(calls[0].query, "a=b");
    assert_eq!(kube.log()[0].token.as_deref(), Some("t"));
    assert!(proxy.url().ends_with(calls[0].headers["host"].to_str().unwrap()));
}

#[tokio::test]
async fn each_dialect_says_no_in_its_own_way() {
    for (dialect, status, part) in [
        (Dialect::Ec2, 503, "<Code>RequestLimitExceeded</Code>"),
        (Dialect::DynamoDb, 400, "com.amazonaws.dynamodb.v20120810#ThrottlingException"),
        (Dialect::Gce, 429, "rateLimitExceeded"),
        (Dialect::Kubernetes, 429, "TooManyRequests"),
    ] {
        let (kube, proxy, node) = seeded(dialect);
        proxy.fault_at(1, Fault::Throttle);
        proxy.fault_at(2, Fault::Status(500));
        let answer = client().get(&node).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{dialect:?}");
        assert_eq!(answer.headers().contains_key("retry-after"), dialect == Dialect::Kubernetes);
        assert!(answer.text().await.unwrap().contains(part), "{dialect:?}");
        assert_eq!(client().get(&node).send().await.unwrap().status().as_u16(), 500);
        assert_eq!(client().get(&node).send().await.unwrap().status().as_u16(), 200);
        assert_eq!(kube.log().len(), 1);
    }
}

#[tokio::test]
async fn a_reset_and_a_lost_answer_differ_in_what_was_done() {
    let (kube, proxy, node) = seeded(Dialect::Kubernetes);
    proxy.fault_at(1, Fault::Reset);
    assert!(try_patch(&node).await.is_err());
    assert!(!cordoned(&kube));
    proxy.fault_on(|call| call.method == "PATCH", 1, 1, Fault::AnswerLost);
    assert!(try_patch(&node).await.is_err());
    assert!(cordoned(&kube));
    assert_eq!(try_patch(&node).await.unwrap(), 200);
}

#[tokio::test]
async fn a_hang_hangs() {
    let (kube, proxy, node) = seeded(Dialect::Kubernetes);
    proxy.fault_at(1, Fault::Hang);
    assert!(tokio::time::timeout(Duration::from_millis(50), try_patch(&node)).await.is_err());
    assert!(!cordoned(&kube));
}

#[tokio::test]
async fn a_kill_silences_everything_until_revived() {
    for (fault, done) in [(Fault::KillBefore, false), (Fault::KillAfter, true)] {
        let (kube, proxy, node) = seeded(Dialect::Kubernetes);
        let kills = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&kills);
        proxy.on_kill(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        proxy.fault_at(2, fault);
        let task = tokio::spawn({
            let node = node.clone();
            async move {
                try_patch(&format!("{node}?dryRun=All")).await.unwrap();
                let _ = try_patch(&node).await;
                unreachable!("the second call is never answered");
            }
        });
        proxy.killed().await;
        // The callback comes after the silence.
        for _ in 0..200 {
            if kills.load(Ordering::SeqCst) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kills.load(Ordering::SeqCst), 1);
        assert_eq!(cordoned(&kube), done, "{fault:?}");
        // A straggler gets nowhere.
        let before = kube.log().len();
        assert!(tokio::time::timeout(Duration::from_millis(30), try_patch(&node)).await.is_err());
        assert_eq!(kube.log().len(), before);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        proxy.revive();
        assert_eq!(try_patch(&node).await.unwrap(), 200);
        assert!(cordoned(&kube));
    }
}

#[tokio::test]
async fn a_rewrite_answers_in_place_of_upstream() {
    let (kube, proxy, node) = seeded(Dialect::Aws);
    proxy.rewrite(|call: &CallInfo| {
        (call.action.as_deref() == Some("CreateSnapshots")
            && call.form("InstanceSpecification.InstanceId").as_deref() == Some("i-1"))
        .then(|| ec2_error(400, "SnapshotCreationPerVolumeRateExceeded", "too <soon>"))
    });
    let body = "Action=CreateSnapshots&Version=2016-11-15&InstanceSpecification.InstanceId=i-1";
    let form = client()
        .post(proxy.url())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(form.status().as_u16(), 400);
    assert!(form.text().await.unwrap().contains("<Message>too &lt;soon&gt;</Message>"));
    assert!(kube.log().is_empty());
    assert_eq!(client().get(&node).send().await.unwrap().status().as_u16(), 200);
    assert_eq!(proxy.actions(), ["CreateSnapshots".to_owned(), format!("GET /api/v1/nodes/{NODE}")]);
    proxy.fault_at(1, Fault::Throttle);
    let json =
        client().post(proxy.url()).header("x-amz-target", "DynamoDB_20120810.PutItem").body("{}").send().await.unwrap();
    assert_eq!(json.status().as_u16(), 400);
    assert_eq!(proxy.calls().last().unwrap().action.as_deref(), Some("PutItem"));
}
