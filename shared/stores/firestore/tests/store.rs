//! The Firestore store keeps the promises of a store, on Google's own emulator, and names what failed.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does; clippy exempts only the test functions"
)]

#[path = "../../sqlite/tests/conformance/mod.rs"]
mod conformance;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode, Uri};
use futures::future::join_all;
use stanch_core::{Item, Key, Kind, Saved, Store, Write};
use stanch_firestore::Firestore;
use stanch_range::{
    emulator::Emulator,
    proxy::{Dialect, Fault, Proxy},
};

const PLACE: &str = "acme-prod/stanch";

async fn emulator() -> Option<Emulator> {
    use std::io::Write as _;
    let started = Emulator::firestore();
    if let Err(why) = &started {
        let _ = writeln!(std::io::stderr(), "skipped: the Firestore ledger: {why}");
    }
    let emulator = started.ok()?;
    // On a busy machine its first commit takes longer than the store waits.
    let first = Firestore::at(emulator.host(), "warm-up/stanch").expect("a place");
    for _ in 0..20 {
        if first.save(&[write("first", None, "{}")]).await.is_ok() {
            break;
        }
    }
    Some(emulator)
}

fn store(host: &str) -> Firestore {
    Firestore::at(host, PLACE).expect("a place")
}

fn write(name: &str, expected: Option<u64>, body: &str) -> Write {
    Write { key: Key::raw(name), expected, body: Some(body.to_owned()) }
}

fn check(name: &str, expected: Option<u64>) -> Write {
    Write { key: Key::raw(name), expected, body: None }
}

async fn load(store: &Firestore, name: &str) -> Option<Item> {
    store.load(&[Key::raw(name)]).await.expect("loads").remove(0)
}

fn methods(proxy: &Proxy) -> Vec<String> {
    proxy.calls().iter().map(|call| call.path.rsplit(':').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise() {
    let Some(emulator) = emulator().await else { return };
    conformance::suite(|| store(emulator.host())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_another_ledger() {
    let Some(emulator) = emulator().await else { return };
    let other = Firestore::at(emulator.host(), "acme-prod/security/stanch").expect("a place");
    assert_eq!(other.save(&[write("k", None, "{}")]).await.expect("saves"), Saved::Done);
    assert_eq!(load(&store(emulator.host()), "k").await, None);
    assert_eq!(load(&other, "k").await.map(|item| item.version), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_may_be_as_large_as_a_document() {
    let Some(emulator) = emulator().await else { return };
    let store = store(emulator.host());
    let large = "x".repeat(1_000_000);
    assert_eq!(store.save(&[write("large", None, &large)]).await.expect("saves"), Saved::Done);
    assert_eq!(load(&store, "large").await, Some(Item { version: 1, body: large }));
    let error = store.save(&[write("more", None, &"x".repeat(1_048_576))]).await.expect_err("too large");
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!(load(&store, "more").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_costs_and_nothing_is_repeated() {
    let Some(emulator) = emulator().await else { return };
    let proxy = Proxy::start(&format!("http://{}", emulator.host()), Dialect::Gce).expect("starts");
    let store = store(&proxy.url());
    // What the driver does: read, claim under the brake, renew, close.
    let keys = ["record a", "brake", "limits a"].map(Key::raw);
    assert_eq!(store.load(&keys).await.expect("loads"), [None, None, None]);
    let claim = [write("record a", None, "1"), write("limits a", None, "1"), check("brake", None)];
    assert_eq!(store.save(&claim).await.expect("saves"), Saved::Done);
    assert_eq!(store.save(&[write("record a", Some(1), "2")]).await.expect("saves"), Saved::Done);
    assert_eq!(store.save(&[write("record a", Some(2), "3")]).await.expect("saves"), Saved::Done);
    assert_eq!(methods(&proxy), ["batchGet", "batchGet", "commit", "commit", "commit"]);

    // Another process does not know the time of the version: it reads it first.
    proxy.clear();
    let fresh = self::store(&proxy.url());
    assert_eq!(fresh.save(&[write("record a", Some(3), "4")]).await.expect("saves"), Saved::Done);
    assert_eq!(methods(&proxy), ["batchGet", "commit"]);
    // And the first one's knowledge is old now.
    proxy.clear();
    assert_eq!(store.save(&[write("record a", Some(3), "5")]).await.expect("answers"), Saved::Moved);
    assert_eq!(methods(&proxy), ["commit", "batchGet"]);

    // Carried out, and never answered: unknown, and not sent again by anyone but the driver.
    proxy.clear();
    proxy.fault_at(1, Fault::AnswerLost);
    let error = store.save(&[write("lost", None, "1")]).await.expect_err("no answer");
    assert_eq!((error.kind(), proxy.count()), (Kind::Unavailable, 1), "{error}");
    assert_eq!(store.save(&[write("lost", None, "1")]).await.expect("answers"), Saved::Moved, "it was carried out");
    for (fault, kind) in [(Fault::Status(429), Kind::Throttled), (Fault::Status(503), Kind::Unavailable)] {
        proxy.clear();
        proxy.fault_at(1, fault);
        let error = store.load(&[Key::raw("a")]).await.expect_err("a fault");
        assert_eq!((error.kind(), proxy.count()), (kind, 1), "{error}");
    }
}

/// Claims under the brake, as the driver makes them: of those at once exactly one acts, and none once the brake is on.
#[tokio::test(flavor = "multi_thread")]
async fn of_claimants_at_once_one_acts_and_the_brake_stops_all() {
    let Some(emulator) = emulator().await else { return };
    let stores: Vec<_> = (0..16).map(|_| Arc::new(store(emulator.host()))).collect();
    for round in 0..5 {
        let claims = stores.iter().enumerate().map(|(claimant, store)| {
            let store = Arc::clone(store);
            let claim = [
                write(&format!("record {round}"), None, &claimant.to_string()),
                write(&format!("limits {round}"), None, &claimant.to_string()),
                check("brake", None),
            ];
            tokio::spawn(async move {
                loop {
                    match store.save(&claim).await {
                        Err(error) if error.kind() == Kind::Throttled => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        answer => break answer.expect("saves"),
                    }
                }
            })
        });
        let outcomes: Vec<_> = join_all(claims).await.into_iter().map(|run| run.expect("runs")).collect();
        let winners: Vec<_> = (0..stores.len()).filter(|claimant| outcomes[*claimant] == Saved::Done).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?} won");
        for name in ["record", "limits"] {
            let item = load(&stores[0], &format!("{name} {round}")).await.expect("written");
            assert_eq!(item.body, winners[0].to_string());
        }
    }
    assert_eq!(stores[0].save(&[write("brake", None, "on")]).await.expect("no transaction holds it"), Saved::Done);
    let late = [write("record late", None, "x"), check("brake", None)];
    assert_eq!(stores[1].save(&late).await.expect("answers"), Saved::Moved);
    assert_eq!(load(&stores[1], "record late").await, None);
    // The refused claim holds nothing: the brake can be lifted at once.
    assert_eq!(stores[0].save(&[write("brake", Some(1), "off")]).await.expect("free"), Saved::Done);
    assert_eq!(
        stores[1].save(&[write("record late", None, "x"), check("brake", Some(2))]).await.expect("ok"),
        Saved::Done
    );
}

/// The emulator knows no permissions: a server that answers as Firestore does when one is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named() {
    let granted: Arc<Mutex<Vec<&str>>> = Arc::default();
    let rights = Arc::clone(&granted);
    let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: String| {
        let has = |right: &str| rights.lock().expect("not poisoned").contains(&right);
        assert_eq!(headers["authorization"], "Bearer owner", "real credentials never go to an emulator");
        let needed: Vec<&str> = match uri.path().rsplit(':').next() {
            Some("batchGet") if body.contains("newTransaction") => vec!["datastore.entities.get", "datastore.databases.get"],
            Some("batchGet") => vec!["datastore.entities.get"],
            _ if body.contains("\"exists\":false") => vec!["datastore.entities.create"],
            _ => vec!["datastore.entities.update"],
        };
        let answer = match needed.iter().find(|right| !has(right)) {
            Some(_) => (
                StatusCode::FORBIDDEN,
                r#"{"error":{"code":403,"message":"Missing or insufficient permissions.","status":"PERMISSION_DENIED"}}"#
                    .to_owned(),
            ),
            None if uri.path().ends_with("commit") => {
                (StatusCode::OK, r#"{"writeResults":[{"updateTime":"2026-01-01T00:00:00Z"}]}"#.to_owned())
            }
            None => (StatusCode::OK, r#"[{"transaction":"eA=="}]"#.to_owned()),
        };
        async move { answer }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let host = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let all =
        ["datastore.entities.get", "datastore.entities.create", "datastore.entities.update", "datastore.databases.get"];
    for missing in all {
        *granted.lock().expect("not poisoned") = all.iter().copied().filter(|right| *right != missing).collect();
        let store = store(&host);
        let outcome = async {
            store.load(&[Key::raw("a")]).await?;
            store.save(&[write("a", None, "1")]).await?;
            store.save(&[write("a", Some(1), "2")]).await?;
            store.save(&[write("b", None, "1"), check("brake", None)]).await
        };
        let error = outcome.await.expect_err(missing);
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert!(error.message().contains(missing), "{missing}: {error}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let error = store("127.0.0.1:9").load(&[Key::raw("a")]).await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert_eq!(error.resource(), "projects/acme-prod/databases/(default)");
    assert_eq!(Firestore::connect("acme-prod").expect_err("no collection").kind(), Kind::Invalid);
}
