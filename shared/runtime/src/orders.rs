//! Orders as JSON.

use serde_json::Value;
use stanch_core::{Error, Order, Result};

use crate::out::plain;

/// The order that a body holds; `None` when it is something else. What has a `mode` is an order or nothing.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`] when it is no JSON document, holds a key twice, or is an order and malformed.
pub(crate) fn read(body: &[u8]) -> Result<Option<Order>> {
    // The strict reading comes first: what has a key twice means two things to two readers.
    stanch_signals::pubsub::open(body)?;
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
    if document.get("mode").is_none() {
        return Ok(None);
    }
    serde_path_to_error::deserialize(document).map(Some).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "order".to_owned() } else { format!("order.{path}") };
        // serde names the key or word that it does not know, which may be long.
        let text: String = plain(&error.into_inner().to_string()).chars().take(300).collect();
        Error::invalid(field, text)
    })
}

/// A body may hold an order somewhere inside: a queue or a topic is no proof of who sent it.
pub(crate) fn refuse_inside(body: &[u8]) -> Result<()> {
    match read(body) {
        Ok(None) | Err(_) => Ok(()),
        Ok(Some(_)) => Err(Error::invalid("order", "must be sent directly, not through a queue, a topic or an event")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"mode":"plan","incident":"x","target":{"kind":"node","cluster":"current","name":"a"}}"#;

    #[test]
    fn what_has_a_mode_is_an_order_or_nothing() {
        assert!(read(ORDER.as_bytes()).expect("valid").is_some());
        assert!(read(br#"{"source":"aws.guardduty"}"#).expect("valid").is_none());
        for (text, field) in [
            (r#"{"mode":"nuke"}"#, "order.mode"),
            (r#"{"mode":"plan","incident":"x"}"#, "order"),
            (r#"{"mode":"plan","mode":"apply"}"#, ""),
            (&ORDER.replace('}', r#","name":"b"}"#), ""),
            (&ORDER.replace("\"a\"", "\"A B\""), "order.target"),
            (&ORDER.replace("\"plan\"", "\"plan\",\"sudo\":true"), "order"),
        ] {
            let error = read(text.as_bytes()).expect_err(text);
            assert_eq!(error.kind(), stanch_core::Kind::Invalid);
            assert!(error.resource().starts_with(field), "{text}: {error}");
            assert!(!error.to_string().contains("A B"), "{error}");
        }
    }
}
