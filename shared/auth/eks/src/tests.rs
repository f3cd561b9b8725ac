//! The token against a `SigV4` computation of our own and a known answer of botocore; `DescribeCluster` against a
//! server of our own.

use std::{collections::BTreeMap, fmt::Write as _};

use aws_credential_types::Credentials;
use aws_lc_rs::{digest, hmac};
use axum::{Router, extract::Path, http::StatusCode, response::IntoResponse, routing::get};
use base64::{Engine, prelude::*};
use stanch_core::Kind;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn credentials(session: Option<&str>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET, session.map(str::to_owned), None, "test")
}

fn url_of(token: &str) -> String {
    let text = token.strip_prefix("k8s-aws-v1.").expect("the prefix");
    assert!(!text.contains('='), "padding");
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("text")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string");
        out
    })
}

fn mac(key: &[u8], data: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
}

/// AWS IAM: "Create a signed AWS API request", written down once more.
fn signature(url: &str, cluster: &str, region: &str) -> String {
    let (host, query) = url.strip_prefix("https://").expect("https").split_once("/?").expect("a query");
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    pairs.sort_unstable();
    let empty = hex(digest::digest(&digest::SHA256, b"").as_ref());
    let canonical =
        format!("GET\n/\n{}\nhost:{host}\nx-k8s-aws-id:{cluster}\n\nhost;x-k8s-aws-id\n{empty}", pairs.join("&"));
    let scope = format!("20260102/{region}/sts/aws4_request");
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n20260102T030405Z\n{scope}\n{hashed}");
    let key = [region, "sts", "aws4_request"]
        .iter()
        .fold(mac(format!("AWS4{SECRET}").as_bytes(), "20260102"), |key, part| mac(&key, part));
    hex(&mac(&key, &text))
}

#[test]
fn the_token_is_the_presigned_request_that_eks_expects() {
    for (region, host, session) in [
        ("eu-central-1", "sts.eu-central-1.amazonaws.com", None),
        ("us-east-1", "sts.us-east-1.amazonaws.com", Some("FwoGZXIvYXdzEBYa/session+token==")),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com", None),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn", None),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov", None),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu", None),
    ] {
        let made =
            token(credentials(session), &region.parse().expect("a region"), &"prod".parse().expect("a name"), now());
        let url = url_of(&made.expect("a token"));
        let (found, query) = url.strip_prefix("https://").expect("https").split_once("/?").expect("a query");
        assert_eq!(found, host);
        let pairs: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!(pairs["Action"], "GetCallerIdentity");
        assert_eq!(pairs["Version"], "2011-06-15");
        assert_eq!(pairs["X-Amz-Algorithm"], "AWS4-HMAC-SHA256");
        assert_eq!(pairs["X-Amz-Date"], "20260102T030405Z");
        assert_eq!(pairs["X-Amz-Expires"], "60");
        assert_eq!(pairs["X-Amz-SignedHeaders"], "host%3Bx-k8s-aws-id");
        assert_eq!(pairs.contains_key("X-Amz-Security-Token"), session.is_some());
        assert_eq!(pairs["X-Amz-Signature"], signature(&url, "prod", region), "{region}");
    }
}

/// What botocore 1.43 signs for `aws eks get-token` with these credentials at this time.
#[test]
fn the_signature_is_botocore_s() {
    for (session, expected) in [
        (None, "8fb212f6307177b21f5b98e84955bafa8cd337f36e6eb27ed4bb552f48ff4494"),
        (Some("FwoGZXIvYXdzEBYa/session+token=="), "049d8519310573323f7c98faf272cb4791945a3cb326447e683ad6c030e05938"),
    ] {
        let region = "eu-central-1".parse().expect("a region");
        let made = token(credentials(session), &region, &"prod".parse().expect("a name"), now()).expect("a token");
        let url = url_of(&made);
        assert!(url.contains(&format!("&X-Amz-Signature={expected}")), "{url}");
    }
}

/// A `DescribeCluster` for the clusters of account 123456789012: one per kind of answer.
async fn eks() -> String {
    async fn describe(Path(name): Path<String>) -> impl IntoResponse {
        let arn = format!("arn:aws:eks:eu-central-1:123456789012:cluster/{name}");
        let refuse = |status: u16, code: &'static str| {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, [("x-amzn-errortype", code)], r#"{"message":"secret-thing"}"#.to_owned())
        };
        let cluster = |json: serde_json::Value| {
            (StatusCode::OK, [("x-amzn-errortype", "")], serde_json::json!({"cluster": json}).to_string())
        };
        match name.as_str() {
            "prod" => cluster(serde_json::json!({
                "name": name, "arn": arn, "status": "ACTIVE", "endpoint": "https://127.0.0.1:6443",
                "certificateAuthority": {"data": BASE64_STANDARD.encode("-----BEGIN CERTIFICATE-----")},
            })),
            "new" => cluster(serde_json::json!({"name": name, "arn": arn, "status": "CREATING"})),
            "denied" => refuse(403, "AccessDeniedException"),
            "stale" => refuse(403, "UnrecognizedClientException"),
            "busy" => refuse(429, "ThrottlingException"),
            "down" => refuse(500, "ServerException"),
            _ => refuse(404, "ResourceNotFoundException"),
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let app = Router::new().route("/clusters/{name}", get(describe));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// As [`config`], with an endpoint and credentials of ours.
async fn config_for(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(aws_config::Region::new("eu-central-1"))
        .retry_config(RetryConfig::disabled())
        .credentials_provider(credentials(None))
        .load()
        .await
}

async fn ask(endpoint: &str, account: &str, name: &str) -> Result<ClusterAccess> {
    let region = "eu-central-1".parse().expect("a region");
    let (account, name) = (account.parse().expect("an account"), name.parse().expect("a name"));
    access_with(&config_for(endpoint).await, &account, &region, &name, now()).await
}

#[tokio::test]
async fn a_cluster_is_found_with_its_endpoint_and_a_token() {
    let eks = eks().await;
    let access = ask(&eks, "123456789012", "prod").await.expect("access");
    assert_eq!(access.server, "https://127.0.0.1:6443");
    assert_eq!(access.ca_pem, b"-----BEGIN CERTIFICATE-----");
    assert_eq!(access.expires.to_string(), "2026-01-02T03:18:05Z");
    assert!(url_of(&access.token).starts_with("https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity"));
    assert!(!format!("{access:?}").contains(&access.token), "a token in a log");
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let eks = eks().await;
    for (account, name, kind) in [
        ("210987654321", "prod", Kind::Conflict),
        ("123456789012", "new", Kind::Unavailable),
        ("123456789012", "absent", Kind::NotFound),
        ("123456789012", "denied", Kind::Denied),
        ("123456789012", "stale", Kind::Denied),
        ("123456789012", "busy", Kind::Throttled),
        ("123456789012", "down", Kind::Unavailable),
    ] {
        let error = ask(&eks, account, name).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(!error.to_string().contains("secret-thing"), "{error}");
    }
    let error = ask("http://127.0.0.1:1", "123456789012", "prod").await.expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}
