//! Aqua Tracee: one event as JSON, from its `json` output or its webhook ("Tracee: Outputs", "Tracee: Event structure").
//! Three shapes are read: `trace.Event` (today's, and the older flat one), a `Finding` of the older tracee-rules around
//! it, and `v1beta1.Event` of its gRPC interface.
//!
//! - Tracee does not name the cluster: `STANCH_CLUSTER` does, and without it the event is refused.
//! - The subject is the pod. `hostName` is the pod's own host name inside a pod, so it never names a node.
//! - Severity: 0 info, 1 low, 2 medium, 3 high, 4 critical, or the words for them; plain events have none.
//! - The incident is `tracee-` and 24 hexadecimal digits over cluster, event, namespace, pod (uid, else name), container,
//!   host (only where no pod is named), and the hour. Tracee gives an event no id of its own.

use jiff::Timestamp;
use stanch_core::{
    Alert, Error, Result, Severity, Source, Target,
    names::{KubeName, KubeUid, Namespace},
    target::Pod,
};

use crate::{
    Context,
    at::{At, agree},
    text::{Notes, incident, plain, title},
};

/// Events of one container within this many seconds are one incident.
const WINDOW: i64 = 3600;

/// Does the document look like an event?
pub(crate) fn is_event(at: &At<'_>) -> bool {
    let has = |key: &'static str| at.get(key).is_ok_and(|at| at.is_present());
    has("eventName") && (has("hostName") || has("processName") || has("eventId"))
        || has("SigMetadata") && has("Context")
        || has("workload") && has("name") && (has("policies") || has("threat"))
}

/// What the shapes have in common.
struct Event<'a> {
    name: &'a str,
    time: Option<Timestamp>,
    namespace: At<'a>,
    pod: At<'a>,
    uid: At<'a>,
    container: Option<&'a str>,
    host: Option<&'a str>,
    severity: Option<Severity>,
    tactic: Option<&'a str>,
}

/// One event.
pub(crate) fn event(at: &At<'_>, context: &Context) -> Result<Alert> {
    let cluster = context
        .cluster
        .as_ref()
        .ok_or_else(|| Error::invalid("", "Tracee does not name its cluster: STANCH_CLUSTER must name the cluster"))?;
    let event = if at.get("SigMetadata")?.is_present() {
        trace(&at.get("Context")?, &at.get("SigMetadata")?)?
    } else if at.get("workload")?.is_present() {
        v1beta1(at)?
    } else {
        trace(at, &at.get("metadata")?)?
    };
    let mut notes = Notes::default();
    let filled = |at: &At<'_>| -> Result<bool> { Ok(at.text()?.is_some_and(|text| !text.is_empty())) };
    let named = filled(&event.namespace)? && filled(&event.pod)?;
    let mut subjects: Vec<Target> = Vec::new();
    if named
        && let (Some(namespace), Some(name)) = (event.namespace.name::<Namespace>()?, event.pod.name::<KubeName>()?)
    {
        let uid = if filled(&event.uid)? { event.uid.name::<KubeUid>()? } else { None };
        subjects.push(Pod { cluster: cluster.clone(), namespace, name, uid, host: None }.into());
    } else if event.container.is_some_and(|id| !id.is_empty()) {
        notes.add("the container's pod is not named");
    } else {
        notes.add("the event names no pod, and Tracee never names a node");
    }
    let time = event.time.ok_or_else(|| at.get("timestamp").map_or_else(|error| error, |at| at.missing()))?;
    let text = |at: &At<'_>| -> Result<String> { Ok(at.text()?.unwrap_or_default().to_owned()) };
    let (pod, uid) = (text(&event.pod)?, text(&event.uid)?);
    let key = incident(
        "tracee",
        &[
            &cluster.to_string(),
            event.name,
            &text(&event.namespace)?,
            if uid.is_empty() { &pod } else { &uid },
            event.container.unwrap_or_default(),
            if named { "" } else { event.host.unwrap_or_default() },
            &time.as_second().div_euclid(WINDOW).to_string(),
        ],
    )?;
    Ok(Alert {
        severity: event.severity,
        tactic: event.tactic.filter(|text| !text.is_empty()).map(title),
        first_seen: Some(time),
        last_seen: Some(time),
        subjects,
        note: notes.finish(),
        ..Alert::new(key, Source::Tracee, plain(event.name))
    })
}

/// `trace.Event`; before Kubernetes and container were sections, their fields stood at the top.
fn trace<'a>(at: &At<'a>, metadata: &At<'a>) -> Result<Event<'a>> {
    let (kubernetes, container) = (at.get("kubernetes")?, at.get("container")?);
    let either = |section: &At<'a>, key: &'static str, old: &'static str| -> Result<At<'a>> {
        let (new, old) = (section.get(key)?, at.get(old)?);
        let texts = [&new, &old].map(|at| at.text().map(|text| text.filter(|text| !text.is_empty())));
        let [first, second] = texts;
        agree([(new, first?), (old, second?)])?;
        Ok(if new.text()?.is_some_and(|text| !text.is_empty()) { new } else { old })
    };
    let properties = metadata.get("Properties")?;
    Ok(Event {
        name: at.get("eventName")?.required_text()?,
        time: nanoseconds(&at.get("timestamp")?)?,
        namespace: either(&kubernetes, "podNamespace", "podNamespace")?,
        pod: either(&kubernetes, "podName", "podName")?,
        uid: either(&kubernetes, "podUID", "podUID")?,
        container: either(&container, "id", "containerId")?.text()?,
        host: at.get("hostName")?.text()?,
        severity: severity(&properties.get("Severity")?)?,
        tactic: properties.get("Category")?.text()?,
    })
}

/// `v1beta1.Event`, in the JSON form of protocol buffers.
fn v1beta1<'a>(at: &At<'a>) -> Result<Event<'a>> {
    let workload = at.get("workload")?;
    let kubernetes = workload.get_one_of(["k8s", "kubernetes"])?;
    let (pod, threat) = (kubernetes.get("pod")?, at.get("threat")?);
    Ok(Event {
        name: at.get("name")?.required_text()?,
        time: at.get("timestamp")?.time()?,
        namespace: kubernetes.get("namespace")?.get("name")?,
        pod: pod.get("name")?,
        uid: pod.get("uid")?,
        container: workload.get("container")?.get("id")?.text()?,
        host: None,
        severity: severity(&threat.get("severity")?)?,
        tactic: threat.get("mitre")?.get("tactic")?.get("name")?.text()?,
    })
}

/// Nanoseconds, as a number or, as protocol buffers write 64 bits, as text.
fn nanoseconds(at: &At<'_>) -> Result<Option<Timestamp>> {
    let form = || at.wrong("must be nanoseconds since 1970");
    let whole = match at.integer() {
        Ok(whole) => whole,
        Err(_) => Some(at.text()?.unwrap_or_default().parse().map_err(|_| form())?),
    };
    whole.map_or(Ok(None), |whole: i64| Timestamp::from_nanosecond(whole.into()).map(Some).map_err(|_| form()))
}

fn severity(at: &At<'_>) -> Result<Option<Severity>> {
    const LEVELS: [(&str, Severity); 5] = [
        ("info", Severity::Info),
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
        ("critical", Severity::Critical),
    ];
    if !at.is_present() {
        return Ok(None);
    }
    let wrong = || at.wrong("must be 0 to 4, or info, low, medium, high or critical");
    let level = |index: i64| usize::try_from(index).ok().and_then(|index| LEVELS.get(index)).map(|(_, level)| *level);
    match at.integer() {
        Ok(Some(index)) => level(index).map(Some).ok_or_else(wrong),
        Ok(None) => Err(wrong()),
        Err(_) => {
            let text = at.text().map_err(|_| wrong())?.unwrap_or_default();
            let word = LEVELS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, level)| *level);
            word.or_else(|| text.parse().ok().and_then(level)).map(Some).ok_or_else(wrong)
        }
    }
}

#[cfg(test)]
mod tests;
