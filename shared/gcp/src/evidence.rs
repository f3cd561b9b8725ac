//! Whether the disks of an instance were captured for an incident: what must be so before memory or disks are lost.
//!
//! A snapshot counts if it is of this very disk (its numeric id), carries the incident's label and the label of a
//! record, and is not older than a week: a label can be planted, a snapshot of another disk cannot be made to have its
//! id.

use google_cloud_compute_v1::model::{Snapshot, snapshot::Status};
use google_cloud_gax::paginator::ItemPaginator as _;
use jiff::{SignedDuration, Timestamp};
use stanch_core::{IncidentId, Result, names::ProjectId};

use crate::{
    api::GceApi,
    facts::{AttachedDisk, DiskKind, DiskRef},
    fault, mark,
};

/// An incident whose capture is older is another one.
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far a disk's capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Captured {
    /// There is no snapshot for the incident.
    No,
    /// Its content is fixed, and still on its way to where it is kept.
    Uploading,
    /// It can be used.
    Ready,
}

impl GceApi {
    /// How far each persistent disk of an instance is captured for an incident.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn captured(&self, disks: &[AttachedDisk], incident: &IncidentId) -> Result<Vec<(DiskRef, Captured)>> {
        let mut found = Vec::new();
        let mut lists: Vec<(ProjectId, Vec<Snapshot>)> = Vec::new();
        for attached in disks {
            let DiskKind::Persistent(disk) = &attached.disk else { continue };
            // A snapshot is made in the project of its disk.
            if !lists.iter().any(|(project, _)| *project == disk.project) {
                lists.push((disk.project.clone(), self.snapshots_of(&disk.project, incident).await?));
            }
            let snapshots = lists.iter().find(|(project, _)| *project == disk.project).map(|(_, list)| list);
            let id = self.disk(disk).await?.id;
            let best = snapshots.into_iter().flatten().map(|one| captured(one, id.as_str())).max();
            found.push((disk.clone(), best.unwrap_or(Captured::No)));
        }
        Ok(found)
    }

    async fn snapshots_of(&self, project: &ProjectId, incident: &IncidentId) -> Result<Vec<Snapshot>> {
        const LIST: &str = "compute.snapshots.list";
        let filter = format!("labels.stanch-incident={}", mark::label(incident.as_str()));
        let snapshots = self.clients.snapshots().await?;
        let mut items = snapshots.list().set_project(project.as_str()).set_filter(filter).by_item();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            let path = || format!("projects/{project}/global/snapshots");
            all.push(item.map_err(|error| fault::call(LIST, &path(), &error))?);
        }
        Ok(all)
    }
}

fn captured(snapshot: &Snapshot, disk: &str) -> Captured {
    let created = snapshot.creation_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let oldest = Timestamp::now().checked_sub(OLDEST).unwrap_or(Timestamp::MIN);
    if snapshot.source_disk_id.as_deref() != Some(disk)
        || !snapshot.labels.contains_key("stanch-record")
        || created.is_none_or(|created| created < oldest)
    {
        return Captured::No;
    }
    match snapshot.status {
        Some(Status::Ready) => Captured::Ready,
        Some(Status::Uploading) => Captured::Uploading,
        _ => Captured::No,
    }
}
