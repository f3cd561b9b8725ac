//! From a body to reports, whatever host it came through.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use jiff::Timestamp;
use stanch_core::{
    Alert, Brake, Caller, Cause, Check, Clock, Cloud, Driver, Error, Kind, Mode, Order, Report, Request, Responder,
    Result, Status, Target, TargetKind, target::Cluster,
};
use stanch_signals::Context;

use crate::{
    answer::Answer,
    clock::SystemClock,
    config::{Config, Signals},
    orders,
    store::LateStore,
};

/// A responder with all that it needs to act.
pub(crate) struct Engine<R: Responder> {
    driver: Driver<R>,
    store: Arc<LateStore>,
    clock: Arc<dyn Clock>,
    signals: Signals,
}

/// Who asks, and until when an answer is any use.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) caller: Caller,
    /// Unique among the deliveries that can run at the same time.
    pub(crate) id: String,
    pub(crate) deadline: Timestamp,
}

impl<R: Responder> Engine<R> {
    /// Built from the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the cloud's own variables cannot be read.
    pub(crate) fn new(config: Config, store: LateStore) -> Result<Self> {
        let store = Arc::new(store);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger: Arc<dyn stanch_core::Store> = Arc::clone(&store) as _;
        let driver = Driver::new(R::Cloud::from_env()?, ledger, config.guard, Arc::clone(&clock));
        Ok(Self { driver: driver.observing(config.observe), store, clock, signals: config.signals })
    }

    /// Builds what every order needs, in the order in which an order needs it. What fails here fails again, and is
    /// reported, when it is needed.
    pub(crate) async fn warm(&self) {
        let ((), ledger) = futures::join!(self.driver.cloud().warm().boxed(), self.store.get());
        if let Err(error) = ledger {
            tracing::warn!(%error, "the ledger does not open yet");
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The cluster of what names none.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.signals.cluster.as_ref()
    }

    /// The largest body that is read.
    pub(crate) fn body_limit(&self) -> usize {
        self.signals.limits.body
    }

    /// The alerts that a detector's body holds, and an error for each item of a batch that cannot be read.
    ///
    /// # Errors
    /// [`Kind::Invalid`], naming the field.
    pub(crate) fn alerts(&self, body: &[u8]) -> Result<Vec<Result<Alert>>> {
        let Signals { cluster, detector_accounts, limits } = self.signals.clone();
        let context = Context { detector_accounts, limits, ..Context::new(cluster, self.now()) };
        // The decoder is pure and total; should it panic all the same, one body must not take the others with it.
        std::panic::catch_unwind(AssertUnwindSafe(|| stanch_signals::decode_each(body, &context)))
            .unwrap_or_else(|_| Err(panicked("decode")))
    }

    /// Handles what a detector sent.
    pub(crate) async fn event(&self, body: &[u8], job: &Job) -> Answer {
        let started = self.now();
        match orders::refuse_inside(body).and_then(|()| self.alerts(body)) {
            Ok(items) => self.alerted(&items, job).await,
            Err(error) => {
                let panicked = error.kind() == Kind::Internal;
                Answer { reports: vec![self.unreadable(&error, started)], panicked }
            }
        }
    }

    fn unreadable(&self, error: &Error, started: Timestamp) -> Report {
        tracing::error!(%error, kind = error.kind().as_str(), "the event cannot be used");
        Report::of_error(R::NAME, Mode::Apply, error, started, self.now())
    }

    async fn alerted(&self, items: &[Result<Alert>], job: &Job) -> Answer {
        let mut answer = Answer::of(Vec::new());
        for item in items {
            let alert = match item {
                Ok(alert) => alert,
                Err(error) => {
                    answer.reports.push(self.unreadable(error, self.now()));
                    continue;
                }
            };
            let (incident, rule) = (alert.incident.as_str(), alert.rule.as_str());
            let orders = Order::from_alert::<R>(alert);
            if orders.is_empty() {
                let report = self.unusable(alert);
                let reason = report.reason.as_deref().unwrap_or_default();
                tracing::warn!(incident, rule, reason, "the alert names nothing to act on");
                answer.reports.push(report);
            } else if let Some(note) = &alert.note {
                tracing::info!(incident, rule, note, "the decoder notes");
            }
            for order in orders {
                // One after the other, each under an id of its own: two subjects may turn out to be one resource.
                let id = match answer.reports.len() {
                    0 => job.id.clone(),
                    index => format!("{}.{index}", job.id),
                };
                let cause = Cause::Alert(Box::new(alert.clone()));
                self.run(order, cause, Job { id, ..job.clone() }, &mut answer).await;
            }
        }
        answer
    }

    /// Handles an order.
    pub(crate) async fn order(&self, order: Order, job: &Job) -> Answer {
        let mut answer = Answer::of(Vec::new());
        self.run(order, Cause::Person, job.clone(), &mut answer).await;
        answer
    }

    async fn run(&self, order: Order, cause: Cause, job: Job, answer: &mut Answer) {
        let started = self.now();
        let Job { caller, id, deadline } = job;
        let request = Request { order, cause, caller, id, deadline };
        // Boxed: the futures of a cloud's SDK nest deeper than the compiler follows in one type.
        let run = AssertUnwindSafe(self.driver.run(&request).boxed());
        let report = run.catch_unwind().await.unwrap_or_else(|_| {
            answer.panicked = true;
            let mut report = Report::of_error(R::NAME, request.order.mode, &panicked("run"), started, self.now());
            report.incident = Some(request.order.incident.clone());
            report.target = Some(request.order.target.clone());
            let incident = request.order.incident.as_str();
            tracing::error!(incident, status = report.status.as_str(), "the responder panicked");
            report
        });
        answer.reports.push(report);
    }

    /// The report of an alert that names nothing that we take.
    pub(crate) fn unusable(&self, alert: &Alert) -> Report {
        let takes = R::Target::KINDS.join(" or ");
        let why = match (&alert.note, alert.subjects.as_slice()) {
            (Some(note), []) => note.clone(),
            (_, []) => "it names no resource".to_owned(),
            (_, subjects) => {
                format!("it names {}", subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        };
        let now = self.now();
        let error = Error::refused(format!("the alert names no {takes}: {why}"));
        let mut report = Report::of_error(R::NAME, Mode::Apply, &error, now, now);
        report.status = Status::Refused;
        report.incident = Some(alert.incident.clone());
        report
    }

    /// Whether it could act on a target.
    pub(crate) async fn check(&self, target: &Target) -> Vec<Check> {
        self.driver.check(target).boxed().await
    }

    /// Whether it could act as it is deployed: the ledger, then each account, project or cluster of its scope, by name.
    pub(crate) async fn check_deployed(&self) -> Vec<(String, Vec<Check>)> {
        let (ledger, scopes) = futures::join!(self.driver.check_ledger().boxed(), self.driver.check_scopes().boxed());
        let red = |what: &str, detail: String| {
            let check = Check { what: what.to_owned(), ok: false, detail };
            vec![("scope".to_owned(), vec![check])]
        };
        let mut groups = vec![("ledger".to_owned(), vec![ledger])];
        groups.extend(match scopes {
            Ok(scopes) if scopes.is_empty() => red("the guard", "it lists nothing to act in".to_owned()),
            Ok(scopes) => scopes.into_iter().map(|(scope, checks)| (scope.to_string(), checks)).collect(),
            Err(error) => red("credentials", error.to_string()),
        });
        groups
    }

    /// The brake.
    pub(crate) async fn brake(&self) -> Result<Option<Brake>> {
        stanch_core::brake(&*self.store).await
    }

    /// Sets the brake.
    pub(crate) async fn set_brake(&self, on: bool, by: &str) -> Result<Brake> {
        stanch_core::set_brake(&*self.store, on, by, self.now()).await
    }
}

fn panicked(operation: &str) -> Error {
    Error::new(Kind::Internal, operation, "a defect of Stanch: it panicked; the log says where")
}
