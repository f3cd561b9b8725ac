//! Google Cloud Logging: one `LogEntry`, as a sink sends it through Pub/Sub ("Cloud Logging: LogEntry", "Cloud Audit
//! Logs: Understanding audit logs", "AuditLog").
//!
//! - What an entry is about is told by its monitored resource ("Monitored resource types"): `k8s_cluster` (GKE audit;
//!   see [`crate::kube_call`]), `k8s_node`, `k8s_pod`, `k8s_container`, `gce_instance`, `service_account`; by its log:
//!   VPC flows, Event Threat Detection. Any other resource decodes without a subject.
//! - The authenticated principal is a subject beside the object, if it is a service account or a node. With a
//!   delegation history, who was impersonated is shown as `acted_as` and is none ([`crate::gcp`]).
//! - The same thing named in two places must be the same. The project of `logName` must be that of the labels: a
//!   writer in one project could put another's labels into its own log.
//! - An `AuditLog` payload counts only in a log of Cloud Audit Logs, which nobody but Google can write to. A Falco
//!   alert in a container's log, as an object or as the text that was printed, counts only if the container is Falco's:
//!   every container can print one. What else Falco's own container prints accuses nobody.
//! - A call that failed changed nothing: its alert is inactive.
//! - The incident is `gcplog-` and 24 hexadecimal digits over `logName`, `insertId` and `timestamp`, which together
//!   make an entry unique ("LogEntry"). Without an `insertId`: over method, resource name, principal and timestamp;
//!   without those, over the whole entry. A Falco alert keeps the incident that it has without Cloud Logging.
//! - Severity: EMERGENCY and ALERT are critical, CRITICAL high, ERROR and WARNING medium, NOTICE low, INFO and DEBUG
//!   info, DEFAULT none ("LogSeverity"); for a call to a Kubernetes API the graver of this and what the call means.

mod flow;
mod gce;
mod gke;
pub(crate) mod path;

use jiff::Timestamp;
use stanch_core::{Alert, IncidentId, Result, Severity, Source, Target, names::ProjectId};

use crate::{
    Context,
    at::At,
    document::Document,
    falco,
    gcp::Caller,
    kube, scc,
    text::{Notes, incident, plain},
};

/// What an entry's subjects are read from.
struct Entry<'a> {
    /// `resource.labels`.
    labels: At<'a>,
    /// `protoPayload`, if it is an audit log.
    audit: Option<At<'a>>,
    /// The project of `logName`.
    project: Option<ProjectId>,
    /// The call failed.
    failed: bool,
}

/// What an entry says beside its own fields.
#[derive(Debug, Default)]
struct Found {
    subjects: Vec<Target>,
    severity: Option<Severity>,
    tactic: Option<&'static str>,
    rule: Option<String>,
}

impl Found {
    fn of(subjects: impl IntoIterator<Item = Target>) -> Self {
        Self { subjects: subjects.into_iter().collect(), ..Self::default() }
    }
}

/// One log entry.
pub(crate) fn entry(entry: &At<'_>, context: &Context) -> Result<Alert> {
    let mut notes = Notes::default();
    let log_name = entry.get("logName")?;
    let (project, log_id) = log(&log_name)?;
    let audit = audit(entry, &log_name, log_id)?;
    let resource = entry.get("resource")?;
    let kind = resource.get("type")?.text()?;
    let failed = match &audit {
        Some(audit) => has_failed(entry, audit)?,
        None => false,
    };
    let read = Entry { labels: resource.get("labels")?, audit, project, failed };
    let payload = entry.get("jsonPayload")?;
    let is_object = payload.is_object();
    if kind == Some("k8s_container") && is_object && falco::is_alert(&payload) {
        return gke::falco_entry(&read, &payload, time(entry)?, context);
    }
    // A log agent that does not look into what a container prints hands the line on as text.
    if kind == Some("k8s_container")
        && let Some(line) = printed(entry, &payload)?
        && let Ok(document) = Document::read(line.trim().as_bytes(), &context.limits)
        && falco::is_alert(&document.top())
    {
        return gke::falco_entry(&read, &document.top(), time(entry)?, context);
    }
    let mut found = match kind {
        Some("k8s_cluster") => gke::cluster_entry(&read, context, &mut notes)?,
        Some("k8s_node") => Found::of(gke::node_entry(&read, context, &mut notes)?),
        Some("k8s_pod" | "k8s_container") => Found::of(gke::pod_entry(&read, context, &mut notes)?),
        Some("gce_instance") => Found::of(gce::instance_entry(&read, &mut notes)?),
        Some("service_account") => Found::of(gce::service_account_entry(&read, &mut notes)?),
        _ if is_object && log_id.is_some_and(is_flow_log) => Found::of(flow::instances(&read, &payload, &mut notes)?),
        // Google's own document writes `%%2F`.
        _ if is_object && log_id.is_some_and(|id| id.starts_with("threatdetection.googleapis.com%")) => {
            let (subjects, rule) = scc::detection(&payload, context, &mut notes)?;
            Found { rule, ..Found::of(subjects) }
        }
        _ => {
            notes.add("no responder takes this type of resource");
            Found::default()
        }
    };
    let (mut rule, mut acted_as) = (found.rule.or_else(|| log_id.map(plain)), None);
    if let Some(audit) = &read.audit {
        rule = audit.get("methodName")?.text()?.map(plain).or(rule);
        let info = audit.get("authenticationInfo")?;
        let caller = Caller::read(&info)?;
        if kind.is_some_and(is_infrastructure) {
            kube::add(&mut found.subjects, caller.target(None, context, &mut notes)?);
        }
        // The authority that the caller asked for. Whether it was allowed to is not said, so it is only shown.
        acted_as = caller.acted_as.map(plain).or(info.get("authoritySelector")?.text()?.map(plain));
    }
    let time = time(entry)?;
    if time.is_none() {
        notes.add("the entry has no time");
    }
    let incident = identity(entry, read.audit.as_ref())?;
    Ok(Alert {
        id: entry.get("insertId")?.text()?.filter(|id| !id.is_empty()).map(plain),
        severity: severity(&entry.get("severity")?)?.max(found.severity),
        tactic: found.tactic.map(str::to_owned),
        first_seen: time,
        last_seen: time,
        subjects: found.subjects,
        inactive: failed.then(|| "the call failed".to_owned()),
        acted_as,
        note: notes.finish(),
        ..Alert::new(incident, Source::CloudLogging, rule.unwrap_or_else(|| "log entry".to_owned()))
    })
}

/// When it happened, else when Cloud Logging heard of it.
fn time(entry: &At<'_>) -> Result<Option<Timestamp>> {
    match entry.get("timestamp")?.time()? {
        None => entry.get("receiveTimestamp")?.time(),
        time => Ok(time),
    }
}

/// The line that a container printed, where it is text: what else such a field holds is nothing that we read.
fn printed<'a>(entry: &At<'a>, payload: &At<'a>) -> Result<Option<&'a str>> {
    let mut places = vec![entry.get("textPayload")?];
    if payload.is_object() {
        places.extend([payload.get("log")?, payload.get("message")?]);
    }
    let mut line = None;
    for at in places {
        let Some(text) = at.text().ok().flatten().filter(|text| text.trim_start().starts_with('{')) else { continue };
        if line.replace(text).is_some_and(|first| first != text) {
            return Err(at.wrong("disagrees with another line of the same entry"));
        }
    }
    Ok(line)
}

/// What a call has to be about for its caller to be a subject: machines, clusters, identities. Of what else a service
/// account calls (a topic, a metric) nobody says that it is suspect. Who called a cluster's own API is read with the
/// call.
fn is_infrastructure(kind: &str) -> bool {
    kind.starts_with("gce_") || ["gke_cluster", "project", "service_account"].contains(&kind)
}

/// VPC flows, of a subnetwork or of a configuration ("VPC Flow Logs: access flow logs").
fn is_flow_log(id: &str) -> bool {
    ["compute.googleapis.com%2Fvpc_flows", "networkmanagement.googleapis.com%2Fvpc_flows"]
        .iter()
        .any(|own| id.eq_ignore_ascii_case(own))
}

/// `status` is a `google.rpc.Status`: anything but 0 is an error. GKE also labels what its authorizer decided.
fn has_failed(entry: &At<'_>, audit: &At<'_>) -> Result<bool> {
    let code = audit.get("status")?.get("code")?.integer()?;
    let decision = entry.get("labels")?.get("authorization.k8s.io/decision")?.text()?;
    Ok(code.is_some_and(|code| code != 0) || decision == Some("forbid"))
}

/// `projects/P/logs/ID`: the project, where it is given by its id, and the log's id.
fn log<'a>(at: &At<'a>) -> Result<(Option<ProjectId>, Option<&'a str>)> {
    let Some(text) = at.text()? else { return Ok((None, None)) };
    let mut parts = text.split('/');
    let (Some(owner), Some(name), Some("logs"), Some(id), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(at.wrong("must be projects/PROJECT/logs/LOG"));
    };
    let by_id = owner == "projects" && !name.bytes().all(|c| c.is_ascii_digit());
    Ok((if by_id { Some(at.parse(name)?) } else { None }, Some(id)))
}

/// The audit payload. Other services' payloads (a request log) are none.
fn audit<'a>(entry: &At<'a>, log_name: &At<'_>, log_id: Option<&str>) -> Result<Option<At<'a>>> {
    let payload = entry.get("protoPayload")?;
    if payload.section()?.is_none()
        || payload.get("@type")?.text()?.is_some_and(|kind| kind != "type.googleapis.com/google.cloud.audit.AuditLog")
    {
        return Ok(None);
    }
    let is_audit = |id: &str| id.to_ascii_lowercase().starts_with("cloudaudit.googleapis.com%2f");
    if log_id.is_some_and(|id| !is_audit(id)) {
        return Err(log_name.wrong("is not a log of Cloud Audit Logs, so its audit payload can be forged"));
    }
    Ok(Some(payload))
}

fn identity(entry: &At<'_>, audit: Option<&At<'_>>) -> Result<IncidentId> {
    let text = |at: Result<At<'_>>| -> Result<String> { Ok(at?.text()?.unwrap_or_default().to_owned()) };
    let timestamp = text(entry.get("timestamp"))?;
    let insert_id = text(entry.get("insertId"))?;
    if !insert_id.is_empty() {
        return incident("gcplog", &["entry", &text(entry.get("logName"))?, &insert_id, &timestamp]);
    }
    if let Some(audit) = audit {
        let method = text(audit.get("methodName"))?;
        let name = text(audit.get("resourceName"))?;
        let principal = text(audit.get("authenticationInfo")?.get("principalEmail"))?;
        if !method.is_empty() && !name.is_empty() {
            return incident("gcplog", &["call", &method, &name, &principal, &timestamp]);
        }
    }
    // Nothing names it: the whole entry is its identity. Keys are sorted, so spacing and order do not matter.
    let whole = entry.raw().and_then(|raw| serde_json::from_str::<serde_json::Value>(raw).ok());
    let whole = whole.map(|whole| whole.to_string()).unwrap_or_default();
    incident("gcplog", &["whole", &whole])
}

fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    Ok(match at.text()? {
        None | Some("DEFAULT") => None,
        Some("EMERGENCY" | "ALERT") => Some(Severity::Critical),
        Some("CRITICAL") => Some(Severity::High),
        Some("ERROR" | "WARNING") => Some(Severity::Medium),
        Some("NOTICE") => Some(Severity::Low),
        Some("INFO" | "DEBUG") => Some(Severity::Info),
        Some(_) => return Err(at.wrong("must be a severity of Cloud Logging")),
    })
}

#[cfg(test)]
mod tests;
