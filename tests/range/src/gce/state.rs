//! The simulator's memory and its clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::error::Refusal;
use super::model::{Attached, Disk, Instance, OperationFailure, Place, Snapshot, Timing, region_of};
use crate::host::{Call, rfc3339};

/// What the real service writes into links, whatever the endpoint.
pub(crate) const ROOT: &str = "https://www.googleapis.com/compute/v1";

#[derive(Debug)]
pub(crate) struct State {
    started: (Instant, Timestamp),
    skew: Duration,
    next_id: u64,
    pub(crate) timing: Timing,
    pub(crate) projects: BTreeSet<String>,
    pub(crate) zones: BTreeSet<String>,
    pub(crate) instances: Vec<KeptInstance>,
    pub(crate) disks: Vec<KeptDisk>,
    pub(crate) snapshots: Vec<KeptSnapshot>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) allowed: BTreeMap<String, BTreeSet<String>>,
    pub(crate) refusals: Vec<(String, Refusal, usize)>,
    pub(crate) failures: VecDeque<OperationFailure>,
    pub(crate) log: Vec<Call>,
}

#[derive(Clone, Debug)]
pub(crate) struct KeptInstance {
    pub(crate) id: u64,
    pub(crate) seed: Instance,
    pub(crate) created: Duration,
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
            timing: Timing::default(),
            projects: BTreeSet::new(),
            zones: BTreeSet::new(),
            instances: Vec::new(),
            disks: Vec::new(),
            snapshots: Vec::new(),
            operations: Vec::new(),
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

    pub(crate) fn seed(&mut self, seed: Instance) -> u64 {
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

    /// Brings the snapshots up to the clock: their status follows their operation's.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
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
