//! The real kube-apiserver, if one is to be had: the cluster of `STANCH_TEST_KUBECONFIG`, else the binaries in
//! `KUBEBUILDER_ASSETS`, else the one that `tests/control-plane/build` makes.
//!
//! Calls here block (they run on threads of their own) and may be made from anywhere.

mod access;
mod envtest;

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::home::{Scratch, root};
use access::Cluster;

/// Why there is no API server to test with.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A process that ends with its stdin, and is killed by its own PID when dropped.
#[derive(Debug)]
struct Guarded {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API server and its administrator.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    kubeconfig: PathBuf,
    whose: &'static str,
    // Order matters: the processes end before their folder goes.
    _processes: Vec<Guarded>,
    scratch: Scratch,
}

impl ControlPlane {
    /// Finds or starts one; blocks until it is ready. The first build takes minutes.
    pub fn start() -> Result<Self, Unavailable> {
        let scratch = Scratch::new("control-plane")?;
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(given) = set("STANCH_TEST_KUBECONFIG") {
            return Self::of(given, "STANCH_TEST_KUBECONFIG", Vec::new(), scratch);
        }
        if let Some(assets) = set("KUBEBUILDER_ASSETS") {
            let (kubeconfig, processes) = envtest::start(&assets, scratch.path())?;
            return Self::of(kubeconfig, "KUBEBUILDER_ASSETS", processes, scratch);
        }
        let binary = build()?;
        let kubeconfig = scratch.path().join("admin.kubeconfig");
        let process = run(&binary, scratch.path(), &kubeconfig)?;
        Self::of(kubeconfig, "tests/control-plane", vec![process], scratch)
    }

    fn of(
        kubeconfig: PathBuf,
        whose: &'static str,
        processes: Vec<Guarded>,
        scratch: Scratch,
    ) -> Result<Self, Unavailable> {
        let cluster = Cluster::read(&kubeconfig)?;
        Ok(Self { cluster, kubeconfig, whose, _processes: processes, scratch })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `https://127.0.0.1:PORT`.
    pub fn server(&self) -> &str {
        &self.cluster.server
    }

    /// The server's certificate authority, PEM; for [`crate::proxy::Proxy::start_tls`].
    pub fn ca_pem(&self) -> &[u8] {
        &self.cluster.ca
    }

    /// Which of the three ways it came from.
    pub fn whose(&self) -> &'static str {
        self.whose
    }

    /// A request as the administrator: status and body.
    pub fn admin(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> io::Result<(u16, Value)> {
        self.cluster.request(None, method, path, content_type, body)
    }

    /// A request as the bearer of a token: status and body.
    pub fn request_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> io::Result<(u16, Value)> {
        self.cluster.request(Some(token), method, path, content_type, body)
    }

    /// A token for the service account `stanch/NAME`, bound to exactly these rules
    /// (`[{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}]`), once they are in force.
    pub fn user_token(&self, name: &str, rules: &Value) -> io::Result<String> {
        self.cluster.user_token(name, rules)
    }

    /// The same as a kubeconfig.
    pub fn user_kubeconfig(&self, name: &str, rules: &Value) -> io::Result<PathBuf> {
        let token = self.user_token(name, rules)?;
        let path = self.scratch.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, self.kubeconfig_of(&token))?;
        Ok(path)
    }

    /// A kubeconfig for a token.
    pub fn kubeconfig_of(&self, token: &str) -> String {
        self.cluster.kubeconfig(token)
    }
}

/// Runs the build script; it says why where it cannot.
fn build() -> Result<PathBuf, Unavailable> {
    let script = root().map(|root| root.join("tests/control-plane/build"));
    let script = script.filter(|script| script.is_file()).ok_or_else(|| {
        Unavailable(
            "no Kubernetes API server: set STANCH_TEST_KUBECONFIG or KUBEBUILDER_ASSETS, or run in the source tree"
                .into(),
        )
    })?;
    let done = Command::new(script).stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        let why = said.lines().last().unwrap_or("it said nothing");
        return Err(Unavailable(format!("no Kubernetes API server: {why}")));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&done.stdout).trim()))
}

fn run(binary: &Path, scratch: &Path, kubeconfig: &Path) -> Result<Guarded, Unavailable> {
    let mut child = Command::new(binary)
        .arg("--dir")
        .arg(scratch.join("cluster"))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--port", "0", "--die-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdin, out, mut err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let guarded = Guarded { child, stdin };
    let mut line = String::new();
    if let Some(out) = out {
        BufReader::new(out).read_line(&mut line)?;
    }
    if serde_json::from_str::<Value>(&line).is_ok_and(|ready| ready.get("server").is_some()) {
        // Its stderr stays open, or a late message would end it.
        std::thread::spawn(move || err.as_mut().map(|err| io::copy(err, &mut io::sink())));
        return Ok(guarded);
    }
    let mut said = String::new();
    if let Some(err) = &mut err {
        io::Read::read_to_string(err, &mut said)?;
    }
    Err(Unavailable(format!("the control plane did not start: {}", said.lines().last().unwrap_or("it said nothing"))))
}
