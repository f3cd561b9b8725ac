//! Compute Engine instances: labels `project_id`, `zone` and `instance_id` of the resource `gce_instance`, and in
//! audit entries also `protoPayload.resourceName` ("Compute Engine audit logging information"). Service accounts:
//! labels `project_id` and `email_id` of the resource `service_account` ("IAM audit logging").

use stanch_core::{
    Result, Target,
    names::ServiceAccountEmail,
    target::{GceInstance, GcpServiceAccount},
};

use super::{Entry, path::GcePath};
use crate::{at::agree, text::Notes};

/// The instance that an entry is about.
pub(super) fn instance_entry(entry: &Entry<'_>, notes: &mut Notes) -> Result<Option<Target>> {
    let named = match &entry.audit {
        Some(audit) => audit.get("resourceName")?,
        None => entry.labels.absent(),
    };
    let path = GcePath::read(&named)?;
    let path = path.as_ref();

    let at = entry.labels.get("project_id")?;
    let project =
        agree([(at, at.name()?), (named, path.and_then(|path| path.project.clone())), (at, entry.project.clone())])?;
    let at = entry.labels.get("zone")?;
    let label = at.name()?;
    let zone = agree([(at, label), (named, path.map(|path| path.zone.clone()))])?;
    let at = entry.labels.get("instance_id")?;
    let label = at.name()?;
    let id = agree([(at, label), (named, path.and_then(|path| path.id.clone()))])?;
    let name = path.and_then(|path| path.name.clone());

    match (project, zone) {
        (Some(project), Some(zone)) if name.is_some() || id.is_some() => {
            Ok(Some(GceInstance { project, zone, name, id }.into()))
        }
        _ => {
            notes.add("the entry does not say which instance");
            Ok(None)
        }
    }
}

/// The service account that an entry is about: a key was made for it, it was disabled …
pub(super) fn service_account_entry(entry: &Entry<'_>, notes: &mut Notes) -> Result<Option<Target>> {
    let at = entry.labels.get("project_id")?;
    let project = agree([(at, at.name()?), (at, entry.project.clone())])?;
    let named = match &entry.audit {
        Some(audit) => audit.get("resourceName")?,
        None => entry.labels.absent(),
    };
    // projects/PROJECT/serviceAccounts/ACCOUNT[/keys/KEY], by address or by number; PROJECT may be -.
    let account = named.text()?.and_then(|text| text.split_once("/serviceAccounts/")).map(|(_, rest)| rest);
    let account = account.and_then(|rest| rest.split('/').next()).filter(|account| account.contains('@'));
    let account: Option<ServiceAccountEmail> = account.map(|account| named.parse(account)).transpose()?;
    let at = entry.labels.get("email_id")?;
    let label = at.name()?;
    agree([(at, label.clone()), (named, account)])?;
    let (Some(project), Some(email)) = (project, label) else {
        notes.add("the entry does not say which service account");
        return Ok(None);
    };
    Ok(Some(GcpServiceAccount { project, email }.into()))
}
