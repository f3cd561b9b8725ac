//! The one place that prints. Everything else hands its text here.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use crate::env::Env;

/// Where text goes: what was asked for to the one, everything else to the other.
pub(crate) struct Out {
    pub(crate) answer: Box<dyn Write + Send>,
    pub(crate) notes: Box<dyn Write + Send>,
    /// The answer may be coloured.
    pub(crate) colour: bool,
    /// The notes are read by a person now, so that a line may be redrawn.
    pub(crate) live: bool,
}

impl Out {
    /// The process's own.
    pub(crate) fn of_process(env: &Env) -> Self {
        // https://no-color.org: any text turns colour off.
        let plain = env.has("NO_COLOR") || env.text("TERM").ok().flatten().as_deref() == Some("dumb");
        Self {
            answer: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            colour: !plain && io::stdout().is_terminal(),
            live: io::stderr().is_terminal(),
        }
    }

    /// Prints what was asked for. A reader that went away (`| head`) is not an error.
    pub(crate) fn answer(&mut self, text: &str) {
        let _ = self.answer.write_all(text.as_bytes()).and_then(|()| self.answer.flush());
    }

    /// Prints something beside it.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = self.notes.write_all(text.as_bytes()).and_then(|()| self.notes.flush());
    }
}

/// One line of the log, at once and whole.
pub(crate) fn log(line: &str, to_stdout: bool) {
    let _ = if to_stdout { io::stdout().write_all(line.as_bytes()) } else { io::stderr().write_all(line.as_bytes()) };
}

/// Text in which nothing can move the cursor, turn the reading direction or break the line.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// JSON in which the same characters are written as escapes; the value stays the same.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        // Below 0x7f everything that is unsafe in a string is escaped by the writer; what is left is layout.
        if is_unsafe(c) && c >= '\u{7f}' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_can_draw() {
        assert_eq!(plain("a\u{1b}[2Jb\n\u{202e}c é"), "a\\u{1b}[2Jb\\n\\u{202e}c é");
        let json = serde_json::to_string("a\u{1b}\u{9b}\u{202e}\u{e0041}é").expect("text");
        let safe = plain_json(&json);
        assert!(safe.chars().all(|c| !is_unsafe(c)), "{safe:?}");
        assert_eq!(serde_json::from_str::<String>(&safe).expect("same"), "a\u{1b}\u{9b}\u{202e}\u{e0041}é");
    }
}
