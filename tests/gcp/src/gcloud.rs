//! The real `gcloud`, sent to the simulator.

use std::{path::Path, process::Command};

use stanch_range::gce::Gce;

use crate::PROJECT;

/// `gcloud`, with a configuration of its own and no credentials.
pub struct Gcloud<'a> {
    gce: &'a Gce,
    config: tempfile::TempDir,
}

impl<'a> Gcloud<'a> {
    /// The installed one; `None`, said aloud, where there is none.
    pub fn find(gce: &'a Gce, what: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|folder| folder.join("gcloud").is_file()) {
            return Some(Self { gce, config: tempfile::tempdir().unwrap() });
        }
        stanch_suite::skipped(what, "gcloud is not installed");
        None
    }

    /// A file that a command may name.
    pub fn folder(&self) -> &Path {
        self.config.path()
    }

    /// Runs a command line, as a shell reads it, and expects it to succeed.
    pub fn run(&self, line: &str) {
        let done = Command::new("sh")
            .args(["-c", line])
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", self.gce.gcloud_endpoint())
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_CORE_PROJECT", PROJECT)
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("CLOUDSDK_CONFIG", self.config.path().join("gcloud"))
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
