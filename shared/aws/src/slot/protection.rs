//! What keeps an instance and its volumes from being ended.
//!
//! Sources: EC2 API Reference "`ModifyInstanceAttribute`" (one attribute a call); EC2 User Guide "Change instance
//! termination protection", "Enable stop protection for your EC2 instances", "Preserve data when an instance is
//! terminated".

use std::time::Duration;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, EbsInstanceBlockDeviceSpecification,
    InstanceBlockDeviceMappingSpecification, ShutdownBehavior,
};
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{AccountId, InstanceId, Region, VolumeId},
    target::Ec2Instance,
};

use super::LAG;
use crate::{
    ec2::{Ec2Api, dry_run},
    error::classify,
    reach::Reach,
    shell,
};

const OPERATION: &str = "ec2:ModifyInstanceAttribute";

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum ProtectionSlot {
    /// An attribute of the instance.
    Attribute(InstanceAttribute),
    /// What becomes of a volume.
    Volume(DeleteOnTermination),
}

/// A protection that is an attribute of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// The API does not terminate it: `DisableApiTermination`.
    Termination,
    /// The API does not stop it, which would lose its memory: `DisableApiStop`.
    Stop,
    /// A shutdown from the inside stops it instead of terminating it: `InstanceInitiatedShutdownBehavior`.
    Shutdown,
}

/// An attribute of an instance that protects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceAttribute {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// Which one.
    pub protection: Protection,
}

/// Whether a volume is deleted with its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteOnTermination {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The volume: another one may be attached under the same device name.
    pub volume: VolumeId,
    /// The device name, by which the call names it.
    pub device: String,
}

/// What such a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ProtectionState {
    /// Of [`ProtectionSlot::Attribute`].
    Attribute {
        /// It protects.
        protected: bool,
    },
    /// Of [`ProtectionSlot::Volume`].
    Volume {
        /// It goes with the instance.
        deleted_with_instance: bool,
    },
}

impl Slot for ProtectionSlot {
    type Api = Ec2Api;
    type State = ProtectionState;
    type Token = ();

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        let state = match self {
            Self::Attribute(slot) => {
                ProtectionState::Attribute { protected: api.protects(&slot.instance, slot.protection).await? }
            }
            Self::Volume(slot) => {
                let instance = api.instance(&slot.instance).await?;
                let volume = instance.volume(&slot.volume).filter(|volume| volume.device == slot.device);
                let volume = volume.ok_or_else(|| {
                    let message = format!("it is not attached as {} any more", slot.device);
                    Error::new(Kind::NotFound, "ec2:DescribeInstances", message).on(slot.volume.as_str())
                })?;
                ProtectionState::Volume { deleted_with_instance: volume.delete_on_termination }
            }
        };
        Ok(Seen { state, token: (), ids: Vec::new(), settling: None })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(*change.to(), api).await
    }

    fn what(&self, to: &ProtectionState) -> String {
        match (self, to) {
            (Self::Attribute(slot), ProtectionState::Attribute { protected }) => {
                let Self::Attribute(InstanceAttribute { instance, .. }) = self else { return String::new() };
                match (slot.protection, protected) {
                    (Protection::Termination, true) => format!("protect {instance} from termination by the API"),
                    (Protection::Termination, false) => format!("let the API terminate {instance}"),
                    (Protection::Stop, true) => format!("protect {instance} from being stopped by the API"),
                    (Protection::Stop, false) => format!("let the API stop {instance}"),
                    (Protection::Shutdown, true) => format!("stop {instance}, not terminate it, when it shuts down"),
                    (Protection::Shutdown, false) => format!("terminate {instance} when it shuts down"),
                }
            }
            (Self::Volume(slot), ProtectionState::Volume { deleted_with_instance: false }) => {
                format!("keep {} ({}) when {} is terminated", slot.volume, slot.device, slot.instance)
            }
            (Self::Volume(slot), _) => {
                format!("delete {} ({}) when {} is terminated", slot.volume, slot.device, slot.instance)
            }
            (Self::Attribute(slot), ProtectionState::Volume { .. }) => format!("leave {} as it is", slot.instance),
        }
    }

    fn command(&self, to: &ProtectionState, _: &Mark) -> String {
        let modify = |region: &Region, instance: &InstanceId, what: String| {
            format!("aws ec2 modify-instance-attribute --region {region} --instance-id {instance} {what}")
        };
        match (self, to) {
            (Self::Attribute(slot), ProtectionState::Attribute { protected }) => {
                let what = match (slot.protection, protected) {
                    (Protection::Termination, true) => "--disable-api-termination",
                    (Protection::Termination, false) => "--no-disable-api-termination",
                    (Protection::Stop, true) => "--disable-api-stop",
                    (Protection::Stop, false) => "--no-disable-api-stop",
                    (Protection::Shutdown, true) => "--instance-initiated-shutdown-behavior Value=stop",
                    (Protection::Shutdown, false) => "--instance-initiated-shutdown-behavior Value=terminate",
                };
                modify(&slot.region, &slot.instance, what.to_owned())
            }
            (Self::Volume(slot), ProtectionState::Volume { deleted_with_instance }) => {
                let mapping = serde_json::json!([{
                    "DeviceName": slot.device, "Ebs": {"DeleteOnTermination": deleted_with_instance}
                }]);
                let mapping = shell::word(&mapping.to_string());
                modify(&slot.region, &slot.instance, format!("--block-device-mappings {mapping}"))
            }
            _ => String::new(),
        }
    }

    /// EC2 has no precondition for it.
    fn blind(&self) -> Option<()> {
        Some(())
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// What is written is the whole state.
    fn repeatable(&self) -> bool {
        true
    }
}

impl ProtectionSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: ProtectionState, api: &Ec2Api) -> Result<()> {
        let (call, on) = match (self, to) {
            (Self::Attribute(slot), ProtectionState::Attribute { protected }) => {
                let call = api.client.modify_instance_attribute().instance_id(slot.instance.as_str());
                let flag = AttributeBooleanValue::builder().value(protected).build();
                let behaviour = if protected { ShutdownBehavior::Stop } else { ShutdownBehavior::Terminate };
                let call = match slot.protection {
                    Protection::Termination => call.disable_api_termination(flag),
                    Protection::Stop => call.disable_api_stop(flag),
                    Protection::Shutdown => call.instance_initiated_shutdown_behavior(
                        AttributeValue::builder().value(behaviour.as_str()).build(),
                    ),
                };
                (call, slot.instance.as_str())
            }
            (Self::Volume(slot), ProtectionState::Volume { deleted_with_instance }) => {
                let ebs =
                    EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(deleted_with_instance).build();
                let mapping =
                    InstanceBlockDeviceMappingSpecification::builder().device_name(&slot.device).ebs(ebs).build();
                let call = api.client.modify_instance_attribute().instance_id(slot.instance.as_str());
                (call.block_device_mappings(mapping), slot.volume.as_str())
            }
            _ => return Err(Error::new(Kind::Internal, OPERATION, "a state of another slot")),
        };
        call.send().await.map(drop).map_err(|error| classify(OPERATION, on, error))
    }
}

impl Reach for ProtectionSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let id = target.id.as_str();
        Some(match action {
            "ec2:DescribeInstanceAttribute" => {
                let call = api.client.describe_instance_attribute().instance_id(id).dry_run(true);
                let name = aws_sdk_ec2::types::InstanceAttributeName::DisableApiTermination;
                dry_run(action, id, call.attribute(name).send().await)
            }
            "ec2:ModifyInstanceAttribute" => {
                let flag = AttributeBooleanValue::builder().value(true).build();
                let call = api.client.modify_instance_attribute().instance_id(id).disable_api_termination(flag);
                dry_run(action, id, call.dry_run(true).send().await)
            }
            _ => return None,
        })
    }
}
