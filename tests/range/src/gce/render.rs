//! State as the JSON that Compute Engine answers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::model::{Attached, Place};
use super::state::{KeptDisk, KeptInstance, KeptSnapshot, Operation, ROOT, Scope, State};
use super::{addresses, instances};

/// Changes whenever the content does, as a fingerprint should. Of format `byte` in the discovery document: URL-safe.
pub(crate) fn fingerprint(of: &impl serde::Serialize) -> String {
    let digest = Sha256::digest(serde_json::to_vec(of).unwrap_or_default());
    URL_SAFE.encode(digest.get(..8).unwrap_or_default())
}

/// The digest by which a customer-supplied key is named.
fn key_digest(raw_key: &str) -> String {
    STANDARD.encode(Sha256::digest(STANDARD.decode(raw_key).unwrap_or_default()))
}

pub(crate) fn instance(state: &State, kept: &KeptInstance) -> Value {
    let seed = &kept.seed;
    let zone = format!("{ROOT}/projects/{}/zones/{}", seed.project, seed.zone);
    let disks: Vec<Value> =
        seed.disks.iter().enumerate().map(|(index, disk)| attached(state, kept, index, disk)).collect();
    let mut out = json!({
        "kind": "compute#instance",
        "id": kept.id.to_string(),
        "creationTimestamp": state.stamp(kept.created),
        "name": seed.name,
        "status": seed.status,
        "zone": zone,
        "machineType": format!("{zone}/machineTypes/e2-medium"),
        "cpuPlatform": "Intel Broadwell",
        "canIpForward": false,
        "deletionProtection": seed.protected,
        "startRestricted": false,
        "disks": disks,
        "labels": seed.labels,
        "labelFingerprint": fingerprint(&seed.labels),
        "tags": instances::tags(seed),
        "metadata": metadata(&seed.metadata),
        "networkInterfaces": addresses::interfaces(kept),
        "scheduling": {"onHostMaintenance": "MIGRATE", "automaticRestart": true, "preemptible": false, "provisioningModel": "STANDARD"},
        "fingerprint": fingerprint(&(kept.id, &seed.labels)),
        "selfLink": format!("{zone}/instances/{}", seed.name),
    });
    if let (Some((email, scopes)), Some(fields)) = (&seed.account, out.as_object_mut()) {
        fields.insert("serviceAccounts".into(), json!([{"email": email, "scopes": scopes}]));
    }
    out
}

/// `metadata` of an instance or a project.
pub(crate) fn metadata(items: &BTreeMap<String, String>) -> Value {
    let list: Vec<Value> = items.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let mut out = json!({"kind": "compute#metadata", "fingerprint": fingerprint(items)});
    if let (false, Some(fields)) = (list.is_empty(), out.as_object_mut()) {
        fields.insert("items".into(), list.into());
    }
    out
}

fn attached(state: &State, kept: &KeptInstance, index: usize, disk: &Attached) -> Value {
    let common = |kind: &str, device: &str, (boot, auto_delete): (bool, bool), size: u64, interface: &str| {
        json!({
            "kind": "compute#attachedDisk",
            "type": kind,
            "mode": "READ_WRITE",
            "deviceName": device,
            "index": index,
            "boot": boot,
            "autoDelete": auto_delete,
            "interface": interface,
            "diskSizeGb": size.to_string(),
        })
    };
    let seed = match disk {
        Attached::LocalSsd => return common("SCRATCH", &format!("local-ssd-{index}"), (false, true), 375, "NVME"),
        Attached::Persistent(seed) => seed,
    };
    let mut out = common("PERSISTENT", &seed.name, (seed.boot, seed.auto_delete), seed.size_gb, "SCSI");
    let scope = match &seed.place {
        Place::Zone(own) => Scope::Zone(own.clone().unwrap_or_else(|| kept.seed.zone.clone())),
        Place::Region { region, .. } => Scope::Region(region.clone()),
    };
    let found = state.disks.iter().find(|kept_disk| {
        kept_disk.project == kept.seed.project && kept_disk.scope == scope && kept_disk.seed.name == seed.name
    });
    if let (Some(fields), Some(kept_disk)) = (out.as_object_mut(), found) {
        fields.insert("source".into(), format!("{ROOT}/{}", kept_disk.resource()).into());
        if let Some(key) = &seed.csek {
            fields.insert("diskEncryptionKey".into(), json!({"sha256": key_digest(key)}));
        }
    }
    out
}

pub(crate) fn disk(state: &State, kept: &KeptDisk) -> Value {
    let (project, link) = (&kept.project, format!("{ROOT}/{}", kept.resource()));
    let scope = format!("{ROOT}/projects/{project}/{}", kept.scope);
    let mut out = json!({
        "kind": "compute#disk",
        "id": kept.id.to_string(),
        "creationTimestamp": state.stamp(kept.created),
        "name": kept.seed.name,
        "sizeGb": kept.seed.size_gb.to_string(),
        "status": "READY",
        "type": format!("{scope}/diskTypes/pd-balanced"),
        "physicalBlockSizeBytes": "4096",
        "labels": kept.seed.labels,
        "labelFingerprint": fingerprint(&kept.seed.labels),
        "users": kept.user.iter().collect::<Vec<_>>(),
        "selfLink": link,
    });
    if let Some(fields) = out.as_object_mut() {
        match &kept.seed.place {
            Place::Zone(_) => drop(fields.insert("zone".into(), scope.into())),
            Place::Region { replicas, .. } => {
                fields.insert("region".into(), scope.into());
                let zones: Vec<String> =
                    replicas.iter().map(|zone| format!("{ROOT}/projects/{project}/zones/{zone}")).collect();
                fields.insert("replicaZones".into(), json!(zones));
            }
        }
        if let Some(key) = &kept.seed.csek {
            fields.insert("diskEncryptionKey".into(), json!({"sha256": key_digest(key)}));
        }
    }
    out
}

pub(crate) fn snapshot(kept: &KeptSnapshot) -> Value {
    let made = &kept.made;
    let mut out = json!({
        "kind": "compute#snapshot",
        "id": made.id.to_string(),
        "creationTimestamp": made.created,
        "name": made.name,
        "status": made.status,
        "snapshotType": "STANDARD",
        "sourceDisk": made.source_disk,
        "sourceDiskId": made.source_disk_id.to_string(),
        "diskSizeGb": made.disk_size_gb.to_string(),
        "storageLocations": made.storage_locations,
        "storageBytes": if made.status == "READY" { "65536" } else { "0" },
        "storageBytesStatus": "UP_TO_DATE",
        "labelFingerprint": fingerprint(&made.labels),
        "selfLink": format!("{ROOT}/projects/{}/global/snapshots/{}", made.project, made.name),
    });
    if let Some(fields) = out.as_object_mut() {
        if !made.labels.is_empty() {
            fields.insert("labels".into(), json!(made.labels));
        }
        if let Some(description) = &made.description {
            fields.insert("description".into(), description.clone().into());
        }
    }
    out
}

pub(crate) fn operation(state: &State, kept: &Operation) -> Value {
    operation_at(state, kept, state.now())
}

/// The answer to the call that began it: what takes any time is never done by then, however busy the machine is.
pub(crate) fn accepted(state: &State, kept: &Operation) -> Value {
    operation_at(state, kept, kept.born)
}

fn operation_at(state: &State, kept: &Operation, now: std::time::Duration) -> Value {
    let status = kept.status(now);
    let scope = format!("{ROOT}/projects/{}/{}", kept.project, kept.scope);
    let mut out = json!({
        "kind": "compute#operation",
        "id": kept.id.to_string(),
        "name": kept.name,
        "operationType": kept.kind,
        "targetLink": kept.target,
        "targetId": kept.target_id.to_string(),
        "status": status,
        "progress": match status { "DONE" => 100, "RUNNING" => 50, _ => 0 },
        "insertTime": state.stamp(kept.born),
        "user": kept.user.clone().unwrap_or_else(|| "anonymous".into()),
        "selfLink": format!("{scope}/operations/{}", kept.name),
    });
    let Some(fields) = out.as_object_mut() else { return out };
    match &kept.scope {
        Scope::Zone(_) => drop(fields.insert("zone".into(), scope.into())),
        Scope::Region(_) => drop(fields.insert("region".into(), scope.into())),
        Scope::Global => {}
    }
    if status != "PENDING" {
        fields.insert("startTime".into(), state.stamp(kept.born + kept.timing.pending).into());
    }
    if status == "DONE" {
        fields.insert("endTime".into(), state.stamp(kept.done_at()).into());
        if let Some(failure) = &kept.failure {
            fields.insert("error".into(), json!({"errors": [{"code": failure.code, "message": failure.message}]}));
            fields.insert("httpErrorStatusCode".into(), failure.status.into());
            fields.insert("httpErrorMessage".into(), failure.message.clone().into());
        }
    }
    out
}
