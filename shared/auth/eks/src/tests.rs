//! The token against a SigV4 computation of our own and a known answer of botocore; `DescribeCluster` against a
//! server of our own.

use std::{collections::BTreeMap, fmt::Write as _};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
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
        let made = token(credentials(session), &region.parse().expect("a region"), &"prod".parse().expect("a name"), now());
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
