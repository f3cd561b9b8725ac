//! Which resource a target really is, what is known of it, and whether it asks for being left alone.

mod by_name;
mod check;
mod grantee;
mod namespace;
mod node;
mod pods;
mod workload;

use stanch_core::{
    Check, Cloud, Error, Exemption, Identity, Kind, Permissions, Result, Scope, Target, TargetKind,
    names::{KubeName, KubeUid, Namespace},
    target::Cluster,
};

use crate::{
    Kube, KubeApi, ObjectRef, Resource,
    facts::{EXEMPT_NAMESPACE, strings},
};

pub use by_name::{AccountNamed, PodFound, WorkloadNamed};
pub use grantee::GranteeFacts;
pub use namespace::{AccountFacts, NamespaceFacts};
pub use pods::{PodsFacts, Spared};

/// A target of this wing: what it is in, and what is known of it.
pub trait KubeTarget: TargetKind {
    /// What is known of it.
    type Facts: Send + Sync;

    /// Which object it is.
    fn identify(&self, api: &KubeApi) -> impl Future<Output = Result<Identity<Self::Facts>>> + Send;
}

impl<T: KubeTarget> Cloud<T> for Kube {
    type Api = KubeApi;
    type Facts = T::Facts;

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

    async fn connect(&self, target: &T) -> Result<KubeApi> {
        let target: Target = target.clone().into();
        match target.scope() {
            Scope::Cluster(cluster) => self.api(&cluster).await,
            other => Err(Error::invalid("target.kind", "is not in a cluster").on(other.to_string())),
        }
    }

    async fn identify(&self, api: &KubeApi, target: &T) -> Result<Identity<T::Facts>> {
        target.identify(api).await
    }

    async fn check(&self, api: &KubeApi, target: &T, needs: &Permissions) -> Vec<Check> {
        check::all(api, target, needs).await
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        let Scope::Cluster(cluster) = scope else { return Vec::new() };
        match self.api(cluster).await {
            Ok(api) => check::permissions(&api, needs).await,
            Err(error) => vec![Check { what: format!("reach {cluster}"), ok: false, detail: error.to_string() }],
        }
    }
}

/// Another UID than the one that was named.
fn same_uid(resource: &str, object: &str, known: Option<&KubeUid>, found: &KubeUid) -> Result<()> {
    match known {
        Some(known) if known != found => {
            let message = "it was recreated: the one that was named is gone, this one has another uid";
            Err(Error::new(Kind::Conflict, format!("get {resource}"), message).on(object))
        }
        _ => Ok(()),
    }
}

fn without_uid(object: &ObjectRef) -> Error {
    object.error("get", Kind::Internal, "the answer has no metadata.uid")
}

pub(crate) fn namespace_ref(cluster: &Cluster, name: &Namespace) -> Result<ObjectRef> {
    // An RFC 1123 label is a subdomain.
    let name: KubeName = name.as_str().parse()?;
    Ok(ObjectRef { cluster: cluster.clone(), resource: Resource::namespaces(), namespace: None, name, uid: None })
}

/// Whether a namespace asks for being left alone, with all that is in it.
async fn exempt_namespace(api: &KubeApi, cluster: &Cluster, name: &Namespace) -> Result<Vec<Exemption>> {
    let namespace = api.metadata(&namespace_ref(cluster, name)?).await?;
    let exempt = strings(&namespace, "/metadata/labels").get(EXEMPT_NAMESPACE).is_some_and(|value| value != "false");
    Ok(exempt.then(|| exempted_by_namespace(name.as_str())).into_iter().collect())
}

fn exempted_by_namespace(name: &str) -> Exemption {
    Exemption { mark: format!("label {EXEMPT_NAMESPACE} of namespace/{name}"), forgeable: false }
}
