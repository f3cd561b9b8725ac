//! Pods on their way out: evicted, or deleted.
//!
//! An eviction is a `policy/v1` Eviction that is posted to the pod's subresource, in the form of `k8s-openapi`.
//! `Api::evict` of the crate kube is not used: it writes `delete_options` where the server reads `deleteOptions`, so
//! that the UID precondition and the grace period are lost.
//!
//! Sources: Kubernetes, "API-initiated Eviction"; pkg/registry/core/pod/storage/eviction.go for what is answered.

use std::time::Duration;

use http::{Request, StatusCode, header};
use k8s_openapi::{
    api::policy::v1::Eviction,
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::core::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeName, Namespace},
};

use crate::{
    KubeApi, ObjectRef, Resource,
    error::Call,
    list::List,
    traffic::Present,
    wire::{self, Answer},
};

/// While a namespace is being deleted its pods are on their way out already.
const NAMESPACE_ENDS: Duration = Duration::from_secs(5);
/// Two budgets on one pod: somebody has to remove one.
const TWO_BUDGETS: Duration = Duration::from_secs(5);

/// How a pod is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By the eviction API, which keeps to disruption budgets.
    Evict {
        /// After how many seconds of refusals the pod is deleted all the same.
        force_after: Option<u32>,
    },
    /// By `DELETE`.
    Delete,
}

/// The body of an eviction. What the server must compare is in it.
pub(crate) fn eviction(pod: &ObjectRef, grace: Option<u32>) -> Eviction {
    Eviction {
        metadata: ObjectMeta {
            name: Some(pod.name.to_string()),
            namespace: pod.namespace.as_ref().map(ToString::to_string),
            ..ObjectMeta::default()
        },
        delete_options: Some(options(pod, grace)),
    }
}

fn options(pod: &ObjectRef, grace: Option<u32>) -> DeleteOptions {
    DeleteOptions {
        grace_period_seconds: grace.map(i64::from),
        preconditions: Some(Preconditions { uid: pod.uid.as_ref().map(ToString::to_string), resource_version: None }),
        ..DeleteOptions::default()
    }
}

impl KubeApi {
    /// At most this many evictions and deletions of pods a second; `None`: no limit.
    pub fn limit_removals(&self, per_second: Option<u32>) {
        self.traffic().limit(per_second);
    }

    /// Removes a pod. That it is gone, or another one, is no failure: the next look tells.
    pub(crate) async fn remove(&self, pod: &ObjectRef, how: How, grace: Option<u32>) -> Result<()> {
        match how {
            How::Delete => self.delete_pod(pod, grace).await,
            How::Evict { force_after } => match self.evict(pod, grace).await {
                Err(error) if error.kind() == Kind::Throttled => {
                    let since = self.traffic().refused(uid_text(pod));
                    match force_after {
                        Some(after) if since >= Duration::from_secs(after.into()) => self.delete_pod(pod, grace).await,
                        _ => Err(error),
                    }
                }
                other => other,
            },
        }
    }

    async fn evict(&self, pod: &ObjectRef, grace: Option<u32>) -> Result<()> {
        let object = pod.text();
        let call = Call { verb: "create", resource: "pods/eviction", object: &object };
        let body =
            serde_json::to_vec(&eviction(pod, grace)).map_err(|_| call.error(Kind::Internal, "it is no JSON"))?;
        let request =
            Request::post(format!("{}/eviction", pod.path())).header(header::CONTENT_TYPE, "application/json");
        let _turn = self.traffic().turn().await;
        let answer = wire::exchange(self.client(), call, request, body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Ok(()),
            _ => Err(held(call, pod, &answer)),
        }
    }

    async fn delete_pod(&self, pod: &ObjectRef, grace: Option<u32>) -> Result<()> {
        let object = pod.text();
        let call = Call { verb: "delete", resource: "pods", object: &object };
        let body = serde_json::to_vec(&options(pod, grace)).map_err(|_| call.error(Kind::Internal, "it is no JSON"))?;
        let request = Request::delete(pod.path()).header(header::CONTENT_TYPE, "application/json");
        let _turn = self.traffic().turn().await;
        match wire::send(self.client(), call, request, body).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether a pod is there, and how far its end is. With its node, one list serves all who ask.
    pub(crate) async fn presence(&self, pod: &ObjectRef, node: Option<&KubeName>) -> Result<Option<Option<String>>> {
        if let Some(node) = node {
            let present = self.traffic().gather(node, || self.present_on(node)).await?;
            return Ok(present.get(uid_text(pod)).cloned());
        }
        match self.shared(pod).await {
            Ok(found) if crate::facts::uid(&found) == pod.uid => Ok(Some(found.get("metadata").and_then(ending))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn present_on(&self, node: &KubeName) -> Result<Present> {
        let fields = format!("spec.nodeName={node}");
        let list = List { fields, metadata_only: true, ..List::of(Resource::pods()) };
        let pods = self.list(&list, |item: Value| {
            let meta = item.get("metadata")?;
            Some((meta.get("uid")?.as_str()?.to_owned(), ending(meta)))
        });
        Ok(pods.await?.into_iter().collect())
    }
}

fn uid_text(pod: &ObjectRef) -> &str {
    pod.uid.as_ref().map_or("", |uid| uid.as_str())
}

/// Who waits for a pod that is asked to end wants to know for what.
fn ending(meta: &Value) -> Option<String> {
    meta.get("deletionTimestamp")?;
    let finalizers: Vec<_> =
        meta.get("finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    Some(if finalizers.is_empty() {
        "it is terminating".to_owned()
    } else {
        let shown: String =
            finalizers.join(", ").chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
        format!("it is terminating, and held by the finalizer {shown}")
    })
}

/// What an eviction that was not done means. Of the server's text only the budget's name is taken, as a name.
fn held(call: Call<'_>, pod: &ObjectRef, answer: &Answer) -> Error {
    let status: Status = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = answer.status.as_u16();
    let plain = wire::refusal(call, answer);
    let causes = || status.details.iter().flat_map(|details| &details.causes);
    let budget = causes().find(|cause| cause.reason == "DisruptionBudget");
    if let (429, Some(cause)) = (code, budget) {
        let name = cause.message.strip_prefix("The disruption budget ").and_then(|rest| rest.split(' ').next());
        let name = name.and_then(|name| name.parse::<KubeName>().ok());
        let named = name.map_or_else(
            || "a disruption budget".to_owned(),
            |name| format!("the disruption budget {}/{name}", pod.namespace.as_ref().map_or("", Namespace::as_str)),
        );
        return call.error(Kind::Throttled, format!("{named} does not let it go")).retry_after(plain.wait());
    }
    if code == 500 && status.message.contains("more than one PodDisruptionBudget") {
        let message = "two disruption budgets select it, and the eviction API takes one: remove one, or order \
                       force_after";
        return call.error(Kind::Throttled, message).retry_after(Some(TWO_BUDGETS));
    }
    if code == 403 && causes().any(|cause| cause.reason == "NamespaceTerminating") {
        let message = "its namespace is being deleted, and the pod with it";
        return call.error(Kind::Throttled, message).retry_after(Some(NAMESPACE_ENDS));
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stanch_core::target::Cluster;

    use super::*;

    const CALL: Call<'static> = Call { verb: "create", resource: "pods/eviction", object: "pod/shop/web-1" };

    fn pod() -> ObjectRef {
        ObjectRef {
            cluster: Cluster::Current,
            resource: Resource::pods(),
            namespace: Some("shop".parse().expect("a namespace")),
            name: "web-1".parse().expect("a name"),
            uid: Some("0a".parse().expect("a uid")),
        }
    }

    #[test]
    fn the_server_reads_the_precondition() {
        assert_eq!(
            serde_json::to_value(eviction(&pod(), Some(10))).expect("JSON"),
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1", "namespace": "shop"},
                "deleteOptions": {"gracePeriodSeconds": 10, "preconditions": {"uid": "0a"}}})
        );
    }

    #[test]
    fn what_blocks_is_named_and_waited_for() {
        let answer = |code: u16, status: Value| {
            let status_code = StatusCode::from_u16(code).expect("a code");
            held(
                CALL,
                &pod(),
                &Answer { status: status_code, headers: http::HeaderMap::new(), body: status.to_string().into() },
            )
        };
        let budget = |message: &str, seconds: u32| {
            json!({"code": 429, "details": {"retryAfterSeconds": seconds,
                "causes": [{"reason": "DisruptionBudget", "message": message}]}})
        };
        let error = answer(429, budget("The disruption budget web needs 2 healthy pods and has 2 currently", 0));
        assert_eq!((error.kind(), error.wait()), (Kind::Throttled, None));
        assert!(error.message().contains("disruption budget shop/web "), "{error}");
        let error = answer(429, budget("The disruption budget web is still being processed by the server.", 10));
        assert_eq!(error.wait(), Some(Duration::from_secs(10)));
        // Text of the server is not repeated.
        let error = answer(429, budget("The disruption budget \u{1b}[2J is", 0));
        assert!(error.message().starts_with("a disruption budget "), "{error}");
        let two = json!({"code": 500, "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."});
        assert!(answer(500, two).message().contains("two disruption budgets"));
        assert_eq!(answer(500, json!({"code": 500})).kind(), Kind::Unavailable);
        let ends = json!({"code": 403, "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert_eq!(answer(403, ends).kind(), Kind::Throttled);
        assert_eq!(answer(403, json!({"code": 403})).kind(), Kind::Denied);
        // Priority and fairness: no cause.
        assert_eq!(answer(429, json!({"code": 429})).message(), "the API server asks for fewer calls");
    }
}
