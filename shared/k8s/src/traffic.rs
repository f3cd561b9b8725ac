//! What the calls of one order share: how many are under way, how fast they go out, and one list of a node's pods
//! for all who wait for one of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use stanch_core::{Result, names::KubeName};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::Instant,
};

/// Removals under way at once. The server takes about 1 ms for one; more would only be more connections.
const IN_FLIGHT: usize = 50;
/// How long after one list of a node's pods the next one is asked for: at first, and once it has taken long.
const LIST_FIRST: Duration = Duration::from_millis(100);
const LIST_MOST: Duration = Duration::from_secs(1);

/// Shared by the clones of one [`crate::KubeApi`].
#[derive(Debug)]
pub(crate) struct Traffic {
    begun: Instant,
    flight: Semaphore,
    pace: Mutex<Pace>,
    /// Since when the server has refused to evict a pod, by its uid.
    refused: StdMutex<BTreeMap<String, Instant>>,
    gathered: Mutex<Option<Gathered>>,
}

#[derive(Debug)]
struct Pace {
    /// Between two removals; zero: as fast as it goes.
    gap: Duration,
    next: Instant,
}

/// The pods of a node, as of one moment.
#[derive(Clone, Debug)]
struct Gathered {
    node: KubeName,
    asked: Instant,
    pods: Arc<Present>,
}

/// What is known of each pod that is there, by its uid: how far its end is, or nothing.
pub(crate) type Present = BTreeMap<String, Option<String>>;

impl Traffic {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            flight: Semaphore::new(IN_FLIGHT),
            pace: Mutex::new(Pace { gap: Duration::ZERO, next: now }),
            refused: StdMutex::default(),
            gathered: Mutex::default(),
        }
    }

    /// At most this many removals a second; `None`: no limit.
    pub(crate) fn limit(&self, per_second: Option<u32>) {
        // Called before the first removal: nobody else holds it.
        if let Ok(mut pace) = self.pace.try_lock() {
            pace.gap = per_second.filter(|&rate| rate > 0).map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        }
    }

    /// Waits for a turn. Hold what it returns while the call is under way.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let at = {
            let mut pace = self.pace.lock().await;
            let at = pace.next.max(Instant::now());
            pace.next = at + pace.gap;
            at
        };
        tokio::time::sleep_until(at).await;
        // It is never closed.
        self.flight.acquire().await.ok()
    }

    /// Notes a refusal; how long it has been going on.
    pub(crate) fn refused(&self, uid: &str) -> Duration {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.entry(uid.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// The pods of a node, from a list that was begun after this was called: one list serves all who wait.
    pub(crate) async fn gather<F>(&self, node: &KubeName, list: impl FnOnce() -> F) -> Result<Arc<Present>>
    where
        F: Future<Output = Result<Present>>,
    {
        let wanted = Instant::now();
        let mut gathered = self.gathered.lock().await;
        if let Some(last) = gathered.as_ref().filter(|last| last.node == *node) {
            if last.asked >= wanted {
                return Ok(Arc::clone(&last.pods));
            }
            let gap = (self.begun.elapsed() / 20).clamp(LIST_FIRST, LIST_MOST);
            tokio::time::sleep_until(last.asked + gap).await;
        }
        let asked = Instant::now();
        let pods = Arc::new(list().await?);
        *gathered = Some(Gathered { node: node.clone(), asked, pods: Arc::clone(&pods) });
        Ok(pods)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn one_list_serves_all_who_wait() {
        let (traffic, node) = (Traffic::new(), "a".parse::<KubeName>().expect("a name"));
        let lists = StdMutex::new(Vec::new());
        let list = || async {
            lists.lock().expect("the times").push(Instant::now());
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Present::new())
        };
        join_all((0..100).map(|_| traffic.gather(&node, list))).await;
        let first = lists.lock().expect("the times").len();
        assert!(first <= 2, "{first} lists for a hundred who wait");
        traffic.gather(&node, list).await.expect("a list");
        let times = lists.into_inner().expect("the times");
        assert_eq!(times.len(), first + 1, "a later look gets a later list");
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.min().is_none_or(|least| least + Duration::from_millis(2) >= LIST_FIRST), "{times:?}");
    }

    #[tokio::test]
    async fn the_pace_is_kept() {
        let traffic = Traffic::new();
        traffic.limit(Some(50));
        let begun = Instant::now();
        for _ in 0..11 {
            drop(traffic.turn().await);
        }
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}
