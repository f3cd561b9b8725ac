use serde_json::json;

use super::*;

fn read(options: serde_json::Value) -> Result<Options, serde_json::Error> {
    serde_json::from_value(options)
}

#[test]
fn options_are_read_or_refused_without_repeating_them() {
    let options = read(json!({"deny": "all", "service_account": "web/shop", "clusters": ["eu-central-1/prod"]}))
        .expect("documented options");
    assert_eq!(options.deny, Deny::All);
    let account = options.service_account.expect("an account");
    assert_eq!((account.namespace.as_str(), account.name.as_str()), ("web", "shop"));
    assert_eq!(options.clusters.expect("clusters")[0].name.as_str(), "prod");
    assert_eq!(read(json!({})).expect("the defaults"), Options::default());
    for wrong in [
        json!({"deny": "newer"}),
        json!({"service_account": "shop"}),
        json!({"service_account": "web/../shop"}),
        json!({"service_account": "$(reboot)/x"}),
        json!({"clusters": ["prod"]}),
        json!({"clusters": ["evil.example/prod"]}),
        json!({"detach": true}),
    ] {
        let error = read(wrong.clone()).expect_err("refused").to_string();
        assert!(!error.contains("reboot") && !error.contains("evil"), "{error}");
    }
}

#[test]
fn a_slot_and_its_states_read_back_as_what_they_were() {
    let states = [
        json!({"policy": null}),
        json!({"policy": "{\"Version\":\"2012-10-17\",\"Statement\":[]}"}),
        json!({"trust": "{}"}),
        json!({"active": true}),
        json!({"attached": false}),
        json!({"association": null}),
        json!({"association": {"role": "arn:aws:iam::123456789012:role/shop", "tags": {"team": "web"}}}),
    ];
    for state in states {
        let read: <Slot as stanch_core::Slot>::State = serde_json::from_value(state.clone()).expect("a state");
        assert_eq!(serde_json::to_value(&read).expect("writes"), state);
    }
    for slot in [
        json!({"slot": "inline_policy", "who": {"role": "shop"}, "bound": true}),
        json!({"slot": "trust_policy", "role": "shop"}),
        json!({"slot": "access_key", "user": "ann", "key": "AKIAEXAMPLEEXAMPLE12"}),
        json!({"slot": "attached_policy", "who": {"user": "ann"}, "policy": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        json!({"region": "eu-central-1", "cluster": "prod", "namespace": "web", "service_account": "shop"}),
    ] {
        let read: Slot = serde_json::from_value(slot.clone()).expect("a slot");
        assert_eq!(serde_json::to_value(&read).expect("writes"), slot);
    }
}
