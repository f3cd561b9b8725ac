//! Pub/Sub push bodies (Pub/Sub: "Push subscriptions"), also as the data of an Eventarc event (Eventarc:
//! `google.cloud.pubsub.topic.v1.messagePublished`, `MessagePublishedData`). Real bodies spell the message id
//! `messageId`, `message_id`, or both.

use stanch_core::Result;

use crate::{
    Limits,
    at::{At, agree},
    document::{Document, keys},
    envelope::{Inner, decode_base64},
};

/// One delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The server's id of the message: a redelivery has the same.
    pub message_id: Option<String>,
    /// The subscription that delivered it, `projects/P/subscriptions/S`.
    pub subscription: Option<String>,
    /// The message itself.
    pub data: Vec<u8>,
}

/// The message of a push body; `None` when the body is something else.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`] when it is no JSON document, or is a push body and malformed.
pub fn open(bytes: &[u8]) -> Result<Option<Push>> {
    let document = Document::read(bytes, &Limits::default())?;
    let body = document.top();
    if !is_push(&body) {
        return Ok(None);
    }
    read(&body).map(|(push, _)| Some(push))
}

/// Does the document look like a push body?
pub(crate) fn is_push(document: &At<'_>) -> bool {
    let marked = document.marks(keys!["subscription", "message"]);
    let text = marked & 1 != 0 && document.get("subscription").is_ok_and(|at| at.is_text());
    let message = || document.get("message").is_ok_and(|at| at.marks(keys!["data", "messageId", "message_id"]) != 0);
    text || marked & 2 != 0 && message()
}

/// The message, and the field that its data came from.
pub(crate) fn read(body: &At<'_>) -> Result<(Push, String)> {
    let message = body.get("message")?;
    if !message.is_present() {
        return Err(message.missing());
    }
    let (camel, snake) = (message.get("messageId")?, message.get("message_id")?);
    let (first, second) = (camel.text()?, snake.text()?);
    let message_id = agree([(camel, first), (snake, second)])?.map(str::to_owned);
    let subscription = body.get("subscription")?.text()?.map(str::to_owned);
    match decode_base64(&message.get("data")?)? {
        Inner::Bytes(data, path) => Ok((Push { message_id, subscription, data }, path)),
        Inner::Part(part) => Err(part.wrong("must be text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_of_the_message_id_are_read() -> Result<()> {
        for message in [
            json!({"data": "e30=", "messageId": "7"}),
            json!({"data": "e30=", "message_id": "7"}),
            json!({"data": "e30=", "messageId": "7", "message_id": "7"}),
        ] {
            let body = json!({"message": message, "subscription": "projects/p/subscriptions/s"});
            let push = open(body.to_string().as_bytes())?;
            assert_eq!(push.as_ref().and_then(|push| push.message_id.as_deref()), Some("7"));
            assert_eq!(push.map(|push| push.data), Some(b"{}".to_vec()));
        }
        assert_eq!(open(b"{\"message\":\"hello\"}")?, None);
        Ok(())
    }

    #[test]
    fn a_malformed_body_is_refused() {
        for body in [
            json!({"subscription": "projects/p/subscriptions/s"}),
            json!({"message": {"messageId": "7"}}),
            json!({"message": {"messageId": "7", "data": ""}}),
            json!({"message": {"messageId": "7", "data": null}}),
            json!({"message": {"messageId": "7", "data": {}}}),
            json!({"message": {"messageId": "7", "data": "@@@"}}),
            json!({"message": {"messageId": "7", "data": "__57ImEiOjF9"}}),
            json!({"message": {"messageId": "7", "data": "e30"}}),
            json!({"message": {"messageId": "7", "data": "e30=\n"}}),
            json!({"message": {"messageId": "7", "message_id": "8", "data": "e30="}}),
            json!({"message": [], "subscription": "projects/p/subscriptions/s"}),
        ] {
            assert!(open(body.to_string().as_bytes()).is_err(), "{body}");
        }
    }
}
