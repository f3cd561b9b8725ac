//! What a proved request holds.

use cloudevents::AttributesReader;
use http::{HeaderMap, header};
use serde_json::Value;
use stanch_core::{Error, Order, Result};
use stanch_signals::pubsub;

use crate::orders;

/// The content of a request.
#[derive(Debug)]
pub(super) enum Content {
    /// An order, sent directly.
    Order(Box<Order>),
    /// A detector's event, in whatever wrapping.
    Event {
        /// The sender tries again for days whatever is not 2xx: Pub/Sub push and Eventarc.
        persistent: bool,
    },
}

/// What the request is. The event itself is decoded later, from the same bytes.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`] when it is no event and no order; the flag says whether the sender persists.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Content, (Error, bool)> {
    let by_header = is_persistent(headers);
    let binary = headers.contains_key("ce-specversion");
    if binary {
        attributes(headers).map_err(|error| (error, by_header))?;
    }
    let persistent = by_header || is_push(body);
    let event = Ok(Content::Event { persistent });
    // Who wraps is not who sends: what comes through a broker or a topic is an event.
    if binary || persistent || content_type(headers).starts_with("application/cloudevents") {
        return event;
    }
    match orders::read(body) {
        Ok(Some(order)) => Ok(Content::Order(Box::new(order))),
        Ok(None) => event,
        Err(error) => Err((error, persistent)),
    }
}

/// The attributes of an event in binary mode, checked by the SDK. The data stays as it came, for the strict reader.
fn attributes(headers: &HeaderMap) -> Result<()> {
    let content = content_type(headers);
    if !content.is_empty() && content != "application/json" && !content.ends_with("+json") {
        return Err(Error::invalid("content-type", "must be JSON"));
    }
    let event = cloudevents::binding::http::to_event(headers, Vec::new())
        .map_err(|error| Error::invalid("ce-attributes", "must be those of a CloudEvent").because(error))?;
    if event.specversion() == cloudevents::event::SpecVersion::V10 && !event.id().is_empty() {
        Ok(())
    } else {
        Err(Error::invalid("ce-specversion", "must be 1.0, with an id"))
    }
}

/// The media type, in lower case and without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Pub/Sub names itself, and Eventarc's events have Google's types.
pub(super) fn is_persistent(headers: &HeaderMap) -> bool {
    let starts = |name: &str, start: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|text| text.starts_with(start))
    };
    headers.contains_key("x-goog-pubsub-subscription-name")
        || headers.contains_key("x-goog-pubsub-message-id")
        || starts("user-agent", "CloudPubSub-Google")
        || starts("ce-type", "google.")
}

/// A push body, malformed ones included.
fn is_push(body: &[u8]) -> bool {
    match pubsub::open(body) {
        Ok(push) => push.is_some(),
        Err(_) => serde_json::from_slice::<Value>(body)
            .is_ok_and(|document| document.get("subscription").is_some() && document.get("message").is_some()),
    }
}
