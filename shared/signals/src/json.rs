//! The strict reading of a document: exactly one JSON value (RFC 8259), no key twice in an object (section 4: what a
//! reader makes of one is unpredictable, so two readers can be made to disagree), bounded nesting, no lone surrogate,
//! no number beyond a 64-bit float. It builds nothing: what it keeps while it reads is where the members of the objects
//! stand that are open, and afterwards a table of bounded size has as many of them as it has room for. So what a
//! document holds besides what is asked for costs no memory.

use std::borrow::Cow;

use stanch_core::{Error, Result};

use crate::{
    Limits,
    document::{Member, Table, Tag, place, plain_key},
};

/// Up to here a new key is compared with each one before it; the keys of a larger object are sorted at its end.
const FEW: usize = 32;

/// Checks that a text is one document within the limits, and notes where the members of its objects stand.
pub(crate) fn check(text: &str, limits: &Limits, table: &mut Table) -> Result<()> {
    let open = Vec::with_capacity(FEW);
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, open, limits, table };
    reader.space();
    if reader.at == reader.bytes.len() {
        return Err(Error::invalid("", "is empty"));
    }
    let read = reader.value(limits.nesting).and_then(|_| {
        reader.space();
        if reader.at == reader.bytes.len() { Ok(()) } else { Err(Fault::Trailing) }
    });
    read.map_err(|fault| fault.at(reader.at, limits))
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Ends,
    Unexpected,
    Trailing,
    Control,
    Escape,
    Surrogate,
    Number,
    Range,
    Twice,
    Nesting,
    Members,
}

impl Fault {
    /// The error. It says what and where, and does not repeat the input.
    fn at(self, at: usize, limits: &Limits) -> Error {
        let what = match self {
            Self::Ends => "it ends too early",
            Self::Unexpected => "an unexpected character",
            Self::Trailing => "trailing characters",
            Self::Control => "a control character in a text",
            Self::Escape => "an invalid escape in a text",
            Self::Surrogate => "a lone surrogate in a text",
            Self::Number => "an invalid number",
            Self::Range => "a number out of range",
            Self::Twice => return Error::invalid("", format!("a key stands twice in one object, before byte {at}")),
            Self::Nesting => return Limits::exceeded("", "nesting", limits.nesting),
            Self::Members => return Limits::exceeded("", "members", limits.members),
        };
        Error::invalid("", format!("is not one JSON document: {what} at byte {at}"))
    }
}

type Step = Result<(), Fault>;

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The members of the objects that are open, innermost last.
    open: Vec<Member>,
    limits: &'a Limits,
    table: &'a mut Table,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes a character that must come next.
    fn take(&mut self, wanted: u8) -> Step {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(Fault::Unexpected),
            None => Err(Fault::Ends),
        }
    }

    /// Says whether it is a text with an escape.
    fn value(&mut self, left: u32) -> Result<bool, Fault> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                return self.string();
            }
            Some(b'{') => self.object(left.checked_sub(1).ok_or(Fault::Nesting)?),
            Some(b'[') => self.list(left.checked_sub(1).ok_or(Fault::Nesting)?),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err(Fault::Unexpected),
            None => Err(Fault::Ends),
        }?;
        Ok(false)
    }

    fn word(&mut self, word: &[u8]) -> Step {
        word.iter().try_for_each(|letter| self.take(*letter))
    }

    fn object(&mut self, left: u32) -> Step {
        let start = self.at;
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let first = self.open.len();
        // Keys with escapes are compared once, at the end.
        let mut is_plain = true;
        loop {
            self.take(b'"')?;
            let key = self.at;
            let escaped = self.string()?;
            is_plain &= !escaped;
            self.add(first, (key, self.at - 1), escaped, is_plain)?;
            self.space();
            self.take(b':')?;
            self.space();
            let start = place(self.at);
            let escaped = self.value(left)?;
            let end = place(self.at);
            if let Some(member) = self.open.last_mut() {
                (member.start, member.end, member.escaped) = (start, end, escaped);
            }
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                _ => break,
            }
        }
        self.take(b'}')?;
        self.close(first, start, is_plain)
    }

    /// A key of the object whose first member is this one in `open`.
    fn add(&mut self, first: usize, (key, key_end): (usize, usize), escaped: bool, compare: bool) -> Step {
        let (text, before) = (self.text, self.open.get(first..).unwrap_or_default());
        if before.len() >= self.limits.members {
            return Err(Fault::Members);
        }
        let raw = text.get(key..key_end).unwrap_or_default();
        let tag = Tag::of(&plain_key(raw, escaped));
        let is_same = |it: &Member| it.tag == tag && raw_key(text, it) == raw;
        if compare && before.len() < FEW && before.iter().any(is_same) {
            return Err(Fault::Twice);
        }
        let (key, key_end) = (place(key), place(key_end));
        self.open.push(Member { key, key_end, tag, start: 0, end: 0, key_escaped: escaped, escaped: false });
        Ok(())
    }

    /// Compares the keys of an object that were not compared yet, and notes where its members stand.
    fn close(&mut self, first: usize, start: usize, is_plain: bool) -> Step {
        let (text, members) = (self.text, self.open.get_mut(first..).unwrap_or_default());
        let mut is_twice = false;
        if !is_plain {
            let mut keys: Vec<Cow<'_, str>> =
                members.iter().map(|it| plain_key(raw_key(text, it), it.key_escaped)).collect();
            keys.sort_unstable();
            is_twice = keys.array_windows().any(|[one, next]| one == next);
        } else if members.len() > FEW {
            let key = |it: &Member| (it.tag, raw_key(text, it));
            members.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
            is_twice = members.array_windows().any(|[one, next]| key(one) == key(next));
            members.sort_unstable_by_key(|it| it.start);
        }
        if is_twice {
            return Err(Fault::Twice);
        }
        self.table.note(place(start), members);
        self.table.note_end(place(start), place(self.at));
        self.open.truncate(first);
        Ok(())
    }

    fn list(&mut self, left: u32) -> Step {
        let start = self.at;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(left)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                _ => break,
            }
        }
        self.take(b']')?;
        self.table.note_end(place(start), place(self.at));
        Ok(())
    }

    /// Behind the opening quote; ends behind the closing one. Says whether there was an escape.
    fn string(&mut self) -> Result<bool, Fault> {
        let mut escaped = false;
        loop {
            self.at = plain_until(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(Fault::Control),
                None => return Err(Fault::Ends),
            }
        }
    }

    fn escape(&mut self) -> Step {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    self.take(b'\\').map_err(|_| Fault::Surrogate)?;
                    match self.unit() {
                        Ok(0xdc00..=0xdfff) => Ok(()),
                        _ => Err(Fault::Surrogate),
                    }
                }
                0xdc00..=0xdfff => Err(Fault::Surrogate),
                _ => Ok(()),
            },
            Some(_) => Err(Fault::Escape),
            None => Err(Fault::Ends),
        }
    }

    /// `uXXXX`, behind the backslash.
    fn unit(&mut self) -> Result<u32, Fault> {
        self.take(b'u').map_err(|_| Fault::Escape)?;
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Fault::Ends)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(Fault::Escape)?;
        }
        self.at += 4;
        Ok(unit)
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault::Number) }
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if let Some(b'0'..=b'9') = self.peek() {
                return Err(Fault::Number);
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut is_bounded = self.at - start < 300;
        if let Some(b'e' | b'E') = self.peek() {
            is_bounded = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        // Fewer digits than the largest float has cannot be out of range.
        let number = || self.text.get(start..self.at)?.parse::<f64>().ok();
        if is_bounded || number().is_some_and(f64::is_finite) { Ok(()) } else { Err(Fault::Range) }
    }
}

fn raw_key<'a>(text: &'a str, member: &Member) -> &'a str {
    text.get(member.key as usize..member.key_end as usize).unwrap_or_default()
}

/// The place of the next quote, backslash or control character. Eight bytes at a time.
pub(crate) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let has = |word: u64, byte: u8| {
        let word = word ^ (ONES * u64::from(byte));
        word.wrapping_sub(ONES) & !word
    };
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (control | has(word, b'"') | has(word, b'\\')) & HIGH;
        if found != 0 {
            // The lowest mark is exact; those above it may be carries.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
