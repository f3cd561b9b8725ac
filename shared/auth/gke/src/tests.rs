use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;

const PATH: &str = "/v1/projects/acme-prod/locations/europe-west1/clusters/prod";

fn ca() -> String {
    STANDARD.encode("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
}

/// A GKE API that answers this.
async fn serve(status: u16, body: Value) -> String {
    let answer = move |headers: HeaderMap| async move {
        let proved = headers.get("authorization").is_some_and(|value| value == "Bearer token-1");
        let status = if proved { status } else { 401 };
        (StatusCode::from_u16(status).expect("status"), Json(body))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route(PATH, get(answer))).await });
    url
}

async fn access(url: &str, token: &str) -> Result<ClusterAccess> {
    let (project, location, name) = ("acme-prod", "europe-west1", "prod");
    let names = (project.parse().expect("project"), location.parse().expect("location"), name.parse().expect("name"));
    Gke::at(url, token).expect("client").access(&names.0, &names.1, &names.2, Timestamp::UNIX_EPOCH).await
}

#[tokio::test]
async fn the_best_endpoint_is_taken() {
    let dns = json!({"endpoint": "gke-1a.europe-west1.gke.goog", "allowExternalTraffic": true});
    let shut = json!({"endpoint": "gke-1a.europe-west1.gke.goog", "allowExternalTraffic": false});
    let auth = json!({"clusterCaCertificate": ca()});
    for (name, cluster, server, has_ca) in [
        (
            "dns",
            json!({"endpoint": "203.0.113.7", "controlPlaneEndpointsConfig": {"dnsEndpointConfig": dns}}),
            "https://gke-1a.europe-west1.gke.goog",
            false,
        ),
        (
            "address",
            json!({"endpoint": "203.0.113.7", "masterAuth": auth, "controlPlaneEndpointsConfig": {"dnsEndpointConfig": shut}}),
            "https://203.0.113.7",
            true,
        ),
        (
            "private",
            json!({"endpoint": "203.0.113.7", "masterAuth": auth, "privateClusterConfig": {"enablePrivateEndpoint": true, "privateEndpoint": "10.0.0.2"}}),
            "https://10.0.0.2",
            true,
        ),
        (
            "private, new form",
            json!({"endpoint": "", "masterAuth": auth, "controlPlaneEndpointsConfig": {"ipEndpointsConfig": {"enablePublicEndpoint": false, "privateEndpoint": "10.0.0.2"}}}),
            "https://10.0.0.2",
            true,
        ),
        (
            "both",
            json!({"endpoint": "203.0.113.7", "masterAuth": auth, "privateClusterConfig": {"privateEndpoint": "10.0.0.2"}}),
            "https://203.0.113.7",
            true,
        ),
        ("IPv6", json!({"endpoint": "2001:db8::1", "masterAuth": auth}), "https://[2001:db8::1]", true),
    ] {
        let found = access(&serve(200, cluster).await, "token-1").await.expect(name);
        assert_eq!((found.server.as_str(), found.ca_pem.is_some()), (server, has_ca), "{name}");
        assert_eq!(found.token, "token-1");
        assert_eq!(found.expires, Timestamp::UNIX_EPOCH + FRESH);
        assert!(!format!("{found:?}").contains("token-1"));
    }
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    let auth = json!({"clusterCaCertificate": ca()});
    for (cluster, kind) in [
        (
            json!({"controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": "evil.example", "allowExternalTraffic": true}}}),
            Kind::Internal,
        ),
        (
            json!({"controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": "evil.example/x.gke.goog", "allowExternalTraffic": true}}}),
            Kind::Internal,
        ),
        (json!({"endpoint": "evil.example", "masterAuth": auth}), Kind::Internal),
        (json!({"endpoint": "203.0.113.7"}), Kind::Internal),
        (json!({"masterAuth": auth, "status": "PROVISIONING"}), Kind::Unavailable),
        (json!("x"), Kind::Internal),
    ] {
        let error = access(&serve(200, cluster.clone()).await, "token-1").await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{cluster}: {error}");
    }
}

#[tokio::test]
async fn a_failure_is_classified_and_not_repeated() {
    let body = json!({"error": {"message": "secret"}});
    for (status, kind) in [
        (403, Kind::Denied),
        (404, Kind::NotFound),
        (429, Kind::Throttled),
        (302, Kind::Unavailable),
        (503, Kind::Unavailable),
        (400, Kind::Invalid),
    ] {
        let error = access(&serve(status, body.clone()).await, "token-1").await.expect_err("failed");
        assert_eq!(error.kind(), kind, "{status}");
        assert!(!error.to_string().contains("secret"));
    }
    let error = access(&serve(200, body).await, "token-2").await.expect_err("401");
    assert_eq!(error.kind(), Kind::Denied);
    let error = access("http://127.0.0.1:9", "token-1").await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Unavailable);
}
