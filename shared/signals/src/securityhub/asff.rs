//! The AWS Security Finding Format ("AwsSecurityFinding").

use stanch_core::{Alert, Result, Severity};

use super::{
    Identity, identity, lenient,
    resource::{Resource, read},
};
use crate::{
    Context,
    at::At,
    aws::Place,
    guardduty::finding_type::Kind,
    text::{Notes, plain},
};

/// One finding.
pub(super) fn finding(finding: &At<'_>, event: Option<&At<'_>>, context: &Context) -> Result<Alert> {
    let mut notes = Notes::default();
    if finding.get("SchemaVersion")?.text()? != Some("2018-10-08") {
        notes.add("the schema version is not 2018-10-08");
    }
    let product = finding.get("ProductArn")?;
    let product = product.text()?.unwrap_or_default();
    let types = finding.get("Types")?.items()?;
    let kind = types.first().map(At::text).transpose()?.flatten();
    // GuardDuty's type with - for /, behind a namespace and a category: TTPs/Execution/Execution:Runtime-NewBinary…
    let of_guardduty = product.ends_with(":product/aws/guardduty");
    let spelled = kind.and_then(|kind| kind.rsplit('/').next()).unwrap_or_default().replacen('-', "/", 1);
    let of_kind = of_guardduty.then_some(Kind { name: &spelled, feature: None });
    let Identity { incident, source, id, .. } = identity(&finding.get("Id")?, product, of_kind)?;
    if of_kind.is_some_and(|kind| !kind.is_known()) {
        notes.add("the finding type is unknown");
    }

    let fields = finding.get("ProductFields")?;
    let inactive = inactive(finding, &fields)?;
    let account = finding.get("AwsAccountId")?;
    let found = (|| {
        let account = account.name()?.ok_or_else(|| account.missing())?;
        if let Some(event) = event {
            Place::admits(&account, event, context)?;
        }
        let place = Place { account, region: finding.get("Region")?.name()? };
        let resources = finding.get("Resources")?.each()?.map(|it| resource(&it)).collect::<Result<Vec<_>>>()?;
        read(&resources, &place, of_kind.is_some_and(Kind::is_credential_theft), &mut notes)
    })();
    let (found, unread) = lenient(found, inactive)?;
    if let Some(note) = unread {
        notes.add(note);
    }

    let rule = match of_kind {
        Some(kind) => kind.name.to_owned(),
        // Of a control, its id says more than the standard's name.
        None if product.ends_with(":product/aws/securityhub") => {
            finding.get("GeneratorId")?.text()?.or(kind).unwrap_or("finding").to_owned()
        }
        None => kind.or(finding.get("GeneratorId")?.text()?).unwrap_or("finding").to_owned(),
    };
    let count = match fields.get("aws/guardduty/service/count")? {
        at if at.is_present() => at,
        _ => fields.get("count")?,
    };
    Ok(Alert {
        id: Some(id),
        severity: severity(&finding.get("Severity")?)?,
        confidence: finding.get("Confidence")?.integer()?.and_then(|it| it.try_into().ok()).filter(|it| *it <= 100),
        count: count.text()?.and_then(|text| text.parse().ok()),
        tactic: of_kind.and_then(Kind::tactic).map(str::to_owned),
        first_seen: finding.get("FirstObservedAt")?.time()?,
        last_seen: finding.get("LastObservedAt")?.time()?,
        subjects: found.subjects,
        inactive: inactive.map(str::to_owned),
        acted_as: found.acted_as,
        note: notes.finish(),
        ..Alert::new(incident, source, plain(&rule))
    })
}

fn resource<'a>(at: &At<'a>) -> Result<Resource<'a>> {
    let details = at.get("Details")?;
    // Detectors write "" for nothing to say.
    let details = if details.section()?.is_some() { details } else { details.absent() };
    Ok(Resource {
        kind: at.get("Type")?.text()?.unwrap_or_default(),
        id: at.get("Id")?,
        region: at.get("Region")?,
        owner: at.get("Owner")?.absent(),
        details,
        image: details.get("Container")?.get("ImageName")?,
    })
}

fn inactive(finding: &At<'_>, fields: &At<'_>) -> Result<Option<&'static str>> {
    let of_product = |key: &'static str, bare: &'static str| -> Result<bool> {
        Ok(fields.get(key)?.flag()? == Some(true) || fields.get(bare)?.flag()? == Some(true))
    };
    let workflow = finding.get("Workflow")?.get("Status")?.text()?;
    let older = finding.get("WorkflowState")?.text()?;
    let check = finding.get("Compliance")?.get("Status")?.text()?;
    Ok(if finding.get("RecordState")?.text()? == Some("ARCHIVED") {
        Some("the finding is archived")
    } else if workflow == Some("SUPPRESSED") {
        Some("the finding is suppressed")
    } else if workflow == Some("RESOLVED") || older == Some("RESOLVED") {
        Some("the finding is resolved")
    } else if check == Some("PASSED") {
        Some("the check has passed")
    } else if check == Some("NOT_AVAILABLE") {
        Some("the check could not be made")
    } else if finding.get("Sample")?.flag()? == Some(true)
        || of_product("aws/guardduty/service/additionalInfo/sample", "additionalInfo/sample")?
    {
        Some("the finding is a sample")
    } else if of_product("aws/guardduty/service/archived", "archived")? {
        Some("the finding is archived")
    } else {
        None
    })
}

/// The label; in older findings the number that it was made from ("Severity").
fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    let label = at.get("Label")?;
    Ok(Some(match label.text()? {
        Some("INFORMATIONAL") => Severity::Info,
        Some("LOW") => Severity::Low,
        Some("MEDIUM") => Severity::Medium,
        Some("HIGH") => Severity::High,
        Some("CRITICAL") => Severity::Critical,
        Some(_) => return Err(label.wrong("must be a severity of Security Hub")),
        None => match at.get("Normalized")?.number()? {
            None => return Ok(None),
            Some(90.0..) => Severity::Critical,
            Some(70.0..) => Severity::High,
            Some(40.0..) => Severity::Medium,
            Some(1.0..) => Severity::Low,
            Some(_) => Severity::Info,
        },
    }))
}
