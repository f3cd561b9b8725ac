//! The end of an instance.
//!
//! Sources: EC2 API Reference "`TerminateInstances`", "`ModifyInstanceAttribute`" (`disableApiTermination`); EC2 User
//! Guide "Terminate Amazon EC2 instances".

use std::time::Duration;

use aws_sdk_ec2::types::AttributeBooleanValue;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{InstanceId, Region},
    target::Ec2Instance,
};

use super::{LAG, Protection};
use crate::{
    ec2::{Ec2Api, dry_run},
    error::classify,
    instance::is_gone,
    reach::Reach,
};

/// What stands between an instance and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case", deny_unknown_fields)]
pub enum TerminationSlot {
    /// Its termination protection.
    TerminationProtection {
        /// The region of the instance.
        region: Region,
        /// The instance.
        instance: InstanceId,
    },
    /// The instance itself.
    Life {
        /// The region of the instance.
        region: Region,
        /// The instance.
        instance: InstanceId,
    },
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum TerminationState {
    /// Of [`TerminationSlot::TerminationProtection`].
    Protection {
        /// The instance cannot be terminated by the API.
        termination_protected: bool,
    },
    /// Of [`TerminationSlot::Life`].
    Life {
        /// It is terminated, or on its way.
        terminated: bool,
    },
}

impl Slot for TerminationSlot {
    type Api = Ec2Api;
    type State = TerminationState;
    type Token = ();

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        let (state, settling) = match self {
            Self::TerminationProtection { instance, .. } => {
                let state = TerminationState::Protection {
                    termination_protected: api.protects(instance, Protection::Termination).await?,
                };
                (state, None)
            }
            Self::Life { instance, .. } => {
                let state = match api.instance_even_gone(instance).await {
                    Ok(found) => found.state,
                    // An hour after its end a terminated instance is no longer described.
                    Err(error) if error.kind() == Kind::NotFound => "terminated".to_owned(),
                    Err(error) => return Err(error),
                };
                let settling = (state == "shutting-down").then(|| "it is shutting down".to_owned());
                (TerminationState::Life { terminated: is_gone(&state) }, settling)
            }
        };
        Ok(Seen { state, token: (), ids: Vec::new(), settling })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), api).await
    }

    fn what(&self, to: &TerminationState) -> String {
        match (self, to) {
            (Self::TerminationProtection { instance, .. }, TerminationState::Protection { termination_protected }) => {
                let to = if *termination_protected { "on" } else { "off" };
                format!("switch the termination protection of {instance} {to}")
            }
            (Self::TerminationProtection { instance, .. } | Self::Life { instance, .. }, _) => {
                format!("terminate {instance}")
            }
        }
    }

    fn command(&self, to: &TerminationState, _: &Mark) -> String {
        match (self, to) {
            (
                Self::TerminationProtection { region, instance },
                TerminationState::Protection { termination_protected },
            ) => {
                let flag = if *termination_protected { "" } else { "no-" };
                format!(
                    "aws ec2 modify-instance-attribute --region {region} --instance-id {instance} \
                     --{flag}disable-api-termination"
                )
            }
            (Self::Life { region, instance }, TerminationState::Life { terminated: true }) => {
                format!("aws ec2 terminate-instances --region {region} --instance-ids {instance}")
            }
            _ => String::new(),
        }
    }

    fn kept(&self) -> Option<&'static str> {
        Some(match self {
            Self::TerminationProtection { .. } => "the instance that it protected is gone",
            Self::Life { .. } => "a terminated instance does not come back: launch another from its snapshots",
        })
    }

    fn blind(&self) -> Option<()> {
        Some(())
    }

    fn visible_to_attacker(&self) -> bool {
        matches!(self, Self::Life { .. })
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::TerminationProtection { .. } => Disruption::None,
            Self::Life { .. } => Disruption::Node,
        }
    }

    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

impl Reach for TerminationSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let id = target.id.as_str();
        Some(match action {
            "ec2:DescribeInstanceAttribute" => api.protects(&target.id, Protection::Termination).await.map(drop),
            "ec2:DescribeSnapshots" => {
                let call = api.client.describe_snapshots().owner_ids("self").max_results(5).dry_run(true);
                dry_run(action, id, call.send().await)
            }
            "ec2:ModifyInstanceAttribute" => {
                let value = AttributeBooleanValue::builder().value(false).build();
                let call = api.client.modify_instance_attribute().instance_id(id).disable_api_termination(value);
                dry_run(action, id, call.dry_run(true).send().await)
            }
            "ec2:TerminateInstances" => {
                dry_run(action, id, api.client.terminate_instances().instance_ids(id).dry_run(true).send().await)
            }
            _ => return None,
        })
    }
}

impl TerminationSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: &TerminationState, api: &Ec2Api) -> Result<()> {
        match (self, to) {
            (Self::TerminationProtection { instance, .. }, TerminationState::Protection { termination_protected }) => {
                let value = AttributeBooleanValue::builder().value(*termination_protected).build();
                let call = api.client.modify_instance_attribute().instance_id(instance.as_str());
                let call = call.disable_api_termination(value).send().await;
                call.map(drop).map_err(|error| classify("ec2:ModifyInstanceAttribute", instance.as_str(), error))
            }
            (Self::Life { instance, .. }, TerminationState::Life { terminated: true }) => {
                let call = api.client.terminate_instances().instance_ids(instance.as_str()).send().await;
                call.map(drop).map_err(|error| classify("ec2:TerminateInstances", instance.as_str(), error))
            }
            _ => Err(Error::new(Kind::Refused, "undo", "a terminated instance does not come back")),
        }
    }
}
