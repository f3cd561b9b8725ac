//! One AWS configuration a process; clients for the account and region of each order.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aws_config::{AppName, BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use serde_json::Value;
use stanch_core::{
    Check, Cloud, Error, Exemption, Identity, Kind, Permissions, Result, Scope,
    names::{AccountId, Region},
    target::Ec2Instance,
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    check,
    ec2::Ec2Api,
    error::classify,
    grants::{Names, partition, policy},
    http,
    instance::Instance,
    member::Member,
};

/// The tag that asks for being left alone.
const EXEMPT: &str = "stanch:exempt";
/// A TCP and TLS handshake within a region takes milliseconds; what takes seconds will not come.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt, from sending to the whole answer. The one retry layer is the driver's, bounded by its deadline.
const ATTEMPT: Duration = Duration::from_secs(10);
/// An assumed role's credentials that end sooner than this are not begun with: the longest Lambda run.
const RENEW: Duration = Duration::from_mins(15);
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
    member: Option<Member>,
    needs: Option<(&'static str, Permissions)>,
    /// The credentials of other accounts, by what they are limited to.
    assumed: Mutex<BTreeMap<String, Credentials>>,
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

    /// With the role that is assumed in accounts other than our own: an ARN with `{account}`, and the external id that
    /// it asks for.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is no such ARN.
    pub fn assuming(mut self, role: &str, external_id: Option<&str>) -> Result<Self> {
        self.member = Some(Member::new(role, external_id)?);
        Ok(self)
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

    /// The configuration for an account and region: the one place that clients come from. What the credentials of
    /// another account are good for is limited to these names; without a region for a service that has none.
    ///
    /// # Errors
    /// [`Kind::Denied`] when there are no credentials for that account.
    pub async fn session_on(&self, account: &AccountId, region: Option<&Region>, names: Names) -> Result<SdkConfig> {
        let own = self.config().await;
        let ours = own.region().and_then(|region| region.as_ref().parse::<Region>().ok());
        let at = region.or(ours.as_ref()).map_or(IDENTITY_REGION, Region::as_str).to_owned();
        let place = at.parse::<Region>().map_or("aws", |region| partition(&region));
        if ours.as_ref().is_some_and(|ours| partition(ours) != place) {
            let message = format!("it is in the partition {place}, which these credentials cannot reach");
            return Err(Error::new(Kind::Unsupported, "connect", message).on(at));
        }
        let config = own.to_builder().region(aws_config::Region::new(at));
        let Some(member) = &self.member else { return Ok(config.build()) };
        if self.own_account().await? == account {
            return Ok(config.build());
        }
        let names = Names { partition: place.to_owned(), ..names };
        let policy = self
            .needs
            .map(|(responder, needs)| policy(responder, &[needs.plan, needs.apply, needs.revert].concat(), &names));
        let config = config.build();
        let key = format!("{account} {}", policy.as_ref().map(Value::to_string).unwrap_or_default());
        let mut assumed = self.assumed.lock().await;
        let soon = SystemTime::now() + RENEW;
        let known = assumed.get(&key).filter(|known| known.expiry().is_none_or(|expiry| expiry > soon));
        let credentials = if let Some(known) = known {
            known.clone()
        } else {
            let made = member.assume(&config, account, place, policy.as_ref()).await?;
            assumed.insert(key, made.clone());
            made
        };
        Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }

    pub(crate) fn identity_of(target: &Ec2Instance, facts: Instance) -> Identity<Instance> {
        let exempt = exempt(&facts.tags).into_iter().collect();
        Identity { uid: target.id.to_string(), target: target.clone().into(), exempt, facts }
    }

    async fn own_account(&self) -> Result<&AccountId> {
        self.account.get_or_try_init(|| async { self.identity().await.map(|(account, _)| account) }).await
    }

    /// Who we are, as the first line of a check.
    pub(crate) async fn check_identity(&self, target: &Ec2Instance) -> Check {
        let what = "sts:GetCallerIdentity".to_owned();
        match self.identity().await {
            Ok((account, arn)) => Check { what, ok: account == target.account, detail: arn },
            Err(error) => Check { what, ok: false, detail: error.to_string() },
        }
    }

    /// Whether we get into an account.
    async fn check_account(&self, account: &AccountId) -> Check {
        let who = async {
            let names = Names { account: Some(account.clone()), ..Names::default() };
            Self::identity_by(&self.session_on(account, None, names).await?).await
        };
        let what = format!("act in {account}");
        match who.await {
            Ok((found, arn)) => Check { what, ok: found == *account, detail: arn },
            Err(error) => Check { what, ok: false, detail: error.to_string() },
        }
    }

    async fn identity(&self) -> Result<(AccountId, String)> {
        Self::identity_by(self.config().await).await
    }

    async fn identity_by(config: &SdkConfig) -> Result<(AccountId, String)> {
        const OPERATION: &str = "sts:GetCallerIdentity";
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

/// Whether tags ask for being left alone. "false" is a person's way to say no; any other value, and none, asks.
pub fn exempt(tags: &BTreeMap<String, String>) -> Option<Exemption> {
    tags.get(EXEMPT)
        .filter(|value| !value.eq_ignore_ascii_case("false"))
        .map(|_| Exemption { mark: format!("tag {EXEMPT}"), forgeable: true })
}

impl Cloud<Ec2Instance> for Aws {
    type Api = Ec2Api;
    type Facts = Instance;

    fn from_env() -> Result<Self> {
        Ok(Self { member: Member::from_env()?, ..Self::default() })
    }

    fn needing(mut self, responder: &'static str, needs: Permissions) -> Self {
        self.needs = Some((responder, needs));
        self
    }

    async fn warm(&self) {
        let config = self.config().await;
        let mut first = aws_sdk_ec2::config::Builder::from(config);
        if !config.endpoint_url().is_some_and(|url| url.starts_with("http://")) {
            first = first.http_client(http::ready());
        }
        // Made for what the first client of a process reads (partitions, roots); it makes no call.
        drop(aws_sdk_ec2::Client::from_conf(first.build()));
    }

    fn uid(&self, target: &Ec2Instance) -> Option<String> {
        Some(target.id.to_string())
    }

    async fn home(&self) -> Result<Scope> {
        Ok(Scope::Account(self.own_account().await?.clone()))
    }

    async fn connect(&self, target: &Ec2Instance) -> Result<Ec2Api> {
        let config = self.session_on(&target.account, Some(&target.region), Names::of(target)).await?;
        Ok(Ec2Api::connect(&config, target))
    }

    async fn identify(&self, api: &Ec2Api, target: &Ec2Instance) -> Result<Identity<Instance>> {
        Ok(Self::identity_of(target, api.instance(&target.id).await?))
    }

    async fn check(&self, api: &Ec2Api, target: &Ec2Instance, needs: &Permissions) -> Vec<Check> {
        let mut lines = vec![self.check_identity(target).await];
        lines.extend(check::permissions(api, &target.id, needs).await);
        lines
    }

    async fn check_scope(&self, scope: &Scope, _: &Permissions) -> Vec<Check> {
        match scope {
            Scope::Account(account) => vec![self.check_account(account).await],
            Scope::Project(_) | Scope::Cluster(_) => Vec::new(),
        }
    }
}
