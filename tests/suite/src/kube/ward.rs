//! One responder, as a process with a ledger, on a cluster.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stanch_core::{
    Caller, Cause, Clock, Driver, Guard, Limits, Mode, Order, Report, Request, Responder, Store, Target,
};
use stanch_k8s::{Kube, KubeTarget};
use stanch_range::kube::Rule;

use super::{Cluster, Right, Server, declared};
use crate::memory::Memory;

/// A responder with a ledger of its own.
pub struct Ward<R: Responder> {
    driver: Driver<R>,
    ledger: Arc<dyn Store>,
}

impl<R: Responder> std::fmt::Debug for Ward<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ward({})", R::NAME)
    }
}

struct Real;

impl Clock for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(wait).boxed()
    }
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(wait).boxed()
    }
    fn chance(&self) -> u64 {
        7
    }
}

impl Cluster {
    /// A responder with exactly the rights that it declares.
    pub fn ward<R>(&self) -> Ward<R>
    where
        R: Responder<Cloud = Kube, Target: KubeTarget>,
    {
        self.ward_of(&declared::<R>(), Arc::new(Memory::default()))
    }

    /// A responder with these rights, on this ledger.
    pub fn ward_of<R>(&self, rights: &[Right], ledger: Arc<dyn Store>) -> Ward<R>
    where
        R: Responder<Cloud = Kube, Target: KubeTarget>,
    {
        self.ward_at(Kube::with_kubeconfig(self.kubeconfig(rights), None), ledger, Guard::default())
    }

    /// A responder on this wing and ledger, under this guard.
    pub fn ward_at<R>(&self, kube: Kube, ledger: Arc<dyn Store>, guard: Guard) -> Ward<R>
    where
        R: Responder<Cloud = Kube, Target: KubeTarget>,
    {
        let limits = Limits { per_ten_minutes: 1_000, per_day: 1_000, ..Limits::default() };
        let guard = if guard.limits.is_empty() {
            Guard { limits: [(R::NAME.to_owned(), limits)].into(), ..guard }
        } else {
            guard
        };
        Ward { driver: Driver::new(kube, Arc::clone(&ledger), guard, Arc::new(Real)), ledger }
    }
}

impl<R: Responder> Ward<R> {
    /// Its ledger, for another process.
    pub fn ledger(&self) -> Arc<dyn Store> {
        Arc::clone(&self.ledger)
    }

    /// A person's order.
    pub async fn run(&self, mode: Mode, target: &Target, options: Value) -> Report {
        self.run_for("inc-1", mode, target, options).await
    }

    /// A person's order for an incident.
    pub async fn run_for(&self, incident: &str, mode: Mode, target: &Target, options: Value) -> Report {
        self.order(Order {
            mode,
            incident: incident.parse().unwrap(),
            target: target.clone(),
            options,
            requested_by: None,
            protected: false,
        })
        .await
    }

    /// An order.
    pub async fn order(&self, order: Order) -> Report {
        self.driver
            .run(&Request {
                order,
                cause: Cause::Person,
                caller: Caller { id: "analyst@example.com".to_owned(), proved_at: None },
                id: format!("delivery-{}", crate::number()),
                deadline: Timestamp::now() + SignedDuration::from_mins(5),
            })
            .await
    }
}

/// What a report leaves, as text.
pub fn remaining(report: &Report) -> String {
    let line = |it: &stanch_core::Remaining| format!("{} -> {}\n", it.what, it.next.as_deref().unwrap_or_default());
    report.remaining.iter().map(line).collect()
}

impl Cluster {
    /// A responder that runs in a pod of the cluster, and its pod: namespace and name. `image` is the pod's.
    pub fn ward_inside<R>(&self, image: &str) -> (Ward<R>, String, String)
    where
        R: Responder<Cloud = Kube, Target: KubeTarget>,
    {
        let rights = declared::<R>();
        let token = self.token(&rights);
        let account = match &self.server {
            Server::Simulator(_) => self.name("own"),
            Server::Real(_) => claim(&token, "/kubernetes.io/serviceaccount/name"),
        };
        if self.get("v1/namespaces", "", "stanch").is_none() {
            self.create("v1/namespaces", "", "stanch", &json!({}));
        }
        let pod = self.bare_pod(
            "stanch",
            &json!({"spec": {"serviceAccountName": account,
            "containers": [{"name": "main", "image": image}]}}),
        );
        let token = match &self.server {
            Server::Simulator(simulator) => {
                let uid = self.get("v1/pods", "stanch", &pod).unwrap()["metadata"]["uid"].clone();
                let claims = json!({"kubernetes.io": {"namespace": "stanch", "pod": {"name": pod, "uid": uid},
                    "node": {"name": "node-1"}, "serviceaccount": {"name": account}}});
                let token = format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(claims.to_string()));
                let rules: Vec<_> =
                    rights.iter().map(|(verb, group, resource)| Rule::new(&[verb], group, &[resource])).collect();
                simulator.allow(&token, "system:serviceaccount:stanch:own", &rules);
                token
            }
            Server::Real(_) => {
                let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                    "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod}}});
                let path = format!("/api/v1/namespaces/stanch/serviceaccounts/{account}/token");
                let (status, answer) = self.admin("POST", &path, "application/json", Some(&request));
                assert_eq!(status, 201, "{answer}");
                answer["status"]["token"].as_str().unwrap().to_owned()
            }
        };
        let kube = Kube::with_kubeconfig(self.kubeconfig_of(&token), None);
        (self.ward_at(kube, Arc::new(Memory::default()), Guard::default()), "stanch".to_owned(), pod)
    }
}

/// A claim of a token, by JSON pointer.
pub fn claim(token: &str, pointer: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}
