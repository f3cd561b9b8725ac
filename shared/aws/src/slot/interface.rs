//! The security groups of one network interface.
//!
//! Sources: EC2 API Reference "`ModifyNetworkInterfaceAttribute`"; EC2 User Guide "Security group connection
//! tracking" (a connection that was tracked goes on when the rules change; one that is let through whole, both ways, is
//! not tracked, and ends with the rule).

use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Result, Seen,
    names::{AccountId, InstanceId, InterfaceId, Region, SecurityGroupId, VpcId},
};

use super::{
    isolation::{IsolationSlot, IsolationState, IsolationToken},
    manner::Manner,
    quarantine::{QUARANTINE, QuarantineGroup, Rules, UNTRACKED},
};
use crate::{
    ec2::Ec2Api,
    error::classify,
    interface::{Group, groups},
};

const OPERATION: &str = "ec2:ModifyNetworkInterfaceAttribute";

/// The groups of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceGroups {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The interface.
    pub interface: InterfaceId,
    /// The VPC that it is in.
    pub vpc: VpcId,
    /// What the quarantine group lets through.
    pub rules: Manner<Rules>,
    /// On the way in, through an open group first, which ends the tracking of connections.
    pub cut_tracked: Manner<bool>,
}

impl InterfaceGroups {
    pub(super) async fn look(&self, api: &Ec2Api) -> Result<Seen<IsolationSlot>> {
        let found = api.interface(&self.interface).await?;
        let groups = groups(found.groups()).ok_or_else(|| {
            Error::new(Kind::Internal, "ec2:DescribeNetworkInterfaces", "a group has no id").on(self.interface.as_str())
        })?;
        let state = IsolationState::of(&groups, &self.vpc, api);
        let open = matches!(state, IsolationState::Untracked { .. });
        Ok(Seen {
            state,
            token: IsolationToken::Interface { open },
            ids: groups.iter().map(|group| group.id.to_string()).collect(),
            settling: None,
        })
    }

    /// `close` alone where it may be half done: then it is closed at once, and never opened again.
    pub(super) async fn write(&self, to: &IsolationState, close: bool, api: &Ec2Api) -> Result<()> {
        let closing = match to {
            // A group that was there before us and is gone cannot be brought back.
            IsolationState::Groups { groups } => return self.set(groups.clone(), api).await,
            IsolationState::Quarantine { quarantine } => {
                let group = self.group(self.rules.0.clone());
                if group.rules.name() != *quarantine {
                    // Of another set of rules: the state that was there before us.
                    return self.back_to(quarantine, api).await;
                }
                api.quarantine_id(&group).await?
            }
            _ => return Err(Error::new(Kind::Internal, OPERATION, "nothing goes back to half done")),
        };
        if !self.cut_tracked.0 || close {
            return self.set(vec![closing], api).await;
        }
        let opening = api.quarantine_id(&self.group(Rules::Open)).await?;
        for group in [&opening, &closing] {
            api.may_change(&self.interface, std::slice::from_ref(group)).await?;
        }
        // Between the two nothing may come, not even the end of whoever waits for them.
        let (slot, api) = (self.clone(), api.clone());
        let both = tokio::spawn(async move {
            match slot.set(vec![opening], &api).await {
                // Refused: nothing was opened.
                Err(error) if error.kind() != Kind::Unavailable => Err(error),
                // Whatever came of it: what may be open is closed.
                _ => slot.set(vec![closing], &api).await,
            }
        });
        both.await.unwrap_or_else(|_| Err(Error::new(Kind::Unavailable, OPERATION, "it was interrupted")))
    }

    async fn set(&self, groups: Vec<SecurityGroupId>, api: &Ec2Api) -> Result<()> {
        let call = api.client.modify_network_interface_attribute().network_interface_id(self.interface.as_str());
        let call = call.set_groups(Some(groups.iter().map(ToString::to_string).collect()));
        call.send().await.map(drop).map_err(|error| classify(OPERATION, self.interface.as_str(), error))
    }

    async fn back_to(&self, name: &str, api: &Ec2Api) -> Result<()> {
        let id = api.group_of(&self.vpc, name).await?;
        self.set(vec![id], api).await
    }

    fn group(&self, rules: Rules) -> QuarantineGroup {
        QuarantineGroup { region: self.region.clone(), account: self.account.clone(), vpc: self.vpc.clone(), rules }
    }

    pub(super) fn what(&self, to: &IsolationState) -> String {
        let Self { interface, instance, .. } = self;
        match to {
            IsolationState::Quarantine { quarantine } if self.cut_tracked.0 => {
                format!(
                    "put {interface} of {instance} into {quarantine}, through an open group that ends the tracking of its connections"
                )
            }
            IsolationState::Quarantine { quarantine } => format!("put {interface} of {instance} into {quarantine}"),
            IsolationState::Groups { groups } => {
                let groups: Vec<_> = groups.iter().map(SecurityGroupId::as_str).collect();
                format!("put {interface} of {instance} into {}", groups.join(", "))
            }
            IsolationState::Untracked { .. } | IsolationState::Group { .. } => format!("leave {interface} as it is"),
        }
    }

    pub(super) fn command(&self, to: &IsolationState) -> String {
        let set = |groups: String| {
            format!(
                "aws ec2 modify-network-interface-attribute --region {} --network-interface-id {} --groups {groups}",
                self.region, self.interface
            )
        };
        match to {
            IsolationState::Groups { groups } => {
                set(groups.iter().map(SecurityGroupId::as_str).collect::<Vec<_>>().join(" "))
            }
            IsolationState::Quarantine { .. } => {
                let close = set(format!("\"{}\"", self.group(self.rules.0.clone()).find()));
                if self.cut_tracked.0 {
                    format!("{} && {close}", set(format!("\"{}\"", self.group(Rules::Open).find())))
                } else {
                    close
                }
            }
            IsolationState::Untracked { .. } | IsolationState::Group { .. } => String::new(),
        }
    }
}

impl IsolationState {
    /// The state of an interface that has these groups.
    pub fn of(groups: &[Group], vpc: &VpcId, api: &Ec2Api) -> Self {
        if let [only] = groups
            // A name can be taken; where the id of our group is known, it decides.
            && api.known(vpc, &only.name).is_none_or(|id| id == only.id)
        {
            if only.name.starts_with(QUARANTINE) {
                return Self::Quarantine { quarantine: only.name.clone() };
            }
            if only.name.starts_with(UNTRACKED) {
                return Self::Untracked { untracked: only.name.clone() };
            }
        }
        Self::Groups { groups: groups.iter().map(|group| group.id.clone()).collect() }
    }
}
