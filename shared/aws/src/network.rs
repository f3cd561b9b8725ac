//! Look-ups about groups, interfaces and addresses.

use aws_sdk_ec2::types::{Filter, NetworkInterfaceAttribute, SecurityGroup};
use stanch_core::{
    Error, Kind, Result,
    names::{AllocationId, InterfaceId, SecurityGroupId, VpcId},
};

use crate::{
    ec2::{Ec2Api, dry_run},
    error::classify,
    interface::Interface,
    slot::{Presence, QuarantineGroup},
};

/// As many associations as are asked for at once (EC2 API Reference: "`DescribeTrunkInterfaceAssociations`").
const PAGE: i32 = 255;
/// An account has a few hundred branch interfaces; this bounds what is read of them.
const PAGES: usize = 100;

/// An Elastic IP address that is associated with an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `eipalloc-…`
    pub allocation: AllocationId,
    /// Assigned anew each time, so it is read before each use.
    pub association: Option<String>,
    /// The address.
    pub public: String,
    /// The interface, and its private address that it stands for.
    pub place: Option<(InterfaceId, String)>,
}

/// A security group that a person named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The VPC that it is of.
    pub vpc: VpcId,
    /// What it lets out, and in: for a person to read.
    pub lets: Vec<String>,
}

pub(crate) fn filter(name: &str, values: impl IntoIterator<Item = impl ToString>) -> Filter {
    let mut values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.sort();
    values.dedup();
    Filter::builder().name(name).set_values(Some(values)).build()
}

impl Ec2Api {
    /// How these groups are. One call, `ec2:DescribeSecurityGroups`; none for none.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn quarantine_groups(&self, wanted: &[QuarantineGroup]) -> Result<Vec<Presence>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let described = self
            .client
            .describe_security_groups()
            .filters(filter("vpc-id", wanted.iter().map(|group| &group.vpc)))
            .filters(filter("group-name", wanted.iter().map(|group| group.rules.name())))
            .send()
            .await
            .map_err(|error| {
                classify("ec2:DescribeSecurityGroups", wanted.first().map_or("", |g| g.vpc.as_str()), error)
            })?;
        Ok(wanted
            .iter()
            .map(|group| {
                let name = group.rules.name();
                let found = described.security_groups().iter().find(|found| self.is(found, &group.vpc, &name));
                let id = found.and_then(|found| found.group_id()?.parse::<SecurityGroupId>().ok());
                self.remember(&group.vpc, &name, id.clone());
                match (found, id) {
                    (Some(found), Some(_)) if group.rules.are_those_of(found) => Presence::Ready,
                    (Some(_), Some(_)) => Presence::Weak,
                    _ => Presence::Absent,
                }
            })
            .collect())
    }

    /// Of that name, in that VPC and ours: other accounts can share groups with us.
    fn is(&self, group: &SecurityGroup, vpc: &VpcId, name: &str) -> bool {
        group.vpc_id() == Some(vpc.as_str())
            && group.group_name() == Some(name)
            && group.owner_id() == Some(self.account.as_str())
    }

    fn remember(&self, vpc: &VpcId, name: &str, id: Option<SecurityGroupId>) {
        let mut known = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match id {
            Some(id) => known.insert((vpc.clone(), name.to_owned()), id),
            None => known.remove(&(vpc.clone(), name.to_owned())),
        };
    }

    /// The id of a quarantine group that was made sure of: as this order has seen it, else one call.
    pub(crate) async fn quarantine_id(&self, group: &QuarantineGroup) -> Result<SecurityGroupId> {
        let name = group.rules.name();
        if let Some(id) = self.known(&group.vpc, &name) {
            return Ok(id);
        }
        self.quarantine_groups(std::slice::from_ref(group)).await?;
        self.known(&group.vpc, &name).ok_or_else(|| {
            Error::new(Kind::Conflict, "ec2:DescribeSecurityGroups", "the quarantine group is gone; order again")
                .on(name)
        })
    }

    /// The id of a group of ours by its name alone.
    pub(crate) async fn group_of(&self, vpc: &VpcId, name: &str) -> Result<SecurityGroupId> {
        const OPERATION: &str = "ec2:DescribeSecurityGroups";
        let call = self.client.describe_security_groups().filters(filter("vpc-id", [vpc]));
        let answer = call.filters(filter("group-name", [name])).send().await;
        let answer = answer.map_err(|error| classify(OPERATION, name, error))?;
        let found = answer.security_groups().iter().find(|found| self.is(found, vpc, name));
        found
            .and_then(|found| found.group_id()?.parse().ok())
            .ok_or_else(|| Error::new(Kind::NotFound, OPERATION, "the group is gone").on(name))
    }

    pub(crate) fn known(&self, vpc: &VpcId, name: &str) -> Option<SecurityGroupId> {
        let known = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&(vpc.clone(), name.to_owned())).cloned()
    }

    /// A group that a person named. One call, `ec2:DescribeSecurityGroups`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub async fn group(&self, id: &SecurityGroupId) -> Result<Found> {
        const OPERATION: &str = "ec2:DescribeSecurityGroups";
        let described = self
            .client
            .describe_security_groups()
            .group_ids(id.as_str())
            .send()
            .await
            .map_err(|error| classify(OPERATION, id.as_str(), error))?;
        let found = described.security_groups().iter().find(|found| found.group_id() == Some(id.as_str()));
        let vpc = found.and_then(|found| found.vpc_id()?.parse().ok());
        let (Some(found), Some(vpc)) = (found, vpc) else {
            return Err(Error::new(Kind::NotFound, OPERATION, "there is no such group in a VPC").on(id.as_str()));
        };
        let out = crate::slot::rules_of(found.ip_permissions_egress()).into_iter().map(|rule| format!("out {rule}"));
        let into = crate::slot::rules_of(found.ip_permissions()).into_iter().map(|rule| format!("in {rule}"));
        Ok(Found { vpc, lets: out.chain(into).collect() })
    }

    /// The branch interfaces of these trunks: each gives a pod on the instance groups of its own. Two calls and more,
    /// `ec2:DescribeTrunkInterfaceAssociations` (which cannot be asked for one trunk) and
    /// `ec2:DescribeNetworkInterfaces`; none without a trunk.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn branches(&self, trunks: &[InterfaceId]) -> Result<Vec<Interface>> {
        const OPERATION: &str = "ec2:DescribeTrunkInterfaceAssociations";
        let Some(first) = trunks.first() else { return Ok(Vec::new()) };
        let (mut ids, mut next) = (Vec::new(), None);
        for page in 0.. {
            if page == PAGES {
                let message = format!("more than {PAGES} pages of associations");
                return Err(Error::new(Kind::Conflict, OPERATION, message).on(first.as_str()));
            }
            let call = self.client.describe_trunk_interface_associations().max_results(PAGE).set_next_token(next);
            let answer = call.send().await.map_err(|error| classify(OPERATION, first.as_str(), error))?;
            let ours = answer.interface_associations().iter().filter(|association| {
                trunks.iter().any(|trunk| association.trunk_interface_id() == Some(trunk.as_str()))
            });
            ids.extend(ours.filter_map(|association| association.branch_interface_id().map(str::to_owned)));
            match answer.next_token().filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token.to_owned()),
                None => break,
            }
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let many = ids.len();
        let found = self.interfaces(filter("network-interface-id", ids)).await?;
        let read: Vec<_> = found.iter().filter_map(Interface::of_branch).collect();
        if read.len() < many {
            let message = "a branch interface does not show; order again";
            return Err(Error::new(Kind::Unavailable, "ec2:DescribeNetworkInterfaces", message).on(first.as_str()));
        }
        Ok(read)
    }

    async fn interfaces(&self, wanted: Filter) -> Result<Vec<aws_sdk_ec2::types::NetworkInterface>> {
        let call = self.client.describe_network_interfaces().filters(wanted);
        let answer = call.send().await.map_err(|error| classify("ec2:DescribeNetworkInterfaces", "", error))?;
        Ok(answer.network_interfaces.unwrap_or_default())
    }

    /// One interface, as `DescribeNetworkInterfaces` shows it.
    pub(crate) async fn interface(&self, id: &InterfaceId) -> Result<aws_sdk_ec2::types::NetworkInterface> {
        const OPERATION: &str = "ec2:DescribeNetworkInterfaces";
        let call = self.client.describe_network_interfaces().network_interface_ids(id.as_str());
        let answer = call.send().await.map_err(|error| classify(OPERATION, id.as_str(), error))?;
        let found = answer.network_interfaces.unwrap_or_default().into_iter();
        found
            .into_iter()
            .find(|found| found.network_interface_id() == Some(id.as_str()))
            .ok_or_else(|| Error::new(Kind::NotFound, OPERATION, "there is no such interface").on(id.as_str()))
    }

    /// Whether EC2 would swap the groups of an interface. One call, `ec2:ModifyNetworkInterfaceAttribute` with
    /// `DryRun`, which changes nothing.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where an operator such as EKS Auto Mode manages the interface; [`Kind::Denied`].
    pub async fn may_change(&self, interface: &InterfaceId, groups: &[SecurityGroupId]) -> Result<()> {
        let call = self.client.modify_network_interface_attribute().network_interface_id(interface.as_str());
        let call = call.set_groups(Some(groups.iter().map(ToString::to_string).collect())).dry_run(true);
        dry_run("ec2:ModifyNetworkInterfaceAttribute", interface.as_str(), call.send().await)
    }

    /// The Elastic IP addresses of these interfaces. One call, `ec2:DescribeAddresses`; none for none.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn addresses_of(&self, interfaces: &[InterfaceId]) -> Result<Vec<Address>> {
        let Some(first) = interfaces.first() else { return Ok(Vec::new()) };
        let call = self.client.describe_addresses().filters(filter("network-interface-id", interfaces));
        let answer = call.send().await.map_err(|error| classify("ec2:DescribeAddresses", first.as_str(), error))?;
        Ok(answer.addresses().iter().filter_map(read).collect())
    }

    /// One Elastic IP address.
    pub(crate) async fn address(&self, allocation: &AllocationId) -> Result<Address> {
        const OPERATION: &str = "ec2:DescribeAddresses";
        let call = self.client.describe_addresses().allocation_ids(allocation.as_str());
        let answer = call.send().await.map_err(|error| classify(OPERATION, allocation.as_str(), error))?;
        let found = answer.addresses().iter().filter_map(read).find(|found| found.allocation == *allocation);
        found.ok_or_else(|| Error::new(Kind::NotFound, OPERATION, "it was released").on(allocation.as_str()))
    }

    /// Whether EC2 gives the interface a public IPv4 address by itself. One call,
    /// `ec2:DescribeNetworkInterfaceAttribute`.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn assigns_public(&self, interface: &InterfaceId) -> Result<bool> {
        let answer = self
            .client
            .describe_network_interface_attribute()
            .network_interface_id(interface.as_str())
            .attribute(NetworkInterfaceAttribute::AssociatePublicIpAddress)
            .send()
            .await
            .map_err(|error| classify("ec2:DescribeNetworkInterfaceAttribute", interface.as_str(), error))?;
        Ok(answer.associate_public_ip_address() == Some(true))
    }
}

fn read(found: &aws_sdk_ec2::types::Address) -> Option<Address> {
    let place = found.network_interface_id().filter(|id| !id.is_empty()).and_then(|id| id.parse().ok());
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Address {
        allocation: found.allocation_id()?.parse().ok()?,
        association: some(found.association_id()),
        public: some(found.public_ip()).or_else(|| some(found.carrier_ip())).unwrap_or_default(),
        place: place.map(|interface| (interface, some(found.private_ip_address()).unwrap_or_default())),
    })
}
