//! The contract of every responder, on this one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use stanch_core::{Guard, Store, Target};
use stanch_gcp::Gcp;
use stanch_range::proxy::Proxy;
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
    let proxy = bench.proxy();
    Box::pin(contract(&Place { bench, proxy, made: AtomicUsize::new(0) })).await;
}

fn email(target: &Target) -> String {
    let Target::GcpServiceAccount(account) = target else { panic!("a service account") };
    account.email.to_string()
}

impl Bed for Place {
    type R = GcpContainServiceAccount;
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

    fn options(&self) -> Value {
        json!({"drop_bindings": true, "disable_keys": true, "revive_tokens": true})
    }

    fn target(&self) -> Target {
        let email = format!("web-{}@acme-prod.iam.gserviceaccount.com", self.made.fetch_add(1, Ordering::SeqCst));
        self.bench.gce.seed_account(made(&email));
        account(&email)
    }

    fn state(&self, target: &Target) -> Value {
        state_of(&self.bench, &email(target))
    }

    fn assert_contained(&self, state: &Value) {
        assert_eq!((&state["disabled"], &state["workloads"]), (&json!(true), &json!([])));
        let disabled: Vec<_> = state["keys"].as_array().expect("keys").iter().map(|key| key[1].clone()).collect();
        assert_eq!(disabled, [true, true, false]);
        assert_eq!(state["creators"], json!(["user:ana@example.com"]));
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        bench::wait(let_in(&self.bench, &email(target)));
        Some("speak as")
    }

    /// The same account with the same number, as it was.
    fn undo_by_hand(&self, target: &Target) {
        self.bench.gce.seed_account(made(&email(target)));
    }
}
