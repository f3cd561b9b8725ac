//! What is deployed is tried on what it is deployed on, as far as one machine has that: the real API server, the real
//! tools, the image's own file system.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod falco;
mod gcp;
mod helm;
mod image;
mod k8s;

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Runs it; its output, or what it said.
fn run(command: &mut Command) -> Result<String, String> {
    say(command, "")
}

/// The same, with something on standard input.
fn say(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(format!("{command:?}: {}\n{}{}", done.status, text(&done.stdout), text(&done.stderr)))
    }
}

/// Whether a program is there.
fn installed(program: &str, version: &str) -> bool {
    run(Command::new(program).arg(version)).is_ok()
}
