//! The contract of every responder, on this one.

use stanch_gcp_suite::{Place, Trial, name, wait};

use super::*;

struct Delete;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Delete>::keeps_the_contract().await;
}

fn seed(bench: &Bench, name: &str, id: Option<u64>) -> u64 {
    let instance = Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot());
    let id = bench.gce.seed(match id {
        Some(id) => instance.id(id),
        None => instance,
    });
    bench.capture_for_contract(name);
    id
}

impl Trial for Delete {
    type R = GcpDeleteInstance;
    const KEEPS: bool = true;

    fn plant(bench: &Bench, name: &str) -> Target {
        numbered(Some(name), Some(seed(bench, name, None)))
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        json!(wait(bench.instance(&name(target))) != Value::Null)
    }

    fn assert_contained(state: &Value) {
        assert_eq!(*state, json!(false), "it is still there");
    }

    /// Nobody can; the simulator plants it anew under its number.
    fn undo_by_hand(bench: &Bench, target: &Target) {
        let Target::GceInstance(instance) = target else { panic!("an instance") };
        seed(bench, &name(target), instance.id.as_ref().and_then(|id| id.as_str().parse().ok()));
    }
}
