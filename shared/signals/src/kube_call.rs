//! What a call to a Kubernetes API server means, whichever log reported it: the API server's own audit log
//! ("Kubernetes: Auditing", `Event`) or Google's ("GKE: audit logging").
//!
//! - Subjects: the object (a pod, a node, a workload, a service account), then the pod whose token the caller used
//!   (`authentication.kubernetes.io/pod-name`, which the API server takes from the signed token), then the caller.
//!   Only the authenticated caller: whom it impersonated, whom a binding names, and what a review asks about are the
//!   caller's choice, and acting on them would let the attacker pick the victim.
//! - Severity is ours, because an audit log has none: see [`judge`]. What a control-plane component does is routine.
//! - A call that failed changed nothing: its alert is inactive, else anybody could have any pod contained by being
//!   refused to enter it.

use stanch_core::{
    Result, Severity, Target,
    names::{KubeName, KubeUid, Namespace, WorkloadKind},
    target::{Cluster, Pod, ServiceAccount},
};

use crate::{at::At, kube, text::Notes};

/// One call, as a log tells it.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    /// Where the object is named; errors name it.
    pub(crate) at: At<'a>,
    /// `create`, `get` …
    pub(crate) verb: &'a str,
    /// The API group; `None` where the log does not say.
    pub(crate) group: Option<&'a str>,
    /// `pods`, `clusterrolebindings` …
    pub(crate) resource: &'a str,
    /// `exec`, `token` …
    pub(crate) subresource: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) uid: Option<&'a str>,
    /// The authenticated user's name.
    pub(crate) user: At<'a>,
    /// The authenticated user's `extra`.
    pub(crate) extra: At<'a>,
    /// The object as it was sent.
    pub(crate) request: At<'a>,
    /// The object as it was answered.
    pub(crate) response: At<'a>,
    /// The API server refused or failed it.
    pub(crate) failed: bool,
}

/// What a call means.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) subjects: Vec<Target>,
    /// `None`: routine.
    pub(crate) severity: Option<Severity>,
    /// As MITRE ATT&CK calls it.
    pub(crate) tactic: Option<&'static str>,
    /// Why nothing may be done.
    pub(crate) inactive: Option<&'static str>,
}

/// What a kind of call means: how bad, which tactic, and in words.
type Meaning = (Severity, &'static str, &'static str);

impl Call<'_> {
    /// The resource; nothing for a custom one that has the name of one of Kubernetes' own.
    fn own_resource(&self) -> &str {
        let is_own = ["pods", "nodes", "serviceaccounts", "secrets"].contains(&self.resource)
            || kube::WORKLOADS.contains(&self.resource);
        if is_own && !kube::is_own(self.group) { "" } else { self.resource }
    }
}

/// The subjects of a call and what it means.
pub(crate) fn judge(call: &Call<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Judgement> {
    let mut judgement = Judgement::default();
    kube::add(&mut judgement.subjects, object(call, cluster, notes)?);
    kube::add(&mut judgement.subjects, caller_pod(call, cluster)?);
    kube::add(&mut judgement.subjects, kube::user(&call.user, cluster)?);
    let user = call.user.text()?.unwrap_or_default();
    if let Some((severity, tactic, note)) = meaning(call, user) {
        judgement.severity = Some(if call.failed { Severity::Low } else { severity });
        judgement.tactic = Some(tactic);
        if !call.failed {
            notes.add(note);
        }
    }
    if call.failed {
        judgement.inactive = Some("the call failed");
    }
    if judgement.subjects.is_empty() {
        notes.add("neither the object nor the caller is one that a responder takes");
    }
    Ok(judgement)
}

/// Does a call mean nothing? Asked of every call of a batch, before anything is built.
pub(crate) fn is_routine(call: &Call<'_>) -> bool {
    let user = call.user.text().ok().flatten().unwrap_or_default();
    meaning(call, user).is_none()
}

fn meaning(call: &Call<'_>, user: &str) -> Option<Meaning> {
    const EXECUTION: &str = "Execution";
    const ESCALATION: &str = "Privilege Escalation";
    const CREDENTIALS: &str = "Credential Access";
    const DISCOVERY: &str = "Discovery";
    let is_anonymous = user == "system:anonymous";
    let writes = ["create", "update", "patch"].contains(&call.verb);
    let found = match (call.own_resource(), call.subresource) {
        // kubectl before 1.31 posts, later ones open a WebSocket, which is a GET.
        ("pods", Some("exec")) if ["create", "get"].contains(&call.verb) => {
            Some((Severity::Medium, EXECUTION, "a command was run in the pod (exec)"))
        }
        ("pods", Some("attach")) if ["create", "get"].contains(&call.verb) => {
            Some((Severity::Medium, EXECUTION, "someone attached to the pod"))
        }
        ("pods", Some("portforward")) if ["create", "get"].contains(&call.verb) => {
            Some((Severity::Medium, "Lateral Movement", "a port of the pod was forwarded"))
        }
        ("pods", Some("ephemeralcontainers")) if writes => {
            Some((Severity::Medium, EXECUTION, "a container was added to the running pod"))
        }
        ("nodes", Some("proxy")) => Some((Severity::High, EXECUTION, "the node's kubelet was called directly")),
        ("selfsubjectaccessreviews" | "selfsubjectrulesreviews", _) if call.verb == "create" => {
            asks_about_itself(user).then_some((Severity::Medium, DISCOVERY, "the caller asked what it may do"))
        }
        ("serviceaccounts", Some("token")) if call.verb == "create" && !user.starts_with("system:node:") => {
            Some((Severity::Low, CREDENTIALS, "a token was asked for"))
        }
        ("secrets", None) if ["get", "list"].contains(&call.verb) && user.starts_with("system:serviceaccount:") => {
            Some((Severity::Low, CREDENTIALS, "a service account read secrets"))
        }
        ("rolebindings" | "clusterrolebindings", None) if writes => Some(binding(call)),
        ("roles" | "clusterroles", None) if writes => Some(role(call)),
        (resource, None) if writes && (resource == "pods" || kube::WORKLOADS.contains(&resource)) => {
            is_privileged(call).then_some((Severity::High, ESCALATION, "it is privileged on its node"))
        }
        _ => None,
    };
    if is_control_plane(user) {
        return None;
    }
    match found {
        Some((severity, tactic, note)) if is_anonymous => Some((severity.max(Severity::High), tactic, note)),
        None if is_anonymous => Some((Severity::High, "Initial Access", "the caller is anonymous")),
        found => found,
    }
}

/// Pods and nodes do not ask what they may do; people and controllers with a client do.
fn asks_about_itself(user: &str) -> bool {
    user.starts_with("system:serviceaccount:") || user.starts_with("system:node:") || user == "system:anonymous"
}

/// The components that make other people's objects ("Kubernetes: Using RBAC Authorization", core component roles;
/// the controllers' accounts are in kube-system and end in `-controller`), and the kubelets, whose mirror pods are
/// their node's own.
fn is_control_plane(user: &str) -> bool {
    const COMPONENTS: [&str; 5] = [
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:addon-manager",
        "system:cloud-controller-manager",
    ];
    COMPONENTS.contains(&user)
        || user
            .strip_prefix("system:serviceaccount:kube-system:")
            .is_some_and(|name| name.ends_with("-controller") || name == "generic-garbage-collector")
}

fn object(call: &Call<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
    let (at, resource) = (&call.at, call.own_resource());
    if !["pods", "nodes", "serviceaccounts"].contains(&resource) && !kube::WORKLOADS.contains(&resource) {
        return Ok(None);
    }
    // A name that the server made up (generateName) stands in the answer only.
    let answered = call.response.get("metadata").ok();
    let in_answer = |key: &'static str| {
        let named = answered.as_ref().filter(|_| call.verb == "create" && call.subresource.is_none())?;
        named.get(key).ok().filter(|at| at.text().is_ok_and(|text| text.is_some()))
    };
    let name = match call.name {
        Some(name) if call.subresource == Some("proxy") => Some(at.parse::<KubeName>(proxied(name))?),
        Some(name) => Some(at.parse::<KubeName>(name)?),
        None => in_answer("name").map(|at| at.name()).transpose()?.flatten(),
    };
    if call.resource == "nodes" {
        return Ok(name.map(|name| kube::node(cluster, name)));
    }
    let namespace = call.namespace.map(|namespace| at.parse::<Namespace>(namespace)).transpose()?;
    let (Some(namespace), Some(name)) = (namespace, name) else {
        notes.add("the call names no single object");
        return Ok(None);
    };
    if call.resource == "serviceaccounts" {
        return Ok(Some(ServiceAccount { cluster: cluster.clone(), namespace, name }.into()));
    }
    let uid = match call.uid {
        Some(uid) => Some(at.parse::<KubeUid>(uid)?),
        None => in_answer("uid").map(|at| at.name()).transpose()?.flatten(),
    };
    let kind: WorkloadKind = at.parse(call.resource)?;
    Ok(Some(kube::pod_or_workload(cluster, kind, namespace, name, uid)))
}

/// The name in `[SCHEME:]NAME[:PORT]`, by which a pod or a node is asked to pass a request on ("Kubernetes: Access
/// Services Running on Clusters", apiserver proxy URLs).
fn proxied(name: &str) -> &str {
    let parts: Vec<_> = name.split(':').collect();
    match *parts.as_slice() {
        [name, _port] | ["" | "http" | "https", name, _port] => name,
        _ => name,
    }
}

/// The pod that the caller's token is bound to ("Kubernetes: Managing Service Accounts", bound tokens).
fn caller_pod(call: &Call<'_>, cluster: &Cluster) -> Result<Option<Target>> {
    let user = call.user.text()?.unwrap_or_default();
    let Some(account) = user.strip_prefix("system:serviceaccount:") else { return Ok(None) };
    let Some((namespace, _)) = account.split_once(':') else { return Ok(None) };
    let only = |key: &'static str| -> Result<Option<At<'_>>> {
        let items = call.extra.get(key)?.items()?;
        Ok(match items.as_slice() {
            [one] => Some(*one),
            _ => None,
        })
    };
    let Some(at) = only("authentication.kubernetes.io/pod-name")? else { return Ok(None) };
    let Some(name) = at.name::<KubeName>()? else { return Ok(None) };
    let uid = only("authentication.kubernetes.io/pod-uid")?.map(|at| at.name::<KubeUid>()).transpose()?.flatten();
    let namespace = call.user.parse::<Namespace>(namespace)?;
    Ok(Some(Pod { cluster: cluster.clone(), namespace, name, uid, host: None }.into()))
}

fn binding(call: &Call<'_>) -> Meaning {
    const ESCALATION: &str = "Privilege Escalation";
    let role = call.request.peek(&["roleRef", "name"]).unwrap_or_default();
    let subjects = call.request.get("subjects").and_then(|at| at.items()).unwrap_or_default();
    let to_all = subjects.iter().any(|it| {
        ["system:anonymous", "system:unauthenticated", "system:authenticated"]
            .contains(&it.peek(&["name"]).unwrap_or_default())
    });
    if to_all {
        (Severity::Critical, ESCALATION, "it grants rights to everybody")
    } else if role == "cluster-admin" || role == "system:masters" {
        (Severity::High, ESCALATION, "it grants the rights of an administrator")
    } else {
        (Severity::Medium, ESCALATION, "it grants rights")
    }
}

fn role(call: &Call<'_>) -> Meaning {
    const ESCALATION: &str = "Privilege Escalation";
    let rules = call.request.get("rules").and_then(|at| at.items()).unwrap_or_default();
    let is_wide = rules.iter().any(|rule| {
        lists(rule, "verbs", &["*", "escalate", "bind", "impersonate"])
            && lists(rule, "resources", &["*", "roles", "clusterroles", "users", "groups", "serviceaccounts"])
    });
    if is_wide {
        (Severity::High, ESCALATION, "the role can take further rights")
    } else {
        (Severity::Medium, ESCALATION, "the role was changed")
    }
}

/// Does the list hold one of the words? A shape that the API server would not have taken holds none.
fn lists(at: &At<'_>, key: &'static str, words: &[&str]) -> bool {
    let items = at.get(key).and_then(|at| at.items()).unwrap_or_default();
    items.iter().any(|item| item.text().is_ok_and(|text| text.is_some_and(|text| words.contains(&text))))
}

/// Can the pods leave their container ("Kubernetes: Pod Security Standards", what the baseline forbids and what gives
/// the node away)?
fn is_privileged(call: &Call<'_>) -> bool {
    const CAPABILITIES: [&str; 7] =
        ["ALL", "BPF", "DAC_READ_SEARCH", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"];
    let path: &[&'static str] = match call.resource {
        "pods" => &["spec"],
        "cronjobs" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    };
    let Ok(spec) = path.iter().try_fold(call.request, |at, key| at.get(key)) else { return false };
    let flag = |at: &At<'_>, key: &'static str| at.get(key).is_ok_and(|at| at.flag().is_ok_and(|it| it == Some(true)));
    let items = |key: &'static str| spec.get(key).and_then(|at| at.items()).unwrap_or_default();
    ["hostPID", "hostIPC", "hostNetwork"].iter().any(|key| flag(&spec, key))
        || items("volumes").iter().any(|it| it.get("hostPath").is_ok_and(|path| path.is_present()))
        || ["containers", "initContainers", "ephemeralContainers"].iter().any(|key| {
            items(key).iter().filter_map(|it| it.get("securityContext").ok()).any(|security| {
                flag(&security, "privileged")
                    || security.get("capabilities").is_ok_and(|it| lists(&it, "add", &CAPABILITIES))
            })
        })
}

#[cfg(test)]
mod tests;
