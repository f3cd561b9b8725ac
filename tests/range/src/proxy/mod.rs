//! A reverse proxy that counts, logs, and acts at call N.
//!
//! It stands before any simulator, moto or API server. The kill faults let a test end the work under test at an
//! exact place: from the moment one fires, **no call gets through and none is answered** until
//! [`Proxy::revive`], just as for a process that is gone.

mod conn;
mod dialect;
mod forward;

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use dialect::{Dialect, dynamodb_error, ec2_error, gce_error, kubernetes_error, kubernetes_expired};

use crate::host::{Host, MAX_BODY, lock, pairs};
use conn::Conn;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with the dialect's own "slow down".
    Throttle,
    /// Answered with this status, in the dialect's error form.
    Status(u16),
    /// Never answered, never forwarded.
    Hang,
    /// The connection is reset before the call is forwarded.
    Reset,
    /// Forwarded and carried out; then the connection is dropped.
    AnswerLost,
    /// The process under test is killed before the call is forwarded.
    KillBefore,
    /// The process under test is killed after the call was carried out, before its answer.
    KillAfter,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Counted from 1 since the start or the last [`Proxy::clear`].
    pub n: usize,
    /// `GET`, `POST` …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// The AWS action, from the form body or `X-Amz-Target`.
    pub action: Option<String>,
    /// The headers as sent.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Bytes,
    /// What was done to it, if anything.
    pub fault: Option<Fault>,
    /// The status that upstream (or the proxy) gave; `None` while under way or never given.
    pub status: Option<u16>,
}

impl CallInfo {
    /// A field of the form body: `Filter.1.Name`.
    pub fn form(&self, name: &str) -> Option<String> {
        pairs(std::str::from_utf8(&self.body).ok()?).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the call only reads, by its AWS action or its method.
    pub fn reads(&self) -> bool {
        const VERBS: [&str; 8] = ["Describe", "Get", "List", "Query", "Scan", "BatchGet", "Simulate", "Lookup"];
        // Google asks some questions by POST.
        const QUESTIONS: [&str; 3] = ["/listManagedInstances", ":getIamPolicy", "estIamPermissions"];
        let asks = || QUESTIONS.iter().any(|question| self.path.ends_with(question));
        let dry = || self.query.split('&').any(|it| it == "dryRun=All");
        match &self.action {
            // A dry run changes nothing, whatever it is of.
            Some(_) if self.form("DryRun").as_deref() == Some("true") => true,
            Some(action) => VERBS.iter().any(|verb| action.starts_with(verb)),
            None => self.method == "GET" || self.method == "HEAD" || dry() || asks(),
        }
    }
}

/// Answers in place of upstream, or not.
type Rewrite = Arc<dyn Fn(&CallInfo) -> Option<Response> + Send + Sync>;
type Matcher = Box<dyn Fn(&CallInfo) -> bool + Send>;

struct Planned {
    matches: Matcher,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    calls: Vec<CallInfo>,
    planned: Vec<Planned>,
    rewrite: Option<Rewrite>,
    on_kill: Option<Box<dyn FnMut() + Send>>,
}

struct Shared {
    upstream: String,
    dialect: Dialect,
    state: Mutex<State>,
    dead: watch::Sender<bool>,
}

/// A running proxy. Stops when dropped.
pub struct Proxy {
    host: Host,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({} -> {})", self.url(), self.shared.upstream)
    }
}

impl Proxy {
    /// Starts one before `upstream`, such as `http://127.0.0.1:5000`.
    pub fn start(upstream: &str, dialect: Dialect) -> io::Result<Self> {
        Self::start_with(upstream, dialect, reqwest::Client::builder())
    }

    /// Starts one before an https server with its own certificate authority (PEM), as the real API server has.
    /// What the caller sends in `Authorization` is passed on.
    pub fn start_tls(upstream: &str, ca_pem: &[u8], dialect: Dialect) -> io::Result<Self> {
        let roots = reqwest::Certificate::from_pem_bundle(ca_pem).map_err(io::Error::other)?;
        Self::start_with(upstream, dialect, reqwest::Client::builder().tls_certs_only(roots))
    }

    fn start_with(upstream: &str, dialect: Dialect, client: reqwest::ClientBuilder) -> io::Result<Self> {
        let client = client
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .http1_only()
            .build()
            .map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            dialect,
            state: Mutex::default(),
            dead: watch::Sender::new(false),
        });
        let host = Host::start("proxy", {
            let shared = Arc::clone(&shared);
            move |listener| accept(listener, shared, client)
        })?;
        Ok(Self { host, shared })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// Does this to the `n`th call (from 1) after now.
    pub fn fault_at(&self, n: usize, fault: Fault) {
        self.fault_on(|_| true, n, 1, fault);
    }

    /// Does this to the calls that match, from the `nth` of them (from 1) on, `times` times.
    pub fn fault_on<F>(&self, matches: F, nth: usize, times: usize, fault: Fault)
    where
        F: Fn(&CallInfo) -> bool + Send + 'static,
    {
        let planned = Planned { matches: Box::new(matches), skip: nth.saturating_sub(1), times, fault };
        lock(&self.shared.state).planned.push(planned);
    }

    /// Asks this first about every call: `Some` is the answer, and upstream never hears of it.
    pub fn rewrite<F>(&self, hook: F)
    where
        F: Fn(&CallInfo) -> Option<Response> + Send + Sync + 'static,
    {
        lock(&self.shared.state).rewrite = Some(Arc::new(hook));
    }

    /// Called when a kill fault fires, after the proxy went silent: abort the task, kill the child.
    pub fn on_kill<F>(&self, callback: F)
    where
        F: FnMut() + Send + 'static,
    {
        lock(&self.shared.state).on_kill = Some(Box::new(callback));
    }

    /// Waits until a kill fault has fired.
    pub async fn killed(&self) {
        // The sender lives in `shared`: waiting cannot fail.
        let _ = self.shared.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// Whether a kill fault has fired.
    pub fn is_killed(&self) -> bool {
        *self.shared.dead.borrow()
    }

    /// Lets calls through again; those that hung since the kill lose their connection.
    pub fn revive(&self) {
        self.shared.dead.send_replace(false);
    }

    /// Every call since the start or the last [`Self::clear`].
    pub fn calls(&self) -> Vec<CallInfo> {
        lock(&self.shared.state).calls.clone()
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        lock(&self.shared.state).calls.len()
    }

    /// The AWS actions (or `METHOD path`) in order.
    pub fn actions(&self) -> Vec<String> {
        let name = |call: &CallInfo| call.action.clone().unwrap_or_else(|| format!("{} {}", call.method, call.path));
        lock(&self.shared.state).calls.iter().map(name).collect()
    }

    /// Forgets calls and planned faults, and revives; the hooks stay.
    pub fn clear(&self) {
        {
            let mut state = lock(&self.shared.state);
            state.calls.clear();
            state.planned.clear();
        }
        self.revive();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, client: reqwest::Client) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (stream, shared, client) = (Arc::new(stream), Arc::clone(&shared), client.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn({
                let stream = Arc::clone(&stream);
                move |request| handle(Arc::clone(&shared), client.clone(), Arc::clone(&stream), request)
            });
            // An error here is a dropped connection: that is what the fault wanted, or the client's own doing.
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(Conn(stream)), service).await;
        });
    }
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

async fn handle(
    shared: Arc<Shared>,
    client: reqwest::Client,
    stream: Arc<TcpStream>,
    request: Request<Incoming>,
) -> Result<Response, Dropped> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(Body::new(body), MAX_BODY).await else {
        return Ok(status(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let mut info = CallInfo {
        n: 0,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        action: dialect::action(&parts.headers, &body),
        headers: parts.headers,
        body,
        fault: None,
        status: None,
    };
    if *shared.dead.borrow() {
        return shared.silence().await;
    }
    let rewrite = shared.note(&mut info);
    let answer = match info.fault {
        Some(Fault::Throttle) => shared.dialect.throttle(&info),
        Some(Fault::Status(code)) => shared.dialect.status(&info, code),
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Reset) => {
            let _ = stream.set_zero_linger();
            return Err(Dropped);
        }
        Some(Fault::KillBefore) => {
            shared.kill();
            return shared.silence().await;
        }
        _ => match rewrite.and_then(|hook| hook(&info)) {
            Some(answer) => answer,
            None => forward::forward(&shared.upstream, &client, &info).await,
        },
    };
    shared.answered(info.n, answer.status().as_u16());
    match info.fault {
        Some(Fault::AnswerLost) => {
            let _ = axum::body::to_bytes(answer.into_body(), MAX_BODY).await;
            Err(Dropped)
        }
        Some(Fault::KillAfter) => {
            let _ = axum::body::to_bytes(answer.into_body(), MAX_BODY).await;
            shared.kill();
            shared.silence().await
        }
        _ if *shared.dead.borrow() => shared.silence().await,
        _ => Ok(answer),
    }
}

impl Shared {
    /// Numbers the call, decides its fault, writes it down.
    fn note(&self, info: &mut CallInfo) -> Option<Rewrite> {
        let mut state = lock(&self.state);
        info.n = state.calls.len() + 1;
        for planned in &mut state.planned {
            if planned.times == 0 || !(planned.matches)(info) {
                continue;
            }
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if info.fault.is_none() {
                planned.times -= 1;
                info.fault = Some(planned.fault);
            }
        }
        state.calls.push(info.clone());
        state.rewrite.clone()
    }

    fn answered(&self, n: usize, status: u16) {
        if let Some(call) = lock(&self.state).calls.get_mut(n - 1) {
            call.status = Some(status);
        }
    }

    fn kill(&self) {
        self.dead.send_replace(true);
        let callback = lock(&self.state).on_kill.take();
        if let Some(mut callback) = callback {
            callback();
            lock(&self.state).on_kill.get_or_insert(callback);
        }
    }

    /// No answer until revived; then none either.
    async fn silence(&self) -> Result<Response, Dropped> {
        let _ = self.dead.subscribe().wait_for(|dead| !*dead).await;
        Err(Dropped)
    }
}

fn status(code: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = code;
    answer
}
