//! Where it runs and where it keeps its ledger; see the library for what it does.

use std::process::ExitCode;

use gcp_isolate_instance::GcpIsolateInstance;
use stanch_firestore::Firestore;
use stanch_runtime::Binary;
use stanch_sqlite::Sqlite;

fn main() -> ExitCode {
    Binary::<GcpIsolateInstance>::new()
        .store("sqlite", |file| async { Sqlite::open(file) })
        .store("firestore", |place| async { Firestore::open(place).await })
        .http()
        .pubsub()
        .run()
}
