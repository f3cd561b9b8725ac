//! A node, or the node of a pod.

use serde_json::Value;
use stanch_core::{
    Error, Exemption, Identity, Kind, Result,
    names::KubeName,
    target::{Node, NodeOrPod, Pod},
};

use super::{KubeTarget, exempt_namespace, same_uid};
use crate::{
    KubeApi, NodeFacts, ObjectRef, Resource,
    facts::{EXEMPT_NODE, uid},
    own,
};

impl KubeTarget for NodeOrPod {
    type Facts = NodeFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<NodeFacts>> {
        match self {
            Self::Node(node) => Ok(identity(api, find(api, node).await?, Vec::new())),
            Self::Pod(pod) => of_pod(api, pod).await,
        }
    }
}

/// A node, by name and UID.
pub(super) async fn find(api: &KubeApi, target: &Node) -> Result<NodeFacts> {
    let node = api.get(&api.node_ref(&target.name)).await?;
    let facts = NodeFacts::read(&target.cluster, &target.name, &node)?;
    same_uid("nodes", &format!("node/{}", target.name), target.uid.as_ref(), &facts.uid)?;
    Ok(facts)
}

/// What a kubelet cannot say of its own node, and whether it is ours.
pub(super) fn exemptions(api: &KubeApi, facts: &NodeFacts) -> Vec<Exemption> {
    let mut exempt = Vec::new();
    if facts.labels.get(EXEMPT_NODE).is_some_and(|value| value != "false") {
        exempt.push(Exemption { mark: format!("label {EXEMPT_NODE} of node/{}", facts.name), forgeable: false });
    }
    if api.own().is_some_and(|own| own.is_node(facts.name.as_str())) {
        exempt.push(own::exemption("the node"));
    }
    exempt
}

/// A pod, by name and UID.
pub(super) async fn find_pod(api: &KubeApi, target: &Pod) -> Result<Value> {
    let object = pod_ref(target);
    let pod = api.get(&object).await?;
    let found = uid(&pod).ok_or_else(|| super::without_uid(&object))?;
    same_uid("pods", &object.text(), target.uid.as_ref(), &found)?;
    Ok(pod)
}

pub(super) fn pod_ref(target: &Pod) -> ObjectRef {
    ObjectRef {
        cluster: target.cluster.clone(),
        resource: Resource::pods(),
        namespace: Some(target.namespace.clone()),
        name: target.name.clone(),
        uid: target.uid.clone(),
    }
}

async fn of_pod(api: &KubeApi, target: &Pod) -> Result<Identity<NodeFacts>> {
    let name = pod_ref(target).text();
    let (pod, exempt) = tokio::join!(find_pod(api, target), exempt_namespace(api, &target.cluster, &target.namespace));
    let pod = pod?;
    let node: KubeName = match pod.pointer("/spec/nodeName").and_then(Value::as_str) {
        Some(node) if !node.is_empty() => node.parse()?,
        _ => return Err(Error::new(Kind::NotFound, "get pods", "it is not scheduled: it has no node yet").on(name)),
    };
    let exempt = exempt?;
    let mut facts = NodeFacts::read(&target.cluster, &node, &api.get(&api.node_ref(&node)).await?)?;
    same_host(api, target, &node).await?;
    facts.pod = Some(Pod { uid: uid(&pod), host: None, ..target.clone() });
    Ok(identity(api, facts, exempt))
}

/// The detector's host is another than the pod's node. It may be the detector's own pod (Falco: `hostname` is the
/// pod's, unless the deployment sets it to the node's), but not another node, and not a stranger: then the alert is
/// about another pod of that name, perhaps in another cluster.
pub(super) async fn same_host(api: &KubeApi, target: &Pod, node: &KubeName) -> Result<()> {
    let Some(host) = target.host.as_ref().filter(|host| target.uid.is_none() && *host != node) else { return Ok(()) };
    let conflict = |message: &str| Err(Error::new(Kind::Conflict, "get nodes", message).on(pod_ref(target).text()));
    match api.get(&api.node_ref(host)).await {
        Ok(_) => conflict(&format!("the alert is from another node than the pod's ({host}, not {node})")),
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        Err(_) if api.has_pod(host).await? => Ok(()),
        Err(_) => conflict("the alert is from a host that is neither a node nor a pod of this cluster"),
    }
}

fn identity(api: &KubeApi, facts: NodeFacts, mut exempt: Vec<Exemption>) -> Identity<NodeFacts> {
    exempt.extend(exemptions(api, &facts));
    Identity { uid: facts.uid.to_string(), target: facts.target().into(), exempt, facts }
}
