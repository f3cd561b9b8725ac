//! Text that came from outside, made safe to show; notes; and ids made by hashing.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use stanch_core::{IncidentId, Result};

/// As much of a detector's text as is shown.
const MAX_SHOWN: usize = 256;

/// Text without control and direction characters, so that it cannot draw on a terminal or forge a log line.
pub(crate) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).take(MAX_SHOWN).collect()
}

/// A code as words: `DEFENSE_EVASION` and `defense-evasion` are Defense Evasion.
pub(crate) fn title(code: &str) -> String {
    let words = code.split(['_', '-', ' ']).filter(|word| !word.is_empty()).map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    });
    plain(&words.collect::<Vec<_>>().join(" "))
}

/// An incident id: a prefix and 24 hexadecimal digits (96 bits) of a SHA-256 over the parts. Each part is hashed
/// with its length, so that moving a letter from one part to the next makes another id.
pub(crate) fn incident(prefix: &str, parts: &[&str]) -> Result<IncidentId> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut id = format!("{prefix}-");
    for byte in hash.finalize().iter().take(12) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id.parse()
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
