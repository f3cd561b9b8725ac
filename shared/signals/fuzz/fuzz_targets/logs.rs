//! Any text as the message of an audit log that CloudWatch Logs delivers, and any bytes as its gzip stream.

#![no_main]

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use stanch_signals::{Context, decode_each};

fuzz_target!(|bytes: &[u8]| {
    let context = Context::new(
        "eks:210987654321/eu-central-1/shop".parse().ok(),
        "2026-11-20T12:00:00Z".parse().expect("a time"),
    );
    let raw = json!({"awslogs": {"data": BASE64_STANDARD.encode([b"\x1f\x8b\x08", bytes].concat())}});
    drop(decode_each(raw.to_string().as_bytes(), &context));

    let message = String::from_utf8_lossy(bytes);
    let payload = json!({
        "messageType": "DATA_MESSAGE", "owner": "210987654321", "logGroup": "/aws/eks/shop/cluster",
        "logStream": "kube-apiserver-audit-0", "logEvents": [{"id": "1", "message": message}, {"message": "{}"}],
    });
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(payload.to_string().as_bytes()).expect("to memory");
    let packed = writer.finish().expect("to memory");
    let unpacked = decode_each(payload.to_string().as_bytes(), &context).map(|items| items.into_iter().flatten().collect::<Vec<_>>());
    let expanded = decode_each(&packed, &context).map(|items| items.into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(unpacked.ok(), expanded.ok(), "gzip changes nothing");
});
