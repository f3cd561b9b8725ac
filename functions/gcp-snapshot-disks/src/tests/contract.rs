//! The contract of every responder, on this one.

use stanch_core::Target;
use stanch_gcp_suite::{Bench, Place, Trial, name, wait};
use stanch_range::gce::{Snapshot, Timing};

use super::*;

struct Capture;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Capture>::keeps_the_contract().await;
}

/// The snapshots of a target, and what each disk is called without the target's name.
fn taken(bench: &Bench, target: &Target) -> Vec<(String, Snapshot)> {
    let prefix = format!("/disks/{}-", name(target));
    let found = |one: Snapshot| one.source_disk.split_once(&prefix).map(|(_, disk)| disk.to_owned()).zip(Some(one));
    bench.gce.snapshots().into_iter().filter_map(found).collect()
}

impl Trial for Capture {
    type R = GcpSnapshotDisks;
    const KEEPS: bool = true;

    fn plant(bench: &Bench, name: &str) -> Target {
        // They are creating and uploading when they are looked at.
        bench.gce.timing(Timing::default());
        bench.gce.seed(
            Instance::new(PROJECT, ZONE, name)
                .disk(Disk::zonal(&format!("{name}-boot")).boot())
                .disk(Disk::zonal(&format!("{name}-data")))
                .disk(Disk::regional(&format!("{name}-shared"), &[ZONE, "europe-west1-c"]))
                .local_ssd(),
        );
        target(name)
    }

    fn state(bench: &Bench, target: &Target) -> serde_json::Value {
        let mut disks: Vec<_> = taken(bench, target)
            .into_iter()
            .map(|(disk, one)| (disk, one.labels.into_keys().collect::<Vec<_>>()))
            .collect();
        disks.sort();
        serde_json::json!(disks)
    }

    fn assert_contained(state: &serde_json::Value) {
        let labels = ["stanch-by", "stanch-incident", "stanch-record"];
        let once = ["boot", "data", "shared"].map(|disk| (disk, labels));
        assert_eq!(*state, serde_json::json!(once), "one snapshot of each disk");
    }

    fn undo_by_hand(bench: &Bench, target: &Target) {
        for (_, one) in taken(bench, target) {
            let url = format!("{}/compute/v1/projects/{PROJECT}/global/snapshots/{}", bench.gce.endpoint(), one.name);
            let answer = wait(reqwest::Client::new().delete(url).send()).expect("the simulator answers");
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }
}
