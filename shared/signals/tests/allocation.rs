//! What a document holds besides what is asked for costs no memory: the bytes that decoding allocates do not grow with
//! the fields that it ignores, nor with a body that is refused. One test alone in this program, since it counts what
//! the whole program allocates.

#![expect(clippy::expect_used, reason = "the helpers of tests stop at what must not be")]

use std::{alloc::System, fs, path::Path};

use serde_json::{Value, json};
use stanch_signals::{Context, MAX_BYTES, decode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As much as a refusal may ask for, of a body of 1 MiB: half a KiB for the error of each item of a list, of which
/// `limit.findings` are read.
const REFUSED: usize = 512 * 1000;

/// The bytes that decoding asks for, the second time: the first may set something up for good.
fn asked(text: &str, context: &Context) -> usize {
    let mut asked = 0;
    for _ in 0..2 {
        let region = Region::new(ALLOCATOR);
        let alerts = decode(text.as_bytes(), context).expect("an event");
        asked = region.change().bytes_allocated;
        assert!(!alerts.is_empty());
    }
    asked
}

#[test]
fn what_is_not_asked_for_costs_no_memory() {
    ignored_fields();
    refused_bodies();
}

/// Too deep, too long or too many: refused without being built.
fn refused_bodies() {
    let context = Context::new(None, "2026-11-20T12:00:00Z".parse().expect("a time"));
    for (what, body) in [
        ("deep lists", "[".repeat(100_000)),
        ("deep objects", r#"{"detail":"#.repeat(100_000)),
        ("lists that close", format!("{}{}", "[".repeat(500_000), "]".repeat(500_000))),
        ("a text", format!("\"{}\"", "x".repeat(MAX_BYTES - 2))),
        ("a number", "9".repeat(MAX_BYTES)),
        ("numbers", format!("[{}1]", "1,".repeat(MAX_BYTES / 2 - 8))),
        ("objects", format!("[{}1]", r#"{"a":1},"#.repeat(MAX_BYTES / 8 - 8))),
    ] {
        let region = Region::new(ALLOCATOR);
        assert!(decode(body.as_bytes(), &context).is_err(), "{what}");
        let asked = region.change().bytes_allocated;
        assert!(asked <= REFUSED, "{what}: {asked} bytes asked for to refuse {}", body.len());
    }
}

fn ignored_fields() {
    /// What a detector might add tomorrow: a long text, one with escapes, many small values, deep ones.
    fn ignored(times: usize) -> [(&'static str, Value); 4] {
        let deep = (0..40).fold(json!(1), |inner, _| json!({ "in": inner, "beside": "x".repeat(times) }));
        [
            ("text", json!("a".repeat(500 * times))),
            ("escapes", json!("\"\n\u{1}".repeat(100 * times))),
            ("many", json!(vec![json!({"a": 1, "b": [true, null]}); 20 * times])),
            ("deep", deep),
        ]
    }
    let context = Context::new(
        "eks:210987654321/eu-central-1/shop".parse().ok(),
        "2026-11-20T12:00:00Z".parse().expect("a time"),
    );
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for (file, place) in [
        ("falco/shell.json", ""),
        ("falco/shell.json", "/output_fields"),
        ("scc/ctd-added-binary.json", "/finding"),
        ("logentry/gke-exec-get.json", "/protoPayload"),
        ("monitoring/vm-open.json", "/incident"),
        ("tracee/event.json", ""),
        ("reports/trivy.json", "/report"),
        ("guardduty/eks-runtime.json", "/detail/service"),
    ] {
        let text = fs::read_to_string(fixtures.join(file)).expect(file);
        let with = |times: usize| {
            let mut document: Value = serde_json::from_str(&text).expect(file);
            let section = document.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
            for (key, value) in ignored(times) {
                section.insert(format!("{key}-of-tomorrow"), value);
            }
            document.to_string()
        };
        let (small, large) = (with(1), with(60));
        let (few, many) = (asked(&small, &context), asked(&large, &context));
        assert!(large.len() > small.len() + 100_000, "{file}: the large one is not large");
        // Where the many members stand is remembered in a table of fixed size; nothing else may differ.
        assert!(
            many <= few + 4096,
            "{file}{place}: {few} bytes asked for, {many} with {} bytes more",
            large.len() - small.len()
        );
    }
}
