//! Least privilege, proved: with exactly what a responder declares it works, and each permission that is taken away is
//! missed, by name.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use stanch_core::{Kind, Mode, Permission, Report, Responder, Status, Target};
use stanch_gcp::Gcp;
use stanch_range::gce::{Gce, Timing};

use crate::Bench;

/// Plants what one trial needs; answers the target and the options.
pub type Scene = fn(&Gce) -> (Target, Value);

/// Tries every permission in every scene. One that only some scenes need must be missed in one of them; all scenes must
/// work with what is declared.
///
/// Missed means: the run fails with `Denied`, or (for what only informs) the report says so; and in both cases it names
/// the permission.
pub async fn least_privilege<R: Responder<Cloud = Gcp>>(scenes: &[Scene]) {
    Box::pin(proved::<R>(scenes)).await;
}

async fn proved<R: Responder<Cloud = Gcp>>(scenes: &[Scene]) {
    let apply = names(R::NEEDS.plan).chain(names(R::NEEDS.apply)).collect::<BTreeSet<_>>();
    let revert = names(R::NEEDS.plan).chain(names(R::NEEDS.revert)).collect::<BTreeSet<_>>();
    for scene in scenes {
        let bench = Bench::new();
        let (applied, reverted) = run::<R>(&bench, *scene, &apply, &revert).await;
        assert_eq!(applied.status, Status::Applied, "{} with what it declares: {applied:#?}", R::NAME);
        let told = text(&applied);
        assert!(!told.contains("is missing"), "{} with what it declares: {told}", R::NAME);
        if let Some(reverted) = reverted {
            assert_eq!(reverted.status, Status::Reverted, "{} with what it declares: {reverted:#?}", R::NAME);
        }
    }
    for (permission, reverts) in apply.iter().map(|one| (one, false)).chain(names(R::NEEDS.revert).map(|one| {
        let found = revert.get(one).expect("it is declared");
        (found, true)
    })) {
        let mut missed = false;
        for scene in scenes {
            let bench = Bench::new();
            let without = |all: &BTreeSet<&'static str>| all.iter().copied().filter(|one| one != permission).collect();
            let (may_apply, may_revert) =
                if reverts { (apply.clone(), without(&revert)) } else { (without(&apply), revert.clone()) };
            let (applied, reverted) = run::<R>(&bench, *scene, &may_apply, &may_revert).await;
            let report = if reverts { reverted.unwrap_or(applied) } else { applied };
            let told = text(&report);
            let denied = report.error == Some(Kind::Denied) || told.contains("is missing");
            let named = told.contains(*permission);
            assert_eq!(denied, named, "{} without {permission}: {report:#?}", R::NAME);
            missed |= denied;
        }
        assert!(missed, "{} declares {permission} and never misses it", R::NAME);
    }
}

async fn run<R: Responder<Cloud = Gcp>>(
    bench: &Bench,
    scene: Scene,
    apply: &BTreeSet<&'static str>,
    revert: &BTreeSet<&'static str>,
) -> (Report, Option<Report>) {
    // An operation that is done at once is never asked about.
    bench.gce.timing(Timing::each(Duration::from_millis(1)));
    let (target, options) = scene(&bench.gce);
    bench.gce.allow("apply", &apply.iter().copied().collect::<Vec<_>>());
    bench.gce.allow("revert", &revert.iter().copied().collect::<Vec<_>>());
    let order = bench.order(Mode::Apply, "inc-1", &target, &options);
    let applied = Box::pin(bench.process::<R>(Some("apply")).run(&order)).await;
    if applied.status != Status::Applied || R::NEEDS.revert.is_empty() {
        return (applied, None);
    }
    let order = bench.order(Mode::Revert, "inc-1", &target, &options);
    let reverted = Box::pin(bench.process::<R>(Some("revert")).run(&order)).await;
    (applied, Some(reverted))
}

fn names(permissions: &'static [Permission]) -> impl Iterator<Item = &'static str> {
    permissions.iter().filter_map(|one| if let Permission::Gcp(name) = one { Some(*name) } else { None })
}

fn text(report: &Report) -> String {
    let changes = report.changes.iter().filter_map(|change| change.error.as_deref());
    let left = report.remaining.iter().map(|left| left.what.as_str());
    report.reason.as_deref().into_iter().chain(changes).chain(left).collect::<Vec<_>>().join("\n")
}
