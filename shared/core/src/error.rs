//! One error type for the whole of Stanch. Its kind decides everything that follows: whether to try again, the
//! exit code, the HTTP status and what the person reads.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What an error means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A bad event, order or option; the resource names the field.
    Invalid,
    /// The target, or something that it needs, does not exist.
    NotFound,
    /// A permission is missing; the message names it.
    Denied,
    /// The guard, or the state of the ledger, says no.
    Refused,
    /// The state moved: it is neither what was planned from nor what was planned.
    Conflict,
    /// The provider asks for fewer calls; nothing was done.
    Throttled,
    /// No answer, or "try again": the call may or may not have been carried out.
    Unavailable,
    /// The target cannot be contained this way; the message says what to do instead.
    Unsupported,
    /// A defect of ours, or an answer that the provider does not document.
    Internal,
}

impl Kind {
    /// Trying again later can help.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }

    /// The word in logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// A failure: what was attempted, on what, why it failed, and its [`Kind`].
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    operation: String,
    resource: String,
    message: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of an operation, e.g. `ec2:CreateSnapshots`.
    pub fn new(kind: Kind, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: operation.into(),
            resource: String::new(),
            message: message.into(),
            retry_after: None,
            source: None,
        }))
    }

    /// A field that does not hold what its format says. The message must not repeat the value: it may come from
    /// an attacker's machine and end up on a terminal.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "read", message).on(field)
    }

    /// A refusal by the guard or the ledger.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, "guard", message)
    }

    /// Names the resource, or for [`Kind::Invalid`] the field.
    #[must_use]
    pub fn on(mut self, resource: impl Into<String>) -> Self {
        self.0.resource = resource.into();
        self
    }

    /// Puts a field's place in front of its name: `target` + `account` = `target.account`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        if self.0.kind == Kind::Invalid {
            self.0.resource = match self.0.resource.as_str() {
                "" => outer.to_owned(),
                inner => format!("{outer}.{inner}"),
            };
        }
        self
    }

    /// Keeps the cause. It must not repeat what the message says.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// How long the provider asks us to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// What the error means.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was attempted.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// What it was attempted on; the field of an [`Kind::Invalid`].
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// Why it failed, without operation and resource.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// How long the provider asked us to wait, if it did.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, resource, message, source, .. } = &*self.0;
        match (kind, resource.as_str()) {
            (Kind::Refused, "") => write!(f, "refused: {message}")?,
            (Kind::Refused, resource) => write!(f, "refused: {resource}: {message}")?,
            (Kind::Invalid, "") => write!(f, "invalid: {message}")?,
            (Kind::Invalid, field) => write!(f, "invalid {field}: {message}")?,
            (_, "") => write!(f, "{operation}: {message}")?,
            (_, resource) => write!(f, "{operation} on {resource}: {message}")?,
        }
        let mut cause = source.as_deref().map(|cause| cause as &dyn std::error::Error);
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

/// The causes are part of the text (reports carry text), so `source` stays empty and no chain prints them twice.
impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_operation_resource_and_cause_once() {
        let error = Error::new(Kind::Unavailable, "ec2:DescribeInstances", "no answer")
            .on("i-0123456789abcdef0")
            .because(std::io::Error::other("connection reset"));
        assert_eq!(error.to_string(), "ec2:DescribeInstances on i-0123456789abcdef0: no answer: connection reset");
    }

    #[test]
    fn a_field_is_named_with_its_place() {
        let error = Error::invalid("account", "must be 12 digits").within("target");
        assert_eq!(error.to_string(), "invalid target.account: must be 12 digits");
    }
}
