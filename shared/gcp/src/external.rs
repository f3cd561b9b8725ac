//! The external address of an interface.
//!
//! It is taken off by the access config's **own name**, which may be any text, and put back under it. A reserved (static)
//! address comes back; an ephemeral one goes to the next who asks, and another comes back in its place, so the state of a
//! place holds an address only where it is reserved. Sources: Compute Engine "Configure static external IP addresses"
//! and API reference, `instances.deleteAccessConfig`, `addAccessConfig`, `addresses.list`.

use google_cloud_compute_v1::model::{
    AccessConfig, NetworkInterface,
    access_config::{NetworkTier, Type},
};
use google_cloud_gax::paginator::ItemPaginator as _;
use serde::{Deserialize, Serialize};
use stanch_core::{Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot, names::Location};

use crate::{
    api::GceApi,
    facts::InstanceRef,
    fault,
    group::region,
    mark::{plain, quote},
    power::{operate, read},
    tag::seen,
};

/// Of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, by network address translation.
    V4,
    /// IPv6, a range of its own.
    V6,
}

impl Family {
    const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn configs(self, nic: &NetworkInterface) -> &[AccessConfig] {
        match self {
            Self::V4 => &nic.access_configs,
            Self::V6 => &nic.ipv_6_access_configs,
        }
    }
}

/// The place of an external address. There is at most one of each family on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalSlot {
    /// The instance.
    pub instance: InstanceRef,
    /// The interface: `nic0`.
    pub nic: String,
    /// Of which protocol.
    pub family: Family,
}

/// An external address as far as it can be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// The name of the access config.
    pub name: String,
    /// The address, if it is reserved: it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// The length of an IPv6 range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<i32>,
    /// The network tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The public name (PTR).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ptr: Option<String>,
}

impl GceApi {
    /// What an interface has, and the address as text.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn external(&self, slot: &ExternalSlot) -> Result<Option<(External, String)>> {
        let found = read(self, &slot.instance).await?;
        let nic = found.network_interfaces.iter().find(|nic| nic.name.as_deref() == Some(slot.nic.as_str()));
        let Some(config) = nic.and_then(|nic| slot.family.configs(nic).first()) else { return Ok(None) };
        let address = match slot.family {
            Family::V4 => config.nat_ip.clone(),
            Family::V6 => config.external_ipv_6.clone(),
        };
        // A stopped instance has an access config without an address.
        let reserved = match &address {
            Some(address) if self.is_reserved(&slot.instance, address).await? => Some(address.clone()),
            _ => None,
        };
        let external = External {
            name: config.name.clone().unwrap_or_default(),
            prefix: config.external_ipv_6_prefix_length.filter(|_| reserved.is_some()),
            reserved,
            tier: config.network_tier.as_ref().map(ToString::to_string),
            ptr: config.public_ptr_domain_name.clone(),
        };
        Ok(Some((external, plain(address.as_deref().unwrap_or("none while stopped"), 50))))
    }

    async fn is_reserved(&self, instance: &InstanceRef, address: &str) -> Result<bool> {
        const LIST: &str = "compute.addresses.list";
        let region: Location = region(&instance.zone)
            .ok_or_else(|| Error::new(Kind::Internal, LIST, "the zone has no region").on(instance.named()))?;
        let call = self.clients.addresses().await?.list().set_project(instance.project.as_str());
        let mut found = call.set_region(region.as_str()).set_filter(format!("address = \"{address}\"")).by_item();
        let path = format!("projects/{}/regions/{region}/addresses", instance.project);
        while let Some(one) = found.next().await {
            let one = one.map_err(|error| fault::call(LIST, &path, &error))?;
            if one.address.as_deref() == Some(address) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl ExternalSlot {
    async fn remove(&self, name: &str, api: &GceApi) -> Result<()> {
        operate!(
            api,
            &self.instance,
            "compute.instances.deleteAccessConfig",
            delete_access_config.set_access_config(name).set_network_interface(self.nic.as_str())
        )
        .map_err(look_again)
    }

    async fn add(&self, wanted: &External, api: &GceApi) -> Result<()> {
        let mut body = AccessConfig::new()
            .set_name(wanted.name.as_str())
            .set_or_clear_network_tier(wanted.tier.as_deref().map(NetworkTier::from))
            .set_or_clear_public_ptr_domain_name(wanted.ptr.clone())
            .set_or_clear_set_public_ptr(wanted.ptr.is_some().then_some(true));
        body = match self.family {
            Family::V4 => body.set_type(Type::OneToOneNat).set_or_clear_nat_ip(wanted.reserved.clone()),
            Family::V6 => body
                .set_type(Type::DirectIpv6)
                .set_or_clear_external_ipv_6(wanted.reserved.clone())
                .set_or_clear_external_ipv_6_prefix_length(wanted.prefix),
        };
        operate!(
            api,
            &self.instance,
            "compute.instances.addAccessConfig",
            add_access_config.set_network_interface(self.nic.as_str()).set_body(body)
        )
        .map_err(look_again)
    }
}

/// Neither call has a precondition. One that is refused may have been carried out before, by a run that died: the next
/// look tells.
fn look_again(error: Error) -> Error {
    if error.kind() != Kind::Invalid {
        return error;
    }
    Error::new(Kind::Conflict, error.operation(), error.message()).on(error.resource())
}

impl Slot for ExternalSlot {
    type Api = GceApi;
    type State = Option<External>;
    /// The name under which it can be taken off.
    type Token = Option<String>;

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        let found = api.external(self).await?;
        let name = found.as_ref().map(|(external, _)| external.name.clone());
        let (state, address) = found.map_or((None, None), |(external, address)| (Some(external), Some(address)));
        Ok(seen(state, name, address.into_iter().collect()))
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        match (change.to(), &seen.token) {
            (None, Some(name)) => change.slot().remove(name, api).await,
            (None, None) => Ok(()),
            (Some(wanted), _) => change.slot().add(wanted, api).await,
        }
    }

    fn what(&self, to: &Option<External>) -> String {
        let (family, nic, instance) = (self.family.as_str(), &self.nic, &self.instance.name);
        match to {
            None => format!("take the external {family} address off {nic} of {instance}"),
            Some(External { reserved: Some(address), .. }) => format!("put {address} back on {nic} of {instance}"),
            Some(_) => format!("give {nic} of {instance} another ephemeral external {family} address"),
        }
    }

    fn command(&self, to: &Option<External>, _mark: &Mark) -> String {
        let (instance, nic) = (self.instance.words(), &self.nic);
        let Some(wanted) = to else {
            // The name is not always the one that gcloud takes where none is given.
            let (index, configs) = (
                nic.trim_start_matches("nic"),
                match self.family {
                    Family::V4 => "accessConfigs",
                    Family::V6 => "ipv6AccessConfigs",
                },
            );
            return format!(
                "gcloud compute instances delete-access-config {instance} --network-interface={nic} \
                 --access-config-name=\"$(gcloud compute instances describe {instance} \
                 --format='value(networkInterfaces[{index}].{configs}[0].name)')\""
            );
        };
        let mut words = vec![
            format!("gcloud compute instances add-access-config {instance} --network-interface={nic}"),
            quote(&format!("--access-config-name={}", plain(&wanted.name, 100))),
        ];
        words.extend(wanted.reserved.as_ref().map(|address| quote(&format!("--address={address}"))));
        words.extend(wanted.tier.as_ref().map(|tier| quote(&format!("--network-tier={tier}"))));
        if let Some(ptr) = &wanted.ptr {
            words.extend(["--public-ptr".to_owned(), quote(&format!("--public-ptr-domain={}", plain(ptr, 253)))]);
        }
        words.join(" ")
    }

    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        Disruption::Node
    }
}
