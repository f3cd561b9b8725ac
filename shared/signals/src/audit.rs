//! The audit log of a Kubernetes API server ("Kubernetes: Auditing"; `audit.k8s.io` `Event`, `EventList`): from its
//! webhook, or of EKS through CloudWatch Logs.
//!
//! - An event does not name its cluster: `STANCH_CLUSTER` does.
//! - What a call means is judged in `kube_call`, the same for Google's log. In a batch a call that means nothing, one
//!   that the server refused, and one that is only announced (`RequestReceived`) become no alert; sent alone, such a call
//!   is an inactive alert.
//! - The incident is `k8saudit-` and 24 hexadecimal digits over cluster and `auditID`, which all stages of a call
//!   share; without one, over the caller, the call, its object and its time.

use std::borrow::Cow;

use stanch_core::{Alert, Error, Result, Source, target::Cluster};

use crate::{
    Context, Limits,
    at::At,
    document::keys,
    kube_call::{Call, is_routine, judge},
    text::{Notes, incident, plain},
};

/// Does the object look like audit events? Relays leave the version out.
pub(crate) fn is_event(at: &At<'_>) -> bool {
    let text = |key| at.get(key).ok().and_then(|at| at.text().ok().flatten());
    let version = text("apiVersion");
    match text("kind") {
        Some("Event") => match version {
            Some(version) => version.starts_with("audit.k8s.io/"),
            None => at.marks(keys!["requestURI", "objectRef", "auditID"]) != 0 && at.marks(keys!["verb", "user"]) != 0,
        },
        Some("EventList") => version.is_some_and(|version| version.starts_with("audit.k8s.io/")),
        _ => false,
    }
}

/// The cluster of what names none.
pub(crate) fn cluster(context: &Context) -> Result<&Cluster> {
    context.cluster.as_ref().ok_or_else(|| {
        Error::invalid("", "an audit event does not name its cluster: STANCH_CLUSTER must name the cluster")
    })
}

/// The alerts of an event or a batch.
pub(crate) fn alerts(at: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let cluster = cluster(context)?;
    if at.get("kind")?.text()? != Some("EventList") {
        return Ok(vec![event(at, cluster)]);
    }
    let mut batch = Batch::new(context);
    for item in at.get("items")?.each()? {
        batch.add(&item, cluster);
    }
    Ok(batch.items)
}

/// The alerts of many events.
pub(crate) struct Batch {
    pub(crate) items: Vec<Result<Alert>>,
    most: usize,
}

impl Batch {
    pub(crate) fn new(context: &Context) -> Self {
        Self { items: Vec::new(), most: context.limits.findings }
    }

    /// An item of its own. One who floods the log must not keep the first alerts from being heard.
    pub(crate) fn item(&mut self, item: Result<Alert>) {
        if self.items.len() + 1 < self.most {
            self.items.push(item);
        } else if self.items.len() < self.most {
            self.items.push(Err(Limits::exceeded("", "findings", self.most)));
        }
    }

    /// Adds what an event means, if it means anything. A call that is repeated is one alert, which counts.
    pub(crate) fn add(&mut self, event: &At<'_>, cluster: &Cluster) {
        match suspicious(event) {
            Ok(None) => {}
            Ok(Some(call)) => match alert(event, &call, cluster) {
                Ok(alert) => self.push(alert),
                Err(error) => self.item(Err(error)),
            },
            Err(error) => self.item(Err(error)),
        }
    }

    fn push(&mut self, alert: Alert) {
        // An attacker in a loop would fill the batch: only the latest alerts are looked through.
        let same = |it: &&mut Alert| {
            it.rule == alert.rule
                && it.subjects == alert.subjects
                && it.acted_as == alert.acted_as
                && (it.note == alert.note)
        };
        let known = self.items.iter_mut().rev().take(64).filter_map(|item| item.as_mut().ok()).find(same);
        if let Some(known) = known {
            if known.id != alert.id {
                known.count = Some(known.count.unwrap_or(1) + 1);
            }
            known.last_seen = alert.last_seen.max(known.last_seen);
        } else {
            self.item(Ok(alert));
        }
    }
}

/// The call of an event that means something.
fn suspicious<'a>(event: &At<'a>) -> Result<Option<Call<'a>>> {
    if event.get("stage")?.text()? == Some("RequestReceived") {
        return Ok(None);
    }
    Ok(call(event)?.filter(|call| !call.failed && !is_routine(call)))
}

/// One event alone.
fn event(event: &At<'_>, cluster: &Cluster) -> Result<Alert> {
    let announced = event.get("stage")?.text()? == Some("RequestReceived");
    let Some(call) = call(event)? else {
        let mut alert = shell(event, cluster, "call")?;
        alert.note = Some("the event names no object".to_owned());
        return Ok(alert);
    };
    let mut alert = alert(event, &call, cluster)?;
    if alert.inactive.is_none() && announced {
        alert.inactive = Some("the call is not yet answered".to_owned());
    } else if alert.inactive.is_none() && is_routine(&call) {
        alert.inactive = Some("the call is routine".to_owned());
    }
    Ok(alert)
}

/// What an event says of the call; `None` when it is about no object of the API.
fn call<'a>(event: &At<'a>) -> Result<Option<Call<'a>>> {
    let object = event.get("objectRef")?;
    let Some(resource) = object.get("resource")?.text()? else { return Ok(None) };
    let text = |at: &At<'a>, key: &'static str| -> Result<Option<&'a str>> {
        Ok(at.get(key)?.text()?.filter(|text| !text.is_empty()))
    };
    let user = event.get("user")?;
    let code = event.get("responseStatus")?.get("code")?.integer()?;
    Ok(Some(Call {
        at: object,
        verb: event.get("verb")?.text()?.unwrap_or_default(),
        group: text(&object, "apiGroup")?,
        resource,
        subresource: text(&object, "subresource")?,
        namespace: text(&object, "namespace")?,
        name: text(&object, "name")?,
        uid: text(&object, "uid")?,
        user: user.get("username")?,
        extra: user.get("extra")?,
        request: event.get("requestObject")?,
        response: event.get("responseObject")?,
        failed: code.is_some_and(|code| code >= 400)
            || event.peek(&["annotations", "authorization.k8s.io/decision"]) == Some("forbid"),
    }))
}

fn alert(event: &At<'_>, call: &Call<'_>, cluster: &Cluster) -> Result<Alert> {
    let mut notes = Notes::default();
    let judgement = judge(call, cluster, &mut notes)?;
    let rule = match call.subresource {
        Some(subresource) => format!("{} {}/{subresource}", call.verb, call.resource),
        None => format!("{} {}", call.verb, call.resource),
    };
    if judgement.subjects.is_empty() && notes.is_empty() {
        notes.add("the event names nothing that a responder takes");
    }
    Ok(Alert {
        severity: judgement.severity,
        tactic: judgement.tactic.map(str::to_owned),
        subjects: judgement.subjects,
        inactive: judgement.inactive.map(str::to_owned),
        note: notes.finish(),
        ..shell(event, cluster, &rule)?
    })
}

/// What every event has.
fn shell(event: &At<'_>, cluster: &Cluster, rule: &str) -> Result<Alert> {
    let text =
        |at: Result<At<'_>>| -> Result<Cow<'static, str>> { Ok(at?.text()?.unwrap_or_default().to_owned().into()) };
    let id = event.get("auditID")?.text()?.filter(|id| !id.is_empty());
    let time = match event.get("stageTimestamp")?.time()? {
        None => event.get("requestReceivedTimestamp")?.time()?,
        time => time,
    };
    let name = cluster.to_string();
    let incident = if let Some(id) = id {
        incident("k8saudit", &["id", &name, id])?
    } else {
        let user = text(event.get("user")?.get("username"))?;
        let (uri, time) = (text(event.get("requestURI"))?, text(event.get("requestReceivedTimestamp"))?);
        let object = event.get("objectRef")?;
        let (namespace, object) = (text(object.get("namespace"))?, text(object.get("name"))?);
        incident("k8saudit", &["call", &name, rule, &user, &uri, &namespace, &object, &time])?
    };
    let impersonated = event.get("impersonatedUser")?.get("username")?;
    Ok(Alert {
        id: id.map(plain),
        first_seen: event.get("requestReceivedTimestamp")?.time()?.or(time),
        last_seen: time,
        acted_as: impersonated.text()?.map(plain),
        ..Alert::new(incident, Source::KubernetesAudit, plain(rule.trim()))
    })
}
