//! The token: `k8s-aws-v1.` and the base64url text of a presigned `GetCallerIdentity`.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use stanch_core::{
    Error, Kind, Result,
    names::{EksName, Region},
};

/// How long the cluster takes a token: 15 minutes after its signature, less one for clocks that differ
/// (`aws-iam-authenticator`: "presigned URLs are valid for 15 minutes").
pub const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(14);

/// Binds the signature to one cluster: a token for another one is refused there.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// A token for one cluster. Computed: no call is made.
///
/// # Errors
/// [`Kind::Internal`] when the request cannot be signed.
pub fn token(credentials: Credentials, region: &Region, cluster: &EksName, now: Timestamp) -> Result<String> {
    let fail = |message: &str| Error::new(Kind::Internal, "sign the cluster token", message).on(cluster.as_str());

    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    // What the authenticator wants to see; the token's real life is counted from X-Amz-Date.
    settings.expires_in = Some(Duration::from_mins(1));
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name("sts")
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .map_err(|_| fail("a parameter is missing"))?
        .into();

    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", sts_host(region));
    let headers = [(CLUSTER_HEADER, cluster.as_str())];
    let request = SignableRequest::new("GET", &*url, headers.into_iter(), SignableBody::empty())
        .map_err(|_| fail("the URL cannot be signed"))?;
    let (signed, _) = sign(request, &parameters).map_err(|_| fail("the signature failed"))?.into_parts();
    let (_, query) = signed.into_parts();

    let url = query.iter().fold(url, |url, (name, value)| format!("{url}&{name}={}", escape(value)));
    Ok(format!("k8s-aws-v1.{}", BASE64_URL_SAFE_NO_PAD.encode(url)))
}

/// The STS of a region (AWS General Reference: "AWS Security Token Service endpoints"), by the DNS suffix of the
/// region's partition.
fn sts_host(region: &Region) -> String {
    let region = region.as_str();
    let suffix = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ]
    .iter()
    .find(|(prefix, _)| region.starts_with(prefix))
    .map_or("amazonaws.com", |(_, suffix)| suffix);
    format!("sts.{region}.{suffix}")
}

/// Percent-encoding as `SigV4` wants it: everything but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
