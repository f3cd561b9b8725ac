//! What differs between two states.

use serde_json::Value;

/// `path: left → right`, one a difference. Nothing: they are equal.
pub fn differences(left: &Value, right: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", left, right, &mut found);
    found
}

fn walk(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                walk(&format!("{path}/{key}"), a, b, found);
            }
        }
        _ if left == right => {}
        _ => found.push(format!("{path}: {left} → {right}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn each_difference_is_one_line() {
        let (a, b) = (json!({"x": {"y": 1, "z": 2}, "l": [1]}), json!({"x": {"y": 1}, "l": [1, 2]}));
        assert_eq!(differences(&a, &a), [""; 0]);
        assert_eq!(differences(&a, &b), ["/l: [1] → [1,2]", "/x/z: 2 → null"]);
    }
}
