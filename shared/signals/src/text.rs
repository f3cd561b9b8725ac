//! Text that came from outside, made safe to show; notes; and ids made by hashing.

use sha2::{Digest, Sha256};
use stanch_core::{Error, IncidentId, Result};

/// As much of a detector's text as is shown.
const MAX_SHOWN: usize = 256;

/// Text without control and direction characters, so that it cannot draw on a terminal or forge a log line.
pub(crate) fn plain(text: &str) -> String {
    if text.len() <= MAX_SHOWN && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).take(MAX_SHOWN).collect()
}

/// A code as words: `DEFENSE_EVASION` and `defense-evasion` are Defense Evasion.
pub(crate) fn title(code: &str) -> String {
    let words = code.split(['_', '-', ' ']).filter(|word| !word.is_empty()).map(|word| {
        if word.eq_ignore_ascii_case("and") {
            return "and".to_owned();
        }
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    });
    plain(&words.collect::<Vec<_>>().join(" "))
}

/// An incident id: a prefix and 24 hexadecimal digits (96 bits) of a SHA-256 over the parts. Each part is hashed
/// with its length, so that moving a letter from one part to the next makes another id.
pub(crate) fn incident(prefix: &str, parts: &[&str]) -> Result<IncidentId> {
    let mut hashed = Vec::with_capacity(parts.iter().map(|part| size_of::<u64>() + part.len()).sum());
    for part in parts {
        hashed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        hashed.extend_from_slice(part.as_bytes());
    }
    let hash = Sha256::digest(&hashed);
    let mut id = String::with_capacity(prefix.len() + 1 + 24);
    id.push_str(prefix);
    id.push('-');
    for digit in hash.iter().take(12).flat_map(|byte| [byte >> 4, byte & 15]) {
        id.push(char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
    }
    id.parse()
}

/// An error as a note may hold it: without the way to its field, which is another one inside a wrapping.
pub(crate) fn brief(error: &Error) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let message = match error.message().strip_prefix("disagrees with ") {
        Some(other) => format!("disagrees with {}", last(other)),
        None => error.message().to_owned(),
    };
    let field = last(error.resource());
    if field.is_empty() { message } else { format!("{field}: {message}") }
}

/// The text of a JSON string, given without its quotes. Of what is no valid string, what can be read.
pub(crate) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut letters = escape.chars();
        let letter = letters.next();
        rest = letters.as_str();
        text.push(match letter {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
                let high = unit(rest).unwrap_or_default();
                rest = rest.get(4..).unwrap_or_default();
                let low = rest.strip_prefix("\\u").and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
                match (high, low) {
                    (0xd800..=0xdbff, Some(low)) => {
                        rest = rest.get(6..).unwrap_or_default();
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    }
                    _ => char::from_u32(high),
                }
                .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(itself) => itself,
            None => char::REPLACEMENT_CHARACTER,
        });
    }
    text.push_str(rest);
    text
}

/// What the decoder wants the reader to know, in the order in which it was found out.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// Adds one, once. It must not repeat the input.
    pub(crate) fn add(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// All of them as one text.
    pub(crate) fn finish(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_cannot_draw_or_forge() {
        assert_eq!(plain("a\u{1b}[2J\r\nb\u{202e}c"), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c");
        assert_eq!(plain(&"x".repeat(10_000)).len(), MAX_SHOWN);
    }

    #[test]
    fn a_code_becomes_words() {
        for code in ["DEFENSE_EVASION", "defense-evasion", "Defense Evasion"] {
            assert_eq!(title(code), "Defense Evasion");
        }
        assert_eq!(title("COMMAND_AND_CONTROL"), "Command and Control");
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them() {
        for raw in [
            "",
            "plain \u{e9}",
            r#"\"\\\/\b\f\n\r\t"#,
            r"\u0041\u00e9\ud83d\ude00x",
            r"\ud83d\ude00\u0000\uffff\ud83d\ude01",
            r"x\\u0041",
        ] {
            assert_eq!(serde_json::from_str::<String>(&format!("\"{raw}\"")).ok(), Some(unescape(raw)), "{raw}");
        }
        for broken in ["\\", r"\u", r"\u00", r"\ud800", r"\ud800\u0041", r"\udc00", "\\u\u{e9}\u{e9}"] {
            assert!(!unescape(broken).is_empty(), "{broken}");
        }
    }

    #[test]
    fn an_incident_id_depends_on_where_the_parts_end() -> Result<()> {
        let id = incident("falco", &["ab", "c"])?;
        assert_eq!(id.as_str().len(), "falco-".len() + 24);
        assert_eq!(id, incident("falco", &["ab", "c"])?);
        assert_ne!(id, incident("falco", &["a", "bc"])?);
        Ok(())
    }
}
