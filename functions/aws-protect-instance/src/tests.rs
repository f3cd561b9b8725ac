use stanch_aws::Instance;

use super::*;

#[test]
fn what_ec2_refuses_is_not_asked_for() {
    use Protection::{Shutdown, Stop, Termination};
    let instance =
        |spot: bool, instance_store_root: bool| Instance { spot, instance_store_root, ..Instance::default() };
    let usual = Options::default();
    assert_eq!(wanted(&usual, &instance(false, false)), [Termination, Stop, Shutdown]);
    assert_eq!(wanted(&usual, &instance(true, false)), [Shutdown], "Spot has neither");
    assert_eq!(wanted(&usual, &instance(false, true)), [Termination], "it cannot stop");
    assert_eq!(wanted(&Options { allow_stop: true }, &instance(false, false)), [Termination, Shutdown]);
}

#[test]
fn slots_and_states_of_both_kinds_read_back() {
    type State = Either<ProtectionState, ScalingState>;
    let place = r#""region":"eu-central-1","account":"123456789012","instance":"i-0123456789abcdef0""#;
    for json in [
        format!(r#"{{"slot":"attribute",{place},"protection":"termination"}}"#),
        format!(r#"{{"slot":"volume",{place},"volume":"vol-0123456789abcdef0","device":"/dev/sdf"}}"#),
        format!(r#"{{"slot":"scale_in",{place},"group":"web"}}"#),
    ] {
        let slot: Slots = serde_json::from_str(&json).expect("reads");
        assert_eq!(serde_json::to_string(&slot).expect("writes"), json);
    }
    for (json, one) in [
        (r#"{"protected":true}"#, true),
        (r#"{"deleted_with_instance":false}"#, true),
        (r#"{"protected_from_scale_in":true}"#, false),
        (r#"{"membership":"standby"}"#, false),
    ] {
        let state: State = serde_json::from_str(json).expect("reads");
        assert_eq!(matches!(state, Either::One(_)), one, "{json}");
        assert_eq!(serde_json::to_string(&state).expect("writes"), json);
    }
}
