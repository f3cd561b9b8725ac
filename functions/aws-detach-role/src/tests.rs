use serde_json::json;

use super::*;

fn read(options: serde_json::Value) -> Result<Options, serde_json::Error> {
    serde_json::from_value(options)
}

#[test]
fn options_are_read_or_refused() {
    assert_eq!(read(json!({})).expect("the defaults").sessions, Sessions::Instance);
    assert_eq!(read(json!({"sessions": "all"})).expect("all").sessions, Sessions::All);
    for wrong in [
        json!({"sessions": "older"}),
        json!({"isolation_profile": "a/b"}),
        json!({"role": "../admin"}),
        json!({"disable_imds": "yes"}),
        json!({"profile": "x"}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_slot_and_its_states_read_back_as_what_they_were() {
    for state in [
        json!({"profile": null}),
        json!({"profile": "arn:aws:iam::123456789012:instance-profile/team/web"}),
        json!({"imds": false}),
        json!({"policy": null}),
    ] {
        let read: <Slot as stanch_core::Slot>::State = serde_json::from_value(state.clone()).expect("a state");
        assert_eq!(serde_json::to_value(&read).expect("writes"), state);
    }
    for slot in [
        json!({"slot": "instance_profile", "region": "eu-central-1", "instance": "i-0123456789abcdef0"}),
        json!({"slot": "metadata_endpoint", "region": "eu-central-1", "instance": "i-0123456789abcdef0"}),
        json!({"slot": "inline_policy", "who": {"role": "web"}, "bound": false}),
    ] {
        let read: Slot = serde_json::from_value(slot.clone()).expect("a slot");
        assert_eq!(serde_json::to_value(&read).expect("writes"), slot);
    }
}

#[test]
fn the_role_of_a_detached_profile_is_known_from_the_record() {
    let inline = |name: &str| {
        let who = Who::Role(name.parse().expect("a name"));
        let state = || IamState::InlinePolicy { policy: None };
        Change { slot: IamSlot::InlinePolicy(Inline::new(who, false)), before: state(), after: state() }.other()
    };
    assert_eq!(role_of(&[]), None);
    assert_eq!(role_of(&[inline("web")]).expect("a role").as_str(), "web");
}
