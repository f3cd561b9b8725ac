//! Any body, bare and in every wrapping: the alerts are the same.

#![no_main]

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use stanch_signals::{Context, decode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let context = Context::new(
        "eks:210987654321/eu-central-1/shop".parse().ok(),
        "2026-11-20T12:00:00Z".parse().expect("a time"),
    );
    // What is wrapped already may not take another of the same.
    let Ok(bare) = decode(bytes, &context) else { return };
    if ["Records", "message", "Message", "specversion", "awslogs", "body", "headers"].iter().any(|it| text.contains(it))
        || text.contains('\\')
        || text.trim_start().starts_with('[')
    {
        return;
    }
    let data = BASE64_STANDARD.encode(bytes);
    let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": text});
    for wrapped in [
        json!({"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}),
        json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": data}),
        json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": text}]}),
        json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": notification.to_string()}]}),
        json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]}),
        notification,
    ] {
        assert_eq!(decode(wrapped.to_string().as_bytes(), &context).ok().as_ref(), Some(&bare), "{wrapped}");
    }
});
