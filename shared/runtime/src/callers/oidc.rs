//! Callers with an `OpenID` Connect token: Google's service accounts (Pub/Sub push, Eventarc, Scheduler), people with
//! `gcloud auth print-identity-token`, or another issuer's.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use stanch_core::{Error, Result};

use super::{Proved, Refusal, jwks::Keys, jwt, proved, unproved};

const GOOGLE: &str = "https://accounts.google.com";
/// Google: "`OpenID` Connect", "Validating an ID token".
const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";
/// Clocks differ.
const LEEWAY: Duration = Duration::from_mins(1);
/// Google's tokens live one hour; no issuer may stretch that, since a bearer token can be stolen.
const MAX_AGE: Duration = Duration::from_hours(1);

/// One issuer of a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// Google, where nothing is said.
    #[serde(default, rename = "issuer")]
    name: Option<String>,
    /// Where its keys are. Needed for any issuer but Google.
    #[serde(default)]
    jwks: Option<String>,
    /// For whom its tokens must be: our address. A token for another service is not for us.
    audience: String,
    /// The claim that says who it is.
    #[serde(default)]
    identity: Identity,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    orders: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Identity {
    /// `email`, which the issuer must have verified.
    #[default]
    Email,
    /// `sub`.
    Sub,
}

/// The claims that a proof rests on. What is missing or of another type is no proof.
#[derive(Debug, Deserialize)]
struct Claims {
    iat: i64,
    sub: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

/// An issuer, in use.
pub(crate) struct Oidc {
    policy: Issuer,
    name: String,
    keys: Keys,
    validation: Validation,
}

impl Oidc {
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the field.
    pub(super) fn new(policy: Issuer) -> Result<Self> {
        let name = policy.name.clone().unwrap_or_else(|| GOOGLE.to_owned());
        let keys = match &policy.jwks {
            Some(url) => url.clone(),
            None if name == GOOGLE => GOOGLE_KEYS.to_owned(),
            None => return Err(Error::invalid("jwks", "must be set for an issuer other than Google")),
        };
        if !is_safe(&keys) {
            return Err(Error::invalid("jwks", "must be an https address"));
        }
        if policy.audience.trim().is_empty() {
            return Err(Error::invalid("audience", "must not be empty"));
        }
        // One algorithm: a token cannot choose how it is checked.
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&name]);
        validation.set_audience(&[&policy.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        Ok(Self { policy, name, keys: Keys::new(keys), validation })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fetches the keys.
    pub(super) async fn warm(&self) {
        if let Err(error) = self.keys.get("").await {
            tracing::warn!(%error, "the issuer's keys cannot be fetched yet");
        }
    }

    /// Proves the bearer of a token.
    pub(super) async fn prove(&self, token: &str) -> Result<Proved, Refusal> {
        if jwt::is_stripped(token) {
            return Err(unproved(
                "Cloud Run has removed the token's signature; let the service take unauthenticated requests, since \
                 it proves its callers itself",
            ));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| unproved("the token's header cannot be read"))?;
        if header.alg != Algorithm::RS256 {
            return Err(unproved("the token is not signed with RS256"));
        }
        let id = header.kid.ok_or_else(|| unproved("the token names no key"))?;
        let key = self.keys.get(&id).await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let key = key.ok_or_else(|| unproved("the token names a key that its issuer does not have"))?;
        // The error names a claim or a step, not a value.
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| Refusal::Unproved(format!("the token does not hold: {error}")))?
            .claims;
        let issued = issued(claims.iat)?;
        let id = match self.policy.identity {
            Identity::Email if !claims.email_verified => return Err(unproved("the token's e-mail is not verified")),
            Identity::Email => claims.email,
            Identity::Sub => claims.sub,
        };
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| unproved("the token does not say whose it is"))?;
        Ok(proved(id, Some(issued), &self.policy.events, &self.policy.orders))
    }
}

/// When a token was issued: not in the future, and not longer ago than any token may live.
pub(super) fn issued(iat: i64) -> Result<Timestamp, Refusal> {
    let issued = Timestamp::from_second(iat).map_err(|_| unproved("the token has no time"))?;
    let now = Timestamp::now();
    if issued > crate::clock::after(now, LEEWAY) {
        return Err(unproved("the token is from the future"));
    }
    if issued < crate::clock::before(now, MAX_AGE + LEEWAY) {
        return Err(unproved("the token is older than an hour"));
    }
    Ok(issued)
}

/// Keys that come over an open network could be anybody's; a test's come from this machine.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]")),
        _ => false,
    }
}
