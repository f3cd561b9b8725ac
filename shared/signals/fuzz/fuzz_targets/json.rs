//! The strict reader beside `serde_json`: what we read, it reads; what it refuses, we refuse; and taking the data out
//! of an envelope changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stanch_signals::{Context, decode, envelope, pubsub};

fuzz_target!(|bytes: &[u8]| {
    let event = [br#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":"#, bytes, b"}"].concat();
    if let Ok(Some(data)) = envelope::unwrap_cloudevent(&event) {
        let ours: Value = serde_json::from_slice(&data).expect("what we read, serde_json reads");
        let whole: Value = serde_json::from_slice(&event).expect("and the whole of it");
        assert_eq!(whole.get("data"), Some(&ours));
        // An event in an event is refused, and so may be an envelope with members of another event beside its own: what
        // closes the data early puts them there.
        let members = whole.as_object().map_or(0, serde_json::Map::len);
        if members > 5 || whole.pointer("/data/specversion").is_some() {
            return;
        }
        let context = Context::new(None, "2026-11-20T12:00:00Z".parse().expect("a time"));
        assert_eq!(decode(&event, &context).ok(), decode(&data, &context).ok());
    }
    if serde_json::from_slice::<Value>(bytes).is_err() {
        assert!(pubsub::open(bytes).is_err(), "serde_json refuses it");
    }
});
