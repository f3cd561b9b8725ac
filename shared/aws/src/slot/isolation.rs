//! Cutting the network of an instance: the quarantine groups, and the groups of each interface.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot, names::SecurityGroupId, target::Ec2Instance,
};

use super::{LAG, interface::InterfaceGroups, quarantine::QuarantineGroup};
use crate::{
    check,
    ec2::{Ec2Api, dry_run},
    reach::Reach,
};

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum IsolationSlot {
    /// A group that several records use.
    Group(QuarantineGroup),
    /// The groups of an interface.
    Interface(InterfaceGroups),
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum IsolationState {
    /// Of [`IsolationSlot::Group`].
    Group {
        /// How it is.
        group: Presence,
    },
    /// Of [`IsolationSlot::Interface`]: groups that we did not make, by id.
    Groups {
        /// In the order of their ids.
        groups: Vec<SecurityGroupId>,
    },
    /// Of [`IsolationSlot::Interface`]: a quarantine group alone, by name, since its id may not be known yet.
    Quarantine {
        /// `stanch-quarantine-…`
        quarantine: String,
    },
    /// Of [`IsolationSlot::Interface`]: half done.
    Untracked {
        /// `stanch-untracked-…`
        untracked: String,
    },
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is not there.
    Absent,
    /// It is there and has other rules than it must.
    Weak,
    /// It is there and has its rules and no others.
    Ready,
}

/// What a write needs to know of what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsolationToken {
    /// The group, if it is there.
    Group(Option<SecurityGroupId>),
    /// Of an interface; EC2 has no precondition for it.
    Interface {
        /// It is half done: it may be closed, and never opened again.
        open: bool,
    },
}

impl Slot for IsolationSlot {
    type Api = Ec2Api;
    type State = IsolationState;
    type Token = IsolationToken;

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        match self {
            Self::Group(group) => group.look(api).await,
            Self::Interface(interface) => interface.look(api).await,
        }
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), change.mark(), &seen.token, change.again(), api).await
    }

    fn what(&self, to: &IsolationState) -> String {
        match (self, to) {
            (Self::Group(slot), IsolationState::Group { group }) => slot.what(*group),
            (Self::Group(slot), _) => slot.what(Presence::Absent),
            (Self::Interface(slot), to) => slot.what(to),
        }
    }

    fn command(&self, to: &IsolationState, _: &Mark) -> String {
        match (self, to) {
            (Self::Group(slot), IsolationState::Group { group }) => slot.command(*group),
            (Self::Group(slot), _) => slot.command(Presence::Absent),
            (Self::Interface(slot), to) => slot.command(to),
        }
    }

    fn shared(&self) -> Option<IsolationState> {
        matches!(self, Self::Group(_)).then_some(IsolationState::Group { group: Presence::Absent })
    }

    fn blind(&self) -> Option<IsolationToken> {
        matches!(self, Self::Interface(_)).then_some(IsolationToken::Interface { open: false })
    }

    fn halfway(&self, present: &IsolationState) -> bool {
        matches!(present, IsolationState::Untracked { .. } | IsolationState::Group { group: Presence::Weak })
    }

    fn visible_to_attacker(&self) -> bool {
        matches!(self, Self::Interface(_))
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::Group(_) => Disruption::None,
            Self::Interface(_) => Disruption::Node,
        }
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// What is written is the whole state.
    fn repeatable(&self) -> bool {
        true
    }
}

impl IsolationSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(
        &self,
        to: &IsolationState,
        mark: &Mark,
        token: &IsolationToken,
        again: bool,
        api: &Ec2Api,
    ) -> Result<()> {
        match (self, to, token) {
            (Self::Group(slot), IsolationState::Group { group }, IsolationToken::Group(id)) => {
                slot.write(*group, id.as_ref(), mark, api).await
            }
            (Self::Interface(slot), to, IsolationToken::Interface { open }) => {
                slot.write(to, *open || again, api).await
            }
            _ => Err(Error::new(Kind::Internal, "write", "a state of another slot")),
        }
    }
}

impl Reach for IsolationSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let (client, on) = (&api.client, target.id.as_str());
        Some(match action {
            "ec2:DescribeSecurityGroups" => {
                dry_run(action, on, client.describe_security_groups().dry_run(true).max_results(5).send().await)
            }
            "ec2:DescribeSecurityGroupRules" => {
                dry_run(action, on, client.describe_security_group_rules().dry_run(true).max_results(5).send().await)
            }
            "ec2:DescribeNetworkInterfaces" => {
                dry_run(action, on, client.describe_network_interfaces().dry_run(true).max_results(5).send().await)
            }
            "ec2:DescribeTrunkInterfaceAssociations" => {
                let call = client.describe_trunk_interface_associations().dry_run(true).max_results(5);
                dry_run(action, on, call.send().await)
            }
            "ec2:CreateSecurityGroup" | "ec2:CreateTags" => {
                let mut call = client.create_security_group().group_name("stanch-check").description("check");
                if action == "ec2:CreateTags" {
                    call = call.tag_specifications(check::tag(aws_sdk_ec2::types::ResourceType::SecurityGroup));
                }
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:DeleteSecurityGroup" => {
                dry_run(action, on, client.delete_security_group().group_id(check::NO_GROUP).dry_run(true).send().await)
            }
            "ec2:AuthorizeSecurityGroupIngress" => {
                let call = client.authorize_security_group_ingress().group_id(check::NO_GROUP);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:AuthorizeSecurityGroupEgress" => {
                let call = client.authorize_security_group_egress().group_id(check::NO_GROUP);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:RevokeSecurityGroupIngress" => {
                let call = client.revoke_security_group_ingress().group_id(check::NO_GROUP);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:RevokeSecurityGroupEgress" => {
                let call = client.revoke_security_group_egress().group_id(check::NO_GROUP);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:ModifyNetworkInterfaceAttribute" => {
                let call = client.modify_network_interface_attribute().network_interface_id(check::NO_INTERFACE);
                dry_run(action, on, call.groups(check::NO_GROUP).dry_run(true).send().await)
            }
            _ => return None,
        })
    }
}
