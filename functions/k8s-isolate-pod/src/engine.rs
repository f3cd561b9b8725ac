//! Which engine denies: the one that was asked for, or the one whose agent runs here.

use stanch_core::{Error, Kind, Result};
use stanch_k8s::{KubeApi, PodFacts, PolicyAgent, Resource, UNENFORCED};

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
    let agents = api.policy_agents().await?;
    let vpc_cni = agents.is_vpc_cni();
    let found = |resource: Option<Resource>| {
        resource.ok_or_else(|| Error::invalid("options.engine", "the cluster does not serve its policies"))
    };
    if !agents.enforce() && !options.assume_enforced {
        let message = format!(
            "{UNENFORCED}. If something does, set assume_enforced; else use k8s-revoke-access, k8s-redeploy-pod, or cut \
             the machine"
        );
        return Err(Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string()));
    }
    // Exceptions are not for an engine whose deny is final.
    let exceptions = options.allow_dns || !options.allow_cidr.is_empty();
    match options.engine {
        Wanted::Kubernetes => Ok(Engine::Kubernetes { vpc_cni }),
        Wanted::Admin => Ok(Engine::Admin(found(admin(api).await?)?)),
        Wanted::Cilium => Ok(Engine::Cilium(found(cilium(api).await?)?)),
        Wanted::Calico => Ok(Engine::Calico(found(calico(api).await?)?)),
        Wanted::Auto => {
            if agents.has(PolicyAgent::Cilium)
                && !exceptions
                && let Some(resource) = cilium(api).await?
            {
                return Ok(Engine::Cilium(resource));
            }
            if agents.has(PolicyAgent::Calico)
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
