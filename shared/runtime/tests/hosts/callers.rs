//! Forged, stolen, expired, repeated: nobody is served who has not proved who it is, and nobody beyond its list.

use axum::{Json, Router, routing::post};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stanch_range::oidc::{Bad, Issuer};

use crate::support::{Outcome, Place, Process, falco, order};

const AUDIENCE: &str = "https://stanch.example.com";
const PUSHER: &str = "pusher@my-project.iam.gserviceaccount.com";
const ALICE: &str = "alice@example.com";

fn server(place: &Place, policy: &Value) -> std::io::Result<Process> {
    let policy = policy.to_string();
    Process::start(place, &[("PORT", "0"), ("STANCH_MODE", "enforce"), ("STANCH_CALLERS", &policy)], "listening")
}

fn oidc(issuer: &Issuer) -> Value {
    json!({"oidc": [{"issuer": issuer.url(), "jwks": issuer.certs_url(), "audience": AUDIENCE,
        "events": [PUSHER], "orders": [ALICE]}]})
}

fn claims(email: &str) -> Value {
    json!({"aud": AUDIENCE, "email": email, "email_verified": true})
}

async fn send(url: &str, token: &str, body: &Value) -> reqwest::Result<(StatusCode, Value)> {
    let answer = Client::new().post(url).bearer_auth(token).json(body).send().await?;
    Ok((answer.status(), answer.json().await.unwrap_or_default()))
}

#[tokio::test]
async fn no_forged_token_is_listened_to() -> Outcome {
    let place = Place::new()?;
    let issuer = Issuer::start()?;
    let server = server(&place, &oidc(&issuer))?;
    let url = server.url();
    let mut tokens: Vec<(String, String)> = Vec::new();
    for bad in Bad::ALL {
        for email in [PUSHER, ALICE] {
            tokens.push((format!("{bad:?}"), issuer.mint_bad(bad, &claims(email))?));
        }
    }
    let now = jiff::Timestamp::now().as_second();
    for (name, changed) in [
        ("unverified", json!({"email_verified": false})),
        ("verified as text", json!({"email_verified": "true"})),
        ("no e-mail", json!({"email": null})),
        ("issued two hours ago, ends tomorrow", json!({"iat": now - 7200, "exp": now + 86400})),
        ("no audience", json!({"aud": null})),
        ("no time", json!({"iat": null})),
        ("not before tomorrow", json!({"nbf": now + 86400})),
    ] {
        let mut claims = claims(ALICE);
        let (Some(all), Some(changed)) = (claims.as_object_mut(), changed.as_object()) else { continue };
        all.extend(changed.clone());
        tokens.push((name.to_owned(), issuer.mint(&claims)?));
    }
    let good = issuer.mint(&claims(ALICE))?;
    let unsigned = good.rsplit_once('.').map(|(head, _)| head.to_owned()).unwrap_or_default();
    tokens.push(("removed signature".to_owned(), format!("{unsigned}.SIGNATURE_REMOVED_BY_GOOGLE")));
    tokens.push(("no signature".to_owned(), unsigned));
    tokens.push(("no token".to_owned(), "x".to_owned()));
    for (name, token) in &tokens {
        for body in [falco("web-1"), order("apply", "x", "web-1")] {
            let (status, answer) = send(&url, token, &body).await?;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: {answer}");
            assert_eq!(answer, json!({"error": "the caller is not proved"}), "{name}");
        }
    }
    let client = Client::new();
    for path in ["", "healthz/", "metrics"] {
        assert_eq!(client.get(format!("{url}{path}")).send().await?.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(client.post(format!("{url}{path}")).send().await?.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let twice = client.post(&url).bearer_auth(&good).header("authorization", format!("Bearer {good}"));
    assert_eq!(twice.json(&falco("a")).send().await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(client.get(format!("{url}healthz")).send().await?.status(), StatusCode::OK);
    assert!(place.labels().is_empty());
    assert!(issuer.fetches() <= 2, "unknown keys cost {} fetches", issuer.fetches());
    Ok(())
}

#[tokio::test]
async fn an_event_caller_cannot_order() -> Outcome {
    let place = Place::new()?;
    let issuer = Issuer::start()?;
    let server = server(&place, &oidc(&issuer))?;
    let (pusher, alice) = (issuer.mint(&claims(PUSHER))?, issuer.mint(&claims(ALICE))?);
    let mallory = issuer.mint(&claims("mallory@example.com"))?;
    for (token, body, expected) in [
        (&pusher, order("apply", "x", "a"), StatusCode::FORBIDDEN),
        (&pusher, order("plan", "x", "a"), StatusCode::FORBIDDEN),
        (&alice, falco("a"), StatusCode::FORBIDDEN),
        (&mallory, falco("a"), StatusCode::FORBIDDEN),
        (&mallory, order("apply", "x", "a"), StatusCode::FORBIDDEN),
        (&pusher, falco("b"), StatusCode::OK),
        (&alice, order("apply", "x", "c"), StatusCode::OK),
    ] {
        let (status, answer) = send(&server.url(), token, &body).await?;
        assert_eq!(status, expected, "{body}: {answer}");
    }
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["b", "c"]);
    Ok(())
}

#[tokio::test]
async fn a_repeated_order_does_not_undo_an_undo() -> Outcome {
    let place = Place::new()?;
    let issuer = Issuer::start()?;
    let server = server(&place, &oidc(&issuer))?;
    let mut earlier = claims(ALICE);
    earlier["iat"] = (jiff::Timestamp::now().as_second() - 60).into();
    let captured = issuer.mint(&earlier)?;
    let (status, _) = send(&server.url(), &captured, &order("apply", "x", "a")).await?;
    assert_eq!(status, StatusCode::OK);
    let (status, answer) = send(&server.url(), &issuer.mint(&claims(ALICE))?, &order("revert", "x", "a")).await?;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("reverted")));
    let (status, answer) = send(&server.url(), &captured, &order("apply", "x", "a")).await?;
    assert_eq!((status, &answer["status"]), (StatusCode::FORBIDDEN, &json!("refused")), "{answer}");
    assert!(place.labels().is_empty());
    Ok(())
}

/// The claims of a service account's token, which only the API server can check.
fn account_token(changed: &Value) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({"iss": "https://kubernetes.default.svc", "iat": now, "exp": now + 3600, "aud": ["stanch"]});
    if let (Some(all), Some(changed)) = (claims.as_object_mut(), changed.as_object()) {
        all.extend(changed.clone());
    }
    let part = |it: &Value| BASE64_URL_SAFE_NO_PAD.encode(it.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(&claims))
}

#[tokio::test]
async fn the_api_server_proves_service_accounts() -> Outcome {
    let place = Place::new()?;
    std::fs::write(place.path("token"), "our own token\n")?;
    let known = account_token(&json!({"kubernetes.io": {"serviceaccount": {"name": "falcosidekick"}}}));
    let elsewhere = account_token(&json!({"jti": "another"}));
    let (good, foreign) = (known.clone(), elsewhere.clone());
    let api = Router::new().route(
        "/apis/authentication.k8s.io/v1/tokenreviews",
        post(move |headers: ::http::HeaderMap, Json(review): Json<Value>| async move {
            let ours = headers.get("authorization").is_some_and(|it| it == "Bearer our own token");
            let token = review["spec"]["token"].as_str().unwrap_or_default();
            let user = json!({"username": "system:serviceaccount:falco:falcosidekick"});
            let status = match token {
                _ if !ours || review["spec"]["audiences"] != json!(["stanch"]) => json!({"authenticated": false}),
                _ if token == good => json!({"authenticated": true, "user": user, "audiences": ["stanch"]}),
                _ if token == foreign => json!({"authenticated": true, "user": user}),
                _ => json!({"authenticated": false, "error": "no"}),
            };
            Json(json!({"kind": "TokenReview", "status": status}))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move { axum::serve(listener, api).await });
    let policy = json!({"kubernetes": {"audience": "stanch", "server": format!("http://{address}"),
        "token": place.path("token"), "events": ["system:serviceaccount:falco:falcosidekick"]}});
    let server = server(&place, &policy)?;
    let now = jiff::Timestamp::now().as_second();
    for (token, body, expected) in [
        (&account_token(&json!({"jti": "unknown"})), falco("a"), StatusCode::UNAUTHORIZED),
        (&elsewhere, falco("a"), StatusCode::UNAUTHORIZED),
        (&account_token(&json!({"exp": now - 1})), falco("a"), StatusCode::UNAUTHORIZED),
        (&account_token(&json!({"exp": null})), falco("a"), StatusCode::UNAUTHORIZED),
        (&known, order("apply", "x", "a"), StatusCode::FORBIDDEN),
        (&known, falco("b"), StatusCode::OK),
    ] {
        let (status, answer) = send(&server.url(), token, &body).await?;
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["b"]);
    serving.abort();
    let _ = serving.await;
    // Nobody to ask: try again, not "no".
    let (status, _) = send(&server.url(), &known, &falco("c")).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}
