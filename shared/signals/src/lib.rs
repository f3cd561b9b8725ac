//! Detectors' events, decoded into alerts: bytes in, alerts or one clear error out. Pure: no I/O and no clock.
//!
//! [`decode`] recognises the format and takes the wrappings off (Pub/Sub push, structured CloudEvents). Event
//! fields come from an attacker's machine, so every document is read strictly, every name is a checked type from
//! here on, two places that disagree are refused instead of one being picked, and no error repeats a value.
//!
//! | detector | wiring | module |
//! |---|---|---|
//! | Amazon GuardDuty | EventBridge, or findings as `GetFindings` answers them | `guardduty` |
//! | Google Cloud Logging | a sink to Pub/Sub: push, pull, or Eventarc | `logentry` |
//! | Falco | its HTTP output, falcosidekick (JSON, CloudEvents, Pub/Sub) | `falco` |
//!
//! An alert whose subject cannot be told decodes without one and says why in its note. A name that is no name, or
//! one that two places spell differently, is an error: someone made it up.

#![allow(clippy::doc_markdown, reason = "GuardDuty, EventBridge and CloudEvents are names, not code")]

mod at;
mod context;
pub mod envelope;
mod falco;
mod guardduty;
mod json;
mod kube;
mod logentry;
pub mod pubsub;
mod text;

pub use context::Context;
use serde_json::Value;
use stanch_core::{Alert, Result};

use crate::{at::At, envelope::Inner};

/// The largest body that is read. EventBridge stops at 256 KiB and a log entry at 256 KB ("Amazon EventBridge
/// quotas", "Cloud Logging quotas and limits"), so this leaves room for base64 and an envelope.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Wrappings that are taken off: a Pub/Sub message inside a CloudEvent (Eventarc) is two.
const MAX_WRAPPINGS: u8 = 2;

/// Why an alert from the future is inactive.
const FUTURE: &str = "its time lies in the future";

/// The alerts that a body holds. None is a valid answer: a list of no findings.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the field, when the body is not exactly one JSON document, has no format
/// that Stanch knows, has two at once, or is not what its format says.
pub fn decode(bytes: &[u8], context: &Context) -> Result<Vec<Alert>> {
    let mut alerts = decode_bytes(bytes, context, MAX_WRAPPINGS)?;
    for alert in &mut alerts {
        let times = [alert.first_seen, alert.last_seen];
        if alert.inactive.is_none() && times.into_iter().flatten().any(|it| guardduty::is_future(it, context.now)) {
            alert.inactive = Some(FUTURE.to_owned());
        }
    }
    Ok(alerts)
}

fn decode_bytes(bytes: &[u8], context: &Context, wrappings: u8) -> Result<Vec<Alert>> {
    let document = json::read(bytes)?;
    decode_part(&At::new(&document, ""), context, wrappings)
}

fn decode_part(at: &At<'_>, context: &Context, wrappings: u8) -> Result<Vec<Alert>> {
    match Format::of(at)? {
        Format::CloudEvent => decode_inner(at, envelope::unwrap(at)?, context, wrappings),
        Format::PubSub => {
            let (push, path) = pubsub::read(at)?;
            decode_inner(at, Inner::Bytes(push.data, path), context, wrappings)
        }
        Format::EventBridge => Ok(vec![guardduty::event(at, context)?]),
        Format::Findings => guardduty::list(at),
        Format::Finding => Ok(vec![guardduty::bare(at)?]),
        Format::LogEntry => Ok(vec![logentry::entry(at, context)?]),
        Format::Falco => Ok(vec![falco::alert(at, context)?]),
    }
}

fn decode_inner(at: &At<'_>, inner: Inner<'_>, context: &Context, wrappings: u8) -> Result<Vec<Alert>> {
    let left = wrappings.checked_sub(1).ok_or_else(|| at.wrong("is wrapped too often"))?;
    match inner {
        Inner::Part(part) => decode_part(&part, context, left),
        Inner::Bytes(bytes, path) => decode_bytes(&bytes, context, left).map_err(|error| error.within(&path)),
    }
}

/// The formats, by what only they have at the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    CloudEvent,
    PubSub,
    EventBridge,
    Findings,
    Finding,
    LogEntry,
    Falco,
}

impl Format {
    /// The format of a document. One that looks like two is refused: two readers could take it for two things.
    fn of(at: &At<'_>) -> Result<Self> {
        let Some(document @ Value::Object(_)) = at.value() else { return Err(at.wrong("must be a JSON object")) };
        let has = |key: &str| document.get(key).is_some();
        let has_any = |keys: &[&str]| keys.iter().any(|key| has(key));
        let is_cloudevent = envelope::is_cloudevent(document);
        let is_event = has("detail-type") || has("detail");
        let looks = [
            (Self::CloudEvent, is_cloudevent),
            (Self::PubSub, pubsub::is_push(document)),
            (Self::EventBridge, is_event),
            (Self::Findings, has_any(&["Findings", "findings"])),
            (
                Self::Finding,
                has_any(&["schemaVersion", "SchemaVersion"]) && has_any(&["resource", "Resource", "type", "Type"])
                    || has_any(&["service", "Service"]) && has_any(&["type", "Type"]),
            ),
            (Self::LogEntry, has_any(&["protoPayload", "jsonPayload", "textPayload", "logName"])),
            // falcosidekick's CloudEvents carry priority and rule as attributes of the envelope.
            (Self::Falco, !is_cloudevent && (has("output_fields") || has("priority") && has_any(&["rule", "Rule"]))),
        ];
        let mut formats = looks.into_iter().filter_map(|(format, looks_so)| looks_so.then_some(format));
        match (formats.next(), formats.next()) {
            (Some(format), None) => Ok(format),
            (None, _) => Err(at.wrong("is not an event that Stanch knows")),
            (Some(_), Some(_)) => Err(at.wrong("has the marks of two formats")),
        }
    }
}
