//! Label selectors: of workloads, Services and policies.

use std::collections::BTreeMap;

use serde_json::Value;

/// What labels must be. An empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads a `LabelSelector` (`matchLabels`, `matchExpressions`) or a plain map (of a Service or a
    /// `ReplicationController`). `None` where it is neither.
    pub fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let expressions = fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        let labels = match fields.get("matchLabels") {
            Some(labels) => labels.as_object()?,
            None if fields.contains_key("matchExpressions") || fields.is_empty() => &serde_json::Map::new(),
            None => fields,
        };
        let mut requirements = Vec::new();
        for (key, value) in labels {
            requirements.push(Requirement { key: key.clone(), rule: Rule::In(vec![value.as_str()?.to_owned()]) });
        }
        for expression in expressions {
            let values = || {
                let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
                values.map(|it| it.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            };
            let rule = match expression.get("operator").and_then(Value::as_str)? {
                "In" => Rule::In(values()?),
                "NotIn" => Rule::NotIn(values()?),
                "Exists" => Rule::Exists,
                "DoesNotExist" => Rule::Absent,
                _ => return None,
            };
            requirements.push(Requirement { key: expression.get("key")?.as_str()?.to_owned(), rule });
        }
        Some(Self(requirements))
    }

    /// Reads `a=b,c in (d,e),!f`, as a `scale` subresource's `status.selector` has it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut requirements = Vec::new();
        for term in terms(text) {
            let list = |list: &str| -> Vec<String> {
                list.trim().trim_matches(['(', ')']).split(',').map(|it| it.trim().to_owned()).collect()
            };
            let (key, rule) = if let Some((key, values)) = term.split_once(" notin ") {
                (key, Rule::NotIn(list(values)))
            } else if let Some((key, values)) = term.split_once(" in ") {
                (key, Rule::In(list(values)))
            } else if let Some((key, value)) = term.split_once("!=") {
                (key, Rule::NotIn(vec![value.trim().to_owned()]))
            } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (key, Rule::In(vec![value.trim().to_owned()]))
            } else if let Some(key) = term.strip_prefix('!') {
                (key, Rule::Absent)
            } else {
                (term.as_str(), Rule::Exists)
            };
            let key = key.trim();
            if key.is_empty() || key.contains([' ', '(', ')']) {
                return None;
            }
            requirements.push(Requirement { key: key.to_owned(), rule });
        }
        Some(Self(requirements))
    }

    /// One label.
    pub fn label(key: &str, value: &str) -> Self {
        Self(vec![Requirement { key: key.to_owned(), rule: Rule::In(vec![value.to_owned()]) }])
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that it looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.key.as_str())
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, rule }| match (rule, labels.get(key)) {
            (Rule::In(values), Some(label)) => values.contains(label),
            (Rule::NotIn(values), Some(label)) => !values.contains(label),
            (Rule::Exists, label) => label.is_some(),
            (Rule::Absent, label) => label.is_none(),
            (Rule::In(_), None) => false,
            (Rule::NotIn(_), None) => true,
        })
    }

    /// As a list takes it.
    pub fn query(&self) -> String {
        let term = |Requirement { key, rule }: &Requirement| match rule {
            Rule::In(values) if values.len() == 1 => format!("{key}={}", values.concat()),
            Rule::In(values) => format!("{key} in ({})", values.join(",")),
            Rule::NotIn(values) => format!("{key} notin ({})", values.join(",")),
            Rule::Exists => key.clone(),
            Rule::Absent => format!("!{key}"),
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(",")
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<String> {
    let (mut out, mut depth) = (vec![String::new()], 0_u32);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, depth, out.last_mut()) {
            (',', 0, _) => out.push(String::new()),
            (c, _, Some(last)) => last.push(c),
            (_, _, None) => {}
        }
    }
    out.retain(|term| !term.trim().is_empty());
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_forms_select_the_same() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned()), ("tier".to_owned(), "a".to_owned())]);
        for (selector, selects) in [
            (Selector::read(&json!({"app": "web"})), true),
            (Selector::read(&json!({"matchLabels": {"app": "web", "tier": "b"}})), false),
            (Selector::read(&json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]})), true),
            (Selector::read(&json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]})), false),
            (Selector::read(&json!({})), true),
            (Selector::parse("app in (web,api),!x,tier!=b"), true),
            (Selector::parse("app=web,tier"), true),
            (Selector::parse("x"), false),
        ] {
            let selector = selector.expect("a selector");
            assert_eq!(selector.matches(&labels), selects, "{selector:?}");
            assert_eq!(Selector::parse(&selector.query()), Some(selector.clone()), "{}", selector.query());
        }
        assert_eq!(Selector::read(&json!("app=web")), None);
        assert_eq!(Selector::parse("a b"), None);
    }
}
