//! The SQLite store keeps the promises of a store, also between processes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does; clippy exempts only the test functions"
)]

mod conformance;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use stanch_core::{Key, Kind, Saved, Store, Write};
use stanch_sqlite::Sqlite;

#[tokio::test]
async fn keeps_every_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    conformance::suite(|| Sqlite::open(&file).expect("opens")).await;
}

#[cfg(unix)]
#[tokio::test]
async fn is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a/b/ledger.db");
    let store = Sqlite::open(&file).expect("opens");
    let write = Write { key: Key::raw("k"), expected: None, body: Some("{}".to_owned()) };
    assert_eq!(store.save(&[write]).await.expect("saves"), Saved::Done);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    for entry in std::fs::read_dir(folder.path().join("a/b")).expect("lists") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn what_is_no_ledger_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "a".repeat(5000)).expect("writes");
    assert_eq!(Sqlite::open(&file).expect_err("not a database").kind(), Kind::Internal);
    assert_eq!(std::fs::read_to_string(&file).expect("reads").len(), 5000);
    assert_eq!(Sqlite::open(folder.path()).expect_err("a folder").kind(), Kind::Denied);
}

/// Not a test of its own: what the processes of the next test run.
#[tokio::test]
async fn raise_the_counter() {
    let Ok(file) = std::env::var("STANCH_TEST_COUNTER_FILE") else { return };
    let store = Sqlite::open(file).expect("opens");
    let mut raised = 0;
    while raised < 50 {
        let item = store.load(&[Key::raw("n")]).await.expect("loads").remove(0);
        let count = item.as_ref().map_or(0, |item| item.body.parse::<u64>().expect("a number"));
        let expected = item.map(|item| item.version);
        let write = Write { key: Key::raw("n"), expected, body: Some((count + 1).to_string()) };
        match store.save(&[write]).await {
            Ok(Saved::Done) => raised += 1,
            Ok(Saved::Moved) => {}
            Err(error) if error.kind() == Kind::Throttled => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn two_processes_at_once_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let this = std::env::current_exe().expect("this test");
    // Both make the file.
    let children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(&this)
                .args(["--exact", "raise_the_counter"])
                .env("STANCH_TEST_COUNTER_FILE", &file)
                .stdout(Stdio::null())
                .spawn()
                .expect("starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("ends").success());
    }
    let item = Sqlite::open(&file).expect("opens").load(&[Key::raw("n")]).await.expect("loads").remove(0);
    assert_eq!(item.expect("counted").body, "100");
}
