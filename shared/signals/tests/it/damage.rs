//! Damaged events: cut at every byte, and changed at every byte. Nothing panics, and what is refused is refused as
//! any other event. Also the bounds: what is too deep or too large is refused; `tests/allocation.rs` sees that it is not
//! built for that.

use std::io;

use stanch_signals::{MAX_BYTES, decode};

use crate::common::{check, context, files, fixtures, folders};

const EKS: &str = "eks:210987654321/eu-central-1/shop";

fn each_fixture(mut run: impl FnMut(&str, &[u8])) -> io::Result<()> {
    for folder in folders()? {
        for (name, bytes) in files(&fixtures().join(folder))? {
            run(&name, &bytes);
        }
    }
    Ok(())
}

#[test]
fn an_event_cut_anywhere_is_refused() -> io::Result<()> {
    let context = context(EKS);
    each_fixture(|name, bytes| {
        for length in (0..bytes.trim_ascii_end().len()).step_by(1 + bytes.len() / 2000) {
            let cut = bytes.get(..length).unwrap_or_default();
            let outcome = decode(cut, &context);
            assert!(outcome.is_err(), "{name}: {length} bytes are accepted");
            check(name, cut, &outcome);
        }
    })
}

#[test]
fn an_event_changed_anywhere_does_not_panic() -> io::Result<()> {
    let context = context(EKS);
    each_fixture(|name, bytes| {
        // Every byte of a small event, and as many of a large one.
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 2000) {
            // One bit, one character that means something to JSON, one byte that is no UTF-8.
            for change in [|c: u8| c ^ 1, |_| b'"', |_| 0xff] {
                let mut changed = bytes.to_vec();
                if let Some(byte) = changed.get_mut(at) {
                    *byte = change(*byte);
                }
                check(name, &changed, &decode(&changed, &context));
            }
        }
    })
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let context = context(EKS);
    for body in [
        "[".repeat(100_000),
        r#"{"detail":"#.repeat(100_000),
        format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)),
        format!("\"{}\"", "x".repeat(MAX_BYTES)),
        "9".repeat(MAX_BYTES),
        format!("[{}1]", "1,".repeat(MAX_BYTES / 2 - 8)),
        format!("[{}1]", r#"{"a":1},"#.repeat(MAX_BYTES / 8 - 8)),
    ] {
        let outcome = decode(body.as_bytes(), &context);
        assert!(outcome.is_err());
    }
}
