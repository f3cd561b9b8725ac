//! What it takes to try a Google Cloud responder on the simulator: the driver with a ledger and a clock of its own, a bed
//! for the contract, the harness that proves that it needs exactly what it declares, the real `gcloud`, and a differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it only ever runs in a test"
)]

mod differ;
mod gcloud;
mod place;
mod rights;

pub use differ::differences;
pub use gcloud::Gcloud;
pub use place::{Place, Trial, name};
pub use rights::{Scene, Way, least_privilege, least_privilege_of};

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use stanch_core::{
    Driver, Guard, Limits, Mode, Report, Request, Responder, Store, Target,
    target::{GceInstance, GcpServiceAccount},
};
use stanch_gcp::Gcp;
use stanch_range::{
    gce::{Disk, Gce, Instance, Timing},
    proxy::{Dialect, Proxy},
};
use stanch_suite::{Memory, Skipping};

/// The project of the tests.
pub const PROJECT: &str = "acme-prod";
/// Its zone.
pub const ZONE: &str = "europe-west1-b";
/// The region of the zone.
pub const REGION: &str = "europe-west1";
/// The incident of [`Bench::run`].
pub const INCIDENT: &str = "inc-1";

/// A simulator, a ledger and a clock.
pub struct Bench {
    /// The simulator.
    pub gce: Gce,
    /// The clock: pauses are skipped.
    pub clock: Skipping,
    ledger: Arc<dyn Store>,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// With nothing in it. Operations are done when they are answered.
    pub fn new() -> Self {
        let gce = Gce::start().unwrap();
        gce.timing(Timing::NONE);
        Self { gce, clock: Skipping::default(), ledger: Arc::new(Memory::default()) }
    }

    /// With [`web`].
    pub fn with_web() -> Self {
        let bench = Self::new();
        bench.gce.seed(web());
        bench
    }

    /// The simulator, signed in with a token or without.
    pub fn cloud(&self, token: Option<&str>) -> Gcp {
        Gcp::at(&self.gce.endpoint(), token).unwrap()
    }

    /// What every call passes that goes through it: [`through`].
    pub fn proxy(&self) -> Proxy {
        Proxy::start(&self.gce.endpoint(), Dialect::Gce).unwrap()
    }

    /// A person's order, as its own delivery.
    pub fn order(&self, mode: Mode, incident: &str, target: &Target, options: &Value) -> Request {
        let mut request = stanch_suite::order(&self.clock, mode, &incident.parse().unwrap(), target);
        request.order.options = options.clone();
        request
    }

    /// Carries one out, in a process of its own.
    pub async fn run<R>(&self, mode: Mode, target: &Target, options: &Value) -> Report
    where
        R: Responder<Cloud: From<Gcp>>,
    {
        self.run_at::<R>(self.cloud(None), mode, target, options).await
    }

    /// The same by way of another view of the cloud.
    pub async fn run_at<R>(&self, cloud: Gcp, mode: Mode, target: &Target, options: &Value) -> Report
    where
        R: Responder<Cloud: From<Gcp>>,
    {
        let limits = Limits { per_ten_minutes: 1000, per_day: 1000, ..Limits::default() };
        let guard = Guard { limits: [(R::NAME.to_owned(), limits)].into(), ..guard() };
        let driver = Driver::<R>::new(cloud.into(), Arc::clone(&self.ledger), guard, Arc::new(self.clock.clone()))
            // Time is skipped while calls are under way.
            .limiting_calls(Duration::from_mins(10));
        // A run is large, and a test that holds it would be.
        Box::pin(driver.run(&self.order(mode, INCIDENT, target, options))).await
    }

    /// A snapshot of a disk, as gcp-snapshot-disks makes it. A disk named `…-shared` is regional.
    pub async fn capture(&self, disk: &str, incident: &str) {
        static TAKEN: AtomicU64 = AtomicU64::new(0);
        let place = if disk.ends_with("-shared") { format!("regions/{REGION}") } else { format!("zones/{ZONE}") };
        let name = format!("s-{}", TAKEN.fetch_add(1, Ordering::Relaxed));
        let body = json!({"name": name, "labels": {"stanch-incident": incident, "stanch-record": "a".repeat(24)}});
        let url = format!("{}/compute/v1/projects/{PROJECT}/{place}/disks/{disk}/createSnapshot", self.gce.endpoint());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Both disks of [`web`], for this incident.
    pub async fn capture_web(&self) {
        self.capture("web-1", INCIDENT).await;
        self.capture("web-1-shared", INCIDENT).await;
    }

    /// The instance as its own API shows it; `Null` where there is none.
    pub async fn instance(&self, name: &str) -> Value {
        let url = format!("{}/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/{name}", self.gce.endpoint());
        let answer = reqwest::get(url).await.unwrap();
        if answer.status().is_success() { answer.json().await.unwrap() } else { Value::Null }
    }

    /// A managed group as its own API shows it, and the names of its members.
    pub async fn group(&self, path: &str) -> (Value, Vec<String>) {
        let url = format!("{}/compute/v1/projects/{PROJECT}/{path}", self.gce.endpoint());
        let client = reqwest::Client::new();
        let group = client.get(&url).send().await.unwrap().json().await.unwrap();
        let members = client.post(format!("{url}/listManagedInstances")).send().await.unwrap();
        let members: Value = members.json().await.unwrap();
        let name = |member: &Value| member["name"].as_str().map(str::to_owned);
        (group, members["managedInstances"].as_array().into_iter().flatten().filter_map(name).collect())
    }
}

/// `web-1` with a boot disk and a regional one.
pub fn web() -> Instance {
    Instance::new(PROJECT, ZONE, "web-1")
        .disk(Disk::zonal("web-1").boot())
        .disk(Disk::regional("web-1-shared", &[ZONE, "europe-west1-c"]))
}

/// The scope of the tests.
pub fn guard() -> Guard {
    Guard { projects: Some(vec![PROJECT.parse().unwrap()]), ..Guard::default() }
}

/// The simulator behind a proxy.
pub fn through(proxy: &Proxy) -> Gcp {
    Gcp::at(&proxy.url(), None).unwrap()
}

/// An instance as a target, by name.
pub fn target(name: &str) -> Target {
    numbered(Some(name), None)
}

/// An instance by name, by number, or by both.
pub fn numbered(name: Option<&str>, id: Option<u64>) -> Target {
    GceInstance {
        project: PROJECT.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        name: name.map(|name| name.parse().unwrap()),
        id: id.map(|id| id.to_string().parse().unwrap()),
    }
    .into()
}

/// A service account as a target.
pub fn account(email: &str) -> Target {
    GcpServiceAccount { project: PROJECT.parse().unwrap(), email: email.parse().unwrap() }.into()
}

/// Why it ended as it did.
pub fn reason(report: &Report) -> &str {
    report.reason.as_deref().unwrap_or_default()
}

/// What is left, as text.
pub fn remaining(report: &Report) -> String {
    let line = |left: &stanch_core::Remaining| format!("{} {}", left.what, left.next.as_deref().unwrap_or_default());
    report.remaining.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether something is left that is told so.
pub fn left(report: &Report, part: &str) -> bool {
    report.remaining.iter().any(|left| left.what.contains(part))
}

/// Waits inside a test that is not `async` at this place.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}
