//! Field and label selectors.

use serde_json::Value;

use super::status::Failure;

/// Whether an object matches a field selector such as `spec.nodeName=node-b,metadata.namespace!=x`.
pub(crate) fn fields(selector: &str, resource: &str, object: &Value) -> Result<bool, Failure> {
    let known: &[&str] = match resource {
        "pods" => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        "nodes" => &["metadata.name", "spec.unschedulable"],
        "namespaces" => &["metadata.name", "status.phase"],
        _ => &["metadata.name", "metadata.namespace"],
    };
    let mut verdict = true;
    for term in selector.split(',').filter(|term| !term.is_empty()) {
        let (field, wanted, equal) = if let Some((field, wanted)) = term.split_once("!=") {
            (field, wanted, false)
        } else if let Some((field, wanted)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (field, wanted, true)
        } else {
            return Err(Failure::bad_request(format!("invalid selector: '{selector}'; can't understand '{term}'")));
        };
        if !known.contains(&field) {
            let message = format!(
                "Unable to find \"/v1, Resource={resource}\" that match label selector \"\", field selector \
                 \"{selector}\": field label not supported: {field}"
            );
            return Err(Failure::bad_request(message));
        }
        let have = match object.pointer(&format!("/{}", field.replace('.', "/"))) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            _ if field == "spec.unschedulable" => "false".into(),
            _ => String::new(),
        };
        verdict &= (have == wanted) == equal;
    }
    Ok(verdict)
}

/// Whether labels match `a=b,c!=d,e,!f,g in (h,i),j notin (k)`.
pub(crate) fn labels(selector: &str, object: &Value) -> Result<bool, Failure> {
    let label = |key: &str| {
        object.pointer("/metadata/labels").and_then(|labels| labels.get(key.trim())).and_then(Value::as_str)
    };
    let mut verdict = true;
    for term in terms(selector) {
        let term = term.trim();
        if term.is_empty() {
            continue;
        }
        let set = |list: &str| -> Vec<String> {
            let inner = list.trim().trim_start_matches('(').trim_end_matches(')');
            inner.split(',').map(|one| one.trim().to_owned()).collect()
        };
        verdict &= if let Some((key, list)) = term.split_once(" notin ") {
            !label(key).is_some_and(|have| set(list).iter().any(|one| one == have))
        } else if let Some((key, list)) = term.split_once(" in ") {
            label(key).is_some_and(|have| set(list).iter().any(|one| one == have))
        } else if let Some((key, value)) = term.split_once("!=") {
            label(key) != Some(value.trim())
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            label(key) == Some(value.trim())
        } else if let Some(key) = term.strip_prefix('!') {
            label(key).is_none()
        } else if term.contains([' ', '(', ')']) {
            return Err(Failure::bad_request(format!("unable to parse requirement: found '{term}'")));
        } else {
            label(term).is_some()
        };
    }
    Ok(verdict)
}

/// Splits at commas outside parentheses.
fn terms(selector: &str) -> Vec<String> {
    let (mut out, mut depth) = (vec![String::new()], 0_i32);
    for c in selector.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{fields, labels};
    use serde_json::json;

    #[test]
    fn selectors() {
        let pod =
            json!({"metadata": {"name": "web", "labels": {"app": "web", "tier": "a"}}, "spec": {"nodeName": "b"}});
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier!=b", true),
            ("app in (web,api),!x", true),
            ("app notin (web)", false),
            ("x", false),
            ("tier", true),
            ("x!=1", true),
            ("", true),
        ] {
            assert_eq!(labels(selector, &pod), Ok(expected), "{selector}");
        }
        assert_eq!(fields("spec.nodeName=b,metadata.name!=x", "pods", &pod), Ok(true));
        assert_eq!(fields("spec.nodeName=", "pods", &pod), Ok(false));
        assert!(fields("spec.hostname=x", "pods", &pod).is_err());
        assert_eq!(fields("spec.unschedulable=false", "nodes", &pod), Ok(true));
    }
}
