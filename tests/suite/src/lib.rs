//! What every responder promises, and what it takes to try it: the contract suite, a clock that can be moved, a
//! ledger in memory, and clusters with an administrator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it only ever runs in a test"
)]

pub mod contract;
pub mod kube;
mod memory;

pub use memory::Memory;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{Caller, Cause, Clock, IncidentId, Mode, Order, Request, Target};

/// Real time, plus what a test has skipped. Pauses are skipped; limits follow.
#[derive(Clone, Default)]
pub struct Skipping {
    skipped: Arc<AtomicI64>,
    steady: bool,
}

impl Skipping {
    /// Pauses are cut short and take no time: where many pause at once, their sum would outlast every lease.
    pub fn steady() -> Self {
        Self { steady: true, ..Self::default() }
    }

    /// Moves ahead.
    pub fn skip(&self, time: Duration) {
        self.skipped.fetch_add(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for Skipping {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_millis(self.skipped.load(Ordering::SeqCst))
    }
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
        if self.steady {
            return tokio::time::sleep(wait.min(Duration::from_millis(20))).boxed();
        }
        self.skip(wait);
        tokio::time::sleep(Duration::from_millis(2)).boxed()
    }
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        let until = clock.now() + SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        async move {
            while clock.now() < until {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        .boxed()
    }
    fn chance(&self) -> u64 {
        7
    }
}

/// A person's order, as its own delivery.
pub fn order(clock: &Skipping, mode: Mode, incident: &IncidentId, target: &Target) -> Request {
    Request {
        order: Order {
            mode,
            incident: incident.clone(),
            target: target.clone(),
            options: serde_json::Value::Null,
            requested_by: None,
            protected: false,
        },
        cause: Cause::Person,
        caller: Caller { id: "analyst@example.com".to_owned(), proved_at: None },
        id: format!("delivery-{}", number()),
        deadline: clock.now() + SignedDuration::from_mins(10),
    }
}

fn number() -> u64 {
    static DELIVERIES: AtomicU64 = AtomicU64::new(0);
    DELIVERIES.fetch_add(1, Ordering::SeqCst)
}

/// An incident.
///
/// # Panics
/// When the text is not an incident id.
pub fn incident(text: &str) -> IncidentId {
    text.parse().expect("an incident id")
}

/// Says that something was not tried, past the test harness's capture, so that `./test` can list it.
pub fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}
