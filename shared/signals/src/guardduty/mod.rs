//! Amazon GuardDuty: one finding, as EventBridge sends it (`camelCase`), or as the `GetFindings` API answers it
//! (`PascalCase`, alone or as `{"Findings": [..]}`). Many tools mix the two, so each key is read in either casing.
//!
//! Rules, with the document each comes from ("Amazon GuardDuty User Guide", "Amazon GuardDuty API Reference",
//! "Amazon EventBridge User Guide"):
//! - The incident is `guardduty-` and the finding's id, which stays when GuardDuty sees the activity again.
//! - Account, region and partition must be the same wherever they stand, but for the two exceptions in `place`.
//! - Severity 1–10: 9 critical, 7 high, 4 medium, below low ("Severity levels of GuardDuty findings").
//! - Archived and sample findings are inactive ("Sample findings"). Only what an attacker cannot choose marks a
//!   sample: the flag itself, `i-99999999`, and generated ids that could not be real ones. The name of a role can
//!   be chosen: it decides nothing.

pub(crate) mod finding_type;
pub(crate) mod place;
mod sequence;
mod subjects;

use stanch_core::{Alert, IncidentId, Result, Severity, Source};

use self::finding_type::Kind;
use crate::{
    Context, Limits,
    at::At,
    document::Document,
    text::{Notes, brief, plain},
};

/// A finding in an EventBridge envelope.
pub(crate) fn event(event: &At<'_>, context: &Context) -> Result<Alert> {
    let kind = event.get("detail-type")?;
    if kind.text()? != Some("GuardDuty Finding") {
        return Err(kind.wrong("must be GuardDuty Finding"));
    }
    let detail = event.get("detail")?;
    if !detail.is_present() {
        return Err(detail.missing());
    }
    finding(&detail.in_either_case(), Some(event), context)
}

/// A bare finding.
pub(crate) fn bare(finding_: &At<'_>, context: &Context) -> Result<Alert> {
    finding(&finding_.in_either_case(), None, context)
}

fn finding(finding: &At<'_>, envelope: Option<&At<'_>>, context: &Context) -> Result<Alert> {
    let mut notes = Notes::default();
    let id = finding.get("id")?;
    let finding_id = id.required_text()?;
    if finding_id.is_empty() || !finding_id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Err(id.wrong("must be letters, digits and -"));
    }
    let incident: IncidentId = id.parse(&format!("guardduty-{finding_id}"))?;

    let name = finding.get("type")?.required_text()?;
    let service = finding.get("service")?;
    let resource = finding.get("resource")?;
    let kind = Kind { name, feature: service.get("featureName")?.text()? };
    if !kind.is_known() {
        notes.add("the finding type is unknown");
    }
    if finding.get("schemaVersion")?.text()? != Some("2.0") {
        notes.add("the schema version is not 2.0");
    }
    let section = resource.section()?;
    let (archived, sample) = (service.get("archived")?.flag()?, is_sample(&service, &resource)?);

    let mut read = |envelope| {
        let place = place::read(finding, finding_id, envelope, context, kind.is_global())?;
        if kind.is_sequence() {
            return sequence::read(&service, &place, &mut notes);
        }
        if let Some(resource) = section {
            return subjects::read(resource, &place, kind, &mut notes);
        }
        notes.add("the finding names no resource");
        Ok(subjects::Found::default())
    };
    let found = read(envelope);
    // A sample's account or cluster need not be real ("GeneratedFindingEKSClusterArn" is no ARN). Nothing is done
    // about a sample anyway, so it is shown instead of refused.
    let found = match found {
        Err(error) if sample => read(None).unwrap_or_else(|_| {
            notes.add(format!("the sample's resource cannot be read ({})", brief(&error)));
            subjects::Found::default()
        }),
        found => found?,
    };
    let tactic = if kind.is_sequence() { sequence::tactics(&service)? } else { None };
    Ok(Alert {
        id: Some(finding_id.to_owned()),
        severity: severity(&finding.get("severity")?)?,
        confidence: confidence(&finding.get("confidence")?)?,
        count: service.get("count")?.integer()?.and_then(|count| count.try_into().ok()),
        tactic: tactic.or_else(|| kind.tactic().map(str::to_owned)),
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
        ..Alert::new(incident, Source::GuardDuty, plain(name))
    })
}

/// A score that GuardDuty does not document further; one that is no percentage is left out.
fn confidence(at: &At<'_>) -> Result<Option<u8>> {
    let number = at.number()?.filter(|number| (0.0..=100.0).contains(number));
    Ok(number.and_then(|number| format!("{number:.0}").parse().ok()))
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
