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
    /// The detector's own id of what it saw; `None` where it gives none that lasts (Falco, Tracee).
    #[serde(default)]
    pub id: Option<String>,
    /// Who said it.
    pub source: Source,
    /// The detector's name for what it saw: a finding type, a rule, an audited method.
    pub rule: String,
    /// How bad the detector thinks it is; `None` where it does not say.
    pub severity: Option<Severity>,
    /// How sure the detector is, in percent, where it says so.
    #[serde(default)]
    pub confidence: Option<u8>,
    /// How often it has seen this, where it counts.
    #[serde(default)]
    pub count: Option<u64>,
    /// What the attacker is after, as MITRE ATT&CK calls it, where the detector documents it.
    #[serde(default)]
    pub tactic: Option<String>,
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

impl Alert {
    /// An alert of which no more is known yet.
    pub fn new(incident: IncidentId, source: Source, rule: impl Into<String>) -> Self {
        Self {
            incident,
            id: None,
            source,
            rule: rule.into(),
            severity: None,
            confidence: None,
            count: None,
            tactic: None,
            first_seen: None,
            last_seen: None,
            subjects: Vec::new(),
            inactive: None,
            acted_as: None,
            note: None,
        }
    }
}

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Amazon GuardDuty.
    #[serde(rename = "guardduty", alias = "guard-duty")]
    GuardDuty,
    /// AWS Security Hub, speaking for a product that is no detector of its own here.
    SecurityHub,
    /// Google Security Command Center.
    SecurityCommandCenter,
    /// Google Cloud Logging.
    CloudLogging,
    /// Google Cloud Monitoring.
    CloudMonitoring,
    /// The audit log of a Kubernetes API server.
    KubernetesAudit,
    /// Falco.
    Falco,
    /// Aqua Tracee.
    Tracee,
    /// A `PolicyReport`, whichever engine wrote it.
    PolicyReport,
    /// Aqua Trivy.
    Trivy,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GuardDuty => "GuardDuty",
            Self::SecurityHub => "Security Hub",
            Self::SecurityCommandCenter => "Security Command Center",
            Self::CloudLogging => "Cloud Logging",
            Self::CloudMonitoring => "Cloud Monitoring",
            Self::KubernetesAudit => "Kubernetes audit",
            Self::Falco => "Falco",
            Self::Tracee => "Tracee",
            Self::PolicyReport => "PolicyReport",
            Self::Trivy => "Trivy",
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
