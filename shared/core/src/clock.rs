//! Time and chance are inputs: the host gives the real ones, a test its own.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

/// What the driver knows of time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;

    /// Waits before trying again. A test may shorten it.
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// Ends after real time: how long a call may take.
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// A random number, for jitter.
    fn chance(&self) -> u64;
}

/// `at` plus a time.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` minus a time.
pub(crate) fn before(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_sub(wait).ok()).unwrap_or(Timestamp::MIN)
}

/// The time from `now` until `then`; zero when it has passed.
pub(crate) fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
