//! The scheduled check: could it act today, in every account and cluster of its scope?
//!
//! Each of them is one line of the log with `green` 1 or 0, and so is the whole (`all_green`): what is deployed counts
//! those lines, and raises an alarm where a green one is missing, for whatever reason.

use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{Check, Responder};

use crate::engine::Engine;

/// What the schedule sends: `{"mode": "check"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "mode")]
    _mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Check,
}

pub(super) fn is_asked(payload: &[u8]) -> bool {
    serde_json::from_slice::<Asked>(payload).is_ok()
}

pub(super) async fn run<R: Responder>(engine: &Engine<R>) -> Value {
    let groups = engine.check_deployed().await;
    let all = groups.iter().fold(true, |all, (scope, checks)| is_green(scope, checks) && all);
    tracing::info!(all_green = u8::from(all), "checked");
    let answer: Vec<_> = groups.iter().map(|(scope, checks)| json!({"scope": scope, "checks": checks})).collect();
    json!({"responder": R::NAME, "status": if all { "green" } else { "red" }, "scopes": answer})
}

/// Says in the log how it stands with one account or cluster.
fn is_green(scope: &str, checks: &[Check]) -> bool {
    let missing: Vec<_> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.what, check.detail)).collect();
    if missing.is_empty() {
        tracing::info!(scope, green = 1, "checked");
    } else {
        tracing::error!(scope, green = 0, missing = missing.join("; "), "it could not act here");
    }
    missing.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_asked;

    #[test]
    fn only_the_very_words_ask_for_a_check() {
        assert!(is_asked(br#"{"mode": "check"}"#));
        for other in [
            r#"{"mode": "plan"}"#,
            r#"{"mode": "check", "mode": "check"}"#,
            r#"{"mode": "check", "incident": "x"}"#,
            r#"{"mode": "check"} {}"#,
            r#"{"detail": {"mode": "check"}}"#,
            "[]",
        ] {
            assert!(!is_asked(other.as_bytes()), "{other}");
        }
    }
}
