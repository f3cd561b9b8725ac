//! Detectors' events, decoded into alerts: bytes in, alerts or one clear error out. Pure: no I/O and no clock.
//!
//! [`decode`] recognises the format and takes the wrappings off (Pub/Sub push, structured CloudEvents, SQS, SNS, lists). Event
//! fields come from an attacker's machine, so every document is read strictly, every name is a checked type from
//! here on, two places that disagree are refused instead of one being picked, and no error repeats a value.
//!
//! | detector | wiring | module |
//! |---|---|---|
//! | Amazon GuardDuty | EventBridge, or findings as `GetFindings` answers them | `guardduty` |
//! | AWS Security Hub | EventBridge (ASFF, OCSF, insights), or findings as its API answers them | `securityhub` |
//! | Kubernetes audit | the API server's webhook; of EKS, CloudWatch Logs subscriptions | `audit`, `cloudwatch` |
//! | Google Security Command Center | a continuous export to Pub/Sub, findings of the API | `scc` |
//! | Google Cloud Logging | a sink to Pub/Sub: push, pull, or Eventarc | `logentry` |
//! | Google Cloud Monitoring | a notification channel: Pub/Sub or webhook | `monitoring` |
//! | Falco | its HTTP output, falcosidekick (JSON, CloudEvents, Pub/Sub), fluent-bit to Cloud Logging | `falco` |
//! | Tracee | its JSON output or webhook | `tracee` |
//! | Policy reports, Trivy | the objects themselves, from a webhook or a controller | `policy_report`, `trivy` |
//!
//! An alert whose subject cannot be told decodes without one and says why in its note. A name that is no name, or
//! one that two places spell differently, is an error: someone made it up.

#![allow(clippy::doc_markdown, reason = "GuardDuty, EventBridge and CloudEvents are names, not code")]

mod at;
mod audit;
mod aws;
mod aws_envelope;
mod cloudwatch;
mod context;
mod document;
pub mod envelope;
mod falco;
mod gcp;
mod guardduty;
mod json;
mod kube;
mod kube_call;
mod logentry;
mod monitoring;
mod objects;
mod policy_report;
pub mod pubsub;
mod scc;
mod securityhub;
#[cfg(test)]
mod testing;
mod text;
mod tracee;
mod trivy;

pub use context::{Context, Limits, MAX_BYTES};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{Alert, Error, Result};

use crate::{
    at::At,
    document::{Document, Keys},
    envelope::Inner,
};

/// Why an alert from the future is inactive.
const FUTURE: &str = "its time lies in the future";

/// The alerts that a body holds. None is a valid answer: a list of no findings. Of a batch in which some items cannot
/// be read, these are the alerts of the others; [`decode_each`] tells of all.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the field, when the body is not exactly one JSON document, has no format
/// that Stanch knows, has two at once, or is not what its format says; of a batch, when no item can be read.
pub fn decode(bytes: &[u8], context: &Context) -> Result<Vec<Alert>> {
    let mut first = None;
    let alert = |item: Result<Alert>| item.map_err(|error| first.get_or_insert(error)).ok();
    let alerts: Vec<_> = decode_each(bytes, context)?.into_iter().filter_map(alert).collect();
    match first {
        Some(error) if alerts.is_empty() => Err(error),
        _ => Ok(alerts),
    }
}

/// The alerts that a body holds, and the errors of those items of a batch that cannot be read.
///
/// # Errors
/// As for [`decode`], when the body as a whole cannot be read.
pub fn decode_each(bytes: &[u8], context: &Context) -> Result<Vec<Result<Alert>>> {
    if bytes.len() > context.limits.body {
        return Err(Limits::exceeded("", "body", context.limits.body));
    }
    let mut decoder = Decoder { context, items: Vec::new() };
    decoder.bytes(bytes, Wrapped::default())?;
    for alert in decoder.items.iter_mut().flatten() {
        distrust_future(alert, [alert.first_seen, alert.last_seen], context.now);
    }
    Ok(decoder.items)
}

/// An alert from further ahead than clocks differ is not acted on.
fn distrust_future(alert: &mut Alert, times: [Option<Timestamp>; 2], now: Timestamp) {
    let is_future = |time: Timestamp| time.duration_since(now) > SignedDuration::from_mins(5);
    if alert.inactive.is_none() && times.into_iter().flatten().any(is_future) {
        alert.inactive = Some(FUTURE.to_owned());
    }
}

/// One body on its way to alerts.
struct Decoder<'c> {
    context: &'c Context,
    items: Vec<Result<Alert>>,
}

impl Decoder<'_> {
    /// A whole document, and what it was wrapped in. A gzip stream is what CloudWatch Logs sends, expanded once.
    fn bytes(&mut self, bytes: &[u8], wrapped: Wrapped) -> Result<()> {
        if cloudwatch::is_gzip(bytes) {
            let expanded = cloudwatch::expand(bytes, &self.context.limits)?;
            let document = Document::read(&expanded, &self.context.limits)?;
            return self.items(cloudwatch::alerts(&document.top(), self.context)?);
        }
        let document = Document::read(bytes, &self.context.limits)?;
        self.part(&document.top(), wrapped)
    }

    fn part(&mut self, at: &At<'_>, wrapped: Wrapped) -> Result<()> {
        let context = self.context;
        let format = Format::of(at)?;
        match format {
            Format::CloudEvent => self.inner(envelope::unwrap(at)?, wrapped.within(format, at)?),
            Format::Binary => self.part(&envelope::binary(at)?, wrapped.within(format, at)?),
            Format::PubSub => {
                let (push, path) = pubsub::read(at)?;
                if push.data.len() > context.limits.pubsub {
                    return Err(Limits::exceeded(&path, "pubsub", context.limits.pubsub));
                }
                self.inner(Inner::Bytes(push.data, path), wrapped.within(format, at)?)
            }
            Format::EventBridge => self.event(at),
            Format::Findings => {
                let findings = at.in_either_case().get("findings")?;
                findings.each()?.try_for_each(|finding| self.item(self.finding(&finding)))
            }
            Format::Finding | Format::SecurityHub => self.one(self.finding(at)?),
            Format::LogEntry => self.one(logentry::entry(at, context)?),
            Format::Falco => self.one(falco::alert(at, context)?),
            Format::Scc => self.items(scc::findings(at, context)?),
            Format::Monitoring => self.one(monitoring::incident(at)?),
            Format::Tracee => self.one(tracee::event(at, context)?),
            Format::Object => self.items(objects::alerts(at, context)?),
            Format::Audit => self.items(audit::alerts(at, context)?),
            Format::LogsEvent => {
                let inner = envelope::decode_base64(&at.get("awslogs")?.get("data")?)?;
                match &inner {
                    Inner::Bytes(bytes, _) if cloudwatch::is_gzip(bytes) => {
                        self.inner(inner, wrapped.within(format, at)?)
                    }
                    Inner::Bytes(_, path) => Err(Error::invalid(path.as_str(), "must be a gzip stream")),
                    Inner::Part(part) => Err(part.wrong("must be text")),
                }
            }
            Format::Logs => self.items(cloudwatch::alerts(at, context)?),
            Format::List => {
                let wrapped = wrapped.within(format, at)?;
                self.each(at, |it, item| it.part(item, wrapped))
            }
            Format::Records => {
                let wrapped = wrapped.within(format, at)?;
                self.each(&at.get("Records")?, |it, item| it.text(&aws_envelope::record(item)?, wrapped))
            }
            Format::Queued => self.text(&at.get("body")?, wrapped.within(Format::Records, at)?),
            Format::Notification => self.text(&aws_envelope::notification(at)?, wrapped.within(format, at)?),
        }
    }

    /// A finding of GuardDuty, or of Security Hub.
    fn finding(&self, at: &At<'_>) -> Result<Alert> {
        if securityhub::is_asff(at) || securityhub::is_ocsf(at) {
            securityhub::bare(at, self.context)
        } else {
            guardduty::bare(at, self.context)
        }
    }

    /// The items of a batch, each on its own: one that cannot be read does not keep the others from being heard.
    fn each(&mut self, list: &At<'_>, read: impl Fn(&mut Self, &At<'_>) -> Result<()>) -> Result<()> {
        for item in list.each()? {
            if let Err(error) = read(self, &item) {
                self.item(Err(error))?;
            }
        }
        Ok(())
    }

    /// A document that stands as text in another.
    fn text(&mut self, at: &At<'_>, wrapped: Wrapped) -> Result<()> {
        self.bytes_under(at.required_text()?.as_bytes(), &at.path(), wrapped)
    }

    /// A document that was found somewhere: its errors, and those of its items, say where.
    fn bytes_under(&mut self, bytes: &[u8], path: &str, wrapped: Wrapped) -> Result<()> {
        let before = self.items.len();
        let read = self.bytes(bytes, wrapped).map_err(|error| error.within(path));
        for item in self.items.iter_mut().skip(before) {
            if let Err(error) = item {
                *error = std::mem::replace(error, Error::invalid("", "")).within(path);
            }
        }
        read
    }

    fn items(&mut self, items: Vec<Result<Alert>>) -> Result<()> {
        items.into_iter().try_for_each(|item| self.item(item))
    }

    /// An event of EventBridge. Its source is exactly that of the service: `PutEvents` refuses sources that begin with
    /// `aws.`, so nobody in the account can forge one ("PutEventsRequestEntry").
    fn event(&mut self, event: &At<'_>) -> Result<()> {
        let limit = self.context.limits.event_bridge;
        if event.get("detail")?.raw().is_some_and(|detail| detail.len() > limit) {
            return Err(Limits::exceeded("detail", "event-bridge", limit));
        }
        let (source, sent) = (event.get("source")?, event.get("time")?.time()?);
        let before = self.items.len();
        match source.text()? {
            Some("aws.guardduty") => self.one(guardduty::event(event, self.context)?),
            Some("aws.securityhub") => self.items(securityhub::event(event, self.context)?),
            Some(other) if other.starts_with("aws.") => Err(source
                .wrong("must be aws.guardduty or aws.securityhub: Stanch does not know the events of other services")),
            _ => Err(source
                .wrong("must be aws.guardduty or aws.securityhub: a source without aws. can be forged with PutEvents")),
        }?;
        for alert in self.items.iter_mut().skip(before).flatten() {
            distrust_future(alert, [sent, None], self.context.now);
        }
        Ok(())
    }

    fn inner(&mut self, inner: Inner<'_>, wrapped: Wrapped) -> Result<()> {
        match inner {
            Inner::Part(part) => self.part(&part, wrapped),
            Inner::Bytes(bytes, path) => self.bytes_under(&bytes, &path, wrapped),
        }
    }

    fn one(&mut self, alert: Alert) -> Result<()> {
        self.item(Ok(alert))
    }

    /// An item of a batch: one that cannot be read does not keep the others from being heard.
    fn item(&mut self, item: Result<Alert, Error>) -> Result<()> {
        if self.items.len() >= self.context.limits.findings {
            return Err(Limits::exceeded("", "findings", self.context.limits.findings));
        }
        self.items.push(item);
        Ok(())
    }
}

/// The wrappings that were taken off. Each can be there once: a queue of topics of queues is nobody's wiring, and it
/// is how a small body would keep a decoder busy.
#[derive(Clone, Copy, Debug, Default)]
struct Wrapped(u32);

impl Wrapped {
    fn within(self, wrapping: Format, at: &At<'_>) -> Result<Self> {
        let bit = 1 << wrapping as u32;
        if self.0 & bit == 0 { Ok(Self(self.0 | bit)) } else { Err(at.wrong("is wrapped twice in the same way")) }
    }
}

/// The formats, by what only they have at the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    CloudEvent,
    Binary,
    PubSub,
    EventBridge,
    Findings,
    Finding,
    LogEntry,
    Falco,
    Scc,
    Monitoring,
    Tracee,
    Object,
    SecurityHub,
    Audit,
    LogsEvent,
    Logs,
    List,
    Records,
    Queued,
    Notification,
}

impl Format {
    /// The format of a document. One that looks like two is refused: two readers could take it for two things.
    fn of(at: &At<'_>) -> Result<Self> {
        if at.is_list() {
            return Ok(Self::List);
        }
        if !at.is_object() {
            return Err(at.wrong("must be a JSON object"));
        }
        let marks = at.marks(&MARKS);
        /// Is one of these keys there?
        macro_rules! has {
            ($($key:literal),+) => { marks & const { $(MARKS.bit($key))|+ } != 0 };
        }
        let is_cloudevent = has!("specversion");
        let is_asff = has!("ProductArn", "AwsAccountId");
        let is_scc = has!("notificationConfigName", "finding", "listFindingsResults")
            || has!("category") && scc::is_finding(at)
            || has!("findings") && at.get("findings").is_ok_and(|it| it.is_object());
        let looks = [
            (Self::CloudEvent, is_cloudevent),
            (Self::Binary, has!("headers") && has!("body")),
            (Self::PubSub, has!("subscription", "message") && pubsub::is_push(at)),
            (Self::EventBridge, has!("detail-type", "detail")),
            (Self::Findings, has!("Findings", "findings") && !is_scc),
            (
                Self::Finding,
                !is_asff
                    && (has!("schemaVersion", "SchemaVersion") && has!("resource", "Resource", "type", "Type")
                        || has!("service", "Service") && has!("type", "Type")),
            ),
            (Self::SecurityHub, is_asff || has!("finding_info") && securityhub::is_ocsf(at)),
            (Self::Audit, has!("kind") && audit::is_event(at)),
            (Self::LogsEvent, has!("awslogs")),
            (Self::Logs, has!("messageType") && has!("logEvents")),
            (Self::Records, has!("Records")),
            (Self::Queued, has!("body") && aws_envelope::is_queued(at)),
            (Self::Notification, has!("TopicArn") && aws_envelope::is_notification(at)),
            (Self::LogEntry, has!("protoPayload", "jsonPayload", "textPayload", "logName")),
            // falcosidekick's CloudEvents carry priority and rule as attributes of the envelope.
            (Self::Falco, !is_cloudevent && (has!("output_fields") || has!("priority") && has!("rule", "Rule"))),
            (Self::Scc, is_scc),
            (Self::Monitoring, has!("incident")),
            (Self::Tracee, has!("eventName", "SigMetadata", "workload") && tracee::is_event(at)),
            (Self::Object, has!("operatorObject") || has!("kind") && has!("apiVersion") && objects::is_report(at)),
        ];
        let mut formats = looks.into_iter().filter_map(|(format, looks_so)| looks_so.then_some(format));
        match (formats.next(), formats.next()) {
            (Some(format), None) => Ok(format),
            (None, _) => Err(at.wrong("is not an event that Stanch knows")),
            (Some(_), Some(_)) => Err(at.wrong("has the marks of two formats")),
        }
    }
}

/// The keys at the top that tell one format from another.
const MARKS: Keys<44> = Keys::new([
    "specversion",
    "detail-type",
    "detail",
    "Findings",
    "findings",
    "schemaVersion",
    "SchemaVersion",
    "resource",
    "Resource",
    "type",
    "Type",
    "service",
    "Service",
    "protoPayload",
    "jsonPayload",
    "textPayload",
    "logName",
    "output_fields",
    "priority",
    "rule",
    "Rule",
    "subscription",
    "message",
    "notificationConfigName",
    "finding",
    "listFindingsResults",
    "category",
    "incident",
    "eventName",
    "SigMetadata",
    "workload",
    "operatorObject",
    "kind",
    "apiVersion",
    "finding_info",
    "ProductArn",
    "AwsAccountId",
    "awslogs",
    "messageType",
    "logEvents",
    "Records",
    "body",
    "TopicArn",
    "headers",
]);
