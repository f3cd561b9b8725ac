//! What Stanch makes of an event: `cargo run -q -p stanch-signals --example decode [FILE|-]` prints the alerts as a
//! JSON array. A body that is refused is one line on stderr and exit code 2.

use std::{
    fs,
    io::{self, Read, Write},
    process::ExitCode,
};

use jiff::Timestamp;
use serde::Serialize;
use stanch_core::{Alert, Error, IncidentId, Kind, Result, Severity, Source, Target};
use stanch_signals::Context;

fn main() -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If not even stderr can be written to, the exit code has to do.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn print() -> Result<()> {
    let context = context()?;
    let alerts = stanch_signals::decode(&read()?, &context)?;
    let shown: Vec<_> = alerts.iter().map(Shown::from).collect();
    let text = serde_json::to_string_pretty(&shown).map_err(|error| internal("print").because(error))?;
    writeln!(io::stdout(), "{text}").map_err(|error| internal("print").because(error))
}

/// What a deployed function reads from the same variables.
fn context() -> Result<Context> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let wrong = |name: &'static str| move |error: Error| Error::invalid(name, error.message());
    let cluster = set("STANCH_CLUSTER").map(|text| text.trim().parse().map_err(wrong("STANCH_CLUSTER"))).transpose()?;
    let mut context = Context::new(cluster, Timestamp::now());
    for account in set("STANCH_DETECTOR_ACCOUNTS").unwrap_or_default().split(',').filter(|text| !text.trim().is_empty())
    {
        context.detector_accounts.push(account.trim().parse().map_err(wrong("STANCH_DETECTOR_ACCOUNTS"))?);
    }
    if let Some(text) = set("STANCH_BODY_LIMIT") {
        context.limits.body = match text.trim().parse::<usize>() {
            Ok(kib @ 256..=16384) => kib * 1024,
            _ => return Err(Error::invalid("STANCH_BODY_LIMIT", "must be 256 to 16384 KiB")),
        };
    }
    Ok(context)
}

/// The file of the first argument; `-` or none is standard input.
fn read() -> Result<Vec<u8>> {
    let unread = |error: io::Error| Error::invalid("FILE", "cannot be read").because(error);
    match std::env::args_os().nth(1) {
        Some(file) if file != "-" => fs::read(file).map_err(unread),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(unread)?;
            Ok(bytes)
        }
    }
}

/// An alert, its subjects as an order spells targets.
#[derive(Serialize)]
struct Shown<'a> {
    /// Falco and Tracee give no id that lasts: theirs is the incident's.
    id: &'a str,
    incident: &'a IncidentId,
    source: Source,
    rule: &'a str,
    severity: Option<Severity>,
    /// The last activity.
    time: Option<Timestamp>,
    subjects: &'a [Target],
    actionable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acted_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<Timestamp>,
}

impl<'a> From<&'a Alert> for Shown<'a> {
    fn from(alert: &'a Alert) -> Self {
        let nothing = || alert.note.as_deref().unwrap_or("the alert names nothing that a responder takes");
        let reason = alert.inactive.as_deref().or_else(|| alert.subjects.is_empty().then(nothing));
        Self {
            id: alert.id.as_deref().unwrap_or(alert.incident.as_str()),
            incident: &alert.incident,
            source: alert.source,
            rule: &alert.rule,
            severity: alert.severity,
            time: alert.last_seen.or(alert.first_seen),
            subjects: &alert.subjects,
            actionable: reason.is_none(),
            reason,
            note: alert.note.as_deref().filter(|note| reason != Some(note)),
            acted_as: alert.acted_as.as_deref(),
            tactic: alert.tactic.as_deref(),
            confidence: alert.confidence,
            count: alert.count,
            first_seen: alert.first_seen,
        }
    }
}

fn internal(operation: &str) -> Error {
    Error::new(Kind::Internal, operation, "the alerts cannot be printed")
}
