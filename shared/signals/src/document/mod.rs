//! One document, checked once and then read in place: where the members of its objects stand is noted in a table of
//! bounded size while it is checked, so that what is not asked for costs no memory, and asking a finding for ten members
//! does not walk over its sections ten times.

mod keys;
mod table;
mod walk;

use std::fmt::Write as _;

use stanch_core::{Error, Result};
use typed_arena::Arena;

use self::keys::is_key;
pub(crate) use self::{
    keys::{Keys, Tag, keys, plain_key},
    table::{Member, Table, place},
    walk::Members,
};
use crate::{
    Limits,
    at::At,
    json,
    text::{plain, unescape},
};

/// A document that is known to be one.
pub(crate) struct Document<'a> {
    text: &'a str,
    /// Texts that are written with escapes, without them.
    unescaped: Arena<String>,
    table: Table,
}

/// What a look for a member finds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Nothing,
    One(Member),
    /// In two spellings.
    Two,
}

impl std::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl<'a> Document<'a> {
    /// The one document that the bytes hold.
    ///
    /// # Errors
    /// When they are not UTF-8, not exactly one JSON document, have a key twice, or go beyond a limit.
    pub(crate) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        // Places are noted in 32 bits.
        if u32::try_from(bytes.len()).is_err() {
            return Err(Limits::exceeded("", "body", u32::MAX));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("", "is not UTF-8"))?;
        let mut document = Self { text, unescaped: Arena::with_capacity(0), table: Table::new() };
        json::check(text, limits, &mut document.table)?;
        Ok(document)
    }

    /// Its one value.
    pub(crate) fn top(&'a self) -> At<'a> {
        let start = self.space(0);
        let (end, escaped) = (self.text.trim_ascii_end().len(), self.byte(start) == b'"');
        At::new(self, place(start), place(end), escaped)
    }

    /// The member of the object from `start` to `end` that has this key.
    pub(crate) fn find(&'a self, start: u32, end: u32, key: &str, either_case: bool) -> Found {
        let walk = Members::of(self, start, end);
        match self.table.members(start, walk) {
            Some(members) => self.one(members.iter().copied(), key, either_case),
            None => self.one(Members::of(self, start, end), key, either_case),
        }
    }

    fn one(&self, mut members: impl Iterator<Item = Member>, key: &str, either_case: bool) -> Found {
        let tag = Tag::of(key);
        if !either_case {
            let found = members.find(|it| it.tag == tag && is_key(self.raw_key(it), it.key_escaped, key, false));
            return found.map_or(Found::Nothing, Found::One);
        }
        let tag = tag.in_either_case();
        let mut found =
            members.filter(|it| it.tag.in_either_case() == tag && is_key(self.raw_key(it), it.key_escaped, key, true));
        match (found.next(), found.next()) {
            (None, _) => Found::Nothing,
            (Some(one), None) => Found::One(one),
            (Some(_), Some(_)) => Found::Two,
        }
    }

    /// Which of these keys the object from `start` to `end` has: a bit for each.
    pub(crate) fn marks<const N: usize>(&'a self, start: u32, end: u32, keys: &Keys<N>) -> u64 {
        let mark = |all: u64, it: Member| all | keys.mark(it.tag, self.raw_key(&it), it.key_escaped);
        match self.table.members(start, Members::of(self, start, end)) {
            Some(members) => members.iter().copied().fold(0, mark),
            None => Members::of(self, start, end).fold(0, mark),
        }
    }

    /// The key of a member, with its escapes.
    pub(crate) fn raw_key(&self, member: &Member) -> &'a str {
        self.text.get(member.key as usize..member.key_end as usize).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The text that one with escapes stands for.
    pub(crate) fn unescaped(&'a self, raw: &str) -> &'a str {
        self.unescaped.alloc(unescape(raw))
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or_default()
    }

    fn space(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    }

    /// The way from the top to the value that starts here.
    pub(crate) fn path_to(&'a self, wanted: u32) -> String {
        let mut path = String::new();
        let mut start = self.space(0);
        while start != wanted as usize {
            let mut members = Members::of(self, place(start), place(walk::end_of(self, start).0)).enumerate();
            let around = |(_, it): &(usize, Member)| (it.start..it.end).contains(&wanted);
            let Some((index, member)) = members.find(around) else { break };
            if self.byte(start) == b'[' {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&plain(&unescape(self.raw_key(&member))));
            }
            start = member.start as usize;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Builds a document again from what the lazy reader finds.
    fn built(at: At<'_>) -> Result<Value> {
        Ok(if at.is_object() {
            let entries = at.entries().map(|(key, at)| Ok((key.required_text()?.to_owned(), built(at)?)));
            Value::Object(entries.collect::<Result<_>>()?)
        } else if at.is_list() {
            Value::Array(at.each()?.map(built).collect::<Result<_>>()?)
        } else if at.is_text() {
            Value::String(at.required_text()?.to_owned())
        } else {
            at.raw().map_or(Value::Null, |raw| serde_json::from_str(raw).expect("a scalar"))
        })
    }

    #[test]
    fn what_is_found_is_what_serde_json_finds() -> Result<()> {
        let long = format!(r#"{{"a":"{}","b":[{}],"c":1}}"#, "x\\\"]".repeat(40), "{\"k\":\"}\"},".repeat(30) + "0");
        // More objects, and more members of one, than are remembered.
        let many: Vec<_> = (0..200).map(|n| format!(r#"{{"a":{n},"\u0062":{{"c":"\"{n}","d":[{n}]}}}}"#)).collect();
        let many = format!(r#"{{"first":{{"x":1}},"all":[{}],"last":{{"y":2}}}}"#, many.join(","));
        let wide: Vec<_> = (0..300).map(|n| format!(r#""key-{n}":{{"a":"{n}"}}"#)).collect();
        let wide = format!("{{{}}}", wide.join(","));
        for text in [
            r#"{"a":[1,-2,3.5,true,null,"x\u00e9\ud83d\ude00"],"b":{"":{}},"n":1685022245478445995}"#,
            "\n [ ] ",
            " { \"a\" : { \"b\" : [ 1 , [ ] , { } ] } , \"c\" : null } ",
            r#"[[[[["a"],[]]],{}],"\"",{"\"":"\\"}]"#,
            "\"x\"",
            "17",
            &long,
            &many,
            &wide,
        ] {
            let document = Document::read(text.as_bytes(), &Limits::default())?;
            // Twice: the second time large values are known.
            for _ in 0..2 {
                assert_eq!(Some(built(document.top())?), serde_json::from_str(text).ok(), "{text}");
            }
        }
        Ok(())
    }

    #[test]
    fn members_are_found_by_their_keys_though_more_stand_there_than_are_remembered() -> Result<()> {
        let all: Vec<_> = (0..200).map(|n| format!(r#"{{"a":{n},"in":{{"b":"{n}","c":"\"{n}"}}}}"#)).collect();
        let wide: Vec<_> = (0..100).map(|n| format!(r#""key-{n}":{n}"#)).collect();
        let text = format!(r#"{{"all":[{}],"wide":{{{}}},"last":1}}"#, all.join(","), wide.join(","));
        let document = Document::read(text.as_bytes(), &Limits::default())?;
        // Twice: the second time others are remembered than the first time.
        for _ in 0..2 {
            for (n, item) in (0..).zip(document.top().get("all")?.each()?) {
                let inner = item.get("in")?;
                assert_eq!(item.get("a")?.integer()?, Some(n));
                assert_eq!(inner.get("b")?.text()?, Some(n.to_string().as_str()));
                assert_eq!(inner.get("c")?.text()?, Some(format!("\"{n}").as_str()));
                assert!(!inner.get("a")?.is_present());
            }
            let wide = document.top().get("wide")?;
            assert_eq!((wide.get("key-0")?.integer()?, wide.get("key-99")?.integer()?), (Some(0), Some(99)));
            assert_eq!(wide.marks(keys!["key-98", "b", "key-7"]), 0b101);
            assert_eq!(document.top().get("last")?.integer()?, Some(1));
        }
        Ok(())
    }

    #[test]
    fn keys_are_found_however_they_are_written() -> Result<()> {
        let document = Document::read(br#"{"\u0061b":1,"Cd":2,"x":{"\"":3}}"#, &Limits::default())?;
        assert_eq!(document.top().get("ab")?.integer()?, Some(1));
        assert_eq!(document.top().get("cd")?.integer()?, None);
        assert_eq!(document.top().in_either_case().get("cd")?.integer()?, Some(2));
        assert_eq!(document.top().in_either_case().get("Ab")?.integer()?, None);
        assert_eq!(document.top().get("x")?.get("\"")?.integer()?, Some(3));
        Ok(())
    }
}
