//! What a token says before anything is proved: enough to choose who shall prove it, and to throw out what cannot
//! be right without asking anybody.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Cloud Run puts this in place of the signature when it has checked the token itself.
const REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";

/// Unproved claims.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claimed {
    #[serde(default)]
    pub(super) iss: Option<String>,
    #[serde(default)]
    pub(super) iat: Option<i64>,
    #[serde(default)]
    pub(super) exp: Option<i64>,
}

/// The claims of a JWT; `None` when it is none.
pub(super) fn peek(token: &str) -> Option<Claimed> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Cloud Run has taken the signature off.
pub(super) fn is_stripped(token: &str) -> bool {
    token.ends_with(REMOVED)
}
