//! A bed for the contract: one simulator behind a proxy that can end a process at any call.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use stanch_core::{Guard, Responder, Store, Target};
use stanch_gcp::Gcp;
use stanch_range::proxy::Proxy;
use stanch_suite::{
    Memory,
    contract::{Bed, contract},
};

use crate::{Bench, guard, through, wait};

/// The incidents that the contract knows.
const INCIDENTS: [&str; 11] = [
    "inc-plan",
    "inc-twice",
    "inc-lost",
    "inc-drift",
    "inc-kill",
    "inc-fifty",
    "inc-one",
    "inc-two",
    "inc-quiet",
    "inc-many",
    "inc-fault",
];

/// What the contract has to know of one responder.
pub trait Trial: Send + Sync + 'static {
    /// The responder.
    type R: Responder<Cloud: From<Gcp>>;
    /// Undo leaves what it did.
    const KEEPS: bool = false;

    /// Plants a target that is named so, and to which nothing was done.
    fn plant(bench: &Bench, name: &str) -> Target;
    /// The target as somebody else sees it.
    fn state(bench: &Bench, target: &Target) -> Value;
    /// Panics unless it is contained exactly once.
    fn assert_contained(state: &Value);
    /// Somebody takes the containment away.
    fn undo_by_hand(bench: &Bench, target: &Target);
    /// Somebody changes what was written, where there is more than on and off. Answers its name in a change.
    fn drift(_bench: &Bench, _target: &Target) -> Option<&'static str> {
        None
    }
    /// How the responder is told to act.
    fn options() -> Value {
        Value::Null
    }
}

/// The simulator of one trial.
pub struct Place<T> {
    bench: Bench,
    proxy: Proxy,
    made: AtomicUsize,
    of: PhantomData<T>,
}

impl<T: Trial> Place<T> {
    /// Runs the contract, with ledgers in memory.
    pub async fn keeps_the_contract() {
        let bench = Bench::new();
        let proxy = bench.proxy();
        Box::pin(contract(&Self { bench, proxy, made: AtomicUsize::new(0), of: PhantomData })).await;
    }
}

impl Bench {
    /// A snapshot of a disk for each incident that the contract knows.
    pub fn capture_for_contract(&self, disk: &str) {
        for incident in INCIDENTS {
            wait(self.capture(disk, incident));
        }
    }
}

/// The name of an instance that is a target.
pub fn name(target: &Target) -> String {
    let Target::GceInstance(instance) = target else { panic!("not an instance: {target}") };
    instance.name.as_ref().expect("a name").to_string()
}

impl<T: Trial> Bed for Place<T> {
    type R = T::R;
    const KEEPS: bool = T::KEEPS;

    fn cloud(&self) -> <T::R as Responder>::Cloud {
        through(&self.proxy).into()
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        Arc::new(Memory::default())
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        T::plant(&self.bench, &format!("web-{}", self.made.fetch_add(1, Ordering::SeqCst)))
    }

    fn guard(&self) -> Guard {
        guard()
    }

    fn state(&self, target: &Target) -> Value {
        T::state(&self.bench, target)
    }

    fn options(&self) -> Value {
        T::options()
    }

    fn assert_contained(&self, state: &Value) {
        T::assert_contained(state);
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        T::drift(&self.bench, target)
    }

    fn undo_by_hand(&self, target: &Target) {
        T::undo_by_hand(&self.bench, target);
    }
}
