//! The policies of others: which of them would let the pod speak all the same.

use std::collections::BTreeMap;

use serde_json::Value;
use stanch_core::{Change, Error, Kind, Remaining, Result};
use stanch_k8s::{
    Exclusion, ISOLATE, IsolationSlot, KubeApi, KubeState, List, ObjectRef, PodFacts, Resource, Selector, managed_by,
};

/// What is to be done about the policies of others.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) changes: Vec<Change<IsolationSlot>>,
    pub(crate) left: Vec<Remaining>,
}

/// The policies of a namespace that select one of these pods and allow something.
pub(crate) async fn of_namespace(api: &KubeApi, pods: &[&PodFacts], exclude: bool) -> Result<Others> {
    let mut others = Others::default();
    let Some(namespace) = pods.first().map(|pod| &pod.namespace) else { return Ok(others) };
    let list = List::of(Resource::network_policies()).within(namespace.as_str());
    for policy in api.list(&list, |policy: Value| allows(&policy).then_some(policy)).await? {
        let text = |path: &str| policy.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
        let selector = policy.pointer("/spec/podSelector").and_then(Selector::read).unwrap_or_default();
        let excluded = Exclusion::state_in(&policy);
        // As it selects without us: what we took out before is to be kept out.
        let selects = |pod: &&PodFacts| {
            let mut labels = pod.labels.clone();
            labels.remove(ISOLATE);
            selector.matches(&labels)
        };
        let ours = selector.keys().any(|key| key == ISOLATE) && excluded != KubeState::flag(true);
        if ours || !pods.iter().any(selects) {
            continue;
        }
        let what = format!("the policy {namespace}/{name} allows traffic of the pod");
        if let Some(tool) = managed_by(&policy) {
            let what =
                format!("{what}, and {tool} keeps it: change it in its repository, the pod is not isolated until then");
            others.left.push(Remaining::new(what));
        } else if exclude {
            let policy = ObjectRef {
                cluster: api.cluster().clone(),
                resource: Resource::network_policies(),
                namespace: Some(namespace.clone()),
                name: name.parse()?,
                uid: Some(uid.parse()?),
            };
            let (before, after) = (excluded, KubeState::flag(true));
            others.changes.push(Change { slot: Exclusion { policy }.into(), before, after });
        } else {
            others.left.push(Remaining::new(format!("{what}, and others: leave keeps it in force")));
        }
    }
    Ok(others)
}

/// Kubernetes: "Network Policies": a policy with no rule for a direction allows nothing in it.
fn allows(policy: &Value) -> bool {
    let rules = |direction: &str| {
        policy.pointer(&format!("/spec/{direction}")).and_then(Value::as_array).is_some_and(|it| !it.is_empty())
    };
    rules("ingress") || rules("egress")
}

/// Network Policy API, v1alpha1 and v1alpha2.
const ABOVE: [(&str, &str); 2] = [("adminnetworkpolicies", "Allow"), ("clusternetworkpolicies", "Accept")];

/// Policies of the cluster's administrators stand above ours: one that allows cannot be taken back from below.
///
/// # Errors
/// [`Kind::Conflict`], naming the policy.
pub(crate) async fn above(
    api: &KubeApi,
    pods: &[&PodFacts],
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<()> {
    for (plural, action) in ABOVE {
        let Some(resource) = api.serves("policy.networking.k8s.io", plural).await? else { continue };
        for policy in api.list(&List::of(resource), Some::<Value>).await? {
            let Some(pod) = pods.iter().find(|pod| lets_pass(&policy, action, pod, namespaces)) else { continue };
            let name = policy.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let message = format!(
                "{plural} {name} allows traffic of the pod and stands above any NetworkPolicy: change it, or use engine \
                 admin if its priority is higher than 0"
            );
            return Err(Error::new(Kind::Conflict, "plan", message).on(format!("pod/{}/{}", pod.namespace, pod.name)));
        }
    }
    Ok(())
}

fn lets_pass(
    policy: &Value,
    action: &str,
    pod: &PodFacts,
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
) -> bool {
    // What stands below is overruled by ours.
    if policy.pointer("/spec/tier").and_then(Value::as_str) == Some("Baseline") {
        return false;
    }
    let rules = |direction: &str| {
        policy.pointer(&format!("/spec/{direction}")).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let passes = [rules("ingress"), rules("egress")]
        .concat()
        .iter()
        .any(|rule| rule.get("action").and_then(Value::as_str) == Some(action));
    let none = BTreeMap::new();
    let namespace = namespaces.get(pod.namespace.as_str()).unwrap_or(&none);
    let selects = |path: &str, labels: &BTreeMap<String, String>| {
        policy.pointer(path).and_then(Selector::read).is_some_and(|selector| selector.matches(labels))
    };
    let subject = selects("/spec/subject/namespaces", namespace)
        || (selects("/spec/subject/pods/namespaceSelector", namespace)
            && selects("/spec/subject/pods/podSelector", &pod.labels));
    passes && subject
}
