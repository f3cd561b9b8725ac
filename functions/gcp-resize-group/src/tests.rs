//! Whole runs against the range's managed groups; what happened is read back from there.

mod contract;

use std::time::Duration;

use serde_json::{Value, json};
use stanch_core::{Mode, Report, Status, Target};
use stanch_gcp_suite::{Bench, PROJECT, REGION, Way, ZONE, least_privilege_of, left, reason, target};
use stanch_range::gce::{Group, Instance, OperationFailure, Refusal, Timing};

use super::*;

const ZONAL: &str = "zones/europe-west1-b/instanceGroupManagers/web";
const REGIONAL: &str = "regions/europe-west1/instanceGroupManagers/web";

/// `web-1` and `web-2` in a group.
fn seeded(regional: bool) -> Bench {
    let bench = Bench::with_web();
    bench.gce.seed(Instance::new(PROJECT, ZONE, "web-2"));
    let group = if regional { Group::regional(PROJECT, REGION, "web") } else { Group::zonal(PROJECT, ZONE, "web") };
    bench.gce.seed_group(group.member("europe-west1-b/web-1").member("europe-west1-b/web-2"));
    bench
}

fn web_1() -> Target {
    target("web-1")
}

async fn run(bench: &Bench, mode: Mode, options: Value) -> Report {
    bench.run::<GcpResizeGroup>(mode, &web_1(), &options).await
}

#[tokio::test]
async fn the_group_grows_and_is_never_made_smaller_again() {
    for (bench, path) in [(seeded(false), ZONAL), (seeded(true), REGIONAL)] {
        let report = run(&bench, Mode::Apply, json!({"size": 3})).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        assert!(left(&report, "template"), "{:#?}", report.remaining);
        assert_eq!(bench.group(path).await.0["targetSize"], json!(3));
        let again = run(&bench, Mode::Apply, json!({"size": 3})).await;
        assert_eq!((again.status, again.record), (Status::Already, report.record), "{:?}", again.reason);

        let back = run(&bench, Mode::Revert, json!({})).await;
        assert_eq!(back.status, Status::Refused, "{back:#?}");
        assert_eq!(bench.group(path).await.0["targetSize"], json!(3));
    }
}

#[tokio::test]
async fn a_smaller_size_is_refused_with_the_reason() {
    let bench = seeded(false);
    let report = run(&bench, Mode::Apply, json!({"size": 1})).await;
    assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{report:#?}");
    assert!(reason(&report).contains("chooses itself which instance"), "{:?}", report.reason);
    assert!(bench.gce.writes().is_empty());
    assert_eq!(run(&bench, Mode::Apply, json!({"size": 2})).await.status, Status::Already, "it has two");
}

#[tokio::test]
async fn a_group_is_named_where_the_instance_is_in_none() {
    let bench = Bench::with_web();
    bench.gce.seed(Instance::new(PROJECT, ZONE, "web-2"));
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, "web").member("web-2"));
    // Its metadata, which its account may rewrite, names a group: that is not followed.
    let number = stanch_range::gce::Gce::project_number(PROJECT);
    let forged = format!("projects/{number}/{ZONAL}");
    bench.gce.instance_metadata(PROJECT, "web-1", "created-by", &forged);
    let report = run(&bench, Mode::Apply, json!({"size": 2})).await;
    assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
    assert!(reason(&report).contains("options.group"));
    assert!(bench.gce.writes().is_empty());

    let report = run(&bench, Mode::Apply, json!({"size": 2, "group": ZONAL})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bench.group(ZONAL).await.0["targetSize"], json!(2));
}

#[tokio::test]
async fn an_option_that_is_wrong_is_named() {
    let bench = seeded(false);
    for (options, named) in [
        (json!({}), "options.size"),
        (json!({"size": 3, "group": "web"}), "options.group"),
        (json!({"size": 3, "group": format!("projects/other/{ZONAL}")}), "options.group"),
        (json!({"size": 3, "group": "zones/../instanceGroupManagers/web"}), "options.group"),
        (json!({"size": -1}), "options"),
    ] {
        let report = run(&bench, Mode::Apply, options).await;
        assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
        assert!(reason(&report).contains(named), "{named}: {:?}", report.reason);
    }
    let report =
        run(&bench, Mode::Apply, json!({"size": 3, "group": "zones/europe-west1-b/instanceGroupManagers/no"})).await;
    assert_eq!(report.error, Some(Kind::NotFound), "{report:#?}");
    let report = run(&bench, Mode::Apply, json!({"size": 1000})).await;
    assert_eq!(report.status, Status::Refused, "more at once than the guard allows: {report:#?}");
    assert!(bench.gce.writes().is_empty());
}

#[tokio::test]
async fn a_failure_after_acceptance_and_a_throttle_are_tried_again() {
    let bench = seeded(false);
    bench.gce.timing(Timing::each(Duration::from_millis(5)));
    bench.gce.fail_operation_on("resize", OperationFailure::rate());
    bench.gce.refuse("/resize", Refusal::rate_limit(), 1);
    let report = run(&bench, Mode::Apply, json!({"size": 3})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(bench.group(ZONAL).await.0["targetSize"], json!(3));
}

#[tokio::test]
async fn it_needs_exactly_what_it_declares() {
    let unhinted = |regional: bool| {
        Way::new(move || async move {
            let bench = seeded(regional);
            bench.gce.instance_metadata(PROJECT, "web-1", "created-by", "");
            (bench, web_1(), json!({"size": 3}))
        })
    };
    least_privilege_of::<GcpResizeGroup>(&[unhinted(false), unhinted(true)]).await;
}
