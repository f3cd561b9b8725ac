//! What every simulator stands on: a listener on an ephemeral loopback port, served by a thread of its own,
//! and the log of what was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// More than any request that a responder makes; a larger one is refused with 413.
pub(crate) const MAX_BODY: usize = 32 * 1024 * 1024;

/// One request that a simulator received.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET`, `POST` …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    /// The permission it needs: `compute.disks.createSnapshot`, or `patch nodes` for Kubernetes.
    pub permission: Option<String>,
    /// The caller's bearer token.
    pub token: Option<String>,
    /// Whether it would change state if it succeeded. Reviews, waits and dry runs do not.
    pub write: bool,
    /// The HTTP status that was answered.
    pub status: u16,
}

/// A server on a thread of its own. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Host {
    addr: SocketAddr,
    handle: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Binds a free loopback port and serves it with `serve` until dropped.
    pub(crate) fn start<F, S>(name: &str, serve: S) -> io::Result<Self>
    where
        S: FnOnce(TcpListener) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), name, serve)
    }

    /// The same on an address of the caller's choice.
    pub(crate) fn start_on<F, S>(addr: SocketAddr, name: &str, serve: S) -> io::Result<Self>
    where
        S: FnOnce(TcpListener) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name(format!("range-{name}")).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { addr, handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Serves an axum router.
    pub(crate) fn router(name: &str, app: axum::Router) -> io::Result<Self> {
        Self::start(name, move |listener| async move {
            // Serving ends with the thread; an accept error is retried by axum itself.
            let _ = axum::serve(listener, app).await;
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs on the server's own thread, where no test pauses the clock.
    pub(crate) fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread cannot join itself: a handle that is dropped by its own server just lets go.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// A request, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) async fn read(request: axum::extract::Request) -> Result<Self, axum::Error> {
        let (parts, body) = request.into_parts();
        Ok(Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: axum::body::to_bytes(body, MAX_BODY).await?,
        })
    }

    /// The first value of a query parameter, percent-decoded; an empty one counts as absent.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        pairs(&self.query).into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.header("authorization")?.strip_prefix("Bearer ").map(|token| token.trim().to_owned())
    }

    /// The path's segments, percent-decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect()
    }
}

/// Splits `a=b&c=d`; tolerates empty pairs, as some clients send `?&a=b`.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// Percent-decoding; what is no valid escape stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        if let Some(byte) = escaped {
            out.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(if first == b'+' && plus_is_space { b' ' } else { first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Locks, also after a panic of another test thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 3339 in UTC with milliseconds, as Google and AWS write it.
pub(crate) fn rfc3339(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::{decode, pairs};

    #[test]
    fn empty_pairs_are_no_pairs() {
        assert_eq!(pairs("&a=1&&b=x%20y+z"), [("a".into(), "1".into()), ("b".into(), "x y z".into())]);
    }

    #[test]
    fn a_broken_escape_stays() {
        assert_eq!(decode("100%&%zz%4", false), "100%&%zz%4");
    }
}
