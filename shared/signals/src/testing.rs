//! What the unit tests share.

use serde_json::Value;
use stanch_core::{Alert, Result};

use crate::{Context, decode};

/// The alerts of a document, on the day after the fixtures' activity.
pub(crate) fn alerts(cluster: &str, document: &Value) -> Result<Vec<Alert>> {
    let cluster = if cluster.is_empty() { None } else { Some(cluster.parse()?) };
    let context = Context::new(cluster, "2026-11-20T12:00:00Z".parse().expect("a time"));
    decode(document.to_string().as_bytes(), &context)
}

/// The one alert of a document.
pub(crate) fn alert(cluster: &str, document: &Value) -> Result<Alert> {
    let mut alerts = alerts(cluster, document)?;
    assert_eq!(alerts.len(), 1, "{document}");
    Ok(alerts.remove(0))
}

/// The scope and name of each subject.
pub(crate) fn names(alert: &Alert) -> Vec<String> {
    alert.subjects.iter().map(|it| format!("{} {it}", it.scope())).collect()
}

/// The document with one place changed; what is on the way there is made.
pub(crate) fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let mut at = &mut document;
    for key in pointer.split('/').skip(1) {
        at = if at.is_array() { &mut at[key.parse::<usize>().expect("an index")] } else { &mut at[key] };
    }
    *at = value;
    document
}
