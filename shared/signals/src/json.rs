//! The strict reading of a document: exactly one JSON value (RFC 8259), no key twice in an object (section 4: what a
//! reader makes of one is unpredictable, so two readers can be made to disagree), bounded nesting, no lone surrogate,
//! no number beyond a 64-bit float. It checks and builds nothing: what it keeps while it reads are the keys of the
//! objects that are open, so what a document holds besides what is asked for costs no memory.

use std::borrow::Cow;

use stanch_core::{Error, Result};

use crate::{Limits, document::Ends, text::unescape};

/// Up to here a new key is compared with each one before it; the keys of a larger object are sorted at its end.
const FEW: usize = 32;

/// Checks that a text is one document within the limits, and notes where its large parts end.
pub(crate) fn check(text: &str, limits: &Limits, ends: &Ends) -> Result<()> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, keys: Keys::new(), limits, ends };
    reader.space();
    if reader.at == reader.bytes.len() {
        return Err(Error::invalid("", "is empty"));
    }
    let read = reader.value(limits.nesting).and_then(|()| {
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
    keys: Keys<'a>,
    limits: &'a Limits,
    ends: &'a Ends,
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

    fn value(&mut self, left: u32) -> Step {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(drop)
            }
            Some(b'{') => self.object(left.checked_sub(1).ok_or(Fault::Nesting)?),
            Some(b'[') => self.list(left.checked_sub(1).ok_or(Fault::Nesting)?),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err(Fault::Unexpected),
            None => Err(Fault::Ends),
        }
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
        let open = self.keys.open();
        loop {
            self.take(b'"')?;
            let name = self.at;
            let escaped = self.string()?;
            let key = self.text.get(name..self.at - 1).unwrap_or_default();
            let key = if escaped { Cow::Owned(unescape(key)) } else { Cow::Borrowed(key) };
            self.keys.add(open, key, self.limits.members)?;
            self.space();
            self.take(b':')?;
            self.space();
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
        self.take(b'}')?;
        self.ends.note(start, self.at);
        self.keys.close(open)
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
        self.ends.note(start, self.at);
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

/// The keys of the objects that are open, innermost last.
struct Keys<'a> {
    /// A few bytes of each key: most keys differ in them.
    tags: Vec<u64>,
    keys: Vec<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn new() -> Self {
        Self { tags: Vec::with_capacity(FEW), keys: Vec::with_capacity(FEW) }
    }

    fn open(&self) -> usize {
        self.keys.len()
    }

    fn add(&mut self, open: usize, key: Cow<'a, str>, most: usize) -> Step {
        let tag = tag(&key);
        let tags = self.tags.get(open..).unwrap_or_default();
        if tags.len() >= most {
            return Err(Fault::Members);
        }
        if tags.len() < FEW && tags.contains(&tag) && self.keys.get(open..).unwrap_or_default().contains(&key) {
            return Err(Fault::Twice);
        }
        self.tags.push(tag);
        self.keys.push(key);
        Ok(())
    }

    fn close(&mut self, open: usize) -> Step {
        let keys = self.keys.get_mut(open..).unwrap_or_default();
        if keys.len() > FEW {
            keys.sort_unstable();
            if keys.array_windows().any(|[one, next]| one == next) {
                return Err(Fault::Twice);
            }
        }
        self.keys.truncate(open);
        self.tags.truncate(open);
        Ok(())
    }
}

/// Length, first and last bytes of a key, mixed.
fn tag(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
    };
    (first ^ last.rotate_left(23)).wrapping_add(bytes.len() as u64)
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
mod tests {
    use serde_json::Value;

    use super::*;

    fn refusal(text: &str) -> String {
        match check(text, &Limits::default(), &Ends::default()) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_one_clean_document_is_read() {
        for (text, expected) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("{", "ends too early"),
            (r#"{"a"#, "ends too early"),
            (r#"{"a":tru"#, "ends too early"),
            ("{} {}", "trailing"),
            ("{}x", "trailing"),
            ("\u{feff}{}", "unexpected"),
            (r#"{"a":"\ud800"}"#, "surrogate"),
            (r#"{"a":"\ud800\u0041"}"#, "surrogate"),
            (r#"{"a":"\udc00"}"#, "surrogate"),
            (r#"{"a":"\x"}"#, "escape"),
            (r#"{"a":"\u00g0"}"#, "escape"),
            ("{\"a\":\"\u{1}\"}", "control"),
            (r#"{"a":NaN}"#, "unexpected"),
            (r#"{"a":Infinity}"#, "unexpected"),
            (r#"{"a":1e999}"#, "out of range"),
            (r#"{"a":01}"#, "invalid number"),
            (r#"{"a":1.}"#, "invalid number"),
            (r#"{"a":-}"#, "invalid number"),
            (r#"{"a":1,}"#, "unexpected"),
            ("[1,]", "unexpected"),
            ("{'a':1}", "unexpected"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(expected), "{text:?} gives {refusal:?}");
        }
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let strings =
            ["\"a\"", r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#, "\"\u{7f}\u{e9}\"", r#""12345678\"""#, "\"\""];
        let numbers =
            ["0", "-0", "1.5e3", "-1E-7", "18446744073709551616", "1e308", "1e309", "00", "1e", ".5", "+1", "--1"];
        let forms = [
            "[]",
            "{}",
            "[ ]",
            "{ }",
            "[[]]",
            "{\"\":{}}",
            "{\"a\" : 1 , \"b\":[1 ,2]}",
            "[,]",
            "{,}",
            "{[]:1}",
            "[1 2]",
            "nul",
            "nulll",
        ];
        for text in strings.iter().chain(&numbers).chain(&forms) {
            assert_eq!(refusal(text) == "accepted", serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_key_stands_once_at_any_depth() {
        let many = |last: usize| {
            let keys: Vec<_> = (0..100).chain([last]).map(|key| format!("\"key-number-{key}-of-many\":{{}}")).collect();
            format!("{{{}}}", keys.join(","))
        };
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1},"c":1,"a":2}"#,
            &many(0),
            &many(99),
        ] {
            assert!(refusal(text).contains("twice"), "{text}");
        }
        assert_eq!(refusal(&many(100)), "accepted");
        assert_eq!(refusal(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#), "accepted");
        assert!(!refusal(r#"{"secret-key":1,"secret-key":2}"#).contains("secret"), "the key is repeated");
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let limits = Limits::default();
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = |depth: u32| format!("{}1{}", open.repeat(depth as usize), close.repeat(depth as usize));
            assert_eq!(refusal(&nested(limits.nesting)), "accepted");
            assert!(refusal(&nested(limits.nesting + 1)).contains("limit.nesting"));
            assert!(refusal(&open.repeat(100_000)).contains("limit.nesting"));
        }
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|key| format!("\"{key}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(refusal(&members(limits.members)), "accepted");
        assert!(refusal(&members(limits.members + 1)).contains("limit.members"));
    }

    #[test]
    fn the_end_of_plain_text_is_found_at_any_place() {
        for length in 0..40 {
            for end in ["\"", "\\", "\n", ""] {
                let text = format!("{}{end}\u{e9}\"\\", "\u{7f}\u{20}x".repeat(14).get(..length).unwrap_or_default());
                let expected = if end.is_empty() { length + 2 } else { length };
                assert_eq!(plain_until(text.as_bytes(), 0), expected, "{text:?}");
            }
        }
    }
}
