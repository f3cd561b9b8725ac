//! Cluster access for Amazon EKS: where a cluster is, whom to trust there, and a token.
//!
//! The token is a presigned request: whoever receives it may ask AWS STS once who we are, and nothing else. EKS
//! does ("Amazon EKS: Cluster authentication"; the form is that of `aws eks get-token` and of
//! `aws-iam-authenticator`, "API Authorization from Outside a Cluster").
//!
//! Endpoints and credentials are those of the AWS SDK: `AWS_ENDPOINT_URL`, `AWS_PROFILE`, a role … The token names
//! the real STS in any case, since it is EKS that calls it.

mod token;

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_eks::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::describe_cluster::DescribeClusterError,
    types::ClusterStatus,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use stanch_core::{
    Error, Kind, Result,
    names::{AccountId, EksName, Region},
};

pub use token::{TOKEN_LIFE, token};

const OPERATION: &str = "eks:DescribeCluster";

/// How a cluster is reached.
#[derive(Clone)]
pub struct ClusterAccess {
    /// The URL of its API server.
    pub server: String,
    /// Whom to trust there.
    pub ca_pem: Vec<u8>,
    /// What proves who we are.
    pub token: String,
    /// When the token ends.
    pub expires: Timestamp,
}

impl fmt::Debug for ClusterAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAccess")
            .field("server", &self.server)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Finds the cluster and makes a token for it. One call: `eks:DescribeCluster`.
///
/// # Errors
/// [`Kind::Denied`] without credentials or permission; [`Kind::NotFound`] when there is no such cluster;
/// [`Kind::Conflict`] when our credentials are those of another account, which may have a cluster of that name;
/// [`Kind::Unavailable`] while it has no endpoint.
pub async fn access(account: &AccountId, region: &Region, name: &EksName) -> Result<ClusterAccess> {
    access_with(&config(region).await, account, region, name, Timestamp::now()).await
}

/// The SDK without retries of its own (there is one layer of retries, and it is not here) and with time limits.
async fn config(region: &Region) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(10))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new(region.to_string()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .load()
        .await
}

/// [`access`] with a configuration and a clock of the caller's.
///
/// # Errors
/// As [`access`].
pub async fn access_with(
    config: &SdkConfig,
    account: &AccountId,
    region: &Region,
    name: &EksName,
    now: Timestamp,
) -> Result<ClusterAccess> {
    let resource = format!("eks:{account}/{region}/{name}");
    let fail = |kind, message: &str| Error::new(kind, OPERATION, message).on(resource.clone());

    let answer = Client::new(config).describe_cluster().name(name.as_str()).send().await;
    let answer = answer.map_err(|error| classify(&error).on(resource.clone()))?;
    let cluster = answer.cluster.ok_or_else(|| fail(Kind::Internal, "the answer has no cluster"))?;

    // arn:aws:eks:eu-central-1:123456789012:cluster/prod
    let owner = cluster.arn().and_then(|arn| arn.split(':').nth(4)).unwrap_or_default();
    if owner != account.as_str() {
        return Err(fail(Kind::Conflict, "our credentials see a cluster of that name in another account"));
    }
    let (Some(server), Some(ca)) =
        (cluster.endpoint(), cluster.certificate_authority().and_then(aws_sdk_eks::types::Certificate::data))
    else {
        let kind = if cluster.status() == Some(&ClusterStatus::Creating) { Kind::Unavailable } else { Kind::NotFound };
        return Err(fail(kind, "the cluster has no endpoint"));
    };
    let ca_pem = BASE64_STANDARD.decode(ca).map_err(|_| fail(Kind::Internal, "the certificate is not base64"))?;

    let provider =
        config.credentials_provider().ok_or_else(|| Error::new(Kind::Denied, "aws credentials", "there are none"))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|_| Error::new(Kind::Denied, "aws credentials", "there are none, or they could not be fetched"))?;
    let token = token(credentials, region, name, now)?;
    let expires = now.checked_add(TOKEN_LIFE).map_err(|_| fail(Kind::Internal, "the clock is wrong"))?;
    Ok(ClusterAccess { server: server.to_owned(), ca_pem, token, expires })
}

fn classify<R>(error: &SdkError<DescribeClusterError, R>) -> Error
where
    R: fmt::Debug,
{
    let Some(refused) = error.as_service_error() else {
        let kind = match error {
            // Nothing was sent: no credentials, no region.
            SdkError::ConstructionFailure(_) => Kind::Denied,
            SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other() => Kind::Denied,
            _ => Kind::Unavailable,
        };
        let message = if kind == Kind::Denied { "no AWS credentials" } else { "no answer from EKS" };
        return Error::new(kind, OPERATION, message);
    };
    let (kind, message) = match refused.code().unwrap_or_default() {
        "ResourceNotFoundException" => (Kind::NotFound, "there is no such cluster"),
        "AccessDeniedException" | "AccessDenied" => (Kind::Denied, "missing permission: eks:DescribeCluster"),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidClientTokenId" => (Kind::Denied, "AWS does not accept our credentials"),
        "ThrottlingException" | "TooManyRequestsException" => (Kind::Throttled, "EKS asks for fewer calls"),
        "ServerException" | "ServiceUnavailableException" => (Kind::Unavailable, "EKS cannot answer now"),
        _ => (Kind::Internal, "EKS refused the call"),
    };
    Error::new(kind, OPERATION, message)
}

#[cfg(test)]
mod tests;
