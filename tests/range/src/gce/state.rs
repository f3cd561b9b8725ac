//! The simulator's memory and its clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::Refusal;
use super::model::{Attached, Disk, Instance, OperationFailure, Place, Snapshot, Timing, region_of};
use super::seeds::{Account, Group, KeptAddress, KeptGroup, KeptPolicy, Nic};
use crate::host::{Call, rfc3339};

/// What the real service writes into links, whatever the endpoint.
pub(crate) const ROOT: &str = "https://www.googleapis.com/compute/v1";

#[derive(Debug)]
pub(crate) struct State {
    started: (Instant, Timestamp),
    skew: Duration,
    next_id: u64,
    next_ip: u32,
    pub(crate) timing: Timing,
    pub(crate) projects: BTreeSet<String>,
    pub(crate) zones: BTreeSet<String>,
    pub(crate) instances: Vec<KeptInstance>,
    pub(crate) disks: Vec<KeptDisk>,
    pub(crate) snapshots: Vec<KeptSnapshot>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) networks: BTreeSet<(String, String)>,
    pub(crate) firewalls: Vec<KeptFirewall>,
    pub(crate) policies: Vec<KeptPolicy>,
    pub(crate) addresses: Vec<KeptAddress>,
    pub(crate) groups: Vec<KeptGroup>,
    pub(crate) accounts: Vec<Account>,
    /// Metadata of a project, for all its instances.
    pub(crate) common: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) page_size: Option<usize>,
    pub(crate) allowed: BTreeMap<String, BTreeSet<String>>,
    pub(crate) refusals: Vec<(String, Refusal, usize)>,
    /// The part of the path of the call whose operation shall fail, and how.
    pub(crate) failures: VecDeque<(String, OperationFailure)>,
    pub(crate) log: Vec<Call>,
}

#[derive(Clone, Debug)]
pub(crate) struct KeptInstance {
    pub(crate) id: u64,
    pub(crate) seed: Instance,
    pub(crate) created: Duration,
}

impl KeptInstance {
    fn is(&self, project: &str, zone: &str, name: &str) -> bool {
        let named = self.seed.name == name || name.parse() == Ok(self.id);
        named && self.seed.project == project && self.seed.zone == zone
    }

    /// `projects/p/zones/z/instances/i`.
    pub(crate) fn resource(&self) -> String {
        format!("projects/{}/zones/{}/instances/{}", self.seed.project, self.seed.zone, self.seed.name)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct KeptDisk {
    pub(crate) id: u64,
    pub(crate) project: String,
    pub(crate) scope: Scope,
    pub(crate) seed: Disk,
    pub(crate) created: Duration,
    pub(crate) user: Option<String>,
}

impl KeptDisk {
    /// `projects/p/zones/z/disks/d`.
    pub(crate) fn resource(&self) -> String {
        format!("projects/{}/{}/disks/{}", self.project, self.scope, self.seed.name)
    }

    pub(crate) fn region(&self) -> String {
        match &self.scope {
            Scope::Zone(zone) => region_of(zone),
            Scope::Region(region) => region.clone(),
            Scope::Global => String::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct KeptSnapshot {
    pub(crate) made: Snapshot,
    pub(crate) created: Duration,
    pub(crate) operation: u64,
}

/// What an operation does when it is done.
pub(crate) type Effect = Box<dyn FnOnce(&mut State) -> Result<(), OperationFailure> + Send>;

/// An accepted change that has not taken place.
pub(crate) struct Pending {
    pub(crate) operation: u64,
    pub(crate) effect: Effect,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({})", self.operation)
    }
}

/// A VPC firewall rule, as it is answered but for id and time.
#[derive(Clone, Debug)]
pub(crate) struct KeptFirewall {
    pub(crate) id: u64,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) created: Duration,
    pub(crate) rule: serde_json::Map<String, serde_json::Value>,
}

/// The three scopes of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Zone(String),
    Region(String),
    Global,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zone(zone) => write!(f, "zones/{zone}"),
            Self::Region(region) => write!(f, "regions/{region}"),
            Self::Global => f.write_str("global"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) scope: Scope,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) target_id: u64,
    pub(crate) request: Option<(String, String)>,
    pub(crate) born: Duration,
    pub(crate) timing: Timing,
    pub(crate) failure: Option<OperationFailure>,
    pub(crate) user: Option<String>,
}

impl Operation {
    pub(crate) fn done_at(&self) -> Duration {
        self.born + self.timing.pending + self.timing.creating + self.timing.uploading
    }

    pub(crate) fn status(&self, now: Duration) -> &'static str {
        if now >= self.done_at() {
            "DONE"
        } else if now >= self.born + self.timing.pending {
            "RUNNING"
        } else {
            "PENDING"
        }
    }
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            started: (Instant::now(), Timestamp::now()),
            skew: Duration::ZERO,
            next_id: 4_100_000_000_000_000_001,
            next_ip: 4,
            timing: Timing::default(),
            projects: BTreeSet::new(),
            zones: BTreeSet::new(),
            instances: Vec::new(),
            disks: Vec::new(),
            snapshots: Vec::new(),
            operations: Vec::new(),
            pending: Vec::new(),
            networks: BTreeSet::new(),
            firewalls: Vec::new(),
            policies: Vec::new(),
            addresses: Vec::new(),
            groups: Vec::new(),
            accounts: Vec::new(),
            common: BTreeMap::new(),
            page_size: None,
            allowed: BTreeMap::new(),
            refusals: Vec::new(),
            failures: VecDeque::new(),
            log: Vec::new(),
        }
    }

    /// Time since the start, plus what the test skipped.
    pub(crate) fn now(&self) -> Duration {
        self.started.0.elapsed() + self.skew
    }

    pub(crate) fn skip(&mut self, time: Duration) {
        self.skew += time;
    }

    pub(crate) fn stamp(&self, at: Duration) -> String {
        rfc3339(self.started.1.checked_add(at).unwrap_or(Timestamp::MAX))
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 7919;
        self.next_id
    }

    pub(crate) fn seed(&mut self, mut seed: Instance) -> u64 {
        if seed.nics.is_empty() {
            seed.nics.push(Nic::new("default"));
        }
        for nic in &mut seed.nics {
            self.networks.insert((seed.project.clone(), nic.network.clone()));
            if nic.ip.is_none() {
                self.next_ip += 1;
                nic.ip = Some(format!("10.132.{}.{}", self.next_ip / 250, self.next_ip % 250 + 2));
            }
        }
        let id = seed.id.unwrap_or_else(|| self.id());
        let created = self.now();
        self.projects.insert(seed.project.clone());
        self.zones.insert(seed.zone.clone());
        let user = format!("{ROOT}/projects/{}/zones/{}/instances/{}", seed.project, seed.zone, seed.name);
        for disk in &seed.disks {
            if let Attached::Persistent(disk) = disk {
                self.seed_disk(&seed.project, &seed.zone, disk.clone(), Some(user.clone()));
            }
        }
        self.instances.retain(|old| {
            (&old.seed.project, &old.seed.zone, &old.seed.name) != (&seed.project, &seed.zone, &seed.name)
        });
        self.instances.push(KeptInstance { id, seed, created });
        id
    }

    pub(crate) fn seed_disk(&mut self, project: &str, zone: &str, seed: Disk, user: Option<String>) -> u64 {
        let scope = match &seed.place {
            Place::Zone(own) => Scope::Zone(own.clone().unwrap_or_else(|| zone.to_owned())),
            Place::Region { region, .. } => Scope::Region(region.clone()),
        };
        self.projects.insert(project.to_owned());
        match (&scope, &seed.place) {
            (Scope::Zone(zone), _) => drop(self.zones.insert(zone.clone())),
            (_, Place::Region { replicas, .. }) => self.zones.extend(replicas.iter().cloned()),
            _ => {}
        }
        let (id, created) = (self.id(), self.now());
        self.disks.retain(|old| (old.project.as_str(), &old.scope, &old.seed.name) != (project, &scope, &seed.name));
        self.disks.push(KeptDisk { id, project: project.to_owned(), scope, seed, created, user });
        id
    }

    /// Writes into each member who made it, with the number of the project, as Google does.
    #[expect(clippy::panic, reason = "a test planted a group before its members")]
    pub(crate) fn seed_group(&mut self, seed: Group) -> u64 {
        let id = self.id();
        let group = KeptGroup { id, seed };
        for (zone, name) in group.seed.members.clone() {
            let by = format!(
                "projects/{}/{}/instanceGroupManagers/{}",
                project_number(&group.seed.project),
                group.seed.scope,
                group.seed.name
            );
            match self.instance_mut(&group.seed.project, &zone, &name) {
                Some(kept) => drop(kept.seed.metadata.insert("created-by".into(), by)),
                None => panic!("a member must be planted before its group: {zone}/{name}"),
            }
        }
        self.groups.retain(|old| old.resource() != group.resource());
        self.groups.push(group);
        id
    }

    /// By name or number.
    pub(crate) fn instance(&self, project: &str, zone: &str, name: &str) -> Option<&KeptInstance> {
        self.instances.iter().find(|kept| kept.is(project, zone, name))
    }

    pub(crate) fn instance_mut(&mut self, project: &str, zone: &str, name: &str) -> Option<&mut KeptInstance> {
        self.instances.iter_mut().find(|kept| kept.is(project, zone, name))
    }

    pub(crate) fn by_id(&mut self, id: u64) -> Option<&mut KeptInstance> {
        self.instances.iter_mut().find(|kept| kept.id == id)
    }

    /// An ephemeral external address that nobody has.
    pub(crate) fn ephemeral(&mut self) -> String {
        self.next_ip += 1;
        format!("203.0.113.{}", self.next_ip % 250 + 1)
    }

    /// The failure that a test planned for the operation of a call.
    pub(crate) fn planned_failure(&mut self, path: &str) -> Option<OperationFailure> {
        let at = self.failures.iter().position(|(part, _)| path.contains(part.as_str()))?;
        self.failures.remove(at).map(|(_, failure)| failure)
    }

    /// Lets the operations that are done take effect, oldest first, and brings the snapshots up to the clock: their
    /// status follows their operation's.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        let mut due = Vec::new();
        let mut waiting = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let operation = self.operations.iter().find(|operation| operation.id == pending.operation);
            match operation.map(Operation::done_at) {
                Some(at) if at > now => waiting.push(pending),
                Some(at) => due.push((at, pending)),
                None => {}
            }
        }
        self.pending = waiting;
        due.sort_by_key(|(at, _)| *at);
        for (_, Pending { operation, effect }) in due {
            let fails = self.operations.iter().any(|kept| kept.id == operation && kept.failure.is_some());
            if !fails
                && let Err(failure) = effect(self)
                && let Some(kept) = self.operations.iter_mut().find(|kept| kept.id == operation)
            {
                kept.failure = Some(failure);
            }
        }
        let operations = &self.operations;
        self.snapshots.retain_mut(|snapshot| {
            let Some(operation) = operations.iter().find(|operation| operation.id == snapshot.operation) else {
                return true;
            };
            let timing = &operation.timing;
            let failed = operation.failure.as_ref().filter(|_| now >= operation.done_at());
            snapshot.made.status = match failed {
                Some(_) => "FAILED",
                None if now >= operation.done_at() => "READY",
                None if now >= operation.born + timing.pending + timing.creating => "UPLOADING",
                None => "CREATING",
            }
            .into();
            failed.is_none_or(|failure| failure.leaves_failed_snapshot)
        });
    }
}

/// The number that Google gives a project: the same for the same id.
pub(crate) fn project_number(project: &str) -> u64 {
    100_000_000_000 + project.bytes().fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 900_000_000_000)
}
