//! The SDK clients: one set a process, one retry layer (the core's), every call bounded.

use std::time::Duration;

use google_cloud_auth::credentials::{
    Builder as DefaultCredentials, CacheableResource, Credentials, CredentialsProvider, EntityTag, anonymous,
};
use google_cloud_compute_v1::client::{Addresses, Disks, Firewalls, Instances, Projects, RegionDisks, Snapshots};
use google_cloud_gax::{
    client_builder::{ClientBuilder, Result as Built},
    error::CredentialsError,
    retry_policy::NeverRetry,
};
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use stanch_core::{Error, Kind, Result, names::ServiceAccountEmail};
use tokio::sync::OnceCell;

use crate::{
    home,
    rest::{Api, Rest},
};

/// How long one call may take. The core retries; the SDK's own bound is none.
pub(crate) const CALL: Duration = Duration::from_secs(10);

/// Everything that Compute Engine, the metadata server and Resource Manager need of us.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where the API is, and who we are there.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Google, with Application Default Credentials.
    Google,
    /// Somewhere else: with a fixed token or none. Never with real credentials, which it could keep.
    At {
        /// `http://127.0.0.1:8080`.
        endpoint: String,
        /// A bearer token.
        token: Option<Token>,
    },
}

impl Access {
    fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Google => None,
            Self::At { endpoint, .. } => Some(endpoint),
        }
    }

    fn credentials(&self) -> Result<Credentials> {
        match self {
            Self::Google => DefaultCredentials::default().with_scopes([SCOPE]).build().map_err(|error| {
                // Its text names the file or the variable, never what is in it.
                Error::new(Kind::Denied, "gcp:credentials", "no usable Application Default Credentials").because(error)
            }),
            Self::At { token: None, .. } => Ok(anonymous::Builder::new().build()),
            Self::At { token: Some(token), .. } => {
                Ok(Credentials::from(Fixed { token: token.clone(), tag: EntityTag::new() }))
            }
        }
    }
}

/// The clients, each built by the first who asks: building one reads the machine's certificate authorities, and a
/// responder needs two or three of them.
macro_rules! clients {
    ($($name:ident: $Client:ident,)+) => {
        /// The clients, and what they share.
        #[derive(Debug)]
        pub(crate) struct Clients {
            access: Access,
            pub(crate) credentials: Credentials,
            pub(crate) iam: Rest,
            pub(crate) compute: Rest,
            own: OnceCell<ServiceAccountEmail>,
            $($name: OnceCell<$Client>,)+
        }

        impl Clients {
            /// `own` is the account that we run as, where it is told.
            pub(crate) fn new(access: &Access, own: Option<ServiceAccountEmail>) -> Result<Self> {
                let credentials = access.credentials()?;
                let [iam, compute] = [Api::Iam, Api::Compute].map(|api| Rest::new(api, access, &credentials));
                let own = OnceCell::new_with(own);
                Ok(Self { access: access.clone(), credentials, iam, compute, own, $($name: OnceCell::new(),)+ })
            }

            $(pub(crate) async fn $name(&self) -> Result<&$Client> {
                let build = || bound($Client::builder(), &self.access, &self.credentials);
                self.$name.get_or_try_init(build).await.map_err(unbuilt)
            })+
        }
    };
}

clients! {
    instances: Instances,
    disks: Disks,
    region_disks: RegionDisks,
    snapshots: Snapshots,
    firewalls: Firewalls,
    addresses: Addresses,
    projects: Projects,
}

impl Clients {
    /// The account that we run as, as far as it can be told. Where it was not told, it is asked again.
    pub(crate) async fn own(&self) -> Option<&ServiceAccountEmail> {
        let ask = async || match self.access {
            Access::Google => home::account().await.ok_or(()),
            Access::At { .. } => Err(()),
        };
        self.own.get_or_try_init(ask).await.ok()
    }
}

fn unbuilt(error: google_cloud_gax::client_builder::Error) -> Error {
    Error::new(Kind::Internal, "gcp:connect", "the client cannot be built").because(error)
}

/// A client without retries of its own: every POST of ours goes out once per attempt of the core.
async fn bound<F>(
    builder: ClientBuilder<F, Credentials>,
    access: &Access,
    credentials: &Credentials,
) -> Built<F::Client>
where
    F: google_cloud_gax::client_builder::internal::ClientFactory<Credentials = Credentials>,
{
    let builder =
        builder.with_credentials(credentials.clone()).with_retry_policy(NeverRetry).with_attempt_timeout(CALL);
    match access.endpoint() {
        Some(endpoint) => builder.with_endpoint(endpoint).build().await,
        None => builder.build().await,
    }
}

/// A bearer token that is not printed.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        (!token.is_empty()).then_some(Self(value))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Debug)]
struct Fixed {
    token: Token,
    tag: EntityTag,
}

impl CredentialsProvider for Fixed {
    async fn headers(&self, extensions: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if extensions.get::<EntityTag>() == Some(&self.tag) {
            return Ok(CacheableResource::NotModified);
        }
        let data = HeaderMap::from_iter([(AUTHORIZATION, self.token.0.clone())]);
        Ok(CacheableResource::New { entity_tag: self.tag.clone(), data })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}
