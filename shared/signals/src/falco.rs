//! Falco: one alert as JSON, from its own HTTP output or through falcosidekick, which adds `uuid` and fills `source`
//! ("Falco: Output channels", "Falco: Formatting alerts", "falcosidekick").
//!
//! - Falco does not name the cluster: `STANCH_CLUSTER` does, and without it the alert is refused.
//! - Names come from `output_fields` only. The `output` text holds command lines, which the attacker writes.
//! - Subjects: `k8s.ns.name` and `k8s.pod.name` (with `k8s.pod.uid`); for `k8s_audit` the `ka.target.*` object and
//!   `ka.user.name`; `k8s.node.name`. The `hostname` is the node of a host process only when no pod and no container
//!   is named, and may be the name of Falco's own pod, so it is looked up before anything is done.
//! - Priority: Emergency and Alert are critical, Critical high, Error and Warning medium, Notice low, Informational
//!   and Debug info. Anything else is refused.
//! - The incident is `falco-` and 24 hexadecimal digits over cluster, rule, namespace, pod (uid, else name),
//!   container, audit user and object, host (only of a host process), and the hour of the alert. So a hundred alerts of
//!   one container are one incident, and falcosidekick's `uuid`, new for each delivery, plays no part. The price:
//!   a burst across the full hour is two incidents, which then share one record per target.

use stanch_core::{
    Alert, Error, Result, Severity, Source, Target,
    names::{KubeName, KubeUid, Namespace, WorkloadKind},
    target::{Cluster, Pod},
};

use crate::{
    Context,
    at::At,
    kube,
    text::{Notes, incident, plain},
};

/// Alerts of one container within this many seconds are one incident.
const WINDOW: i64 = 3600;

/// Does it look like an alert?
pub(crate) fn is_alert(at: &At<'_>) -> bool {
    let has = |key: &'static str| at.get(key).is_ok_and(|at| at.is_present());
    has("output_fields") || has("priority") && (has("rule") || has("Rule"))
}

/// One alert.
pub(crate) fn alert(at: &At<'_>, context: &Context) -> Result<Alert> {
    let cluster = context
        .cluster
        .as_ref()
        .ok_or_else(|| Error::invalid("", "Falco does not name its cluster: STANCH_CLUSTER must name the cluster"))?;
    alert_in(at, cluster)
}

/// One alert of a cluster.
pub(crate) fn alert_in(alert: &At<'_>, cluster: &Cluster) -> Result<Alert> {
    let mut notes = Notes::default();
    // Falco Talon's own examples spell it with a capital letter.
    let rule = alert.get_one_of(["rule", "Rule"])?.required_text()?;
    let severity = priority(&alert.get("priority")?)?;
    let fields = Fields(alert.get("output_fields")?);
    fields.0.section()?;
    // The relays keep `time`; `evt.time` is in nanoseconds and above 2^53, so a relay in JavaScript rounds it.
    let at = alert.get("time")?;
    let time = match at.time()? {
        Some(time) => time,
        None => fields.event_time()?.ok_or_else(|| at.missing())?,
    };
    let source = alert.get("source")?.text()?;
    let hostname = alert.get("hostname")?;
    let subjects = subjects(&fields, source, rule, &hostname, cluster, &mut notes)?;
    let acted_as = fields.get("ka.impuser.name")?.text()?.map(plain);

    let text = |key: &'static str| -> Result<&str> { Ok(fields.get(key)?.text()?.unwrap_or_default()) };
    let (pod, uid) = (text("k8s.pod.name")?, text("k8s.pod.uid")?);
    // Two replicas of Falco can report the same call to the Kubernetes API.
    let host = if pod.is_empty() && source != Some("k8s_audit") { hostname.text()?.unwrap_or_default() } else { "" };
    let name = cluster.to_string();
    let parts = [
        name.as_str(),
        rule,
        text("k8s.ns.name")?,
        if uid.is_empty() { pod } else { uid },
        text("container.id")?,
        text("ka.user.name")?,
        text("ka.target.resource")?,
        text("ka.target.namespace")?,
        text("ka.target.name")?,
        host,
        &time.as_second().div_euclid(WINDOW).to_string(),
    ];
    Ok(Alert {
        severity: Some(severity),
        first_seen: Some(time),
        last_seen: Some(time),
        subjects,
        acted_as,
        note: notes.finish(),
        ..Alert::new(incident("falco", &parts)?, Source::Falco, plain(rule))
    })
}

/// `output_fields`: keys with dots, values null, `""` or `<NA>` where Falco knows nothing.
struct Fields<'a>(At<'a>);

impl<'a> Fields<'a> {
    fn get(&self, key: &'static str) -> Result<At<'a>> {
        let at = self.0.get(key)?;
        Ok(match at.text() {
            Ok(Some("" | "<NA>")) => at.absent(),
            _ => at,
        })
    }

    fn event_time(&self) -> Result<Option<jiff::Timestamp>> {
        let at = self.0.get("evt.time")?;
        let Some(nanoseconds) = at.integer()? else { return Ok(None) };
        jiff::Timestamp::from_nanosecond(nanoseconds.into()).map(Some).map_err(|_| at.wrong("must be a time"))
    }
}

fn subjects(
    fields: &Fields<'_>,
    source: Option<&str>,
    rule: &str,
    hostname: &At<'_>,
    cluster: &Cluster,
    notes: &mut Notes,
) -> Result<Vec<Target>> {
    let mut subjects = Vec::new();
    let namespace = fields.get("k8s.ns.name")?.name::<Namespace>()?;
    let pod = fields.get("k8s.pod.name")?.name::<KubeName>()?;
    let uid = fields.get("k8s.pod.uid")?.name::<KubeUid>()?;
    let names_pod = namespace.is_some() || pod.is_some();
    match (namespace, pod) {
        (Some(namespace), Some(name)) => {
            // Of a cluster-wide source the hostname is where Falco's plugin runs.
            let here = uid.is_none() && matches!(source, None | Some("syscall"));
            let host = if here { hostname.text()?.and_then(|name| name.parse().ok()) } else { None };
            kube::add(&mut subjects, Some(Pod { cluster: cluster.clone(), namespace, name, uid, host }.into()));
        }
        (None, None) => {}
        _ => notes.add("the pod's namespace or name is missing"),
    }
    if source == Some("k8s_audit") {
        kube::add(&mut subjects, audited(fields, cluster, notes)?);
        kube::add(&mut subjects, kube::user(&fields.get("ka.user.name")?, cluster)?);
    }
    if let Some(name) = fields.get("k8s.node.name")?.name::<KubeName>()? {
        kube::add(&mut subjects, Some(kube::node(cluster, name)));
    }
    let container = fields.get("container.id")?.text()?;
    let on_host = !names_pod && matches!(container, None | Some("host"));
    if subjects.is_empty()
        && on_host
        && matches!(source, None | Some("syscall"))
        && !rule.starts_with("Falco internal:")
    {
        match hostname.text()?.map(str::parse::<KubeName>) {
            Some(Ok(name)) => {
                notes.add("the node is named by Falco's hostname");
                subjects.push(kube::node(cluster, name));
            }
            Some(Err(_)) => notes.add("the hostname is not the name of a node"),
            None => {}
        }
    }
    if subjects.is_empty() {
        notes.add("the alert names nothing that a responder takes");
    }
    Ok(subjects)
}

/// The object of a Kubernetes API call ("Falco: Kubernetes audit events").
fn audited(fields: &Fields<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
    let resource = fields.get("ka.target.resource")?;
    if !resource.text()?.is_some_and(|it| it == "pods" || kube::WORKLOADS.contains(&it)) {
        return Ok(None);
    }
    let kind = resource.name::<WorkloadKind>()?;
    let namespace = fields.get("ka.target.namespace")?.name::<Namespace>()?;
    let name = fields.get("ka.target.name")?.name::<KubeName>()?;
    let (Some(kind), Some(namespace), Some(name)) = (kind, namespace, name) else {
        notes.add("the object's namespace or name is missing");
        return Ok(None);
    };
    Ok(Some(kube::pod_or_workload(cluster, kind, namespace, name, None)))
}

fn priority(at: &At<'_>) -> Result<Severity> {
    const PRIORITIES: [(&str, Severity); 9] = [
        ("emergency", Severity::Critical),
        ("alert", Severity::Critical),
        ("critical", Severity::High),
        ("error", Severity::Medium),
        ("warning", Severity::Medium),
        ("notice", Severity::Low),
        ("informational", Severity::Info),
        ("info", Severity::Info),
        ("debug", Severity::Info),
    ];
    let text = at.required_text()?;
    let known = PRIORITIES.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
    known.map(|(_, severity)| *severity).ok_or_else(|| at.wrong("must be a priority of Falco"))
}

#[cfg(test)]
mod tests;
