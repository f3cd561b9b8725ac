//! Google Security Command Center: a finding as a continuous export sends it to Pub/Sub (`notificationConfigName`,
//! `finding`, `resource`), as the API answers it (v1 and v2, `ListFindings` included), or bare ("Security Command
//! Center API: Finding, NotificationMessage"). Event Threat Detection, Container Threat Detection, VM Threat Detection
//! and Security Health Analytics differ in where they put the subject; see [`subjects`].
//!
//! - The incident is `scc-`, the source's number, `-` and the finding's id. Both stand in `name` and in
//!   `canonicalName`, for v1 (`…/sources/S/findings/F`) and v2 (`…/sources/S/locations/L/findings/F`), whether the
//!   organization, a folder or the project exports; so all of these make one incident. It stays when the activity goes
//!   on, and `eventTime` moves.
//! - `INACTIVE` and `MUTED` findings are inactive ("Finding.State", "Finding.Mute").
//! - Severity: CRITICAL, HIGH, MEDIUM, LOW; findings from before it was a field of its own keep it in
//!   `sourceProperties`.
//! - Places that disagree are refused: the finding's resource and the notification's, a VM's name in two properties,
//!   an object and those of its kind that are listed, another cloud's resource and a VM of Google's.

mod category;
mod kubernetes;
mod name;
mod owner;
mod subjects;
mod vm;

use stanch_core::{Alert, IncidentId, Result, Severity, Source, Target};

use crate::{
    Context,
    at::{At, agree},
    text::{Notes, plain, title},
};

/// The most findings that `ListFindings` answers with ("`ListFindingsRequest.page_size`").
const MAX_FINDINGS: usize = 1000;

/// Has the document a finding's name?
pub(crate) fn is_finding(at: &At<'_>) -> bool {
    ["name", "canonicalName"].iter().any(|key| {
        at.peek(&[key]).is_some_and(|name| {
            ["organizations/", "folders/", "projects/"].iter().any(|parent| name.starts_with(parent))
                && name.contains("/sources/")
                && name.contains("/findings/")
        })
    })
}

/// The findings of a notification, of an answer, or one alone.
pub(crate) fn findings(at: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let results = at.get("listFindingsResults")?;
    if results.is_present() {
        let items = results.items()?;
        if items.len() > MAX_FINDINGS {
            return Err(results.wrong("must hold at most 1,000 findings"));
        }
        return Ok(items.iter().map(|item| notification(item, context)).collect());
    }
    Ok(vec![notification(at, context)])
}

/// `finding` beside `resource`, as in a notification; Google's documents also print `findings`. Or a finding alone.
fn notification(at: &At<'_>, context: &Context) -> Result<Alert> {
    let config = at.get("notificationConfigName")?;
    config.text()?;
    let inner = at.get_one_of(["finding", "findings"])?;
    if !inner.is_present() {
        if config.is_present() {
            return Err(inner.missing());
        }
        return finding(at, &at.get("resource")?, &at.get("sourceProperties")?, context);
    }
    let beside = (at.get("resource")?, at.get("sourceProperties")?);
    let resource = only(&inner, "resource", beside.0)?;
    let properties = only(&inner, "sourceProperties", beside.1)?;
    finding(&inner, &resource, &properties, context)
}

/// A section that stands in the finding or beside it, never in both: they could differ.
fn only<'a>(finding: &At<'a>, key: &'static str, beside: At<'a>) -> Result<At<'a>> {
    let within = finding.get(key)?;
    match (within.section()?.is_some(), beside.section()?.is_some()) {
        (true, true) => Err(beside.wrong(format!("must not stand beside {}", within.path()))),
        (true, false) => Ok(within),
        _ => Ok(beside),
    }
}

fn finding(finding: &At<'_>, resource: &At<'_>, properties: &At<'_>, context: &Context) -> Result<Alert> {
    let mut notes = Notes::default();
    let (incident, name) = identity(finding)?;
    let category = finding.get("category")?.required_text()?;
    if !category::is_known(category) {
        notes.add("the category is unknown");
    }
    let found = subjects::read(finding, resource, properties, context, &mut notes)?;
    let (last_seen, first_seen) = (finding.get("eventTime")?.time()?, finding.get("createTime")?.time()?);
    Ok(Alert {
        id: Some(plain(name)),
        severity: severity(finding, properties)?,
        tactic: finding.get("mitreAttack")?.get("primaryTactic")?.text()?.and_then(tactic),
        first_seen: first_seen.filter(|first| last_seen.is_none_or(|last| *first <= last)).or(last_seen),
        last_seen,
        subjects: found.subjects,
        inactive: inactive(finding)?.map(str::to_owned),
        acted_as: found.acted_as,
        note: notes.finish(),
        ..Alert::new(incident, Source::SecurityCommandCenter, plain(category))
    })
}

/// Event Threat Detection's own log ("Event Threat Detection: logs"): what it found, not yet a finding. The subjects
/// and the rule.
pub(crate) fn detection(
    payload: &At<'_>,
    context: &Context,
    notes: &mut Notes,
) -> Result<(Vec<Target>, Option<String>)> {
    let rule = payload.get("detectionCategory")?.get("ruleName")?.text()?.map(plain);
    let nothing = payload.get("resource")?.absent();
    Ok((subjects::read(&nothing, &nothing, payload, context, notes)?.subjects, rule))
}

/// The incident, and the name that it comes from.
fn identity<'a>(finding: &At<'a>) -> Result<(IncidentId, &'a str)> {
    let (name, canonical) = (finding.get("name")?, finding.get("canonicalName")?);
    let read = |at: &At<'a>| -> Result<Option<(&'a str, &'a str)>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let parts: Vec<_> = text.split('/').collect();
        let (["organizations" | "folders" | "projects", _, "sources", source, "findings", id]
        | ["organizations" | "folders" | "projects", _, "sources", source, "locations", _, "findings", id]) =
            *parts.as_slice()
        else {
            return Err(at.wrong("must be PARENT/sources/SOURCE/findings/FINDING"));
        };
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if is_id(source) && is_id(id) { Ok(Some((source, id))) } else { Err(at.wrong("must hold letters and digits")) }
    };
    let (source, id) = agree([(name, read(&name)?), (canonical, read(&canonical)?)])?.ok_or_else(|| name.missing())?;
    let text = if name.is_present() { name.required_text()? } else { canonical.required_text()? };
    Ok((name.parse(&format!("scc-{source}-{id}"))?, text))
}

fn inactive(finding: &At<'_>) -> Result<Option<&'static str>> {
    let (state, mute) = (finding.get("state")?, finding.get("mute")?);
    let state = match state.text()? {
        None | Some("ACTIVE" | "STATE_UNSPECIFIED") => None,
        Some("INACTIVE") => Some("the finding is inactive"),
        Some(_) => return Err(state.wrong("must be ACTIVE or INACTIVE")),
    };
    let mute = match mute.text()? {
        None | Some("UNMUTED" | "UNDEFINED" | "MUTE_UNSPECIFIED") => None,
        Some("MUTED") => Some("the finding is muted"),
        Some(_) => return Err(mute.wrong("must be MUTED, UNMUTED or UNDEFINED")),
    };
    Ok(state.or(mute))
}

fn severity(finding: &At<'_>, properties: &At<'_>) -> Result<Option<Severity>> {
    let at = finding.get("severity")?;
    if at.text()?.is_none_or(|text| text == "SEVERITY_UNSPECIFIED") {
        let older = ["detectionPriority", "SeverityLevel"].map(|key| properties.peek(&[key]));
        return Ok(older.into_iter().flatten().find_map(level));
    }
    level(at.required_text()?).map(Some).ok_or_else(|| at.wrong("must be CRITICAL, HIGH, MEDIUM or LOW"))
}

fn level(text: &str) -> Option<Severity> {
    const LEVELS: [(&str, Severity); 4] = [
        ("critical", Severity::Critical),
        ("high", Severity::High),
        ("medium", Severity::Medium),
        ("low", Severity::Low),
    ];
    LEVELS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, severity)| *severity)
}

/// `DEFENSE_EVASION` is Defense Evasion.
fn tactic(text: &str) -> Option<String> {
    (text != "TACTIC_UNSPECIFIED" && !text.is_empty()).then(|| title(text))
}

#[cfg(test)]
mod tests;
