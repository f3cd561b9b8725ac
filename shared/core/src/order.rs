//! What a responder is asked to do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    alert::Alert,
    error::{Error, Result},
    names::IncidentId,
    responder::Responder,
    target::{Target, TargetKind},
};

/// What to do with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Show it.
    Plan,
    /// Carry it out.
    Apply,
    /// Undo what was carried out.
    Revert,
}

impl Mode {
    /// The word in an order.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Revert => "revert",
        }
    }
}

/// An order as JSON: what a person or a playbook sends, and what `undo` in a report holds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What to do.
    pub mode: Mode,
    /// For which incident.
    pub incident: IncidentId,
    /// On what.
    pub target: Target,
    /// The responder's options.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
    /// Who says to be asking: a comment. The proved identity is the host's, see [`Caller`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// A person names a target in a control-plane namespace on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// Without the options: they may hold a key.
impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("mode", &self.mode)
            .field("incident", &self.incident)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Order {
    /// One order for each subject of an alert that responder `R` can take.
    pub fn from_alert<R: Responder>(alert: &Alert) -> Vec<Self> {
        alert
            .subjects
            .iter()
            .filter(|subject| R::Target::of(subject).is_some())
            .map(|subject| Self {
                mode: Mode::Apply,
                incident: alert.incident.clone(),
                target: subject.clone(),
                options: Value::Null,
                requested_by: None,
                protected: false,
            })
            .collect()
    }

    /// The target as the kind that `R` takes.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when `R` does not take that kind.
    pub fn target_for<R: Responder>(&self) -> Result<R::Target> {
        R::Target::of(&self.target).ok_or_else(|| {
            Error::invalid("target.kind", format!("{} takes {}", R::NAME, R::Target::KINDS.join(" or ")))
        })
    }

    /// The options as `R` defines them.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when an option is unknown or has the wrong type.
    pub fn options_for<R: Responder>(&self) -> Result<R::Options> {
        match &self.options {
            Value::Null => Ok(R::Options::default()),
            // The text of a serde error names field and type; of a value it repeats at most a number or a bool.
            options => {
                R::Options::deserialize(options).map_err(|error| Error::invalid("options", plain(&error.to_string())))
            }
        }
    }
}

/// A message without control characters, so that it cannot draw on a terminal or forge a log line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// Who is behind a request, as the host proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The proved identity: an e-mail address, a service account, an ARN, a local user.
    pub id: String,
    /// When the proof was issued (a token's `iat`); `None` where the transport itself excludes replays.
    pub proved_at: Option<Timestamp>,
}

/// Why there is an order.
#[derive(Clone, Debug)]
pub enum Cause {
    /// A detector's alert: may plan, and apply where the responder's trigger allows it.
    Alert(Box<Alert>),
    /// A person or a playbook: may do anything that the guard allows.
    Person,
}

/// One order on its way through the driver.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked.
    pub order: Order,
    /// Why.
    pub cause: Cause,
    /// Who asks.
    pub caller: Caller,
    /// The host's id of this delivery: the same id takes its own lease back at once. A host gives two deliveries
    /// that can run at the same time two ids.
    pub id: String,
    /// When the host will stop us.
    pub deadline: Timestamp,
}

impl Request {
    /// The alert behind it, if any.
    pub fn alert(&self) -> Option<&Alert> {
        match &self.cause {
            Cause::Alert(alert) => Some(alert),
            Cause::Person => None,
        }
    }
}
