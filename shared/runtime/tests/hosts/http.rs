//! What the server takes and answers.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Outcome, Place, falco, local, order, push};

const ENFORCE: (&str, &str) = ("STANCH_MODE", "enforce");
/// More targets than may be acted on in ten minutes.
const MANY: (&str, &str) = ("STANCH_GUARD", r#"{"limits": {"label-pod": {"per_ten_minutes": 10}}}"#);

#[tokio::test]
async fn every_wrapping_of_an_event_acts_and_a_redelivery_does_not() -> Outcome {
    let place = Place::new()?;
    let server = local(&place, &[ENFORCE, MANY])?;
    let (client, url) = (Client::new(), server.url());
    let json = |body: &Value| client.post(&url).header("content-type", "application/json").body(body.to_string());
    let structured = json!({"specversion": "1.0", "id": "1", "source": "falco", "type": "falco.rule.output.v1",
        "datacontenttype": "application/json", "data": falco("structured")});
    let batch = json!([{"specversion": "1.0", "id": "2", "source": "falco", "type": "falco.rule.output.v1",
        "datacontenttype": "application/json", "data": falco("batched")}]);
    for (pod, request) in [
        ("bare", json(&falco("bare"))),
        ("push", json(&push(&falco("push")))),
        (
            "structured",
            client.post(&url).header("content-type", "application/cloudevents+json").body(structured.to_string()),
        ),
        (
            "batched",
            client.post(&url).header("content-type", "application/cloudevents-batch+json").body(batch.to_string()),
        ),
        (
            "binary",
            json(&falco("binary"))
                .header("ce-specversion", "1.0")
                .header("ce-id", "1")
                .header("ce-source", "falco")
                .header("ce-type", "falco.rule.output.v1"),
        ),
        ("order", json(&order("apply", "case-1", "order"))),
    ] {
        let again = request.try_clone().ok_or("a request with a body")?;
        let answer = request.send().await?;
        assert_eq!(answer.status(), StatusCode::OK, "{pod}");
        let report: Value = answer.json().await?;
        assert_eq!(report["status"], "applied", "{pod}: {report}");
        assert_eq!(place.labels().get(pod).map(String::as_str), Some("suspect"));
        let report: Value = again.send().await?.json().await?;
        assert_eq!(report["status"], "already", "{pod}: {report}");
    }
    let reverted: Value = json(&order("revert", "case-1", "order")).send().await?.json().await?;
    assert_eq!(reverted["status"], "reverted", "{reverted}");
    assert_eq!(place.labels().get("order"), None);
    Ok(())
}

#[tokio::test]
async fn observe_is_the_default_and_writes_nothing() -> Outcome {
    let place = Place::new()?;
    let server = local(&place, &[])?;
    for body in [falco("web-1"), order("apply", "case-1", "web-1")] {
        let answer = Client::new().post(server.url()).json(&body).send().await?;
        let report: Value = answer.json().await?;
        assert_eq!(report["status"], "planned", "{report}");
    }
    assert!(place.labels().is_empty());
    Ok(())
}

#[tokio::test]
async fn each_outcome_has_its_status() -> Outcome {
    let place = Place::new()?;
    let server = local(&place, &[ENFORCE, ("STANCH_TIMEOUT", "4")])?;
    let (client, url) = (Client::new(), server.url());
    let unknown = json!({"hello": "world"});
    let twice = r#"{"mode":"plan","mode":"apply"}"#.to_owned();
    let inside = json!({"specversion": "1.0", "id": "1", "source": "x", "type": "y", "data": order("apply", "x", "a")});
    for (body, code, kind) in [
        (falco("denied-1").to_string(), 424, "denied"),
        (falco("gone-1").to_string(), 404, "not_found"),
        (falco("throttled-1").to_string(), 429, "throttled"),
        (falco("panics-1").to_string(), 500, "internal"),
        (falco("UPPER").to_string(), 400, "invalid"),
        (order("apply", "x", "gone-1").to_string(), 404, "not_found"),
        (order("nuke", "x", "a").to_string(), 400, "invalid"),
        (order("revert", "never", "a").to_string(), 403, "refused"),
        (unknown.to_string(), 400, "invalid"),
        (inside.to_string(), 400, "invalid"),
        (twice, 400, "invalid"),
        ("{".to_owned(), 400, "invalid"),
        (push(&falco("throttled-2")).to_string(), 429, "throttled"),
    ] {
        let answer = client.post(&url).header("content-type", "application/json").body(body.clone()).send().await?;
        let (status, retry) = (answer.status(), answer.headers().contains_key("retry-after"));
        let report: Value = answer.json().await?;
        assert_eq!((status.as_u16(), report["error"].as_str()), (code, Some(kind)), "{body}: {report}");
        assert_eq!(retry, code == 429, "{body}");
    }
    // Whoever would send it again for days is answered 204, and the log says so.
    for body in [
        push(&falco("denied-1")),
        push(&unknown),
        push(&order("apply", "x", "a")),
        json!({"message": {}, "subscription": "s"}),
    ] {
        let answer = client.post(&url).json(&body).send().await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{body}");
    }
    let line = server.wait_for("failed for good; no dead-letter topic keeps a copy");
    assert_eq!(line["severity"], "ERROR");
    // The guard's no is an answer to an event, and a no to an order.
    let mut mine = falco("web-1");
    mine["output_fields"]["k8s.ns.name"] = json!("kube-system");
    assert_eq!(client.post(&url).json(&mine).send().await?.status(), StatusCode::OK);
    let mut mine = order("apply", "x", "a");
    mine["target"]["namespace"] = json!("kube-system");
    assert_eq!(client.post(&url).json(&mine).send().await?.status(), StatusCode::FORBIDDEN);
    assert!(place.labels().is_empty(), "{:?}", place.labels());
    Ok(())
}

#[tokio::test]
async fn a_body_is_bounded_and_plain() -> Outcome {
    let place = Place::new()?;
    let server = local(&place, &[])?;
    let (client, url) = (Client::new(), server.url());
    let post = || client.post(&url).header("content-type", "application/json");
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(post().body(large).send().await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let pushed = post().header("user-agent", "CloudPubSub-Google").body(vec![b' '; 2 * 1024 * 1024]);
    assert_eq!(pushed.send().await?.status(), StatusCode::NO_CONTENT, "it would come again for days");
    let compressed = post().header("content-encoding", "gzip").body("{}");
    assert_eq!(compressed.send().await?.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        client.get(&url).header("content-type", "application/json").send().await?.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    // The length is not said: it is counted.
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let head =
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 413");
    Ok(())
}

#[tokio::test]
async fn without_a_policy_only_programs_on_this_machine_are_served() -> Outcome {
    let place = Place::new()?;
    let server = local(&place, &[ENFORCE])?;
    let (client, url) = (Client::new(), server.url());
    assert!(server.wait_for("listening")["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")));
    for (name, value) in [("origin", "https://evil.example"), ("host", "evil.example"), ("content-type", "text/plain")]
    {
        let mut request = client.post(&url);
        if name != "content-type" {
            request = request.header("content-type", "application/json");
        }
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = request.header(name, value).header("traceparent", trace);
        let answer = request.body(falco("web-1").to_string()).send().await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}: {value}");
    }
    let line = server.wait_for("a caller is not proved");
    assert_eq!(line["logging.googleapis.com/trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(client.get(format!("{url}healthz")).send().await?.text().await?, "ok\n");
    assert!(place.labels().is_empty());
    Ok(())
}

#[tokio::test]
async fn sigterm_finishes_what_runs() -> Outcome {
    let place = Place::new()?;
    let mut server = local(&place, &[ENFORCE])?;
    let url = server.url();
    let (client, address) = (Client::new(), url.clone());
    let running = tokio::spawn(async move { client.post(address).json(&falco("slow-1")).send().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.terminate()?;
    let report: Value = running.await??.json().await?;
    assert_eq!(report["status"], "applied", "{report}");
    assert_eq!(server.wait()?.code(), Some(0));
    assert!(Client::new().get(format!("{url}healthz")).send().await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_a_change() -> Outcome {
    let place = Place::new()?;
    let mut server = local(&place, &[ENFORCE])?;
    let request = Client::new().post(server.url()).json(&falco("slow-1")).timeout(Duration::from_millis(500));
    assert!(request.send().await.is_err());
    assert!(place.labels().is_empty());
    server.terminate()?;
    assert_eq!(server.wait()?.code(), Some(0));
    assert_eq!(place.labels().len(), 1, "the drain waited for it");
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_said_and_nothing_is_served() -> Outcome {
    let place = Place::new()?;
    for (name, value) in [
        ("STANCH_MODE", "on"),
        ("STANCH_GUARD", "severity_floor: hgih"),
        ("STANCH_LEDGER", "redis:x"),
        ("STANCH_LEDGER", ""),
        ("STANCH_CALLERS", "oidc: []"),
        ("STANCH_CALLERS", "oidc: [{audience: x, issuer: 'https://other.example'}]"),
        ("STANCH_CALLERS", "oidc: [{audience: x, jwks: 'http://keys.example/'}]"),
        ("STANCH_CALLERS", "kubernetes: {audience: x}"),
        ("STANCH_DEAD_LETTER", "topic"),
        ("PORT", "http"),
    ] {
        let out = crate::support::responder(&place, &[("PORT", "0"), (name, value)]).output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(2), "{name}={value}: {text}");
        assert!(text.contains(name), "{name}={value}: {text}");
    }
    Ok(())
}
