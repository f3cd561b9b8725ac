//! The Open Cybersecurity Schema Framework, as Security Hub writes it ("OCSF findings in Security Hub"; OCSF: classes
//! of the category Findings). Many keys come as a number and as a text; the numbers are read.

use jiff::Timestamp;
use stanch_core::{Alert, Result, Severity};

use super::{
    Identity, identity, lenient,
    resource::{Resource, read},
};
use crate::{
    Context,
    at::At,
    aws::{Arn, Place},
    document::keys,
    guardduty::finding_type::Kind,
    text::{Notes, plain},
};

/// Is it a finding in OCSF?
pub(super) fn is_finding(at: &At<'_>) -> bool {
    at.marks(keys!["class_uid", "finding_info"]) == 3
}

/// One finding.
pub(super) fn finding(finding: &At<'_>, event: Option<&At<'_>>, context: &Context) -> Result<Alert> {
    let mut notes = Notes::default();
    let info = finding.get("finding_info")?;
    let product = finding.get("metadata")?.get("product")?;
    let (product_id, product_name) = (product.get("uid")?.text()?, product.get("name")?.text()?);
    let types = info.get("types")?.items()?;
    // Of GuardDuty the last is its own type, behind the category.
    let kind = types.last().map(At::text).transpose()?.flatten();
    let of_guardduty = product_id.is_some_and(|id| id.ends_with("/aws/guardduty"))
        || product_id.is_none() && product_name == Some("GuardDuty");
    let of_kind = of_guardduty.then_some(Kind { name: kind.unwrap_or_default(), feature: None });
    let product = product_id.or(product_name).unwrap_or_default();
    let uid = info.get("uid")?;
    let Identity { incident, source, id, kind: of_kind } = identity(&uid, product, of_kind)?;
    if of_kind.is_some_and(|kind| !kind.is_known()) {
        notes.add("the finding type is unknown");
    }

    let mut inactive = inactive(finding)?;
    let account = finding.get("cloud")?.get("account")?.get("uid")?;
    let found = (|| {
        let account = account.name()?.ok_or_else(|| account.missing())?;
        if let Some(event) = event {
            Place::admits(&account, event, context)?;
        }
        // Security Hub writes this id, and it is no resource: that it speaks of another account makes the finding
        // doubtful, so nothing is done about it.
        if of_kind.is_some() && Arn::read(&uid, "guardduty")?.is_some_and(|arn| arn.account != account) {
            inactive = inactive.or(Some("its id names another account than the finding"));
        }
        let place = Place { account, region: finding.get("cloud")?.get("region")?.name()? };
        let resources = finding.get("resources")?.each()?.map(|it| resource(&it)).collect::<Result<Vec<_>>>()?;
        read(&resources, &place, of_kind.is_some_and(Kind::is_credential_theft), &mut notes)
    })();
    let (found, unread) = lenient(found, inactive)?;
    if let Some(note) = unread {
        notes.add(note);
    }

    let rule = of_kind.map(|kind| kind.name).or(kind).or(info.get("title")?.text()?).unwrap_or("finding");
    Ok(Alert {
        id: Some(id),
        severity: severity(&finding.get("severity_id")?)?,
        confidence: finding
            .get("confidence_score")?
            .integer()?
            .and_then(|it| it.try_into().ok())
            .filter(|it| *it <= 100),
        count: finding.get("count")?.integer()?.and_then(|count| count.try_into().ok()),
        tactic: of_kind.and_then(Kind::tactic).map(str::to_owned),
        first_seen: time(&info, "first_seen_time_dt", "first_seen_time")?,
        last_seen: time(&info, "last_seen_time_dt", "last_seen_time")?,
        subjects: found.subjects,
        inactive: inactive.map(str::to_owned),
        acted_as: found.acted_as,
        note: notes.finish(),
        ..Alert::new(incident, source, plain(rule))
    })
}

fn resource<'a>(at: &At<'a>) -> Result<Resource<'a>> {
    let container = at.get("device")?.get("container")?;
    let container = if container.is_object() { container } else { container.absent() };
    Ok(Resource {
        kind: at.get("type")?.text()?.unwrap_or_default(),
        id: at.get("uid")?,
        region: at.get("region")?,
        owner: at.get("owner")?.get("account")?.get("uid")?,
        details: at.get("device")?.absent(),
        image: container.get("image")?.get("name")?,
    })
}

/// `status_id`: 3 suppressed, 4 resolved, 5 archived, 6 deleted; `activity_id`: 3 closed; of a compliance finding,
/// `compliance.status_id`: 1 pass.
fn inactive(finding: &At<'_>) -> Result<Option<&'static str>> {
    if finding.get("compliance")?.get("status_id")?.integer()? == Some(1) {
        return Ok(Some("the check has passed"));
    }
    Ok(match (finding.get("status_id")?.integer()?, finding.get("activity_id")?.integer()?) {
        (Some(3), _) => Some("the finding is suppressed"),
        (Some(4), _) => Some("the finding is resolved"),
        (Some(5), _) => Some("the finding is archived"),
        (Some(6), _) => Some("the finding is deleted"),
        (_, Some(3)) => Some("the finding is closed"),
        _ => None,
    })
}

fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    Ok(match at.integer()? {
        Some(1) => Some(Severity::Info),
        Some(2) => Some(Severity::Low),
        Some(3) => Some(Severity::Medium),
        Some(4) => Some(Severity::High),
        Some(5 | 6) => Some(Severity::Critical),
        _ => None,
    })
}

/// RFC 3339, or milliseconds since 1970.
fn time(info: &At<'_>, text: &'static str, number: &'static str) -> Result<Option<Timestamp>> {
    if let Some(time) = info.get(text)?.time()? {
        return Ok(Some(time));
    }
    let at = info.get(number)?;
    let time = |ms| Timestamp::from_millisecond(ms).map_err(|_| at.wrong("must be a time in milliseconds"));
    at.integer()?.map(time).transpose()
}
