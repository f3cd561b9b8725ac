//! Compute Engine v1 as far as containing an instance goes: instances, disks, snapshots, firewalls, addresses, managed
//! groups, operations, permissions; IAM v1 of service accounts; one call of Resource Manager.
//!
//! Links in answers begin with `https://www.googleapis.com/compute/v1`, as the real service writes them whatever
//! the endpoint. Paths are accepted with and without `/compute/v1`.

mod addresses;
mod api;
mod batch;
mod dump;
mod error;
mod filter;
mod firewalls;
mod groups;
mod iam;
mod instances;
mod list;
mod model;
mod render;
mod seeds;
mod snapshots;
mod state;
mod turn;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::Value;

pub use error::Refusal;
pub use model::{Disk, Instance, OperationFailure, Place, Snapshot, Timing};
pub use seeds::{Account, Group, Key, Nic};

use crate::host::{Asked, Call, Host, lock};
use seeds::{KeptAddress, KeptPolicy};
use state::State;

/// The longest that `operations.wait` holds a call: the real service says two minutes.
const WAIT: Duration = Duration::from_mins(2);

/// A running simulator.
#[derive(Debug)]
pub struct Gce {
    host: Host,
    state: Arc<Mutex<State>>,
}

impl Gce {
    /// Starts one on an ephemeral loopback port.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::new()));
        let app = axum::Router::new().fallback({
            let state = Arc::clone(&state);
            move |request: axum::extract::Request| serve(Arc::clone(&state), request)
        });
        Ok(Self { host: Host::router("gce", app)?, state })
    }

    /// `http://127.0.0.1:PORT`, what `google-cloud-compute-v1` takes as its endpoint.
    pub fn endpoint(&self) -> String {
        self.host.url()
    }

    /// What `CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE` takes.
    pub fn gcloud_endpoint(&self) -> String {
        format!("{}/compute/v1/", self.host.url())
    }

    /// Plants an instance with its disks, in place of one of the same name (with a new id: recreated);
    /// answers the numeric id.
    pub fn seed(&self, instance: Instance) -> u64 {
        lock(&self.state).seed(instance)
    }

    /// Plants a disk that hangs on nothing, or replaces one (with a new id); answers the numeric id.
    pub fn seed_disk(&self, project: &str, zone: &str, disk: Disk) -> u64 {
        lock(&self.state).seed_disk(project, zone, disk, None)
    }

    /// Somebody else tags an instance, at this moment.
    pub fn tag_by_hand(&self, project: &str, name: &str, tag: &str) {
        self.by_hand(project, name, |seed| seed.tags.push(tag.to_owned()));
    }

    /// Somebody else takes every tag off that begins so.
    pub fn untag_by_hand(&self, project: &str, name: &str, prefix: &str) {
        self.by_hand(project, name, |seed| seed.tags.retain(|tag| !tag.starts_with(prefix)));
    }

    /// Somebody else labels an instance.
    pub fn label_by_hand(&self, project: &str, name: &str, key: &str, value: &str) {
        self.by_hand(project, name, |seed| drop(seed.labels.insert(key.to_owned(), value.to_owned())));
    }

    /// Somebody else gives the first interface an external address.
    pub fn attach_address(&self, project: &str, name: &str, config: &str, address: &str) {
        self.by_hand(project, name, |seed| {
            if let Some(nic) = seed.nics.first_mut() {
                nic.access.push(seeds::Access::new(config, address, "PREMIUM"));
            }
        });
    }

    /// Somebody else lets an instance be deleted.
    pub fn unprotect_by_hand(&self, project: &str, name: &str) {
        self.by_hand(project, name, |seed| seed.protected = false);
    }

    /// Somebody else deletes every firewall rule of a project.
    pub fn clear_firewalls(&self, project: &str) {
        lock(&self.state).firewalls.retain(|kept| kept.project != project);
    }

    fn by_hand(&self, project: &str, name: &str, edit: impl FnOnce(&mut Instance)) {
        let mut state = lock(&self.state);
        let named = |kept: &&mut state::KeptInstance| kept.seed.project == project && kept.seed.name == name;
        if let Some(kept) = state.instances.iter_mut().find(named) {
            edit(&mut kept.seed);
        }
    }

    /// Takes an instance away; its disks stay.
    pub fn remove_instance(&self, project: &str, name: &str) {
        lock(&self.state).instances.retain(|kept| kept.seed.project != project || kept.seed.name != name);
    }

    /// Takes a disk away, wherever it hangs.
    pub fn remove_disk(&self, project: &str, name: &str) {
        lock(&self.state).disks.retain(|kept| kept.project != project || kept.seed.name != name);
    }

    /// Gives a bearer token exactly these permissions. From the first such call on, others are refused with 401.
    pub fn allow(&self, token: &str, permissions: &[&str]) {
        let permissions = permissions.iter().map(|&one| one.to_owned()).collect();
        lock(&self.state).allowed.insert(token.to_owned(), permissions);
    }

    /// Sets how long operations take from now on.
    pub fn timing(&self, timing: Timing) {
        lock(&self.state).timing = timing;
    }

    /// Moves the simulator's clock, so that no test sleeps for an upload.
    pub fn advance(&self, time: Duration) {
        lock(&self.state).skip(time);
    }

    /// Refuses the next `times` calls whose path contains `part` (such as `/createSnapshot`).
    pub fn refuse(&self, part: &str, refusal: Refusal, times: usize) {
        lock(&self.state).refusals.push((part.to_owned(), refusal, times));
    }

    /// Lets the next snapshot operation fail after it was accepted. Several queue up.
    pub fn fail_operation(&self, failure: OperationFailure) {
        self.fail_operation_on("napshot", failure);
    }

    /// Lets the operation of the next call whose path contains `part` (such as `/setTags`) fail after it was accepted.
    pub fn fail_operation_on(&self, part: &str, failure: OperationFailure) {
        lock(&self.state).failures.push_back((part.to_owned(), failure));
    }

    /// Plants a managed group around instances that are there, and writes `created-by` into them.
    pub fn seed_group(&self, group: Group) -> u64 {
        lock(&self.state).seed_group(group)
    }

    /// Plants a VPC network that no instance is in.
    pub fn seed_network(&self, project: &str, name: &str) {
        lock(&self.state).networks.insert((project.to_owned(), name.to_owned()));
    }

    /// Reserves an external address in a region.
    pub fn seed_address(&self, project: &str, region: &str, name: &str, address: &str) {
        let mut state = lock(&self.state);
        let id = state.id();
        let (project, region) = (project.to_owned(), region.to_owned());
        state.addresses.push(KeptAddress { id, project, region, name: name.to_owned(), address: address.to_owned() });
    }

    /// Plants a firewall rule, as `firewalls.insert` takes it.
    ///
    /// # Panics
    /// When the service would refuse it.
    #[expect(clippy::expect_used, reason = "a test planted a rule that cannot be one")]
    pub fn seed_firewall(&self, project: &str, rule: &Value) {
        let mut state = lock(&self.state);
        state.projects.insert(project.to_owned());
        firewalls::seed(&mut state, project, rule).expect("a rule that the service takes");
    }

    /// Puts a firewall policy in force on every network of a project: `EffectiveFirewallPolicy` of the discovery
    /// document (`name`, `type`, `rules` …).
    pub fn seed_policy(&self, project: &str, policy: Value) {
        lock(&self.state).policies.push(KeptPolicy { project: project.to_owned(), policy });
    }

    /// Plants a service account, or replaces one.
    pub fn seed_account(&self, account: Account) {
        let mut state = lock(&self.state);
        state.projects.insert(account.project.clone());
        state.accounts.retain(|old| old.email != account.email);
        state.accounts.push(account);
    }

    /// A service account as it is now.
    pub fn account(&self, email: &str) -> Option<Account> {
        lock(&self.state).accounts.iter().find(|account| account.email == email).cloned()
    }

    /// Sets metadata of a project, for all its instances.
    pub fn project_metadata(&self, project: &str, key: &str, value: &str) {
        let mut state = lock(&self.state);
        state.common.entry(project.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Sets metadata of an instance, as its own service account may; an empty value takes the entry away.
    pub fn instance_metadata(&self, project: &str, name: &str, key: &str, value: &str) {
        let mut state = lock(&self.state);
        let of = |kept: &&mut state::KeptInstance| kept.seed.project == project && kept.seed.name == name;
        for kept in state.instances.iter_mut().filter(of) {
            let entries = &mut kept.seed.metadata;
            match value {
                "" => drop(entries.remove(key)),
                value => drop(entries.insert(key.to_owned(), value.to_owned())),
            }
        }
    }

    /// The number that stands for a project in what Google writes itself.
    pub fn project_number(project: &str) -> u64 {
        state::project_number(project)
    }

    /// No page of a list is longer than this from now on.
    pub fn page_size(&self, size: usize) {
        lock(&self.state).page_size = Some(size);
    }

    /// The whole of a project without ids, times and fingerprints: what two ways to the same end are compared by.
    pub fn dump(&self, project: &str) -> Value {
        let mut state = lock(&self.state);
        state.settle();
        dump::project(&state, project)
    }

    /// Every snapshot there is, oldest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let mut state = lock(&self.state);
        state.settle();
        state.snapshots.iter().map(|kept| kept.made.clone()).collect()
    }

    /// The numeric id of a disk, by the name within its project.
    pub fn disk_id(&self, project: &str, name: &str) -> Option<u64> {
        let state = lock(&self.state);
        state.disks.iter().find(|disk| disk.project == project && disk.seed.name == name).map(|disk| disk.id)
    }

    /// Every call so far; the parts of a batch count one by one.
    pub fn log(&self) -> Vec<Call> {
        lock(&self.state).log.clone()
    }

    /// The calls that would have changed something.
    pub fn writes(&self) -> Vec<Call> {
        lock(&self.state).log.iter().filter(|call| call.write).cloned().collect()
    }

    /// Forgets the calls so far.
    pub fn clear_log(&self) {
        lock(&self.state).log.clear();
    }
}

async fn serve(state: Arc<Mutex<State>>, request: axum::extract::Request) -> Response {
    let Ok(asked) = Asked::read(request).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if asked.method == Method::POST && asked.path.starts_with("/batch") {
        let Some(parts) = batch::read(&asked) else {
            let refusal = Refusal::new(400, "badRequest", "Failed to parse batch request");
            return json(refusal.status, &refusal.body());
        };
        let mut answers = Vec::new();
        for (id, part) in parts {
            let (status, body) = one(&state, &part).await;
            answers.push((id, status, body));
        }
        let (body, kind) = batch::write(&answers);
        return ([("content-type", kind)], body).into_response();
    }
    let (status, body) = one(&state, &asked).await;
    json(status, &body)
}

async fn one(state: &Mutex<State>, asked: &Asked) -> (u16, Value) {
    if asked.method == Method::POST && asked.path.ends_with("/wait") {
        let name = asked.segments().iter().rev().nth(1).cloned().unwrap_or_default();
        let started = tokio::time::Instant::now();
        // The clock may be moved meanwhile, so look again now and then.
        while started.elapsed() < WAIT {
            let left = {
                let state = lock(state);
                let found = state.operations.iter().find(|kept| kept.name == name);
                found.map_or(Duration::ZERO, |kept| kept.done_at().saturating_sub(state.now()))
            };
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left.min(Duration::from_millis(20))).await;
        }
    }
    api::answer(&mut lock(state), asked)
}

fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("content-type", "application/json; charset=UTF-8")], Body::from(body.to_string())).into_response()
}
