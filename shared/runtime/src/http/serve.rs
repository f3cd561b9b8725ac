//! The accept loop: bounded connections, slow clients cut off, TLS where it is asked for, a bounded drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use stanch_core::Responder;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{App, handle, tls};

/// Connections at once. Cloud Run sends at most 1000 requests at once to an instance, 80 where nothing is said.
const CONNECTIONS: u32 = 256;
/// Deliveries at once: each holds a body of up to 1 MiB and some clients' buffers.
const DELIVERIES: u32 = 64;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's head, and between two requests of a connection: a front end keeps its connections open, a slow
/// client must not.
const HEAD: Duration = Duration::from_secs(30);
/// After the system refused a connection (out of file descriptors), before asking again.
const REFUSED: Duration = Duration::from_millis(100);

/// What may run at once.
pub(crate) struct Limits {
    connections: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            deliveries: Arc::new(Semaphore::new(DELIVERIES as usize)),
        }
    }
}

impl Limits {
    /// A place for one delivery; `None` when all are taken.
    pub(crate) fn delivery(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.deliveries).try_acquire_owned().ok()
    }
}

/// Who is at the other end of a connection, as far as TLS has proved it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// The names in the client's certificate.
    pub(crate) names: Vec<String>,
}

/// Serves until `stop`, then finishes what runs, within `drain`.
pub(crate) async fn serve<R: Responder>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: Arc<App<R>>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let (ending, ended) = watch::channel(());
    let tls = tls.map(TlsAcceptor::from);
    let router = handle::router(Arc::clone(&app));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &app.limits.connections) => accepted,
        };
        let (stream, place) = match accepted {
            Ok((stream, _, place)) => (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(REFUSED).await;
                continue;
            }
        };
        let (router, ended, tls) = (router.clone(), ended.clone(), tls.clone());
        tokio::spawn(async move {
            let _place = place;
            connection(stream, tls, router, ended).await;
        });
    }
    drop(listener);
    drop(ended);
    tracing::info!("asked to end: finishing what runs");
    // The receivers hear it; idle connections close at once, others after their answer.
    drop(ending);
    let Limits { connections, deliveries } = &app.limits;
    let all = async { futures::join!(deliveries.acquire_many(DELIVERIES), connections.acquire_many(CONNECTIONS)) };
    if timeout(drain, all).await.is_err() {
        // Whatever is cut off is in the ledger: the next delivery resumes it.
        tracing::warn!(seconds = drain.as_secs(), "something still ran when the time was over");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: axum::Router, ended: watch::Receiver<()>) {
    // An answer is one small write; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return requests(stream, Peer::default(), router, ended).await };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = Peer { names: tls::names(stream.get_ref().1) };
            requests(stream, peer, router, ended).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
        Err(_) => tracing::debug!("no TLS in time"),
    }
}

async fn requests<S>(stream: S, peer: Peer, router: axum::Router, mut ended: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        tower::ServiceExt::oneshot(router.clone(), request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let finished = tokio::select! {
        finished = connection.as_mut() => finished,
        _ = ended.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = finished {
        tracing::debug!(%error, "a connection broke");
    }
}
