//! The contract of every responder, on this one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use stanch_core::{Guard, Store, Target};
use stanch_gcp::Gcp;
use stanch_range::{gce::Timing, proxy::Proxy};
use stanch_suite::{
    Memory,
    contract::{Bed, contract},
};

use super::*;

struct Place {
    bench: Bench,
    proxy: Proxy,
    made: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let bench = Bench::new();
    bench.gce.timing(Timing::NONE);
    let proxy = bench.proxy();
    Box::pin(contract(&Place { bench, proxy, made: AtomicUsize::new(0) })).await;
}

/// The name of a target, which everything about it is named after.
fn name(target: &Target) -> String {
    let Target::GceInstance(instance) = target else { panic!("an instance") };
    instance.name.as_ref().expect("a name").to_string()
}

impl Bed for Place {
    type R = GcpResizeGroup;
    const KEEPS: bool = true;

    fn cloud(&self) -> Gcp {
        Gcp::at(&self.proxy.url(), None).expect("an address")
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        Arc::new(Memory::default())
    }

    fn guard(&self) -> Guard {
        self.bench.guard.clone()
    }

    fn options(&self) -> Value {
        json!({"size": 3})
    }

    fn target(&self) -> Target {
        let name = format!("web-{}", self.made.fetch_add(1, Ordering::SeqCst));
        self.bench.gce.seed(Instance::new(PROJECT, ZONE, &name));
        self.bench.gce.seed_group(Group::zonal(PROJECT, ZONE, &name).member(&name));
        target(Some(&name), None)
    }

    fn state(&self, target: &Target) -> Value {
        let path = format!("zones/{ZONE}/instanceGroupManagers/{}", name(target));
        let (group, members) = bench::wait(self.bench.group(&path));
        json!({"size": group["targetSize"], "members": members.len()})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(*state, json!({"size": 3, "members": 3}));
    }

    fn drift(&self, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, target: &Target) {
        let name = name(target);
        self.bench.gce.seed_group(Group::zonal(PROJECT, ZONE, &name).member(&name));
    }
}
