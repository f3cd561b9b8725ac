//! The pods that a target stands for.

use std::collections::BTreeMap;

use serde_json::Value;
use stanch_core::{Exemption, Identity, Result, Target, is_control_plane, target::Pod};

use super::{KubeTarget, exempt_namespace, exempted_by_namespace, namespace, node, workload};
use crate::{
    ImageName, KubeApi, List, Locate, NodeFacts, PodFacts, PodsOf, Resource, WorkloadFacts,
    facts::{EXEMPT_NAMESPACE, strings},
    own,
};

/// The pods that a target stands for, as they were found.
#[derive(Clone, Debug)]
pub struct PodsFacts {
    /// Those that have not ended and that may be acted on.
    pub pods: Vec<PodFacts>,
    /// Those that are left alone, and why.
    pub spared: Vec<Spared>,
    /// The node, where one was named.
    pub node: Option<NodeFacts>,
    /// The workload, where one was named.
    pub workload: Option<WorkloadFacts>,
}

/// A pod that is left alone.
#[derive(Clone, Debug)]
pub struct Spared {
    /// Which one.
    pub pod: PodFacts,
    /// Why.
    pub why: String,
}

impl KubeTarget for PodsOf {
    type Facts = PodsFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<PodsFacts>> {
        let mut found = find(api, self).await?;
        match self {
            Self::Pod(_) => {
                let own = found.facts.pods.iter().any(|pod| api.own().is_some_and(|own| own.is_pod(pod)));
                found.exempt.extend(own.then(|| own::exemption("the pod")));
            }
            Self::Workload(_) | Self::ServiceAccount(_) => spare(api, &mut found.facts, &BTreeMap::new(), false),
            Self::Image(_) | Self::Node(_) => {
                let exempt = exempt_namespaces(api).await?;
                spare(api, &mut found.facts, &exempt, true);
            }
        }
        Ok(found)
    }
}

/// To look at something no exemption is needed.
impl KubeTarget for Locate {
    type Facts = PodsFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<PodsFacts>> {
        let found = find(api, &self.clone().into()).await?;
        Ok(Identity { exempt: Vec::new(), ..found })
    }
}

async fn find(api: &KubeApi, target: &PodsOf) -> Result<Identity<PodsFacts>> {
    let none = PodsFacts { pods: Vec::new(), spared: Vec::new(), node: None, workload: None };
    Ok(match target {
        PodsOf::Pod(pod) => {
            let (pod, exempt) = find_pod(api, pod).await?;
            Identity {
                uid: pod.uid.to_string(),
                target: pod.target().into(),
                exempt,
                facts: PodsFacts { pods: vec![pod], ..none },
            }
        }
        PodsOf::Workload(target) => {
            let exempt = exempt_namespace(api, &target.cluster, &target.namespace).await?;
            let workload = workload::find(api, target).await?;
            let pods = api.pods_of(&workload).await?;
            Identity {
                uid: workload.object.uid.as_ref().map(ToString::to_string).unwrap_or_default(),
                target: workload.target()?,
                exempt,
                facts: PodsFacts { pods, workload: Some(workload), ..none },
            }
        }
        PodsOf::ServiceAccount(target) => {
            let (account, exempt) = namespace::find(api, target).await?;
            let fields = format!("metadata.namespace={},spec.serviceAccountName={}", target.namespace, target.name);
            let pods = api.pods_where(&fields, |_| true).await?;
            Identity {
                uid: account.object.uid.as_ref().map(ToString::to_string).unwrap_or_default(),
                target: target.clone().into(),
                exempt,
                facts: PodsFacts { pods, ..none },
            }
        }
        PodsOf::Image(target) => {
            let image = ImageName::read(target.image.as_str());
            let runs = |pod: &PodFacts| pod.containers.iter().any(|container| image.is_run_by(container));
            let pods = api.pods_where("", runs).await?;
            // An image has no uid; its reference is what does not change.
            Identity {
                uid: Target::from(target.clone()).to_string(),
                target: target.clone().into(),
                exempt: Vec::new(),
                facts: PodsFacts { pods, ..none },
            }
        }
        PodsOf::Node(target) => {
            let found = node::find(api, target).await?;
            let pods = api.pods_where(&format!("spec.nodeName={}", target.name), |_| true).await?;
            Identity {
                uid: found.uid.to_string(),
                target: found.target().into(),
                exempt: node::exemptions(api, &found),
                facts: PodsFacts { pods, node: Some(found), ..none },
            }
        }
    })
}

async fn find_pod(api: &KubeApi, target: &Pod) -> Result<(PodFacts, Vec<Exemption>)> {
    let (pod, exempt) =
        tokio::join!(node::find_pod(api, target), exempt_namespace(api, &target.cluster, &target.namespace));
    let pod = PodFacts::read(&target.cluster, &pod?)?;
    if let Some(on) = &pod.node {
        node::same_host(api, target, on).await?;
    }
    Ok((pod, exempt?))
}

/// The namespaces that ask for being left alone.
async fn exempt_namespaces(api: &KubeApi) -> Result<BTreeMap<String, String>> {
    let list = List { labels: EXEMPT_NAMESPACE.to_owned(), metadata_only: true, ..List::of(Resource::namespaces()) };
    let exempt = |it: Value| {
        let name = it.pointer("/metadata/name").and_then(Value::as_str)?.to_owned();
        let exempt = strings(&it, "/metadata/labels").get(EXEMPT_NAMESPACE).is_some_and(|value| value != "false");
        exempt.then(|| (name.clone(), exempted_by_namespace(&name).mark))
    };
    Ok(api.list(&list, exempt).await?.into_iter().collect())
}

/// Takes out of a fan-out what is not to be touched: one namespace of many must not shield an image everywhere.
fn spare(api: &KubeApi, facts: &mut PodsFacts, exempt: &BTreeMap<String, String>, everywhere: bool) {
    let why = |pod: &PodFacts| {
        let namespace = pod.namespace.as_str();
        if let Some(mark) = exempt.get(namespace) {
            tracing::error!(target = %Target::from(pod.target()), mark, "an exempt target was accused");
            return Some(format!("exempt by {mark}"));
        }
        if everywhere && is_control_plane(namespace) {
            return Some(format!("{namespace} is a control-plane namespace: name the pod itself, with --protected"));
        }
        api.own().is_some_and(|own| own.is_pod(pod)).then(|| "Stanch itself runs in it".to_owned())
    };
    let pods = std::mem::take(&mut facts.pods);
    for pod in pods {
        match why(&pod) {
            Some(why) => facts.spared.push(Spared { pod, why }),
            None => facts.pods.push(pod),
        }
    }
}
