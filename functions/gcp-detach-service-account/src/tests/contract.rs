//! The contract of every responder, on this one.

use stanch_gcp_suite::{Place, Trial, name, wait};
use stanch_range::gce::Disk;

use super::*;

struct Detach;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Detach>::keeps_the_contract().await;
}

/// What a person does: stop, set, start.
fn set_account(bench: &Bench, name: &str, body: &Value) {
    wait(async {
        for (verb, body) in [("stop", &Value::Null), ("setServiceAccount", body), ("start", &Value::Null)] {
            let root = bench.gce.endpoint();
            let url = format!("{root}/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/{name}/{verb}");
            let answer = reqwest::Client::new().post(url).json(body).send().await.expect("answers");
            assert!(answer.status().is_success(), "{answer:?}");
        }
    });
}

impl Trial for Detach {
    type R = GcpDetachServiceAccount;

    fn plant(bench: &Bench, name: &str) -> Target {
        let instance = Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot());
        bench.gce.seed(instance.service_account(EMAIL));
        bench.capture_for_contract(name);
        target(name)
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        let found = wait(bench.instance(&name(target)));
        json!({"id": found["id"], "status": found["status"], "accounts": found.get("serviceAccounts")})
    }

    fn assert_contained(state: &Value) {
        assert_eq!((&state["status"], &state["accounts"]), (&json!("RUNNING"), &Value::Null));
    }

    fn drift(bench: &Bench, target: &Target) -> Option<&'static str> {
        set_account(bench, &name(target), &json!({"email": OTHER, "scopes": [SCOPE]}));
        Some("the service account of")
    }

    fn undo_by_hand(bench: &Bench, target: &Target) {
        set_account(bench, &name(target), &json!({"email": EMAIL, "scopes": [SCOPE]}));
    }
}
