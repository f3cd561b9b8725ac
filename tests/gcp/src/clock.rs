//! A clock that can be moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use stanch_core::Clock;

/// Real time, plus what a test has skipped. Pauses are skipped; limits follow.
#[derive(Clone, Default)]
pub struct Skipping(Arc<AtomicI64>);

impl Skipping {
    /// Moves ahead.
    pub fn skip(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for Skipping {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
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
