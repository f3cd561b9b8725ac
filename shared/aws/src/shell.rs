//! Text for a shell, so that a printed command or order can be pasted.

use std::fmt::Write;

use stanch_core::{Mark, Mode, Order, target::Ec2Instance};

/// Quotes unless every character is one that no shell treats specially.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str(r"'\''"),
            // A control character would draw on the terminal that shows the command.
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// The next order, ready to paste.
pub fn next_order(responder: &str, mark: &Mark, target: &Ec2Instance) -> String {
    let order = Order {
        mode: Mode::Apply,
        incident: mark.incident.clone(),
        target: target.clone().into(),
        options: serde_json::Value::Null,
        requested_by: None,
        protected: false,
    };
    // Orders are plain data; the fallback names at least the responder.
    serde_json::to_string(&order).map_or_else(|_| responder.to_owned(), |order| format!("{responder} {order}"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(word("InstanceId=i-0123456789abcdef0"), "InstanceId=i-0123456789abcdef0");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("$(reboot)"), "'$(reboot)'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
        assert_eq!(word("a\nb"), r"'a\u{a}b'");
    }
}
