//! How an instance gets credentials: its instance profile, and the metadata service that hands them out.
//!
//! Sources: EC2 API Reference "`DescribeIamInstanceProfileAssociations`", "`DisassociateIamInstanceProfile`",
//! "`ReplaceIamInstanceProfileAssociation`", "`AssociateIamInstanceProfile`", "`ModifyInstanceMetadataOptions`"
//! ("`HttpEndpoint`").

use std::time::Duration;

use aws_sdk_ec2::types::{IamInstanceProfileSpecification, InstanceMetadataEndpointState};
use serde::{Deserialize, Serialize};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{InstanceId, Region},
    target::Ec2Instance,
};

use super::LAG;
use crate::{
    ec2::{Ec2Api, dry_run},
    error::classify,
    reach::Reach,
    shell,
};

/// One place from which an instance gets credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProfileSlot {
    /// The instance profile that is associated with an instance.
    InstanceProfile {
        /// The region of the instance.
        region: Region,
        /// The instance.
        instance: InstanceId,
    },
    /// Whether the instance metadata service answers on an instance.
    MetadataEndpoint {
        /// The region of the instance.
        region: Region,
        /// The instance.
        instance: InstanceId,
    },
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ProfileState {
    /// Of [`ProfileSlot::InstanceProfile`].
    InstanceProfile {
        /// The profile's ARN, if there is one.
        profile: Option<String>,
    },
    /// Of [`ProfileSlot::MetadataEndpoint`].
    MetadataEndpoint {
        /// It answers.
        imds: bool,
    },
}

/// What a write needs to know of what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileToken {
    /// EC2 has no precondition for it.
    None,
    /// The association to end or replace: EC2 refuses it once there is another.
    Association(String),
}

impl Slot for ProfileSlot {
    type Api = Ec2Api;
    type State = ProfileState;
    type Token = ProfileToken;

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        match self {
            Self::InstanceProfile { instance, .. } => {
                let found = api.profile_of(instance).await?;
                let (token, ids) = match &found {
                    Some(it) => (ProfileToken::Association(it.association.clone()), vec![it.association.clone()]),
                    None => (ProfileToken::None, Vec::new()),
                };
                let profile = found.map(|it| it.profile);
                Ok(Seen { state: ProfileState::InstanceProfile { profile }, token, ids, settling: None })
            }
            Self::MetadataEndpoint { instance, .. } => {
                let imds = api.instance(instance).await?.imds;
                let state = ProfileState::MetadataEndpoint { imds };
                Ok(Seen { state, token: ProfileToken::None, ids: Vec::new(), settling: None })
            }
        }
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), seen, api).await
    }

    fn what(&self, to: &ProfileState) -> String {
        match (self, to) {
            (Self::InstanceProfile { instance, .. }, ProfileState::InstanceProfile { profile: None }) => {
                format!("detach the instance profile of {instance}")
            }
            (Self::InstanceProfile { instance, .. }, ProfileState::InstanceProfile { profile: Some(profile) }) => {
                format!("attach the instance profile {} to {instance}", name_of(profile))
            }
            (Self::MetadataEndpoint { instance, .. }, ProfileState::MetadataEndpoint { imds: false }) => {
                format!("switch the metadata service of {instance} off")
            }
            (Self::MetadataEndpoint { instance, .. }, _) => format!("switch the metadata service of {instance} on"),
            (Self::InstanceProfile { instance, .. }, _) => format!("set the instance profile of {instance}"),
        }
    }

    fn command(&self, to: &ProfileState, _: &Mark) -> String {
        match (self, to) {
            (Self::InstanceProfile { region, instance }, ProfileState::InstanceProfile { profile }) => {
                let association = format!(
                    "\"$(aws ec2 describe-iam-instance-profile-associations --region {region} --filters \
                     Name=instance-id,Values={instance} Name=state,Values=associating,associated \
                     --query 'IamInstanceProfileAssociations[0].AssociationId' --output text)\""
                );
                match profile {
                    None => format!(
                        "aws ec2 disassociate-iam-instance-profile --region {region} --association-id {association}"
                    ),
                    Some(profile) => format!(
                        "aws ec2 replace-iam-instance-profile-association --region {region} --iam-instance-profile {} \
                         --association-id {association}",
                        shell::word(&format!("Arn={profile}")),
                    ),
                }
            }
            (Self::MetadataEndpoint { region, instance }, ProfileState::MetadataEndpoint { imds }) => format!(
                "aws ec2 modify-instance-metadata-options --region {region} --instance-id {instance} --http-endpoint {}",
                if *imds { "enabled" } else { "disabled" },
            ),
            _ => String::new(),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        Disruption::Node
    }

    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

impl Reach for ProfileSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    /// Associations have no `DryRun`: whether they may be ended shows when they are.
    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let id = target.id.as_str();
        Some(match action {
            "ec2:DescribeIamInstanceProfileAssociations" => api.profile(&target.id).await.map(drop),
            "ec2:ModifyInstanceMetadataOptions" => {
                let call = api.client.modify_instance_metadata_options().instance_id(id).dry_run(true);
                dry_run(action, id, call.http_endpoint(InstanceMetadataEndpointState::Disabled).send().await)
            }
            _ => return None,
        })
    }
}

impl ProfileSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: &ProfileState, seen: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        match (self, to, &seen.token) {
            (
                Self::InstanceProfile { instance, .. },
                ProfileState::InstanceProfile { profile: None },
                ProfileToken::Association(association),
            ) => {
                let call = api.client.disassociate_iam_instance_profile().association_id(association).send().await;
                call.map(drop).map_err(|error| {
                    exchanged(classify("ec2:DisassociateIamInstanceProfile", instance.as_str(), error))
                })
            }
            (
                Self::InstanceProfile { instance, .. },
                ProfileState::InstanceProfile { profile: Some(profile) },
                ProfileToken::Association(association),
            ) => {
                let call = api.client.replace_iam_instance_profile_association().association_id(association);
                let call = call.iam_instance_profile(arn(profile)).send().await;
                call.map(drop).map_err(|error| {
                    exchanged(classify("ec2:ReplaceIamInstanceProfileAssociation", instance.as_str(), error))
                })
            }
            (
                Self::InstanceProfile { instance, .. },
                ProfileState::InstanceProfile { profile: Some(profile) },
                ProfileToken::None,
            ) => {
                let call = api.client.associate_iam_instance_profile().instance_id(instance.as_str());
                let call = call.iam_instance_profile(arn(profile)).send().await;
                call.map(drop).map_err(|error| classify("ec2:AssociateIamInstanceProfile", instance.as_str(), error))
            }
            (Self::MetadataEndpoint { instance, .. }, ProfileState::MetadataEndpoint { imds }, _) => {
                let state = if *imds {
                    InstanceMetadataEndpointState::Enabled
                } else {
                    InstanceMetadataEndpointState::Disabled
                };
                // Options that are not named stay as they are.
                let call = api.client.modify_instance_metadata_options().instance_id(instance.as_str());
                let call = call.http_endpoint(state).send().await;
                call.map(drop).map_err(|error| classify("ec2:ModifyInstanceMetadataOptions", instance.as_str(), error))
            }
            _ => Err(Error::new(Kind::Internal, "write", "no such state of this place")),
        }
    }
}

/// The association that was seen is gone.
fn exchanged(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => {
            let message = "the instance has another profile than a moment ago, or none";
            Error::new(Kind::Conflict, error.operation(), message).on(error.resource())
        }
        _ => error,
    }
}

fn arn(profile: &str) -> IamInstanceProfileSpecification {
    IamInstanceProfileSpecification::builder().arn(profile).build()
}

/// The name in a profile's ARN, whose path may have any number of parts.
pub fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
