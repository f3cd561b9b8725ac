//! The look-ups, bound to one account.

use aws_sdk_iam::{
    Client,
    types::{StatusType, Tag},
};
use futures::{StreamExt, TryStreamExt, stream};
use stanch_aws::{classify, plain};
use stanch_core::{
    Error, Kind, Result,
    names::{AccessKeyId, AccountId, IamName},
};

use crate::{
    policy::Policy,
    principal::{Principal, Who},
};

/// How many policies are read at once.
const AT_ONCE: usize = 8;

/// What can be looked up about IAM principals. Nothing here writes.
#[derive(Clone, Debug)]
pub struct IamApi {
    pub(crate) client: Client,
    sts: aws_sdk_sts::Client,
    /// The account.
    pub account: AccountId,
}

/// An instance profile and its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProfile {
    /// Its name, which need not be the role's.
    pub name: String,
    /// Its ARN, path included.
    pub arn: String,
    /// Its role's name; none, if it is empty.
    pub role: Option<IamName>,
}

impl InstanceProfile {
    fn read(described: &aws_sdk_iam::types::InstanceProfile) -> Self {
        let role = described.roles().first().and_then(|role| role.role_name().parse().ok());
        Self { name: described.instance_profile_name().to_owned(), arn: described.arn().to_owned(), role }
    }
}

impl IamApi {
    /// Clients with this configuration.
    pub fn new(config: &stanch_aws::SdkConfig, account: &AccountId) -> Self {
        Self { client: Client::new(config), sts: aws_sdk_sts::Client::new(config), account: account.clone() }
    }

    /// The ARN that we act under. One call, `sts:GetCallerIdentity`, which needs no permission.
    ///
    /// # Errors
    /// Whatever STS answers, classified.
    pub async fn caller(&self) -> Result<String> {
        let who = self.sts.get_caller_identity().send().await;
        let who = who.map_err(|error| classify("sts:GetCallerIdentity", "", error))?;
        Ok(who.arn().unwrap_or_default().to_owned())
    }

    /// A role or user. One call, `iam:GetRole` or `iam:GetUser`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none of that name.
    pub async fn principal(&self, who: &Who) -> Result<Principal> {
        let tags = |tags: &[Tag]| tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        match who {
            Who::Role(name) => {
                let found = self.client.get_role().role_name(name.as_str()).send().await;
                let found = found.map_err(|error| classify("iam:GetRole", who.to_string(), error))?;
                let role = found.role().ok_or_else(|| nothing("iam:GetRole", who))?;
                Ok(Principal {
                    who: who.clone(),
                    account: self.account.clone(),
                    id: role.role_id().to_owned(),
                    arn: role.arn().to_owned(),
                    path: role.path().to_owned(),
                    trust: role.assume_role_policy_document().map(Policy::decode),
                    tags: tags(role.tags()),
                })
            }
            Who::User(name) => {
                let found = self.client.get_user().user_name(name.as_str()).send().await;
                let found = found.map_err(|error| classify("iam:GetUser", who.to_string(), error))?;
                let user = found.user().ok_or_else(|| nothing("iam:GetUser", who))?;
                Ok(Principal {
                    who: who.clone(),
                    account: self.account.clone(),
                    id: user.user_id().to_owned(),
                    arn: user.arn().to_owned(),
                    path: user.path().to_owned(),
                    trust: None,
                    tags: tags(user.tags()),
                })
            }
        }
    }

    /// Whose key it is. One call, `iam:GetAccessKeyLastUsed`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a temporary key, which names nobody; [`Kind::NotFound`].
    pub async fn owner_of(&self, key: &AccessKeyId) -> Result<Who> {
        const OPERATION: &str = "iam:GetAccessKeyLastUsed";
        if key.as_str().starts_with("ASIA") {
            let message = "it is a temporary key, which IAM does not know: name the role or user that it was issued to";
            return Err(Error::new(Kind::Unsupported, OPERATION, message).on(key.as_str()));
        }
        let found = self.client.get_access_key_last_used().access_key_id(key.as_str()).send().await;
        let found = found.map_err(|error| classify(OPERATION, key.as_str(), error))?;
        let name = found.user_name().and_then(|name| name.parse().ok());
        name.map(Who::User).ok_or_else(|| Error::new(Kind::NotFound, OPERATION, "no user has it").on(key.as_str()))
    }

    /// An instance profile. One call, `iam:GetInstanceProfile`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none of that name.
    pub async fn instance_profile(&self, name: &str) -> Result<InstanceProfile> {
        let found = self.client.get_instance_profile().instance_profile_name(name).send().await;
        let found = found.map_err(|error| classify("iam:GetInstanceProfile", plain(name), error))?;
        found
            .instance_profile()
            .map(InstanceProfile::read)
            .ok_or_else(|| Error::new(Kind::Internal, "iam:GetInstanceProfile", "the answer names no profile"))
    }

    /// The instance profiles that hold a role. One call a page, `iam:ListInstanceProfilesForRole`.
    ///
    /// # Errors
    /// Whatever IAM answers, classified.
    pub async fn profiles_of(&self, role: &IamName) -> Result<Vec<InstanceProfile>> {
        let pages = self.client.list_instance_profiles_for_role().role_name(role.as_str()).into_paginator().items();
        let mut found = pages.send();
        let mut profiles = Vec::new();
        while let Some(profile) = found.next().await {
            let profile = profile.map_err(|error| classify("iam:ListInstanceProfilesForRole", role.as_str(), error))?;
            profiles.push(InstanceProfile::read(&profile));
        }
        Ok(profiles)
    }

    /// One inline policy. One call, `iam:GetRolePolicy` or `iam:GetUserPolicy`.
    ///
    /// # Errors
    /// Whatever IAM answers, classified; a policy that is not there is `None`.
    pub async fn inline(&self, who: &Who, name: &str) -> Result<Option<Policy>> {
        let found = match who {
            Who::Role(role) => {
                let found = self.client.get_role_policy().role_name(role.as_str()).policy_name(name).send().await;
                found
                    .map(|found| found.policy_document().to_owned())
                    .map_err(|error| classify("iam:GetRolePolicy", who.to_string(), error))
            }
            Who::User(user) => {
                let found = self.client.get_user_policy().user_name(user.as_str()).policy_name(name).send().await;
                found
                    .map(|found| found.policy_document().to_owned())
                    .map_err(|error| classify("iam:GetUserPolicy", who.to_string(), error))
            }
        };
        match found {
            Ok(document) => Ok(Some(Policy::decode(&document))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The inline policies, by name. One call a page of names, and one a policy, some of them at once.
    ///
    /// # Errors
    /// Whatever IAM answers, classified.
    pub async fn inlines(&self, who: &Who) -> Result<Vec<(String, Policy)>> {
        let mut names = Vec::new();
        match who {
            Who::Role(role) => {
                let mut found =
                    self.client.list_role_policies().role_name(role.as_str()).into_paginator().items().send();
                while let Some(name) = found.next().await {
                    names.push(name.map_err(|error| classify("iam:ListRolePolicies", who.to_string(), error))?);
                }
            }
            Who::User(user) => {
                let mut found =
                    self.client.list_user_policies().user_name(user.as_str()).into_paginator().items().send();
                while let Some(name) = found.next().await {
                    names.push(name.map_err(|error| classify("iam:ListUserPolicies", who.to_string(), error))?);
                }
            }
        }
        let read = names.into_iter().map(|name| async move {
            let policy = self.inline(who, &name).await?;
            Ok(policy.map(|policy| (name, policy)))
        });
        let read: Vec<_> = read.collect();
        stream::iter(read).buffered(AT_ONCE).try_filter_map(|found| async { Ok(found) }).try_collect().await
    }

    /// The access keys of a user and whether each is active. One call a page, `iam:ListAccessKeys`.
    ///
    /// # Errors
    /// Whatever IAM answers, classified.
    pub async fn keys(&self, user: &IamName) -> Result<Vec<(AccessKeyId, bool)>> {
        let mut found = self.client.list_access_keys().user_name(user.as_str()).into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(key) = found.next().await {
            let key = key.map_err(|error| classify("iam:ListAccessKeys", user.as_str(), error))?;
            if let Some(id) = key.access_key_id().and_then(|id| id.parse().ok()) {
                keys.push((id, key.status() == Some(&StatusType::Active)));
            }
        }
        Ok(keys)
    }

    /// The ARNs of the managed policies of a principal. One call a page.
    ///
    /// # Errors
    /// Whatever IAM answers, classified.
    pub async fn attached(&self, who: &Who) -> Result<Vec<String>> {
        let mut arns = Vec::new();
        match who {
            Who::Role(role) => {
                let mut found =
                    self.client.list_attached_role_policies().role_name(role.as_str()).into_paginator().items().send();
                while let Some(policy) = found.next().await {
                    let policy =
                        policy.map_err(|error| classify("iam:ListAttachedRolePolicies", who.to_string(), error))?;
                    arns.extend(policy.policy_arn().map(str::to_owned));
                }
            }
            Who::User(user) => {
                let mut found =
                    self.client.list_attached_user_policies().user_name(user.as_str()).into_paginator().items().send();
                while let Some(policy) = found.next().await {
                    let policy =
                        policy.map_err(|error| classify("iam:ListAttachedUserPolicies", who.to_string(), error))?;
                    arns.extend(policy.policy_arn().map(str::to_owned));
                }
            }
        }
        Ok(arns)
    }

    /// Whether a policy of this size still fits, so that nothing is begun that IAM would refuse halfway.
    ///
    /// # Errors
    /// [`Kind::Unsupported`], with the numbers.
    pub async fn room_for(&self, who: &Who, name: &str, policy: &Policy) -> Result<()> {
        let held = self.inlines(who).await?;
        let held: usize = held.iter().filter(|(held, _)| held != name).map(|(_, policy)| policy.size()).sum();
        if held + policy.size() <= who.quota() {
            return Ok(());
        }
        let message = format!(
            "its inline policies hold {held} of {} characters and ours needs {}: turn one of them into a managed \
             policy, or attach a managed policy that denies everything",
            who.quota(),
            policy.size()
        );
        Err(Error::new(Kind::Unsupported, "plan", message).on(who.to_string()))
    }
}

fn nothing(operation: &str, who: &Who) -> Error {
    Error::new(Kind::Internal, operation, "the answer names nothing").on(who.to_string())
}
