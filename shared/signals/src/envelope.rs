//! CloudEvents in structured mode ("CloudEvents 1.0.2", "JSON Event Format 1.0.2"), and in binary mode, whose attributes
//! are HTTP headers ("HTTP Protocol Binding 1.0.2"), as a recorded request: `headers` and `body`. A host takes the body
//! of a live request itself. Batched mode is a list of structured events.

use base64::{Engine, prelude::BASE64_STANDARD};
use stanch_core::Result;

use crate::{
    Limits,
    at::At,
    document::{Document, keys},
};

/// What an envelope holds.
pub(crate) enum Inner<'a> {
    /// A part of the same document.
    Part(At<'a>),
    /// Bytes, and the field that they came from.
    Bytes(Vec<u8>, String),
}

/// The data of a structured CloudEvent; `None` when the body is something else.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`] when it is no JSON document, or is a CloudEvent and malformed.
pub fn unwrap_cloudevent(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let document = Document::read(bytes, &Limits::default())?;
    let event = document.top();
    if !is_cloudevent(&event) {
        return Ok(None);
    }
    Ok(Some(match unwrap(&event)? {
        Inner::Bytes(bytes, _) => bytes,
        Inner::Part(part) => part.raw().unwrap_or_default().as_bytes().to_vec(),
    }))
}

/// Does the document say that it is a CloudEvent?
pub(crate) fn is_cloudevent(document: &At<'_>) -> bool {
    document.marks(keys!["specversion"]) != 0
}

/// The data: a JSON value as `data`, or bytes as `data_base64`, never both. `data` as text is refused: for a JSON
/// content type it is a JSON string, and reading it as a document would be reading it twice.
pub(crate) fn unwrap<'a>(event: &At<'a>) -> Result<Inner<'a>> {
    let version = event.get("specversion")?;
    if version.text()? != Some("1.0") {
        return Err(version.wrong("must be 1.0"));
    }
    for attribute in ["id", "source", "type"] {
        let at = event.get(attribute)?;
        if at.required_text()?.is_empty() {
            return Err(at.wrong("must not be empty"));
        }
    }
    let content = event.get("datacontenttype")?;
    if content.text()?.is_some_and(|text| !is_json(text)) {
        return Err(content.wrong("must be a JSON content type"));
    }
    let (data, encoded) = (event.get("data")?, event.get("data_base64")?);
    match (data.is_present(), encoded.is_present()) {
        (true, true) => Err(encoded.wrong("must not stand beside data")),
        (false, false) => Err(data.missing()),
        (true, false) if data.is_object() => Ok(Inner::Part(data)),
        (true, false) => Err(data.wrong("must be an object")),
        (false, true) => decode_base64(&encoded),
    }
}

/// The body of a recorded request in binary mode. A body as text is refused: that is how a function URL or an API
/// gateway would hand on what anybody posts.
pub(crate) fn binary<'a>(request: &At<'a>) -> Result<At<'a>> {
    let headers = request.get("headers")?;
    let is = |key: &At<'_>, name: &str| matches!(key.text(), Ok(Some(key)) if key.eq_ignore_ascii_case(name));
    let header = |name: &str| headers.entries().find(|(key, _)| is(key, name)).map(|(_, at)| at);
    let version = header("ce-specversion").ok_or_else(|| headers.wrong("must hold ce-specversion"))?;
    if version.text()? != Some("1.0") {
        return Err(version.wrong("must be 1.0"));
    }
    for name in ["ce-id", "ce-source", "ce-type"] {
        let at = header(name).ok_or_else(|| headers.wrong(format!("must hold {name}")))?;
        if at.required_text()?.is_empty() {
            return Err(at.wrong("must not be empty"));
        }
    }
    if let Some(content) = header("content-type")
        && !content.text()?.is_some_and(is_json)
    {
        return Err(content.wrong("must be a JSON content type"));
    }
    let body = request.get("body")?;
    if body.is_object() { Ok(body) } else { Err(body.wrong("must be an object")) }
}

/// Standard base64 with padding (RFC 4648, section 4), nothing else: not the URL-safe alphabet, no white space.
pub(crate) fn decode_base64<'a>(at: &At<'_>) -> Result<Inner<'a>> {
    let text = at.required_text()?;
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| at.wrong("must be standard base64 with padding"))?;
    if bytes.is_empty() {
        return Err(at.wrong("must not be empty"));
    }
    Ok(Inner::Bytes(bytes, at.path()))
}

fn is_json(content: &str) -> bool {
    let kind = content.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(member: &str, value: &Value) -> Value {
        json!({"specversion": "1.0", "id": "1", "source": "//x", "type": "t", member: value})
    }

    #[test]
    fn the_data_comes_out_of_either_member() -> Result<()> {
        for event in [event("data", &json!({"a": 1})), event("data_base64", &json!("eyJhIjoxfQ=="))] {
            assert_eq!(unwrap_cloudevent(event.to_string().as_bytes())?.as_deref(), Some(&br#"{"a":1}"#[..]));
        }
        assert_eq!(unwrap_cloudevent(b"{}")?, None);
        Ok(())
    }

    #[test]
    fn binary_mode_has_its_attributes_in_headers() -> Result<()> {
        let request = json!({
            "headers": {"Ce-Specversion": "1.0", "ce-id": "1", "CE-Source": "//x", "Ce-Type": "t",
                "Content-Type": "application/json; charset=utf-8"},
            "body": {"a": 1},
        });
        let read = |request: &Value| -> Result<Option<String>> {
            let text = request.to_string();
            let document = Document::read(text.as_bytes(), &Limits::default())?;
            Ok(binary(&document.top())?.raw().map(str::to_owned))
        };
        assert_eq!(read(&request)?.as_deref(), Some(r#"{"a":1}"#));
        for (pointer, value) in [
            ("/headers/Ce-Specversion", json!("0.3")),
            ("/headers/Ce-Specversion", json!(null)),
            ("/headers/ce-id", json!("")),
            ("/headers/Content-Type", json!("text/plain")),
            ("/body", json!("{}")),
            ("/body", json!(null)),
        ] {
            assert!(read(&crate::testing::with(request.clone(), pointer, value)).is_err(), "{pointer}");
        }
        Ok(())
    }

    #[test]
    fn a_malformed_event_is_refused() {
        let mut both = event("data", &json!({}));
        let mut version = event("data", &json!({}));
        let mut content = event("data", &json!({}));
        let mut id = event("data", &json!({}));
        for (event, key, value) in [
            (&mut both, "data_base64", "e30="),
            (&mut version, "specversion", "0.3"),
            (&mut content, "datacontenttype", "application/xml"),
            (&mut id, "id", ""),
        ] {
            if let Some(object) = event.as_object_mut() {
                object.insert(key.to_owned(), json!(value));
            }
        }
        for event in [
            both,
            version,
            content,
            id,
            event("data", &json!("{}")),
            event("data", &json!(null)),
            event("data_base64", &json!("_-__")),
            event("data_base64", &json!("e30")),
            event("data_base64", &json!({})),
            json!({"specversion": "1.0", "data": {}}),
        ] {
            assert!(unwrap_cloudevent(event.to_string().as_bytes()).is_err(), "{event}");
        }
    }
}
