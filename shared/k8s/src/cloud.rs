//! Which node a target really is, and what we may do to it.

use serde_json::Value;
use stanch_core::{
    Check, Cloud, Error, Exemption, Identity, Kind, Permission, Permissions, Result, Scope, Target,
    names::{KubeName, KubeUid},
    target::{Cluster, Node, NodeOrPod, Pod},
};

use crate::{
    Kube, KubeApi, NodeFacts,
    facts::{EXEMPT_NAMESPACE, EXEMPT_NODE, strings, uid},
};

impl Cloud<NodeOrPod> for Kube {
    type Api = KubeApi;
    type Facts = NodeFacts;

    fn from_env() -> Result<Self> {
        Self::from_environment()
    }

    async fn warm(&self) {
        // A failure here is met again, and reported, by the first order.
        let _ = self.api(&self.own_cluster()).await;
    }

    async fn home(&self) -> Result<Scope> {
        Ok(Scope::Cluster(self.own_cluster()))
    }

    async fn connect(&self, target: &NodeOrPod) -> Result<KubeApi> {
        match target {
            NodeOrPod::Node(Node { cluster, .. }) | NodeOrPod::Pod(Pod { cluster, .. }) => self.api(cluster).await,
        }
    }

    async fn identify(&self, api: &KubeApi, target: &NodeOrPod) -> Result<Identity<NodeFacts>> {
        match target {
            NodeOrPod::Node(node) => identify_node(api, node).await,
            NodeOrPod::Pod(pod) => identify_pod(api, pod).await,
        }
    }

    async fn check(&self, api: &KubeApi, target: &NodeOrPod, needs: &Permissions) -> Vec<Check> {
        let mut checks = vec![check_target(self, api, target).await];
        let parts = [("plan", needs.plan), ("apply", needs.apply), ("revert", needs.revert)];
        let mut asked: Vec<(&str, &str, &str)> = Vec::new();
        for (part, permissions) in parts {
            for permission in permissions {
                let Permission::Kube { group, resource, verbs } = *permission else { continue };
                for &verb in verbs {
                    if !asked.contains(&(verb, group, resource)) {
                        asked.push((verb, group, resource));
                        checks.push(check_permission(api, part, (verb, group, resource)).await);
                    }
                }
            }
        }
        checks
    }
}

async fn check_target(kube: &Kube, api: &KubeApi, target: &NodeOrPod) -> Check {
    let what = format!("find {}", Target::from(target.clone()));
    match kube.identify(api, target).await {
        Ok(found) => Check { what, ok: true, detail: format!("{}, uid {}", found.target, found.uid) },
        Err(error) => Check { what, ok: false, detail: error.to_string() },
    }
}

async fn check_permission(api: &KubeApi, part: &str, (verb, group, resource): (&str, &str, &str)) -> Check {
    let dot = if group.is_empty() { "" } else { "." };
    let what = format!("{part}: {verb} {resource}{dot}{group}");
    match api.may(verb, group, resource).await {
        Ok(true) => Check { what, ok: true, detail: "allowed".to_owned() },
        Ok(false) => Check { what, ok: false, detail: format!("missing in cluster {}", name_of(api.cluster())) },
        Err(error) => Check { what, ok: false, detail: error.to_string() },
    }
}

fn name_of(cluster: &Cluster) -> String {
    match cluster {
        Cluster::Current => "of the current context".to_owned(),
        named => named.to_string(),
    }
}

async fn identify_node(api: &KubeApi, target: &Node) -> Result<Identity<NodeFacts>> {
    let facts = NodeFacts::read(&target.cluster, &target.name, &api.node(&target.name).await?)?;
    same_uid("nodes", &format!("node/{}", target.name), target.uid.as_ref(), &facts.uid)?;
    Ok(identity(facts, Vec::new()))
}

async fn identify_pod(api: &KubeApi, target: &Pod) -> Result<Identity<NodeFacts>> {
    let name = format!("pod/{}/{}", target.namespace, target.name);
    let (pod, namespace) = tokio::join!(api.pod(&target.namespace, &target.name), api.namespace(&target.namespace));
    let pod = pod?;
    let pod_uid = uid(&pod)
        .ok_or_else(|| Error::new(Kind::Internal, "get pods", "the answer has no metadata.uid").on(name.clone()))?;
    same_uid("pods", &name, target.uid.as_ref(), &pod_uid)?;
    let node: KubeName = match pod.pointer("/spec/nodeName").and_then(Value::as_str) {
        Some(node) if !node.is_empty() => node.parse()?,
        _ => return Err(Error::new(Kind::NotFound, "get pods", "it is not scheduled: it has no node yet").on(name)),
    };
    let exempt =
        strings(&namespace?, "/metadata/labels").get(EXEMPT_NAMESPACE).filter(|value| *value != "false").map(|_| {
            Exemption { mark: format!("label {EXEMPT_NAMESPACE} of namespace/{}", target.namespace), forgeable: false }
        });

    let mut facts = NodeFacts::read(&target.cluster, &node, &api.node(&node).await?)?;
    if let (None, Some(host)) = (&target.uid, &target.host)
        && *host != node
    {
        same_cluster(api, &name, host, &node).await?;
    }
    facts.pod = Some(Pod { uid: Some(pod_uid), host: None, ..target.clone() });
    Ok(identity(facts, exempt.into_iter().collect()))
}

/// The detector's host is another than the pod's node. It may be the detector's own pod (Falco: `hostname` is the
/// pod's, unless the deployment sets it to the node's), but not another node, and not a stranger: then the alert is
/// about another pod of that name, perhaps in another cluster.
async fn same_cluster(api: &KubeApi, pod: &str, host: &KubeName, node: &KubeName) -> Result<()> {
    let conflict = |message: &str| Err(Error::new(Kind::Conflict, "get nodes", message).on(pod));
    match api.node(host).await {
        Ok(_) => conflict(&format!("the alert is from another node than the pod's ({host}, not {node})")),
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        Err(_) if api.has_pod(host).await? => Ok(()),
        Err(_) => conflict("the alert is from a host that is neither a node nor a pod of this cluster"),
    }
}

fn same_uid(resource: &str, object: &str, known: Option<&KubeUid>, found: &KubeUid) -> Result<()> {
    match known {
        Some(known) if known != found => {
            let message = "it was recreated: the one that was named is gone, this one has another uid";
            Err(Error::new(Kind::Conflict, format!("get {resource}"), message).on(object))
        }
        _ => Ok(()),
    }
}

fn identity(facts: NodeFacts, mut exempt: Vec<Exemption>) -> Identity<NodeFacts> {
    if facts.labels.get(EXEMPT_NODE).is_some_and(|value| value != "false") {
        exempt.push(Exemption { mark: format!("label {EXEMPT_NODE} of node/{}", facts.name), forgeable: false });
    }
    let target = Node { cluster: facts.cluster.clone(), name: facts.name.clone(), uid: Some(facts.uid.clone()) };
    Identity { uid: facts.uid.to_string(), target: target.into(), exempt, facts }
}
