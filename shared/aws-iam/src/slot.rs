//! The places that can be written in IAM.
//!
//! Sources: IAM API Reference "`PutRolePolicy`", "`UpdateAssumeRolePolicy`", "`UpdateAccessKey`",
//! "`DetachRolePolicy`" and their counterparts for users; IAM User Guide "Changes that I make are not always
//! immediately visible".

use std::time::Duration;

use aws_sdk_iam::types::StatusType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stanch_aws::{Manner, Reach, SdkConfig, classify, word};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{AccessKeyId, IamName},
    target::Ec2Instance,
};

use crate::{api::IamApi, check, deny, policy::Policy, principal::Who};

/// How long a change may not show.
const LAG: Duration = Duration::from_secs(30);

/// An inline policy of ours. Its name is made of the record's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// Whose it is.
    pub who: Who,
    /// It denies sessions that are older than its own making: the time is set when its stage begins.
    #[serde(default)]
    bound: Manner<bool>,
}

impl Inline {
    /// The record's policy of that principal; `bound`: it denies what is older than its own making.
    pub const fn new(who: Who, bound: bool) -> Self {
        Self { who, bound: Manner(bound) }
    }
}

/// One place that can be written in IAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum IamSlot {
    /// The record's inline policy of a role or user.
    InlinePolicy(Inline),
    /// The trust policy of a role.
    TrustPolicy {
        /// The role.
        role: IamName,
    },
    /// Whether an access key works.
    AccessKey {
        /// Whose it is.
        user: IamName,
        /// Which.
        key: AccessKeyId,
    },
    /// Whether a managed policy is attached.
    AttachedPolicy {
        /// To whom.
        who: Who,
        /// Its ARN.
        policy: String,
    },
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum IamState {
    /// Of [`IamSlot::InlinePolicy`].
    InlinePolicy {
        /// The document, if there is one.
        policy: Option<Policy>,
    },
    /// Of [`IamSlot::TrustPolicy`].
    TrustPolicy {
        /// The document.
        trust: Policy,
    },
    /// Of [`IamSlot::AccessKey`].
    AccessKey {
        /// It works.
        active: bool,
    },
    /// Of [`IamSlot::AttachedPolicy`].
    AttachedPolicy {
        /// It is attached.
        attached: bool,
    },
}

/// The name of the record's inline policy.
pub fn policy_name(mark: &Mark) -> String {
    format!("stanch-{}", mark.record)
}

impl Slot for IamSlot {
    type Api = IamApi;
    type State = IamState;
    /// IAM has no preconditions.
    type Token = ();

    async fn look(&self, api: &IamApi, mark: &Mark) -> Result<Seen<Self>> {
        let state = match self {
            Self::InlinePolicy(Inline { who, .. }) => {
                IamState::InlinePolicy { policy: api.inline(who, &policy_name(mark)).await? }
            }
            Self::TrustPolicy { role } => {
                let found = api.principal(&Who::Role(role.clone())).await?;
                IamState::TrustPolicy { trust: found.trust.unwrap_or_else(|| Policy::decode("")) }
            }
            Self::AccessKey { user, key } => {
                let keys = api.keys(user).await?;
                let found = keys.iter().find(|(id, _)| id == key).ok_or_else(|| {
                    Error::new(Kind::NotFound, "iam:ListAccessKeys", "the key is gone").on(key.as_str())
                })?;
                IamState::AccessKey { active: found.1 }
            }
            Self::AttachedPolicy { who, policy } => {
                IamState::AttachedPolicy { attached: api.attached(who).await?.contains(policy) }
            }
        };
        Ok(Seen { state, token: (), ids: Vec::new(), settling: None })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &IamApi) -> Result<()> {
        change.slot().carry_out(change.to(), change.mark(), api).await
    }

    fn what(&self, to: &IamState) -> String {
        match (self, to) {
            (Self::InlinePolicy(Inline { who, .. }), IamState::InlinePolicy { policy: None }) => {
                format!("remove our deny from {who}")
            }
            (Self::InlinePolicy(Inline { who, bound: Manner(true) }), _) => {
                format!("deny the sessions of {who} that were issued before this is written")
            }
            (Self::InlinePolicy(Inline { who, .. }), _) => format!("deny everything to {who}"),
            (Self::TrustPolicy { role }, _) => format!("set who may assume role/{role}"),
            (Self::AccessKey { user, key }, IamState::AccessKey { active }) => {
                let to = if *active { "on" } else { "off" };
                format!("switch access key {key} of user/{user} {to}")
            }
            (Self::AttachedPolicy { who, policy }, IamState::AttachedPolicy { attached: false }) => {
                format!("detach {policy} from {who}")
            }
            (Self::AttachedPolicy { who, policy }, _) => format!("attach {policy} to {who}"),
            (Self::AccessKey { user, key }, _) => format!("set access key {key} of user/{user}"),
        }
    }

    fn command(&self, to: &IamState, mark: &Mark) -> String {
        match (self, to) {
            (Self::InlinePolicy(Inline { who, .. }), IamState::InlinePolicy { policy }) => {
                let (verb, document) = match policy {
                    Some(policy) => ("put", format!(" --policy-document {}", word(policy.text()))),
                    None => ("delete", String::new()),
                };
                format!(
                    "aws iam {verb}-{}-policy {} --policy-name {}{document}",
                    kind(who),
                    flag(who),
                    policy_name(mark)
                )
            }
            (Self::TrustPolicy { role }, IamState::TrustPolicy { trust }) => {
                let document = word(trust.text());
                format!(
                    "aws iam update-assume-role-policy --role-name {} --policy-document {document}",
                    word(role.as_str())
                )
            }
            (Self::AccessKey { user, key }, IamState::AccessKey { active }) => format!(
                "aws iam update-access-key --user-name {} --access-key-id {key} --status {}",
                word(user.as_str()),
                status(*active),
            ),
            (Self::AttachedPolicy { who, policy }, IamState::AttachedPolicy { attached }) => {
                let verb = if *attached { "attach" } else { "detach" };
                format!("aws iam {verb}-{}-policy {} --policy-arn {}", kind(who), flag(who), word(policy))
            }
            _ => String::new(),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        // Who may come in is noticed only by who tries to.
        !matches!(self, Self::TrustPolicy { .. })
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }

    fn bind(&self, to: &IamState, now: Timestamp) -> Option<IamState> {
        match (self, to) {
            (
                Self::InlinePolicy(Inline { bound: Manner(true), .. }),
                IamState::InlinePolicy { policy: Some(policy) },
            ) => Some(IamState::InlinePolicy { policy: Some(deny::bound_to(policy, now)?) }),
            _ => None,
        }
    }

    fn blind(&self) -> Option<()> {
        Some(())
    }

    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

impl Reach for IamSlot {
    fn connect(config: &SdkConfig, target: &Ec2Instance) -> IamApi {
        IamApi::new(config, &target.account)
    }

    async fn attempt(api: &IamApi, _: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        check::attempt(api, action).await
    }
}

impl IamSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: &IamState, mark: &Mark, api: &IamApi) -> Result<()> {
        let client = &api.client;
        match (self, to) {
            (Self::InlinePolicy(Inline { who, .. }), IamState::InlinePolicy { policy }) => {
                inline(api, who, &policy_name(mark), policy.as_ref()).await
            }
            (Self::TrustPolicy { role }, IamState::TrustPolicy { trust }) => {
                let call = client.update_assume_role_policy().role_name(role.as_str()).policy_document(trust.text());
                call.send()
                    .await
                    .map(drop)
                    .map_err(|error| classify("iam:UpdateAssumeRolePolicy", format!("role/{role}"), error))
            }
            (Self::AccessKey { user, key }, IamState::AccessKey { active }) => {
                let status = if *active { StatusType::Active } else { StatusType::Inactive };
                let call = client.update_access_key().user_name(user.as_str()).access_key_id(key.as_str());
                let done = call.status(status).send().await;
                done.map(drop).map_err(|error| classify("iam:UpdateAccessKey", key.as_str(), error))
            }
            (Self::AttachedPolicy { who, policy }, IamState::AttachedPolicy { attached }) => {
                attach(api, who, policy, *attached).await
            }
            _ => Err(Error::new(Kind::Internal, "write", "no such state of this place")),
        }
    }
}

async fn inline(api: &IamApi, who: &Who, name: &str, policy: Option<&Policy>) -> Result<()> {
    let client = &api.client;
    let on = who.to_string();
    match (who, policy) {
        (Who::Role(role), Some(policy)) => {
            let call = client.put_role_policy().role_name(role.as_str()).policy_name(name);
            let done = call.policy_document(policy.text()).send().await;
            done.map(drop).map_err(|error| classify("iam:PutRolePolicy", on, error))
        }
        (Who::Role(role), None) => {
            let done = client.delete_role_policy().role_name(role.as_str()).policy_name(name).send().await;
            done.map(drop).map_err(|error| classify("iam:DeleteRolePolicy", on, error))
        }
        (Who::User(user), Some(policy)) => {
            let call = client.put_user_policy().user_name(user.as_str()).policy_name(name);
            let done = call.policy_document(policy.text()).send().await;
            done.map(drop).map_err(|error| classify("iam:PutUserPolicy", on, error))
        }
        (Who::User(user), None) => {
            let done = client.delete_user_policy().user_name(user.as_str()).policy_name(name).send().await;
            done.map(drop).map_err(|error| classify("iam:DeleteUserPolicy", on, error))
        }
    }
}

async fn attach(api: &IamApi, who: &Who, policy: &str, attached: bool) -> Result<()> {
    let client = &api.client;
    let on = who.to_string();
    match (who, attached) {
        (Who::Role(role), true) => {
            let done = client.attach_role_policy().role_name(role.as_str()).policy_arn(policy).send().await;
            done.map(drop).map_err(|error| classify("iam:AttachRolePolicy", on, error))
        }
        (Who::Role(role), false) => {
            let done = client.detach_role_policy().role_name(role.as_str()).policy_arn(policy).send().await;
            done.map(drop).map_err(|error| classify("iam:DetachRolePolicy", on, error))
        }
        (Who::User(user), true) => {
            let done = client.attach_user_policy().user_name(user.as_str()).policy_arn(policy).send().await;
            done.map(drop).map_err(|error| classify("iam:AttachUserPolicy", on, error))
        }
        (Who::User(user), false) => {
            let done = client.detach_user_policy().user_name(user.as_str()).policy_arn(policy).send().await;
            done.map(drop).map_err(|error| classify("iam:DetachUserPolicy", on, error))
        }
    }
}

const fn kind(who: &Who) -> &'static str {
    match who {
        Who::Role(_) => "role",
        Who::User(_) => "user",
    }
}

fn flag(who: &Who) -> String {
    format!("--{}-name {}", kind(who), word(who.name().as_str()))
}

const fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}
