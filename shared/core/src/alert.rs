//! One thing that a detector said, in one shape.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{names::IncidentId, target::Target};

/// What a detector reported, decoded and validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Derived from the detector's own stable id, so that redeliveries and sibling responders agree.
    pub incident: IncidentId,
    /// Who said it.
    pub source: Source,
    /// The detector's name for what it saw: a finding type, a rule, an audited method.
    pub rule: String,
    /// How bad the detector thinks it is; `None` where it does not say.
    pub severity: Option<Severity>,
    /// When it was first seen.
    pub first_seen: Option<Timestamp>,
    /// When it was last seen. Newer than a revert = the attacker is active again.
    pub last_seen: Option<Timestamp>,
    /// The resources that it names, most specific first. Empty: nothing can be done about it, and `note` says why.
    pub subjects: Vec<Target>,
    /// Why nothing may be done: archived, a sample, closed, muted.
    pub inactive: Option<String>,
    /// Whom the caller pretended to be. Shown, and never contained: else the attacker picks the victim.
    pub acted_as: Option<String>,
    /// What the decoder wants the reader to know: an unknown type, a subject that could not be told.
    pub note: Option<String>,
}

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Amazon GuardDuty.
    GuardDuty,
    /// Google Cloud Logging.
    CloudLogging,
    /// Falco.
    Falco,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GuardDuty => "GuardDuty",
            Self::CloudLogging => "Cloud Logging",
            Self::Falco => "Falco",
        })
    }
}

/// The one scale that all detectors are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// GuardDuty 1–3.9.
    Low,
    /// GuardDuty 4–6.9.
    Medium,
    /// GuardDuty 7–8.9, Security Command Center HIGH, Falco Critical.
    High,
    /// GuardDuty 9–10, Falco Alert and Emergency.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}
