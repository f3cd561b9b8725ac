//! A responder as a process: an HTTP service, or a command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use stanch_tests::root;

/// The release binary, or that of the profile that `PROFILE` names, such as `dist`; `./test` builds it, and so does
/// this, where somebody runs the suite alone.
pub(crate) fn binary(name: &str) -> PathBuf {
    static BUILT: std::sync::Once = std::sync::Once::new();
    let profile = std::env::var("PROFILE").unwrap_or_else(|_| "release".to_owned());
    BUILT.call_once(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--profile", &profile])
            .args(["-p", "aws-snapshot-volumes", "-p", "gcp-snapshot-disks", "-p", "k8s-cordon-node"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the release binaries do not build");
    });
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(profile).join(name).canonicalize().expect("the binary is there")
}

/// What Lambda would start: the package that `infra/package` made, where `STANCH_PACKAGES` names the folder of one, else
/// the release binary.
pub(crate) fn bootstrap(name: &str, folder: &Path) -> PathBuf {
    let Some(packages) = std::env::var_os("STANCH_PACKAGES") else { return binary(name) };
    let packages = root().join(packages);
    // As infra/package names it, and as infra/release does.
    let names = [format!("{name}.zip"), format!("{name}-x86_64.zip")].map(|name| packages.join(name));
    let package = names.iter().find(|path| path.is_file()).expect("its package is in STANCH_PACKAGES");
    let unpacked = Command::new("python3").args(["-m", "zipfile", "-e"]).arg(package).arg(folder).status().unwrap();
    assert!(unpacked.success());
    // Python's own command does not keep the mode; Lambda does.
    let bootstrap = folder.join("bootstrap");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&bootstrap, mode).unwrap();
    bootstrap
}

/// A process that is ended, by its own PID, with the test.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The one report in it.
    pub(crate) fn report(&self) -> &Value {
        self.body.as_array().map_or(&self.body, |reports| &reports[0])
    }
}

impl Service {
    /// Starts a responder as Cloud Run would, with this environment and nothing of ours.
    pub(crate) async fn start(name: &str, environment: &[(&str, String)]) -> Self {
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let child = command(name, environment)
                .env("PORT", port.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            let mut service = Self { child, url: format!("http://127.0.0.1:{port}/") };
            for _ in 0..200 {
                if let Ok(answer) = reqwest::get(format!("{}healthz", service.url)).await {
                    assert!(answer.status().is_success());
                    return service;
                }
                if service.child.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        panic!("{name} does not answer");
    }

    /// The process's resident memory at its peak, in KiB, where the system says.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").trim().parse().ok()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
        let mut request = reqwest::Client::new().post(&self.url).body(body).timeout(Duration::from_mins(1));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }
}

fn command(name: &str, environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary(name));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a responder as a person would.
pub(crate) fn terminal(name: &str, arguments: &[&str], environment: &[(&str, String)]) -> (Option<i32>, Value, Output) {
    let done = command(name, environment).args(arguments).output().expect("it runs");
    let report = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code(), report, done)
}
