//! The look-ups of one cluster. Writes are private to the wing: only a slot makes them.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, header};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Client, client::Body, core::Status};
use serde::Deserialize;
use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, Namespace},
    target::Cluster,
};

use crate::{error::Call, patch::Patch};

/// Who wrote a field, as `metadata.managedFields` shows it.
pub const FIELD_MANAGER: &str = "stanch";

/// For one call, all of it: the client's own timeouts are per read and per write.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A page of a list.
const PAGE: u16 = 500;

/// More pods than any node can have (Kubernetes: "Considerations for large clusters": 110; EKS at most 737).
const MOST_PODS: usize = 5_000;

/// The look-ups, bound to one cluster.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    cluster: Cluster,
}

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
    pub(crate) const fn new(client: Client, cluster: Cluster) -> Self {
        Self { client, cluster }
    }

    /// The cluster that it is bound to.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A Node, as the server stores it.
    pub(crate) async fn node(&self, name: &KubeName) -> Result<Value> {
        let call = Call { verb: "get", resource: "nodes", object: &format!("node/{name}") };
        self.json(call, get(&format!("/api/v1/nodes/{name}"))).await
    }

    /// A Pod, as the server stores it.
    pub(crate) async fn pod(&self, namespace: &Namespace, name: &KubeName) -> Result<Value> {
        let call = Call { verb: "get", resource: "pods", object: &format!("pod/{namespace}/{name}") };
        self.json(call, get(&format!("/api/v1/namespaces/{namespace}/pods/{name}"))).await
    }

    /// The labels of a namespace.
    pub(crate) async fn namespace(&self, name: &Namespace) -> Result<Value> {
        let call = Call { verb: "get", resource: "namespaces", object: &format!("namespace/{name}") };
        let request = get(&format!("/api/v1/namespaces/{name}"))
            .header(header::ACCEPT, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json");
        self.json(call, request).await
    }

    /// The pods on a node that have not ended. Paged, metadata only.
    ///
    /// # Errors
    /// [`Kind::Denied`] without `list pods`.
    pub async fn pods_on(&self, node: &KubeName) -> Result<Vec<PodOnNode>> {
        let object = format!("pods of node/{node}");
        let call = Call { verb: "list", resource: "pods", object: &object };
        let selector = escape(&format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"));
        let (mut pods, mut next) = (Vec::new(), String::new());
        loop {
            let page = if next.is_empty() { String::new() } else { format!("&continue={}", escape(&next)) };
            let request = get(&format!("/api/v1/pods?fieldSelector={selector}&limit={PAGE}{page}")).header(
                header::ACCEPT,
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
            );
            let list: PodList = parse(call, &self.send(call, request, Vec::new()).await?)?;
            pods.extend(list.items.into_iter().map(PodItem::into_pod));
            next = list.metadata.next.unwrap_or_default();
            if next.is_empty() {
                return Ok(pods);
            }
            if pods.len() > MOST_PODS {
                return Err(call.error(Kind::Internal, "the list does not end"));
            }
        }
    }

    /// Whether any namespace has a pod of this name.
    pub(crate) async fn has_pod(&self, name: &KubeName) -> Result<bool> {
        let object = format!("pods named {name}");
        let call = Call { verb: "list", resource: "pods", object: &object };
        let selector = escape(&format!("metadata.name={name}"));
        let request = get(&format!("/api/v1/pods?fieldSelector={selector}&limit=1"));
        let list: PodList = parse(call, &self.send(call, request, Vec::new()).await?)?;
        Ok(!list.items.is_empty())
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
        let answer: Value = parse(call, &self.send(call, request, body).await?)?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }

    /// Patches a Node. The only write of this wing so far.
    pub(crate) async fn patch_node(&self, name: &KubeName, patch: &Patch) -> Result<()> {
        let call = Call { verb: "patch", resource: "nodes", object: &format!("node/{name}") };
        let request = Request::patch(format!("/api/v1/nodes/{name}?fieldManager={FIELD_MANAGER}"))
            .header(header::CONTENT_TYPE, patch.media_type());
        self.send(call, request, patch.body()).await.map(drop)
    }

    async fn json(&self, call: Call<'_>, request: http::request::Builder) -> Result<Value> {
        parse(call, &self.send(call, request, Vec::new()).await?)
    }

    /// One attempt. The answer's status is read here and not by `kube`, whose own reading loses the header
    /// `Retry-After` and logs bodies that it cannot parse.
    async fn send(&self, call: Call<'_>, request: http::request::Builder, body: Vec<u8>) -> Result<Vec<u8>> {
        let request =
            request.body(Body::from(body)).map_err(|_| call.error(Kind::Internal, "the request cannot be built"))?;
        let exchange: BoxFuture<'_, kube::Result<_>> = Box::pin(async {
            let (head, body) = self.client.send(request).await?.into_parts();
            Ok((head, body.collect_bytes().await?))
        });
        let (head, body) = tokio::time::timeout(CALL_TIMEOUT, exchange)
            .await
            .map_err(|_| call.error(Kind::Unavailable, "no answer from the API server in time"))?
            .map_err(|error| call.unanswered(&error))?;
        if head.status.is_success() {
            return Ok(body.into());
        }
        let seconds =
            head.headers.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
        let status: Status = serde_json::from_slice(&body).unwrap_or_default();
        Err(call.answered(head.status.as_u16(), seconds.map(Duration::from_secs), &status))
    }
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header(header::ACCEPT, "application/json")
}

fn parse<T: for<'de> Deserialize<'de>>(call: Call<'_>, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| call.error(Kind::Internal, "the answer is not the JSON that is documented"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[derive(Deserialize)]
struct PodList {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<PodItem>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_one_query_value() {
        assert_eq!(escape("spec.nodeName=a,status.phase!=Failed"), "spec.nodeName%3Da%2Cstatus.phase%21%3DFailed");
        assert_eq!(escape("a&b=c"), "a%26b%3Dc");
    }
}
