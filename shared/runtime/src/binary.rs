//! What a function's `main` says.

use std::{ffi::OsString, marker::PhantomData, process::ExitCode, sync::Arc};

use futures::FutureExt;
use stanch_core::{Responder, Result, Store};

use crate::{
    config::{Config, Place},
    dead_letter,
    engine::Engine,
    env::Env,
    http, lambda, logs,
    out::Out,
    pubsub,
    store::{LateStore, Open},
    terminal,
};

/// A host: runs until it is told to end.
type Host<R> = fn(&Parts<R>) -> ExitCode;

/// A responder's program. It finds out where it runs, and links only the hosts and stores that are named.
///
/// ```
/// # use stanch_core::{Responder, Result, Store};
/// fn main_of<AwsSnapshotVolumes: Responder, S: Store + 'static>(open: fn(String) -> Result<S>) -> std::process::ExitCode {
///     stanch_runtime::Binary::<AwsSnapshotVolumes>::new()
///         .store("sqlite", move |file| async move { open(file) })
///         .lambda()
///         .http()
///         .run()
/// }
/// ```
#[must_use]
pub struct Binary<R: Responder> {
    parts: Parts<R>,
    lambda: Option<Host<R>>,
    http: Option<Host<R>>,
    pull: Option<Host<R>>,
}

/// What a host is made of.
pub(crate) struct Parts<R: Responder> {
    pub(crate) env: Env,
    stores: Vec<(&'static str, Open)>,
    pub(crate) dead_letter: Option<dead_letter::Open>,
    responder: PhantomData<fn() -> R>,
}

impl<R: Responder> Binary<R> {
    /// A program that knows the terminal only.
    #[expect(clippy::new_without_default, reason = "a program without hosts and stores is a start, not a default")]
    pub fn new() -> Self {
        let parts = Parts { env: Env::of_process(), stores: Vec::new(), dead_letter: None, responder: PhantomData };
        Self { parts, lambda: None, http: None, pull: None }
    }

    /// Adds a store for the ledger: `STANCH_LEDGER=kind:PLACE` is opened by `open(PLACE)`, when it is first needed.
    pub fn store<S, Opening>(
        mut self,
        kind: &'static str,
        open: impl Fn(String) -> Opening + Send + Sync + 'static,
    ) -> Self
    where
        S: Store + 'static,
        Opening: Future<Output = Result<S>> + Send + 'static,
    {
        let open: Open = Arc::new(move |place| {
            open(place).map(|opened| opened.map(|store| Arc::new(store) as Arc<dyn Store>)).boxed()
        });
        self.parts.stores.push((kind, open));
        self
    }

    /// Runs on Lambda: `EventBridge`, SQS batches, and orders by direct invoke.
    pub fn lambda(mut self) -> Self {
        self.lambda = Some(lambda::run::<R>);
        self
    }

    /// Serves HTTP: `CloudEvents`, Pub/Sub push, detectors' own bodies, and orders, of proved callers.
    pub fn http(mut self) -> Self {
        self.http = Some(http::run::<R>);
        self
    }

    /// Knows Pub/Sub: pulls a subscription, and publishes what failed for good to a dead-letter topic.
    pub fn pubsub(mut self) -> Self {
        self.pull = Some(pubsub::run::<R>);
        self.parts.dead_letter = Some(pubsub::open_dead_letter);
        self
    }

    /// Finds out where it runs, and runs.
    pub fn run(self) -> ExitCode {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        // Every TLS client and server takes this one; a second call finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Self { parts, lambda, http, pull } = self;
        let mut out = Out::of_process(&parts.env);
        if arguments.len() > 1 {
            return ExitCode::from(terminal::run(&parts, arguments, out));
        }
        let hosts = [("AWS_LAMBDA_RUNTIME_API", lambda), ("PORT", http), ("STANCH_SUBSCRIPTION", pull)];
        for (variable, host) in hosts {
            if parts.env.has(variable) {
                let Some(host) = host else {
                    out.note(&format!("{}: {variable} is set, but this binary has no such host\n", R::NAME));
                    return ExitCode::from(2);
                };
                return host(&parts);
            }
        }
        ExitCode::from(terminal::run(&parts, arguments, out))
    }
}

impl<R: Responder> Parts<R> {
    /// The responder, built from the settings.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the variable and the field.
    pub(crate) fn engine(&self, place: Place) -> Result<(Arc<Engine<R>>, std::time::Duration)> {
        let config = Config::read(&self.env, place)?;
        let (observe, timeout) = (config.observe, config.timeout);
        let store = LateStore::new(&self.stores, &config.ledger)?;
        let engine = Engine::new(config, store)?;
        if place == Place::Function {
            tracing::info!(responder = R::NAME, observe, "configured");
        }
        Ok((Arc::new(engine), timeout))
    }

    /// Starts the logs of a platform.
    pub(crate) fn log_for_platform(&self) {
        logs::start(&self.env, logs::Reader::Platform { project: logs::project(&self.env) }, R::NAME);
    }
}

/// A runtime with one thread: the responders wait far more than they compute, and a small function has one core.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        stanch_core::Error::new(stanch_core::Kind::Internal, "start", "the runtime does not start").because(error)
    })
}

/// Lets what is under way on this thread go on until it waits for others: a call that is begun is then sent, an event
/// that has come is being handled.
pub(crate) async fn give_way() {
    /// To connect, to shake hands, to send: each takes a turn of the scheduler or two.
    const TURNS: usize = 16;
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}
