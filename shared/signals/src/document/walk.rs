//! The members of an object or list, found by walking over them. The document is known to be one, so nothing is checked.

use super::{
    Document, Member,
    keys::{Tag, plain_key},
    table::place,
};
use crate::json;

/// The members of an object or list, one after the other.
pub(crate) struct Members<'a> {
    document: &'a Document<'a>,
    at: usize,
    end: usize,
    keyed: bool,
}

impl<'a> Members<'a> {
    /// Those of the value from `start` to `end`; of anything but an object or a list there is none.
    pub(crate) fn of(document: &'a Document<'a>, start: u32, end: u32) -> Self {
        let (start, end) = (start as usize, end as usize);
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
        let (mut key, mut key_end, mut key_escaped, mut tag) = (at, at, false, Tag::NONE);
        if self.keyed {
            key = at + 1;
            (at, key_escaped) = end_of_string(document.text.as_bytes(), at);
            key_end = at - 1;
            tag = Tag::of(&plain_key(document.text.get(key..key_end).unwrap_or_default(), key_escaped));
            at = document.space(document.space(at) + 1);
        }
        let (end, escaped) = end_of(document, at);
        // Behind the comma, or behind the closing bracket.
        self.at = document.space(end) + 1;
        let (key, key_end, start, end) = (place(key), place(key_end), place(at), place(end));
        Some(Member { key, key_end, tag, start, end, key_escaped, escaped })
    }
}

/// Behind the value that starts here, and whether it is a text with escapes.
pub(super) fn end_of(document: &Document<'_>, start: usize) -> (usize, bool) {
    let bytes = document.text.as_bytes();
    match document.byte(start) {
        b'"' => end_of_string(bytes, start),
        b'{' | b'[' => {
            let known = document.table.end(place(start));
            (known.map_or_else(|| end_of_many(bytes, start), |end| end as usize), false)
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let rest = bytes.get(start..).unwrap_or_default();
            (start + rest.iter().position(ends).unwrap_or(rest.len()), false)
        }
    }
}

/// Behind the string that starts here with its quote, and whether it has escapes.
fn end_of_string(bytes: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        at = json::plain_until(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => (at, escaped) = (at + 2, true),
            Some(b'"') => return (at + 1, escaped),
            Some(_) => at += 1,
            None => return (bytes.len(), escaped),
        }
    }
}

/// Behind the object or list that starts here.
fn end_of_many(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut open) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                (at, _) = end_of_string(bytes, at);
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
