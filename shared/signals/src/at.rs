//! A place in a document that knows its path, so that every error names the field.

use std::str::FromStr;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;
use stanch_core::{Error, Result};

/// A place in a document. What is absent, and what is null, has no value and can still be named.
#[derive(Clone, Debug)]
pub(crate) struct At<'a> {
    value: Option<&'a Value>,
    path: String,
    either_case: bool,
}

impl<'a> At<'a> {
    /// The document itself, or the part of it that `path` names.
    pub(crate) fn new(value: &'a Value, path: &str) -> Self {
        Self { value: Some(value), path: path.to_owned(), either_case: false }
    }

    /// From here on `camelCase` keys may be spelled in `PascalCase`.
    pub(crate) fn in_either_case(self) -> Self {
        Self { either_case: true, ..self }
    }

    /// Is there anything but null?
    pub(crate) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// The same place with nothing there.
    pub(crate) fn absent(self) -> Self {
        Self { value: None, ..self }
    }

    /// Is it an object?
    pub(crate) fn is_object(&self) -> bool {
        self.value.is_some_and(Value::is_object)
    }

    /// A member. Of what is absent every member is absent; of anything but an object there is none to ask for.
    pub(crate) fn get(&self, key: &str) -> Result<At<'a>> {
        let object = match self.value {
            None => None,
            Some(Value::Object(object)) => Some(object),
            Some(_) => return Err(self.wrong("must be an object")),
        };
        let find = |key: &str| object.and_then(|object| object.get(key));
        let capital = if self.either_case { capitalized(key) } else { None };
        let (value, key) = match (find(key), capital.as_deref().and_then(find)) {
            (Some(_), Some(_)) => return Err(self.child(key, None).wrong("stands twice, in two spellings")),
            (None, Some(value)) => (Some(value), capital.as_deref().unwrap_or(key)),
            (value, None) => (value, key),
        };
        Ok(self.child(key, value))
    }

    /// The first of several spellings of a member; two at once are refused.
    pub(crate) fn get_one_of(&self, keys: [&str; 2]) -> Result<At<'a>> {
        let [first, second] = keys;
        let (first, second) = (self.get(first)?, self.get(second)?);
        match (first.is_present(), second.is_present()) {
            (true, true) => Err(first.wrong("stands twice, in two spellings")),
            (false, true) => Ok(second),
            (_, false) => Ok(first),
        }
    }

    fn child(&self, key: &str, value: Option<&'a Value>) -> At<'a> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { value: value.filter(|value| !value.is_null()), path, either_case: self.either_case }
    }

    /// An object with something in it. Detectors write null, `""` and `{}` for "nothing to say".
    pub(crate) fn section(&self) -> Result<Option<&At<'a>>> {
        match self.value {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::Object(object)) => Ok((!object.is_empty()).then_some(self)),
            Some(_) => Err(self.wrong("must be an object")),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<At<'a>>> {
        match self.value {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, item)| At {
                    value: (!item.is_null()).then_some(item),
                    path: format!("{}[{index}]", self.path),
                    either_case: self.either_case,
                })
                .collect()),
            Some(_) => Err(self.wrong("must be a list")),
        }
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<Option<&'a str>> {
        match self.value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong("must be text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self) -> Result<&'a str> {
        self.text()?.ok_or_else(|| self.missing())
    }

    /// The text, whatever else may be wrong here: for questions that decide nothing but "inactive".
    pub(crate) fn peek(&self, keys: &[&str]) -> Option<&'a str> {
        let mut at = self.clone();
        for key in keys {
            at = at.get(key).ok()?;
        }
        at.text().ok().flatten()
    }

    /// A checked name.
    pub(crate) fn name<T: FromStr<Err = Error>>(&self) -> Result<Option<T>> {
        self.text()?.map(|text| self.parse(text)).transpose()
    }

    /// A checked name in a part of this text.
    pub(crate) fn parse<T: FromStr<Err = Error>>(&self, text: &str) -> Result<T> {
        // Only the rule is kept: a name's own error may have a place in a larger form.
        text.parse().map_err(|error: Error| self.wrong(error.message()))
    }

    /// True or false; as text only in exactly these spellings.
    pub(crate) fn flag(&self) -> Result<Option<bool>> {
        match self.value {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(self.wrong("must be true or false")),
        }
    }

    /// A number.
    pub(crate) fn number(&self) -> Result<Option<f64>> {
        match self.value {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(self.wrong("must be a number")),
        }
    }

    /// An integer; `None` also for a number that a lossy relay has rounded.
    pub(crate) fn integer(&self) -> Result<Option<i64>> {
        match self.value {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_i64()),
            Some(_) => Err(self.wrong("must be a number")),
        }
    }

    /// A time, RFC 3339. Without an offset it is UTC, which is what all detectors here write.
    pub(crate) fn time(&self) -> Result<Option<Timestamp>> {
        let Some(text) = self.text()? else { return Ok(None) };
        let utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        text.parse().ok().or_else(utc).map(Some).ok_or_else(|| self.wrong("must be a time as in RFC 3339"))
    }

    /// An error about this place. It must not repeat the value.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Error {
        Error::invalid(self.path.as_str(), message)
    }

    /// An error about what should be here.
    pub(crate) fn missing(&self) -> Error {
        self.wrong("is missing")
    }

    /// The place, as errors name it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The value itself.
    pub(crate) fn value(&self) -> Option<&'a Value> {
        self.value
    }
}

/// The one value that several places name. Two that disagree are refused, never picked from.
pub(crate) fn agree<'a, T: PartialEq>(places: impl IntoIterator<Item = (At<'a>, Option<T>)>) -> Result<Option<T>> {
    let mut agreed: Option<(String, T)> = None;
    for (at, value) in places {
        match (&agreed, value) {
            (_, None) => {}
            (None, Some(value)) => agreed = Some((at.path, value)),
            (Some((_, first)), Some(value)) if *first == value => {}
            (Some((path, _)), Some(_)) => return Err(at.wrong(format!("disagrees with {path}"))),
        }
    }
    Ok(agreed.map(|(_, value)| value))
}

fn capitalized(key: &str) -> Option<String> {
    let mut letters = key.chars();
    let first = letters.next()?;
    Some(first.to_ascii_uppercase().to_string() + letters.as_str()).filter(|capital| capital != key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stanch_core::names::InstanceId;

    use super::*;

    #[test]
    fn an_error_names_the_field_and_not_the_value() -> Result<()> {
        let document = json!({"detail": {"Resource": {"instanceId": "evil"}, "list": [1]}});
        let detail = At::new(&document, "").get("detail")?.in_either_case();
        let Err(error) = detail.get("resource")?.get("instanceId")?.name::<InstanceId>() else {
            return Err(Error::invalid("", "accepted"));
        };
        assert_eq!(error.resource(), "detail.Resource.instanceId");
        assert!(!error.to_string().contains("evil"));
        assert_eq!(detail.get("list")?.items()?.first().map(At::path), Some("detail.list[0]"));
        Ok(())
    }

    #[test]
    fn two_spellings_at_once_are_refused() -> Result<()> {
        let document = json!({"archived": false, "Archived": true});
        assert!(At::new(&document, "").in_either_case().get("archived").is_err());
        assert_eq!(At::new(&document, "").get("archived")?.flag()?, Some(false));
        Ok(())
    }

    #[test]
    fn nothing_to_say_has_three_spellings() -> Result<()> {
        for nothing in [json!(null), json!(""), json!({})] {
            let document = json!({ "a": nothing });
            assert!(At::new(&document, "").get("a")?.section()?.is_none(), "{nothing}");
        }
        for wrong in [json!([]), json!("x"), json!(1), json!(false)] {
            let document = json!({ "a": wrong });
            assert!(At::new(&document, "").get("a")?.section().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn times_are_read_in_the_forms_that_detectors_write() -> Result<()> {
        for (text, utc) in [
            ("2023-05-25T13:44:05.478445995Z", "2023-05-25T13:44:05.478445995Z"),
            ("2023-03-22T15:48:25.752000-05:00", "2023-03-22T20:48:25.752Z"),
            ("2025-02-25 20:40:06.000000000", "2025-02-25T20:40:06Z"),
        ] {
            let document = json!(text);
            let time = At::new(&document, "").time()?;
            assert_eq!(time.map(|time| time.to_string()).as_deref(), Some(utc));
        }
        for wrong in [json!("2021-04-13T20:58:00.746609046Z+2"), json!("yesterday"), json!(""), json!(1), json!({})] {
            assert!(At::new(&wrong, "").time().is_err(), "{wrong}");
        }
        Ok(())
    }
}
