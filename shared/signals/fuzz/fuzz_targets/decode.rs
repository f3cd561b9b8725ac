//! Any bytes as a body: no panic, and of every outcome what must be true of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stanch_core::Kind;
use stanch_signals::{Context, decode_each};

fuzz_target!(|bytes: &[u8]| {
    for cluster in ["", "eks:210987654321/eu-central-1/shop", "gke:shop-prod-4711/europe-west1/shop"] {
        let context = Context::new(cluster.parse().ok(), "2026-11-20T12:00:00Z".parse().expect("a time"));
        match decode_each(bytes, &context) {
            Err(error) => assert_eq!(error.kind(), Kind::Invalid),
            Ok(items) => {
                for item in items {
                    match item {
                        Err(error) => assert_eq!(error.kind(), Kind::Invalid),
                        Ok(alert) => {
                            assert!(!alert.subjects.is_empty() || alert.note.is_some(), "no subject and no reason");
                            assert!(!alert.rule.chars().any(char::is_control), "{:?}", alert.rule);
                        }
                    }
                }
            }
        }
    }
});
