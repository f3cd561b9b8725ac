//! The contract of every responder, on this one.

use stanch_core::Target;
use stanch_gcp_suite::{Place, Trial, wait};

use super::*;

struct Contain;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    Place::<Contain>::keeps_the_contract().await;
}

fn email(target: &Target) -> String {
    let Target::GcpServiceAccount(account) = target else { panic!("a service account") };
    account.email.to_string()
}

impl Trial for Contain {
    type R = GcpContainServiceAccount;

    fn options() -> Value {
        json!({"drop_bindings": true, "disable_keys": true, "revive_tokens": true})
    }

    fn plant(bench: &Bench, name: &str) -> Target {
        let email = format!("{name}@acme-prod.iam.gserviceaccount.com");
        bench.gce.seed_account(made(&email));
        account(&email)
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        state_of(bench, &email(target))
    }

    fn assert_contained(state: &Value) {
        assert_eq!((&state["disabled"], &state["workloads"]), (&json!(true), &json!([])));
        let disabled: Vec<_> = state["keys"].as_array().expect("keys").iter().map(|key| key[1].clone()).collect();
        assert_eq!(disabled, [true, true, false]);
        assert_eq!(state["creators"], json!(["user:ana@example.com"]));
    }

    fn drift(bench: &Bench, target: &Target) -> Option<&'static str> {
        wait(let_in(bench, &email(target)));
        Some("speak as")
    }

    /// The same account with the same number, as it was.
    fn undo_by_hand(bench: &Bench, target: &Target) {
        bench.gce.seed_account(made(&email(target)));
    }
}
