//! The very commands of Google's guide, by the real program.

use std::process::Command;

use stanch_range::gce::{Gce, Refusal};
use stanch_range::scenario::{self, PROJECT, VM, ZONE};

use crate::{installed, skipped};

pub(crate) struct Gcloud<'a> {
    gce: &'a Gce,
    config: tempfile::TempDir,
}

impl<'a> Gcloud<'a> {
    pub(crate) fn new(gce: &'a Gce) -> Self {
        Self { gce, config: tempfile::tempdir().unwrap() }
    }

    /// Runs it and expects it to succeed.
    pub(crate) fn ok(&self, line: &str) -> String {
        let args: Vec<&str> = line.split_whitespace().collect();
        let (ok, out, err) = self.run(&args);
        assert!(ok, "{line}: {err}");
        out
    }

    /// Runs it and expects it to fail with this text.
    pub(crate) fn refused(&self, line: &str, why: &str) {
        let args: Vec<&str> = line.split_whitespace().collect();
        let (ok, _, err) = self.run(&args);
        assert!(!ok && err.contains(why), "{line}: {err}");
    }

    pub(crate) fn run(&self, args: &[&str]) -> (bool, String, String) {
        let done = Command::new("gcloud")
            .args(args)
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", self.gce.gcloud_endpoint())
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_CORE_PROJECT", PROJECT)
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("CLOUDSDK_CONFIG", self.config.path())
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }
}

#[test]
fn gcloud_drives_the_simulator() {
    if !installed("gcloud") {
        return skipped("gcloud is not installed");
    }
    let gce = Gce::start().unwrap();
    let id = scenario::gcp(&gce);
    let gcloud = Gcloud::new(&gce);

    let (ok, out, err) =
        gcloud.run(&["compute", "instances", "describe", VM, "--zone", ZONE, "--format=flattened([disks])"]);
    assert!(ok, "{err}");
    for expected in
        ["disks[0].boot:", "zones/europe-west1-b/disks/web-1-data", "regions/europe-west1/disks/web-shared", "SCRATCH"]
    {
        assert!(out.contains(expected), "{expected} is not in {out}");
    }

    let (ok, _, err) = gcloud.run(&[
        "compute",
        "disks",
        "snapshot",
        VM,
        "--zone",
        ZONE,
        "--snapshot-names",
        "snap-zonal",
        "--labels",
        "stanch-record=ab12",
    ]);
    assert!(ok, "{err}");
    let (ok, _, err) = gcloud.run(&[
        "compute",
        "disks",
        "snapshot",
        "web-shared",
        "--region",
        "europe-west1",
        "--snapshot-names",
        "snap-regional",
    ]);
    assert!(ok, "{err}");
    let made: Vec<_> = gce.snapshots().into_iter().map(|made| (made.name, made.status)).collect();
    assert_eq!(
        made,
        [("snap-zonal".into(), "READY".into()), ("snap-regional".into(), "READY".into())] as [(String, String); 2]
    );

    let (ok, _, err) = gcloud.run(&[
        "compute",
        "snapshots",
        "create",
        "snap-insert",
        "--source-disk",
        "web-1-data",
        "--source-disk-zone",
        ZONE,
    ]);
    assert!(ok, "{err}");
    let (ok, out, err) = gcloud.run(&[
        "compute",
        "snapshots",
        "list",
        "--filter=labels.stanch-record=ab12",
        "--format=value(name,status)",
    ]);
    assert!(ok, "{err}");
    assert_eq!(out.trim(), "snap-zonal\tREADY");
    let (ok, out, err) =
        gcloud.run(&["compute", "instances", "list", &format!("--filter=id={id}"), "--format=value(name)"]);
    assert!(ok, "{err}");
    assert_eq!(out.trim(), VM);

    let (ok, _, err) =
        gcloud.run(&["compute", "disks", "snapshot", VM, "--zone", ZONE, "--snapshot-names", "snap-zonal"]);
    assert!(!ok && err.contains("already exists"), "{err}");
    gce.refuse("/createSnapshot", Refusal::forbidden("compute.disks.createSnapshot", "projects/p/zones/z/disks/d"), 1);
    let (ok, _, err) = gcloud.run(&["compute", "disks", "snapshot", VM, "--zone", ZONE, "--snapshot-names", "snap-3"]);
    assert!(!ok && err.contains("Required 'compute.disks.createSnapshot' permission"), "{err}");
    assert_eq!(gce.snapshots().len(), 3);
}
