//! The server without a policy listens on the loopback interface only. What still reaches it from elsewhere is a
//! browser: a page that posts to `localhost`, or a name that was rebound to 127.0.0.1. Neither can look like a
//! program: a page's request carries `Origin` or a simple content type, a rebound name its own `Host`.

use http::{HeaderMap, header};
use stanch_core::Caller;

use super::{Proved, Refusal, unproved};

/// The caller is on this machine, and is no browser.
pub(super) fn prove(headers: &HeaderMap) -> Result<Proved, Refusal> {
    if headers.contains_key(header::ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-")) {
        return Err(unproved("a browser sent it"));
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        return Err(unproved("its Host is not this machine"));
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
        return Err(unproved("its Content-Type is not JSON"));
    }
    let caller = Caller { id: "loopback".to_owned(), proved_at: None };
    Ok(Proved { caller, events: true, orders: true })
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_not_a_local_program() {
        let local = [("host", "127.0.0.1:8080"), ("content-type", "application/json; charset=utf-8")];
        for (name, value, ok) in [
            ("accept", "*/*", true),
            ("host", "localhost", true),
            ("host", "[::1]:8080", true),
            ("content-type", "application/cloudevents+json", true),
            ("host", "rebound.example:8080", false),
            ("host", "127.0.0.1.example", false),
            ("host", "", false),
            ("origin", "https://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "cross-site", false),
            ("content-type", "text/plain", false),
            ("content-type", "application/x-www-form-urlencoded", false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in local.into_iter().chain([(name, value)]) {
                headers.insert(http::HeaderName::from_static(name), value.parse().expect("a header"));
            }
            assert_eq!(prove(&headers).is_ok(), ok, "{name}: {value}");
        }
    }
}
