//! Lambda, by the host side of its Runtime API.

use std::time::Duration;

use serde_json::{Value, json};
use stanch_range::lambda::{Lambda, Sandbox};

use crate::support::{Outcome, Place, binary, falco, order};

const PATIENCE: Duration = Duration::from_secs(8);

fn start(place: &Place, variables: &[(&str, &str)]) -> std::io::Result<Sandbox> {
    let lambda = Lambda::new(binary());
    let lambda = place.variables().into_iter().fold(lambda, |lambda, (name, value)| lambda.env(name, value));
    variables.iter().fold(lambda, |lambda, (name, value)| lambda.env(name, value)).start()
}

#[tokio::test]
async fn events_and_orders_are_answered_by_reports() -> Outcome {
    let place = Place::new()?;
    let sandbox = start(&place, &[("STANCH_MODE", "enforce")])?;
    println!("ready after {:?}", sandbox.ready(PATIENCE).await);
    for (payload, status) in [
        (falco("web-1"), "applied"),
        (falco("web-1"), "already"),
        (order("apply", "case-1", "web-2"), "applied"),
        (order("revert", "case-1", "web-2"), "reverted"),
        (falco("denied-1"), "failed"),
        (order("nuke", "case-1", "web-2"), "failed"),
        (json!({"hello": "world"}), "failed"),
        (json!({"Records": [{"eventSource": "aws:s3"}]}), "failed"),
    ] {
        let report = sandbox.invoke(&payload, PATIENCE).await.result.map_err(|error| format!("{error:?}"))?;
        assert_eq!(report["status"], status, "{payload}: {report}");
    }
    let twice = sandbox.invoke_bytes(br#"{"mode":"plan","mode":"apply"}"#.to_vec(), PATIENCE).await;
    assert_eq!(twice.result.map(|it| it["error"].clone()), Ok(json!("invalid")));
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["web-1"]);
    let logged = sandbox.logs().iter().any(|line| {
        serde_json::from_str::<Value>(line).is_ok_and(|it| it["level"] == "ERROR" && it["request"].is_string())
    });
    assert!(logged, "{:#?}", sandbox.logs());
    Ok(())
}

#[tokio::test]
async fn observe_is_the_default() -> Outcome {
    let place = Place::new()?;
    let sandbox = start(&place, &[])?;
    let report = sandbox.invoke(&falco("web-1"), PATIENCE).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(report["status"], "planned");
    assert!(place.labels().is_empty());
    Ok(())
}

#[tokio::test]
async fn only_what_may_succeed_is_tried_again() -> Outcome {
    let place = Place::new()?;
    let sandbox = start(&place, &[("STANCH_MODE", "enforce")])?;
    let error = sandbox.invoke(&falco("throttled-1"), Duration::from_secs(5)).await.result.expect_err("an error");
    assert_eq!(error.error_type, "Stanch.Throttled", "{error:?}");

    let record = |id: &str, body: &Value| {
        json!({"messageId": id, "eventSource": "aws:sqs", "body": body.to_string(), "receiptHandle": "x",
            "attributes": {}, "messageAttributes": {}, "md5OfBody": "", "awsRegion": "eu-central-1"})
    };
    let batch = json!({"Records": [
        record("good", &falco("web-1")),
        record("garbage", &json!("nothing")),
        record("denied", &falco("denied-1")),
        record("order", &order("apply", "case-1", "web-2")),
        record("throttled", &falco("throttled-1")),
    ]});
    let answer = sandbox.invoke(&batch, Duration::from_secs(8)).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "throttled"}]}));
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["web-1"], "an order in a queue is no order");
    Ok(())
}

#[tokio::test]
async fn a_batch_is_answered_message_by_message_however_deep_the_events_are() -> Outcome {
    let place = Place::new()?;
    let sandbox = start(&place, &[("STANCH_MODE", "enforce")])?;
    let notification = |message: &Value| {
        json!({"Type": "Notification", "MessageId": "x", "TopicArn": "arn:aws:sns:eu-central-1:210987654321:t",
               "Message": message.to_string()})
    };
    let record = |id: &str, body: &Value| json!({"messageId": id, "eventSource": "aws:sqs", "body": body.to_string()});
    let list = json!([falco("web-2"), falco("throttled-1"), {"hello": "world"}, falco("web-3")]);
    let batch = json!({"Records": [
        record("topic", &notification(&falco("web-1"))),
        record("many", &list),
        record("garbage", &notification(&json!({"hello": "world"}))),
        record("order", &notification(&order("apply", "case-1", "web-9"))),
    ]});
    let answer = sandbox.invoke(&batch, Duration::from_secs(20)).await.result.map_err(|error| format!("{error:?}"))?;
    // Of the message with several events one shall be tried again: the message comes again, the others are done.
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "many"}]}));
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["web-1", "web-2", "web-3"]);

    let pipe = json!([record("a", &falco("web-4")), record("b", &falco("throttled-1"))]);
    let answer = sandbox.invoke(&pipe, Duration::from_secs(8)).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "b"}]}));

    let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": notification(&falco("web-5"))}]});
    let report = sandbox.invoke(&sns, PATIENCE).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(report["status"], "applied", "{report}");
    let both = json!({"Records": [record("a", &falco("web-6")), {"EventSource": "aws:sns"}]});
    let report = sandbox.invoke(&both, PATIENCE).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(report["status"], "failed", "{report}");
    Ok(())
}

#[tokio::test]
async fn a_scheduled_check_is_red_or_green_for_each_scope() -> Outcome {
    let place = Place::new()?;
    let both = r#"{"clusters": ["context:prod", "context:closed"]}"#;
    for (guard, status, all, scopes) in [
        ("{}", "green", 1, vec![("ledger", 1), ("context:", 1)]),
        (both, "red", 0, vec![("ledger", 1), ("context:prod", 1), ("context:closed", 0)]),
        (r#"{"clusters": []}"#, "red", 0, vec![("ledger", 1), ("scope", 0)]),
    ] {
        let sandbox = start(&place, &[("STANCH_GUARD", guard)])?;
        let answer = sandbox.invoke(&json!({"mode": "check"}), PATIENCE).await.result.map_err(|e| format!("{e:?}"))?;
        assert_eq!(answer["status"], status, "{guard}: {answer}");
        let mut lines: Vec<Value> = Vec::new();
        // What it logged may come after its answer; this line is its last.
        for _ in 0..200 {
            lines = sandbox.logs().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if lines.iter().any(|line| line.get("all_green").is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = |name: &str| lines.iter().filter(|line| line.get(name).is_some()).cloned().collect::<Vec<_>>();
        let of_scope = |line: &Value| (line["scope"].as_str().unwrap_or_default().to_owned(), line["green"].clone());
        let wanted: Vec<_> = scopes.iter().map(|(scope, green)| ((*scope).to_owned(), json!(green))).collect();
        assert_eq!(said("green").iter().map(of_scope).collect::<Vec<_>>(), wanted);
        assert!(said("green").iter().all(|line| (line["level"] == "ERROR") == (line["green"] == 0)), "{lines:#?}");
        assert_eq!(said("all_green").iter().map(|line| &line["all_green"]).collect::<Vec<_>>(), [&json!(all)]);
    }
    assert!(place.labels().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_panic_is_reported_and_the_next_event_served() -> Outcome {
    let place = Place::new()?;
    let sandbox = start(&place, &[("STANCH_MODE", "enforce")])?;
    let error = sandbox.invoke(&falco("panics-1"), PATIENCE).await.result.expect_err("an error");
    assert_eq!(error.error_type, "Stanch.Panic");
    assert!(!error.message.contains("of the cloud"), "the log has the details: {error:?}");
    let report = sandbox.invoke(&falco("web-1"), PATIENCE).await.result.map_err(|error| format!("{error:?}"))?;
    assert_eq!(report["status"], "applied");
    Ok(())
}

#[tokio::test]
async fn a_start_that_fails_is_told_to_lambda() -> Outcome {
    let place = Place::new()?;
    for (name, value) in [("STANCH_MODE", "on"), ("STANCH_LEDGER", ""), ("STANCH_GUARD", "x: 1"), ("LABELS_", "")] {
        let sandbox = start(&place, &[(name, value)])?;
        let ready = sandbox.ready(PATIENCE).await;
        if name == "LABELS_" {
            assert!(ready.is_some());
            continue;
        }
        assert_eq!(ready, None, "{name}");
        let error = sandbox.init_error().ok_or("nothing was posted")?;
        assert_eq!(error.error_type, "Stanch.Invalid");
        assert!(error.message.contains(name), "{error:?}");
    }
    Ok(())
}
