//! A workload, or the workload of a pod.

use stanch_core::{
    Error, Exemption, Identity, Kind, Result, Target,
    target::{Pod, Workload},
};

use super::{KubeTarget, exempt_namespace, node::find_pod, without_uid};
use crate::{KubeApi, ObjectRef, PodFacts, WorkloadFacts, WorkloadOf, facts::uid, own, pods::owner_of};

impl KubeTarget for WorkloadOf {
    type Facts = WorkloadFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<WorkloadFacts>> {
        match self {
            Self::Workload(workload) => {
                let facts = find(api, workload).await?;
                let exempt = exempt_namespace(api, &workload.cluster, &workload.namespace).await?;
                identity(api, facts, exempt).await
            }
            Self::Pod(pod) => of_pod(api, pod).await,
        }
    }
}

/// A workload of any kind, by name.
pub(super) async fn find(api: &KubeApi, target: &Workload) -> Result<WorkloadFacts> {
    let mut object = ObjectRef {
        cluster: target.cluster.clone(),
        resource: api.workload_resource(&target.workload_kind).await?,
        namespace: Some(target.namespace.clone()),
        name: target.name.clone(),
        uid: None,
    };
    let value = api.get(&object).await?;
    object.uid = Some(uid(&value).ok_or_else(|| without_uid(&object))?);
    Ok(WorkloadFacts { owner: owner_of(&value), object, value, pod: None })
}

async fn of_pod(api: &KubeApi, target: &Pod) -> Result<Identity<WorkloadFacts>> {
    let (pod, exempt) = tokio::join!(find_pod(api, target), exempt_namespace(api, &target.cluster, &target.namespace));
    let pod = PodFacts::read(&target.cluster, &pod?)?;
    let facts = api.workload_of(&pod).await?.ok_or_else(|| {
        let message = "nothing owns it: there is no workload, only this pod";
        Error::new(Kind::Unsupported, "get pods", message).on(pod.object_ref().text())
    })?;
    identity(api, facts, exempt?).await
}

async fn identity(api: &KubeApi, facts: WorkloadFacts, mut exempt: Vec<Exemption>) -> Result<Identity<WorkloadFacts>> {
    // Only where we run in a cluster is there anything of ours in it.
    if api.own().is_some() {
        let pods = match api.pods_of(&facts).await {
            Err(error) if error.kind() == Kind::Unsupported => Vec::new(),
            pods => pods?,
        };
        if pods.iter().any(|pod| api.own().is_some_and(|own| own.is_pod(pod))) {
            exempt.push(own::exemption("the workload"));
        }
    }
    let uid = facts.object.uid.as_ref().map(ToString::to_string).unwrap_or_default();
    let target = facts.target()?;
    Ok(Identity { uid, target, exempt, facts })
}

impl WorkloadFacts {
    /// The workload, as an order names it.
    ///
    /// # Errors
    /// [`Kind::Internal`] for a kind that is no word.
    pub fn target(&self) -> Result<Target> {
        let ObjectRef { cluster, resource, namespace, name, .. } = &self.object;
        let namespace = namespace.clone().ok_or_else(|| without_uid(&self.object))?;
        let workload_kind = resource.kind.parse()?;
        Ok(Workload { cluster: cluster.clone(), namespace, workload_kind, name: name.clone() }.into())
    }
}
