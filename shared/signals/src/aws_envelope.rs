//! What AWS puts around events: SQS and SNS records as Lambda gets them, SNS notifications as a queue or an HTTP
//! endpoint gets them, and lists as EventBridge Pipes gives them ("Using Lambda with Amazon SQS", "Using Lambda with
//! Amazon SNS", "Amazon SNS message and JSON formats", "Amazon EventBridge Pipes batching and concurrency").

use stanch_core::Result;

use crate::{at::At, document::keys};

/// Is it a message as Lambda and Pipes get it from a queue?
pub(crate) fn is_queued(at: &At<'_>) -> bool {
    let source = at.get("eventSource").ok().and_then(|at| at.text().ok().flatten());
    source == Some("aws:sqs")
}

/// Is it a notification as SNS sends it to a queue or an HTTP endpoint?
pub(crate) fn is_notification(at: &At<'_>) -> bool {
    at.marks(keys!["Type", "TopicArn", "Message"]) == 7
}

/// The text that a record of a batch carries.
pub(crate) fn record<'a>(record: &At<'a>) -> Result<At<'a>> {
    let (queue, topic) = (record.get("eventSource")?, record.get("EventSource")?);
    match (queue.text()?, topic.text()?) {
        (Some("aws:sqs"), None) => Ok(record.get("body")?),
        (None, Some("aws:sns")) => Ok(record.get("Sns")?.get("Message")?),
        (None, None) => Err(queue.missing()),
        (Some(_), _) => Err(queue.wrong("must be aws:sqs")),
        (None, Some(_)) => Err(topic.wrong("must be aws:sns")),
    }
}

/// The message of a notification.
pub(crate) fn notification<'a>(notification: &At<'a>) -> Result<At<'a>> {
    let kind = notification.get("Type")?;
    match kind.text()? {
        Some("Notification") => notification.get("Message"),
        Some("SubscriptionConfirmation") => {
            Err(kind.wrong("asks for a confirmation: confirm the subscription yourself"))
        }
        _ => Err(kind.wrong("must be Notification")),
    }
}
