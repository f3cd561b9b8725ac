//! What runs as a service account.

use std::collections::BTreeSet;

use serde_json::Value;
use stanch_core::{Result, names::Namespace};

use crate::{KubeApi, List, Maker, ObjectRef, PodFacts, Resource, Selector, facts::uid, selector_of};

/// What runs as a service account.
#[derive(Clone, Debug)]
pub struct RunsAs {
    /// The Deployments, `StatefulSet`s and `DaemonSet`s whose template names it.
    pub workloads: Vec<Maker>,
    /// The pods that have not ended.
    pub pods: Vec<PodFacts>,
}

impl RunsAs {
    /// The pods that none of the workloads replaces.
    pub fn stranded(&self) -> impl Iterator<Item = &PodFacts> {
        let own: BTreeSet<_> =
            self.workloads.iter().filter_map(|it| it.object.uid.as_ref()).map(ToString::to_string).collect();
        let selectors: Vec<_> = self.workloads.iter().filter_map(|it| selector_of(&it.value)).collect();
        self.pods.iter().filter(move |pod| {
            let Some(owner) = &pod.owner else { return true };
            // A Deployment's ReplicaSet stands between: there the selector says whose the pod is.
            let selected = owner.kind == "ReplicaSet" && selectors.iter().any(|it: &Selector| it.matches(&pod.labels));
            !selected && !own.contains(&owner.uid)
        })
    }
}

impl KubeApi {
    /// What runs as a service account.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`], naming what may not be listed.
    pub async fn runs_as(&self, account: &ObjectRef) -> Result<RunsAs> {
        let namespace = account.namespace.as_ref().map_or("", Namespace::as_str);
        let name = account.name.as_str();
        let mut workloads = Vec::new();
        for (plural, kind) in
            [("daemonsets", "DaemonSet"), ("deployments", "Deployment"), ("statefulsets", "StatefulSet")]
        {
            let resource = Resource::new("apps", "v1", plural, kind);
            let list = List::of(resource.clone()).within(namespace);
            let using = |value: Value| {
                let named = value.pointer("/spec/template/spec/serviceAccountName").and_then(Value::as_str);
                let named = named.filter(|named| !named.is_empty()).unwrap_or("default");
                let text = |path: &str| value.pointer(path).and_then(Value::as_str);
                let object = ObjectRef {
                    cluster: self.cluster().clone(),
                    resource: resource.clone(),
                    namespace: account.namespace.clone(),
                    name: text("/metadata/name")?.parse().ok()?,
                    uid: uid(&value),
                };
                (named == name).then_some(Maker { object, value })
            };
            workloads.extend(self.list(&list, using).await?);
        }
        let fields = format!("metadata.namespace={namespace},spec.serviceAccountName={name}");
        Ok(RunsAs { workloads, pods: self.pods_where(&fields, |_| true).await? })
    }
}
