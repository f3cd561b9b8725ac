//! Falco: one alert as JSON, from its own HTTP output or through falcosidekick, which adds `uuid` and fills `source`
//! ("Falco: Output channels", "Falco: Formatting alerts", "falcosidekick").
//!
//! - Falco does not name the cluster: `STANCH_CLUSTER` does, and without it the alert is refused.
//! - Names come from `output_fields` only. The `output` text holds command lines, which the attacker writes.
//! - Subjects: `k8s.ns.name` and `k8s.pod.name` (with `k8s.pod.uid`), or the same of the plugin `k8smeta`; for
//!   `k8s_audit` the `ka.target.*` object and `ka.user.name` ([`crate::kube_call`]); `k8s.node.name`. The `hostname` is the node of a host process only when no pod and no container
//!   is named, and may be the name of Falco's own pod, so it is looked up before anything is done. Without
//!   `output_fields` nothing says whether there was a pod, and there is no subject.
//! - Priority: Emergency and Alert are critical, Critical high, Error and Warning medium, Notice low, Informational
//!   and Debug info. Anything else is refused.
//! - The incident is `falco-` and 24 hexadecimal digits over cluster, rule, namespace, pod (uid, else name),
//!   container, audit user and object, host (only of a host process), and the hour of the alert. So a hundred alerts of
//!   one container are one incident, and falcosidekick's `uuid`, new for each delivery, plays no part. The price:
//!   a burst across the full hour is two incidents, which then share one record per target.

use jiff::Timestamp;
use stanch_core::{
    Alert, Error, Result, Severity, Source, Target,
    names::{KubeName, KubeUid, Namespace},
    target::{Cluster, Pod},
};

use crate::{
    Context,
    at::{At, agree},
    kube,
    kube_call::{self, Call, Judgement},
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
    alert_in(at, cluster, None)
}

/// One alert of a cluster. Where it has no time of its own, it is from when its relay says.
pub(crate) fn alert_in(alert: &At<'_>, cluster: &Cluster, relayed: Option<Timestamp>) -> Result<Alert> {
    let mut notes = Notes::default();
    // Falco Talon's own examples spell it with a capital letter.
    let rule = alert.get_one_of(["rule", "Rule"])?.required_text()?;
    let severity = priority(&alert.get("priority")?)?;
    let fields = Fields(alert.get("output_fields")?);
    fields.0.section()?;
    // The relays keep `time`; `evt.time` is in nanoseconds and above 2^53, so a relay in JavaScript rounds it.
    let at = alert.get("time")?;
    let time = match (at.time(), relayed) {
        (Ok(Some(time)), _) => time,
        (Ok(None), None) => fields.event_time()?.ok_or_else(|| at.missing())?,
        (Err(error), None) => return Err(error),
        (_, Some(relayed)) => fields.event_time().ok().flatten().unwrap_or(relayed),
    };
    let source = alert.get("source")?.text()?;
    let hostname = alert.get("hostname")?;
    let named = Named {
        namespace: fields.one(["k8s.ns.name", "k8smeta.ns.name"])?,
        pod: fields.one(["k8s.pod.name", "k8smeta.pod.name"])?,
        uid: fields.one(["k8s.pod.uid", "k8smeta.pod.uid"])?,
        container: fields.get("container.id")?,
        hostname,
        source,
    };
    let (subjects, inactive) = subjects(&fields, &named, rule, cluster, &mut notes)?;

    let (pod, uid) = (text(&named.pod)?, text(&named.uid)?);
    // A system call has no fields of an API call.
    let called = |key: &'static str| match source {
        Some("syscall") => Ok(""),
        _ => text(&fields.get(key)?),
    };
    let acted_as = Some(called("ka.impuser.name")?).filter(|name| !name.is_empty()).map(plain);
    // Two replicas of Falco can report the same call to the Kubernetes API.
    let host = if pod.is_empty() && source != Some("k8s_audit") { text(&hostname)? } else { "" };
    let name = cluster.to_string();
    let parts = [
        name.as_str(),
        rule,
        text(&named.namespace)?,
        if uid.is_empty() { pod } else { uid },
        text(&named.container)?,
        called("ka.user.name")?,
        called("ka.target.resource")?,
        called("ka.target.namespace")?,
        called("ka.target.name")?,
        host,
        &time.as_second().div_euclid(WINDOW).to_string(),
    ];
    Ok(Alert {
        severity: Some(severity),
        first_seen: Some(time),
        last_seen: Some(time),
        subjects,
        inactive: inactive.map(str::to_owned),
        acted_as,
        note: notes.finish(),
        ..Alert::new(incident("falco", &parts)?, Source::Falco, plain(rule))
    })
}

fn text<'a>(at: &At<'a>) -> Result<&'a str> {
    at.text().map(Option::unwrap_or_default)
}

/// What names the subject of a system call.
struct Named<'a> {
    namespace: At<'a>,
    pod: At<'a>,
    uid: At<'a>,
    container: At<'a>,
    hostname: At<'a>,
    source: Option<&'a str>,
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

    /// A field that the container runtime knows and, under another name, the `k8smeta` plugin.
    fn one(&self, keys: [&'static str; 2]) -> Result<At<'a>> {
        let [first, second] = keys;
        let (first, second) = (self.get(first)?, self.get(second)?);
        if !second.is_present() {
            return Ok(first);
        }
        agree([(first, first.text()?), (second, second.text()?)])?;
        Ok(if first.is_present() { first } else { second })
    }

    fn event_time(&self) -> Result<Option<Timestamp>> {
        let at = self.0.get("evt.time")?;
        let Some(nanoseconds) = at.integer()? else { return Ok(None) };
        Timestamp::from_nanosecond(nanoseconds.into()).map(Some).map_err(|_| at.wrong("must be a time"))
    }
}

fn subjects(
    fields: &Fields<'_>,
    named: &Named<'_>,
    rule: &str,
    cluster: &Cluster,
    notes: &mut Notes,
) -> Result<(Vec<Target>, Option<&'static str>)> {
    let mut subjects = Vec::new();
    let Named { hostname, source, .. } = *named;
    let namespace = named.namespace.name::<Namespace>()?;
    let pod = named.pod.name::<KubeName>()?;
    let uid = named.uid.name::<KubeUid>()?;
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
    let mut inactive = None;
    if source == Some("k8s_audit") {
        let judgement = audited(fields, cluster)?;
        judgement.subjects.into_iter().for_each(|it| kube::add(&mut subjects, Some(it)));
        inactive = judgement.inactive;
    }
    if let Some(name) = fields.get("k8s.node.name")?.name::<KubeName>()? {
        kube::add(&mut subjects, Some(kube::node(cluster, name)));
    }
    let container = named.container.text()?;
    let on_host = !names_pod && matches!(container, None | Some("host"));
    if subjects.is_empty()
        && on_host
        && matches!(source, None | Some("syscall"))
        && !rule.starts_with("Falco internal:")
    {
        // Falco's json_include_output_fields_property is off: it may have been in a container as well.
        let is_silent = fields.0.section()?.is_none();
        match hostname.text()?.filter(|name| *name != "localhost").map(str::parse::<KubeName>) {
            Some(_) if is_silent => {
                notes.add("the alert has no output_fields, so nothing says whether it is the node's");
            }
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
    Ok((subjects, inactive))
}

/// A call to the Kubernetes API ("Falco: Kubernetes audit events"): its object and its caller, and whether it failed.
fn audited(fields: &Fields<'_>, cluster: &Cluster) -> Result<Judgement> {
    let text = |key: &'static str| -> Result<Option<&str>> { fields.get(key)?.text() };
    let (at, user) = (fields.get("ka.target.name")?, fields.get("ka.user.name")?);
    let Some(resource) = text("ka.target.resource")? else {
        let mut judgement = Judgement::default();
        kube::add(&mut judgement.subjects, kube::user(&user, cluster)?);
        return Ok(judgement);
    };
    let failed = text("ka.response.code")?.is_some_and(|code| code.starts_with(['4', '5']));
    let call = Call {
        at,
        verb: text("ka.verb")?.unwrap_or_default(),
        group: None,
        resource,
        subresource: text("ka.target.subresource")?,
        namespace: text("ka.target.namespace")?,
        name: at.text()?,
        uid: None,
        user,
        extra: user.absent(),
        request: user.absent(),
        response: user.absent(),
        failed,
    };
    // Falco's own rule says what it means.
    kube_call::judge(&call, cluster, &mut Notes::default())
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
