//! A network interface as responders need to know it.

use aws_sdk_ec2::types::{GroupIdentifier, InstanceNetworkInterface, NetworkInterface};
use stanch_core::names::{InterfaceId, SecurityGroupId, VpcId};

/// A network interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eni-…`
    pub id: InterfaceId,
    /// The VPC that it is in: since multi-VPC interfaces, not always the instance's.
    pub vpc: VpcId,
    /// The instance's first one, whose groups the EKS CNI gives to the others.
    pub primary: bool,
    /// Its security groups, by id.
    pub groups: Vec<Group>,
    /// Its public IPv4 addresses, Elastic or not, carrier addresses included.
    pub public: Vec<String>,
    /// Its IPv6 addresses and delegated prefixes.
    pub ipv6: Vec<String>,
    /// It carries branch interfaces, which give pods groups of their own.
    pub trunk: bool,
    /// Who operates it, if not the account itself.
    pub operator: Option<String>,
}

/// A security group of an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// `sg-…`
    pub id: SecurityGroupId,
    /// Its name, which is unique in its VPC.
    pub name: String,
}

impl Interface {
    /// As `DescribeInstances` shows it.
    pub(crate) fn of_instance(described: &InstanceNetworkInterface) -> Option<Self> {
        let place = described.attachment().map(|at| (at.device_index(), at.network_card_index()));
        let own = described.association().into_iter();
        let others = described.private_ip_addresses().iter().filter_map(|address| address.association());
        let public = own.chain(others).flat_map(|found| [found.public_ip(), found.carrier_ip()]);
        let prefixes = described.ipv6_prefixes().iter().filter_map(|prefix| prefix.ipv6_prefix());
        let ipv6 = described.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
        Some(Self {
            id: described.network_interface_id()?.parse().ok()?,
            vpc: described.vpc_id()?.parse().ok()?,
            primary: matches!(place, Some((Some(0), None | Some(0)))),
            groups: groups(described.groups())?,
            public: distinct(public.flatten()),
            ipv6: distinct(ipv6.chain(prefixes)),
            trunk: described.interface_type() == Some("trunk"),
            operator: operator(described.operator()),
        })
    }

    /// As `DescribeNetworkInterfaces` shows it; never the primary one.
    pub(crate) fn of_branch(described: &NetworkInterface) -> Option<Self> {
        let own = described.association().into_iter();
        let others = described.private_ip_addresses().iter().filter_map(|address| address.association());
        let public = own.chain(others).flat_map(|found| [found.public_ip(), found.carrier_ip()]);
        let prefixes = described.ipv6_prefixes().iter().filter_map(|prefix| prefix.ipv6_prefix());
        let ipv6 = described.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
        Some(Self {
            id: described.network_interface_id()?.parse().ok()?,
            vpc: described.vpc_id()?.parse().ok()?,
            primary: false,
            groups: groups(described.groups())?,
            public: distinct(public.flatten()),
            ipv6: distinct(ipv6.chain(prefixes)),
            trunk: false,
            operator: operator(described.operator()),
        })
    }

    /// Whether the internet can address it: a public IPv4 address, or IPv6 that is neither unique local nor link local.
    pub fn is_public(&self) -> bool {
        let global = |address: &String| {
            let head = address.split('/').next().unwrap_or_default();
            head.parse::<std::net::Ipv6Addr>().is_ok_and(|ip| !ip.is_unique_local() && !ip.is_unicast_link_local())
        };
        !self.public.is_empty() || self.ipv6.iter().any(global)
    }
}

/// The groups of an interface, by id: their order has no meaning.
pub(crate) fn groups(described: &[GroupIdentifier]) -> Option<Vec<Group>> {
    let read = |group: &GroupIdentifier| {
        Some(Group { id: group.group_id()?.parse().ok()?, name: group.group_name().unwrap_or_default().to_owned() })
    };
    let mut groups = described.iter().map(read).collect::<Option<Vec<_>>>()?;
    groups.sort();
    groups.dedup();
    Some(groups)
}

fn operator(operator: Option<&aws_sdk_ec2::types::OperatorResponse>) -> Option<String> {
    let operator = operator.filter(|operator| operator.managed() == Some(true))?;
    Some(operator.principal().unwrap_or("another service").to_owned())
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = texts.filter(|text| !text.is_empty()).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}
