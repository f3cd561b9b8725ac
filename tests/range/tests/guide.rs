//! The commands of Google's guide "Mitigating security incidents", by the real `gcloud`, each with the state that it
//! must leave.

use serde_json::{Value, json};
use stanch_range::gce::{Disk, Gce, Group, Instance, Nic};

use crate::gcloud::Gcloud;
use crate::{installed, skipped};

const PROJECT: &str = "acme-prod";
const ZONE: &str = "europe-west1-b";
const KEY: &str =
    "ana:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ana@example.com";

fn node(name: &str) -> Instance {
    Instance::new(PROJECT, ZONE, name)
        .disk(Disk::zonal(name).boot())
        .nic(Nic::new("default").external("external-nat", "203.0.113.7"))
        .tag("gke-node")
}

fn planted() -> Gce {
    let gce = Gce::start().unwrap();
    for name in ["node-a", "node-b", "node-c"] {
        gce.seed(node(name));
    }
    gce.seed(Instance::new(PROJECT, ZONE, "bastion").disk(Disk::zonal("bastion").boot()));
    gce.seed_group(Group::zonal(PROJECT, ZONE, "pool").member("node-a").member("node-b").member("node-c"));
    gce
}

fn at(gce: &Gce, pointer: &str) -> Value {
    gce.dump(PROJECT).pointer(pointer).cloned().unwrap_or(Value::Null)
}

#[test]
fn the_guide_runs_by_gcloud() {
    if !installed("gcloud") {
        return skipped("gcloud is not installed");
    }
    let gce = planted();
    let gcloud = Gcloud::new(&gce);
    let node = "/instances/europe-west1-b~1node-b";

    gcloud.ok("compute disks snapshot node-b --zone europe-west1-b --snapshot-names node-b-1");
    assert_eq!(at(&gce, "/snapshots/0/status"), "READY");

    gcloud.ok("compute instance-groups managed abandon-instances pool --instances=node-b --zone europe-west1-b");
    assert_eq!(
        at(&gce, "/groups/zones~1europe-west1-b~1pool"),
        json!({"targetSize": 2, "members": [[ZONE, "node-a"], [ZONE, "node-c"]]})
    );
    assert_eq!(at(&gce, &format!("{node}/status")), "RUNNING");

    gcloud.ok("compute instances add-tags node-b --zone europe-west1-b --tags quarantine");
    assert_eq!(at(&gce, &format!("{node}/tags")), json!(["gke-node", "quarantine"]));

    gcloud
        .ok("compute firewall-rules create quarantine-egress-deny --network default --action deny --direction egress \
         --rules tcp --destination-ranges 0.0.0.0/0 --priority 0 --target-tags quarantine");
    gcloud.ok(
        "compute firewall-rules create quarantine-ingress-deny --network default --action deny --direction ingress \
         --rules tcp --source-ranges 0.0.0.0/0 --priority 1 --target-tags quarantine",
    );
    assert_eq!(
        at(&gce, "/firewalls/quarantine-egress-deny"),
        json!({
            "network": "default", "direction": "EGRESS", "priority": 0, "denied": [{"IPProtocol": "tcp"}],
            "destinationRanges": ["0.0.0.0/0"], "targetTags": ["quarantine"], "description": "", "disabled": false,
            "logConfig": {"enable": false},
        })
    );

    gcloud.ok("compute instances delete-access-config node-b --zone europe-west1-b --access-config-name external-nat");
    assert_eq!(at(&gce, &format!("{node}/nics/0/accessConfigs")), json!([]));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, KEY).unwrap();
    gcloud.ok(&format!(
        "compute instances add-metadata node-b --zone europe-west1-b --metadata-from-file ssh-keys={}",
        file.display()
    ));
    assert_eq!(at(&gce, &format!("{node}/metadata/ssh-keys")), KEY);
    assert_ne!(at(&gce, &format!("{node}/metadata/created-by")), Value::Null);

    gcloud.ok("compute instances add-tags bastion --zone europe-west1-b --tags intermediate");
    gcloud.ok(
        "compute firewall-rules create quarantine-ingress-allow --network default --action allow --direction ingress \
         --rules tcp:22 --source-tags intermediate --priority 0 --target-tags quarantine",
    );
    assert_eq!(at(&gce, "/firewalls/quarantine-ingress-allow/sourceTags"), json!(["intermediate"]));
    let shown = gcloud.ok("compute instances network-interfaces get-effective-firewalls node-b --zone europe-west1-b \
         --network-interface nic0 --format=json");
    assert_eq!(shown.matches("\"quarantine-").count(), 3, "{shown}");

    gcloud.ok("compute instance-groups managed delete-instances pool --instances=node-c --zone europe-west1-b");
    assert_eq!(at(&gce, "/instances/europe-west1-b~1node-c"), Value::Null);
    gcloud.ok("compute instance-groups managed resize pool --size=3 --zone europe-west1-b");
    assert_eq!(at(&gce, "/groups/zones~1europe-west1-b~1pool/targetSize"), 3);
    assert_eq!(at(&gce, "/groups/zones~1europe-west1-b~1pool/members").as_array().unwrap().len(), 3);
}

#[test]
fn what_google_refuses_is_refused_to_gcloud() {
    if !installed("gcloud") {
        return skipped("gcloud is not installed");
    }
    let gce = planted();
    let gcloud = Gcloud::new(&gce);
    gcloud.refused(
        "compute firewall-rules create both --network default --action deny --direction egress --rules all \
         --destination-ranges 0.0.0.0/0,::/0",
        "cannot be mixed",
    );
    gcloud.refused(
        "compute instances update node-b --zone europe-west1-b --deletion-protection",
        "managed instance group",
    );
    gcloud.refused(
        "compute instance-groups managed abandon-instances pool --instances=bastion --zone europe-west1-b",
        "not a member",
    );
    gcloud.refused(
        "compute instances set-service-account node-b --zone europe-west1-b --no-service-account --no-scopes",
        "must be stopped",
    );
}
