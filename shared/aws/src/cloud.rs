//! One AWS configuration a process; clients for the account and region of each order.

use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use stanch_core::{
    Check, Cloud, Error, Exemption, Identity, Kind, Permissions, Result, Scope,
    names::{AccountId, Region},
    target::Ec2Instance,
};
use tokio::sync::OnceCell;

use crate::{check, ec2::Ec2Api, error::classify, http, instance::Instance};

/// The tag that asks for being left alone.
const EXEMPT: &str = "stanch:exempt";
/// A TCP and TLS handshake within a region takes milliseconds; what takes seconds will not come.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt, from sending to the whole answer. The one retry layer is the driver's, bounded by its deadline.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Where STS is asked who we are when no region is configured: an identity is the same in every region.
const IDENTITY_REGION: &str = "us-east-1";

/// What this process reads from its environment, for the wing and for a ledger beside it: region, endpoint,
/// credentials (one sign-in) and HTTP client.
pub async fn shared_config() -> SdkConfig {
    static SHARED: OnceCell<SdkConfig> = OnceCell::const_new();
    SHARED.get_or_init(|| load(None)).await.clone()
}

async fn load(given: Option<&Given>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(ATTEMPT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(ATTEMPT)
        .build();
    // The behaviour is pinned: an SDK update must not change how calls are made.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .http_client(http::client());
    // Shows in CloudTrail as part of the user agent, so that an analyst can tell our calls.
    if let Ok(name) = AppName::new("stanch") {
        loader = loader.app_name(name);
    }
    if let Some(Given { endpoint, region, credentials }) = given {
        loader = loader
            .endpoint_url(endpoint)
            .region(aws_config::Region::new(region.to_string()))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()));
    }
    loader.load().await
}

/// AWS, as the process sees it: credentials, region and endpoint from where the SDK and the CLI read them.
#[derive(Debug, Default)]
pub struct Aws {
    given: Option<Given>,
    account: OnceCell<AccountId>,
    config: OnceCell<SdkConfig>,
}

/// What a test or a range gives instead of the environment.
#[derive(Debug)]
struct Given {
    endpoint: String,
    region: Region,
    credentials: Credentials,
}

impl Aws {
    /// An endpoint with fixed credentials, e.g. a simulator; the environment is not read for them.
    pub fn with(endpoint: impl Into<String>, region: Region, access_key_id: &str, secret_access_key: &str) -> Self {
        let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "given");
        Self { given: Some(Given { endpoint: endpoint.into(), region, credentials }), ..Self::default() }
    }

    /// With the account that we run in, where the host knows it (a Lambda invocation's function ARN names it), so
    /// that STS need not be asked.
    #[must_use]
    pub fn with_account(mut self, account: AccountId) -> Self {
        self.account = OnceCell::new_with(Some(account));
        self
    }

    async fn config(&self) -> &SdkConfig {
        let config = || async {
            match &self.given {
                Some(given) => load(Some(given)).await,
                None => shared_config().await,
            }
        };
        self.config.get_or_init(config).await
    }

    async fn identity(&self) -> Result<(AccountId, String)> {
        const OPERATION: &str = "sts:GetCallerIdentity";
        let config = self.config().await;
        let mut sts = aws_sdk_sts::config::Builder::from(config);
        if config.region().is_none() {
            sts = sts.region(aws_config::Region::from_static(IDENTITY_REGION));
        }
        let who = aws_sdk_sts::Client::from_conf(sts.build())
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| classify(OPERATION, "", error))?;
        let account = who
            .account()
            .and_then(|account| account.parse().ok())
            .ok_or_else(|| Error::new(Kind::Internal, OPERATION, "the answer names no account"))?;
        Ok((account, who.arn().unwrap_or_default().to_owned()))
    }
}

impl Cloud<Ec2Instance> for Aws {
    type Api = Ec2Api;
    type Facts = Instance;

    fn from_env() -> Result<Self> {
        Ok(Self::default())
    }

    async fn warm(&self) {
        let config = self.config().await;
        if config.endpoint_url().is_some_and(|url| url.starts_with("http://")) {
            return;
        }
        // This client is made for the roots alone, and makes no call.
        drop(aws_sdk_sts::Client::from_conf(
            aws_sdk_sts::config::Builder::from(config).http_client(http::ready()).build(),
        ));
    }

    fn uid(&self, target: &Ec2Instance) -> Option<String> {
        Some(target.id.to_string())
    }

    async fn home(&self) -> Result<Scope> {
        let account =
            self.account.get_or_try_init(|| async { self.identity().await.map(|(account, _)| account) }).await?;
        Ok(Scope::Account(account.clone()))
    }

    async fn connect(&self, target: &Ec2Instance) -> Result<Ec2Api> {
        let config = aws_sdk_ec2::config::Builder::from(self.config().await)
            .region(aws_config::Region::new(target.region.to_string()))
            .build();
        Ok(Ec2Api::new(aws_sdk_ec2::Client::from_conf(config), target.account.clone(), target.region.clone()))
    }

    async fn identify(&self, api: &Ec2Api, target: &Ec2Instance) -> Result<Identity<Instance>> {
        let facts = api.instance(&target.id).await?;
        // "false" is a person's way to say no; any other value, and none, asks for being left alone.
        let exempt = facts
            .tags
            .get(EXEMPT)
            .filter(|value| !value.eq_ignore_ascii_case("false"))
            .map(|_| Exemption { mark: format!("tag {EXEMPT}"), forgeable: true });
        Ok(Identity {
            uid: target.id.to_string(),
            target: target.clone().into(),
            exempt: exempt.into_iter().collect(),
            facts,
        })
    }

    async fn check(&self, api: &Ec2Api, target: &Ec2Instance, needs: &Permissions) -> Vec<Check> {
        let who = "sts:GetCallerIdentity".to_owned();
        let mut lines = vec![match self.identity().await {
            Ok((account, arn)) => Check { what: who, ok: account == target.account, detail: arn },
            Err(error) => Check { what: who, ok: false, detail: error.to_string() },
        }];
        lines.extend(check::permissions(api, &target.id, needs).await);
        lines
    }
}
