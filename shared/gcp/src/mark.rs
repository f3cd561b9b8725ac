//! Names, labels, request ids and shell words, made from names that we were given.

use stanch_core::{
    IncidentId, Mark, Mode, Order, Target,
    names::{GceId, GceName},
};
use uuid::Uuid;

/// A label value: lower-case letters, digits, `_` and `-`, at most 63 (Compute Engine: "Organize resources using
/// labels"). What does not fit becomes a hyphen; the description has the text in full.
pub(crate) fn label(text: &str) -> String {
    text.chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || c == '_' => c,
            _ => '-',
        })
        .take(63)
        .collect()
}

/// The labels that say whose a thing is.
pub(crate) fn labels(mark: &Mark) -> [(&'static str, String); 3] {
    [
        ("stanch-incident", label(mark.incident.as_str())),
        ("stanch-record", mark.record.as_str().to_owned()),
        ("stanch-by", label(&mark.by)),
    ]
}

/// The same for people, in full.
pub(crate) fn description(mark: &Mark) -> String {
    format!("Stanch: incident {}, record {}, asked for by {}", mark.incident, mark.record, plain(&mark.by, 200))
}

/// Text without control characters, so that it cannot draw on a terminal or forge a log line.
pub(crate) fn plain(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

/// `stanch-<disk>-<12 hex of record and disk id>`: the same in every run of a record, another for every record, and
/// an RFC 1035 label of at most 61, so that `-2` still fits.
pub(crate) fn snapshot_name(mark: &Mark, disk: &GceName, disk_id: &GceId) -> Option<GceName> {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("stanch:snapshot:{}:{disk_id}", mark.record).as_bytes());
    let hex: String = id.simple().to_string().chars().take(12).collect();
    let prefix: String = disk.as_str().chars().take(40).collect();
    format!("stanch-{}-{hex}", prefix.trim_end_matches('-')).parse().ok()
}

/// The `requestId` of a write: the same for a repetition of the same attempt, so that the service ignores it.
pub(crate) fn request_id(mark: &Mark, disk_id: &GceId, name: &GceName, attempt: u32) -> String {
    let text = format!("stanch:{}:{}:{disk_id}:{name}:{attempt}", mark.incident, mark.record);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()).to_string()
}

/// The order for another responder, ready to paste.
pub fn next_order(responder: &str, incident: &IncidentId, target: Target) -> String {
    next_order_with(responder, incident, target, serde_json::Value::Null)
}

/// The same with options.
pub fn next_order_with(responder: &str, incident: &IncidentId, target: Target, options: serde_json::Value) -> String {
    let order =
        Order { mode: Mode::Apply, incident: incident.clone(), target, options, requested_by: None, protected: false };
    // Orders are plain data; the fallback names at least the responder.
    serde_json::to_string(&order).map_or_else(|_| responder.to_owned(), |order| format!("{responder} {order}"))
}

/// One word for a shell.
pub(crate) fn quote(word: &str) -> String {
    let safe = |c: u8| c.is_ascii_alphanumeric() || b"-_=.,/:@+%".contains(&c);
    if !word.is_empty() && word.bytes().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(record: &str) -> Mark {
        Mark {
            record: record.parse().expect("record"),
            incident: "GuardDuty/eu:42".parse().expect("incident"),
            opened: jiff::Timestamp::UNIX_EPOCH,
            by: "Ana@example.com\n$(reboot)".into(),
        }
    }

    #[test]
    fn the_name_is_stable_valid_and_short_enough() {
        let id: GceId = "42".parse().expect("id");
        let long: GceName = format!("a{}", "-b".repeat(31)).parse().expect("63 characters");
        let a = snapshot_name(&mark(&"a".repeat(24)), &long, &id).expect("valid");
        assert_eq!(Some(&a), snapshot_name(&mark(&"a".repeat(24)), &long, &id).as_ref());
        assert_ne!(Some(&a), snapshot_name(&mark(&"b".repeat(24)), &long, &id).as_ref());
        assert!(a.as_str().len() <= 61, "{a}");
    }

    #[test]
    fn labels_hold_what_google_allows() {
        for (key, value) in labels(&mark(&"a".repeat(24))) {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            assert!(value.len() <= 63 && value.chars().all(fits), "{key}={value}");
        }
        assert!(!description(&mark(&"a".repeat(24))).contains('\n'));
    }

    #[test]
    fn a_shell_reads_a_word_as_one_word() {
        assert_eq!(quote("--zone=europe-west1-b"), "--zone=europe-west1-b");
        assert_eq!(quote("a b'; reboot"), r"'a b'\''; reboot'");
        assert_eq!(quote(""), "''");
    }
}
