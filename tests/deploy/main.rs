//! What is deployed, deployed: `infra/aws` and `template.yaml` on moto, `infra/gcp` on Terraform's mock of Google's
//! provider, and the rules against real events. The scripts beside this file say how; each stops at what is wrong, and
//! names it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stanch_range::moto::{self, Moto};

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script; what it says is shown, where it fails and where it skips.
fn run(python: &Path, script: &str, arguments: &[&Path], variables: &[(&str, String)]) {
    let done = Command::new(python)
        .arg(here().join(script))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .expect("Python starts");
    let (said, complained) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for line in complained.lines().filter(|line| line.starts_with("skipped: ")) {
        // Past the test harness's capture, so that `./test` can list it.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    assert!(done.status.success(), "{script}: {said}{complained}");
}

#[test]
fn terraform_deploys_every_responder_and_takes_it_away_again() {
    let moto = Moto::start_deployed().expect("moto starts");
    let responder = Path::new(env!("CARGO_BIN_EXE_deployed-responder"));
    run(moto.interpreter(), "infra.py", &[responder], &moto.env());
}

#[test]
fn the_sam_template_deploys_every_responder() {
    let moto = Moto::start_deployed().expect("moto starts");
    run(moto.interpreter(), "sam.py", &[], &moto.env());
}

#[test]
fn terraform_makes_what_google_cloud_must_have() {
    run(Path::new("python3"), "gcp.py", &[], &[]);
}

#[test]
fn every_rule_lets_the_right_events_through_and_no_other() {
    let events = std::env::var_os("STANCH_EVENTS").map_or_else(|| here().join("../../../shared/events"), PathBuf::from);
    if !events.is_dir() {
        let _ = writeln!(std::io::stderr(), "skipped: rules against real events: ../shared/events is not here");
        return;
    }
    run(&moto::ensure_deploy_venv().expect("Python"), "patterns.py", &[&events], &[]);
}
