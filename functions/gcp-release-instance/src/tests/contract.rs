//! The contract of every responder, on this one.

use stanch_gcp_suite::{Place, Trial, name, wait};

use super::*;

struct Release;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Release>::keeps_the_contract().await;
}

fn seed_group(bench: &Bench, name: &str) {
    let spare = format!("{name}-b");
    bench.gce.seed_group(Group::zonal(PROJECT, ZONE, name).member(name).member(&spare));
}

impl Trial for Release {
    type R = GcpReleaseInstance;
    const KEEPS: bool = true;

    fn options() -> Value {
        json!({"replace_capacity": true})
    }

    fn plant(bench: &Bench, name: &str) -> Target {
        bench.gce.seed(Instance::new(PROJECT, ZONE, name));
        bench.gce.seed(Instance::new(PROJECT, ZONE, &format!("{name}-b")));
        seed_group(bench, name);
        target(name)
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        let name = name(target);
        let path = format!("zones/{ZONE}/instanceGroupManagers/{name}");
        let ((group, members), instance) = wait(async { (bench.group(&path).await, bench.instance(&name).await) });
        json!({
            "size": group["targetSize"],
            "members": members.len(),
            "member": members.contains(&name),
            "status": instance["status"],
        })
    }

    fn assert_contained(state: &Value) {
        assert_eq!(*state, json!({"size": 2, "members": 2, "member": false, "status": "RUNNING"}));
    }

    /// Nobody can; the simulator plants the group anew.
    fn undo_by_hand(bench: &Bench, target: &Target) {
        seed_group(bench, &name(target));
    }
}
