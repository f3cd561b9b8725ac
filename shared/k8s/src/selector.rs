//! Label selectors of objects: which labels one selects.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether a `LabelSelector` (`matchLabels`, `matchExpressions`) selects these labels. An empty one selects all,
/// none selects nothing; what cannot be read selects nothing, as the API server has it.
pub(crate) fn selects(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector.filter(|it| it.is_object()) else { return false };
    let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut pairs = pairs.map(|(key, value)| value.as_str() == labels.get(key).map(String::as_str));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    pairs.all(|it| it) && expressions.into_iter().all(|it| expression(it, labels))
}

fn expression(it: &Value, labels: &BTreeMap<String, String>) -> bool {
    let Some(key) = it.get("key").and_then(Value::as_str) else { return false };
    let value = labels.get(key);
    let listed = || {
        let mut values = it.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        value.is_some_and(|value| values.any(|one| one == value))
    };
    match it.get("operator").and_then(Value::as_str) {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let on = |key: &str, operator: &str, values: &[&str]| {
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        };
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (json!({"matchLabels": {"tier": "web"}}), false),
            (on("app", "In", &["web", "db"]), true),
            (on("app", "NotIn", &["web"]), false),
            (on("tier", "NotIn", &["web"]), true),
            (on("tier", "Exists", &[]), false),
            (on("tier", "DoesNotExist", &[]), true),
            (on("app", "Near", &[]), false),
            (Value::Null, false),
        ] {
            assert_eq!(selects(Some(&selector), &labels), expected, "{selector}");
        }
        assert!(!selects(None, &labels));
    }
}
