//! A place in a document, by which it is read: only what is asked for is looked at, and every error names the field.

use std::str::FromStr;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use stanch_core::{Error, Result};

use crate::document::{Document, Found, Keys, Members};

/// A place in a document. What is absent, and what is null, has no value and can still be named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    document: &'a Document<'a>,
    /// Where its value starts; of what is absent, where the object starts that it is not in.
    start: u32,
    /// Where its value ends; `start` of what is absent or null.
    end: u32,
    /// Is it a text that may have escapes?
    escaped: bool,
    /// The keys that lead from `start` to what is absent.
    absent: [&'static str; 3],
    either_case: bool,
}

impl<'a> At<'a> {
    /// A value of a document, from its first byte to behind its last one.
    pub(crate) fn new(document: &'a Document<'a>, start: u32, end: u32, escaped: bool) -> Self {
        Self { document, start, end, escaped, absent: [""; 3], either_case: false }.without_null()
    }

    fn without_null(mut self) -> Self {
        // Nothing else begins so.
        if self.first() == Some(b'n') {
            self.end = self.start;
        }
        self
    }

    /// From here on `camelCase` keys may be spelled in `PascalCase`.
    pub(crate) fn in_either_case(self) -> Self {
        Self { either_case: true, ..self }
    }

    /// Is there anything but null?
    pub(crate) fn is_present(&self) -> bool {
        self.end > self.start
    }

    /// The same place with nothing there.
    pub(crate) fn absent(self) -> Self {
        Self { end: self.start, ..self }
    }

    /// The value as it is written.
    pub(crate) fn raw(&self) -> Option<&'a str> {
        self.document.text().get(self.start as usize..self.end as usize).filter(|raw| !raw.is_empty())
    }

    fn first(&self) -> Option<u8> {
        if self.is_present() { self.document.text().as_bytes().get(self.start as usize).copied() } else { None }
    }

    /// Is it an object?
    pub(crate) fn is_object(&self) -> bool {
        self.first() == Some(b'{')
    }

    /// Is it a text?
    pub(crate) fn is_text(&self) -> bool {
        self.first() == Some(b'"')
    }

    /// Is it a list?
    pub(crate) fn is_list(&self) -> bool {
        self.first() == Some(b'[')
    }

    /// A member. Of what is absent every member is absent; of anything but an object there is none to ask for.
    pub(crate) fn get(&self, key: &'static str) -> Result<At<'a>> {
        match self.first() {
            None => return Ok(self.without(key)),
            Some(b'{') => {}
            Some(_) => return Err(self.wrong("must be an object")),
        }
        match self.document.find(self.start, self.end, key, self.either_case) {
            Found::Nothing => Ok(self.without(key)),
            Found::One(it) => Ok(self.child(it.start, it.end, it.escaped)),
            Found::Two => Err(self.without(key).wrong("stands twice, in two spellings")),
        }
    }

    /// The first of several spellings of a member; two at once are refused.
    pub(crate) fn get_one_of(&self, keys: [&'static str; 2]) -> Result<At<'a>> {
        let [first, second] = keys;
        let (first, second) = (self.get(first)?, self.get(second)?);
        match (first.is_present(), second.is_present()) {
            (true, true) => Err(first.wrong("stands twice, in two spellings")),
            (false, true) => Ok(second),
            (_, false) => Ok(first),
        }
    }

    /// Which of these keys are there, null or not: a bit for each.
    pub(crate) fn marks<const N: usize>(&self, keys: &Keys<N>) -> u64 {
        self.document.marks(self.start, self.end, keys)
    }

    /// Each member: its key, which is a text, and its value. Of anything but an object there is none.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (At<'a>, At<'a>)> {
        let object = if self.is_object() { *self } else { self.absent() };
        object.members().map(move |it| {
            // The key as a value, quotes and all.
            let key = object.child(it.key.saturating_sub(1), it.key_end + 1, it.key_escaped);
            (key, object.child(it.start, it.end, it.escaped))
        })
    }

    fn members(&self) -> Members<'a> {
        Members::of(self.document, self.start, self.end)
    }

    fn child(&self, start: u32, end: u32, escaped: bool) -> Self {
        Self { start, end, escaped, absent: [""; 3], ..*self }.without_null()
    }

    fn without(&self, key: &'static str) -> Self {
        let mut absent = self.absent;
        if let Some(free) = absent.iter_mut().find(|name| name.is_empty()) {
            *free = key;
        }
        Self { end: self.start, absent, ..*self }
    }

    /// An object with something in it. Detectors write null, `""` and `{}` for "nothing to say".
    pub(crate) fn section(&self) -> Result<Option<&Self>> {
        match self.raw() {
            None | Some(r#""""#) => Ok(None),
            Some(raw) if raw.starts_with('{') => Ok(self.members().next().map(|_| self)),
            Some(_) => Err(self.wrong("must be an object")),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<At<'a>>> {
        Ok(self.each()?.collect())
    }

    /// The items of a list, one after the other.
    pub(crate) fn each(&self) -> Result<impl Iterator<Item = At<'a>>> {
        let at = *self;
        match self.first() {
            None | Some(b'[') => Ok(self.members().map(move |it| at.child(it.start, it.end, it.escaped))),
            Some(_) => Err(self.wrong("must be a list")),
        }
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<Option<&'a str>> {
        match self.first() {
            None => Ok(None),
            Some(b'"') => {
                let raw = self.document.text().get(self.start as usize + 1..self.end as usize - 1).unwrap_or_default();
                Ok(Some(if self.escaped { self.document.unescaped(raw) } else { raw }))
            }
            Some(_) => Err(self.wrong("must be text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self) -> Result<&'a str> {
        self.text()?.ok_or_else(|| self.missing())
    }

    /// The text, whatever else may be wrong here: for questions that decide nothing but "inactive".
    pub(crate) fn peek(&self, keys: &[&'static str]) -> Option<&'a str> {
        let mut at = *self;
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
        match self.raw() {
            None => Ok(None),
            Some("true" | r#""true""#) => Ok(Some(true)),
            Some("false" | r#""false""#) => Ok(Some(false)),
            Some(_) => Err(self.wrong("must be true or false")),
        }
    }

    /// A number.
    pub(crate) fn number(&self) -> Result<Option<f64>> {
        Ok(self.digits()?.and_then(|number| number.parse().ok()))
    }

    /// An integer; `None` also for a number that a lossy relay has rounded.
    pub(crate) fn integer(&self) -> Result<Option<i64>> {
        Ok(self.digits()?.and_then(|number| number.parse().ok()))
    }

    fn digits(&self) -> Result<Option<&'a str>> {
        match self.first() {
            None => Ok(None),
            Some(b'-' | b'0'..=b'9') => Ok(self.raw()),
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
        Error::invalid(self.path(), message)
    }

    /// An error about what should be here.
    pub(crate) fn missing(&self) -> Error {
        self.wrong("is missing")
    }

    /// The place, as errors name it: found again from the top, since only an error asks for it.
    pub(crate) fn path(&self) -> String {
        let mut path = self.document.path_to(self.start);
        for key in self.absent.iter().filter(|key| !key.is_empty()) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
        path
    }
}

/// The one value that several places name. Two that disagree are refused, never picked from.
pub(crate) fn agree<'a, T: PartialEq>(places: impl IntoIterator<Item = (At<'a>, Option<T>)>) -> Result<Option<T>> {
    let mut agreed: Option<(At<'a>, T)> = None;
    for (at, value) in places {
        match (&agreed, value) {
            (_, None) => {}
            (None, Some(value)) => agreed = Some((at, value)),
            (Some((_, first)), Some(value)) if *first == value => {}
            (Some((first, _)), Some(_)) => return Err(at.wrong(format!("disagrees with {}", first.path()))),
        }
    }
    Ok(agreed.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use stanch_core::names::InstanceId;

    use super::*;
    use crate::Limits;

    fn read(text: &str) -> Result<Document<'_>> {
        Document::read(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn an_error_names_the_field_and_not_the_value() -> Result<()> {
        let document = read(r#"{"detail":{"Resource":{"instanceId":"evil"},"list":[0,{"a":1}],"none":null}}"#)?;
        let detail = document.top().get("detail")?.in_either_case();
        let Err(error) = detail.get("resource")?.get("instanceId")?.name::<InstanceId>() else {
            return Err(Error::invalid("", "accepted"));
        };
        assert_eq!(error.resource(), "detail.Resource.instanceId");
        assert!(!error.to_string().contains("evil"));
        let list = detail.get("list")?.items()?;
        assert_eq!(list.last().map(At::path).as_deref(), Some("detail.list[1]"));
        assert_eq!(list.last().expect("two").get("b")?.path(), "detail.list[1].b");
        assert_eq!(detail.get("none")?.get("a")?.get("b")?.path(), "detail.none.a.b");
        assert_eq!(document.top().get("x")?.path(), "x");
        Ok(())
    }

    #[test]
    fn two_spellings_at_once_are_refused() -> Result<()> {
        let document = read(r#"{"archived":false,"Archived":true}"#)?;
        assert!(document.top().in_either_case().get("archived").is_err());
        assert_eq!(document.top().get("archived")?.flag()?, Some(false));
        Ok(())
    }

    #[test]
    fn nothing_to_say_has_three_spellings() -> Result<()> {
        for nothing in ["null", r#""""#, "{}", "{ }"] {
            let document = format!(r#"{{"a":{nothing}}}"#);
            assert!(read(&document)?.top().get("a")?.section()?.is_none(), "{nothing}");
        }
        for wrong in ["[]", r#""x""#, "1", "false"] {
            let document = format!(r#"{{"a":{wrong}}}"#);
            assert!(read(&document)?.top().get("a")?.section().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn values_are_of_their_kind_or_refused() -> Result<()> {
        let document = read(r#"[" a\u0041", 9007199254740993, 1.5, true, "true", null, [], {}]"#)?;
        let items = document.top().items()?;
        let [text, integer, number, yes, word, null, list, object] = items.as_slice() else { panic!("eight items") };
        assert_eq!(text.text()?, Some(" aA"));
        assert_eq!((integer.integer()?, number.integer()?), (Some(9_007_199_254_740_993), None));
        assert_eq!((number.number()?, yes.flag()?, word.flag()?), (Some(1.5), Some(true), Some(true)));
        assert_eq!((null.text()?, null.number()?, null.flag()?, null.items()?.len()), (None, None, None, 0));
        assert!(list.text().is_err() && object.text().is_err() && integer.text().is_err() && yes.text().is_err());
        assert!(text.number().is_err() && text.flag().is_err() && object.number().is_err() && number.flag().is_err());
        assert!(text.items().is_err() && object.items().is_err() && list.get("a").is_err() && text.get("a").is_err());
        Ok(())
    }

    #[test]
    fn times_are_read_in_the_forms_that_detectors_write() -> Result<()> {
        for (text, utc) in [
            ("2023-05-25T13:44:05.478445995Z", "2023-05-25T13:44:05.478445995Z"),
            ("2023-03-22T15:48:25.752000-05:00", "2023-03-22T20:48:25.752Z"),
            ("2025-02-25 20:40:06.000000000", "2025-02-25T20:40:06Z"),
        ] {
            let document = format!("\"{text}\"");
            let time = read(&document)?.top().time()?;
            assert_eq!(time.map(|time| time.to_string()).as_deref(), Some(utc));
        }
        for wrong in [r#""2021-04-13T20:58:00.746609046Z+2""#, r#""yesterday""#, r#""""#, "1", "{}"] {
            assert!(read(wrong)?.top().time().is_err(), "{wrong}");
        }
        Ok(())
    }
}
