//! Least privilege, proved: with exactly what a responder declares it works, and each permission that is taken away is
//! missed, by name.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use stanch_core::{Kind, Mode, Permission, Report, Responder, Status, Target};
use stanch_gcp::Gcp;
use stanch_range::gce::{Gce, Timing};

use crate::Bench;

/// Plants what one trial needs; answers the target and the options.
pub type Scene = fn(&Gce) -> (Target, Value);

type Make = Box<dyn Fn() -> BoxFuture<'static, (Bench, Target, Value)> + Sync>;

/// One way through a responder: how its place is made, and what it is told.
pub struct Way {
    make: Make,
    undo: Option<Value>,
}

impl Way {
    /// Undone with the options that it was done with.
    pub fn new<F>(make: impl Fn() -> F + Sync + 'static) -> Self
    where
        F: Future<Output = (Bench, Target, Value)> + Send + 'static,
    {
        Self { make: Box::new(move || make().boxed()), undo: None }
    }

    /// Undone with others.
    #[must_use]
    pub fn undone_with(self, options: Value) -> Self {
        Self { undo: Some(options), ..self }
    }
}

impl From<Scene> for Way {
    fn from(scene: Scene) -> Self {
        Self::new(move || async move {
            let bench = Bench::new();
            let (target, options) = scene(&bench.gce);
            (bench, target, options)
        })
    }
}

/// Tries every permission in every scene.
pub async fn least_privilege<R: Responder<Cloud: From<Gcp>>>(scenes: &[Scene]) {
    let ways: Vec<_> = scenes.iter().copied().map(Way::from).collect();
    least_privilege_of::<R>(&ways).await;
}

/// Tries every permission in every way. One that only some ways need must be missed in one of them; all ways must work
/// with what is declared.
///
/// Missed means: the run fails with `Denied`, or (for what only informs) the report says so; and in both cases it names
/// the permission.
pub async fn least_privilege_of<R: Responder<Cloud: From<Gcp>>>(ways: &[Way]) {
    Box::pin(proved::<R>(ways)).await;
}

async fn proved<R: Responder<Cloud: From<Gcp>>>(ways: &[Way]) {
    let apply = names(R::NEEDS.plan).chain(names(R::NEEDS.apply)).collect::<BTreeSet<_>>();
    let revert = names(R::NEEDS.plan).chain(names(R::NEEDS.revert)).collect::<BTreeSet<_>>();
    let ends = |reverts| if reverts { Status::Reverted } else { Status::Applied };
    for way in ways {
        for (report, reverts) in run::<R>(way, &apply, &revert).await.into_iter().zip([false, true]) {
            assert_eq!(report.status, ends(reverts), "{} with what it declares: {report:#?}", R::NAME);
            let told = text(&report);
            assert!(!told.contains("is missing"), "{} with what it declares: {told}", R::NAME);
        }
    }
    let each = apply.iter().map(|one| (*one, false)).chain(names(R::NEEDS.revert).map(|one| (one, true)));
    for (permission, reverts) in each {
        let without = |all: &BTreeSet<&'static str>| all.iter().copied().filter(|one| *one != permission).collect();
        let (may_apply, may_revert) =
            if reverts { (apply.clone(), without(&revert)) } else { (without(&apply), revert.clone()) };
        let (mut missed, mut passed) = (false, Vec::new());
        for way in ways {
            let reports = run::<R>(way, &may_apply, &may_revert).await;
            let report = if reverts { reports.last() } else { reports.first() }.expect("a report");
            let told = text(report);
            if report.error == Some(Kind::Denied) || told.contains("is missing") {
                assert!(told.contains(permission), "{} without {permission}: {report:#?}", R::NAME);
                missed = true;
            } else {
                assert_eq!(report.status, ends(reverts), "{} without {permission}: {report:#?}", R::NAME);
                passed.push(report.changes.clone());
            }
        }
        assert!(missed, "{} declares {permission} and never misses it: {passed:#?}", R::NAME);
    }
}

/// What came of apply and, where it was applied and can be undone, of revert.
async fn run<R: Responder<Cloud: From<Gcp>>>(
    way: &Way,
    apply: &BTreeSet<&'static str>,
    revert: &BTreeSet<&'static str>,
) -> Vec<Report> {
    let (bench, target, options) = (way.make)().await;
    // Done by the time that it is asked about. One that is done at once never is.
    bench.gce.timing(Timing::each(Duration::from_nanos(1)));
    bench.gce.allow("apply", &apply.iter().copied().collect::<Vec<_>>());
    bench.gce.allow("revert", &revert.iter().copied().collect::<Vec<_>>());
    let applied = bench.run_at::<R>(bench.cloud(Some("apply")), Mode::Apply, &target, &options).await;
    if applied.status != Status::Applied || R::NEEDS.revert.is_empty() {
        return vec![applied];
    }
    let undo = way.undo.as_ref().unwrap_or(&options);
    let reverted = bench.run_at::<R>(bench.cloud(Some("revert")), Mode::Revert, &target, undo).await;
    vec![applied, reverted]
}

fn names(permissions: &'static [Permission]) -> impl Iterator<Item = &'static str> {
    permissions.iter().filter_map(|one| if let Permission::Gcp(name) = one { Some(*name) } else { None })
}

fn text(report: &Report) -> String {
    let changes = report.changes.iter().filter_map(|change| change.error.as_deref());
    let left = report.remaining.iter().map(|left| left.what.as_str());
    report.reason.as_deref().into_iter().chain(changes).chain(left).collect::<Vec<_>>().join("\n")
}
