//! Where it runs and where it keeps its ledger; see the library for what it does.

use std::process::ExitCode;

use aws_release_instance::AwsReleaseInstance;
use stanch_dynamodb::Dynamo;
use stanch_runtime::Binary;
use stanch_sqlite::Sqlite;

fn main() -> ExitCode {
    Binary::<AwsReleaseInstance>::new()
        .store("sqlite", |file| async { Sqlite::open(file) })
        .store("dynamodb", |table| async {
            let store = Dynamo::with_config(table, stanch_aws::shared_config().await);
            store.warm().await;
            Ok(store)
        })
        .lambda()
        .run()
}
