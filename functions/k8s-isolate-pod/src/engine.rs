//! What enforces policies in this cluster, if anything does. A policy that nobody enforces is accepted all the same,
//! and contains nothing.

use serde::Deserialize;
use stanch_core::{Error, Kind, Result};
use stanch_k8s::{KubeApi, List, PodFacts, Resource};

use crate::{Options, Wanted};

/// What denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `NetworkPolicy`.
    Kubernetes {
        /// The AWS VPC CNI enforces it: only for pods that have an owner.
        vpc_cni: bool,
    },
    /// `AdminNetworkPolicy` beside it.
    Admin(Resource),
    /// `CiliumNetworkPolicy`.
    Cilium(Resource),
    /// Calico's `GlobalNetworkPolicy`.
    Calico(Resource),
}

impl Engine {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Admin(_) => "admin",
            Self::Cilium(_) => "cilium",
            Self::Calico(_) => "calico",
        }
    }

    /// Whether somebody's allow can stand above it: then the others have to be looked at.
    pub(crate) const fn adds_up(&self) -> bool {
        matches!(self, Self::Kubernetes { .. } | Self::Admin(_))
    }
}

/// What runs on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    Calico,
    Cilium,
    VpcCni {
        enforces: bool,
    },
    /// One that knows `NetworkPolicy`.
    Other,
}

#[derive(Deserialize)]
struct DaemonSet {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    template: Template,
}

#[derive(Default, Deserialize)]
struct Template {
    #[serde(default)]
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
struct PodSpec {
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    args: Vec<String>,
}

/// Only where those who may create a `DaemonSet` hold the cluster anyway: anybody's namespace proves nothing.
const SYSTEM: [&str; 8] = [
    "kube-system",
    "calico-system",
    "cilium",
    "kube-flannel",
    "openshift-ovn-kubernetes",
    "openshift-sdn",
    "antrea-system",
    "weave",
];

impl DaemonSet {
    fn agent(&self) -> Option<Agent> {
        if !SYSTEM.contains(&self.metadata.namespace.as_str()) {
            return None;
        }
        match self.metadata.name.as_str() {
            "calico-node" | "canal" => Some(Agent::Calico),
            "cilium" => Some(Agent::Cilium),
            // Amazon EKS: "Limit Pod traffic with Kubernetes network policies": the agent runs beside the CNI, and does
            // nothing until this is set.
            "aws-node" => {
                let mut args = self.spec.template.spec.containers.iter().flat_map(|it| &it.args);
                Some(Agent::VpcCni { enforces: args.any(|arg| arg == "--enable-network-policy=true") })
            }
            // GKE Dataplane V2 ("anetd"): it is Cilium, but takes NetworkPolicy only.
            "anetd"
            | "antrea-agent"
            | "kube-router"
            | "weave-net"
            | "ovnkube-node"
            | "azure-npm"
            | "kindnet"
            | "kube-network-policies"
            | "cilium-agent" => Some(Agent::Other),
            _ => None,
        }
    }
}

async fn agents(api: &KubeApi) -> Result<Vec<Agent>> {
    let sets = Resource::new("apps", "v1", "daemonsets", "DaemonSet");
    api.list(&List::of(sets), |set: DaemonSet| set.agent()).await
}

async fn cilium(api: &KubeApi) -> Result<Option<Resource>> {
    api.serves("cilium.io", "ciliumnetworkpolicies").await
}

/// Calico's API server, or else its storage, which takes the same fields.
async fn calico(api: &KubeApi) -> Result<Option<Resource>> {
    match api.serves("projectcalico.org", "globalnetworkpolicies").await? {
        None => api.serves("crd.projectcalico.org", "globalnetworkpolicies").await,
        found => Ok(found),
    }
}

async fn admin(api: &KubeApi) -> Result<Option<Resource>> {
    api.serves("policy.networking.k8s.io", "adminnetworkpolicies").await
}

/// The engine that was asked for, or the one that is there.
///
/// # Errors
/// [`Kind::Unsupported`] where nothing enforces.
pub(crate) async fn choose(api: &KubeApi, options: &Options) -> Result<Engine> {
    let agents = agents(api).await?;
    let has = |agent: Agent| agents.contains(&agent);
    let vpc_cni =
        agents.iter().any(|agent| matches!(agent, Agent::VpcCni { .. })) && !has(Agent::Calico) && !has(Agent::Cilium);
    let enforced = agents.iter().any(|agent| *agent != Agent::VpcCni { enforces: false });
    let none = |message: &str| Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string());
    let found = |resource: Option<Resource>| {
        resource.ok_or_else(|| Error::invalid("options.engine", "the cluster does not serve its policies"))
    };
    if !enforced && !options.assume_enforced {
        return Err(none(
            "nothing that is known to enforce network policies runs here (Calico, Cilium, GKE Dataplane V2, AWS VPC CNI \
             with enableNetworkPolicy, …): a policy would be accepted and contain nothing. If something does, set \
             assume_enforced; else use k8s-revoke-access, k8s-redeploy-pod, or cut the machine",
        ));
    }
    // Exceptions are not for an engine whose deny is final.
    let exceptions = options.allow_dns || !options.allow_cidr.is_empty();
    match options.engine {
        Wanted::Kubernetes => Ok(Engine::Kubernetes { vpc_cni }),
        Wanted::Admin => Ok(Engine::Admin(found(admin(api).await?)?)),
        Wanted::Cilium => Ok(Engine::Cilium(found(cilium(api).await?)?)),
        Wanted::Calico => Ok(Engine::Calico(found(calico(api).await?)?)),
        Wanted::Auto => {
            if has(Agent::Cilium)
                && !exceptions
                && let Some(resource) = cilium(api).await?
            {
                return Ok(Engine::Cilium(resource));
            }
            if has(Agent::Calico)
                && let Some(resource) = calico(api).await?
            {
                return Ok(Engine::Calico(resource));
            }
            Ok(Engine::Kubernetes { vpc_cni })
        }
    }
}

/// Why a pod cannot be isolated this way.
pub(crate) fn unsuitable(pod: &PodFacts, engine: &Engine, options: &Options) -> Option<&'static str> {
    let fargate = pod.labels.contains_key("eks.amazonaws.com/fargate-profile")
        || pod.node.as_ref().is_some_and(|node| node.as_str().starts_with("fargate-"));
    let vpc_cni = *engine == Engine::Kubernetes { vpc_cni: true };
    if pod.host_network {
        Some(
            "it uses its node's network, which no policy binds: cut the machine (aws-isolate-instance, \
             gcp-isolate-instance), or drain the node",
        )
    } else if fargate {
        Some(
            "AWS enforces no network policy on Fargate: use k8s-revoke-access, aws-contain-principal, k8s-redeploy-pod or \
             k8s-delete-workload",
        )
    } else if vpc_cni && pod.owner.is_none() {
        Some("the AWS VPC CNI enforces no policy on a pod without an owner: delete the pod, or cut the machine")
    } else if vpc_cni && options.release_from_service {
        Some(
            "release_from_service would orphan it, and the AWS VPC CNI enforces no policy on a pod without an owner: the \
             isolation would end. Leave the option out",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(namespace: &str, name: &str, args: &[&str]) -> Option<Agent> {
        let containers = vec![Container { args: args.iter().map(|&it| it.to_owned()).collect() }];
        let meta = Meta { name: name.to_owned(), namespace: namespace.to_owned() };
        DaemonSet { metadata: meta, spec: Spec { template: Template { spec: PodSpec { containers } } } }.agent()
    }

    #[test]
    fn an_agent_counts_where_the_system_runs_it() {
        assert_eq!(set("kube-system", "calico-node", &[]), Some(Agent::Calico));
        assert_eq!(set("default", "calico-node", &[]), None);
        assert_eq!(set("kube-system", "anetd", &[]), Some(Agent::Other));
        assert_eq!(set("kube-system", "kube-proxy", &[]), None);
        let on = set("kube-system", "aws-node", &["--enable-ipv6=false", "--enable-network-policy=true"]);
        assert_eq!(on, Some(Agent::VpcCni { enforces: true }));
        assert_eq!(
            set("kube-system", "aws-node", &["--enable-network-policy=false"]),
            Some(Agent::VpcCni { enforces: false })
        );
    }
}
