//! What every store must do, whatever it is made of. Used by the tests of each store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use stanch_core::{Error, Item, Key, Kind, Saved, Store, Write};

/// Claimants at once, and how often they try.
const CLAIMANTS: usize = 32;
const ROUNDS: usize = 20;

/// Runs the whole suite. `reopen` gives a new handle on the same data, as another process would have it.
///
/// # Panics
/// When the store does not keep a promise.
pub(crate) async fn suite<S: Store + 'static>(reopen: impl Fn() -> S) {
    let store = reopen();
    compare_and_swap(&store).await;
    all_or_nothing(&store).await;
    check_only(&store).await;
    odd_loads(&store).await;
    large_bodies(&store).await;
    twice_the_same_key(&store).await;
    persists(&reopen).await;
    one_claimant_wins(&reopen, 1).await;
    one_claimant_wins(&reopen, 3).await;
    nothing_is_lost(&reopen).await;
}

/// A key that no other test uses, so that the suite can run again on a table that exists.
fn fresh(name: &str) -> Key {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    Key::raw(&format!("{name}#{}#{}", now.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn write(key: &Key, expected: Option<u64>, body: &str) -> Write {
    Write { key: key.clone(), expected, body: Some(body.to_owned()) }
}

fn check(key: &Key, expected: Option<u64>) -> Write {
    Write { key: key.clone(), expected, body: None }
}

/// As the driver does: what is transient is tried again.
async fn save(store: &dyn Store, writes: &[Write]) -> Saved {
    for _ in 0..200 {
        match store.save(writes).await {
            Err(error) if error.kind() == Kind::Throttled => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other.expect("saves"),
        }
    }
    panic!("throttled for two seconds");
}

async fn load(store: &dyn Store, key: &Key) -> Option<Item> {
    let mut items = store.load(std::slice::from_ref(key)).await.expect("loads");
    assert_eq!(items.len(), 1);
    items.pop().expect("one item")
}

fn item(version: u64, body: &str) -> Item {
    Item { version, body: body.to_owned() }
}

async fn compare_and_swap(store: &dyn Store) {
    let key = fresh("cas");
    assert_eq!(load(store, &key).await, None);
    assert_eq!(save(store, &[write(&key, Some(1), "x")]).await, Saved::Moved, "what is not there has no version");
    assert_eq!(save(store, &[write(&key, None, "a")]).await, Saved::Done);
    assert_eq!(load(store, &key).await, Some(item(1, "a")));
    assert_eq!(save(store, &[write(&key, None, "b")]).await, Saved::Moved, "it exists");
    assert_eq!(save(store, &[write(&key, Some(2), "b")]).await, Saved::Moved, "a version to come");
    assert_eq!(save(store, &[write(&key, Some(1), "b")]).await, Saved::Done);
    assert_eq!(save(store, &[write(&key, Some(1), "c")]).await, Saved::Moved, "a version gone by");
    assert_eq!(load(store, &key).await, Some(item(2, "b")), "a refused write leaves nothing");
}

async fn all_or_nothing(store: &dyn Store) {
    let (old, new) = (fresh("old"), fresh("new"));
    assert_eq!(save(store, &[write(&old, None, "a")]).await, Saved::Done);
    for (first, second) in
        [(write(&new, None, "n"), write(&old, None, "x")), (write(&old, Some(9), "x"), write(&new, None, "n"))]
    {
        assert_eq!(save(store, &[first, second]).await, Saved::Moved);
        assert_eq!(load(store, &new).await, None);
        assert_eq!(load(store, &old).await, Some(item(1, "a")));
    }
    assert_eq!(save(store, &[write(&old, Some(1), "b"), write(&new, None, "n")]).await, Saved::Done);
    let both = store.load(&[new.clone(), old.clone()]).await.expect("loads");
    assert_eq!(both, [Some(item(1, "n")), Some(item(2, "b"))], "in the order of the keys");
}

async fn check_only(store: &dyn Store) {
    let (guard, key) = (fresh("guard"), fresh("key"));
    assert_eq!(save(store, &[check(&guard, None)]).await, Saved::Done, "it is not there");
    assert_eq!(save(store, &[write(&guard, None, "g")]).await, Saved::Done);
    assert_eq!(save(store, &[check(&guard, Some(1))]).await, Saved::Done);
    assert_eq!(save(store, &[check(&guard, Some(2))]).await, Saved::Moved);
    assert_eq!(save(store, &[check(&guard, None), write(&key, None, "k")]).await, Saved::Moved);
    assert_eq!(load(store, &key).await, None);
    assert_eq!(save(store, &[check(&guard, Some(1)), write(&key, None, "k")]).await, Saved::Done);
    assert_eq!(load(store, &key).await, Some(item(1, "k")));
    assert_eq!(load(store, &guard).await, Some(item(1, "g")), "a check changes nothing");
}

async fn odd_loads(store: &dyn Store) {
    assert_eq!(store.load(&[]).await.expect("loads"), []);
    assert_eq!(save(store, &[]).await, Saved::Done);
    let (there, missing) = (fresh("there"), fresh("missing"));
    assert_eq!(save(store, &[write(&there, None, "t")]).await, Saved::Done);
    let keys = [missing.clone(), there.clone(), missing, there];
    let found = store.load(&keys).await.expect("loads");
    assert_eq!(found, [None, Some(item(1, "t")), None, Some(item(1, "t"))]);
    // More keys than any provider gives at once.
    let mut many: Vec<Key> = (0..130).map(|_| fresh("many")).collect();
    assert_eq!(save(store, &[write(&many[129], None, "last")]).await, Saved::Done);
    many.push(many[129].clone());
    let found = store.load(&many).await.expect("loads");
    assert_eq!(found.len(), 131);
    assert_eq!(found.iter().flatten().count(), 2);
}

async fn large_bodies(store: &dyn Store) {
    let key = fresh("large");
    let body = "\u{e4}\"\\\u{0}\n".repeat(25_000);
    assert_eq!(save(store, &[write(&key, None, &body)]).await, Saved::Done);
    assert_eq!(load(store, &key).await, Some(item(1, &body)));
}

async fn twice_the_same_key(store: &dyn Store) {
    let key = fresh("twice");
    let outcome: Result<Saved, Error> = store.save(&[write(&key, None, "a"), write(&key, None, "b")]).await;
    assert_eq!(outcome.expect_err("no order is defined for it").kind(), Kind::Internal);
    assert_eq!(load(store, &key).await, None);
}

async fn persists<S: Store>(reopen: &impl Fn() -> S) {
    let key = fresh("persists");
    assert_eq!(save(&reopen(), &[write(&key, None, "kept")]).await, Saved::Done);
    assert_eq!(load(&reopen(), &key).await, Some(item(1, "kept")));
}

/// Of claimants at once, each with a handle of its own, exactly one wins; for one key and for several.
async fn one_claimant_wins<S: Store + 'static>(reopen: &impl Fn() -> S, keys: usize) {
    let stores: Vec<Arc<S>> = (0..CLAIMANTS).map(|_| Arc::new(reopen())).collect();
    for round in 0..ROUNDS {
        let keys: Vec<Key> = (0..keys).map(|_| fresh("claim")).collect();
        let claims = stores.iter().enumerate().map(|(claimant, store)| {
            let (store, keys) = (Arc::clone(store), keys.clone());
            tokio::spawn(async move {
                let claims: Vec<Write> = keys.iter().map(|key| write(key, None, &claimant.to_string())).collect();
                save(&*store, &claims).await
            })
        });
        let outcomes: Vec<Saved> = join_all(claims).await.into_iter().map(|task| task.expect("runs")).collect();
        let winners: Vec<usize> = (0..CLAIMANTS).filter(|claimant| outcomes[*claimant] == Saved::Done).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?} won");
        for key in &keys {
            assert_eq!(load(&*stores[0], key).await, Some(item(1, &winners[0].to_string())));
        }
    }
}

/// Counters that everyone raises by compare-and-swap end at the number of raises, and stay equal to each other.
async fn nothing_is_lost<S: Store + 'static>(reopen: &impl Fn() -> S) {
    const RAISES: u64 = 5;
    const RIVALS: u64 = 8;
    let (left, right) = (fresh("left"), fresh("right"));
    let rivals = (0..RIVALS).map(|_| {
        let (store, keys) = (reopen(), [left.clone(), right.clone()]);
        tokio::spawn(async move {
            let mut raised = 0;
            while raised < RAISES {
                let items = store.load(&keys).await.expect("loads");
                let count =
                    |item: &Option<Item>| item.as_ref().map_or(0, |item| item.body.parse::<u64>().expect("a number"));
                let writes: Vec<Write> = keys
                    .iter()
                    .zip(&items)
                    .map(|(key, item)| {
                        write(key, item.as_ref().map(|item| item.version), &(count(item) + 1).to_string())
                    })
                    .collect();
                if save(&store, &writes).await == Saved::Done {
                    raised += 1;
                }
            }
        })
    });
    for rival in join_all(rivals).await {
        rival.expect("runs");
    }
    let store = reopen();
    let total = RAISES * RIVALS;
    for key in [&left, &right] {
        assert_eq!(load(&store, key).await, Some(item(total, &total.to_string())));
    }
}
