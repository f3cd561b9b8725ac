//! The trace that a request belongs to.

use http::HeaderMap;

/// The trace id in the headers of W3C Trace Context, Google Cloud or AWS X-Ray; `None` for anything else, since
/// what a header says ends up in the log.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("traceparent")
        .and_then(|it| it.split('-').nth(1))
        .or_else(|| text("x-cloud-trace-context").and_then(|it| it.split('/').next()))
        .filter(|id| is_hex(id))
        .map(str::to_owned)
        .or_else(|| text("x-amzn-trace-id").and_then(of_xray))
}

/// The root of an X-Ray header: `Root=1-5759e988-bd862e3fe1be46a994272793;…`.
pub(crate) fn of_xray(header: &str) -> Option<String> {
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let (version, time, id, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    let is = |text: &str, length| text.len() == length && text.bytes().all(|c| c.is_ascii_hexdigit());
    (version == "1" && is(time, 8) && is(id, 24) && rest.is_none()).then(|| root.to_owned())
}

fn is_hex(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()) && id.bytes().any(|c| c != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_id_is_taken() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let root = "1-5759e988-bd862e3fe1be46a994272793";
        for (name, value, expected) in [
            ("traceparent", format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
            ("x-cloud-trace-context", format!("{id}/1;o=1"), Some(id)),
            ("x-amzn-trace-id", format!("Root={root};Sampled=1"), Some(root)),
            ("traceparent", "00-\"}{-x".to_owned(), None),
            ("x-amzn-trace-id", "Root=1-x-y".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::HeaderName::from_static(name), value.parse().expect("a header"));
            assert_eq!(of_headers(&headers).as_deref(), expected, "{value}");
        }
    }
}
