//! Decoding beside plain parsing of the same bytes, in the same run: MB/s and alerts/s on one core.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program that measures and prints")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::Value;
use stanch_signals::{Context, decode};

fn main() {
    let mut context = Context::new("context:prod".parse().ok(), "2026-11-20T12:00:00Z".parse().expect("a time"));
    context.limits.body = 64 * 1024 * 1024;
    let finding = include_bytes!("../../../tests/fixtures/guardduty/eks-runtime.json");
    let falco = include_bytes!("../../../tests/fixtures/falco/shell-falcosidekick.json");
    println!("{:24} {:>9} {:>12} {:>12} {:>12} {:>6}", "", "bytes", "alerts/s", "decode MB/s", "parse MB/s", "ratio");
    for (name, bytes) in [("GuardDuty finding", &finding[..]), ("Falco alert", &falco[..])] {
        let alerts = decode(bytes, &context).expect(name).len();
        // Alternating, so that what else the machine does meets both.
        let (mut decoding, mut parsing) = (f64::MAX, f64::MAX);
        for _ in 0..7 {
            decoding = decoding.min(seconds(|| drop(black_box(decode(black_box(bytes), &context)))));
            parsing = parsing.min(seconds(|| drop(black_box(serde_json::from_slice::<Value>(black_box(bytes))))));
        }
        let rate = |seconds: f64| bytes.len() as f64 / seconds / 1e6;
        println!(
            "{name:24} {:>9} {:>12.0} {:>12.1} {:>12.1} {:>6.2}",
            bytes.len(),
            alerts as f64 / decoding,
            rate(decoding),
            rate(parsing),
            parsing / decoding
        );
    }
}

/// The time of one call, from as many as fit into a tenth of a second.
fn seconds(call: impl Fn()) -> f64 {
    let started = Instant::now();
    let mut calls = 0;
    while started.elapsed() < Duration::from_millis(100) {
        call();
        calls += 1;
    }
    started.elapsed().as_secs_f64() / f64::from(calls)
}
