//! What is read of an instance and its disks. The answer of the API is parsed, not trusted: a link becomes a
//! project, a place and a name, or an error.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Result,
    names::{GceId, GceName, Location, ProjectId, ServiceAccountEmail, Zone},
    target::GceInstance,
};

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
    /// Its size in GB, where known.
    pub size_gb: Option<i64>,
    /// It is deleted with the instance.
    pub auto_delete: bool,
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
    /// Everything that is attached.
    pub disks: Vec<AttachedDisk>,
    /// Its network interfaces, the primary one first.
    pub nics: Vec<Nic>,
    /// Its network tags.
    pub tags: Vec<String>,
    /// `RUNNING`, `TERMINATED` …
    pub status: String,
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

impl GceFacts {
    /// A node of GKE Autopilot: Google manages it, and refuses changes to it (GKE: "Autopilot overview"). Its name
    /// begins so, and labels of GKE are on it.
    pub fn is_autopilot(&self) -> bool {
        self.name.as_str().starts_with("gk3-") && self.labels.keys().any(|label| label.starts_with("goog-gke-"))
    }

    /// Reads an instance resource.
    pub(crate) fn read(instance: model::Instance, asked: &str) -> Result<Self> {
        let odd = |what: &str| Error::new(Kind::Internal, "compute.instances.get", what).on(asked);
        let id = instance.id.ok_or_else(|| odd("the answer has no id"))?;
        let name = instance.name.ok_or_else(|| odd("the answer has no name"))?;
        let metadata = instance.metadata.unwrap_or_default();
        let nics = instance.network_interfaces.into_iter();
        Ok(Self {
            id: id.to_string().parse().map_err(|_| odd("the answer has no valid id"))?,
            name: name.parse().map_err(|_| odd("the answer has no valid name"))?,
            disks: instance
                .disks
                .into_iter()
                .map(|disk| attached(disk).ok_or_else(|| odd("the answer has a disk of an unknown form")))
                .collect::<Result<_>>()?,
            nics: nics
                .map(|nic| interface(nic).ok_or_else(|| odd("the answer has an interface of an unknown form")))
                .collect::<Result<_>>()?,
            tags: instance.tags.unwrap_or_default().items,
            created_by: entry(&metadata, "created-by").map(str::to_owned),
            os_login: os_login(&metadata),
            exempt: instance.labels.contains_key(EXEMPT_LABEL),
            status: instance.status.map(|status| status.to_string()).unwrap_or_default(),
            service_account: instance
                .service_accounts
                .into_iter()
                .next()
                .and_then(|account| account.email)
                .map(|email| email.parse().map_err(|_| odd("the answer has a service account of an unknown form")))
                .transpose()?,
            deletion_protection: instance.deletion_protection.unwrap_or(false),
            labels: instance.labels.into_iter().collect(),
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

/// An entry of metadata.
pub(crate) fn entry<'a>(metadata: &'a model::Metadata, key: &str) -> Option<&'a str> {
    metadata.items.iter().find(|item| item.key.as_deref() == Some(key)).and_then(|item| item.value.as_deref())
}

/// What metadata says about OS Login: a bool, in any case (Compute Engine: "Set up OS Login").
pub(crate) fn os_login(metadata: &model::Metadata) -> Option<bool> {
    entry(metadata, "enable-oslogin").map(|value| value.eq_ignore_ascii_case("true"))
}

fn interface(nic: model::NetworkInterface) -> Option<Nic> {
    let name = nic.name.filter(|name| name.strip_prefix("nic").is_some_and(|number| number.parse::<u8>().is_ok()))?;
    let network = NetworkRef::parse(&nic.network?)?;
    let v4 = nic.access_configs.into_iter().filter_map(|config| config.nat_ip);
    let v6 = nic.ipv_6_access_configs.into_iter().filter_map(|config| config.external_ipv_6);
    let external = v4.chain(v6).map(|address| crate::mark::plain(&address, 50)).collect();
    Some(Nic { name, network, external })
}

fn attached(disk: model::AttachedDisk) -> Option<AttachedDisk> {
    use model::attached_disk::{Mode, Type};
    let kind = match (disk.r#type, disk.source.as_deref()) {
        // A disk that cannot be told from a local SSD or another must not be left out silently.
        (Some(Type::Scratch), _) => DiskKind::LocalSsd,
        (_, Some(source)) => DiskKind::Persistent(DiskRef::parse(source)?),
        (_, None) => return None,
    };
    Some(AttachedDisk {
        disk: kind,
        device: crate::mark::plain(disk.device_name.as_deref().unwrap_or("unnamed"), 63),
        boot: disk.boot.unwrap_or(false),
        writable: disk.mode != Some(Mode::ReadOnly),
        size_gb: disk.disk_size_gb,
        auto_delete: disk.auto_delete.unwrap_or(false),
    })
}

/// Encrypted with a key that only the customer has: Google asks for it at every use and shows its SHA-256
/// (Compute Engine: "Encrypt disks with customer-supplied encryption keys").
#[expect(deprecated, reason = "the SDK marks what belongs to customer-supplied keys; disks that have them exist")]
pub(crate) fn needs_key(key: Option<&model::CustomerEncryptionKey>) -> bool {
    key.is_some_and(|key| key.kms_key_name.is_none() && (key.sha256.is_some() || key.rsa_encrypted_key.is_some()))
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
