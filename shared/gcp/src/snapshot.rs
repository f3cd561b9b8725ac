//! The snapshot that a record has of a disk.
//!
//! Taken by `disks.createSnapshot` and `regionDisks.createSnapshot`, the calls of Google's guide. The API reference
//! recommends `snapshots.insert` for what those cannot do, such as a snapshot in another project than the disk's;
//! evidence stays with its disk here, and so do the permissions that are needed.
//!
//! A snapshot counts as ours only with our name, our record's label, the disk's numeric id, and a time after the
//! record was opened: a name and a label can be planted. Without a guest flush: that would tell the guest.

use std::time::Duration;

use google_cloud_compute_v1::model::{Operation, Snapshot, operation, snapshot::Status};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Mark, Result, Seen,
    names::{GceId, GceName},
};

use crate::{
    api::GceApi,
    facts::{DiskRef, Place},
    fault, mark,
    slot::{GcpSlot, GcpState, GcpToken},
};

/// A snapshot shows as soon as its operation runs; one that is accepted may be pending before.
pub(crate) const LAG: Duration = Duration::from_secs(30);
/// How far the clock that opened the record may be ahead of Google's.
const SKEW: SignedDuration = SignedDuration::from_mins(2);
/// How many names are tried: each is used up by a snapshot that failed.
const TRIES: u32 = 3;
/// How many request ids are tried: each is used up by an operation that failed, or whose snapshot is gone.
const REQUESTS: u32 = 5;
/// How long one write waits for `READY`. The driver comes back until its own deadline; a write of minutes would
/// outlive it.
const WAIT: Duration = Duration::from_secs(16);
/// How often it looks meanwhile.
const POLL: Duration = Duration::from_secs(2);

/// Where the content of a snapshot is kept: a region or a multi-region such as `eu` (Compute Engine: "About disk
/// snapshots, storage location").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageLocation(String);

impl TryFrom<String> for StorageLocation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if (2..=40).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') {
            return Ok(Self(text));
        }
        Err(Error::invalid("storage_location", "must be a region or multi-region such as europe-west1 or eu"))
    }
}

impl From<StorageLocation> for String {
    fn from(location: StorageLocation) -> Self {
        location.0
    }
}

/// One disk and the name of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSlot {
    /// The disk.
    pub disk: DiskRef,
    /// Its numeric id: a disk made anew under the same name is another.
    pub disk_id: GceId,
    /// The snapshot.
    pub name: GceName,
    /// Where its content is kept; else near the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_location: Option<StorageLocation>,
    /// Its key comes with the order.
    #[serde(default)]
    pub csek: bool,
    /// It counts as taken only when it is ready.
    #[serde(default)]
    pub wait: bool,
}

/// What a look-up found, for the write.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing of ours: the next free name.
    Free(GceName),
    /// Ours, on its way or there.
    Ours(GceName),
}

impl SnapshotSlot {
    /// The slot of a disk in a record.
    ///
    /// # Errors
    /// None that a valid disk name can cause.
    pub fn new(disk: DiskRef, disk_id: GceId, mark: &Mark) -> Result<Self> {
        let name = mark::snapshot_name(mark, &disk.name, &disk_id)
            .ok_or_else(|| Error::new(Kind::Internal, "gcp:name", "no snapshot name fits").on(disk.path()))?;
        Ok(Self { disk, disk_id, name, storage_location: None, csek: false, wait: false })
    }

    pub(crate) fn what(&self) -> String {
        let Self { disk, name, .. } = self;
        let kind = match &disk.place {
            Place::Zone(zone) => format!("disk {} in {zone}", disk.name),
            Place::Region(region) => format!("regional disk {} in {region}", disk.name),
        };
        format!("snapshot {kind} as {name}")
    }

    /// The command of Google's guide, with our name and labels.
    pub(crate) fn command(&self, mark: &Mark) -> String {
        let place = match &self.disk.place {
            Place::Zone(zone) => format!("--zone={zone}"),
            Place::Region(region) => format!("--region={region}"),
        };
        let labels: Vec<_> = mark::labels(mark).iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut words = vec![
            format!("gcloud compute disks snapshot {}", self.disk.name),
            format!("--project={}", self.disk.project),
            place,
            format!("--snapshot-names={}", self.name),
            format!("--labels={}", labels.join(",")),
            mark::quote(&format!("--description={}", mark::description(mark))),
        ];
        words.extend(self.storage_location.as_ref().map(|location| format!("--storage-location={}", location.0)));
        words.extend(self.csek.then(|| "--csek-key-file=KEYS.json".to_owned()));
        words.extend((!self.wait).then(|| "--async".to_owned()));
        words.join(" ")
    }

    pub(crate) async fn look(&self, api: &GceApi, mark: &Mark) -> Result<Seen<GcpSlot>> {
        for number in 1..=TRIES {
            let name = self.numbered(number)?;
            let Some(snapshot) = api.snapshot(&self.disk.project, &name).await? else {
                return Ok(seen(false, Found::Free(name), Vec::new(), None));
            };
            if let Some(why) = self.foreign(&snapshot, mark) {
                let message = format!("a snapshot that we did not make has this name ({why}): planted?");
                return Err(self.error(Kind::Conflict, "compute.snapshots.get", message));
            }
            let status = match snapshot.status {
                Some(Status::Ready) => None,
                // Evidence that failed, or that someone is deleting, is none: the next name is for another attempt.
                Some(Status::Failed | Status::Deleting) => continue,
                Some(Status::Creating) => Some("creating"),
                Some(Status::Uploading) => Some("uploading"),
                _ => Some("in an unknown state"),
            };
            let settling = status.map(|status| format!("snapshot {name} is {status}"));
            let taken = settling.is_none() || !self.wait;
            return Ok(seen(taken, Found::Ours(name.clone()), vec![name.to_string()], settling));
        }
        let message = format!("{TRIES} snapshots of this record failed: delete them to try again");
        Err(self.error(Kind::Conflict, "compute.snapshots.get", message))
    }

    pub(crate) async fn write(&self, to: &GcpState, mark: &Mark, found: &Found, api: &GceApi) -> Result<()> {
        let GcpState::Snapshot { taken: true } = to else {
            return Err(self.error(Kind::Refused, "compute.snapshots.delete", "evidence is not deleted".to_owned()));
        };
        let (name, operation) = match found {
            Found::Ours(name) => (name, None),
            Found::Free(name) => (name, self.create(mark, name, api).await?),
        };
        if self.wait { self.ready(mark, name, operation.as_deref(), api).await } else { Ok(()) }
    }

    /// The answer of a repeated request id is the old operation, for as long as the service remembers it: also when
    /// that one failed, or made a snapshot that has been deleted since. Then the next id makes it try again. The name
    /// keeps it at one snapshot throughout.
    async fn create(&self, mark: &Mark, name: &GceName, api: &GceApi) -> Result<Option<String>> {
        let mut last = None;
        for attempt in 1..=REQUESTS {
            let answer = match self.send(mark, name, attempt, api).await {
                Ok(answer) => answer,
                // Another delivery of this record was faster.
                Err(error) if error.kind() == Kind::Conflict => {
                    return match self.look(api, mark).await {
                        Ok(seen) if matches!(seen.token.0, Found::Ours(_)) => Ok(None),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
            };
            last = match fault::operation(self.method(), &self.disk.path(), &answer) {
                Some(error) => Some(error),
                // A new operation is pending or running; one that is done may be an old one.
                None if answer.status != Some(operation::Status::Done) => return Ok(answer.name),
                None if api.snapshot(&self.disk.project, name).await?.is_some() => return Ok(answer.name),
                None => None,
            };
        }
        let gone = || self.error(Kind::Unavailable, self.method(), "accepted and done, and not there".to_owned());
        Err(last.unwrap_or_else(gone))
    }

    async fn send(&self, mark: &Mark, name: &GceName, attempt: u32, api: &GceApi) -> Result<Operation> {
        let mut body = Snapshot::new()
            .set_name(name.as_str())
            .set_description(mark::description(mark))
            .set_labels(mark::labels(mark))
            .set_storage_locations(self.storage_location.iter().map(|location| location.0.clone()));
        if self.csek {
            let key = api.key(&self.disk.name).ok_or_else(|| {
                let message = "the disk is encrypted with a customer-supplied key, which is never recorded: give it \
                               again with the option csek";
                Error::invalid("options.csek", format!("{message} (disk {})", self.disk.name))
            })?;
            // The same key protects the copy: it is not readable for anyone who could not read the disk.
            body = body.set_source_disk_encryption_key(key.to_model()).set_snapshot_encryption_key(key.to_model());
        }
        let request = mark::request_id(mark, &self.disk_id, name, attempt);
        let (project, disk) = (self.disk.project.as_str(), self.disk.name.as_str());
        match &self.disk.place {
            Place::Zone(zone) => {
                let call = api.clients.disks().await?.create_snapshot().set_body(body).set_request_id(request);
                call.set_project(project).set_zone(zone.as_str()).set_disk(disk).send().await
            }
            Place::Region(region) => {
                let call = api.clients.region_disks().await?.create_snapshot().set_body(body).set_request_id(request);
                call.set_project(project).set_region(region.as_str()).set_disk(disk).send().await
            }
        }
        .map_err(|error| fault::call(self.method(), &self.disk.path(), &error))
    }

    /// Waits until it is ready, or says that it is not.
    async fn ready(&self, mark: &Mark, name: &GceName, operation: Option<&str>, api: &GceApi) -> Result<()> {
        let mut status = "not shown yet";
        for _ in 0..(WAIT.as_secs() / POLL.as_secs()) {
            match api.snapshot(&self.disk.project, name).await? {
                Some(snapshot) if self.foreign(&snapshot, mark).is_some() => {
                    let message = "a snapshot that we did not make took the name".to_owned();
                    return Err(self.error(Kind::Conflict, "compute.snapshots.get", message));
                }
                Some(snapshot) => match snapshot.status {
                    Some(Status::Ready) => return Ok(()),
                    Some(Status::Failed | Status::Deleting) => return Err(self.reason(operation, api).await),
                    _ => status = "not ready yet",
                },
                // It was there, or was accepted, and is not any more.
                None if status == "not ready yet" => return Err(self.reason(operation, api).await),
                // It may have failed before it was first looked for.
                None => {
                    if let Some(error) = self.told(operation, api).await {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.error(Kind::Unavailable, "compute.snapshots.get", format!("snapshot {name} is {status}")))
    }

    /// Why a snapshot that was accepted failed, as far as the operation says.
    async fn reason(&self, operation: Option<&str>, api: &GceApi) -> Error {
        self.told(operation, api).await.unwrap_or_else(|| {
            self.error(Kind::Unavailable, self.method(), "the snapshot failed after it was accepted".to_owned())
        })
    }

    /// The failure that the operation tells of. That it may not be read is one too: else a role that lacks the
    /// permission would only show in failures that say nothing.
    async fn told(&self, operation: Option<&str>, api: &GceApi) -> Option<Error> {
        match self.operation(operation?.to_owned(), api).await {
            Ok(answer) => fault::operation(self.method(), &self.disk.path(), &answer),
            Err(error) => Some(error).filter(|error| error.kind() == Kind::Denied),
        }
    }

    async fn operation(&self, name: String, api: &GceApi) -> Result<Operation> {
        let project = self.disk.project.as_str();
        match &self.disk.place {
            Place::Zone(zone) => {
                let call = api.clients.disks().await?.get_operation().set_operation(name);
                call.set_project(project).set_zone(zone.as_str()).send().await
            }
            Place::Region(region) => {
                let call = api.clients.region_disks().await?.get_operation().set_operation(name);
                call.set_project(project).set_region(region.as_str()).send().await
            }
        }
        .map_err(|error| fault::call("compute.operations.get", &self.disk.path(), &error))
    }

    /// Why a snapshot under our name is not ours.
    fn foreign(&self, snapshot: &Snapshot, mark: &Mark) -> Option<&'static str> {
        if snapshot.source_disk_id.as_deref() != Some(self.disk_id.as_str()) {
            return Some("it is of another disk");
        }
        if snapshot.labels.get("stanch-record").map(String::as_str) != Some(mark.record.as_str()) {
            return Some("it lacks the record's label");
        }
        let created = snapshot.creation_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let earliest = mark.opened.checked_sub(SKEW).unwrap_or(Timestamp::MIN);
        if created.is_none_or(|created| created < earliest) {
            return Some("it is older than the record");
        }
        None
    }

    fn numbered(&self, number: u32) -> Result<GceName> {
        if number == 1 { Ok(self.name.clone()) } else { format!("{}-{number}", self.name).parse() }
    }

    fn method(&self) -> &'static str {
        match self.disk.place {
            Place::Zone(_) => "compute.disks.createSnapshot",
            Place::Region(_) => "compute.regionDisks.createSnapshot",
        }
    }

    fn error(&self, kind: Kind, operation: &str, message: String) -> Error {
        Error::new(kind, operation, message)
            .on(format!("projects/{}/global/snapshots/{}", self.disk.project, self.name))
    }
}

fn seen(taken: bool, found: Found, ids: Vec<String>, settling: Option<String>) -> Seen<GcpSlot> {
    Seen { state: GcpState::Snapshot { taken }, token: GcpToken(found), ids, settling }
}

#[cfg(test)]
mod tests;
