//! The contract of every responder, on this one.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use stanch_core::{Guard, Store, Target};
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

impl Place {
    fn seed(&self, name: &str, id: Option<u64>, incidents: &[&str]) -> u64 {
        let instance = Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot());
        let id = self.bench.gce.seed(match id {
            Some(id) => instance.id(id),
            None => instance,
        });
        for incident in incidents {
            bench::wait(self.bench.capture(name, incident));
        }
        id
    }
}

impl Bed for Place {
    type R = GcpDeleteInstance;
    const KEEPS: bool = true;

    fn cloud(&self) -> GcpOrGone {
        GcpOrGone(stanch_gcp::Gcp::at(&self.proxy.url(), None).expect("an address"))
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

    fn target(&self) -> Target {
        let name = format!("web-{}", self.made.fetch_add(1, Ordering::SeqCst));
        let id = self.seed(&name, None, &bench::CONTRACT);
        target(Some(&name), Some(id))
    }

    fn state(&self, target: &Target) -> Value {
        json!(bench::wait(self.bench.instance(&name(target))) != Value::Null)
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!(*state, json!(false), "it is still there");
    }

    fn drift(&self, _: &Target) -> Option<&'static str> {
        None
    }

    /// Nobody can; the simulator plants it anew under its number.
    fn undo_by_hand(&self, target: &Target) {
        let Target::GceInstance(instance) = target else { panic!("an instance") };
        let id = instance.id.as_ref().and_then(|id| id.as_str().parse().ok());
        self.seed(&name(target), id, &["inc-lost"]);
    }
}
