//! Policy documents: compared by what they say, kept as they were written.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy document. Two are equal if they say the same: the order of keys, statements and names, white space, and
/// whether one name stands in a list make no difference. What undo writes is the text as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(String);

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
            || match (self.value(), other.value()) {
                (Some(one), Some(two)) => canonical(one) == canonical(two),
                _ => false,
            }
    }
}

impl Eq for Policy {}

impl From<&Value> for Policy {
    fn from(document: &Value) -> Self {
        Self(document.to_string())
    }
}

impl Policy {
    /// As an API answers it: percent-encoded (IAM API Reference: "URL-encoded compliant with RFC 3986"); a document
    /// that begins with a brace is not.
    pub fn decode(text: &str) -> Self {
        if text.trim_start().starts_with('{') {
            return Self(text.to_owned());
        }
        Self(percent_decode_str(text).decode_utf8_lossy().into_owned())
    }

    /// The text to write.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What it says, if it can be read.
    pub fn value(&self) -> Option<Value> {
        serde_json::from_str(&self.0).ok()
    }

    /// How much of a quota it takes: white space does not count (IAM User Guide: "IAM and AWS STS quotas").
    pub fn size(&self) -> usize {
        self.0.chars().filter(|c| !c.is_whitespace()).count()
    }

    /// Its statements: one may stand without a list.
    pub fn statements(&self) -> Vec<Value> {
        match self.value().and_then(|mut document| document.get_mut("Statement").map(Value::take)) {
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
            None => Vec::new(),
        }
    }
}

/// The strings of an element that may hold one or several.
pub(crate) fn strings(element: Option<&Value>) -> Vec<String> {
    match element {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// One form for everything that says the same.
fn canonical(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<_> = list.into_iter().map(canonical).collect();
            list.sort_by_key(Value::to_string);
            list.dedup();
            match list.pop() {
                Some(only) if list.is_empty() => only,
                Some(one) => {
                    list.push(one);
                    Value::Array(list)
                }
                None => Value::Array(list),
            }
        }
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, canonical(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::decode(text)
    }

    #[test]
    fn documents_that_say_the_same_are_equal() {
        let one = policy(r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":["a","b"]}}"#);
        for same in [
            "{ \"Statement\": [ {\"Resource\": [\"b\", \"a\"], \"Action\": [\"*\"],\n \"Effect\": \"Deny\"} ], \"Version\": \"2012-10-17\" }",
            "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Deny%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%5B%22a%22%2C%22b%22%5D%7D%5D%7D",
        ] {
            assert_eq!(one, policy(same));
        }
        for other in [
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":["a","b"]}}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":["a"]}}"#,
            "",
            "no document",
        ] {
            assert_ne!(one, policy(other));
        }
        assert_eq!(policy("not json"), policy("not json"));
    }

    #[test]
    fn a_plus_stays_a_plus_and_the_text_stays_as_it_was() {
        assert_eq!(policy("%7B%22a%22:%22b+c%20d%22%7D").text(), r#"{"a":"b+c d"}"#);
        let written = "{\n  \"Statement\": []\n}";
        assert_eq!(policy(written).text(), written);
        let json = serde_json::to_string(&policy(written)).expect("writes");
        assert_eq!(serde_json::from_str::<Policy>(&json).expect("reads").text(), written);
    }

    #[test]
    fn white_space_takes_no_quota() {
        assert_eq!(policy("{ \"a\" :\n\t1 }").size(), 7);
    }
}
