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
mod kubernetes;
mod places;
mod sam;
mod sam_checks;
mod terraform;

use std::{fs, path::Path};

use stanch_tests::{responders, root};

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
        // A package for Lambda is built without `server`; nothing else is ever switched.
        let switches = manifest.split("[features]").nth(1).map(|rest| rest.split("\n[").next().unwrap());
        let allowed = name.starts_with("k8s-").then_some(SERVER);
        assert_eq!(switches, allowed, "{name}/Cargo.toml has other feature flags than its wing");
    }
}

/// The one feature of a Kubernetes responder.
const SERVER: &str = r#"
default = ["server"]
# What a package for Lambda is without: the HTTP host, Firestore, and clusters that are not on EKS.
server = ["dep:stanch-firestore", "stanch-k8s/server"]
"#;

/// infra/ gives every responder of a wing the same hosts and the same ledger.
#[test]
fn the_programs_of_a_wing_differ_in_the_responder_alone() {
    let mut wings = std::collections::BTreeMap::new();
    for name in responders().keys() {
        let main = fs::read_to_string(root().join("functions").join(name).join("src/main.rs")).unwrap();
        let krate = name.replace('-', "_");
        let kind = main.split("Binary::<").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
        let main = main.replace(&format!("use {krate}::{kind};"), "").replace(&format!("::<{kind}>"), "");
        let (wing, _) = name.split_once('-').unwrap();
        let (first, whole) = wings.entry(wing).or_insert_with(|| (*name, main.clone()));
        assert_eq!(main, *whole, "{name}/src/main.rs differs from {first}/src/main.rs");
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
