//! Where it runs and where it keeps its ledger; see the library for what it does.

use std::process::ExitCode;

use k8s_rotate_service_account::K8sRotateServiceAccount;
use stanch_dynamodb::Dynamo;
#[cfg(feature = "server")]
use stanch_firestore::Firestore;
use stanch_runtime::Binary;
use stanch_sqlite::Sqlite;

fn main() -> ExitCode {
    let binary = Binary::<K8sRotateServiceAccount>::new()
        .store("sqlite", |file| async { Sqlite::open(file) })
        .store("dynamodb", |table| async {
            let store = Dynamo::connect(table);
            store.warm().await;
            Ok(store)
        })
        .lambda();
    #[cfg(feature = "server")]
    let binary = binary.store("firestore", |place| async { Firestore::open(place).await }).http();
    binary.run()
}
