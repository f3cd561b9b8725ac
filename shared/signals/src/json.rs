//! The strict reading of a document: UTF-8, exactly one JSON document (RFC 8259), no key twice in an object (RFC
//! 8259, section 4: what a reader makes of one is unpredictable, so two readers can be made to disagree), at most
//! 128 levels deep (the bound of `serde_json`), no lone surrogate, a bounded number of values. Integers stay exact
//! over the whole 64 bits.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use stanch_core::{Error, Result};

use crate::MAX_BYTES;

/// The most values that a document may hold. Fifty findings hold about 30,000. The bound is there because an object
/// costs some 650 bytes however small it is: 1 MiB of `[{"a":1},…]` would cost 85 MiB, which a small function lacks.
const MAX_VALUES: u32 = 40_000;

/// The one document that the bytes hold.
pub(crate) fn read(bytes: &[u8]) -> Result<Value> {
    let invalid = |message: &str| Error::invalid("", message);
    if bytes.len() > MAX_BYTES {
        return Err(invalid("is larger than 1 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))?;
    if text.trim_ascii().is_empty() {
        return Err(invalid("is empty"));
    }
    // The text of these errors says what was expected and where; it does not repeat the input.
    let json = |error: serde_json::Error| invalid("is not one JSON document").because(error);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { left: &Cell::new(MAX_VALUES) }.deserialize(&mut reader).map_err(json)?;
    reader.end().map_err(json)?;
    Ok(value)
}

/// Builds a [`Value`], counts, and refuses an object that has a key twice.
#[derive(Clone, Copy)]
struct Strict<'c> {
    left: &'c Cell<u32>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| de::Error::custom("it holds more than 40,000 values"))?);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_f64<E: de::Error>(self, it: f64) -> Result<Value, E> {
        Number::from_f64(it).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.to_owned()))
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(Value::String(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.insert(key, entries.next_value_seed(self)?).is_some() {
                return Err(de::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        match read(bytes) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_document_reads_as_serde_json_reads_it() -> Result<(), Box<dyn std::error::Error>> {
        let text = r#"{"a":[1,-2,3.5,true,null,"x\u00e9\ud83d\ude00"],"b":{"":{}},"n":1685022245478445995}"#;
        assert_eq!(read(text.as_bytes())?, serde_json::from_str::<Value>(text)?);
        Ok(())
    }

    #[test]
    fn integers_above_2_53_stay_exact() -> Result<()> {
        for text in ["9007199254740993", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(read(text.as_bytes())?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn only_one_clean_document_is_read() {
        for (bytes, expected) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"{", "EOF"),
            (b"{} {}", "trailing"),
            (b"{}x", "trailing"),
            (b"\xef\xbb\xbf{}", "not one JSON document"),
            (b"{\"a\":\"\xff\"}", "not UTF-8"),
            (br#"{"a":"\ud800"}"#, "hex escape"),
            (br#"{"a":NaN}"#, "not one JSON document"),
            (br#"{"a":Infinity}"#, "not one JSON document"),
            (br#"{"a":1e999}"#, "out of range"),
            (b"{'a':1}", "not one JSON document"),
        ] {
            let refusal = refusal(bytes);
            assert!(refusal.contains(expected), "{bytes:?} gives {refusal:?}");
        }
    }

    #[test]
    fn a_key_stands_once_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(refusal(text.as_bytes()).contains("twice"), "{text}");
        }
        assert!(!refusal(br#"{"secret-key":1,"secret-key":2}"#).contains("secret"), "the key is repeated");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        for open in ["[", r#"{"a":"#] {
            assert!(refusal(open.repeat(100_000).as_bytes()).contains("recursion limit"));
        }
        let items = |count: usize| format!("[1{}]", ",1".repeat(count - 1));
        assert!(refusal(items(MAX_VALUES as usize).as_bytes()).contains("40,000 values"));
        assert_eq!(refusal(items(MAX_VALUES as usize - 1).as_bytes()), "accepted");
        assert!(refusal(&vec![b' '; MAX_BYTES + 1]).contains("1 MiB"));
    }
}
