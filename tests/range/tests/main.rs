//! Drives every simulator over the wire, and GCE and Kubernetes by the real `gcloud` and `kubectl`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests assert on pre-known shapes and say what they skip"
)]

mod control_plane;
mod gce;
mod gcloud;
mod google_client;
mod guide;
mod kube;
mod kubectl;
mod lambda;
mod moto;
mod oidc;
mod proxy;
mod web;

/// Says loudly that something was not tested.
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Whether a program is on the PATH.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
