//! Every responder stands wherever it must; a new one is told what is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::format_collect,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test"
)]

mod generated;
mod sam;

use std::{collections::BTreeMap, fs, path::Path};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
use gcp_allow_bastion::GcpAllowBastion;
use gcp_contain_service_account::GcpContainServiceAccount;
use gcp_delete_instance::GcpDeleteInstance;
use gcp_detach_service_account::GcpDetachServiceAccount;
use gcp_isolate_instance::GcpIsolateInstance;
use gcp_mark_instance::GcpMarkInstance;
use gcp_protect_instance::GcpProtectInstance;
use gcp_release_instance::GcpReleaseInstance;
use gcp_remove_external_ip::GcpRemoveExternalIp;
use gcp_resize_group::GcpResizeGroup;
use gcp_snapshot_disks::GcpSnapshotDisks;
use k8s_confine_workload::K8sConfineWorkload;
use k8s_cordon_node::K8sCordonNode;
use k8s_delete_workload::K8sDeleteWorkload;
use k8s_drain_node::K8sDrainNode;
use k8s_enforce_policy::K8sEnforcePolicy;
use k8s_isolate_pod::K8sIsolatePod;
use k8s_locate::K8sLocate;
use k8s_mark::K8sMark;
use k8s_redeploy_pod::K8sRedeployPod;
use k8s_revoke_access::K8sRevokeAccess;
use k8s_rotate_service_account::K8sRotateServiceAccount;
use stanch_core::{Order, Permissions, Responder, TargetKind};
use stanch_signals::Context;
use stanch_tests::root;

/// What a responder says of itself.
struct Said {
    about: &'static str,
    undo: &'static str,
    trigger: &'static str,
    kinds: &'static [&'static str],
    needs: Permissions,
    /// No severity is too low for it.
    gentle: bool,
    /// The orders that its `event.json` leads to.
    orders: usize,
}

fn said<R: Responder>() -> (&'static str, Said) {
    let path = root().join("functions").join(R::NAME).join("event.json");
    let orders = fs::read(&path).map_or(0, |bytes| {
        let context = Context::new(Some("context:prod".parse().unwrap()), jiff::Timestamp::now());
        let alerts =
            stanch_signals::decode(&bytes, &context).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        alerts.iter().map(|alert| Order::from_alert::<R>(alert).len()).sum()
    });
    let trigger = match R::TRIGGER {
        stanch_core::Trigger::Event => "event",
        stanch_core::Trigger::Order => "order",
    };
    let (about, undo, kinds) = (R::ABOUT, R::UNDO, R::Target::KINDS);
    (R::NAME, Said { about, undo, trigger, kinds, needs: R::NEEDS, gentle: R::GENTLE, orders })
}

fn responders() -> BTreeMap<&'static str, Said> {
    BTreeMap::from([
        said::<AwsContainPrincipal>(),
        said::<AwsDetachRole>(),
        said::<AwsIsolateInstance>(),
        said::<AwsMarkInstance>(),
        said::<AwsProtectInstance>(),
        said::<AwsReleaseInstance>(),
        said::<AwsRemovePublicIp>(),
        said::<AwsSnapshotVolumes>(),
        said::<AwsTerminateInstance>(),
        said::<GcpAllowBastion>(),
        said::<GcpContainServiceAccount>(),
        said::<GcpDeleteInstance>(),
        said::<GcpDetachServiceAccount>(),
        said::<GcpIsolateInstance>(),
        said::<GcpMarkInstance>(),
        said::<GcpProtectInstance>(),
        said::<GcpReleaseInstance>(),
        said::<GcpRemoveExternalIp>(),
        said::<GcpResizeGroup>(),
        said::<GcpIsolateInstance>(),
        said::<GcpMarkInstance>(),
        said::<GcpProtectInstance>(),
        said::<GcpRemoveExternalIp>(),
        said::<GcpSnapshotDisks>(),
        said::<K8sConfineWorkload>(),
        said::<K8sCordonNode>(),
        said::<K8sDeleteWorkload>(),
        said::<K8sDrainNode>(),
        said::<K8sEnforcePolicy>(),
        said::<K8sIsolatePod>(),
        said::<K8sLocate>(),
        said::<K8sMark>(),
        said::<K8sRedeployPod>(),
        said::<K8sRevokeAccess>(),
        said::<K8sRotateServiceAccount>(),
    ])
}

fn folders() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_a_crate_a_binary_and_a_responder_share_one_name() {
    let known = responders();
    assert_eq!(folders(), known.keys().copied().collect::<Vec<_>>(), "add the new responder to `responders` here");
    for name in known.keys() {
        let folder = root().join("functions").join(name);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}/Cargo.toml names another crate");
        for file in ["src/lib.rs", "src/main.rs", "event.json"] {
            assert!(folder.join(file).is_file(), "{name}/{file} is missing");
        }
        assert!(!manifest.contains("[features]"), "{name} has feature flags");
    }
}

#[test]
fn every_event_leads_to_an_order() {
    for (name, said) in responders() {
        assert!(said.orders > 0, "{name}/event.json names no {}", said.kinds.join(" or "));
    }
}

#[test]
fn the_readme_lists_every_responder_with_its_trigger() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (name, said) in responders() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {name}"));
        assert!(row.contains(&format!("| {} |", said.trigger)), "README.md gives {name} another trigger");
        for kind in said.kinds {
            assert!(row.contains(kind), "README.md does not say that {name} takes {kind}");
        }
    }
}

#[test]
fn nobody_asks_for_more_than_one_thing_at_a_time() {
    for (name, said) in responders() {
        assert!(!said.about.is_empty() && !said.undo.is_empty(), "{name}");
        for permission in [said.needs.plan, said.needs.apply, said.needs.revert].concat() {
            let text = permission.to_string();
            assert!(!text.contains('*'), "{name} asks for {text}");
            assert!(!text.to_lowercase().contains("secret"), "{name} asks for {text}");
        }
    }
}

#[test]
fn wings_do_not_know_each_other_and_core_knows_no_cloud() {
    let manifest = |path: &str| fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();
    let depends = |path: &str, on: &str| manifest(path).lines().any(|line| line.starts_with(on));
    for (path, foreign) in [
        ("shared/core", vec!["aws", "google", "kube", "k8s", "tokio.", "reqwest", "stanch"]),
        ("shared/signals", vec!["aws", "google", "kube", "k8s", "tokio", "reqwest", "stanch-runtime"]),
        ("shared/runtime", vec!["aws-sdk", "google-cloud-compute", "kube", "stanch-aws", "stanch-gcp", "stanch-k8s"]),
        ("shared/aws", vec!["google", "kube", "k8s", "stanch-gcp", "stanch-k8s"]),
        ("shared/gcp", vec!["aws", "kube", "k8s", "stanch-aws", "stanch-k8s"]),
        ("shared/k8s", vec!["aws", "google", "stanch-aws", "stanch-gcp"]),
        ("functions/k8s-cordon-node", vec!["stanch-aws", "stanch-gcp"]),
        ("functions/gcp-snapshot-disks", vec!["stanch-aws", "stanch-k8s"]),
        ("functions/aws-snapshot-volumes", vec!["stanch-gcp", "stanch-k8s"]),
    ] {
        let dependencies = manifest(path);
        let dependencies = dependencies.split("[dev-dependencies]").next().unwrap();
        for name in foreign {
            let found = dependencies.lines().any(|line| line.starts_with(name));
            assert!(!found, "{path} depends on {name}…");
        }
    }
    assert!(depends("shared/k8s", "stanch-eks") && depends("shared/k8s", "stanch-gke"));
}

#[test]
fn files_stay_short_enough_to_read_in_one_sitting() {
    fn walk(folder: &Path, long: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, long);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).unwrap().lines().count();
                if lines > 600 {
                    long.push(format!("{} ({lines})", path.display()));
                }
            }
        }
    }
    let mut long = Vec::new();
    for folder in ["functions", "shared", "tests/range/src"] {
        walk(&root().join(folder), &mut long);
    }
    assert!(long.is_empty(), "longer than 600 lines: {long:?}");
}
