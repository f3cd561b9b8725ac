//! A whole responder with its ledger in Firestore, on Google's own emulator: ended at any call, to Compute Engine or to
//! the ledger, the next process goes on from what is written there, and undo still restores.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a test")]

use std::{sync::Arc, time::Duration};

use gcp_isolate_instance::GcpIsolateInstance;
use serde_json::Value;
use stanch_core::{Driver, Mode, Report, Status, Store};
use stanch_firestore::Firestore;
use stanch_gcp_suite::{PROJECT, ZONE, guard, target, through};
use stanch_range::{
    emulator::Emulator,
    gce::{Disk, Gce, Instance, Nic, Timing},
    proxy::{Dialect, Fault, Proxy},
};
use stanch_suite::{Skipping, incident, order, skipped};

/// More calls than one run makes, to either side.
const MOST_CALLS: usize = 60;

/// Whose calls are counted.
#[derive(Clone, Copy, Debug)]
enum Side {
    Cloud,
    Ledger,
}

/// Both sides behind proxies, for one record: the instance, its network and its ledger are nobody else's.
struct World {
    gce: Gce,
    cloud: Proxy,
    ledger: Proxy,
    place: String,
    clock: Skipping,
}

impl World {
    fn new(emulator: &Emulator, number: usize, side: Side) -> Self {
        let gce = Gce::start().unwrap();
        gce.timing(Timing::NONE);
        let nic = Nic::new("default");
        gce.seed(Instance::new(PROJECT, ZONE, "web-1").disk(Disk::zonal("web-1").boot()).nic(nic).tag("web"));
        let cloud = Proxy::start(&gce.endpoint(), Dialect::Gce).unwrap();
        let ledger = Proxy::start(&format!("http://{}", emulator.host()), Dialect::Gce).unwrap();
        Self { gce, cloud, ledger, place: format!("{PROJECT}/{side:?}-{number}"), clock: Skipping::default() }
    }

    fn proxy(&self, side: Side) -> &Proxy {
        match side {
            Side::Cloud => &self.cloud,
            Side::Ledger => &self.ledger,
        }
    }

    /// A new process, which knows nothing but where its ledger is.
    async fn run(&self, mode: Mode) -> Report {
        let ledger: Arc<dyn Store> = Arc::new(Firestore::at(&self.ledger.url(), &self.place).unwrap());
        let driver =
            Driver::<GcpIsolateInstance>::new(through(&self.cloud), ledger, guard(), Arc::new(self.clock.clone()))
                // Time is skipped while calls are under way.
                .limiting_calls(Duration::from_mins(10));
        Box::pin(driver.run(&order(&self.clock, mode, &incident("inc-1"), &target("web-1")))).await
    }

    /// One that dies at its `n`th call; whether it lived to its end.
    async fn run_killed(&self, mode: Mode, side: Side, n: usize, fault: Fault) -> bool {
        let proxy = self.proxy(side);
        proxy.clear();
        proxy.fault_at(n, fault);
        let lived = tokio::select! { _ = self.run(mode) => true, () = proxy.killed() => false };
        proxy.clear();
        // The lease of the dead runs out.
        self.clock.skip(Duration::from_secs(61));
        lived
    }

    fn state(&self) -> Value {
        self.gce.dump(PROJECT)
    }

    fn assert_contained_once(&self, place: &str) {
        let state = self.state();
        let tags = state["instances"][format!("{ZONE}/web-1")]["tags"].as_array().unwrap();
        let ours = |tag: &&Value| tag.as_str().unwrap().starts_with("stanch-quarantine-");
        let found = (tags.len(), tags.iter().filter(ours).count(), state["firewalls"].as_object().unwrap().len());
        assert_eq!(found, (2, 1, 4), "{place}: {state:#}");
    }
}

/// The emulator, once it has taken a first commit, which on a busy machine takes longer than the store waits.
async fn emulator() -> Option<Emulator> {
    let emulator = match Emulator::firestore() {
        Ok(emulator) => emulator,
        Err(why) => {
            skipped("a responder with its ledger in Firestore", &why.to_string());
            return None;
        }
    };
    let first = Firestore::at(emulator.host(), "warm-up/stanch").unwrap();
    for _ in 0..20 {
        let write =
            stanch_core::Write { key: stanch_core::Key::raw("first"), expected: None, body: Some("{}".to_owned()) };
        if first.save(&[write]).await.is_ok() {
            break;
        }
    }
    Some(emulator)
}

async fn killed_at_any_call_it_converges(side: Side, faults: &[Fault]) {
    let Some(emulator) = emulator().await else { return };
    let mut number = 0;
    for &fault in faults {
        let mut lived = false;
        for n in 1..=MOST_CALLS {
            number += 1;
            let (world, place) =
                (World::new(&emulator, number, side), format!("{fault:?} at call {n} to the {side:?}"));
            let before = world.state();
            let applied = world.run_killed(Mode::Apply, side, n, fault).await;
            let next = world.run(Mode::Apply).await;
            assert!(matches!(next.status, Status::Applied | Status::Already), "{place}: {next:#?}");
            world.assert_contained_once(&place);
            let again = world.run(Mode::Apply).await;
            assert_eq!((again.status, &again.record), (Status::Already, &next.record), "{place}: {again:#?}");

            let reverted = world.run_killed(Mode::Revert, side, n, fault).await;
            let back = world.run(Mode::Revert).await;
            assert!(matches!(back.status, Status::Reverted | Status::Already), "{place}: {back:#?}");
            assert_eq!(world.state(), before, "{place}");
            lived = applied && reverted;
            if lived {
                break;
            }
        }
        assert!(lived, "a run makes more than {MOST_CALLS} calls to the {side:?}");
    }
    assert!(number > 10, "hardly anything was ended: {number} trials");
}

/// After a call, which is the harder half; the contract has both.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_to_the_cloud_it_converges() {
    Box::pin(killed_at_any_call_it_converges(Side::Cloud, &[Fault::KillAfter])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_to_the_ledger_it_converges() {
    Box::pin(killed_at_any_call_it_converges(Side::Ledger, &[Fault::KillBefore, Fault::KillAfter])).await;
}
