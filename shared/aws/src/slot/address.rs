//! The public addresses of an instance.
//!
//! Sources: EC2 API Reference "`ModifyNetworkInterfaceAttribute`" (`AssociatePublicIpAddress` counts for the primary
//! interface), "`DisassociateAddress`", "`AssociateAddress`", "`UnassignIpv6Addresses`"; EC2 User Guide "Elastic IP
//! addresses" (an instance that was launched with an address of its own gets another one when it loses its Elastic IP
//! address).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{AccountId, AllocationId, InstanceId, InterfaceId, Region},
    target::Ec2Instance,
};

use super::LAG;
use crate::{
    check,
    ec2::{Ec2Api, dry_run},
    error::classify,
    interface::Interface,
    reach::Reach,
};

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum AddressSlot {
    /// Whether EC2 gives the primary interface an address by itself.
    AutoAssign(AutoAssign),
    /// Where an Elastic IP address is.
    Elastic(ElasticIp),
    /// An IPv6 address of an interface.
    Ipv6(Ipv6Address),
    /// That no public IPv4 address is left. Nothing is written: the write is the wait.
    NoAddress(NoAddress),
}

/// Whether EC2 gives an interface a public IPv4 address by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoAssign {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The interface.
    pub interface: InterfaceId,
}

/// An Elastic IP address. Its association gets a new id each time; the allocation keeps its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticIp {
    /// The region of the address.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The allocation.
    pub allocation: AllocationId,
    /// The address, for a person to read.
    pub public: String,
}

/// An IPv6 address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipv6Address {
    /// The region of the interface.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The interface.
    pub interface: InterfaceId,
    /// The address.
    pub address: std::net::Ipv6Addr,
}

/// That an instance has no public IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoAddress {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum AddressState {
    /// Of [`AddressSlot::AutoAssign`].
    AutoAssign {
        /// EC2 assigns one.
        auto_assign: bool,
    },
    /// Of [`AddressSlot::Elastic`].
    Elastic {
        /// Where it is; none where it is free.
        associated: Option<Place>,
    },
    /// Of [`AddressSlot::Ipv6`].
    Ipv6 {
        /// The interface has it.
        assigned: bool,
    },
    /// Of [`AddressSlot::NoAddress`].
    NoAddress {
        /// There is none.
        unreachable: bool,
    },
}

/// Where an Elastic IP address is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The interface.
    pub interface: InterfaceId,
    /// The private address that it stands for.
    pub private: String,
}

impl Slot for AddressSlot {
    type Api = Ec2Api;
    type State = AddressState;
    /// The association to end.
    type Token = Option<String>;

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        let (state, token, ids) = match self {
            Self::AutoAssign(slot) => {
                (AddressState::AutoAssign { auto_assign: api.assigns_public(&slot.interface).await? }, None, Vec::new())
            }
            Self::Elastic(slot) => {
                let found = api.address(&slot.allocation).await?;
                let associated = found.place.map(|(interface, private)| Place { interface, private });
                (AddressState::Elastic { associated }, found.association, vec![found.public])
            }
            Self::Ipv6(slot) => {
                let found = api.interface(&slot.interface).await?;
                let addresses = found.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
                let assigned =
                    addresses.filter_map(|text| text.parse::<std::net::Ipv6Addr>().ok()).any(|it| it == slot.address);
                (AddressState::Ipv6 { assigned }, None, Vec::new())
            }
            Self::NoAddress(slot) => {
                let instance = api.instance(&slot.instance).await?;
                let public: Vec<String> =
                    instance.interfaces.iter().flat_map(|it: &Interface| it.public.clone()).collect();
                (AddressState::NoAddress { unreachable: public.is_empty() }, None, public)
            }
        };
        Ok(Seen { state, token, ids, settling: None })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), seen.token.as_deref(), api).await
    }

    fn what(&self, to: &AddressState) -> String {
        match (self, to) {
            (Self::AutoAssign(slot), AddressState::AutoAssign { auto_assign: true }) => {
                format!("let EC2 give {} a public address, which is another one", slot.interface)
            }
            (Self::AutoAssign(slot), _) => {
                format!("take the public address that EC2 gives {}, and let it give no other", slot.interface)
            }
            (Self::Elastic(slot), AddressState::Elastic { associated: Some(place) }) => {
                format!("associate {} ({}) with {} of {}", slot.public, slot.allocation, place.private, place.interface)
            }
            (Self::Elastic(slot), _) => format!("disassociate {} ({})", slot.public, slot.allocation),
            (Self::Ipv6(slot), AddressState::Ipv6 { assigned: true }) => {
                format!("assign {} to {}", slot.address, slot.interface)
            }
            (Self::Ipv6(slot), _) => format!("unassign {} from {}", slot.address, slot.interface),
            (Self::NoAddress(slot), _) => format!("wait until {} has no public IPv4 address", slot.instance),
        }
    }

    fn command(&self, to: &AddressState, _: &Mark) -> String {
        match (self, to) {
            (Self::AutoAssign(slot), AddressState::AutoAssign { auto_assign }) => format!(
                "aws ec2 modify-network-interface-attribute --region {} --network-interface-id {} --{}associate-public-ip-address",
                slot.region,
                slot.interface,
                if *auto_assign { "" } else { "no-" }
            ),
            (Self::Elastic(slot), AddressState::Elastic { associated: Some(place) }) => format!(
                "aws ec2 associate-address --region {} --allocation-id {} --network-interface-id {} --private-ip-address {} \
                 --no-allow-reassociation",
                slot.region,
                slot.allocation,
                place.interface,
                crate::shell::word(&place.private)
            ),
            (Self::Elastic(slot), _) => format!(
                "aws ec2 disassociate-address --region {region} --association-id \"$(aws ec2 describe-addresses --region \
                 {region} --allocation-ids {} --query 'Addresses[0].AssociationId' --output text)\"",
                slot.allocation,
                region = slot.region
            ),
            (Self::Ipv6(slot), to) => format!(
                "aws ec2 {}assign-ipv6-addresses --region {} --network-interface-id {} --ipv6-addresses {}",
                if matches!(to, AddressState::Ipv6 { assigned: true }) { "" } else { "un" },
                slot.region,
                slot.interface,
                slot.address
            ),
            (Self::NoAddress(slot), _) => format!(
                "aws ec2 describe-instances --region {} --instance-ids {} --query \
                 'Reservations[].Instances[].NetworkInterfaces[].Association.PublicIp'",
                slot.region, slot.instance
            ),
            (Self::AutoAssign(_), _) => String::new(),
        }
    }

    /// It has no state that could be put back.
    fn kept(&self) -> Option<&'static str> {
        matches!(self, Self::NoAddress(_)).then_some("nothing was changed: it only waits")
    }

    /// The association to end has to be looked for; everything else is written as it is.
    fn blind(&self) -> Option<Option<String>> {
        (!matches!(self, Self::Elastic(_))).then_some(None)
    }

    fn visible_to_attacker(&self) -> bool {
        !matches!(self, Self::NoAddress(_))
    }

    fn disruption(&self) -> Disruption {
        if matches!(self, Self::NoAddress(_)) { Disruption::None } else { Disruption::Node }
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// What is written is the whole state.
    fn repeatable(&self) -> bool {
        true
    }
}

impl AddressSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: &AddressState, association: Option<&str>, api: &Ec2Api) -> Result<()> {
        let client = &api.client;
        match (self, to) {
            (Self::AutoAssign(slot), AddressState::AutoAssign { auto_assign }) => {
                let call = client.modify_network_interface_attribute().network_interface_id(slot.interface.as_str());
                let answer = call.associate_public_ip_address(*auto_assign).send().await;
                let on = slot.interface.as_str();
                answer.map(drop).map_err(|error| classify("ec2:ModifyNetworkInterfaceAttribute", on, error))
            }
            (Self::Elastic(slot), AddressState::Elastic { associated: None }) => {
                // Free already: nothing to end.
                let Some(association) = association else { return Ok(()) };
                let answer = client.disassociate_address().association_id(association).send().await;
                answer.map(drop).map_err(|error| classify("ec2:DisassociateAddress", slot.allocation.as_str(), error))
            }
            (Self::Elastic(slot), AddressState::Elastic { associated: Some(place) }) => {
                let call = client.associate_address().allocation_id(slot.allocation.as_str());
                let call = call.network_interface_id(place.interface.as_str()).private_ip_address(&place.private);
                // Somebody may have given it to another instance meanwhile: it is not taken away again.
                let answer = call.allow_reassociation(false).send().await;
                answer.map(drop).map_err(|error| classify("ec2:AssociateAddress", slot.allocation.as_str(), error))
            }
            (Self::Ipv6(slot), AddressState::Ipv6 { assigned: false }) => {
                let call = client.unassign_ipv6_addresses().network_interface_id(slot.interface.as_str());
                let answer = call.ipv6_addresses(slot.address.to_string()).send().await;
                answer.map(drop).map_err(|error| classify("ec2:UnassignIpv6Addresses", slot.interface.as_str(), error))
            }
            (Self::Ipv6(slot), AddressState::Ipv6 { assigned: true }) => {
                let call = client.assign_ipv6_addresses().network_interface_id(slot.interface.as_str());
                let answer = call.ipv6_addresses(slot.address.to_string()).send().await;
                answer.map(drop).map_err(|error| classify("ec2:AssignIpv6Addresses", slot.interface.as_str(), error))
            }
            // Nothing to send: waiting is to look again, which the driver does.
            (Self::NoAddress(_), _) => Ok(()),
            _ => Err(Error::new(Kind::Internal, "write", "a state of another slot")),
        }
    }
}

impl Reach for AddressSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let (client, on) = (&api.client, target.id.as_str());
        Some(match action {
            "ec2:DescribeAddresses" => dry_run(action, on, client.describe_addresses().dry_run(true).send().await),
            "ec2:DescribeNetworkInterfaces" => {
                dry_run(action, on, client.describe_network_interfaces().dry_run(true).max_results(5).send().await)
            }
            "ec2:DescribeNetworkInterfaceAttribute" => {
                let call = client.describe_network_interface_attribute().network_interface_id(check::NO_INTERFACE);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:ModifyNetworkInterfaceAttribute" => {
                let call = client.modify_network_interface_attribute().network_interface_id(check::NO_INTERFACE);
                dry_run(action, on, call.associate_public_ip_address(false).dry_run(true).send().await)
            }
            "ec2:DisassociateAddress" => {
                let call = client.disassociate_address().association_id("eipassoc-00000000000000000");
                dry_run(action, on, call.dry_run(true).send().await)
            }
            "ec2:AssociateAddress" => {
                let call = client.associate_address().allocation_id("eipalloc-00000000000000000");
                let call = call.network_interface_id(check::NO_INTERFACE);
                dry_run(action, on, call.dry_run(true).send().await)
            }
            // These two have no `DryRun`.
            "ec2:UnassignIpv6Addresses" | "ec2:AssignIpv6Addresses" => Err(Error::new(
                Kind::Unsupported,
                action,
                "EC2 offers no dry run of it; whether it is allowed shows when it is used",
            )),
            _ => return None,
        })
    }
}
