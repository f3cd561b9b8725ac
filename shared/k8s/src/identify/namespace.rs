//! A namespace, and a service account.

use serde_json::Value;
use stanch_core::{
    Exemption, Identity, Result,
    names::Namespace,
    target::{Cluster, KubeNamespace, Pod, ServiceAccount},
};

use super::{KubeTarget, exempt_namespace, namespace_ref, node::find_pod, without_uid};
use crate::{
    AccountOf, KubeApi, NamespaceOf, ObjectRef, PodFacts, Resource,
    facts::{EXEMPT_NAMESPACE, strings, uid},
};

/// A namespace, as it was found.
#[derive(Clone, Debug)]
pub struct NamespaceFacts {
    /// Which one.
    pub object: ObjectRef,
    /// All of it, as the server stores it.
    pub value: Value,
}

/// A service account, as it was found.
#[derive(Clone, Debug)]
pub struct AccountFacts {
    /// Which one.
    pub object: ObjectRef,
    /// All of it, as the server stores it.
    pub value: Value,
    /// The pod that was named, with its UID.
    pub pod: Option<Pod>,
}

impl KubeTarget for NamespaceOf {
    type Facts = NamespaceFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<NamespaceFacts>> {
        let (cluster, name) = match self {
            Self::Namespace(it) => (&it.cluster, &it.name),
            Self::Pod(it) => (&it.cluster, &it.namespace),
            Self::Workload(it) => (&it.cluster, &it.namespace),
            Self::ServiceAccount(it) => (&it.cluster, &it.namespace),
        };
        if let Self::Pod(pod) = self {
            find_pod(api, pod).await?;
        }
        let mut object = namespace_ref(cluster, name)?;
        let value = api.get(&object).await?;
        let uid = uid(&value).ok_or_else(|| without_uid(&object))?;
        object.uid = Some(uid.clone());
        let exempt = strings(&value, "/metadata/labels").get(EXEMPT_NAMESPACE).is_some_and(|value| value != "false");
        let exempt = exempt.then(|| super::exempted_by_namespace(name.as_str())).into_iter().collect();
        let target = KubeNamespace { cluster: cluster.clone(), name: name.clone() }.into();
        Ok(Identity { uid: uid.to_string(), target, exempt, facts: NamespaceFacts { object, value } })
    }
}

impl NamespaceFacts {
    /// Its name.
    pub fn name(&self) -> &str {
        self.object.name.as_str()
    }
}

impl KubeTarget for AccountOf {
    type Facts = AccountFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<AccountFacts>> {
        let (account, pod) = match self {
            Self::ServiceAccount(account) => (account.clone(), None),
            Self::Pod(target) => {
                let pod = PodFacts::read(&target.cluster, &find_pod(api, target).await?)?;
                let name = if pod.service_account.is_empty() { "default" } else { &pod.service_account };
                let name = name.parse()?;
                let account =
                    ServiceAccount { cluster: target.cluster.clone(), namespace: target.namespace.clone(), name };
                (account, Some(pod.target()))
            }
        };
        let (found, exempt) = find(api, &account).await?;
        let uid = found.object.uid.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Identity { uid, target: account.into(), exempt, facts: AccountFacts { pod, ..found } })
    }
}

/// A service account, by name, and what asks for leaving it alone.
pub(super) async fn find(api: &KubeApi, target: &ServiceAccount) -> Result<(AccountFacts, Vec<Exemption>)> {
    let mut object = account_ref(&target.cluster, &target.namespace, target);
    let (value, exempt) = tokio::join!(api.get(&object), exempt_namespace(api, &target.cluster, &target.namespace));
    let value = value?;
    object.uid = Some(uid(&value).ok_or_else(|| without_uid(&object))?);
    let mut exempt = exempt?;
    if api.own().is_some_and(|own| own.is_account(target.namespace.as_str(), target.name.as_str())) {
        exempt.push(crate::own::exemption("the account"));
    }
    Ok((AccountFacts { object, value, pod: None }, exempt))
}

pub(super) fn account_ref(cluster: &Cluster, namespace: &Namespace, target: &ServiceAccount) -> ObjectRef {
    ObjectRef {
        cluster: cluster.clone(),
        resource: Resource::service_accounts(),
        namespace: Some(namespace.clone()),
        name: target.name.clone(),
        uid: None,
    }
}
