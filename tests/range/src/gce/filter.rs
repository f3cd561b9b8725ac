//! The `filter` of a list call: the AIP-160 subset that clients send.
//!
//! `name = "x"`, `id=1`, `labels.a=b`, `labels.a:*`, `!=`, `eq` and `ne` of the old form, `AND`, `OR`, `NOT`,
//! parentheses, and terms side by side (= AND). `eq`/`ne` take a regular expression in the real service;
//! here only the forms that `gcloud` writes: plain text, `.*\bTEXT\b.*`, and `(^| )`-free alternatives `a|b`.

use serde_json::Value;

/// Whether an item matches; `Err` names what is not understood.
pub(crate) fn matches(filter: &str, item: &Value) -> Result<bool, String> {
    let mut tokens = tokens(filter)?;
    tokens.reverse();
    let verdict = either(&mut tokens, item)?;
    if let Some(rest) = tokens.last() {
        return Err(format!("unexpected {rest:?}"));
    }
    Ok(verdict)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Operator(&'static str),
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&next) = chars.peek() {
        match next {
            ' ' | '\t' | '\n' => drop(chars.next()),
            '(' | ')' => {
                chars.next();
                out.push(if next == '(' { Token::Open } else { Token::Close });
            }
            '"' | '\'' => {
                chars.next();
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == next => break,
                        Some('\\') => match chars.next() {
                            Some(escaped @ ('"' | '\'' | '\\')) => word.push(escaped),
                            Some(other) => word.extend(['\\', other]),
                            None => return Err("an open quote".into()),
                        },
                        Some(other) => word.push(other),
                        None => return Err("an open quote".into()),
                    }
                }
                out.push(Token::Quoted(word));
            }
            '=' | ':' => {
                chars.next();
                out.push(Token::Operator(if next == '=' { "=" } else { ":" }));
            }
            '!' => {
                chars.next();
                chars.next_if_eq(&'=').ok_or("a lone !")?;
                out.push(Token::Operator("!="));
            }
            _ => {
                let mut word = String::new();
                while let Some(other) = chars.next_if(|c| !" \t\n()=:!\"'".contains(*c)) {
                    word.push(other);
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

// The parsers take from the end of a reversed list. Both sides are always parsed: no short circuit.

fn either(tokens: &mut Vec<Token>, item: &Value) -> Result<bool, String> {
    let mut verdict = all(tokens, item)?;
    while is_word(tokens, "OR") {
        tokens.pop();
        verdict |= all(tokens, item)?;
    }
    Ok(verdict)
}

fn all(tokens: &mut Vec<Token>, item: &Value) -> Result<bool, String> {
    let mut verdict = term(tokens, item)?;
    loop {
        if is_word(tokens, "AND") {
            tokens.pop();
        } else if tokens.last().is_none_or(|next| *next == Token::Close) || is_word(tokens, "OR") {
            return Ok(verdict);
        }
        verdict &= term(tokens, item)?;
    }
}

fn term(tokens: &mut Vec<Token>, item: &Value) -> Result<bool, String> {
    if is_word(tokens, "NOT") {
        tokens.pop();
        return Ok(!term(tokens, item)?);
    }
    match tokens.pop() {
        Some(Token::Open) => {
            let verdict = either(tokens, item)?;
            if tokens.pop() == Some(Token::Close) { Ok(verdict) } else { Err("an open parenthesis".into()) }
        }
        Some(Token::Word(field) | Token::Quoted(field)) => {
            let operator = match tokens.pop() {
                Some(Token::Operator(operator)) => operator,
                Some(Token::Word(word)) if word == "eq" || word == "ne" => {
                    if word == "eq" {
                        "eq"
                    } else {
                        "ne"
                    }
                }
                other => return Err(format!("no operator after {field}: {other:?}")),
            };
            let Some(Token::Word(value) | Token::Quoted(value)) = tokens.pop() else {
                return Err(format!("no value for {field}"));
            };
            compare(&field, operator, &value, item)
        }
        other => Err(format!("unexpected {other:?}")),
    }
}

fn is_word(tokens: &[Token], word: &str) -> bool {
    matches!(tokens.last(), Some(Token::Word(next)) if next == word)
}

fn compare(field: &str, operator: &str, value: &str, item: &Value) -> Result<bool, String> {
    let mut found = item;
    for part in field.split('.') {
        found = found.get(part).unwrap_or(&Value::Null);
    }
    let have = match found {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    Ok(match operator {
        "=" => have.is_some_and(|have| glob(value, &have)),
        "!=" => !have.is_some_and(|have| glob(value, &have)),
        ":" => have.is_some_and(|have| value == "*" || have.contains(value)),
        "eq" => regex(value, have.as_deref().unwrap_or_default())?,
        _ => !regex(value, have.as_deref().unwrap_or_default())?,
    })
}

/// `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

fn regex(pattern: &str, text: &str) -> Result<bool, String> {
    let inner = pattern.strip_prefix(".*").and_then(|rest| rest.strip_suffix(".*"));
    let (plain, anywhere) = inner.map_or((pattern, false), |inner| (inner, true));
    let plain = plain.strip_prefix(r"\b").and_then(|rest| rest.strip_suffix(r"\b")).unwrap_or(plain);
    let plain = plain.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(plain);
    let mut verdict = false;
    for choice in plain.split('|') {
        let choice = choice.replace(r"\-", "-").replace(r"\.", ".");
        if choice.contains(['\\', '[', '(', '+', '?', '*', '^', '$', '{']) {
            return Err(format!("the regular expression {pattern}"));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        verdict |= if anywhere {
            text.match_indices(&choice).any(|(at, _)| {
                let before = text.get(..at).and_then(|text| text.chars().next_back());
                let after = text.get(at + choice.len()..).and_then(|text| text.chars().next());
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            })
        } else {
            text == choice
        };
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::matches;
    use serde_json::json;

    #[test]
    fn the_forms_that_are_used() {
        let item = json!({"name": "web-1", "id": "42", "status": "READY", "labels": {"stanch-record": "ab12"}});
        for (filter, expected) in [
            ("labels.stanch-record=ab12", true),
            ("labels.stanch-record = \"ab12\"", true),
            ("labels.stanch-record=zz", false),
            ("labels.absent:*", false),
            ("labels.stanch-record:*", true),
            ("(name = \"web-1\") (id = \"42\")", true),
            ("(name = \"web-1\") AND (id = \"43\")", false),
            ("name=x OR (id=42 AND NOT status=FAILED)", true),
            ("name != web-1", false),
            (r#"name eq ".*\bweb-1\b.*""#, true),
            (r#"name eq ".*\bweb\b.*""#, true),
            (r#"name eq ".*\bwe\b.*""#, false),
            ("name eq web-1", true),
            ("name ne web-1", false),
            ("name=web-*", true),
            ("name=*-2", false),
        ] {
            assert_eq!(matches(filter, &item), Ok(expected), "{filter}");
        }
        for broken in ["name", "name=", "(name=x", "name=x)", "name eq '[a-z]'", "name = \"x"] {
            assert!(matches(broken, &item).is_err(), "{broken}");
        }
    }
}
