//! The four things that an invocation can hold.

use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::{Context, Diagnostic};
use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{Caller, Error, Mode, Report, Responder, Result};
use tracing::Instrument;

use super::check;
use crate::{
    answer::Answer,
    clock,
    engine::{Engine, Job},
    orders,
};

/// Kept back from Lambda's deadline, so that the answer is out before the process is frozen.
const MARGIN: Duration = Duration::from_secs(1);
/// A deadline as old as this is none: emulators of the Runtime API send one of 1970.
const NO_DEADLINE: Duration = Duration::from_hours(1);
/// What an invocation without a deadline has.
const WITHOUT_DEADLINE: Duration = Duration::from_mins(1);

/// A message of an SQS batch. Unknown members are SQS's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "messageId")]
    id: String,
    body: String,
}

/// Handles one invocation. An error makes Lambda try an asynchronous one again.
pub(super) async fn handle<R: Responder>(
    engine: &Engine<R>,
    payload: &[u8],
    context: &Context,
) -> Result<Value, Diagnostic> {
    let deadline = deadline(context, engine.now());
    let job =
        |caller: &str, id: String| Job { caller: Caller { id: caller.to_owned(), proved_at: None }, id, deadline };
    let answer = match read(payload) {
        Ok(Payload::Batch(messages)) => {
            return Ok(batch(engine, messages, |index| job("aws:sqs", format!("{}.{index}", context.request_id))).await);
        }
        Ok(Payload::Check) => return Ok(check::run(engine).await),
        // Whoever may invoke the function may order; Lambda has checked that, and does not say who it was.
        Ok(Payload::Order(order)) => engine.order(*order, &job("lambda:invoke", context.request_id.clone())).await,
        Ok(Payload::Event) => engine.event(payload, &job("lambda:event", context.request_id.clone())).await,
        Err(error) => {
            tracing::error!(%error, "the payload cannot be used");
            let now = engine.now();
            Answer::of(vec![Report::of_error(R::NAME, Mode::Plan, &error, now, now)])
        }
    };
    if answer.panicked {
        return Err(diagnostic("Stanch.Panic", &answer.reports));
    }
    if let Some(report) = answer.retry() {
        let kind = report.error.map(|kind| format!("Stanch.{kind:?}")).unwrap_or_default();
        return Err(diagnostic(&kind, std::slice::from_ref(report)));
    }
    Ok(answer.to_json())
}

enum Payload {
    Batch(Vec<Message>),
    Check,
    Order(Box<stanch_core::Order>),
    Event,
}

fn read(payload: &[u8]) -> Result<Payload> {
    if check::is_asked(payload) {
        return Ok(Payload::Check);
    }
    if let Some(order) = orders::read(payload)? {
        return Ok(Payload::Order(Box::new(order)));
    }
    // orders::read was strict: from here on there is one document, without a key twice.
    let Ok(mut document) = serde_json::from_slice::<Value>(payload) else { return Ok(Payload::Event) };
    // Lambda's own event source mapping sends {"Records": […]}, a pipe sends the list itself. Both take the same answer.
    let records =
        if document.is_array() { document } else { document.get_mut("Records").map(Value::take).unwrap_or_default() };
    let is_queued = |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    let queued = records.as_array().map_or(0, |records| records.iter().filter(|record| is_queued(record)).count());
    if queued == 0 {
        return Ok(Payload::Event);
    }
    if records.as_array().is_some_and(|records| records.len() != queued) {
        return Err(Error::invalid("Records.eventSource", "must be aws:sqs"));
    }
    serde_json::from_value(records)
        .map(Payload::Batch)
        .map_err(|error| Error::invalid("Records", "must be an SQS batch").because(error))
}

/// Handles a batch message by message, and names those that shall come again.
async fn batch<R: Responder>(engine: &Engine<R>, messages: Vec<Message>, job: impl Fn(usize) -> Job) -> Value {
    let mut again = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let span = tracing::info_span!("message", message = message.id);
        let answer = engine.event(message.body.as_bytes(), &job(index)).instrument(span.clone()).await;
        let _entered = span.enter();
        if answer.wants_retry() {
            again.push(json!({"itemIdentifier": message.id}));
        } else if let Some(report) = answer.failure() {
            let incident = report.incident.as_ref().map(stanch_core::IncidentId::as_str);
            let reason = report.reason.as_deref();
            // SQS would send it until its retention ends; the queue's own dead-letter rule is for what may succeed.
            tracing::error!(incident, reason, status = report.status.as_str(), "failed for good; not tried again");
        }
    }
    json!({"batchItemFailures": again})
}

fn diagnostic(error_type: &str, reports: &[Report]) -> Diagnostic {
    let reasons: Vec<_> = reports.iter().filter_map(|report| report.reason.as_deref()).collect();
    Diagnostic { error_type: error_type.to_owned(), error_message: reasons.join("; ") }
}

fn deadline(context: &Context, now: Timestamp) -> Timestamp {
    let end = i64::try_from(context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
    if end < clock::before(now, NO_DEADLINE) { clock::after(now, WITHOUT_DEADLINE) } else { clock::before(end, MARGIN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_lambdas_and_that_of_an_emulator_is_none() -> std::result::Result<(), jiff::Error> {
        let now: Timestamp = "2026-11-27T01:00:00Z".parse()?;
        for (given, expected) in [
            (now.as_millisecond() + 30_000, "2026-11-27T01:00:29Z"),
            (now.as_millisecond() - 2_000, "2026-11-27T00:59:57Z"),
            (600_000, "2026-11-27T01:01:00Z"),
        ] {
            let mut context = Context::default();
            context.deadline = u64::try_from(given).unwrap_or_default();
            assert_eq!(deadline(&context, now), expected.parse()?, "{given}");
        }
        Ok(())
    }
}
