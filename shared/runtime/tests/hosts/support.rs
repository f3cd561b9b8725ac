//! A responder's process, its folder, and what is sent to it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What a test returns.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The responder that the tests run: cargo builds examples beside the tests.
pub(crate) fn binary() -> PathBuf {
    let tests = std::env::current_exe().expect("a test is a program");
    let profile = tests.parent().and_then(Path::parent).expect("in target/PROFILE/deps");
    let binary = profile.join("examples").join("responder");
    assert!(binary.exists(), "cargo test -p stanch-runtime builds {}", binary.display());
    binary
}

/// A folder with a cloud and a ledger in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> std::io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        vec![
            ("LABELS".to_owned(), self.path("labels").display().to_string()),
            ("STANCH_LEDGER".to_owned(), format!("file:{}", self.path("ledger").display())),
            ("STANCH_CLUSTER".to_owned(), "context:".to_owned()),
        ]
    }

    /// The cloud's own state.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        std::fs::read(self.path("labels"))
            .map_or_else(|_| BTreeMap::new(), |bytes| serde_json::from_slice(&bytes).expect("the file holds labels"))
    }
}

/// A command of the responder, with nothing of our environment.
pub(crate) fn responder(place: &Place, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().envs(place.variables()).envs(variables.iter().copied());
    command
}

/// A running server or puller. Killed, by its own id, when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    /// Starts one and waits until it says this.
    pub(crate) fn start(place: &Place, variables: &[(&str, &str)], says: &str) -> std::io::Result<Self> {
        let mut command = responder(place, variables);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, seen) = (child.stdout.take(), Arc::clone(&lines));
        thread::spawn(move || {
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let process = Self { child, lines };
        process.wait_for(says);
        Ok(process)
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first line with this message.
    pub(crate) fn wait_for(&self, message: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let lines = self.lines();
            if let Some(line) = lines.iter().find(|line| line["message"] == message) {
                return line.clone();
            }
            assert!(Instant::now() < until, "it never said {message:?}: {lines:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address that it listens on.
    pub(crate) fn url(&self) -> String {
        let address = self.wait_for("listening")["address"].as_str().expect("an address").to_owned();
        let port = address.rsplit(':').next().unwrap_or_default();
        format!("http://127.0.0.1:{port}/")
    }

    /// SIGTERM, as a platform sends it.
    pub(crate) fn terminate(&self) -> std::io::Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().map(drop)
    }

    pub(crate) fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server without a caller policy.
pub(crate) fn local(place: &Place, variables: &[(&str, &str)]) -> std::io::Result<Process> {
    let all: Vec<_> = [("PORT", "0")].into_iter().chain(variables.iter().copied()).collect();
    Process::start(place, &all, "listening")
}

/// Falco's alert about a pod, as it sends it, now.
pub(crate) fn falco(pod: &str) -> Value {
    json!({
        "output": "a shell", "priority": "Critical", "rule": "Terminal shell in container", "source": "syscall",
        "time": jiff::Timestamp::now().to_string(), "hostname": "node-a", "tags": ["shell"],
        "output_fields": {"container.id": "abc", "k8s.ns.name": "web", "k8s.pod.name": pod, "k8s.pod.uid": null},
    })
}

/// An order about a pod.
pub(crate) fn order(mode: &str, incident: &str, pod: &str) -> Value {
    json!({"mode": mode, "incident": incident, "requested_by": "a comment",
        "target": {"kind": "pod", "cluster": "current", "namespace": "web", "name": pod}})
}

/// The body of a Pub/Sub push.
pub(crate) fn push(data: &Value) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    json!({"subscription": "projects/p/subscriptions/s",
        "message": {"messageId": "1", "data": BASE64_STANDARD.encode(data.to_string())}})
}
