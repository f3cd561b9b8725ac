//! A whole run of one responder of this wing: its driver, a ledger and the range's Google Cloud. The tests of the
//! responders include this file by its path; what happened they read back from the simulator.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each responder includes it, and uses what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value;
use stanch_core::{
    Clock, Driver, Guard, Kind, Mode, Permission, Report, Responder, Status, Store, Target,
    target::{GceInstance, GcpServiceAccount},
};
use stanch_gcp::Gcp;
use stanch_range::{
    gce::{Disk, Gce, Instance},
    proxy::{Dialect, Proxy},
};
use stanch_suite::{Memory, Skipping, order};

pub const PROJECT: &str = "acme-prod";
pub const ZONE: &str = "europe-west1-b";
pub const REGION: &str = "europe-west1";
pub const INCIDENT: &str = "inc-1";

/// The range and a ledger.
pub struct Bench {
    pub gce: Gce,
    pub clock: Skipping,
    pub guard: Guard,
    store: Arc<dyn Store>,
}

impl Bench {
    pub fn new() -> Self {
        let guard = Guard { projects: Some(vec![PROJECT.parse().unwrap()]), ..Guard::default() };
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        Self { gce: Gce::start().expect("range"), clock: Skipping::default(), guard, store }
    }

    /// With an instance `web-1` that has a boot disk and a regional one.
    pub fn with_web() -> Self {
        let bench = Self::new();
        bench.gce.seed(web());
        bench
    }

    pub fn cloud(&self, token: Option<&str>) -> Gcp {
        Gcp::at(&self.gce.endpoint(), token).expect("an address")
    }

    pub async fn run<R: Responder<Cloud = Gcp>>(&self, mode: Mode, target: &Target, options: Value) -> Report {
        self.run_in::<R>(self.cloud(None), mode, target, options).await
    }

    /// One order of a person, by a process of its own.
    pub async fn run_in<R: Responder>(&self, cloud: R::Cloud, mode: Mode, target: &Target, options: Value) -> Report {
        let mut request = order(&self.clock, mode, &INCIDENT.parse().unwrap(), target);
        request.order.options = options;
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let driver = Driver::<R>::new(cloud, Arc::clone(&self.store), self.guard.clone(), clock)
            .limiting_calls(Duration::from_mins(10));
        Box::pin(driver.run(&request)).await
    }

    /// A snapshot of a disk, as gcp-snapshot-disks makes it.
    pub async fn capture(&self, disk: &str, incident: &str) {
        static TAKEN: AtomicU64 = AtomicU64::new(0);
        let place = if disk.ends_with("-shared") { format!("regions/{REGION}") } else { format!("zones/{ZONE}") };
        let name = format!("s-{}", TAKEN.fetch_add(1, Ordering::Relaxed));
        let body =
            serde_json::json!({"name": name, "labels": {"stanch-incident": incident, "stanch-record": "a".repeat(24)}});
        let url = format!("{}/compute/v1/projects/{PROJECT}/{place}/disks/{disk}/createSnapshot", self.gce.endpoint());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("the simulator answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Both disks of `web-1`, for this incident, and ready.
    pub async fn capture_web(&self) {
        self.capture("web-1", INCIDENT).await;
        self.capture("web-1-shared", INCIDENT).await;
        self.gce.advance(Duration::from_secs(1));
    }

    /// What every call passes that goes through it: for the contract, which ends processes at any call.
    pub fn proxy(&self) -> Proxy {
        Proxy::start(&self.gce.endpoint(), Dialect::Gce).expect("the proxy starts")
    }

    /// The instance as its own API shows it; `Null` where there is none.
    pub async fn instance(&self, name: &str) -> Value {
        let url = format!("{}/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/{name}", self.gce.endpoint());
        let answer = reqwest::get(url).await.expect("the simulator answers");
        if answer.status().is_success() { answer.json().await.expect("JSON") } else { Value::Null }
    }

    /// A managed group as its own API shows it, and the names of its members.
    pub async fn group(&self, path: &str) -> (Value, Vec<String>) {
        let url = format!("{}/compute/v1/projects/{PROJECT}/{path}", self.gce.endpoint());
        let client = reqwest::Client::new();
        let group = client.get(&url).send().await.expect("answers").json().await.expect("JSON");
        let members = client.post(format!("{url}/listManagedInstances")).send().await.expect("answers");
        let members: Value = members.json().await.expect("JSON");
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

/// The incidents that the contract knows: evidence must be there for each of them.
pub const CONTRACT: [&str; 11] = [
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

pub fn target(name: Option<&str>, id: Option<u64>) -> Target {
    GceInstance {
        project: PROJECT.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        name: name.map(|name| name.parse().unwrap()),
        id: id.map(|id| id.to_string().parse().unwrap()),
    }
    .into()
}

pub fn account(email: &str) -> Target {
    GcpServiceAccount { project: PROJECT.parse().unwrap(), email: email.parse().unwrap() }.into()
}

pub fn reason(report: &Report) -> &str {
    report.reason.as_deref().unwrap_or_default()
}

pub fn left(report: &Report, part: &str) -> bool {
    report.remaining.iter().any(|left| left.what.contains(part))
}

/// Waits inside a test that is not `async` at this place.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

fn names(permissions: &[Permission]) -> Vec<&'static str> {
    permissions.iter().filter_map(|one| if let Permission::Gcp(name) = one { Some(*name) } else { None }).collect()
}

/// One way through a responder: how its place is made, and what it is told.
pub struct Way<'a> {
    pub make: &'a (dyn Fn() -> BoxFuture<'a, (Bench, Target)> + Sync),
    pub options: Value,
    pub undo: Value,
}

/// Every way works with exactly what the responder declares for apply and for revert; without any one permission some
/// way is denied, and says which one is missing.
pub async fn needs_exactly_what_it_declares<R: Responder<Cloud = Gcp>>(ways: &[Way<'_>]) {
    needs_exactly::<R>(ways, |bench, token| bench.cloud(Some(token))).await;
}

/// The same for a responder whose cloud is not plainly [`Gcp`].
pub async fn needs_exactly<R: Responder>(ways: &[Way<'_>], cloud: impl Fn(&Bench, &str) -> R::Cloud) {
    let apply = names(&[R::NEEDS.plan, R::NEEDS.apply].concat());
    let revert = names(&[R::NEEDS.plan, R::NEEDS.revert].concat());
    let all = [apply.clone(), revert.clone()].concat();
    let mut unproved: Vec<_> = apply.iter().map(|name| (*name, Mode::Apply)).collect();
    unproved.extend(names(R::NEEDS.revert).iter().map(|name| (*name, Mode::Revert)));
    for way in ways {
        // With everything it declares.
        let (bench, target) = (way.make)().await;
        bench.gce.allow("apply", &apply);
        bench.gce.allow("revert", &revert);
        let done = bench.run_in::<R>(cloud(&bench, "apply"), Mode::Apply, &target, way.options.clone()).await;
        assert_eq!(done.status, Status::Applied, "{done:#?}");
        if !R::NEEDS.revert.is_empty() {
            let back = bench.run_in::<R>(cloud(&bench, "revert"), Mode::Revert, &target, way.undo.clone()).await;
            assert_eq!(back.status, Status::Reverted, "{back:#?}");
        }
        for missing in &apply {
            let (bench, target) = (way.make)().await;
            let rest: Vec<_> = apply.iter().copied().filter(|one| one != missing).collect();
            bench.gce.allow("less", &rest);
            let report = bench.run_in::<R>(cloud(&bench, "less"), Mode::Apply, &target, way.options.clone()).await;
            if is_denied(&report, missing) {
                unproved.retain(|one| *one != (*missing, Mode::Apply));
            } else {
                assert_eq!(report.status, Status::Applied, "without {missing}: {report:#?}");
            }
        }
        for missing in names(R::NEEDS.revert) {
            let (bench, target) = (way.make)().await;
            let rest: Vec<_> = revert.iter().copied().filter(|one| *one != missing).collect();
            bench.gce.allow("all", &all);
            bench.gce.allow("less", &rest);
            let done = bench.run_in::<R>(cloud(&bench, "all"), Mode::Apply, &target, way.options.clone()).await;
            assert_eq!(done.status, Status::Applied, "{done:#?}");
            let back = bench.run_in::<R>(cloud(&bench, "less"), Mode::Revert, &target, way.undo.clone()).await;
            if is_denied(&back, missing) {
                unproved.retain(|one| *one != (missing, Mode::Revert));
            } else {
                assert_eq!(back.status, Status::Reverted, "without {missing}: {back:#?}");
            }
        }
    }
    assert!(unproved.is_empty(), "declared, and no way needs it: {unproved:?}");
}

fn is_denied(report: &Report, permission: &str) -> bool {
    report.error == Some(Kind::Denied) && reason(report).contains(permission)
}
