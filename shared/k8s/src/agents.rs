//! What enforces network policies in a cluster, if anything does. A policy that nobody enforces is accepted all the same,
//! and contains nothing.

use serde::Deserialize;
use stanch_core::Result;

use crate::{KubeApi, List, Resource};

/// Said where nothing enforces.
pub const UNENFORCED: &str = "nothing that is known to enforce network policies runs here (Calico, Cilium, GKE Dataplane \
                              V2, AWS VPC CNI with enableNetworkPolicy, …): a policy would be accepted and contain nothing";

/// What runs on the nodes of a cluster and knows network policies.
#[derive(Clone, Debug)]
pub struct PolicyAgents(Vec<PolicyAgent>);

impl PolicyAgents {
    /// Whether it is one of them.
    pub fn has(&self, agent: PolicyAgent) -> bool {
        self.0.contains(&agent)
    }

    /// Whether any of them enforces.
    pub fn enforce(&self) -> bool {
        self.0.iter().any(|agent| *agent != PolicyAgent::VpcCni { enforces: false })
    }

    /// Whether the AWS VPC CNI is the one that would have to.
    pub fn is_vpc_cni(&self) -> bool {
        self.0.iter().any(|agent| matches!(agent, PolicyAgent::VpcCni { .. }))
            && !self.has(PolicyAgent::Calico)
            && !self.has(PolicyAgent::Cilium)
    }
}

/// One that runs on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAgent {
    /// Calico, or Canal.
    Calico,
    /// Cilium.
    Cilium,
    /// The AWS VPC CNI.
    VpcCni {
        /// Its agent is switched on.
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
    fn agent(&self) -> Option<PolicyAgent> {
        if !SYSTEM.contains(&self.metadata.namespace.as_str()) {
            return None;
        }
        match self.metadata.name.as_str() {
            "calico-node" | "canal" => Some(PolicyAgent::Calico),
            "cilium" => Some(PolicyAgent::Cilium),
            // Amazon EKS: "Limit Pod traffic with Kubernetes network policies": the agent runs beside the CNI, and does
            // nothing until this is set.
            "aws-node" => {
                let mut args = self.spec.template.spec.containers.iter().flat_map(|it| &it.args);
                Some(PolicyAgent::VpcCni { enforces: args.any(|arg| arg == "--enable-network-policy=true") })
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
            | "cilium-agent" => Some(PolicyAgent::Other),
            _ => None,
        }
    }
}

impl KubeApi {
    /// What runs on the nodes and knows network policies.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list daemonsets`.
    pub async fn policy_agents(&self) -> Result<PolicyAgents> {
        let sets = Resource::new("apps", "v1", "daemonsets", "DaemonSet");
        Ok(PolicyAgents(self.list(&List::of(sets), |set: DaemonSet| set.agent()).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(namespace: &str, name: &str, args: &[&str]) -> Option<PolicyAgent> {
        let containers = vec![Container { args: args.iter().map(|&it| it.to_owned()).collect() }];
        let meta = Meta { name: name.to_owned(), namespace: namespace.to_owned() };
        DaemonSet { metadata: meta, spec: Spec { template: Template { spec: PodSpec { containers } } } }.agent()
    }

    #[test]
    fn an_agent_counts_where_the_system_runs_it() {
        assert_eq!(set("kube-system", "calico-node", &[]), Some(PolicyAgent::Calico));
        assert_eq!(set("default", "calico-node", &[]), None);
        assert_eq!(set("kube-system", "anetd", &[]), Some(PolicyAgent::Other));
        assert_eq!(set("kube-system", "kube-proxy", &[]), None);
        let on = set("kube-system", "aws-node", &["--enable-ipv6=false", "--enable-network-policy=true"]);
        assert_eq!(on, Some(PolicyAgent::VpcCni { enforces: true }));
        assert_eq!(
            set("kube-system", "aws-node", &["--enable-network-policy=false"]),
            Some(PolicyAgent::VpcCni { enforces: false })
        );
    }
}
