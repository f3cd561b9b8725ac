//! What a test plants and what it reads back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::seeds::Nic;

/// Where a disk lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one zone: the zone of the instance that it is attached to, unless named.
    Zone(Option<String>),
    /// Replicated between zones of a region.
    Region {
        /// `europe-west1`.
        region: String,
        /// The two zones.
        replicas: Vec<String>,
    },
}

/// A disk to plant.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) size_gb: u64,
    pub(crate) boot: bool,
    pub(crate) csek: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) auto_delete: bool,
}

impl Disk {
    /// A zonal disk of 10 GB, in the zone of its instance.
    pub fn zonal(name: &str) -> Self {
        Self {
            name: name.into(),
            place: Place::Zone(None),
            size_gb: 10,
            boot: false,
            csek: None,
            labels: BTreeMap::new(),
            auto_delete: false,
        }
    }

    /// A zonal disk in a zone of its own.
    pub fn in_zone(name: &str, zone: &str) -> Self {
        Self { place: Place::Zone(Some(zone.into())), ..Self::zonal(name) }
    }

    /// A regional disk of 10 GB, replicated between these zones (of one region; the first names it).
    pub fn regional(name: &str, replicas: &[&str]) -> Self {
        let region = replicas.first().map(|zone| region_of(zone)).unwrap_or_default();
        let replicas = replicas.iter().map(|&zone| zone.to_owned()).collect();
        Self { place: Place::Region { region, replicas }, ..Self::zonal(name) }
    }

    /// Its size.
    #[must_use]
    pub fn size_gb(self, size_gb: u64) -> Self {
        Self { size_gb, ..self }
    }

    /// Marks it as the boot disk, which goes with its instance.
    #[must_use]
    pub fn boot(self) -> Self {
        Self { boot: true, auto_delete: true, ..self }
    }

    /// Whether it goes with its instance.
    #[must_use]
    pub fn auto_delete(self, auto_delete: bool) -> Self {
        Self { auto_delete, ..self }
    }

    /// Encrypts it with a customer-supplied key (base64 of 32 bytes).
    #[must_use]
    pub fn csek(self, raw_key: &str) -> Self {
        Self { csek: Some(raw_key.into()), ..self }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

/// An instance to plant, with its disks.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(crate) project: String,
    pub(crate) zone: String,
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) status: String,
    pub(crate) disks: Vec<Attached>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tags: Vec<String>,
    pub(crate) nics: Vec<Nic>,
    /// E-mail address and scopes.
    pub(crate) account: Option<(String, Vec<String>)>,
    pub(crate) protected: bool,
}

/// What hangs on an instance.
#[derive(Clone, Debug)]
pub(crate) enum Attached {
    Persistent(Disk),
    LocalSsd,
}

/// What a service account of an instance may be used for, unless a test says otherwise.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

impl Instance {
    /// A running instance with no disk yet.
    pub fn new(project: &str, zone: &str, name: &str) -> Self {
        Self {
            project: project.into(),
            zone: zone.into(),
            name: name.into(),
            id: None,
            status: "RUNNING".into(),
            disks: Vec::new(),
            labels: BTreeMap::new(),
            metadata: BTreeMap::new(),
            tags: Vec::new(),
            nics: Vec::new(),
            account: None,
            protected: false,
        }
    }

    /// Its numeric id; else one is made.
    #[must_use]
    pub fn id(self, id: u64) -> Self {
        Self { id: Some(id), ..self }
    }

    /// `RUNNING`, `TERMINATED` …
    #[must_use]
    pub fn status(self, status: &str) -> Self {
        Self { status: status.into(), ..self }
    }

    /// Attaches a persistent disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(Attached::Persistent(disk));
        self
    }

    /// Attaches a local SSD (375 GB, type `SCRATCH`): no snapshot can be taken of it.
    #[must_use]
    pub fn local_ssd(mut self) -> Self {
        self.disks.push(Attached::LocalSsd);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Adds a network interface: `nic0`, `nic1` … Without any, there is one in the network `default`.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Adds a network tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Runs as a service account.
    #[must_use]
    pub fn service_account(self, email: &str) -> Self {
        Self { account: Some((email.into(), vec![SCOPE.into()])), ..self }
    }

    /// Cannot be deleted.
    #[must_use]
    pub fn deletion_protection(self) -> Self {
        Self { protected: true, ..self }
    }

    /// Adds a metadata entry, such as `created-by`.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// A snapshot, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Numeric id.
    pub id: u64,
    /// Its name in the project.
    pub name: String,
    /// The project.
    pub project: String,
    /// `CREATING`, `UPLOADING`, `READY` or `FAILED`.
    pub status: String,
    /// The disk's link, `https://www.googleapis.com/compute/v1/projects/…`.
    pub source_disk: String,
    /// The disk's numeric id.
    pub source_disk_id: u64,
    /// Size of the disk.
    pub disk_size_gb: u64,
    /// One region or multi-region.
    pub storage_locations: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Description.
    pub description: Option<String>,
    /// Whether the guest was asked to flush.
    pub guest_flush: bool,
    /// RFC 3339.
    pub created: String,
    /// The token that asked for it.
    pub by: Option<String>,
}

/// How long things take. All zero = an operation is done when it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// An operation is `PENDING` for this long.
    pub pending: Duration,
    /// Then `RUNNING` with the snapshot `CREATING`.
    pub creating: Duration,
    /// Then `RUNNING` with the snapshot `UPLOADING`; after it `DONE` and `READY`.
    pub uploading: Duration,
}

impl Timing {
    /// Nothing takes any time.
    pub const NONE: Self = Self { pending: Duration::ZERO, creating: Duration::ZERO, uploading: Duration::ZERO };

    /// The same time for each of the three steps.
    pub const fn each(step: Duration) -> Self {
        Self { pending: step, creating: step, uploading: step }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::each(Duration::from_millis(15))
    }
}

/// How an operation fails after it was accepted.
#[derive(Clone, Debug)]
pub struct OperationFailure {
    /// `RESOURCE_OPERATION_RATE_EXCEEDED`, `INTERNAL_ERROR` …
    pub code: String,
    /// In words.
    pub message: String,
    /// `httpErrorStatusCode` of the operation.
    pub status: u16,
    /// Whether a snapshot with status `FAILED` stays behind; else it vanishes.
    pub leaves_failed_snapshot: bool,
}

impl OperationFailure {
    /// Any failure; nothing stays behind.
    pub fn new(code: &str, status: u16, message: &str) -> Self {
        Self { code: code.into(), message: message.into(), status, leaves_failed_snapshot: false }
    }

    /// Too many snapshots of one disk in a short time.
    pub fn rate() -> Self {
        Self {
            code: "RESOURCE_OPERATION_RATE_EXCEEDED".into(),
            message: "Operation rate exceeded for resource. Too frequent operations from the source resource.".into(),
            status: 429,
            leaves_failed_snapshot: false,
        }
    }

    /// Google's own fault; a failed snapshot stays behind.
    pub fn internal() -> Self {
        Self {
            code: "INTERNAL_ERROR".into(),
            message: "Internal error. Please try again or contact Google Support.".into(),
            status: 500,
            leaves_failed_snapshot: true,
        }
    }
}

/// `europe-west1-b` → `europe-west1`.
pub(crate) fn region_of(zone: &str) -> String {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region).to_owned()
}
