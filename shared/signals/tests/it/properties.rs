//! What is true of every body: decoding it does not panic, what it answers holds what every answer must, and what it
//! is wrapped in changes nothing.

use std::{fs, io::Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use stanch_core::Alert;
use stanch_signals::{decode, decode_each};

use crate::common::{check, context, files, fixtures, folders};

const EKS: &str = "eks:210987654321/eu-central-1/shop";

/// The fixtures, small ones first in mind: a large one is a small one many times.
fn events() -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for folder in folders().expect("the fixtures are there") {
        let files = files(&fixtures().join(folder)).expect("and can be read");
        events.extend(files.into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() < 16_384));
    }
    events
}

/// JSON of any shape, with the words of the formats among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 24] = [
        "detail",
        "source",
        "detail-type",
        "findings",
        "Findings",
        "resource",
        "service",
        "type",
        "id",
        "accountId",
        "region",
        "Records",
        "body",
        "eventSource",
        "kind",
        "apiVersion",
        "items",
        "objectRef",
        "user",
        "username",
        "specversion",
        "data",
        "output_fields",
        "rule",
    ];
    const TEXTS: [&str; 12] = [
        "",
        "aws.guardduty",
        "aws.securityhub",
        "aws:sqs",
        "GuardDuty Finding",
        "210987654321",
        "eu-central-1",
        "EventList",
        "audit.k8s.io/v1",
        "system:serviceaccount:a:b",
        "1.0",
        "\u{1b}[2J\u{202e}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(&TEXTS[..]).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let key = prop_oneof![select(&KEYS[..]).prop_map(str::to_owned), ".{0,6}"];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key, inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn decoded(value: &Value) -> Option<Vec<Alert>> {
    decode(value.to_string().as_bytes(), &context(EKS)).ok()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).expect("to memory");
    writer.finish().expect("to memory")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_do_not_panic(bytes in vec(any::<u8>(), 0..300)) {
        check("bytes", &bytes, &decode(&bytes, &context(EKS)));
    }

    #[test]
    fn json_does_not_panic(value in any_json()) {
        let bytes = value.to_string().into_bytes();
        check("json", &bytes, &decode(&bytes, &context(EKS)));
        check("json", &bytes, &decode(&bytes, &context("")));
    }

    #[test]
    fn a_changed_event_does_not_panic(
        event in select(events()),
        at in any::<prop::sample::Index>(),
        length in 0..40_usize,
        instead in vec(any::<u8>(), 0..40),
    ) {
        let start = at.index(event.len());
        let end = (start + length).min(event.len());
        let mut changed = event;
        changed.splice(start..end, instead);
        check("changed", &changed, &decode(&changed, &context(EKS)));
    }

    /// A member more, and a value of another kind, at any place of an event.
    #[test]
    fn an_event_of_another_shape_does_not_panic(
        event in select(events()),
        at in any::<prop::sample::Index>(),
        instead in any_json(),
    ) {
        let mut document: Value = serde_json::from_slice(&event).expect("a fixture is JSON");
        let mut places = Vec::new();
        pointers(&document, String::new(), &mut places);
        let pointer = at.get(&places);
        if let Some(place) = document.pointer_mut(pointer) {
            *place = instead;
        }
        let bytes = document.to_string().into_bytes();
        check("shape", &bytes, &decode(&bytes, &context(EKS)));
    }

    #[test]
    fn a_wrapping_changes_nothing(event in select(events()), more in any_json()) {
        let mut value: Value = serde_json::from_slice(&event).expect("a fixture is JSON");
        // What is ignored does not matter, and what is wrapped already may not take another of the same.
        if let Some(object) = value.as_object_mut() {
            object.insert("x-stanch-nobody-knows".to_owned(), more);
        }
        let text = value.to_string();
        let wraps = ["Records", "message", "specversion", "awslogs", "body", "TopicArn"];
        prop_assume!(value.is_object() && !wraps.iter().any(|key| value.get(key).is_some()));
        let bare = decoded(&value);
        let data = BASE64_STANDARD.encode(&text);
        let notification = json!({"Type": "Notification", "MessageId": "1", "TopicArn": "t", "Message": text});
        let queued = |body: &str| json!({"messageId": "1", "eventSource": "aws:sqs", "body": body});
        let push = json!({"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"});
        let event = |key: &str, data: &Value| {
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", key: data})
        };
        for wrapped in [
            json!([value]),
            json!({"Records": [queued(&text)]}),
            json!({"Records": [queued(&notification.to_string())]}),
            json!([queued(&notification.to_string())]),
            json!({"Records": [{"EventSource": "aws:sns", "Sns": notification}]}),
            event("data", &value),
            event("data_base64", &json!(data)),
            event("data", &push),
            push,
            notification,
        ] {
            let again = decoded(&wrapped);
            prop_assert_eq!(again.unwrap_or_default(), bare.clone().unwrap_or_default());
        }
    }

    #[test]
    fn gzip_and_a_subscription_change_nothing(choice in vec(any::<prop::sample::Index>(), 1..6)) {
        let events = ["exec-get", "exec-create", "exec-impersonated", "privileged-daemonset", "token", "ordinary"];
        let read = |name: &str| fs::read_to_string(fixtures().join(format!("audit/{name}.json"))).expect("a fixture");
        let chosen: Vec<String> = choice.iter().map(|index| read(index.get::<&str>(events.as_slice()))).collect();
        let items: Vec<Value> = chosen.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items});
        let messages: Vec<Value> = chosen.iter().map(|text| json!({"id": "1", "timestamp": 1, "message": text})).collect();
        let logs = json!({
            "messageType": "DATA_MESSAGE", "owner": "210987654321", "logGroup": "/aws/eks/shop/cluster",
            "logStream": "kube-apiserver-audit-0a", "subscriptionFilters": ["s"], "logEvents": messages,
        }).to_string();
        let packed = packed(logs.as_bytes());
        let subscription = json!({"awslogs": {"data": BASE64_STANDARD.encode(&packed)}});
        let bare = decoded(&list).expect("audit events");
        for bytes in [logs.into_bytes(), packed, subscription.to_string().into_bytes()] {
            let items = decode_each(&bytes, &context(EKS)).expect("a batch");
            let alerts: Vec<Alert> = items.into_iter().map(|item| item.expect("an audit event")).collect();
            prop_assert_eq!(&alerts, &bare);
        }
    }
}

/// The place of every value.
fn pointers(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                pointers(inner, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                pointers(inner, format!("{at}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(at);
}
