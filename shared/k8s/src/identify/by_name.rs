//! What is deleted by us, and has to be found again afterwards.

use serde_json::Value;
use stanch_core::{Identity, Kind, Result, Target};

use super::{KubeTarget, exempt_namespace, namespace::account_ref, node, without_uid};
use crate::{
    AccountByName, KubeApi, ObjectRef, Owner, PodFacts, PodOrGone, WorkloadByName, facts::uid, own::exemption,
    pods::owner_of,
};

/// A service account, by name.
#[derive(Clone, Debug)]
pub struct AccountNamed {
    /// Which one, with its UID if it is there.
    pub object: ObjectRef,
    /// All of it, as the server stores it, if it is there.
    pub value: Option<Value>,
}

/// A workload, by name.
#[derive(Clone, Debug)]
pub struct WorkloadNamed {
    /// Which one, with its UID if it is there.
    pub object: ObjectRef,
    /// All of it, as the server stores it, if it is there.
    pub value: Option<Value>,
    /// What controls it.
    pub owner: Option<Owner>,
}

/// A pod, or what is known of one that is gone.
#[derive(Clone, Debug)]
pub struct PodFound {
    /// It, if it is there.
    pub pod: Option<PodFacts>,
}

async fn look(api: &KubeApi, object: &mut ObjectRef) -> Result<Option<Value>> {
    match api.get(object).await {
        Ok(value) => {
            object.uid = Some(uid(&value).ok_or_else(|| without_uid(object))?);
            Ok(Some(value))
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl KubeTarget for AccountByName {
    type Facts = AccountNamed;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<AccountNamed>> {
        let Self::ServiceAccount(target) = self;
        let mut object = account_ref(&target.cluster, &target.namespace, target);
        let mut exempt = exempt_namespace(api, &target.cluster, &target.namespace).await?;
        let value = look(api, &mut object).await?;
        if api.own().is_some_and(|own| own.is_account(target.namespace.as_str(), target.name.as_str())) {
            exempt.push(exemption("the account"));
        }
        let target: Target = target.clone().into();
        Ok(Identity { uid: target.to_string(), target, exempt, facts: AccountNamed { object, value } })
    }
}

impl KubeTarget for WorkloadByName {
    type Facts = WorkloadNamed;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<WorkloadNamed>> {
        let Self::Workload(target) = self;
        let mut object = ObjectRef {
            cluster: target.cluster.clone(),
            resource: api.workload_resource(&target.workload_kind).await?,
            namespace: Some(target.namespace.clone()),
            name: target.name.clone(),
            uid: None,
        };
        let mut exempt = exempt_namespace(api, &target.cluster, &target.namespace).await?;
        let value = look(api, &mut object).await?;
        let owner = value.as_ref().and_then(owner_of);
        // Every pod of ours runs as our account in our namespace, and so does what makes it.
        let templates = ["/spec/template", "/spec/jobTemplate/spec/template"];
        let template = value.as_ref().and_then(|value| templates.into_iter().find_map(|path| value.pointer(path)));
        let account =
            template.map(|it| it.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or("default"));
        if api.own().zip(account).is_some_and(|(own, account)| own.is_account(target.namespace.as_str(), account)) {
            exempt.push(exemption("the workload"));
        }
        // Its kind as the cluster spells it, so that `deploy` and `Deployment` are one record.
        let mut named = target.clone();
        named.workload_kind = object.resource.kind.parse()?;
        let uid = format!("{}/{}/{}", object.resource.qualified(), target.namespace, target.name);
        Ok(Identity { uid, target: named.into(), exempt, facts: WorkloadNamed { object, value, owner } })
    }
}

impl KubeTarget for PodOrGone {
    type Facts = PodFound;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<PodFound>> {
        let Self::Pod(target) = self;
        let exempt = exempt_namespace(api, &target.cluster, &target.namespace).await?;
        let found = match api.get(&node::pod_ref(target)).await {
            Ok(pod) => Some(PodFacts::read(&target.cluster, &pod)?),
            Err(error) if error.kind() == Kind::NotFound && target.uid.is_some() => None,
            Err(error) => return Err(error),
        };
        let pod = found.filter(|pod| target.uid.as_ref().is_none_or(|uid| *uid == pod.uid));
        let Some(pod) = pod else {
            let uid = target.uid.as_ref().map(ToString::to_string).unwrap_or_default();
            return Ok(Identity { uid, target: target.clone().into(), exempt, facts: PodFound { pod: None } });
        };
        if let Some(on) = &pod.node {
            node::same_host(api, target, on).await?;
        }
        let own = api.own().is_some_and(|own| own.is_pod(&pod)).then(|| exemption("the pod"));
        Ok(Identity {
            uid: pod.uid.to_string(),
            target: pod.target().into(),
            exempt: exempt.into_iter().chain(own).collect(),
            facts: PodFound { pod: Some(pod) },
        })
    }
}
