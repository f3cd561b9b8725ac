//! HTTP: `POST /` takes what detectors, brokers and people send; `GET /healthz` says that we are here.
//!
//! Nothing else is answered before the caller is proved, and no body is read before that. Handling is a task of its
//! own: a client that hangs up does not end a change half-way. On SIGTERM what runs is finished, within a bound.

mod body;
mod handle;
mod serve;
mod status;
mod tls;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use stanch_core::{Error, Kind, Responder, Result};
use tokio::net::TcpListener;

use crate::{
    binary::{Parts, runtime},
    callers::Callers,
    config::Place,
    dead_letter::DeadLetter,
    ending,
    engine::Engine,
};
use serve::Limits;
pub(crate) use serve::Peer;
pub(crate) use tls::config as tls_config;

/// Cloud Run kills ten seconds after SIGTERM ("Container runtime contract"), Kubernetes after thirty.
const DRAIN_CLOUD_RUN: Duration = Duration::from_secs(9);
const DRAIN: Duration = Duration::from_secs(25);

/// What a request needs.
pub(crate) struct App<R: Responder> {
    pub(crate) engine: Arc<Engine<R>>,
    pub(crate) callers: Callers,
    pub(crate) dead_letter: DeadLetter,
    /// For one delivery, the platform's margin taken off.
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
}

/// Serves until SIGTERM.
pub(crate) fn run<R: Responder>(parts: &Parts<R>) -> ExitCode {
    parts.log_for_platform();
    match start(parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the server ends");
            ExitCode::from(crate::answer::exit_code(&error))
        }
    }
}

fn start<R: Responder>(parts: &Parts<R>) -> Result<()> {
    let (engine, timeout) = parts.engine(Place::Function)?;
    let callers = Callers::read(&parts.env)?;
    let tls = callers.tls();
    let dead_letter = DeadLetter::read(&parts.env, parts.dead_letter)?;
    let port = parts.env.text("PORT")?.unwrap_or_default();
    let port = port.trim().parse().map_err(|_| Error::invalid("PORT", "must be a port number"))?;
    let drain = if parts.env.has("K_SERVICE") { DRAIN_CLOUD_RUN } else { DRAIN };
    runtime()?.block_on(async {
        let listener = bind(port, callers.are_local()).await?;
        let address = listener.local_addr().map_err(|error| cannot_listen(port, error))?;
        let tls_is_on = tls.is_some();
        let app = Arc::new(App { engine, callers, dead_letter, timeout: margin(timeout), limits: Limits::default() });
        let warming = Arc::clone(&app);
        tokio::spawn(async move { futures::join!(warming.engine.warm(), warming.callers.warm()) });
        let stop = ending::asked()?;
        tracing::info!(%address, tls = tls_is_on, loopback_only = app.callers.are_local(), "listening");
        serve::serve(listener, tls, app, stop, drain).await;
        tracing::info!("ended");
        Ok(())
    })
}

/// Without a caller policy nobody else can be told from anybody else: then only this machine is served.
async fn bind(port: u16, local: bool) -> Result<TcpListener> {
    let address = |text: &str| text.parse::<std::net::IpAddr>().map(|ip| SocketAddr::new(ip, port));
    // `[::]` takes both families where there is IPv6.
    let wanted = if local { ["127.0.0.1", "127.0.0.1"] } else { ["::", "0.0.0.0"] };
    let mut last = None;
    for address in wanted.iter().filter_map(|text| address(text).ok()) {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(cannot_listen(port, last.unwrap_or_else(|| std::io::Error::other("no address"))))
}

fn cannot_listen(port: u16, error: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, "listen", "the port cannot be opened").on(port.to_string()).because(error)
}

/// A tenth of the timeout, ten seconds at most, is for closing the record and answering.
fn margin(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / 10).min(Duration::from_secs(10)))
}
