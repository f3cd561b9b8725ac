//! The host side of the Lambda Runtime API: starts a binary as Lambda would and feeds it events.
//!
//! As in Lambda, one invocation runs at a time, the environment holds only what is given, a function that
//! outlives its deadline is killed (`Sandbox.Timedout`), and one that dies is reported (`Runtime.ExitError`).

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::host::{Host, lock};

/// What Lambda takes as an answer.
const MAX_ANSWER: usize = 6 * 1024 * 1024;
/// How often a running child is looked at: a death is noticed this much later at most.
const LOOK: Duration = Duration::from_millis(2);

/// A function to be run: the binary and what it is given.
#[derive(Clone, Debug)]
pub struct Lambda {
    binary: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    name: String,
    memory_mb: u32,
}

impl Lambda {
    /// A binary, named as its file.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let binary = binary.into();
        let name = binary.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self { binary, args: Vec::new(), env: Vec::new(), name, memory_mb: 128 }
    }

    /// Adds an argument, as for `python -m awslambdaric app.handler`.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Passes on a variable of this process, if it is set. Nothing else of our environment reaches the function.
    #[must_use]
    pub fn inherit(self, name: &str) -> Self {
        match std::env::var_os(name) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// The function's name, for its ARN and `AWS_LAMBDA_FUNCTION_NAME`.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Spawns it. The API is up before the process is.
    pub fn start(&self) -> io::Result<Sandbox> {
        let arn = format!("arn:aws:lambda:eu-central-1:123456789012:function:{}", self.name);
        let shared = Arc::new(Shared { arn, ..Shared::default() });
        let app = axum::Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let host = Host::router("lambda", app)?;
        let mut command = Command::new(&self.binary);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "en_US.UTF-8")
            .env("TZ", ":UTC")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env("AWS_LAMBDA_RUNTIME_API", host.addr().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.memory_mb.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "range/[$LATEST]00000000000000000000000000000000")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "bootstrap")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut child = command.spawn()?;
        if let Some(out) = child.stdout.take() {
            collect(out, Arc::clone(&shared));
        }
        if let Some(err) = child.stderr.take() {
            collect(err, Arc::clone(&shared));
        }
        let pid = child.id();
        Ok(Sandbox { host, shared, child: Arc::new(Mutex::new(child)), spawned, pid })
    }
}

/// What an invocation came to.
#[derive(Clone, Debug, Serialize)]
pub struct Invocation {
    /// The request id that the function saw.
    pub request_id: String,
    /// The answer, or the error that was reported.
    pub result: Result<Value, InvocationError>,
    /// From handing over the event to the answer, in milliseconds; a cold start is in it if it was not ready yet.
    pub ms: f64,
}

/// An error as Lambda reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvocationError {
    /// `errorType`: the function's own, or `Runtime.ExitError`, `Sandbox.Timedout`, `Runtime.InitError`.
    pub error_type: String,
    /// `errorMessage`.
    pub message: String,
}

#[derive(Debug)]
struct Work {
    id: String,
    payload: Bytes,
    deadline_ms: u128,
}

type Answer = Result<Value, InvocationError>;

#[derive(Debug, Default)]
struct Shared {
    arn: String,
    queue: Mutex<VecDeque<Work>>,
    queued: Notify,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    ready: Mutex<Option<Instant>>,
    init: Mutex<Option<InvocationError>>,
    moved: Notify,
    logs: Mutex<Vec<String>>,
}

/// A running function. Killed, by its own PID, when dropped.
#[derive(Debug)]
pub struct Sandbox {
    host: Host,
    shared: Arc<Shared>,
    child: Arc<Mutex<Child>>,
    spawned: Instant,
    pid: u32,
}

impl Sandbox {
    /// Waits for the first `next`; answers the time from spawn to it, `None` if it never came.
    pub async fn ready(&self, patience: Duration) -> Option<Duration> {
        let (shared, child, until) = (Arc::clone(&self.shared), Arc::clone(&self.child), Instant::now() + patience);
        let wait = self.host.spawn(async move {
            loop {
                let moved = shared.moved.notified();
                let failed = lock(&shared.init).is_some() || exited(&child).is_some();
                let ready = *lock(&shared.ready);
                if ready.is_some() || failed || Instant::now() > until {
                    return ready;
                }
                let _ = tokio::time::timeout(LOOK, moved).await;
            }
        });
        wait.await.ok().flatten().map(|at| at.duration_since(self.spawned))
    }

    /// Runs one event and waits for its answer, at most until the deadline.
    pub async fn invoke(&self, payload: &Value, timeout: Duration) -> Invocation {
        self.invoke_bytes(payload.to_string().into_bytes(), timeout).await
    }

    /// The same for a payload that need not be JSON.
    pub async fn invoke_bytes(&self, payload: Vec<u8>, timeout: Duration) -> Invocation {
        let id = uuid::Uuid::new_v4().to_string();
        let (sender, receiver) = oneshot::channel();
        lock(&self.shared.waiting).insert(id.clone(), sender);
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + timeout;
        let work = Work { id: id.clone(), payload: payload.into(), deadline_ms: deadline.as_millis() };
        let started = Instant::now();
        lock(&self.shared.queue).push_back(work);
        self.shared.queued.notify_one();
        let (shared, child) = (Arc::clone(&self.shared), Arc::clone(&self.child));
        let wait = self.host.spawn(watch(shared, child, receiver, id.clone(), timeout));
        let result = wait.await.unwrap_or_else(|_| Err(fault("Range.Error", "the range stopped")));
        lock(&self.shared.waiting).remove(&id);
        Invocation { request_id: id, result, ms: started.elapsed().as_secs_f64() * 1000.0 }
    }

    /// Kills the process (SIGKILL), also in the middle of an invocation.
    pub fn kill(&self) {
        // An error says that it is gone already.
        let _ = lock(&self.child).kill();
    }

    /// Whether the process still runs.
    pub fn is_running(&self) -> bool {
        exited(&self.child).is_none()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Time from spawn to the first `next`, once it came.
    pub fn ready_after(&self) -> Option<Duration> {
        lock(&self.shared.ready).map(|at| at.duration_since(self.spawned))
    }

    /// What the function posted to `init/error`.
    pub fn init_error(&self) -> Option<InvocationError> {
        lock(&self.shared.init).clone()
    }

    /// Lines that it wrote to stdout and stderr.
    pub fn logs(&self) -> Vec<String> {
        lock(&self.shared.logs).clone()
    }

    /// The most memory that it held, in KiB (Linux only).
    pub fn peak_rss_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").trim().parse().ok()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits for the answer, the child's death or the deadline.
async fn watch(
    shared: Arc<Shared>,
    child: Arc<Mutex<Child>>,
    mut receiver: oneshot::Receiver<Answer>,
    id: String,
    timeout: Duration,
) -> Answer {
    let deadline = Instant::now() + timeout;
    loop {
        if let Ok(answer) = tokio::time::timeout(LOOK, &mut receiver).await {
            return answer.unwrap_or_else(|_| Err(fault("Range.Error", "the range stopped")));
        }
        if let Some(error) = lock(&shared.init).clone() {
            return Err(error);
        }
        if let Some(how) = exited(&child) {
            // What it posted with its last breath counts.
            if let Ok(answer) = receiver.try_recv() {
                return answer;
            }
            return Err(fault(
                "Runtime.ExitError",
                &format!("RequestId: {id} Error: Runtime exited with error: {how}"),
            ));
        }
        if Instant::now() >= deadline {
            let _ = lock(&child).kill();
            let seconds = timeout.as_secs_f64();
            return Err(fault(
                "Sandbox.Timedout",
                &format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds"),
            ));
        }
    }
}

fn fault(error_type: &str, message: &str) -> InvocationError {
    InvocationError { error_type: error_type.into(), message: message.into() }
}

fn exited(child: &Mutex<Child>) -> Option<String> {
    match lock(child).try_wait() {
        Ok(Some(status)) => Some(status.to_string()),
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn collect(from: impl io::Read + Send + 'static, shared: Arc<Shared>) {
    std::thread::spawn(move || {
        for line in io::BufReader::new(from).lines().map_while(Result::ok) {
            lock(&shared.logs).push(line);
        }
    });
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    lock(&shared.ready).get_or_insert_with(Instant::now);
    shared.moved.notify_waiters();
    let work = loop {
        let queued = shared.queued.notified();
        let taken = lock(&shared.queue).pop_front();
        match taken {
            Some(work) => break work,
            None => queued.await,
        }
    };
    let trace = format!("Root=1-{:08x}-{};Sampled=0", work.deadline_ms / 1000, "0".repeat(24));
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        ("Lambda-Runtime-Aws-Request-Id", work.id),
        ("Lambda-Runtime-Deadline-Ms", work.deadline_ms.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", shared.arn.clone()),
        ("Lambda-Runtime-Trace-Id", trace),
    ];
    (headers, work.payload).into_response()
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response {
    if body.len() > MAX_ANSWER {
        let message = format!(
            "Response payload size ({} bytes) exceeded maximum allowed payload size ({MAX_ANSWER} bytes).",
            body.len()
        );
        shared.answer(&id, Err(fault("Function.ResponseSizeTooLarge", &message)));
        let body = json!({"errorType": "RequestEntityTooLarge", "errorMessage": message});
        return (StatusCode::PAYLOAD_TOO_LARGE, body.to_string()).into_response();
    }
    // Lambda passes on what is no JSON as it is; here it becomes a string.
    let value =
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    shared.answer(&id, Ok(value))
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    shared.answer(&id, Err(reported(&headers, &body)))
}

async fn init_error(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    *lock(&shared.init) = Some(reported(&headers, &body));
    shared.moved.notify_waiters();
    accepted()
}

fn reported(headers: &HeaderMap, body: &Bytes) -> InvocationError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let header = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
    InvocationError {
        error_type: text("errorType").or_else(|| header.map(str::to_owned)).unwrap_or_else(|| "Unknown".into()),
        message: text("errorMessage").unwrap_or_default(),
    }
}

impl Shared {
    fn answer(&self, id: &str, answer: Answer) -> Response {
        match lock(&self.waiting).remove(id) {
            Some(waiting) => {
                // Nobody listens any more: the deadline was faster.
                let _ = waiting.send(answer);
                accepted()
            }
            None => (
                StatusCode::BAD_REQUEST,
                json!({"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"}).to_string(),
            )
                .into_response(),
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, json!({"status": "OK"}).to_string()).into_response()
}
