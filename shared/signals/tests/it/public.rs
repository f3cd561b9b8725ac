//! The public events, read in place: `public.tsv` says what this crate makes of each file of its detectors, the
//! events' own `hostile/EXPECT.tsv` what it must make of the hostile ones.

use std::{fs, io};

use stanch_core::Target;
use stanch_signals::decode;

use crate::common::{Outcome, check, context, files, public, shown, skipped};

const TABLE: &str = include_str!("public.tsv");

/// The file names of the detectors that this crate knows.
const OURS: [&str; 14] = [
    "cloudevents",
    "cloudwatchlogs",
    "falco",
    "guardduty",
    "k8saudit",
    "kubearmor",
    "logentry",
    "monitoring",
    "policyreport",
    "pubsub",
    "scc",
    "securityhub",
    "tracee",
    "trivy",
];

const PROD: &str = "eks:123456789012/us-east-1/prod";
/// The cluster of the hostile logs.
const NEXACORP: &str = "eks:123456789012/us-east-1/nexacorp-prod";

fn is_ours(name: &str) -> bool {
    OURS.iter().any(|ours| name.starts_with(ours))
}

#[test]
fn every_event_names_its_subjects_or_is_refused() -> io::Result<()> {
    let Some(folder) = public() else { return Ok(()) };
    for row in TABLE.lines().filter(|row| !row.starts_with('#')) {
        let [file, cluster, expected]: [&str; 3] =
            row.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
        let path = folder.join(file);
        if !path.is_file() {
            skipped(&format!("{file}: not among the public events"));
            continue;
        }
        let bytes = fs::read(path)?;
        let outcome = decode(&bytes, &context(cluster));
        check(file, &bytes, &outcome);
        assert_eq!(shown(&outcome), expected, "{file}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn every_file_of_these_detectors_stands_in_the_table() -> io::Result<()> {
    let Some(folder) = public() else { return Ok(()) };
    for (name, _) in files(&folder)? {
        let listed = TABLE.lines().any(|row| row.split('\t').next() == Some(name.as_str()));
        assert!(!is_ours(&name) || listed, "{name} is not in public.tsv");
    }
    Ok(())
}

#[test]
fn other_detectors_are_refused_and_nothing_panics() -> io::Result<()> {
    let Some(folder) = public() else { return Ok(()) };
    for folder in [folder.join("hostile"), folder] {
        for (name, bytes) in files(&folder)? {
            for cluster in ["", "context:", "gke:some-project/europe-west1/prod"] {
                let outcome = decode(&bytes, &context(cluster));
                check(&name, &bytes, &outcome);
                assert!(is_ours(&name) || outcome.is_err(), "{name} decodes: {outcome:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_hostile_event_has_the_outcome_that_its_table_names() -> io::Result<()> {
    let Some(folder) = public() else { return Ok(()) };
    let folder = folder.join("hostile");
    for row in fs::read_to_string(folder.join("EXPECT.tsv"))?.lines() {
        let mut columns = row.split('\t');
        let (Some(file), Some(_), Some(expected)) = (columns.next(), columns.next(), columns.next()) else { continue };
        if !is_ours(file) {
            continue;
        }
        let bytes = fs::read(folder.join(file))?;
        let outcome = decode(&bytes, &context(if file.starts_with("cloudwatch") { NEXACORP } else { PROD }));
        check(file, &bytes, &outcome);
        assert!(is_as_expected(file, expected, &outcome), "{file}: expected {expected:?}, got {outcome:?}");
    }
    Ok(())
}

/// Does an outcome do what EXPECT.tsv asks for? Where it leaves the choice to us, our choice stands here.
fn is_as_expected(file: &str, expected: &str, outcome: &Outcome) -> bool {
    let shown = shown(outcome);
    let refused = outcome.is_err();
    let idle = outcome.as_ref().is_ok_and(|alerts| {
        alerts.iter().all(|alert| alert.inactive.is_some() || alert.subjects.is_empty()) && !alerts.is_empty()
    });
    let pod = shown == "eks:123456789012/us-east-1/prod pod/default/kubecon";
    let miner = shown == "gcp:terra-2d61a51b instance/us-central1-a/saturn-5434a6f7-6739-4843-9b5e-4fa03fe51d76";
    match expected {
        // Read the pod and nothing else; the host name is not a subject beside it.
        "no node action" | "identity only from output_fields" | "handled like data, or rejected cleanly" => pod,
        "treated as unknown" => {
            shown == "aws:123456789012 i-02468ace13579bdf0" && note(outcome).contains("type is unknown")
        }
        "must not be treated as a pod named web" => {
            shown == "eks:123456789012/us-east-1/nexacorp-prod deployments/kube-system/web"
        }
        "no revoke attempted" => shown == "none",
        // A redelivery is the same incident; the message id decides nothing.
        "one action per message id" => miner,
        // Decoded as far as it names a subject; the note says that the category is unknown.
        "no destructive action" => miner && note(outcome).contains("category is unknown"),
        // Numbers may be text, as protocol buffers write them, and severities words.
        "defined" => shown == "eks:123456789012/us-east-1/prod pod/team-green/app-c-8b9cd456c-5h54z",
        // The project that it is in, and the one that the notification says, differ.
        // Of one event that is cut nothing is left; the fixture audit/logs-one-cut.json has another beside it.
        "no action (project not allow-listed)"
        | "ack-and-drop or 4xx, no retry storm"
        | "skip this record, handle the others"
        | "bounded inflate (cap), reject; memory stays flat"
        | "inflate once only, then reject as non-JSON" => refused,
        // The text is not read at all. Of two findings with one id, the incident is one and each instance a target.
        "escaped in logs and notifications" | "one action only" => shown == "aws:123456789012 i-02468ace13579bdf0",
        // The guard refuses it: the alert names its namespace.
        _ if file == "guardduty-namespace-kube-system.json" => outcome.as_ref().is_ok_and(|alerts| {
            let namespace = |it: &Target| it.namespace().map(ToString::to_string);
            alerts.iter().flat_map(|alert| &alert.subjects).all(|it| namespace(it).as_deref() == Some("kube-system"))
        }),
        _ if file == "guardduty-duplicate-id-b.json" => shown == "aws:123456789012 i-0fedcba9876543210",
        _ if file == "guardduty-schema-9.json" => note(outcome).contains("schema version"),
        _ if file == "guardduty-partition-mismatch.json" => refused,
        _ if expected.starts_with("reject") => refused,
        _ if file == "securityhub-empty-findings.json" || file == "securityhub-missing-findings.json" => {
            outcome.as_ref().is_ok_and(Vec::is_empty)
        }
        _ if expected.starts_with("no action") => idle,
        _ => false,
    }
}

fn note(outcome: &Outcome) -> String {
    outcome.iter().flatten().filter_map(|alert| alert.note.clone()).collect()
}
