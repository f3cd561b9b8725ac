//! Settings as YAML or JSON, inline in a variable or in a file.

use std::{fs::File, io::Read, path::Path};

use serde::de::DeserializeOwned;
use stanch_core::{Error, Result};
use yaml_serde::Value;

/// More than any guard or caller policy that a person can review.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads a setting.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the variable and the field.
pub(crate) fn setting<T: DeserializeOwned>(name: &str, value: &str) -> Result<T> {
    if is_inline(value) { parse(value) } else { read(Path::new(value.trim())).and_then(|text| parse(&text)) }
        .map_err(|error| error.within(name))
}

/// A mapping has a brace, a line break or a colon with a space; a path has none of them.
fn is_inline(value: &str) -> bool {
    let value = value.trim();
    value.starts_with('{') || value.contains('\n') || value.contains(": ")
}

/// A small text file.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`] when it cannot be read, is too large or not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String> {
    let wrong = |message: String| Error::invalid("", format!("{} {message}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| wrong("cannot be read".to_owned()).because(error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("is larger than {} KiB", MAX_BYTES / 1024)));
    }
    Ok(text)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let wrong = |field: &str, error: yaml_serde::Error| Error::invalid(field, error.to_string());
    // A person writes these, and means one thing: read as a map of its own, the last of two equal keys would win.
    let value: Value = yaml_serde::from_str(text).map_err(|error| wrong("", error))?;
    if merges(&value) {
        return Err(Error::invalid("", "merge keys (<<) are not read: write the members out"));
    }
    // Read from the text and not from that value, so that `123456789012` is an account without quotes, too.
    serde_path_to_error::deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|error| {
        let field = error.path().to_string();
        wrong(if field == "." { "" } else { &field }, error.into_inner())
    })
}

/// Is there a merge key? It would be read as a name like any other, and what a guard meant to limit be unlimited.
fn merges(value: &Value) -> bool {
    match value {
        Value::Mapping(members) => members.iter().any(|(key, value)| key.as_str() == Some("<<") || merges(value)),
        Value::Sequence(items) => items.iter().any(merges),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use stanch_core::Guard;

    use super::*;

    #[test]
    fn yaml_and_json_inline_and_from_a_file_are_read() -> std::io::Result<()> {
        let json = setting::<Guard>("STANCH_GUARD", r#"{"trust_tags":true}"#).expect("JSON");
        let yaml = setting::<Guard>("STANCH_GUARD", "trust_tags: true").expect("YAML");
        let path = std::env::temp_dir().join(format!("stanch-guard-{}", std::process::id()));
        std::fs::write(&path, "trust_tags: true\n")?;
        let file = setting::<Guard>("STANCH_GUARD", &path.display().to_string()).expect("file");
        std::fs::remove_file(path)?;
        assert!(json.trust_tags && json == yaml && yaml == file);
        Ok(())
    }

    #[test]
    fn an_account_needs_no_quotes() {
        let quoted = setting::<Guard>("STANCH_GUARD", "accounts: ['012345678901', '123456789012']").expect("quoted");
        let plain = setting::<Guard>("STANCH_GUARD", "accounts: [012345678901, 123456789012]").expect("plain");
        assert_eq!(quoted, plain);
    }

    #[test]
    fn what_names_itself_again_and_again_is_refused() {
        let again = |level: usize| {
            let names = vec![format!("*a{}", level - 1); 9].join(", ");
            format!("a{level}: &a{level} [{names}]")
        };
        let levels: Vec<_> = std::iter::once("a0: &a0 [x]".to_owned()).chain((1..9).map(again)).collect();
        let text = levels.join("\n");
        let error = setting::<Value>("STANCH_GUARD", &text).expect_err("a bomb").to_string();
        assert!(error.contains("repetition limit"), "{error}");
    }

    #[test]
    fn an_error_names_variable_and_field() {
        for (text, field) in [
            (r#"{"accounts":["12"]}"#, "STANCH_GUARD.accounts[0]"),
            ("limits:\n  k8s-cordon-node:\n    per_day: many\n", "STANCH_GUARD.limits"),
            ("trust_tags: yes", "STANCH_GUARD.trust_tags"),
            ("nonsense: 1", "STANCH_GUARD"),
            ("limits: {k8s-mark: &few {per_day: 1}, k8s-locate: {<<: *few}}", "STANCH_GUARD"),
            ("limits: {<<: {k8s-mark: {per_day: 1}}}", "STANCH_GUARD"),
            ("trust_tags: true\ntrust_tags: false\n", "STANCH_GUARD"),
            ("limits:\n  k8s-mark:\n    per_day: 1\n  k8s-mark:\n    per_day: 9\n", "STANCH_GUARD"),
            ("trust_tags: true\n---\ntrust_tags: false\n", "STANCH_GUARD"),
            ("/no/such/file", "STANCH_GUARD"),
        ] {
            let error = setting::<Guard>("STANCH_GUARD", text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("invalid {field}")), "{text:?}: {error}");
        }
    }
}
