//! What the suites share: a clock that can be moved, and where things are.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{Caller, Cause, Clock, IncidentId, Mode, Order, Request, Target};

/// Real time, plus what a test has skipped. Pauses are skipped; limits follow.
#[derive(Clone, Default)]
pub struct Skipping {
    skipped: Arc<AtomicI64>,
    steady: bool,
}

impl Skipping {
    /// Pauses are cut short and take no time: where many pause at once, their sum would outlast every lease.
    pub fn steady() -> Self {
        Self { steady: true, ..Self::default() }
    }

    /// Moves ahead.
    pub fn skip(&self, time: Duration) {
        self.skipped.fetch_add(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for Skipping {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_millis(self.skipped.load(Ordering::SeqCst))
    }
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
        if self.steady {
            return tokio::time::sleep(wait.min(Duration::from_millis(20))).boxed();
        }
        self.skip(wait);
        tokio::time::sleep(Duration::from_millis(2)).boxed()
    }
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        let until = clock.now() + SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        async move {
            while clock.now() < until {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        .boxed()
    }
    fn chance(&self) -> u64 {
        7
    }
}

/// The top of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A person's order, as its own delivery.
pub fn order(clock: &Skipping, mode: Mode, incident: &IncidentId, target: &Target) -> Request {
    static DELIVERIES: AtomicU64 = AtomicU64::new(0);
    Request {
        order: Order {
            mode,
            incident: incident.clone(),
            target: target.clone(),
            options: serde_json::Value::Null,
            requested_by: None,
            protected: false,
        },
        cause: Cause::Person,
        caller: Caller { id: "analyst@example.com".to_owned(), proved_at: None },
        id: format!("delivery-{}", DELIVERIES.fetch_add(1, Ordering::SeqCst)),
        deadline: clock.now() + SignedDuration::from_mins(10),
    }
}

/// An incident.
///
/// # Panics
/// When the text is not an incident id.
#[expect(clippy::expect_used, reason = "a test names its incidents itself")]
pub fn incident(text: &str) -> IncidentId {
    text.parse().expect("an incident id")
}

/// Says that something was not tried, past the test harness's capture, so that `./test` can list it.
pub fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}
