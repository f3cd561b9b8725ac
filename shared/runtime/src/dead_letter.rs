//! Where what failed for good is kept, for senders that would otherwise send it again for days.

use std::sync::Arc;

use futures::future::BoxFuture;
use stanch_core::{Report, Result};

use crate::{answer::Answer, env::Env};

/// Keeps a body: Pub/Sub's topic, or a test's list.
pub(crate) trait DeadLetters: Send + Sync {
    /// Publishes the body with these attributes.
    fn publish<'a>(&'a self, body: &'a [u8], attributes: Vec<(&'static str, String)>) -> BoxFuture<'a, Result<()>>;
}

/// Opens a topic. Connects when it is first used.
pub(crate) type Open = fn(&Env, String) -> Arc<dyn DeadLetters>;

/// The topic of `STANCH_DEAD_LETTER`, if any.
#[derive(Clone, Default)]
pub(crate) struct DeadLetter(Option<Arc<dyn DeadLetters>>);

impl DeadLetter {
    /// From the environment.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`] when the topic's name has not its form, or this binary cannot publish.
    pub(crate) fn read(env: &Env, open: Option<Open>) -> Result<Self> {
        const NAME: &str = "STANCH_DEAD_LETTER";
        let Some(topic) = env.text(NAME)? else { return Ok(Self(None)) };
        let Some(open) = open else {
            return Err(stanch_core::Error::invalid(NAME, "is set, but this binary does not know Pub/Sub"));
        };
        if !is_resource(&topic, "topics") {
            return Err(stanch_core::Error::invalid(NAME, "must be projects/P/topics/T"));
        }
        Ok(Self(Some(open(env, topic))))
    }

    /// Logs what failed for good and keeps a copy of it.
    ///
    /// # Errors
    /// When there is a topic and it does not take the copy: the sender must keep it then.
    pub(crate) async fn keep(&self, body: &[u8], answer: &Answer) -> Result<()> {
        let Some(report) = answer.failure() else { return Ok(()) };
        let Some(topic) = &self.0 else {
            log(report, "failed for good; no dead-letter topic keeps a copy");
            return Ok(());
        };
        topic.publish(body, attributes(report)).await?;
        log(report, "failed for good; the dead-letter topic keeps a copy");
        Ok(())
    }
}

fn attributes(report: &Report) -> Vec<(&'static str, String)> {
    let mut attributes = vec![("responder", report.responder.clone()), ("status", report.status.as_str().to_owned())];
    attributes.extend(report.error.map(|kind| ("kind", kind.as_str().to_owned())));
    attributes.extend(report.incident.as_ref().map(|incident| ("incident", incident.to_string())));
    // An attribute holds 1024 bytes at most (Pub/Sub: "Quotas and limits").
    attributes.extend(report.reason.as_ref().map(|it| ("reason", it.chars().take(250).collect())));
    attributes
}

fn log(report: &Report, message: &str) {
    let incident = report.incident.as_ref().map(stanch_core::IncidentId::as_str);
    let kind = report.error.map(stanch_core::Kind::as_str);
    let reason = report.reason.as_deref();
    tracing::error!(incident, status = report.status.as_str(), kind, reason, "{message}");
}

/// `projects/P/COLLECTION/NAME`, with nothing in it that could lead elsewhere.
pub(crate) fn is_resource(name: &str, collection: &str) -> bool {
    let part =
        |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~+%:".contains(&c));
    let mut parts = name.split('/');
    parts.next() == Some("projects")
        && parts.next().is_some_and(part)
        && parts.next() == Some(collection)
        && parts.next().is_some_and(part)
        && parts.next().is_none()
}
