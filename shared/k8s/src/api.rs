//! The look-ups of one cluster. Writes are private to the wing: only a slot makes them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{Request, header};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, Namespace},
    target::Cluster,
};

use crate::{
    NodeFacts, ObjectRef, Resource,
    error::Call,
    facts::strings,
    identify::namespace_ref,
    list::List,
    own::Own,
    patch::Patch,
    slot::Propagation,
    traffic::Traffic,
    wire::{self, META, get, get_as, parse},
};

/// Who wrote a field, as `metadata.managedFields` shows it.
pub const FIELD_MANAGER: &str = "stanch";

/// How long a look waits for others of its stage. A driver begins them all at once, but not in one go.
const GATHER: Duration = Duration::from_millis(1);

/// The look-ups, bound to one cluster.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    cluster: Cluster,
    own: Option<Arc<Own>>,
    /// Looks that were asked for and not sent yet, by path.
    waiting: Arc<Mutex<BTreeMap<String, Waiting>>>,
    traffic: Arc<Traffic>,
}

type Waiting = Shared<BoxFuture<'static, Result<Arc<Value>, Arc<Error>>>>;

impl std::fmt::Debug for KubeApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeApi").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What a list says of a pod: its metadata and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOnNode {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The kind of its controller: `ReplicaSet`, `DaemonSet`, `Node` for a static pod's mirror.
    pub owner: Option<String>,
}

impl KubeApi {
    pub(crate) fn new(client: Client, cluster: Cluster, own: Option<Arc<Own>>) -> Self {
        Self { client, cluster, own, waiting: Arc::default(), traffic: Arc::new(Traffic::new()) }
    }

    /// Ourselves, where we run in this cluster.
    pub(crate) fn own(&self) -> Option<&Own> {
        self.own.as_deref()
    }

    /// The cluster that it is bound to.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// A record of one cluster is never looked up in another.
    pub(crate) fn must_be(&self, cluster: &Cluster) -> Result<()> {
        if *cluster == self.cluster {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, "look", "the record is about another cluster").on(cluster.to_string()))
    }

    /// An object, as the server stores it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn get(&self, object: &ObjectRef) -> Result<Value> {
        let (resource, text) = (object.resource.qualified(), object.text());
        let call = Call { verb: "get", resource: &resource, object: &text };
        parse(call, &wire::send(&self.client, call, get(&object.path()), Vec::new()).await?)
    }

    /// The metadata of an object.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn metadata(&self, object: &ObjectRef) -> Result<Value> {
        let (resource, text) = (object.resource.qualified(), object.text());
        let call = Call { verb: "get", resource: &resource, object: &text };
        let request = get_as(&object.path(), META);
        parse(call, &wire::send(&self.client, call, request, Vec::new()).await?)
    }

    /// The same for the changes of a stage, which look at one object at the same moment: they share the call, as long
    /// as it has not been sent. What is answered is thus never older than the question.
    pub(crate) async fn shared(&self, object: &ObjectRef) -> Result<Arc<Value>> {
        let path = object.path();
        let looking = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting
                .entry(path.clone())
                .or_insert_with(|| {
                    let (api, object) = (self.clone(), object.clone());
                    let look = async move {
                        tokio::time::sleep(GATHER).await;
                        api.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
                        api.get(&object).await.map(Arc::new).map_err(Arc::new)
                    };
                    look.boxed().shared()
                })
                .clone()
        };
        looking.await.map_err(|error| {
            Error::new(error.kind(), error.operation(), error.message()).on(error.resource()).retry_after(error.wait())
        })
    }

    /// The user that we are, where our token is a service account's.
    pub fn own_user(&self) -> Option<String> {
        self.own().and_then(Own::user)
    }

    /// What the server warns of if an object got a label: a dry run, nothing is written.
    ///
    /// # Errors
    /// [`Kind::Denied`] without `patch`.
    pub async fn label_warnings(&self, object: &ObjectRef, key: &str, value: &str) -> Result<Vec<String>> {
        let (resource, text) = (object.resource.qualified(), object.text());
        let call = Call { verb: "patch", resource: &resource, object: &text };
        let request = Request::patch(format!("{}?fieldManager={FIELD_MANAGER}&dryRun=All", object.path()))
            .header(header::CONTENT_TYPE, "application/merge-patch+json");
        let body = json!({"metadata": {"labels": {key: value}}}).to_string().into_bytes();
        let answer = wire::exchange(&self.client, call, request, body).await?;
        if !answer.status.is_success() {
            return Err(wire::refusal(call, &answer));
        }
        // RFC 9111 5.5, as the API server writes it: 299 - "text".
        let text = |header: &http::HeaderValue| {
            let text = header.to_str().ok()?.trim_start_matches("299 - ").trim_matches('"').to_owned();
            Some(text.chars().filter(|c| !c.is_control()).take(300).collect())
        };
        Ok(answer.headers.get_all(header::WARNING).iter().filter_map(text).take(20).collect())
    }

    /// The labels of a namespace.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn namespace_labels(&self, name: &Namespace) -> Result<BTreeMap<String, String>> {
        let namespace = self.metadata(&namespace_ref(&self.cluster, name)?).await?;
        Ok(strings(&namespace, "/metadata/labels"))
    }

    /// What is known of a node.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn node(&self, name: &KubeName) -> Result<NodeFacts> {
        NodeFacts::read(&self.cluster, name, &self.get(&self.node_ref(name)).await?)
    }

    /// A node.
    pub(crate) fn node_ref(&self, name: &KubeName) -> ObjectRef {
        ObjectRef {
            cluster: self.cluster.clone(),
            resource: Resource::nodes(),
            namespace: None,
            name: name.clone(),
            uid: None,
        }
    }

    /// The pods on a node that have not ended. Paged, metadata only.
    ///
    /// # Errors
    /// [`Kind::Denied`] without `list pods`.
    pub async fn pods_on(&self, node: &KubeName) -> Result<Vec<PodOnNode>> {
        let fields = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
        self.list(&List { fields, metadata_only: true, ..List::of(Resource::pods()) }, |item: PodItem| {
            Some(item.into_pod())
        })
        .await
    }

    /// Whether any namespace has a pod of this name.
    pub(crate) async fn has_pod(&self, name: &KubeName) -> Result<bool> {
        let fields = format!("metadata.name={name}");
        let list = List { fields, metadata_only: true, ..List::of(Resource::pods()) };
        Ok(!self.list(&list, |_: Value| Some(())).await?.is_empty())
    }

    /// Whether we may use a verb on a resource in all namespaces. Asks, and does not try.
    ///
    /// # Errors
    /// Whatever the server answers to the question itself.
    pub async fn may(&self, verb: &str, group: &str, resource: &str) -> Result<bool> {
        let call =
            Call { verb: "create", resource: "selfsubjectaccessreviews.authorization.k8s.io", object: "ourselves" };
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, two)| (one, Some(two)));
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: subresource.map(str::to_owned),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let body = serde_json::to_vec(&review).map_err(|_| call.error(Kind::Internal, "the review is no JSON"))?;
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(header::CONTENT_TYPE, "application/json");
        let answer: Value = parse(call, &wire::send(&self.client, call, request, body).await?)?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }

    /// Patches an object.
    pub(crate) async fn patch(&self, object: &ObjectRef, patch: &Patch) -> Result<()> {
        let request = Request::patch(format!("{}?fieldManager={FIELD_MANAGER}", object.path()))
            .header(header::CONTENT_TYPE, patch.media_type());
        self.write("patch", object, request, patch.body()).await
    }

    /// Creates an object. A field that the server does not know is an error.
    pub(crate) async fn create(&self, object: &ObjectRef, manifest: &Value) -> Result<()> {
        let path = object.resource.path(object.namespace.as_ref().map(Namespace::as_str));
        let request = Request::post(format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"))
            .header(header::CONTENT_TYPE, "application/json");
        self.write("create", object, request, manifest.to_string().into_bytes()).await
    }

    /// Replaces an object; the manifest names the version that it replaces.
    pub(crate) async fn replace(&self, object: &ObjectRef, manifest: &Value) -> Result<()> {
        let request = Request::put(format!("{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict", object.path()))
            .header(header::CONTENT_TYPE, "application/json");
        self.write("update", object, request, manifest.to_string().into_bytes()).await
    }

    /// Deletes an object; gone already is as good.
    pub(crate) async fn delete(
        &self,
        object: &ObjectRef,
        preconditions: &Value,
        propagation: Propagation,
    ) -> Result<()> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": preconditions, "propagationPolicy": propagation});
        let request = Request::delete(object.path()).header(header::CONTENT_TYPE, "application/json");
        match self.write("delete", object, request, options.to_string().into_bytes()).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Any write to an object or a subresource of it.
    pub(crate) async fn write(
        &self,
        verb: &'static str,
        object: &ObjectRef,
        request: http::request::Builder,
        body: Vec<u8>,
    ) -> Result<()> {
        let (resource, text) = (object.resource.qualified(), object.text());
        let call = Call { verb, resource: &resource, object: &text };
        wire::send(&self.client, call, request, body).await.map(drop)
    }
}

#[derive(Deserialize)]
struct PodItem {
    metadata: PodMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMeta {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    #[serde(default)]
    controller: Option<bool>,
}

impl PodItem {
    fn into_pod(self) -> PodOnNode {
        let PodMeta { name, namespace, owner_references } = self.metadata;
        let owner = owner_references.into_iter().find(|it| it.controller == Some(true)).map(|it| it.kind);
        PodOnNode { namespace, name, owner }
    }
}
