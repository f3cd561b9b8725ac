//! Where the APIs are, and who we are there.

use std::time::Duration;

use google_cloud_auth::credentials::{
    Builder as DefaultCredentials, CacheableResource, Credentials, CredentialsProvider, EntityTag, anonymous,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use stanch_core::{Error, Kind, Result};

use crate::rest::Rest;

/// How long one call may take.
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

/// The client, and what it shares with the questions that other APIs are asked.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) rest: Rest,
    pub(crate) credentials: Credentials,
}

impl Clients {
    pub(crate) fn build(access: &Access) -> Result<Self> {
        let credentials = access.credentials()?;
        Ok(Self { rest: Rest::new(access, &credentials)?, credentials })
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
