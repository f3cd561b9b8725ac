//! Amazon GuardDuty: one finding, as EventBridge sends it (`camelCase`), or as the `GetFindings` API answers it
//! (`PascalCase`, alone or as `{"Findings": [..]}`). Many tools mix the two, so each key is read in either casing.
//!
//! Rules, with the document each comes from ("Amazon GuardDuty User Guide", "Amazon GuardDuty API Reference",
//! "Amazon EventBridge User Guide"):
//! - The source is exactly `aws.guardduty`: `PutEvents` refuses sources that begin with `aws.`, so no one in the
//!   account can forge it ("PutEventsRequestEntry").
//! - The incident is `guardduty-` and the finding's id, which stays when GuardDuty sees the activity again.
//! - Account, region and partition must be the same wherever they stand.
//! - Severity 1–10: 9 critical, 7 high, 4 medium, below low ("Severity levels of GuardDuty findings").
//! - Archived and sample findings are inactive ("Sample findings"). Only what an attacker cannot choose marks a
//!   sample: the flag itself, `i-99999999`, and generated ids that could not be real ones. The name of a role can
//!   be chosen: it decides nothing.

mod finding_type;
mod place;
mod subjects;

use jiff::{SignedDuration, Timestamp};
use stanch_core::{Alert, IncidentId, Result, Severity, Source};

use self::place::Place;
use crate::{
    Context, FUTURE, Limits,
    at::At,
    document::Document,
    text::{Notes, plain},
};

/// `GetFindings` answers for at most 50 ids ("GetFindings").
const MAX_FINDINGS: usize = 50;

/// A finding in an EventBridge envelope.
pub(crate) fn event(event: &At<'_>, context: &Context) -> Result<Alert> {
    let source = event.get("source")?;
    match source.text()? {
        Some("aws.guardduty") => {}
        Some(other) if other.starts_with("aws.") => {
            return Err(source.wrong("must be aws.guardduty: Stanch does not know the events of other services"));
        }
        _ => return Err(source.wrong("must be aws.guardduty: a source without aws. can be forged with PutEvents")),
    }
    let kind = event.get("detail-type")?;
    if kind.text()? != Some("GuardDuty Finding") {
        return Err(kind.wrong("must be GuardDuty Finding"));
    }
    let detail = event.get("detail")?;
    if !detail.is_present() {
        return Err(detail.missing());
    }
    let sent = event.get("time")?.time()?;
    let mut alert = finding(&detail.in_either_case(), Some(event))?;
    if alert.inactive.is_none() && sent.is_some_and(|sent| is_future(sent, context.now)) {
        alert.inactive = Some(FUTURE.to_owned());
    }
    Ok(alert)
}

/// The findings of a `GetFindings` answer.
pub(crate) fn list(answer: &At<'_>) -> Result<Vec<Alert>> {
    let findings = answer.clone().in_either_case().get("findings")?;
    let items = findings.items()?;
    if items.len() > MAX_FINDINGS {
        return Err(findings.wrong("must hold at most 50 findings"));
    }
    items.iter().map(|item| finding(item, None)).collect()
}

/// A bare finding.
pub(crate) fn bare(finding_: &At<'_>) -> Result<Alert> {
    finding(&finding_.clone().in_either_case(), None)
}

/// Is the time further ahead than clocks differ?
pub(crate) fn is_future(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > SignedDuration::from_mins(5)
}

fn finding(finding: &At<'_>, envelope: Option<&At<'_>>) -> Result<Alert> {
    let mut notes = Notes::default();
    let id = finding.get("id")?;
    let finding_id = id.required_text()?;
    if finding_id.is_empty() || !finding_id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Err(id.wrong("must be letters, digits and -"));
    }
    let incident: IncidentId = id.parse(&format!("guardduty-{finding_id}"))?;

    let kind = finding.get("type")?.required_text()?;
    if !finding_type::is_known(kind) {
        notes.add("the finding type is unknown");
    }
    if finding.get("schemaVersion")?.text()? != Some("2.0") {
        notes.add("the schema version is not 2.0");
    }
    let service = finding.get("service")?;
    let resource = finding.get("resource")?;
    let section = resource.section()?;
    let (archived, sample) = (service.get("archived")?.flag()?, is_sample(&service, &resource)?);

    let mut read = || {
        let place = Place::read(finding, finding_id, envelope)?;
        if let Some(resource) = section {
            return subjects::read(resource, &place, is_runtime(kind, &service)?, &mut notes);
        }
        notes.add("the finding names no resource");
        Ok(subjects::Found::default())
    };
    let found = read();
    // A sample's account or cluster need not be real ("GeneratedFindingEKSClusterArn" is no ARN). Nothing is done
    // about a sample anyway, so it is shown instead of refused.
    let found = match found {
        Err(error) if sample => {
            notes.add(format!("the sample's resource cannot be read ({error})"));
            subjects::Found::default()
        }
        found => found?,
    };
    Ok(Alert {
        id: Some(finding_id.to_owned()),
        severity: severity(&finding.get("severity")?)?,
        first_seen: service.get("eventFirstSeen")?.time()?,
        last_seen: service.get("eventLastSeen")?.time()?,
        subjects: found.subjects,
        inactive: match (archived, sample) {
            (Some(true), _) => Some("the finding is archived".to_owned()),
            (_, true) => Some("the finding is a sample".to_owned()),
            _ => None,
        },
        acted_as: found.acted_as,
        note: notes.finish(),
        ..Alert::new(incident, Source::GuardDuty, plain(kind))
    })
}

/// `service.featureName` says it; older findings say it in their type only.
fn is_runtime(kind: &str, service: &At<'_>) -> Result<bool> {
    Ok(kind.contains(":Runtime/") || service.get("featureName")?.text()? == Some("RuntimeMonitoring"))
}

fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    Ok(match at.number()? {
        None => None,
        Some(number) if !(1.0..=10.0).contains(&number) => return Err(at.wrong("must be 1 to 10")),
        Some(9.0..) => Some(Severity::Critical),
        Some(7.0..) => Some(Severity::High),
        Some(4.0..) => Some(Severity::Medium),
        Some(_) => Some(Severity::Low),
    })
}

/// The flag stands in `service.additionalInfo.sample`, in the JSON text `service.additionalInfo.value`, or both.
fn is_sample(service: &At<'_>, resource: &At<'_>) -> Result<bool> {
    let info = service.get("additionalInfo")?;
    let Some(info) = info.section()? else { return Ok(is_generated(resource)) };
    let value = info.get("value")?;
    let copy = value.text()?.and_then(|text| Document::read(text.as_bytes(), &Limits::default()).ok());
    let in_copy = match copy.as_ref().map(Document::top) {
        Some(copy) if copy.is_object() => copy.get("sample")?.flag().map_err(|error| error.within(&value.path()))?,
        _ => None,
    };
    Ok(info.get("sample")?.flag()? == Some(true) || in_copy == Some(true) || is_generated(resource))
}

fn is_generated(resource: &At<'_>) -> bool {
    const GENERATED: [&[&str]; 5] = [
        &["accessKeyDetails", "accessKeyId"],
        &["accessKeyDetails", "principalId"],
        &["eksClusterDetails", "arn"],
        // No Kubernetes name has capital letters, so neither of these could be chosen.
        &["kubernetesDetails", "kubernetesWorkloadDetails", "name"],
        &["kubernetesDetails", "kubernetesWorkloadDetails", "namespace"],
    ];
    resource.peek(&["instanceDetails", "instanceId"]) == Some("i-99999999")
        || GENERATED.iter().any(|keys| resource.peek(keys).is_some_and(|text| text.starts_with("GeneratedFinding")))
}

#[cfg(test)]
mod tests;
