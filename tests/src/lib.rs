//! What the suites share: a clock that can be moved, and where things are.

mod clock;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

pub use clock::Skipping;
use jiff::SignedDuration;
use stanch_core::{Caller, Cause, Clock, IncidentId, Mode, Order, Request, Target};

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
