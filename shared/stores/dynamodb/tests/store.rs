//! The DynamoDB store keeps the promises of a store, and names what failed.
//!
//! On the range's moto, which takes one request at a time. Transaction conflicts never happen there: the proxy answers
//! with DynamoDB's documented error.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does; clippy exempts only the test functions"
)]

#[path = "../../sqlite/tests/conformance/mod.rs"]
mod conformance;

use stanch_core::{Key, Kind, Saved, Store, Write};
use stanch_dynamodb::Dynamo;
use stanch_range::{
    moto::Moto,
    proxy::{Dialect, Fault, Proxy, dynamodb_error},
};

const TABLE: &str = "stanch";

fn store(endpoint: &str) -> Dynamo {
    Dynamo::with(TABLE, endpoint, "eu-central-1".parse().expect("a region"), "range", "range")
}

fn writes(names: &[&str]) -> Vec<Write> {
    let write = |name: &&str| Write { key: Key::raw(name), expected: None, body: Some("{}".to_owned()) };
    names.iter().map(write).collect()
}

#[tokio::test]
async fn keeps_every_promise() {
    let moto = Moto::start().expect("starts");
    moto.seed_table(TABLE).expect("makes the table");
    conformance::suite(|| store(&moto.url())).await;
}

#[tokio::test]
async fn one_call_each_and_none_is_repeated() {
    let moto = Moto::start().expect("starts");
    moto.seed_table(TABLE).expect("makes the table");
    let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("starts");
    let store = store(&proxy.url());
    assert_eq!(store.save(&writes(&["a"])).await.expect("saves"), Saved::Done);
    assert_eq!(store.save(&writes(&["b", "c"])).await.expect("saves"), Saved::Done);
    assert_eq!(store.load(&[Key::raw("a")]).await.expect("loads").len(), 1);
    assert_eq!(store.load(&[Key::raw("a"), Key::raw("b")]).await.expect("loads").len(), 2);
    let actions = proxy.actions();
    assert!(
        actions
            .iter()
            .zip(["PutItem", "TransactWriteItems", "BatchGetItem", "BatchGetItem"])
            .all(|(a, b)| a.ends_with(b)),
        "{actions:?}"
    );
    assert_eq!(actions.len(), 4);
    for call in proxy.calls().iter().skip(2) {
        assert!(String::from_utf8_lossy(&call.body).contains("\"ConsistentRead\":true"), "{call:?}");
    }

    // Carried out, and never answered: unknown, and not sent again by anyone but the driver.
    proxy.clear();
    proxy.fault_at(1, Fault::AnswerLost);
    let error = store.save(&writes(&["d"])).await.expect_err("no answer");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(proxy.count(), 1);
    assert_eq!(store.save(&writes(&["d"])).await.expect("saves"), Saved::Moved, "it had been carried out");

    for (fault, kind) in [(Fault::Throttle, Kind::Throttled), (Fault::Status(503), Kind::Unavailable)] {
        proxy.clear();
        proxy.fault_at(1, fault);
        let error = store.load(&[Key::raw("a")]).await.expect_err("a fault");
        assert_eq!((error.kind(), proxy.count()), (kind, 1), "{error}");
    }
}

#[tokio::test]
async fn a_conflict_is_not_a_lost_race() {
    let moto = Moto::start().expect("starts");
    moto.seed_table(TABLE).expect("makes the table");
    let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("starts");
    let store = store(&proxy.url());
    for (reasons, expected) in [
        ("TransactionConflict, None", Err(Kind::Throttled)),
        ("ThrottlingError, None", Err(Kind::Throttled)),
        ("TransactionConflict, ConditionalCheckFailed", Ok(Saved::Moved)),
        ("ValidationError, None", Err(Kind::Internal)),
    ] {
        proxy.rewrite(move |call| {
            if !call.action.as_deref().is_some_and(|action| action.ends_with("TransactWriteItems")) {
                return None;
            }
            let list: Vec<String> = reasons.split(", ").map(|code| format!(r#"{{"Code":"{code}"}}"#)).collect();
            let body = format!(
                r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"canceled","CancellationReasons":[{}]}}"#,
                list.join(",")
            );
            let mut answer = dynamodb_error(400, "TransactionCanceledException", "canceled");
            *answer.body_mut() = body.into();
            answer.headers_mut().remove("content-length");
            answer.headers_mut().remove("x-amz-crc32");
            Some(answer)
        });
        let saved = store.save(&writes(&["x", "y"])).await.map_err(|error| error.kind());
        assert_eq!(saved, expected, "{reasons}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let moto = Moto::start().expect("starts");
    let error = store(&moto.url()).load(&[Key::raw("a")]).await.expect_err("no table");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert_eq!(error.resource(), TABLE);

    // A port that nobody listens on.
    let error = store("http://127.0.0.1:9").load(&[Key::raw("a")]).await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}
