//! What is read of an instance and its disks. The answer of the API is parsed, not trusted: a link becomes a
//! project, a place and a name, or an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Result,
    names::{GceId, GceName, Location, ProjectId, ServiceAccountEmail, Zone},
    target::GceInstance,
};

use crate::mark::plain;

/// Where a disk is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In one zone.
    Zone(Zone),
    /// Replicated between two zones of a region.
    Region(Location),
}

impl Place {
    /// `zones/…` or `regions/…`, as in a link.
    pub fn path(&self) -> String {
        match self {
            Self::Zone(zone) => format!("zones/{zone}"),
            Self::Region(region) => format!("regions/{region}"),
        }
    }
}

/// A disk by its full name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRef {
    /// The project that owns the disk: not always the instance's.
    pub project: ProjectId,
    /// Its zone or region.
    pub place: Place,
    /// Its name there. Another disk may get it later; only the id is never used twice.
    pub name: GceName,
}

impl DiskRef {
    /// `projects/P/zones/Z/disks/D`.
    pub fn path(&self) -> String {
        format!("projects/{}/{}/disks/{}", self.project, self.place.path(), self.name)
    }

    /// Reads a link such as `https://www.googleapis.com/compute/v1/projects/P/zones/Z/disks/D`, whole.
    fn parse(link: &str) -> Option<Self> {
        let [project, kind, place, "disks", name] = *parts(link)? else { return None };
        let place = match kind {
            "zones" => Place::Zone(place.parse().ok()?),
            // A location may be a zone; a regional disk never is in one.
            "regions" if place.parse::<Zone>().is_err() => Place::Region(place.parse().ok()?),
            _ => return None,
        };
        Some(Self { project: project.parse().ok()?, place, name: name.parse().ok()? })
    }
}

/// A VPC network by its full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkRef {
    /// The project that owns it: in a Shared VPC, the host's.
    pub project: ProjectId,
    /// Its name there.
    pub name: GceName,
}

impl NetworkRef {
    /// `projects/P/global/networks/N`.
    pub fn path(&self) -> String {
        format!("projects/{}/global/networks/{}", self.project, self.name)
    }

    /// Reads a link, whole.
    pub(crate) fn parse(link: &str) -> Option<Self> {
        let [project, "global", "networks", name] = *parts(link)? else { return None };
        Some(Self { project: project.parse().ok()?, name: name.parse().ok()? })
    }
}

/// The parts of a link behind `projects/`.
fn parts(link: &str) -> Option<Box<[&str]>> {
    let path = match link.strip_prefix("https://") {
        Some(rest) => {
            let mut parts = rest.splitn(4, '/');
            let (_host, service, version) = (parts.next()?, parts.next()?, parts.next()?);
            (service == "compute" && version.bytes().all(|c| c.is_ascii_alphanumeric())).then_some(())?;
            parts.next()?
        }
        None => link,
    };
    Some(path.strip_prefix("projects/")?.split('/').collect())
}

/// An instance as a record names it: the id is never used twice, the names are for people and for the few calls that
/// take no number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRef {
    /// The project.
    pub project: ProjectId,
    /// The zone.
    pub zone: Zone,
    /// The name.
    pub name: GceName,
    /// The numeric id.
    pub id: GceId,
}

impl InstanceRef {
    /// The target, with what was found.
    pub fn of(target: &GceInstance, facts: &GceFacts) -> Self {
        Self {
            project: target.project.clone(),
            zone: target.zone.clone(),
            name: facts.name.clone(),
            id: facts.id.clone(),
        }
    }

    /// `projects/P/zones/Z/instances/ID`: a call with the number never reaches another instance of the same name.
    pub(crate) fn path(&self) -> String {
        format!("projects/{}/zones/{}/instances/{}", self.project, self.zone, self.id)
    }

    /// The same by name, where a call takes no number.
    pub(crate) fn named(&self) -> String {
        format!("projects/{}/zones/{}/instances/{}", self.project, self.zone, self.name)
    }

    /// The words that every command about an instance ends in.
    pub(crate) fn words(&self) -> String {
        format!("{} --project={} --zone={}", self.name, self.project, self.zone)
    }
}

/// What hangs on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// A disk that outlives the instance: snapshots can be taken of it.
    Persistent(DiskRef),
    /// A local SSD (`SCRATCH`): no snapshot can be taken, and the data is lost when the instance stops
    /// (Compute Engine: "About Local SSD disks").
    LocalSsd,
}

/// A disk as the instance sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedDisk {
    /// Which disk.
    pub disk: DiskKind,
    /// The name under which the guest finds it.
    pub device: String,
    /// It holds the system.
    pub boot: bool,
    /// The guest may write to it.
    pub writable: bool,
    /// It is deleted with the instance.
    pub auto_delete: bool,
    /// Its size in GB, where known.
    pub size_gb: Option<i64>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// `nic0` is the primary one.
    pub name: String,
    /// The network that it is in.
    pub network: NetworkRef,
    /// Its external addresses, IPv4 and IPv6, as text.
    pub external: Vec<String>,
}

/// An instance, as far as responders need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GceFacts {
    /// The numeric id.
    pub id: GceId,
    /// The name.
    pub name: GceName,
    /// `RUNNING`, `TERMINATED` …
    pub status: String,
    /// Everything that is attached.
    pub disks: Vec<AttachedDisk>,
    /// Its network interfaces, the primary one first.
    pub nics: Vec<Nic>,
    /// Its network tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whose tokens its metadata server gives out.
    pub service_account: Option<ServiceAccountEmail>,
    /// It cannot be deleted.
    pub deletion_protection: bool,
    /// The group that says to have made it. A hint: the instance's own account can rewrite it.
    pub created_by: Option<String>,
    /// What its own metadata says about OS Login; the project decides where it says nothing.
    pub os_login: Option<bool>,
    /// It carries the label that asks for being left alone.
    pub exempt: bool,
}

/// The label that asks for being left alone, whatever its value.
pub(crate) const EXEMPT_LABEL: &str = "stanch-exempt";

/// Metadata, of an instance or a project.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) fingerprint: String,
    pub(crate) items: Vec<Item>,
}

/// One entry.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Metadata {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.items.iter().find(|item| item.key == key).map(|item| item.value.as_str())
    }

    /// Compute Engine: "About OS Login": the value is a bool in any case.
    pub(crate) fn os_login(&self) -> Option<bool> {
        self.get("enable-oslogin").map(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl std::fmt::Debug for Metadata {
    /// Values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metadata({} entries)", self.items.len())
    }
}

/// Network tags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tags {
    pub(crate) fingerprint: String,
    pub(crate) items: Vec<String>,
}

/// An external address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AccessConfig {
    pub(crate) name: String,
    #[serde(rename = "natIP")]
    pub(crate) nat_ip: Option<String>,
    pub(crate) external_ipv6: Option<String>,
    pub(crate) external_ipv6_prefix_length: Option<u8>,
    pub(crate) network_tier: Option<String>,
    pub(crate) public_ptr_domain_name: Option<String>,
}

/// A network interface, as it is answered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) access_configs: Vec<AccessConfig>,
    pub(crate) ipv6_access_configs: Vec<AccessConfig>,
}

/// The parts of an instance that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Shown {
    id: String,
    name: String,
    status: String,
    disks: Vec<ShownDisk>,
    pub(crate) network_interfaces: Vec<Interface>,
    pub(crate) tags: Tags,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) label_fingerprint: String,
    pub(crate) metadata: Metadata,
    service_accounts: Vec<ShownAccount>,
    pub(crate) deletion_protection: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ShownDisk {
    r#type: String,
    source: Option<String>,
    pub(crate) device_name: String,
    boot: bool,
    mode: String,
    pub(crate) auto_delete: bool,
    disk_size_gb: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ShownAccount {
    email: String,
}

impl Shown {
    /// A disk by the name under which the guest finds it.
    pub(crate) fn device(&self, name: &str) -> Option<&ShownDisk> {
        self.disks.iter().find(|disk| disk.device_name == name)
    }
}

/// Encrypted with a key that only the customer has: Google asks for it at every use and shows its SHA-256
/// (Compute Engine: "Encrypt disks with customer-supplied encryption keys").
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct EncryptionKey {
    kms_key_name: Option<String>,
    sha256: Option<String>,
    rsa_encrypted_key: Option<String>,
}

impl EncryptionKey {
    pub(crate) fn is_the_customers(&self) -> bool {
        self.kms_key_name.is_none() && (self.sha256.is_some() || self.rsa_encrypted_key.is_some())
    }
}

impl GceFacts {
    /// Reads an instance resource.
    pub(crate) fn read(shown: Shown, asked: &str) -> Result<Self> {
        let odd = |what: &str| Error::new(Kind::Internal, "compute.instances.get", what).on(asked);
        let nic = |nic: Interface| {
            let network = NetworkRef::parse(&nic.network).ok_or_else(|| odd("the answer has no valid network"))?;
            let v4 = nic.access_configs.into_iter().filter_map(|config| config.nat_ip);
            let v6 = nic.ipv6_access_configs.into_iter().filter_map(|config| config.external_ipv6);
            let external = v4.chain(v6).map(|address| plain(&address, 50)).collect();
            let is_name = nic.name.strip_prefix("nic").is_some_and(|number| number.parse::<u8>().is_ok());
            let name = Some(nic.name).filter(|_| is_name).ok_or_else(|| odd("the answer has an odd interface"))?;
            Ok(Nic { name, network, external })
        };
        let account = shown.service_accounts.into_iter().next().map(|account| account.email.parse());
        Ok(Self {
            id: shown.id.parse().map_err(|_| odd("the answer has no valid id"))?,
            name: shown.name.parse().map_err(|_| odd("the answer has no valid name"))?,
            status: plain(&shown.status, 30),
            disks: shown
                .disks
                .into_iter()
                .map(|disk| attached(disk).ok_or_else(|| odd("the answer has a disk of an unknown form")))
                .collect::<Result<_>>()?,
            nics: shown.network_interfaces.into_iter().map(nic).collect::<Result<_>>()?,
            tags: shown.tags.items,
            service_account: account.transpose().map_err(|_| odd("the answer has no valid service account"))?,
            deletion_protection: shown.deletion_protection,
            created_by: shown.metadata.get("created-by").map(str::to_owned),
            os_login: shown.metadata.os_login(),
            exempt: shown.labels.contains_key(EXEMPT_LABEL),
            labels: shown.labels,
        })
    }

    /// Every network that it is in, once.
    pub fn networks(&self) -> Vec<&NetworkRef> {
        let mut networks: Vec<_> = self.nics.iter().map(|nic| &nic.network).collect();
        networks.sort();
        networks.dedup();
        networks
    }
}

fn attached(disk: ShownDisk) -> Option<AttachedDisk> {
    let kind = match (disk.r#type.as_str(), disk.source.as_deref()) {
        // A disk that cannot be told from a local SSD or another must not be left out silently.
        ("SCRATCH", _) => DiskKind::LocalSsd,
        (_, Some(source)) => DiskKind::Persistent(DiskRef::parse(source)?),
        (_, None) => return None,
    };
    Some(AttachedDisk {
        disk: kind,
        device: plain(&disk.device_name, 63),
        boot: disk.boot,
        writable: disk.mode != "READ_ONLY",
        auto_delete: disk.auto_delete,
        size_gb: disk.disk_size_gb.and_then(|size| size.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_whole_or_not_at_all() {
        let root = "https://www.googleapis.com/compute/v1/";
        let zonal =
            DiskRef::parse(&format!("{root}projects/acme-prod/zones/europe-west1-b/disks/web-1")).expect("zonal");
        assert_eq!(zonal.path(), "projects/acme-prod/zones/europe-west1-b/disks/web-1");
        let regional = DiskRef::parse("projects/example.com:acme-prod/regions/europe-west1/disks/d").expect("regional");
        assert_eq!(regional.project.as_str(), "example.com:acme-prod");
        for bad in [
            "",
            "projects/acme-prod/zones/europe-west1-b/disks/",
            "projects/acme-prod/zones/europe-west1-b/disks/web-1/x",
            "projects/acme-prod/zones/europe-west1/disks/web-1",
            "projects/acme-prod/regions/europe-west1-b/disks/web-1",
            "projects/acme-prod/zones/europe-west1-b/images/web-1",
            "projects/../zones/europe-west1-b/disks/web-1",
            "https://evil.example/storage/v1/projects/acme-prod/zones/europe-west1-b/disks/web-1",
            "http://www.googleapis.com/compute/v1/projects/acme-prod/zones/europe-west1-b/disks/web-1",
        ] {
            assert!(DiskRef::parse(bad).is_none(), "{bad:?} is accepted");
        }
    }

    #[test]
    fn a_network_may_be_in_another_project() {
        let link = "https://www.googleapis.com/compute/v1/projects/acme-host/global/networks/shared";
        assert_eq!(NetworkRef::parse(link).expect("a network").path(), "projects/acme-host/global/networks/shared");
        for bad in [
            "",
            "projects/acme-host/global/networks/",
            "projects/acme-host/global/networks/a/b",
            "projects/acme-host/regions/r/networks/a",
        ] {
            assert!(NetworkRef::parse(bad).is_none(), "{bad:?} is accepted");
        }
    }
}
