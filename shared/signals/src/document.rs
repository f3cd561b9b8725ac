//! One document, checked once and then read in place: an object is walked over when it is first asked for a member, and
//! where its members stand is remembered in a table of fixed size, so that what is not asked for costs no memory, and
//! asking a finding for ten members does not walk over its sections ten times.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
};

use stanch_core::{Error, Result};
use typed_arena::Arena;

use crate::{
    Limits,
    at::At,
    json,
    text::{plain, unescape},
};

/// Objects whose members are remembered.
const OBJECTS: usize = 64;

/// Members that are remembered, of all those objects.
const MEMBERS: usize = 256;

/// An object with more members is walked over each time: it is no section of an event.
const MANY: usize = 64;

/// Where large objects and lists end: noted as the document is checked, so that none of them is walked over again to
/// find what stands behind it. Of two that fall on one place in the table the larger stays.
#[derive(Debug)]
pub(crate) struct Ends([Cell<(usize, usize)>; OBJECTS]);

impl Default for Ends {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Cell::new((0, 0))))
    }
}

impl Ends {
    /// Smaller ones are walked over faster than they are looked up.
    const LARGE: usize = 128;

    pub(crate) fn note(&self, start: usize, end: usize) {
        if end - start >= Self::LARGE
            && let Some(place) = self.place(start)
        {
            let (from, to) = place.get();
            if to - from < end - start {
                place.set((start, end));
            }
        }
    }

    fn get(&self, start: usize) -> Option<usize> {
        self.place(start).map(Cell::get).filter(|(from, to)| *from == start && to > from).map(|(_, to)| to)
    }

    fn place(&self, start: usize) -> Option<&Cell<(usize, usize)>> {
        self.0.get((start ^ start >> 6) % OBJECTS)
    }
}

/// A document that is known to be one.
pub(crate) struct Document<'a> {
    text: &'a str,
    /// Texts that are written with escapes, without them.
    unescaped: Arena<String>,
    /// Where large objects and lists end.
    ends: Ends,
    /// Objects by their start: where its members stand in `members`, and how many.
    objects: [Cell<(usize, usize, usize)>; OBJECTS],
    members: RefCell<Vec<Member>>,
}

/// Where a member stands: start and end of its raw key (nothing in a list), start and end of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    key: (usize, usize),
    tag: Tag,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What is compared first of a key: its length and three of its letters, the first one in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    pub(crate) const fn of(key: &str) -> Self {
        let bytes = key.as_bytes();
        let (Some((first, _)), Some((last, _))) = (bytes.split_first(), bytes.split_last()) else { return Self(0) };
        let (start, _) = bytes.split_at(bytes.len() / 2 + 1);
        let Some((middle, _)) = start.split_last() else { return Self(0) };
        // Longer keys than 255 bytes are told apart by the rest, or in the end by comparing them.
        let [long, ..] = bytes.len().to_le_bytes();
        Self(u32::from_be_bytes([long, *first | 0x20, *middle, *last]))
    }
}

/// Keys that are looked for together, by their tags.
#[derive(Debug)]
pub(crate) struct Keys<const N: usize> {
    keys: [&'static str; N],
    tags: [Tag; N],
}

impl<const N: usize> Keys<N> {
    pub(crate) const fn new(keys: [&'static str; N]) -> Self {
        let mut tags = [Tag(0); N];
        let (mut rest, mut left) = (keys.as_slice(), tags.as_mut_slice());
        while let (Some((key, keys)), Some((tag, others))) = (rest.split_first(), left.split_first_mut()) {
            *tag = Tag::of(key);
            (rest, left) = (keys, others);
        }
        Self { keys, tags }
    }

    /// The bit of a key; to be asked while compiling.
    #[expect(clippy::panic, reason = "while compiling")]
    pub(crate) const fn bit(&self, key: &str) -> u64 {
        let (mut rest, mut bit) = (self.keys.as_slice(), 1);
        while let Some((first, keys)) = rest.split_first() {
            if is_same(first.as_bytes(), key.as_bytes()) {
                return bit;
            }
            (rest, bit) = (keys, bit << 1);
        }
        panic!("the key is none of these")
    }
}

/// Keys that are looked for together, put in order while compiling.
macro_rules! keys {
    ($($key:literal),+ $(,)?) => { const { &$crate::document::Keys::new([$($key),+]) } };
}
pub(crate) use keys;

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let (Some((a, rest)), Some((b, others))) = (one.split_first(), other.split_first()) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest, others);
    }
    one.is_empty() && other.is_empty()
}

impl Member {
    /// Its key as a value, quotes and all.
    pub(crate) fn quoted_key(&self) -> (usize, usize) {
        (self.key.0.saturating_sub(1), self.key.1 + 1)
    }
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
        let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("", "is not UTF-8"))?;
        let ends = Ends::default();
        json::check(text, limits, &ends)?;
        Ok(Self {
            text,
            ends,
            unescaped: Arena::with_capacity(0),
            objects: std::array::from_fn(|_| Cell::new((usize::MAX, 0, 0))),
            members: RefCell::new(Vec::with_capacity(MANY)),
        })
    }

    /// Its one value.
    pub(crate) fn top(&'a self) -> At<'a> {
        let start = self.space(0);
        At::new(self, start, self.text.trim_ascii_end().len())
    }

    /// Members of the object from `start` to `end` that have this key: the first two, of which there is a second only
    /// if either case is right.
    pub(crate) fn find(
        &'a self,
        start: usize,
        end: usize,
        key: &str,
        either_case: bool,
    ) -> [Option<(usize, usize)>; 2] {
        match self.remembered(start, end) {
            Some((first, count)) => {
                let members = self.members.borrow();
                let members = members.get(first..first + count).unwrap_or_default();
                self.first_two(members.iter().copied(), key, either_case)
            }
            None => self.first_two(Members::of(self, start, end), key, either_case),
        }
    }

    fn first_two(
        &self,
        members: impl Iterator<Item = Member>,
        key: &str,
        either_case: bool,
    ) -> [Option<(usize, usize)>; 2] {
        let mut found = [None; 2];
        let tag = Tag::of(key);
        for member in members {
            if member.tag != tag || !is_key(self.raw_key(&member), key, either_case) {
                continue;
            }
            let place = Some((member.start, member.end));
            match found {
                [None, _] => found = [place, None],
                [first, _] => return [first, place],
            }
            if !either_case {
                break;
            }
        }
        found
    }

    /// Where the members of this object stand in the table.
    fn remembered(&'a self, start: usize, end: usize) -> Option<(usize, usize)> {
        let place = self.objects.get((start >> 1) % OBJECTS)?;
        let (known, first, count) = place.get();
        if known == start {
            return Some((first, count));
        }
        let mut members = self.members.borrow_mut();
        if members.len() + MANY > MEMBERS {
            members.clear();
            self.objects.iter().for_each(|place| place.set((usize::MAX, 0, 0)));
        }
        let first = members.len();
        for member in Members::of(self, start, end) {
            if members.len() - first == MANY {
                members.truncate(first);
                return None;
            }
            members.push(member);
        }
        let count = members.len() - first;
        place.set((start, first, count));
        Some((first, count))
    }

    /// Which of these keys the object from `start` to `end` has: a bit for each.
    pub(crate) fn marks<const N: usize>(&'a self, start: usize, end: usize, keys: &Keys<N>) -> u64 {
        let mark = |it: &Member| {
            let raw = self.raw_key(it);
            let is = |(tag, key): (&Tag, &&str)| *tag == it.tag && is_key(raw, key, false);
            keys.tags.iter().zip(&keys.keys).position(is).map_or(0, |index| 1 << index)
        };
        match self.remembered(start, end) {
            Some((first, count)) => {
                let members = self.members.borrow();
                let members = members.get(first..first + count).unwrap_or_default();
                members.iter().fold(0, |all, it| all | mark(it))
            }
            None => Members::of(self, start, end).fold(0, |all, it| all | mark(&it)),
        }
    }

    /// The key of a member, with its escapes.
    pub(crate) fn raw_key(&self, member: &Member) -> &'a str {
        self.text.get(member.key.0..member.key.1).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The text that a raw one stands for. One without escapes stays where it is.
    pub(crate) fn unescaped(&'a self, raw: &'a str) -> &'a str {
        if raw.contains('\\') { self.unescaped.alloc(unescape(raw)) } else { raw }
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

    /// Behind the value that starts here.
    fn end_of(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        match self.byte(start) {
            b'"' => end_of_string(bytes, start),
            b'{' | b'[' => self.ends.get(start).unwrap_or_else(|| end_of_many(bytes, start)),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let rest = bytes.get(start..).unwrap_or_default();
                start + rest.iter().position(ends).unwrap_or(rest.len())
            }
        }
    }

    /// The way from the top to the value that starts here.
    pub(crate) fn path_to(&'a self, wanted: usize) -> String {
        let mut path = String::new();
        let mut start = self.space(0);
        while start != wanted {
            let mut members = Members::of(self, start, self.end_of(start)).enumerate();
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
            start = member.start;
        }
        path
    }
}

/// The members of an object or list, one after the other.
pub(crate) struct Members<'a> {
    document: &'a Document<'a>,
    at: usize,
    end: usize,
    keyed: bool,
}

impl<'a> Members<'a> {
    /// Those of the value from `start` to `end`; of anything but an object or a list there is none.
    pub(crate) fn of(document: &'a Document<'a>, start: usize, end: usize) -> Self {
        let first = if start < end { document.byte(start) } else { 0 };
        let at = if matches!(first, b'{' | b'[') { start + 1 } else { end };
        Self { document, at, end: end.saturating_sub(1), keyed: first == b'{' }
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Self::Item> {
        let document = self.document;
        let mut at = document.space(self.at);
        if at >= self.end {
            self.at = self.end;
            return None;
        }
        let (mut key, mut tag) = ((at, at), Tag(0));
        if self.keyed {
            let end = end_of_string(document.text.as_bytes(), at);
            key = (at + 1, end - 1);
            let raw = document.text.get(key.0..key.1).unwrap_or_default();
            tag = if raw.as_bytes().contains(&b'\\') { Tag::of(&unescape(raw)) } else { Tag::of(raw) };
            at = document.space(document.space(end) + 1);
        }
        let end = document.end_of(at);
        // Behind the comma, or behind the closing bracket.
        self.at = document.space(end) + 1;
        Some(Member { key, tag, start: at, end })
    }
}

/// Is the raw key this one? In either case its first letter may be a capital.
pub(crate) fn is_key(raw: &str, key: &str, either_case: bool) -> bool {
    let is = |raw: &str| {
        raw == key
            || either_case
                && raw.len() == key.len()
                && raw.get(1..).is_some_and(|rest| Some(rest) == key.get(1..))
                && raw.as_bytes().first().map(u8::to_ascii_lowercase) == key.as_bytes().first().copied()
    };
    // An escape is longer than what it stands for.
    if raw.len() > key.len() && raw.contains('\\') { is(&unescape(raw)) } else { is(raw) }
}

/// Behind the string that starts here with its quote.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        at = json::plain_until(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// Behind the object or list that starts here.
fn end_of_many(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut open) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
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
        for text in [
            r#"{"a":[1,-2,3.5,true,null,"x\u00e9\ud83d\ude00"],"b":{"":{}},"n":1685022245478445995}"#,
            "\n [ ] ",
            " { \"a\" : { \"b\" : [ 1 , [ ] , { } ] } , \"c\" : null } ",
            r#"[[[[["a"],[]]],{}],"\"",{"\"":"\\"}]"#,
            "\"x\"",
            "17",
            &long,
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
