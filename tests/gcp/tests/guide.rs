//! Google's guide "Mitigating security incidents", each step once by the real `gcloud` and once by the responder: both
//! end in the same state, but for what is deliberately more. And each command that a plan prints, run as it stands, does
//! what the responder does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a test")]

use gcp_allow_bastion::GcpAllowBastion;
use gcp_delete_instance::GcpDeleteInstance;
use gcp_isolate_instance::GcpIsolateInstance;
use gcp_mark_instance::GcpMarkInstance;
use gcp_protect_instance::GcpProtectInstance;
use gcp_release_instance::GcpReleaseInstance;
use gcp_remove_external_ip::GcpRemoveExternalIp;
use gcp_resize_group::GcpResizeGroup;
use gcp_snapshot_disks::GcpSnapshotDisks;
use serde_json::{Value, json};
use stanch_core::{Mode, Responder, Status};
use stanch_gcp::Gcp;
use stanch_gcp_suite::{Bench, Gcloud, PROJECT, ZONE, differences, target};
use stanch_range::gce::{Disk, Group, Instance, Nic};

const KEY: &str = "ana:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const AT: &str = "--zone=europe-west1-b --project=acme-prod";

fn node() -> Instance {
    let nic = Nic::new("default").external("external-nat", "203.0.113.7");
    Instance::new(PROJECT, ZONE, "node-b").disk(Disk::zonal("node-b").boot()).nic(nic).tag("gke-node")
}

/// Two worlds with the same in them: one for `gcloud`, one for the responder.
fn worlds(node: &Instance) -> (Bench, Bench) {
    let world = || {
        let bench = Bench::new();
        bench.gce.seed(node.clone());
        bench.gce.seed(Instance::new(PROJECT, ZONE, "bastion").disk(Disk::zonal("bastion").boot()));
        bench
    };
    (world(), world())
}

async fn apply<R: Responder<Cloud: From<Gcp>>>(bench: &Bench, options: Value) {
    let report = bench.run::<R>(Mode::Apply, &target("node-b"), &options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
}

/// The state with our names put in place of the guide's.
fn renamed(bench: &Bench, ours: &str, guides: &str) -> Value {
    let text = bench.gce.dump(PROJECT).to_string();
    let mut out = String::new();
    let mut rest = text.as_str();
    // `stanch-quarantine-0123abcd` is the guide's tag, and with `-4567cdef-` behind it the beginning of a rule's name.
    while let Some((before, after)) = rest.split_once(ours) {
        out.push_str(before);
        out.push_str(guides);
        let hex =
            |text: &str| text.len() >= 9 && text.starts_with('-') && text[1..9].bytes().all(|c| c.is_ascii_hexdigit());
        rest = after;
        while hex(rest) {
            rest = &rest[9..];
        }
    }
    out.push_str(rest);
    serde_json::from_str(&out).unwrap()
}

/// Where two states differ.
fn places(left: &Value, right: &Value) -> Vec<String> {
    differences(left, right).into_iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn quarantine_by_tag_and_rules() {
    let (by_hand, ours) = worlds(&node());
    let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's quarantine") else { return };
    gcloud.run(&format!("gcloud compute instances add-tags node-b {AT} --tags quarantine"));
    gcloud.run(
        "gcloud compute firewall-rules create quarantine-egress-deny --network default --action deny \
         --direction egress --rules tcp --destination-ranges 0.0.0.0/0 --priority 0 --target-tags quarantine",
    );
    gcloud.run(
        "gcloud compute firewall-rules create quarantine-ingress-deny --network default --action deny \
         --direction ingress --rules tcp --source-ranges 0.0.0.0/0 --priority 1 --target-tags quarantine",
    );
    apply::<GcpIsolateInstance>(&ours, json!({"protocols": "tcp"})).await;
    let found = places(&by_hand.gce.dump(PROJECT), &renamed(&ours, "stanch-quarantine", "quarantine"));
    // Deliberately more: both families, logging, and who did it.
    let mut more = Vec::new();
    for way in ["egress", "ingress"] {
        let rule = format!("/firewalls/quarantine-{way}-deny");
        more.extend(["description", "logConfig/enable", "logConfig/metadata"].map(|field| format!("{rule}/{field}")));
        more.push(format!("{rule}-v6"));
    }
    assert_eq!(found, more);

    // Without the option, all protocols too.
    let (_, ours) = worlds(&node());
    apply::<GcpIsolateInstance>(&ours, json!({})).await;
    let found = places(&by_hand.gce.dump(PROJECT), &renamed(&ours, "stanch-quarantine", "quarantine"));
    more.extend(["egress", "ingress"].map(|way| format!("/firewalls/quarantine-{way}-deny/denied")));
    more.sort();
    let mut found = found;
    found.sort();
    assert_eq!(found, more);
}

#[tokio::test]
async fn removal_of_the_external_address() {
    let (by_hand, ours) = worlds(&node());
    let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's delete-access-config") else { return };
    gcloud.run(&format!("gcloud compute instances delete-access-config node-b {AT} --access-config-name external-nat"));
    apply::<GcpRemoveExternalIp>(&ours, json!({})).await;
    assert_eq!(places(&by_hand.gce.dump(PROJECT), &ours.gce.dump(PROJECT)), [""; 0]);
}

#[tokio::test]
async fn the_way_in_by_an_intermediate_instance() {
    let (by_hand, ours) = worlds(&node().tag("quarantine").metadata("serial-port-enable", "true"));
    let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's bastion") else { return };
    let file = gcloud.folder().join("keys");
    std::fs::write(&file, KEY).unwrap();
    let file = file.display();
    gcloud.run(&format!("gcloud compute instances add-metadata node-b {AT} --metadata-from-file ssh-keys={file}"));
    gcloud.run(&format!("gcloud compute instances add-tags bastion {AT} --tags intermediate"));
    gcloud.run(
        "gcloud compute firewall-rules create quarantine-ingress-allow --network default --action allow \
         --direction ingress --rules tcp:22 --source-tags intermediate --priority 0 --target-tags quarantine",
    );
    apply::<GcpAllowBastion>(&ours, json!({"bastion": "bastion", "public_key": KEY})).await;
    let text = renamed(&ours, "stanch-bastion", "intermediate").to_string();
    let text = text.replace("intermediate-ingress-allow", "quarantine-ingress-allow");
    let found = places(&by_hand.gce.dump(PROJECT), &serde_json::from_str(&text).unwrap());
    let rule = "/firewalls/quarantine-ingress-allow";
    let more = ["description", "logConfig/enable", "logConfig/metadata"].map(|field| format!("{rule}/{field}"));
    assert_eq!(found, more);
}

#[tokio::test]
async fn the_snapshot() {
    let (by_hand, ours) = worlds(&node());
    let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's snapshot") else { return };
    gcloud.run(&format!("gcloud compute disks snapshot node-b {AT} --snapshot-names node-b-1"));
    apply::<GcpSnapshotDisks>(&ours, json!({})).await;
    let found = |bench: &Bench| {
        let made = bench.gce.snapshots();
        made.into_iter().map(|one| (one.source_disk, one.status, one.guest_flush)).collect::<Vec<_>>()
    };
    assert_eq!(found(&by_hand), found(&ours));
    assert_eq!(found(&ours).len(), 1);
}

/// The same with the node in a managed group of two, and how `gcloud` is told which one.
fn pools(regional: bool) -> (Bench, Bench, &'static str) {
    let (by_hand, ours) = worlds(&node());
    for bench in [&by_hand, &ours] {
        bench.gce.seed(Instance::new(PROJECT, ZONE, "node-c").disk(Disk::zonal("node-c").boot()));
        let group = if regional {
            Group::regional(PROJECT, "europe-west1", "pool")
        } else {
            Group::zonal(PROJECT, ZONE, "pool")
        };
        bench.gce.seed_group(group.member("europe-west1-b/node-b").member("europe-west1-b/node-c"));
    }
    (by_hand, ours, if regional { "pool --region=europe-west1" } else { "pool --zone=europe-west1-b" })
}

/// The one group of a state.
fn pool(bench: &Bench) -> Value {
    let all = bench.gce.dump(PROJECT);
    let groups = all["groups"].as_object().unwrap();
    assert_eq!(groups.len(), 1);
    groups.values().next().unwrap().clone()
}

const MEMBER: &str = "--instances=zones/europe-west1-b/instances/node-b";

#[tokio::test]
async fn the_way_out_of_a_group() {
    for regional in [false, true] {
        let (by_hand, ours, group) = pools(regional);
        let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's abandon-instances") else { return };
        gcloud.run(&format!("gcloud compute instance-groups managed abandon-instances {group} {MEMBER}"));
        apply::<GcpReleaseInstance>(&ours, json!({})).await;
        assert_eq!(places(&by_hand.gce.dump(PROJECT), &ours.gce.dump(PROJECT)), [""; 0]);
        let left = json!({"targetSize": 1, "members": [["europe-west1-b", "node-c"]]});
        assert_eq!(pool(&ours), left, "it did leave");
        assert!(ours.gce.dump(PROJECT)["instances"].get("europe-west1-b/node-b").is_some(), "and runs on");
    }
}

#[tokio::test]
async fn a_larger_group() {
    for regional in [false, true] {
        let (by_hand, ours, group) = pools(regional);
        let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's resize") else { return };
        gcloud.run(&format!("gcloud compute instance-groups managed resize {group} --size=4"));
        apply::<GcpResizeGroup>(&ours, json!({"size": 4})).await;
        assert_eq!(places(&by_hand.gce.dump(PROJECT), &ours.gce.dump(PROJECT)), [""; 0]);
        let (size, members) = (&pool(&ours)["targetSize"], pool(&ours)["members"].as_array().unwrap().len());
        assert_eq!((size, members), (&json!(4), 4));
    }
}

#[tokio::test]
async fn a_deletion_that_the_group_is_told_of() {
    for regional in [false, true] {
        let (by_hand, ours, group) = pools(regional);
        let Some(gcloud) = Gcloud::find(&by_hand.gce, "the guide's delete-instances") else { return };
        gcloud.run(&format!("gcloud compute disks snapshot node-b {AT} --snapshot-names node-b-1"));
        gcloud.run(&format!("gcloud compute instance-groups managed delete-instances {group} {MEMBER}"));
        // Ours refuses without the evidence.
        apply::<GcpSnapshotDisks>(&ours, json!({"wait": true})).await;
        apply::<GcpDeleteInstance>(&ours, json!({})).await;
        // The evidence has other names and labels: that is compared by itself.
        assert_eq!(places(&by_hand.gce.dump(PROJECT), &ours.gce.dump(PROJECT)), ["/snapshots"]);
        let left = json!({"targetSize": 1, "members": [["europe-west1-b", "node-c"]]});
        assert_eq!(pool(&ours), left, "no other took its place");
        let all = ours.gce.dump(PROJECT);
        assert!(all["instances"].get("europe-west1-b/node-b").is_none(), "it is gone");
        assert_eq!(all["snapshots"].as_array().unwrap().len(), 1);
    }
}

/// Runs the commands of a plan in one world and the responder in the other.
async fn as_printed<R: Responder<Cloud: From<Gcp>>>((by_hand, ours): (Bench, Bench), options: Value) -> Vec<String> {
    let Some(gcloud) = Gcloud::find(&by_hand.gce, R::NAME) else { return Vec::new() };
    let plan = by_hand.run::<R>(Mode::Plan, &target("node-b"), &options).await;
    assert!(!plan.changes.is_empty(), "{plan:#?}");
    for change in &plan.changes {
        gcloud.run(&change.command);
    }
    apply::<R>(&ours, options).await;
    places(&by_hand.gce.dump(PROJECT), &ours.gce.dump(PROJECT))
}

#[tokio::test]
async fn what_a_plan_prints_is_what_it_does() {
    let node = node().nic(Nic::new("data").external("my nat", "203.0.113.8"));
    // Rules and labels name the record; that of a plan is none.
    let mine = |place: &String| {
        !place.ends_with("/description") && !place.ends_with("/stanch-record") && !place.ends_with("/stanch-since")
    };
    let nothing: [&str; 0] = [];
    let isolate = Box::pin(as_printed::<GcpIsolateInstance>(worlds(&node), json!({}))).await;
    assert_eq!(isolate.into_iter().filter(mine).collect::<Vec<_>>(), nothing);
    assert_eq!(as_printed::<GcpRemoveExternalIp>(worlds(&node), json!({})).await, nothing);
    assert_eq!(as_printed::<GcpProtectInstance>(worlds(&node), json!({})).await, nothing);
    let mark = as_printed::<GcpMarkInstance>(worlds(&node), json!({})).await;
    assert_eq!(mark.into_iter().filter(mine).collect::<Vec<_>>(), nothing);
}

#[tokio::test]
async fn what_a_plan_prints_of_a_group_is_what_it_does() {
    let nothing: [&str; 0] = [];
    for regional in [false, true] {
        let pools = || {
            let (by_hand, ours, _) = pools(regional);
            (by_hand, ours)
        };
        let options = json!({"replace_capacity": true});
        assert_eq!(Box::pin(as_printed::<GcpReleaseInstance>(pools(), options)).await, nothing);
        assert_eq!(Box::pin(as_printed::<GcpResizeGroup>(pools(), json!({"size": 3}))).await, nothing);
        let (by_hand, ours) = pools();
        for bench in [&by_hand, &ours] {
            apply::<GcpSnapshotDisks>(bench, json!({"wait": true})).await;
        }
        let found = Box::pin(as_printed::<GcpDeleteInstance>((by_hand, ours), json!({}))).await;
        assert_eq!(found, nothing);
    }
}
