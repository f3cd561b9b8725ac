//! The contract of every responder, on this one.

use stanch_gcp_suite::{Place, Trial, name, wait};

use super::*;

struct Resize;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Resize>::keeps_the_contract().await;
}

impl Trial for Resize {
    type R = GcpResizeGroup;
    const KEEPS: bool = true;

    fn options() -> Value {
        json!({"size": 3})
    }

    fn plant(bench: &Bench, name: &str) -> Target {
        bench.gce.seed(Instance::new(PROJECT, ZONE, name));
        bench.gce.seed_group(Group::zonal(PROJECT, ZONE, name).member(name));
        target(name)
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        let path = format!("zones/{ZONE}/instanceGroupManagers/{}", name(target));
        let (group, members) = wait(bench.group(&path));
        json!({"size": group["targetSize"], "members": members.len()})
    }

    fn assert_contained(state: &Value) {
        assert_eq!(*state, json!({"size": 3, "members": 3}));
    }

    fn undo_by_hand(bench: &Bench, target: &Target) {
        let name = name(target);
        bench.gce.seed_group(Group::zonal(PROJECT, ZONE, &name).member(&name));
    }
}
