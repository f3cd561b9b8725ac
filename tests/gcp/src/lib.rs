//! What it takes to try a Google Cloud responder on the simulator: the driver with a ledger and a clock of its own, the
//! harness that proves that it needs exactly what it declares, the real `gcloud`, and a differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it only ever runs in a test"
)]

mod clock;
mod differ;
mod gcloud;
mod rights;

pub use clock::Skipping;
pub use differ::differences;
pub use gcloud::Gcloud;
pub use rights::{Scene, least_privilege};

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::Value;
use stanch_core::{
    Caller, Cause, Driver, Guard, Limits, Mode, Order, Report, Request, Responder, Target, target::GceInstance,
};
use stanch_gcp::Gcp;
use stanch_range::gce::{Gce, Timing};
use stanch_sqlite::Sqlite;

/// The project of the tests.
pub const PROJECT: &str = "acme-prod";
/// Its zone.
pub const ZONE: &str = "europe-west1-b";

/// A simulator, a ledger and a clock.
pub struct Bench {
    /// The simulator.
    pub gce: Gce,
    /// The clock: pauses are skipped.
    pub clock: Skipping,
    ledger: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// With nothing in it. Operations are done when they are answered.
    pub fn new() -> Self {
        let (gce, folder) = (Gce::start().unwrap(), tempfile::tempdir().unwrap());
        gce.timing(Timing::NONE);
        let ledger = Arc::new(Sqlite::open(folder.path().join("ledger.db")).unwrap());
        Self { gce, clock: Skipping::default(), ledger, _folder: folder }
    }

    /// A new process, that signs in with a token.
    pub fn process<R: Responder<Cloud: From<Gcp>>>(&self, token: Option<&str>) -> Driver<R> {
        self.process_at(&self.gce.endpoint(), token)
    }

    /// The same through a proxy.
    pub fn process_at<R: Responder<Cloud: From<Gcp>>>(&self, url: &str, token: Option<&str>) -> Driver<R> {
        let cloud = Gcp::at(url, token).unwrap().into();
        let limits = Limits { per_ten_minutes: 1000, per_day: 1000, ..Limits::default() };
        let guard = Guard {
            projects: Some(vec![PROJECT.parse().unwrap()]),
            limits: [(R::NAME.to_owned(), limits)].into(),
            ..Guard::default()
        };
        // Time is skipped while calls are under way.
        Driver::new(cloud, self.ledger.clone(), guard, Arc::new(self.clock.clone()))
            .limiting_calls(Duration::from_mins(10))
    }

    /// A person's order.
    pub fn order(&self, mode: Mode, incident: &str, target: &Target, options: &Value) -> Request {
        static DELIVERIES: AtomicU64 = AtomicU64::new(0);
        Request {
            order: Order {
                mode,
                incident: incident.parse().unwrap(),
                target: target.clone(),
                options: options.clone(),
                requested_by: None,
                protected: false,
            },
            cause: Cause::Person,
            caller: Caller { id: "ana@example.com".to_owned(), proved_at: None },
            id: format!("delivery-{}", DELIVERIES.fetch_add(1, Ordering::SeqCst)),
            deadline: stanch_core::Clock::now(&self.clock) + SignedDuration::from_mins(10),
        }
    }

    /// Carries one out.
    pub async fn run<R>(&self, mode: Mode, target: &Target, options: &Value) -> Report
    where
        R: Responder<Cloud: From<Gcp>>,
    {
        let (driver, order) = (self.process::<R>(None), self.order(mode, "inc-1", target, options));
        // A run is large, and a test that holds it would be.
        Box::pin(driver.run(&order)).await
    }
}

/// An instance as a target, by name.
pub fn target(name: &str) -> Target {
    GceInstance {
        project: PROJECT.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        name: Some(name.parse().unwrap()),
        id: None,
    }
    .into()
}

/// What is left, as text.
pub fn remaining(report: &Report) -> String {
    let line = |left: &stanch_core::Remaining| format!("{} {}", left.what, left.next.as_deref().unwrap_or_default());
    report.remaining.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Says what was not tried, and why.
#[expect(clippy::print_stderr, reason = "what the test runner collects")]
pub fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}
