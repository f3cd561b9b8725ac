//! A Kubernetes responder under the contract.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use serde_json::Value;
use stanch_core::{Guard, Responder, Store, Target};
use stanch_k8s::{Kube, KubeTarget};
use stanch_range::{
    kube::kubeconfig,
    proxy::{Dialect, Proxy},
};

use super::{Cluster, Server, declared};
use crate::{
    contract::{Bed, contract_at_once},
    memory::Memory,
};

/// What is a responder's own under the contract; see [`Bed`].
pub trait Subject: Sync {
    /// The responder.
    type R: Responder<Cloud = Kube, Target: KubeTarget>;
    /// What it does is never undone.
    const KEEPS: bool = false;
    /// What it does cannot be taken back by anybody.
    const FINAL: bool = false;
    /// A target that nothing was done to.
    fn target(&self, cluster: &Cluster) -> Target;
    /// How the responder is told to act.
    fn options(&self) -> Value {
        Value::Null
    }
    /// The target as the administrator sees it, without what the server assigns.
    fn state(&self, cluster: &Cluster, target: &Target) -> Value;
    /// Panics unless the target is contained.
    fn assert_contained(&self, state: &Value);
    /// Somebody changes what we wrote; its name in a change.
    fn drift(&self, cluster: &Cluster, target: &Target) -> Option<&'static str>;
    /// Somebody takes the containment away.
    fn undo_by_hand(&self, cluster: &Cluster, target: &Target);
}

/// A responder on a cluster, with exactly the rights that it declares, through a proxy.
#[derive(Debug)]
pub struct KubeBed<'a, S: Subject> {
    cluster: &'a Cluster,
    subject: &'a S,
    proxy: Proxy,
    token: String,
    responder: PhantomData<fn() -> S::R>,
}

impl<'a, S: Subject> KubeBed<'a, S> {
    /// A bed on a cluster.
    pub fn new(cluster: &'a Cluster, subject: &'a S) -> Self {
        let token = cluster.token(&declared::<S::R>());
        let proxy = match &cluster.server {
            Server::Simulator(simulator) => Proxy::start(&simulator.url(), Dialect::Kubernetes),
            Server::Real(real) => Proxy::start_tls(real.server(), real.ca_pem(), Dialect::Kubernetes),
        };
        let proxy = proxy.expect("a proxy");
        Self { cluster, subject, proxy, token, responder: PhantomData }
    }
}

/// The contract, see [`contract_at_once`].
///
/// # Panics
/// Where a clause does not hold.
pub fn contract<S: Subject>(cluster: &Cluster, subject: &S) {
    contract_at_once(|| KubeBed::new(cluster, subject));
}

impl<S: Subject> Bed for KubeBed<'_, S> {
    type R = S::R;
    const KEEPS: bool = S::KEEPS;
    const FINAL: bool = S::FINAL;

    fn cloud(&self) -> Kube {
        let path = self.cluster.folder.path().join(self.cluster.name("kubeconfig"));
        std::fs::write(&path, kubeconfig(&self.proxy.url(), &self.token)).expect("a kubeconfig");
        Kube::with_kubeconfig(path, None)
    }

    fn impatient(&self) -> Option<Kube> {
        Some(self.cloud().limiting_calls(Duration::from_secs(2)))
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        Arc::new(Memory::default())
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        self.subject.target(self.cluster)
    }

    fn guard(&self) -> Guard {
        Guard::default()
    }

    fn options(&self) -> Value {
        self.subject.options()
    }

    fn state(&self, target: &Target) -> Value {
        self.subject.state(self.cluster, target)
    }

    fn assert_contained(&self, state: &Value) {
        self.subject.assert_contained(state);
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        self.subject.drift(self.cluster, target)
    }

    fn undo_by_hand(&self, target: &Target) {
        self.subject.undo_by_hand(self.cluster, target);
    }
}
