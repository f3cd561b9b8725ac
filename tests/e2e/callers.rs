//! Who may send what, over HTTP, with tokens of an issuer of our own.

use serde_json::json;
use stanch_range::oidc::{Bad, Issuer};

use crate::{
    gcp::{push, world},
    service::Service,
};

const AUDIENCE: &str = "https://stanch.example.com";
const PUSHER: &str = "pusher@acme-prod.iam.gserviceaccount.com";
const ANALYST: &str = "analyst@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_healthz_answers_without_proof() {
    let world = world();
    let issuer = Issuer::start().unwrap();
    let mut environment = world.environment(Some("enforce"));
    let policy = json!({"oidc": [{
        "issuer": issuer.url(), "jwks": issuer.certs_url(), "audience": AUDIENCE,
        "events": [PUSHER], "orders": [ANALYST],
    }]});
    environment.push(("STANCH_CALLERS", policy.to_string()));
    let service = Service::start("gcp-snapshot-disks", &environment).await;

    let event = push(world.entry().to_string().as_bytes(), "1");
    let instance = json!({"kind": "gce-instance", "project": "acme-prod", "zone": "europe-west1-b", "name": "web-1"});
    let order = json!({"mode": "apply", "incident": "inc-1", "target": instance, "requested_by": ANALYST}).to_string();
    let bearer = |token: &str| format!("Bearer {token}");
    let claims = |email: &str| {
        let now = jiff::Timestamp::now().as_second();
        json!({"iss": issuer.url(), "aud": AUDIENCE, "sub": "1", "email": email, "email_verified": true,
            "iat": now, "exp": now + 3600})
    };

    let mut headers =
        vec![String::new(), "Bearer ".to_owned(), "Bearer x.y.z".to_owned(), "Basic dXNlcjpwYXNz".to_owned()];
    for bad in Bad::ALL {
        for email in [PUSHER, ANALYST] {
            headers.push(bearer(&issuer.mint_bad(bad, &claims(email)).unwrap()));
        }
    }
    let mut unverified = claims(ANALYST);
    unverified["email_verified"] = json!(false);
    headers.push(bearer(&issuer.mint(&unverified).unwrap()));
    headers.push(bearer(&issuer.mint(&claims("stranger@example.com")).unwrap()));
    for header in &headers {
        for body in [&event, &order] {
            let given: &[(&str, &str)] = if header.is_empty() { &[] } else { &[("authorization", header)] };
            let answer = service.post(body.clone(), given).await;
            assert!(matches!(answer.status, 401 | 403), "{header}: {answer:?}");
        }
    }
    assert!(world.gce.log().is_empty(), "nothing was even looked at: {:?}", world.gce.log());

    // Each may do its own, and no more; what the body says of who asks is a comment.
    let pusher = bearer(&issuer.mint(&claims(PUSHER)).unwrap());
    let analyst = bearer(&issuer.mint(&claims(ANALYST)).unwrap());
    let refused = service.post(order.clone(), &[("authorization", &pusher)]).await;
    assert_eq!(refused.status, 403, "an event's sender gives no orders: {refused:?}");
    let refused = service.post(event.clone(), &[("authorization", &analyst)]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(world.gce.snapshots().is_empty());

    let applied = service.post(event.clone(), &[("authorization", &pusher)]).await;
    assert_eq!((applied.status, &applied.report()["status"]), (200, &json!("applied")), "{applied:?}");
    // A copy of the whole request is a redelivery.
    let replay = service.post(event, &[("authorization", &pusher)]).await;
    assert_eq!((replay.status, &replay.report()["status"]), (200, &json!("already")), "{replay:?}");
    assert_eq!(world.gce.snapshots().len(), 3);
}
