//! Compute Engine on the range's simulator, with the ledger in SQLite.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gcp_snapshot_disks::GcpSnapshotDisks;
use serde_json::{Value, json};
use stanch_core::{Guard, Store, Target, target::GceInstance};
use stanch_gcp::Gcp;
use stanch_range::{
    gce::{Disk, Gce, Instance},
    proxy::{Dialect, Proxy},
};

use crate::suite::{Bed, contract};

const PROJECT: &str = "acme-prod";
const ZONE: &str = "europe-west1-b";

struct Compute {
    gce: Gce,
    proxy: Proxy,
    made: AtomicUsize,
    folder: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn gcp_snapshot_disks() {
    let gce = Gce::start().expect("the simulator starts");
    let proxy = Proxy::start(&gce.endpoint(), Dialect::Gce).expect("the proxy starts");
    let folder = tempfile::tempdir().expect("a folder");
    Box::pin(contract(&Compute { gce, proxy, made: AtomicUsize::new(0), folder })).await;
}

impl Compute {
    fn next(&self) -> usize {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    /// The disks of a target are named after it.
    fn prefix(target: &Target) -> String {
        let Target::GceInstance(instance) = target else { panic!("not an instance: {target}") };
        format!("{}-", instance.name.as_ref().expect("a name"))
    }
}

impl Bed for Compute {
    type R = GcpSnapshotDisks;
    const KEEPS: bool = true;

    fn cloud(&self) -> Gcp {
        Gcp::at(&self.proxy.url(), None).expect("an address")
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join(format!("ledger-{}.db", self.next()));
        Arc::new(stanch_sqlite::Sqlite::open(&path).expect("a ledger"))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        let name = format!("web-{}", self.next());
        self.gce.seed(
            Instance::new(PROJECT, ZONE, &name)
                .disk(Disk::zonal(&format!("{name}-boot")).boot())
                .disk(Disk::zonal(&format!("{name}-data")))
                .disk(Disk::regional(&format!("{name}-shared"), &[ZONE, "europe-west1-c"]))
                .local_ssd(),
        );
        GceInstance {
            project: PROJECT.parse().unwrap(),
            zone: ZONE.parse().unwrap(),
            name: Some(name.parse().unwrap()),
            id: None,
        }
        .into()
    }

    fn guard(&self) -> Guard {
        Guard { projects: Some(vec![PROJECT.parse().unwrap()]), ..Guard::default() }
    }

    fn state(&self, target: &Target) -> Value {
        let prefix = Self::prefix(target);
        let mut disks: Vec<_> = self
            .gce
            .snapshots()
            .iter()
            .filter_map(|snapshot| snapshot.source_disk.rsplit('/').next().map(|disk| (disk.to_owned(), snapshot)))
            .filter(|(disk, _)| disk.starts_with(&prefix))
            .map(|(disk, snapshot)| json!({"disk": disk[prefix.len()..], "labels": snapshot.labels.keys().collect::<Vec<_>>()}))
            .collect();
        disks.sort_by_key(ToString::to_string);
        json!(disks)
    }

    fn assert_contained(&self, state: &Value) {
        let disks: Vec<_> = state.as_array().unwrap().iter().map(|snapshot| snapshot["disk"].clone()).collect();
        assert_eq!(disks, [json!("boot"), json!("data"), json!("shared")], "one snapshot of each disk: {state:#}");
        for snapshot in state.as_array().unwrap() {
            for label in ["stanch-incident", "stanch-record"] {
                assert!(snapshot["labels"].as_array().unwrap().contains(&json!(label)), "{state:#}");
            }
        }
    }

    fn drift(&self, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, target: &Target) {
        let prefix = Self::prefix(target);
        for snapshot in self.gce.snapshots() {
            if snapshot.source_disk.rsplit('/').next().is_some_and(|disk| disk.starts_with(&prefix)) {
                let url =
                    format!("{}/compute/v1/projects/{PROJECT}/global/snapshots/{}", self.gce.endpoint(), snapshot.name);
                let status = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        reqwest::Client::new().delete(url).send().await.expect("the simulator answers").status()
                    })
                });
                assert!(status.is_success(), "{status}");
            }
        }
    }
}
