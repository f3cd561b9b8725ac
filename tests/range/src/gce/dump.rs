//! The whole of a project as JSON, without what the service assigns anew: ids, times, fingerprints.

use serde_json::{Map, Value, json};

use super::model::Attached;
use super::state::State;

/// What two ways to the same end are compared by.
pub(super) fn project(state: &State, project: &str) -> Value {
    let mut instances = Map::new();
    for kept in state.instances.iter().filter(|kept| kept.seed.project == project) {
        let seed = &kept.seed;
        let disks: Vec<Value> = seed
            .disks
            .iter()
            .map(|disk| match disk {
                Attached::LocalSsd => json!("local-ssd"),
                Attached::Persistent(disk) => json!({"name": disk.name, "autoDelete": disk.auto_delete}),
            })
            .collect();
        let nics: Vec<Value> = seed
            .nics
            .iter()
            .map(|nic| {
                let configs = |list: &[super::seeds::Access]| -> Vec<Value> {
                    list.iter()
                        .map(|access| json!({"name": access.name, "address": access.address, "tier": access.tier, "ptr": access.ptr}))
                        .collect()
                };
                json!({"network": nic.network, "accessConfigs": configs(&nic.access), "ipv6AccessConfigs": configs(&nic.ipv6_access)})
            })
            .collect();
        instances.insert(
            format!("{}/{}", seed.zone, seed.name),
            json!({
                "status": seed.status,
                "tags": seed.tags,
                "labels": seed.labels,
                "metadata": seed.metadata,
                "deletionProtection": seed.protected,
                "serviceAccount": seed.account,
                "disks": disks,
                "nics": nics,
            }),
        );
    }
    let mut firewalls = Map::new();
    for kept in state.firewalls.iter().filter(|kept| kept.project == project) {
        let mut rule = kept.rule.clone();
        rule.insert("network".into(), json!(kept.network));
        firewalls.insert(kept.name.clone(), Value::Object(rule));
    }
    let mut groups = Map::new();
    for kept in state.groups.iter().filter(|kept| kept.seed.project == project) {
        groups.insert(
            format!("{}/{}", kept.seed.scope, kept.seed.name),
            json!({"targetSize": kept.seed.size, "members": kept.seed.members}),
        );
    }
    let mut accounts = Map::new();
    for account in state.accounts.iter().filter(|account| account.project == project) {
        let keys: Vec<Value> = account.keys.iter().map(|key| json!({"id": key.id, "disabled": key.disabled})).collect();
        let policy = json!(account.bindings);
        accounts.insert(account.email.clone(), json!({"disabled": account.disabled, "keys": keys, "policy": policy}));
    }
    let mut snapshots: Vec<Value> = state
        .snapshots
        .iter()
        .filter(|kept| kept.made.project == project)
        .map(|kept| json!({"name": kept.made.name, "disk": kept.made.source_disk, "status": kept.made.status, "labels": kept.made.labels}))
        .collect();
    snapshots.sort_by_key(ToString::to_string);
    let mut disks: Vec<String> =
        state.disks.iter().filter(|disk| disk.project == project).map(super::state::KeptDisk::resource).collect();
    disks.sort();
    json!({
        "instances": instances,
        "firewalls": firewalls,
        "groups": groups,
        "serviceAccounts": accounts,
        "snapshots": snapshots,
        "disks": disks,
    })
}
