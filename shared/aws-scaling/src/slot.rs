//! What can be written about a member of a group.
//!
//! Sources: Amazon EC2 Auto Scaling API Reference "`EnterStandby`", "`ExitStandby`", "`DetachInstances`",
//! "`AttachInstances`", "`SetInstanceProtection`".

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_aws::{Manner, Reach, SdkConfig, classify, word};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{AccountId, InstanceId, Region},
    target::Ec2Instance,
};

use crate::api::{Lifecycle, ScalingApi};

/// How long Auto Scaling may not show what it has accepted.
const LAG: Duration = Duration::from_secs(30);

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum ScalingSlot {
    /// Whether scaling in may end the member.
    ScaleIn(ScaleIn),
    /// Whether it serves.
    Membership(Membership),
}

/// Whether scaling in may end a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleIn {
    /// The region of the group.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The group.
    pub group: String,
}

/// Whether a member serves, waits in standby, or is no member any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The region of the group.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The group.
    pub group: String,
    /// On the way out, the group wants one less, so that it starts no replacement.
    pub decrement: Manner<bool>,
}

/// What such a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ScalingState {
    /// Of [`ScalingSlot::ScaleIn`].
    ScaleIn {
        /// Scaling in leaves it alone.
        protected_from_scale_in: bool,
    },
    /// Of [`ScalingSlot::Membership`].
    Membership {
        /// Where it is.
        membership: Lifecycle,
    },
}

impl Slot for ScalingSlot {
    type Api = ScalingApi;
    type State = ScalingState;
    type Token = ();

    async fn look(&self, api: &ScalingApi, _: &Mark) -> Result<Seen<Self>> {
        let (state, settling) = match self {
            Self::ScaleIn(slot) => {
                let member = api.member(&slot.instance).await?.filter(|member| member.group == slot.group);
                let member = member.ok_or_else(|| left(&slot.instance, &slot.group))?;
                (ScalingState::ScaleIn { protected_from_scale_in: member.protected }, None)
            }
            Self::Membership(slot) => match api.member(&slot.instance).await? {
                None => (ScalingState::Membership { membership: Lifecycle::Detached }, None),
                Some(member) if member.group != slot.group => {
                    let message = format!("it is in another group by now: {}", member.group);
                    return Err(Error::new(Kind::Conflict, "compare", message).on(slot.instance.as_str()));
                }
                Some(member) => {
                    let (membership, under_way) = Lifecycle::read(&member.state);
                    (ScalingState::Membership { membership }, under_way.then_some(member.state))
                }
            },
        };
        Ok(Seen { state, token: (), ids: Vec::new(), settling })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &ScalingApi) -> Result<()> {
        change.slot().carry_out(*change.to(), seen.state, api).await
    }

    fn what(&self, to: &ScalingState) -> String {
        match (self, to) {
            (Self::ScaleIn(slot), ScalingState::ScaleIn { protected_from_scale_in: true }) => {
                format!("keep {} from ending {} when it scales in", slot.group, slot.instance)
            }
            (Self::ScaleIn(slot), _) => format!("let {} end {} when it scales in", slot.group, slot.instance),
            (Self::Membership(slot), to) => {
                let fewer = if slot.decrement.0 { ", which wants one less" } else { ", which starts a replacement" };
                match to {
                    ScalingState::Membership { membership: Lifecycle::Standby } => {
                        format!("put {} into standby in {}{fewer}", slot.instance, slot.group)
                    }
                    ScalingState::Membership { membership: Lifecycle::Detached } => {
                        format!("detach {} from {}{fewer}", slot.instance, slot.group)
                    }
                    _ => format!("put {} back into service in {}", slot.instance, slot.group),
                }
            }
        }
    }

    fn command(&self, to: &ScalingState, _: &Mark) -> String {
        let command = |verb: &str, region: &Region, group: &str, instance: &InstanceId| {
            format!(
                "aws autoscaling {verb} --region {region} --auto-scaling-group-name {} --instance-ids {instance}",
                word(group)
            )
        };
        match (self, to) {
            (Self::ScaleIn(slot), ScalingState::ScaleIn { protected_from_scale_in }) => format!(
                "{} --{}protected-from-scale-in",
                command("set-instance-protection", &slot.region, &slot.group, &slot.instance),
                if *protected_from_scale_in { "" } else { "no-" }
            ),
            (Self::Membership(slot), ScalingState::Membership { membership }) => {
                let out = |verb: &str| {
                    let command = command(verb, &slot.region, &slot.group, &slot.instance);
                    format!(
                        "{command} --{}should-decrement-desired-capacity",
                        if slot.decrement.0 { "" } else { "no-" }
                    )
                };
                match membership {
                    Lifecycle::Standby => out("enter-standby"),
                    Lifecycle::Detached => out("detach-instances"),
                    _ => format!(
                        "{} # attach-instances, if it was detached",
                        command("exit-standby", &slot.region, &slot.group, &slot.instance)
                    ),
                }
            }
            _ => String::new(),
        }
    }

    /// A protection is written whatever it was; how to put a member back depends on where it is.
    fn blind(&self) -> Option<()> {
        matches!(self, Self::ScaleIn(_)).then_some(())
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::ScaleIn(_) => Disruption::None,
            Self::Membership(_) => Disruption::Service,
        }
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// A protection is; leaving a group twice would count twice.
    fn repeatable(&self) -> bool {
        matches!(self, Self::ScaleIn(_))
    }
}

impl ScalingSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: ScalingState, present: ScalingState, api: &ScalingApi) -> Result<()> {
        let client = &api.client;
        match (self, to) {
            (Self::ScaleIn(slot), ScalingState::ScaleIn { protected_from_scale_in }) => {
                let call = client.set_instance_protection().auto_scaling_group_name(&slot.group);
                let call = call.instance_ids(slot.instance.as_str()).protected_from_scale_in(protected_from_scale_in);
                let answer = call.send().await;
                answer.map(drop).map_err(|e| classify("autoscaling:SetInstanceProtection", slot.instance.as_str(), e))
            }
            (Self::Membership(slot), ScalingState::Membership { membership }) => {
                slot.write(membership, present, api).await
            }
            _ => Err(Error::new(Kind::Internal, "write", "a state of another slot")),
        }
    }
}

impl Membership {
    async fn write(&self, to: Lifecycle, present: ScalingState, api: &ScalingApi) -> Result<()> {
        let (client, on) = (&api.client, self.instance.as_str());
        match (to, present) {
            (Lifecycle::Standby, _) => {
                let call = client.enter_standby().auto_scaling_group_name(&self.group).instance_ids(on);
                let answer = call.should_decrement_desired_capacity(self.decrement.0).send().await;
                answer.map(drop).map_err(|error| classify("autoscaling:EnterStandby", on, error))
            }
            (Lifecycle::Detached, _) => {
                let call = client.detach_instances().auto_scaling_group_name(&self.group).instance_ids(on);
                let answer = call.should_decrement_desired_capacity(self.decrement.0).send().await;
                answer.map(drop).map_err(|error| classify("autoscaling:DetachInstances", on, error))
            }
            (Lifecycle::InService, ScalingState::Membership { membership: Lifecycle::Detached }) => {
                let call = client.attach_instances().auto_scaling_group_name(&self.group).instance_ids(on);
                let answer = call.send().await;
                answer.map(drop).map_err(|error| classify("autoscaling:AttachInstances", on, error))
            }
            (Lifecycle::InService, _) => {
                let call = client.exit_standby().auto_scaling_group_name(&self.group).instance_ids(on);
                let answer = call.send().await;
                answer.map(drop).map_err(|error| classify("autoscaling:ExitStandby", on, error))
            }
            (Lifecycle::Warm | Lifecycle::Terminating, _) => {
                Err(Error::new(Kind::Internal, "write", "nothing is put into this state").on(on))
            }
        }
    }
}

fn left(instance: &InstanceId, group: &str) -> Error {
    Error::new(Kind::NotFound, "autoscaling:DescribeAutoScalingInstances", format!("it has left {group}"))
        .on(instance.as_str())
}

impl Reach for ScalingSlot {
    fn connect(config: &SdkConfig, _: &Ec2Instance) -> ScalingApi {
        ScalingApi::connect(config)
    }

    async fn attempt(api: &ScalingApi, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        api.attempt(target, action).await
    }
}
