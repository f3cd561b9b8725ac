//! Another account's role that lets us in.
//!
//! Sources: AWS STS API Reference "`AssumeRole`" (external id, session policies: at most 2,048 characters); IAM User
//! Guide "Access to AWS accounts owned by third parties" (why an external id).

#![expect(clippy::literal_string_with_formatting_args, reason = "places in an ARN, not arguments of a format")]

use std::env;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use serde_json::Value;
use stanch_core::{Error, Kind, Result, names::AccountId};

use crate::error::classify;

/// The role to assume where the target's account is not ours.
const ROLE: &str = "STANCH_AWS_ROLE";
/// The id that the other account asks for, so that nobody else can use us to get in.
const EXTERNAL_ID: &str = "STANCH_AWS_EXTERNAL_ID";
const OPERATION: &str = "sts:AssumeRole";
/// How long the assumed role's credentials live, in seconds: an hour is the most for a role that assumes a role.
const LIFETIME: i32 = 3600;
/// The longest session policy.
const SESSION_POLICY: usize = 2048;

/// A role that exists in every account that we may contain something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    role: String,
    external_id: Option<String>,
}

impl Member {
    /// From the environment; `None` where no role is named.
    pub(crate) fn from_env() -> Result<Option<Self>> {
        let text = |name: &str| match env::var(name) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(text)),
            Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(Error::invalid(name, "must be UTF-8")),
        };
        text(ROLE)?.map(|role| Self::new(&role, text(EXTERNAL_ID)?.as_deref())).transpose()
    }

    pub(crate) fn new(role: &str, external_id: Option<&str>) -> Result<Self> {
        let form = "must be a role's ARN with {account}, e.g. arn:aws:iam::{account}:role/stanch-member";
        let name = role
            .strip_prefix("arn:")
            .and_then(|rest| rest.split_once(":iam::{account}:role/"))
            .filter(|(partition, _)| partition.starts_with("aws") || *partition == "{partition}")
            .map(|(_, name)| name)
            .ok_or_else(|| Error::invalid(ROLE, form))?;
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&c);
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(Error::invalid(ROLE, form));
        }
        if let Some(id) = external_id {
            let fits = |c: u8| c.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&c);
            if !(2..=1224).contains(&id.len()) || !id.bytes().all(fits) {
                return Err(Error::invalid(EXTERNAL_ID, "must be 2 to 1224 of letters, digits and _+=,.@:/-"));
            }
        }
        Ok(Self { role: role.to_owned(), external_id: external_id.map(str::to_owned) })
    }

    /// Credentials for that account, which allow what the session policy and the role both do.
    pub(crate) async fn assume(
        &self,
        config: &SdkConfig,
        account: &AccountId,
        partition: &str,
        policy: Option<&Value>,
    ) -> Result<Credentials> {
        let role = self.role.replace("{account}", account.as_str()).replace("{partition}", partition);
        let policy = policy.map(Value::to_string);
        if policy.as_ref().is_some_and(|text| text.len() > SESSION_POLICY) {
            return Err(Error::new(Kind::Internal, OPERATION, "the session policy is too long").on(role));
        }
        let assumed = aws_sdk_sts::Client::new(config)
            .assume_role()
            .role_arn(&role)
            .role_session_name("stanch")
            .set_external_id(self.external_id.clone())
            .set_policy(policy)
            .duration_seconds(LIFETIME)
            .send()
            .await
            .map_err(|error| classify(OPERATION, role.as_str(), error))?;
        let made = assumed
            .credentials()
            .ok_or_else(|| Error::new(Kind::Internal, OPERATION, "the answer has no credentials").on(role.as_str()))?;
        Ok(Credentials::new(
            made.access_key_id(),
            made.secret_access_key(),
            Some(made.session_token().to_owned()),
            (*made.expiration()).try_into().ok(),
            "member",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_with_its_account_left_open() {
        for (role, id) in [
            ("arn:aws:iam::{account}:role/stanch-member", None),
            ("arn:aws-us-gov:iam::{account}:role/path/stanch-member", Some("acme:42")),
            ("arn:{partition}:iam::{account}:role/stanch-member", Some("ab")),
        ] {
            assert!(Member::new(role, id).is_ok(), "{role}");
        }
        for (role, id, field) in [
            ("arn:aws:iam::123456789012:role/stanch-member", None, ROLE),
            ("stanch-member", None, ROLE),
            ("arn:aws:iam::{account}:role/", None, ROLE),
            ("arn:aws:iam::{account}:role/a b", None, ROLE),
            ("arn:evil:iam::{account}:role/a", None, ROLE),
            ("arn:aws:iam::{account}:role/a", Some("x"), EXTERNAL_ID),
            ("arn:aws:iam::{account}:role/a", Some("a b"), EXTERNAL_ID),
        ] {
            let error = Member::new(role, id).expect_err(role);
            assert_eq!((error.kind(), error.resource()), (Kind::Invalid, field), "{role}");
        }
    }
}
