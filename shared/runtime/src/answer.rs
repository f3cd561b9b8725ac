//! What came of one delivery.

use serde_json::Value;
use stanch_core::{Error, Kind, Report, Status};

/// The reports of one delivery, in the order of its subjects.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reports: Vec<Report>,
    /// Handling it panicked: a defect of ours.
    pub(crate) panicked: bool,
}

impl Answer {
    pub(crate) const fn of(reports: Vec<Report>) -> Self {
        Self { reports, panicked: false }
    }

    /// Being called again with the same can bring it further.
    pub(crate) fn wants_retry(&self) -> bool {
        self.reports.iter().any(Report::wants_retry)
    }

    /// The first report that failed for good. A refusal is an answer, not a failure.
    pub(crate) fn failure(&self) -> Option<&Report> {
        self.reports
            .iter()
            .find(|report| !report.wants_retry() && matches!(report.status, Status::Failed | Status::Partial))
    }

    /// The first report that asks for another try.
    pub(crate) fn retry(&self) -> Option<&Report> {
        self.reports.iter().find(|report| report.wants_retry())
    }

    /// One report as an object, several as a list.
    pub(crate) fn to_json(&self) -> Value {
        match self.reports.as_slice() {
            [report] => serde_json::to_value(report),
            reports => serde_json::to_value(reports),
        }
        .unwrap_or(Value::Null)
    }

    /// The worst exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        // Worst first: something failed, the input was bad, something was refused.
        [1, 2, 3].into_iter().find(|code| self.reports.iter().any(|it| it.exit_code() == *code)).unwrap_or(0)
    }
}

/// The exit code of an error that comes before any report.
pub(crate) fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        Kind::Invalid => 2,
        Kind::Refused => 3,
        _ => 1,
    }
}
