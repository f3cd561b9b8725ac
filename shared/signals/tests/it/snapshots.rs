//! Each fixture's alerts, whole, as they were reviewed: `expected/FOLDER.json`, by file name. `STANCH_REVIEW=1` writes
//! them anew, to be read before they are committed.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde_json::{Value, json};
use stanch_signals::decode;

use crate::common::{check, context, files, fixtures, folders};

const EKS: &str = "eks:210987654321/eu-central-1/shop";

#[test]
fn every_fixture_has_the_alerts_that_were_reviewed() -> io::Result<()> {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/expected");
    for folder in folders()? {
        let mut found = BTreeMap::new();
        for (name, bytes) in files(&fixtures().join(&folder))? {
            let outcome = decode(&bytes, &context(EKS));
            check(&name, &bytes, &outcome);
            let shown = match outcome {
                Ok(alerts) => serde_json::to_value(alerts)?,
                Err(error) => json!(error.to_string()),
            };
            found.insert(name, without_nothing(shown));
        }
        let path = expected.join(format!("{folder}.json"));
        if std::env::var_os("STANCH_REVIEW").is_some() {
            fs::create_dir_all(&expected)?;
            fs::write(&path, serde_json::to_string_pretty(&found)? + "\n")?;
        }
        let reviewed: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(&path)?)?;
        assert_eq!(found.keys().collect::<Vec<_>>(), reviewed.keys().collect::<Vec<_>>(), "{folder}");
        for (name, alerts) in &found {
            assert_eq!(Some(alerts), reviewed.get(name), "{folder}/{name}");
        }
    }
    Ok(())
}

/// Without what is null, which is easier to read.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            object.into_iter().filter(|(_, it)| !it.is_null()).map(|(key, it)| (key, without_nothing(it))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        other => other,
    }
}
