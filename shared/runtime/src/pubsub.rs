//! Google Cloud Pub/Sub: streaming pull, and the dead-letter topic.
//!
//! A message is acknowledged once its record is closed, and not before. One that shall be tried again is held for a
//! moment and given back; a dropped handler gives back by itself.

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_pubsub::{
    client::{Publisher, Subscriber},
    model::Message,
    subscriber::{ShutdownBehavior, handler::Handler},
};
use stanch_core::{Caller, Error, Kind, Responder, Result};
use tokio::{sync::OnceCell, task::JoinSet, time::timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    binary::{Parts, runtime},
    clock,
    config::Place,
    dead_letter::{DeadLetter, DeadLetters, is_resource},
    ending,
    engine::{Engine, Job},
    env::Env,
};

/// Messages at once. Each may hold the clients of another account or cluster.
const AT_ONCE: i64 = 16;
/// How long a message is kept from others once its consumer has died: a little longer than the ledger's own lease, so that
/// what a crash left half done is resumed as soon as it may be, and at the first try. The client renews it in time while a
/// message is dealt with.
const MESSAGE_LEASE: Duration = Duration::from_secs(40);
/// A message that is given back comes again at once; the lease or the throttle behind it does not end at once.
const BEFORE_GIVING_BACK: Duration = Duration::from_secs(5);
/// Kubernetes kills thirty seconds after SIGTERM, Cloud Run worker pools after ten.
const DRAIN: Duration = Duration::from_secs(9);
/// For one publish.
const PUBLISH: Duration = Duration::from_secs(10);

/// Pulls until SIGTERM.
pub(crate) fn run<R: Responder>(parts: &Parts<R>) -> ExitCode {
    parts.log_for_platform();
    match start(parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "pulling ends");
            ExitCode::from(crate::answer::exit_code(&error))
        }
    }
}

/// What every message needs.
struct Puller<R: Responder> {
    engine: Arc<Engine<R>>,
    dead_letter: DeadLetter,
    caller: Caller,
    timeout: Duration,
}

fn start<R: Responder>(parts: &Parts<R>) -> Result<()> {
    let (engine, timeout) = parts.engine(Place::Function)?;
    let name = parts.env.text("STANCH_SUBSCRIPTION")?.unwrap_or_default();
    if !is_resource(&name, "subscriptions") {
        return Err(Error::invalid("STANCH_SUBSCRIPTION", "must be projects/P/subscriptions/S"));
    }
    let dead_letter = DeadLetter::read(&parts.env, parts.dead_letter)?;
    let place = Api::of(&parts.env)?;
    runtime()?.block_on(async {
        let warming = Arc::clone(&engine);
        tokio::spawn(async move { warming.warm().await });
        // Whoever may publish to the topic is the caller, as far as anybody can tell.
        let caller = Caller { id: format!("pubsub:{name}"), proved_at: None };
        let puller = Arc::new(Puller { engine, dead_letter, caller, timeout });
        let mut builder = Subscriber::builder();
        if let Api::Emulator(endpoint) = &place {
            builder = builder.with_endpoint(endpoint.clone()).with_credentials(nobody());
        }
        let subscriber = builder.build().await.map_err(|error| unusable("has no client", &name).because(error))?;
        pull(&subscriber, &name, puller).await
    })
}

async fn pull<R: Responder>(subscriber: &Subscriber, name: &str, puller: Arc<Puller<R>>) -> Result<()> {
    let mut stream = subscriber
        .subscribe(name)
        .set_max_outstanding_messages(AT_ONCE)
        .set_max_lease_extension(MESSAGE_LEASE)
        .set_max_lease(puller.timeout + BEFORE_GIVING_BACK + Duration::from_mins(1))
        .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
        .build();
    let ending = stream.shutdown_token();
    let mut running = JoinSet::new();
    let stop = ending::asked()?;
    tokio::pin!(stop);
    tracing::info!(subscription = name, "pulling");
    let ended = loop {
        tokio::select! {
            biased;
            () = &mut stop => break Ok(()),
            next = stream.next() => match next {
                Some(Ok((message, handler))) => {
                    let span = tracing::info_span!("message", message = message.message_id);
                    running.spawn(handle(Arc::clone(&puller), message, handler).instrument(span));
                }
                Some(Err(error)) => break Err(unusable("cannot be pulled", name).because(error)),
                None => break Err(unusable("ended", name)),
            },
            Some(_) = running.join_next() => {}
        }
    };
    tracing::info!("asked to end: finishing what runs");
    let all = async {
        futures::join!(ending.shutdown(), async { while running.join_next().await.is_some() {} });
    };
    if timeout(DRAIN, all).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "something still ran when the time was over");
    }
    tracing::info!("ended");
    ended
}

async fn handle<R: Responder>(puller: Arc<Puller<R>>, message: Message, handler: Handler) {
    // The same message can be delivered twice at the same time: its own id would not tell the two apart.
    let id = Uuid::new_v4().to_string();
    let deadline = clock::after(puller.engine.now(), puller.timeout);
    let job = Job { caller: puller.caller.clone(), id, deadline };
    let answer = puller.engine.event(&message.data, &job).await;
    if answer.wants_retry() {
        tokio::time::sleep(BEFORE_GIVING_BACK).await;
        handler.nack();
    } else if let Err(error) = puller.dead_letter.keep(&message.data, &answer).await {
        tracing::error!(%error, "the dead-letter topic does not take it: the subscription keeps it");
        tokio::time::sleep(BEFORE_GIVING_BACK).await;
        handler.nack();
    } else {
        handler.ack();
    }
}

/// Which Pub/Sub.
enum Api {
    Google,
    /// Google's emulator: its address is in a variable that the client does not read.
    Emulator(String),
}

impl Api {
    fn of(env: &Env) -> Result<Self> {
        Ok(match env.text("PUBSUB_EMULATOR_HOST")? {
            Some(host) => {
                let host = host.trim();
                Self::Emulator(if host.contains("://") { host.to_owned() } else { format!("http://{host}") })
            }
            None => Self::Google,
        })
    }
}

fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

/// The dead-letter topic.
pub(crate) fn open_dead_letter(env: &Env, topic: String) -> Arc<dyn DeadLetters> {
    // What cannot be read here has been refused before: the variable is the same.
    let api = Api::of(env).unwrap_or(Api::Google);
    Arc::new(Topic { api, name: topic, publisher: OnceCell::new() })
}

struct Topic {
    api: Api,
    name: String,
    publisher: OnceCell<Publisher>,
}

impl Topic {
    async fn publisher(&self) -> Result<Publisher> {
        let mut builder = Publisher::builder(self.name.clone());
        if let Api::Emulator(endpoint) = &self.api {
            builder = builder.with_endpoint(endpoint.clone()).with_credentials(nobody());
        }
        builder.build().await.map_err(|error| unusable("has no client", &self.name).because(error))
    }
}

impl DeadLetters for Topic {
    fn publish<'a>(&'a self, body: &'a [u8], attributes: Vec<(&'static str, String)>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let publisher = self.publisher.get_or_try_init(|| self.publisher()).await?;
            let copy = Message::new().set_data(body.to_vec()).set_attributes(attributes);
            let taken = timeout(PUBLISH, publisher.publish(copy)).await;
            let taken = taken.map_err(|_| unusable("did not answer in time", &self.name))?;
            taken.map(drop).map_err(|error| unusable("does not take it", &self.name).because(error))
        })
    }
}

fn unusable(message: &str, name: &str) -> Error {
    Error::new(Kind::Unavailable, "pubsub", message).on(name.to_owned())
}
