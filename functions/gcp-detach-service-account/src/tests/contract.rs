//! The contract of every responder, on this one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use stanch_core::{Guard, Store, Target};
use stanch_gcp::Gcp;
use stanch_range::{
    gce::{Disk, Timing},
    proxy::Proxy,
};
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
    /// What a person does: stop, set, start.
    fn set_account(&self, name: &str, body: &Value) {
        bench::wait(async {
            for (verb, body) in [("stop", &Value::Null), ("setServiceAccount", body), ("start", &Value::Null)] {
                let root = self.bench.gce.endpoint();
                let url = format!("{root}/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/{name}/{verb}");
                let answer = reqwest::Client::new().post(url).json(body).send().await.expect("answers");
                assert!(answer.status().is_success(), "{answer:?}");
            }
        });
    }
}

impl Bed for Place {
    type R = GcpDetachServiceAccount;
    const KEEPS: bool = false;

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

    fn target(&self) -> Target {
        let name = format!("web-{}", self.made.fetch_add(1, Ordering::SeqCst));
        let instance = Instance::new(PROJECT, ZONE, &name).disk(Disk::zonal(&name).boot());
        self.bench.gce.seed(instance.service_account(EMAIL));
        for incident in bench::CONTRACT {
            bench::wait(self.bench.capture(&name, incident));
        }
        target(Some(&name), None)
    }

    fn state(&self, target: &Target) -> Value {
        let found = bench::wait(self.bench.instance(&name(target)));
        json!({"id": found["id"], "status": found["status"], "accounts": found.get("serviceAccounts")})
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!((&state["status"], &state["accounts"]), (&json!("RUNNING"), &Value::Null));
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        self.set_account(&name(target), &json!({"email": OTHER, "scopes": [SCOPE]}));
        Some("the service account of")
    }

    fn undo_by_hand(&self, target: &Target) {
        self.set_account(&name(target), &json!({"email": EMAIL, "scopes": [SCOPE]}));
    }
}
