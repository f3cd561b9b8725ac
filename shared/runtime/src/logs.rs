//! Logs: one JSON object a line for platforms, one short line for a person. Names, never bodies.
//!
//! `severity` and `message` are what Cloud Logging reads, `level` and `timestamp` what Lambda's log filter reads.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{env::Env, out};

/// More of one value says nothing more, and a log line has a limit.
const MAX_VALUE: usize = 2048;

/// Where the driver logs each report; a person reads the report itself.
const ANSWERS: &str = "stanch_core::driver::show";

/// Whom the log is for.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A platform; with the Google Cloud project that its traces belong to.
    Platform { project: Option<String> },
    /// A person.
    Person,
}

/// Starts logging, for the rest of the process.
pub(crate) fn start(env: &Env, reader: Reader, responder: &str) {
    let level = if matches!(reader, Reader::Person) { Level::WARN } else { Level::INFO };
    let usual = || {
        Targets::new()
            .with_default(Level::WARN)
            .with_target("stanch", level)
            .with_target(responder.replace('-', "_"), level)
            .with_target(ANSWERS, if matches!(reader, Reader::Person) { LevelFilter::OFF } else { level.into() })
    };
    // What RUST_LOG cannot say is no reason not to start: the usual is used, and said.
    let wanted = env.text("RUST_LOG").ok().flatten().map(|text| text.parse::<Targets>());
    let unread = matches!(wanted, Some(Err(_)));
    let filter = wanted.and_then(Result::ok).unwrap_or_else(usual);
    let lines = Registry::default().with(Lines { reader }.with_filter(filter));
    // A second start, as a test makes it, leaves the first one in place.
    let _ = tracing::subscriber::set_global_default(lines);
    if unread {
        tracing::warn!("RUST_LOG cannot be read; LEVEL or TARGET=LEVEL, separated by commas, can");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
}

/// Google Cloud's project, for the name of a trace.
pub(crate) fn project(env: &Env) -> Option<String> {
    env.text("GOOGLE_CLOUD_PROJECT").ok().flatten()
}

struct Lines {
    reader: Reader,
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let short: String = value.chars().take(MAX_VALUE).collect();
        self.0.insert(field.name(), Value::String(short));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                for (name, value) in &outer.0 {
                    fields.0.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut fields);
        match &self.reader {
            Reader::Platform { project } => out::log(&json(event.metadata(), fields, project.as_deref()), true),
            Reader::Person => out::log(&person(event.metadata(), &fields), false),
        }
    }
}

fn json(metadata: &Metadata<'_>, fields: Fields, project: Option<&str>) -> String {
    let (severity, level) = words(*metadata.level());
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
    line.insert("severity".to_owned(), severity.into());
    line.insert("level".to_owned(), level.into());
    line.insert("logger".to_owned(), metadata.target().into());
    for (name, value) in fields.0 {
        if let ("trace", Some(id)) = (name, value.as_str()) {
            let name = project.map_or_else(|| id.to_owned(), |project| format!("projects/{project}/traces/{id}"));
            line.insert("logging.googleapis.com/trace".to_owned(), name.into());
        }
        line.insert(name.to_owned(), value);
    }
    let mut line = Value::Object(line).to_string();
    line.push('\n');
    line
}

fn person(metadata: &Metadata<'_>, fields: &Fields) -> String {
    let (_, level) = words(*metadata.level());
    let text = |value: &Value| match value {
        Value::String(text) => out::plain(text),
        other => other.to_string(),
    };
    let mut line = format!("{}:", level.to_lowercase());
    if let Some(message) = fields.0.get("message") {
        line.extend([" ", &text(message)]);
    }
    for (name, value) in fields.0.iter().filter(|(name, _)| **name != "message") {
        line.extend([" ", name, "=", &text(value)]);
    }
    line.push('\n');
    line
}

/// Cloud Logging's word and Lambda's.
fn words(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("ERROR", "ERROR"),
        Level::WARN => ("WARNING", "WARN"),
        Level::INFO => ("INFO", "INFO"),
        Level::DEBUG => ("DEBUG", "DEBUG"),
        Level::TRACE => ("DEBUG", "TRACE"),
    }
}
