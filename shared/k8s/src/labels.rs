//! Labels that an option names: checked before they get anywhere.

use std::collections::BTreeMap;

use stanch_core::{Change, Error, Mark, Result, Slot};

use crate::{KubeState, MARKS, Marks, ObjectRef, marks};

/// The label that isolation selects. Nothing else sets it.
pub const ISOLATE: &str = "stanch.dev/isolate";

/// Checks what a person chose as labels (Kubernetes: "Labels and Selectors, Syntax and character set").
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the option.
pub fn checked_labels(option: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in labels {
        checked_key(option, key)?;
        if !(value.is_empty() || is_word(value)) {
            let message =
                "has a value that is none: at most 63 of letters, digits and -_., a letter or digit at each end";
            return Err(Error::invalid(option, message));
        }
    }
    Ok(())
}

/// The same of annotations, whose values are free.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the option.
pub fn checked_annotations(option: &str, annotations: &BTreeMap<String, String>) -> Result<()> {
    annotations.keys().try_for_each(|key| checked_key(option, key))?;
    match annotations.values().map(String::len).sum::<usize>() {
        0..=16_384 => Ok(()),
        _ => Err(Error::invalid(option, "is longer than 16 KiB")),
    }
}

/// The same of labels that nodes have: those of Kubernetes itself among them.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the option.
pub fn checked_node_labels(option: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    let shaped = |(key, value): (&String, &String)| {
        let (prefix, name) = key.split_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        is_word(name) && prefix.is_none_or(is_domain) && (value.is_empty() || is_word(value))
    };
    if labels.iter().all(shaped) { Ok(()) } else { Err(Error::invalid(option, "has a label that is none")) }
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.')
}

fn checked_key(option: &str, key: &str) -> Result<()> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_word(name) || !prefix.is_none_or(is_domain) {
        return Err(Error::invalid(option, "has a key that is none: PREFIX/NAME or NAME"));
    }
    match prefix {
        Some("stanch.dev") => {
            Err(Error::invalid(option, "has a key of stanch.dev, whose marks are set by other means"))
        }
        Some(prefix) if prefix.ends_with("kubernetes.io") || prefix.ends_with("k8s.io") => {
            Err(Error::invalid(option, "has a key of Kubernetes itself, which means something to it"))
        }
        _ => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && end(text.chars().next())
        && end(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Our own annotations on an object, unless another record's are there: one responder's marks are enough to find the
/// incident by, and two that overwrite each other would never agree.
pub fn marked<S: Slot<State = KubeState> + From<Marks>>(
    object: ObjectRef,
    annotations: &BTreeMap<String, String>,
    mark: &Mark,
) -> Option<Change<S>> {
    let mut present = annotations.clone();
    present.retain(|key, _| MARKS.contains(&key.as_str()));
    let record = present.get("stanch.dev/record");
    if record.is_some_and(|record| record != mark.record.as_str()) {
        return None;
    }
    Some(Change {
        slot: Marks { object }.into(),
        before: KubeState::entries(present),
        after: KubeState::entries(marks(mark)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_label_is_refused() {
        let check =
            |key: &str, value: &str| checked_labels("labels", &BTreeMap::from([(key.to_owned(), value.to_owned())]));
        for (key, value) in [("quarantine", "true"), ("example.com/status", "compromised"), ("a", "")] {
            assert!(check(key, value).is_ok(), "{key}={value}");
        }
        for (key, value) in [
            ("", "x"),
            ("a b", "x"),
            ("/a", "x"),
            ("A.com/a", "x"),
            ("a", "$(x)"),
            ("a", "-x"),
            ("stanch.dev/isolate", "deny"),
            ("app.kubernetes.io/name", "x"),
            ("pod-security.kubernetes.io/enforce", "privileged"),
        ] {
            assert!(check(key, value).is_err(), "{key}={value}");
        }
    }
}
