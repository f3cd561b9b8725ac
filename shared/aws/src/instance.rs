//! An EC2 instance as responders need to know it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    AttachmentStatus, DeviceType, Instance as Described, InstanceLifecycleType, InstanceMetadataEndpointState,
};
use stanch_core::names::{InstanceId, VolumeId};

use crate::interface::Interface;

/// What `identify` reads of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// `running`, `stopped` …
    pub state: String,
    /// E.g. `m5d.large`.
    pub instance_type: String,
    /// A Spot instance: it refuses some protections, and may be taken away.
    pub spot: bool,
    /// Who operates it, if not the account itself: EKS Auto Mode, ECS. AWS then blocks changes, even for root.
    pub operator: Option<String>,
    /// Its EBS volumes.
    pub volumes: Vec<Volume>,
    /// Its root device is an instance store volume.
    pub instance_store_root: bool,
    /// Its network interfaces, the primary one first.
    pub interfaces: Vec<Interface>,
    /// Its private IPv4 addresses: load balancers know targets by address, too.
    pub private: Vec<String>,
    /// How many interfaces it has, whether or not they could be read.
    pub interface_count: usize,
    /// Its metadata service answers: that is where it gets credentials from.
    pub imds: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An EBS volume of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The device name, e.g. `/dev/xvda`.
    pub device: String,
    /// `vol-…`
    pub id: VolumeId,
    /// The instance boots from it.
    pub root: bool,
    /// It is deleted when the instance is terminated.
    pub delete_on_termination: bool,
}

impl Instance {
    pub(crate) fn read(described: &Described) -> Self {
        let root = described.root_device_name().unwrap_or_default();
        let volumes = described
            .block_device_mappings()
            .iter()
            .filter_map(|mapping| {
                let ebs = mapping.ebs().filter(|ebs| ebs.status() != Some(&AttachmentStatus::Detached))?;
                let device = mapping.device_name().unwrap_or_default().to_owned();
                Some(Volume {
                    root: device == root,
                    device,
                    id: ebs.volume_id()?.parse().ok()?,
                    delete_on_termination: ebs.delete_on_termination() == Some(true),
                })
            })
            .collect();
        let tag = |tag: &aws_sdk_ec2::types::Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or("").to_owned()));
        let mut interfaces: Vec<_> = described.network_interfaces().iter().filter_map(Interface::of_instance).collect();
        interfaces.sort_by_key(|interface| !interface.primary);
        let operated = described.operator().filter(|operator| operator.managed() == Some(true));
        Self {
            state: described.state().and_then(|state| state.name()).map_or("", |name| name.as_str()).to_owned(),
            instance_type: described.instance_type().map_or("", |kind| kind.as_str()).to_owned(),
            spot: described.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
            operator: operated.map(|operator| operator.principal().unwrap_or("another service").to_owned()),
            volumes,
            instance_store_root: described.root_device_type() == Some(&DeviceType::InstanceStore),
            private: described
                .network_interfaces()
                .iter()
                .flat_map(aws_sdk_ec2::types::InstanceNetworkInterface::private_ip_addresses)
                .filter_map(|address| address.private_ip_address().map(str::to_owned))
                .collect(),
            interface_count: described.network_interfaces().len(),
            interfaces,
            imds: described.metadata_options().and_then(|options| options.http_endpoint())
                != Some(&InstanceMetadataEndpointState::Disabled),
            tags: described.tags().iter().filter_map(tag).collect(),
        }
    }

    /// Whether its type comes with instance store volumes, which no snapshot captures.
    ///
    /// The block device mapping does not show them (EC2 User Guide: "Instance store volume limits"), and
    /// `DescribeInstanceTypes` would be one more permission, so the name tells (Amazon EC2 Instance Types:
    /// "Naming conventions"): `d` after the generation, or a family that always has them. What this misses is a
    /// line of a report, never a decision.
    pub fn has_instance_store(&self) -> bool {
        /// Families whose every size has instance store volumes, without saying so in the name.
        const ALWAYS: [&str; 31] = [
            "c1", "c3", "cc2", "cr1", "d2", "d3", "f1", "f2", "g2", "g5", "g6", "g6e", "gr6", "h1", "hs1", "i2", "i3",
            "i4g", "i4i", "i7i", "i7ie", "i8g", "i8ge", "m1", "m2", "m3", "p5", "p5e", "r3", "x1", "x1e",
        ];
        /// The same, where the name has more after the family: `trn1n`, `im4gn`, `is4gen`, `d3en`, `i3en`, `p5en`.
        const PREFIXES: [&str; 7] = ["trn", "im4", "is4", "i3en", "d3en", "p5en", "dl1"];
        let family = self.instance_type.split_once('.').map_or(self.instance_type.as_str(), |(family, _)| family);
        let attributes = family
            .trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .trim_start_matches(|c: char| c.is_ascii_digit());
        self.instance_store_root
            || attributes.contains('d')
            || ALWAYS.contains(&family)
            || PREFIXES.iter().any(|prefix| family.starts_with(prefix))
    }

    /// Whether it is terminated, or on its way: its volumes may already be deleted.
    pub fn is_gone(&self) -> bool {
        is_gone(&self.state)
    }

    /// The volume of that id.
    pub fn volume(&self, id: &VolumeId) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.id == *id)
    }
}

/// Whether a state means that the instance is going or gone: its volumes may already be deleted.
pub(crate) fn is_gone(state: &str) -> bool {
    matches!(state, "terminated" | "shutting-down")
}

/// The one instance of an answer, with the account that owns it.
pub(crate) fn only<'a>(
    reservations: &'a [aws_sdk_ec2::types::Reservation],
    id: &InstanceId,
) -> Option<(&'a Described, &'a str)> {
    reservations.iter().find_map(|reservation| {
        let found = reservation.instances().iter().find(|found| found.instance_id() == Some(id.as_str()))?;
        Some((found, reservation.owner_id().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{EbsInstanceBlockDevice, InstanceBlockDeviceMapping, OperatorResponse};

    use super::*;

    #[test]
    fn an_instance_type_tells_its_instance_store() {
        let typed = |name: &str| Instance { instance_type: name.to_owned(), ..Instance::default() };
        for name in ["m5d.large", "c6gd.medium", "r5dn.xlarge", "i3.large", "i3en.large", "g4dn.xlarge", "trn1.2xlarge"]
        {
            assert!(typed(name).has_instance_store(), "{name}");
        }
        for name in ["t3.micro", "m5.large", "c7gn.xlarge", "r7iz.large", "inf2.xlarge", "", "mac2.metal"] {
            assert!(!typed(name).has_instance_store(), "{name}");
        }
    }

    #[test]
    fn detached_volumes_and_foreign_mappings_are_left_out() {
        let mapping = |device: &str, volume: &str, status| {
            let ebs = EbsInstanceBlockDevice::builder().volume_id(volume).status(status).build();
            InstanceBlockDeviceMapping::builder().device_name(device).ebs(ebs).build()
        };
        let described = Described::builder()
            .root_device_name("/dev/xvda")
            .block_device_mappings(mapping("/dev/xvda", "vol-0000000000000000a", AttachmentStatus::Attached))
            .block_device_mappings(mapping("/dev/sdf", "vol-0000000000000000b", AttachmentStatus::Detached))
            .block_device_mappings(InstanceBlockDeviceMapping::builder().device_name("/dev/sdb").build())
            .operator(OperatorResponse::builder().managed(true).principal("eks.amazonaws.com").build())
            .build();
        let read = Instance::read(&described);
        assert_eq!(read.volumes.len(), 1);
        assert!(read.volumes[0].root);
        assert_eq!(read.operator.as_deref(), Some("eks.amazonaws.com"));
    }
}
