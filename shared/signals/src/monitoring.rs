//! Google Cloud Monitoring: the notification of an incident, schema 1.2, as the Pub/Sub and the webhook channels send it
//! ("Cloud Monitoring: Create and manage notification channels, Pub/Sub and webhooks").
//!
//! - Subjects come from the labels of the monitored resource ("Monitored resource types"): `gce_instance`, `k8s_node`,
//!   `k8s_pod`, `k8s_container`. The VM's name is taken from a metric of Compute Engine itself; a custom metric's labels
//!   are written by whoever sends the metric.
//! - `observed_value` is prose now and then, and is not read.
//! - The incident is `monitoring-`, the scoping project and `incident_id`, which stays from open to closed.
//! - A closed incident is inactive, and so is the test that the console sends.
//! - Last activity: `ended_at`, else `started_at`, in seconds.

use jiff::Timestamp;
use stanch_core::{
    Alert, IncidentId, Result, Severity, Source, Target,
    names::{GceId, GceName, GkeName, KubeName, Location, Namespace, ProjectId, Zone},
    target::{Cluster, GceInstance, Pod},
};

use crate::{
    at::At,
    kube,
    text::{Notes, plain},
};

/// One incident.
pub(crate) fn incident(at: &At<'_>) -> Result<Alert> {
    let version = at.get("version")?;
    let is_test = match version.text()? {
        Some("1.2") => false,
        Some("test") => true,
        _ => return Err(version.wrong("must be 1.2")),
    };
    let incident = at.get("incident")?;
    let id = incident.get("incident_id")?;
    let own = id.required_text()?;
    if own.is_empty() || !own.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)) {
        return Err(id.wrong("must be letters, digits and ._-"));
    }
    let state = incident.get("state")?;
    let closed = match state.text()? {
        Some("open" | "OPEN") | None => false,
        Some("closed" | "CLOSED") => true,
        Some(_) => return Err(state.wrong("must be open or closed")),
    };
    let mut notes = Notes::default();
    let subjects = subjects(&incident, &mut notes)?;
    let (started, ended) = (seconds(&incident.get("started_at")?)?, seconds(&incident.get("ended_at")?)?);
    let project = incident.get("scoping_project_id")?.name::<ProjectId>()?;
    let owner = project.map_or_else(String::new, |project| format!("{project}-"));
    let key: IncidentId = id.parse(&format!("monitoring-{owner}{own}").replace('_', "-"))?;
    let named = |key: &'static str| -> Result<_> { Ok(incident.get(key)?.text()?.filter(|text| !text.is_empty())) };
    let rule = named("policy_name")?.or(named("condition_name")?).unwrap_or("incident");
    Ok(Alert {
        id: Some(own.to_owned()),
        severity: severity(&incident.get("severity")?)?,
        first_seen: started,
        last_seen: if closed { ended.or(started) } else { started },
        subjects,
        inactive: match (is_test, closed) {
            (true, _) => Some("the notification is a test".to_owned()),
            (_, true) => Some("the incident is closed".to_owned()),
            _ => None,
        },
        note: notes.finish(),
        ..Alert::new(key, Source::CloudMonitoring, plain(rule))
    })
}

fn subjects(incident: &At<'_>, notes: &mut Notes) -> Result<Vec<Target>> {
    let resource = incident.get("resource")?;
    let labels = resource.get("labels")?;
    let mut subjects = Vec::new();
    match resource.get("type")?.text()? {
        Some("gce_instance") => kube::add(&mut subjects, vm(incident, &labels)?),
        Some(kind @ ("k8s_node" | "k8s_pod" | "k8s_container")) => {
            let cluster = match (
                labels.get("project_id")?.name::<ProjectId>()?,
                labels.get("location")?.name::<Location>()?,
                labels.get("cluster_name")?.name::<GkeName>()?,
            ) {
                (Some(project), Some(location), Some(name)) => Some(Cluster::Gke { project, location, name }),
                _ => None,
            };
            let node = labels.get("node_name")?.name::<KubeName>()?;
            let pod =
                labels.get("namespace_name")?.name::<Namespace>()?.zip(labels.get("pod_name")?.name::<KubeName>()?);
            match (cluster, node, pod) {
                (Some(cluster), Some(node), _) if kind == "k8s_node" => subjects.push(kube::node(&cluster, node)),
                (Some(cluster), _, Some((namespace, name))) if kind != "k8s_node" => {
                    subjects.push(Pod { cluster, namespace, name, uid: None, host: None }.into());
                }
                _ => {}
            }
        }
        _ => {
            notes.add("no responder takes this type of resource");
            return Ok(subjects);
        }
    }
    if subjects.is_empty() {
        notes.add("the labels do not say which resource");
    }
    Ok(subjects)
}

fn vm(incident: &At<'_>, labels: &At<'_>) -> Result<Option<Target>> {
    let project = labels.get("project_id")?.name::<ProjectId>()?;
    let zone = labels.get("zone")?.name::<Zone>()?;
    let id = labels.get("instance_id")?.name::<GceId>()?;
    let metric = incident.get("metric")?;
    let is_google = metric.get("type")?.text()?.is_some_and(|kind| kind.starts_with("compute.googleapis.com/"));
    let name = match metric.get("labels")?.get("instance_name")?.text()?.map(str::parse::<GceName>) {
        Some(Ok(name)) if is_google => Some(name),
        _ => None,
    };
    Ok(match (project, zone) {
        (Some(project), Some(zone)) if id.is_some() || name.is_some() => {
            Some(GceInstance { project, zone, name, id }.into())
        }
        _ => None,
    })
}

fn seconds(at: &At<'_>) -> Result<Option<Timestamp>> {
    let Some(number) = at.number()? else { return Ok(None) };
    let form = || at.wrong("must be seconds since 1970");
    if number.fract() != 0.0 || !(0.0..1e11).contains(&number) {
        return Err(form());
    }
    at.integer()?.map_or(Ok(None), |whole| Timestamp::from_second(whole).map(Some).map_err(|_| form()))
}

/// The policy's severity, as the console spells it or as the API does ("`AlertPolicy.Severity`").
fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    const WORDS: [(&str, Severity); 3] =
        [("critical", Severity::High), ("error", Severity::Medium), ("warning", Severity::Low)];
    let text = at.text()?.unwrap_or_default();
    Ok(WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, severity)| *severity))
}

#[cfg(test)]
mod tests;
