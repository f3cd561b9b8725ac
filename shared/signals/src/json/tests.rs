use serde_json::Value;

use super::*;

fn refusal(text: &str) -> String {
    match check(text, &Limits::default(), &mut Table::new()) {
        Ok(()) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn only_one_clean_document_is_read() {
    for (text, expected) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("{", "ends too early"),
        (r#"{"a"#, "ends too early"),
        (r#"{"a":tru"#, "ends too early"),
        ("{} {}", "trailing"),
        ("{}x", "trailing"),
        ("\u{feff}{}", "unexpected"),
        (r#"{"a":"\ud800"}"#, "surrogate"),
        (r#"{"a":"\ud800\u0041"}"#, "surrogate"),
        (r#"{"a":"\udc00"}"#, "surrogate"),
        (r#"{"a":"\x"}"#, "escape"),
        (r#"{"a":"\u00g0"}"#, "escape"),
        ("{\"a\":\"\u{1}\"}", "control"),
        (r#"{"a":NaN}"#, "unexpected"),
        (r#"{"a":Infinity}"#, "unexpected"),
        (r#"{"a":1e999}"#, "out of range"),
        (r#"{"a":01}"#, "invalid number"),
        (r#"{"a":1.}"#, "invalid number"),
        (r#"{"a":-}"#, "invalid number"),
        (r#"{"a":1,}"#, "unexpected"),
        ("[1,]", "unexpected"),
        ("{'a':1}", "unexpected"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected), "{text:?} gives {refusal:?}");
    }
}

#[test]
fn what_is_read_is_what_serde_json_reads() {
    let strings = ["\"a\"", r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#, "\"\u{7f}\u{e9}\"", r#""12345678\"""#, "\"\""];
    let numbers =
        ["0", "-0", "1.5e3", "-1E-7", "18446744073709551616", "1e308", "1e309", "00", "1e", ".5", "+1", "--1"];
    let forms = [
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[[]]",
        "{\"\":{}}",
        "{\"a\" : 1 , \"b\":[1 ,2]}",
        "[,]",
        "{,}",
        "{[]:1}",
        "[1 2]",
        "nul",
        "nulll",
    ];
    for text in strings.iter().chain(&numbers).chain(&forms) {
        assert_eq!(refusal(text) == "accepted", serde_json::from_str::<Value>(text).is_ok(), "{text}");
    }
}

#[test]
fn a_key_stands_once_at_any_depth() {
    let many = |last: usize| {
        let keys: Vec<_> = (0..100).chain([last]).map(|key| format!("\"key-number-{key}-of-many\":{{}}")).collect();
        format!("{{{}}}", keys.join(","))
    };
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"b":1,"b":2}"#,
        r#"{"a":{"b":1},"c":1,"a":2}"#,
        &many(0),
        &many(99),
    ] {
        assert!(refusal(text).contains("twice"), "{text}");
    }
    assert_eq!(refusal(&many(100)), "accepted");
    assert_eq!(refusal(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#), "accepted");
    assert!(!refusal(r#"{"secret-key":1,"secret-key":2}"#).contains("secret"), "the key is repeated");
}

#[test]
fn depth_and_members_are_bounded() {
    let limits = Limits::default();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: u32| format!("{}1{}", open.repeat(depth as usize), close.repeat(depth as usize));
        assert_eq!(refusal(&nested(limits.nesting)), "accepted");
        assert!(refusal(&nested(limits.nesting + 1)).contains("limit.nesting"));
        assert!(refusal(&open.repeat(100_000)).contains("limit.nesting"));
    }
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|key| format!("\"{key}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(refusal(&members(limits.members)), "accepted");
    assert!(refusal(&members(limits.members + 1)).contains("limit.members"));
}

#[test]
fn the_end_of_plain_text_is_found_at_any_place() {
    for length in 0..40 {
        for end in ["\"", "\\", "\n", ""] {
            let text = format!("{}{end}\u{e9}\"\\", "\u{7f}\u{20}x".repeat(14).get(..length).unwrap_or_default());
            let expected = if end.is_empty() { length + 2 } else { length };
            assert_eq!(plain_until(text.as_bytes(), 0), expected, "{text:?}");
        }
    }
}
