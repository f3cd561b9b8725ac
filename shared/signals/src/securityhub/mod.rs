//! AWS Security Hub: findings of any product, as EventBridge sends them ("EventBridge event formats for Security Hub
//! CSPM", "EventBridge event formats" of Security Hub): "Findings - Imported" and "Findings - Custom Action" in the AWS
//! Security Finding Format, "Findings Imported V2" in OCSF, and "Insight Results", which only count.
//!
//! - A finding of GuardDuty keeps GuardDuty's own id and type, so that it makes the same incident as the event that
//!   GuardDuty itself sends. Of any other product the incident is `securityhub-` and 24 hexadecimal digits over the
//!   product and its id of the finding, which is the identifier of a finding in Security Hub ("AwsSecurityFinding").
//! - Archived, suppressed, resolved, passed and sample findings are inactive, and checks that could not be made.
//! - A resource of another account than the finding's is refused. The event's account is the finding's, or one of
//!   `STANCH_DETECTOR_ACCOUNTS`. The event's region may be another one: Security Hub gathers findings of all regions.

mod asff;
mod insight;
mod ocsf;
mod resource;

use stanch_core::{Alert, Error, IncidentId, Result, Source};

use crate::{
    Context,
    at::At,
    document::keys,
    guardduty::{finding_type::Kind, place::finding_of},
    text::{brief, incident, plain},
};

/// The alerts of an event.
pub(crate) fn event(event: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let (kind, detail) = (event.get("detail-type")?, event.get("detail")?);
    let findings = |read: fn(&At<'_>, Option<&At<'_>>, &Context) -> Result<Alert>| {
        Ok(detail.get("findings")?.each()?.map(|finding| read(&finding, Some(event), context)).collect())
    };
    match kind.text()? {
        Some("Security Hub Findings - Imported" | "Security Hub Findings - Custom Action") => findings(asff::finding),
        Some("Findings Imported V2") => findings(ocsf::finding),
        Some("Security Hub Insight Results") => insight::results(event, &detail, context),
        _ => Err(kind.wrong("must be a kind of event of Security Hub that holds findings")),
    }
}

/// A finding as the API answers it.
pub(crate) fn bare(finding: &At<'_>, context: &Context) -> Result<Alert> {
    if ocsf::is_finding(finding) {
        ocsf::finding(finding, None, context)
    } else {
        asff::finding(finding, None, context)
    }
}

/// Is it in the AWS Security Finding Format?
pub(crate) fn is_asff(at: &At<'_>) -> bool {
    at.marks(keys!["ProductArn", "AwsAccountId"]) != 0
}

/// Is it a finding in OCSF?
pub(crate) fn is_ocsf(at: &At<'_>) -> bool {
    ocsf::is_finding(at)
}

/// Which finding of which product.
struct Identity<'a> {
    incident: IncidentId,
    source: Source,
    /// The product's id of it.
    id: String,
    /// GuardDuty's type, where it is GuardDuty's.
    kind: Option<Kind<'a>>,
}

/// `kind` is GuardDuty's type, if the product is GuardDuty.
fn identity<'a>(id: &At<'a>, product: &str, kind: Option<Kind<'a>>) -> Result<Identity<'a>> {
    let text = id.required_text()?;
    if kind.is_some() && text.starts_with("arn:") {
        let resource = text.splitn(6, ':').nth(5).unwrap_or_default();
        let finding = finding_of(resource).ok_or_else(|| id.wrong("must be the ARN of a finding of GuardDuty"))?;
        if finding.is_empty() || !finding.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err(id.wrong("must end in letters, digits and -"));
        }
        let incident = id.parse(&format!("guardduty-{finding}"))?;
        return Ok(Identity { incident, source: Source::GuardDuty, id: finding.to_owned(), kind });
    }
    let incident = incident("securityhub", &[product, text])?;
    Ok(Identity { incident, source: Source::SecurityHub, id: plain(text), kind: None })
}

/// What cannot be read of a finding about which nothing is done anyway is noted, not refused.
fn lenient<T: Default>(read: Result<T>, inactive: Option<&str>) -> Result<(T, Option<String>)> {
    let noted = |error: Error| (T::default(), Some(format!("the resources cannot be read ({})", brief(&error))));
    match (read, inactive) {
        (Ok(found), _) => Ok((found, None)),
        (Err(error), Some(_)) => Ok(noted(error)),
        (Err(error), None) => Err(error),
    }
}

#[cfg(test)]
mod tests;
