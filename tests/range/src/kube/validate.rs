//! What the API server refuses in a node.

use serde_json::Value;

use super::status::Failure;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks an update of an object: `old` is there, `new` would be.
pub(crate) fn update(resource: &str, kind: &str, name: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    let mut fault = |field: &str, why: String| causes.push((field.to_owned(), why));
    let at = |object: &Value, path: &str| object.pointer(path).cloned().unwrap_or_default();

    if at(new, "/metadata/name") != at(old, "/metadata/name") {
        let message = format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            text(new, "/metadata/name")
        );
        return Err(Failure::bad_request(message));
    }
    let uid = at(new, "/metadata/uid");
    if !uid.is_null() && uid != at(old, "/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            text(new, "/metadata/uid"),
            text(old, "/metadata/uid")
        );
        return Err(Failure::conflict(resource, name, &why));
    }
    if let Some(labels) = new.pointer("/metadata/labels").and_then(Value::as_object) {
        for (key, value) in labels {
            if !qualified(key) {
                fault(
                    "metadata.labels",
                    format!(
                        "Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                    ),
                );
            }
            match value.as_str() {
                Some(value) if value.is_empty() || plain(value) => {}
                other => {
                    let given = other.map_or_else(|| value.to_string(), str::to_owned);
                    fault(
                        "metadata.labels",
                        format!(
                            "Invalid value: \"{given}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                        ),
                    );
                }
            }
        }
    }
    if let Some(annotations) = new.pointer("/metadata/annotations").and_then(Value::as_object) {
        for (key, value) in annotations {
            if !qualified(key) {
                fault(
                    "metadata.annotations",
                    format!(
                        "Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                    ),
                );
            }
            if !value.is_string() {
                let what = if value.is_boolean() { "bool" } else { "number" };
                let message = format!(
                    "{kind} in version \"v1\" cannot be handled as a {kind}: json: cannot unmarshal {what} into Go struct field ObjectMeta.metadata.annotations of type string"
                );
                return Err(Failure::bad_request(message));
            }
        }
    }
    if resource == "nodes" {
        taints(new, &mut fault);
        let (had, has) = (text(old, "/spec/providerID"), text(new, "/spec/providerID"));
        if !had.is_empty() && had != has {
            fault(
                "spec.providerID",
                "Forbidden: node updates may not change providerID except from \"\" to valid".into(),
            );
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, &causes)) }
}

fn taints(node: &Value, fault: &mut impl FnMut(&str, String)) {
    let list = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut seen = Vec::new();
    for (index, taint) in list.iter().enumerate() {
        let at = |name: &str| format!("spec.taints[{index}]{name}");
        let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
        if key.is_empty() {
            fault(&at(".key"), "Required value: name part must be non-empty".into());
        } else if !qualified(&key) {
            fault(
                &at(".key"),
                format!(
                    "Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                ),
            );
        }
        let value = text(taint, "/value");
        if !value.is_empty() && !plain(&value) {
            fault(
                &at(".value"),
                format!(
                    "Invalid value: \"{value}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
                ),
            );
        }
        if effect.is_empty() {
            fault(&at(".effect"), "Required value".into());
        } else if !EFFECTS.contains(&effect.as_str()) {
            fault(
                &at(".effect"),
                format!(
                    "Unsupported value: \"{effect}\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""
                ),
            );
        }
        if seen.contains(&(key.clone(), effect.clone())) {
            fault(&at(""), format!("Duplicate value: {taint}"));
        }
        seen.push((key, effect));
    }
}

fn text(object: &Value, path: &str) -> String {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `prefix/name` or `name`.
fn qualified(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.')
    };
    plain(name) && prefix.is_none_or(domain)
}

fn plain(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.chars().next())
        && ends(name.chars().next_back())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
