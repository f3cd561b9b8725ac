//! What the tests share.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Once,
};

use stanch_core::{Alert, Error, Kind};
use stanch_signals::Context;

pub(crate) type Outcome = Result<Vec<Alert>, Error>;

/// A day after the fixtures' activity, in the EKS cluster that Falco runs in.
pub(crate) fn context(cluster: &str) -> Context {
    Context::new(
        (!cluster.is_empty()).then(|| cluster.parse().expect("a cluster")),
        "2026-11-20T12:00:00Z".parse().expect("a time"),
    )
}

/// Our fixtures, at the workspace's root.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The folders of fixtures, each of one kind of detector. The hostile ones are apart.
pub(crate) fn folders() -> io::Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(fixtures())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && name != "hostile" {
            folders.push(name);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The public events: beside the workspace, or where `STANCH_EVENTS` says. They are read in place.
pub(crate) fn public() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/events");
    let folder = std::env::var_os("STANCH_EVENTS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    SAID.call_once(|| skipped("public events: no folder ../shared/events beside the workspace, and no STANCH_EVENTS"));
    None
}

/// Says what is not tested. Not by `eprintln!`, which the test harness keeps to itself.
pub(crate) fn skipped(what: &str) {
    // If not even stderr can be written to, there is no one to tell.
    let _ = io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
}

/// The files of a folder, by name.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// `SCOPE SUBJECT, …`, or how it was refused; `!` = inactive.
pub(crate) fn shown(outcome: &Outcome) -> String {
    match outcome {
        Err(error) => {
            format!("{} {}", error.kind().as_str(), if error.resource().is_empty() { "-" } else { error.resource() })
        }
        Ok(alerts) => alerts.iter().map(shown_alert).collect::<Vec<_>>().join(" | "),
    }
}

fn shown_alert(alert: &Alert) -> String {
    let mut text = String::from(if alert.inactive.is_some() { "! " } else { "" });
    let subjects: Vec<_> = alert.subjects.iter().map(|it| format!("{} {it}", it.scope())).collect();
    text.push_str(if subjects.is_empty() { "none" } else { "" });
    text.push_str(&subjects.join(", "));
    text
}

/// Panics unless an outcome holds what every outcome must: a refusal is `Invalid` and repeats nothing of the field
/// that it names; an alert without a subject says why.
pub(crate) fn check(name: &str, bytes: &[u8], outcome: &Outcome) {
    match outcome {
        Err(error) => {
            assert_eq!(error.kind(), Kind::Invalid, "{name}: {error}");
            assert!(!error.to_string().chars().any(char::is_control), "{name}: {error:?}");
            let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
            let named = error.resource().split('.').try_fold(&document, |at, key| at.get(key));
            if let Some(value) = named.and_then(serde_json::Value::as_str).filter(|value| value.len() > 3) {
                assert!(!error.to_string().contains(value), "{name}: the value is repeated: {error}");
            }
        }
        Ok(alerts) => {
            for alert in alerts {
                assert!(!alert.subjects.is_empty() || alert.note.is_some(), "{name}: no subject and no reason");
                assert!(!alert.rule.chars().any(char::is_control), "{name}: {:?}", alert.rule);
            }
        }
    }
}
