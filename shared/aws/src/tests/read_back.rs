//! What the ledger keeps of a slot is what comes back, and what is printed can be typed.

use serde::{Serialize, de::DeserializeOwned};
use stanch_core::Slot;

use super::bed::now;
use crate::{
    AddressSlot, AddressState, IsolationSlot, IsolationState, ProtectionSlot, ProtectionState, TagSlot, TagState,
};

const PLACE: &str = r#""region":"eu-central-1","account":"123456789012""#;

/// Reads, writes the same again, and prints the command of each state.
fn commands<S: Slot>(slot: &str, states: &[&str]) -> Vec<String>
where
    S::State: Serialize + DeserializeOwned,
{
    let read: S = serde_json::from_str(slot).expect(slot);
    assert_eq!(serde_json::to_string(&read).expect("writes"), slot);
    let each = states.iter().map(|json| {
        let state: S::State = serde_json::from_str(json).expect(json);
        assert_eq!(serde_json::to_string(&state).expect("writes"), *json);
        read.command(&state, &now())
    });
    each.collect()
}

#[test]
fn isolation() {
    let group = format!(r#"{{"slot":"group",{PLACE},"vpc":"vpc-0123456789abcdef0","rules":{{"closed":[]}}}}"#);
    let made = commands::<IsolationSlot>(&group, &[r#"{"group":"ready"}"#, r#"{"group":"absent"}"#]);
    assert!(made[0].starts_with(
        "aws ec2 create-security-group --region eu-central-1 --vpc-id vpc-0123456789abcdef0 --group-name stanch-quarantine-"
    ));
    assert!(made[0].contains(" && aws ec2 revoke-security-group-egress "), "{}", made[0]);
    assert!(made[1].starts_with("aws ec2 delete-security-group "), "{}", made[1]);

    let interface = format!(
        r#"{{"slot":"interface",{PLACE},"instance":"i-0123456789abcdef0","interface":"eni-0123456789abcdef0","vpc":"vpc-0123456789abcdef0","rules":{{"closed":["192.0.2.0/24"]}},"cut_tracked":true}}"#
    );
    let set = "aws ec2 modify-network-interface-attribute --region eu-central-1 --network-interface-id eni-0123456789abcdef0 --groups ";
    let swapped = commands::<IsolationSlot>(
        &interface,
        &[
            r#"{"quarantine":"stanch-quarantine-0011aabb"}"#,
            r#"{"groups":["sg-0123456789abcdef0","sg-0123456789abcdef1"]}"#,
        ],
    );
    assert_eq!(swapped[0].matches(set).count(), 2, "opened, then closed: {}", swapped[0]);
    assert_eq!(swapped[1], format!("{set}sg-0123456789abcdef0 sg-0123456789abcdef1"));

    // Another way of writing is the same place: its first before stays the one to restore.
    let other = interface.replace(r#""cut_tracked":true"#, r#""cut_tracked":false"#);
    let read = |json: &str| serde_json::from_str::<IsolationSlot>(json).expect("reads");
    assert_eq!(read(&interface), read(&other));
    assert_ne!(read(&interface), read(&interface.replace("eni-0123456789abcdef0", "eni-0123456789abcdef1")));
    let state = |json: &str| serde_json::from_str::<IsolationState>(json).expect("reads");
    assert!(read(&interface).halfway(&state(r#"{"untracked":"stanch-untracked-0011aabb"}"#)));
    assert!(!read(&interface).halfway(&state(r#"{"quarantine":"stanch-quarantine-0011aabb"}"#)));
}

#[test]
fn protections() {
    let attribute =
        format!(r#"{{"slot":"attribute",{PLACE},"instance":"i-0123456789abcdef0","protection":"shutdown"}}"#);
    assert_eq!(
        commands::<ProtectionSlot>(&attribute, &[r#"{"protected":true}"#, r#"{"protected":false}"#]),
        ["stop", "terminate"].map(|value| format!(
            "aws ec2 modify-instance-attribute --region eu-central-1 --instance-id i-0123456789abcdef0 \
             --instance-initiated-shutdown-behavior Value={value}"
        ))
    );
    let volume = format!(
        r#"{{"slot":"volume",{PLACE},"instance":"i-0123456789abcdef0","volume":"vol-0123456789abcdef0","device":"/dev/sdf"}}"#
    );
    let kept = commands::<ProtectionSlot>(&volume, &[r#"{"deleted_with_instance":false}"#]);
    assert!(
        kept[0]
            .ends_with(r#"--block-device-mappings '[{"DeviceName":"/dev/sdf","Ebs":{"DeleteOnTermination":false}}]'"#)
    );
    assert_eq!(
        ProtectionState::Attribute { protected: true },
        serde_json::from_str(r#"{"protected":true}"#).expect("reads")
    );
}

#[test]
fn addresses() {
    let elastic =
        format!(r#"{{"slot":"elastic",{PLACE},"allocation":"eipalloc-0123456789abcdef0","public":"198.51.100.7"}}"#);
    let moved = commands::<AddressSlot>(
        &elastic,
        &[r#"{"associated":null}"#, r#"{"associated":{"interface":"eni-0123456789abcdef0","private":"10.0.0.7"}}"#],
    );
    assert!(moved[0].starts_with("aws ec2 disassociate-address --region eu-central-1 --association-id \"$(aws ec2 "));
    assert!(moved[1].ends_with("--private-ip-address 10.0.0.7 --no-allow-reassociation"), "{}", moved[1]);
    let auto = format!(r#"{{"slot":"auto_assign",{PLACE},"interface":"eni-0123456789abcdef0"}}"#);
    let auto = commands::<AddressSlot>(&auto, &[r#"{"auto_assign":false}"#]);
    assert!(auto[0].ends_with(" --no-associate-public-ip-address"), "{}", auto[0]);
    let ipv6 = format!(r#"{{"slot":"ipv6",{PLACE},"interface":"eni-0123456789abcdef0","address":"2001:db8::1"}}"#);
    let ipv6 = commands::<AddressSlot>(&ipv6, &[r#"{"assigned":false}"#, r#"{"assigned":true}"#]);
    assert!(
        ipv6[0].starts_with("aws ec2 unassign-ipv6-addresses") && ipv6[1].starts_with("aws ec2 assign-ipv6-addresses")
    );
    assert_ne!(AddressState::Ipv6 { assigned: true }, AddressState::NoAddress { unreachable: true });
}

#[test]
fn tags() {
    let tag = format!(r#"{{"slot":"tag",{PLACE},"instance":"i-0123456789abcdef0","key":"stanch:status"}}"#);
    let commands = commands::<TagSlot>(&tag, &[r#"{"tag":"it's $(odd)"}"#, r#"{"tag":null}"#]);
    assert!(commands[0].ends_with(r#"--tags '[{"Key":"stanch:status","Value":"it'\''s $(odd)"}]'"#), "{}", commands[0]);
    assert!(commands[1].starts_with("aws ec2 delete-tags "), "{}", commands[1]);
    assert_eq!(TagState { tag: None }, serde_json::from_str(r#"{"tag":null}"#).expect("reads"));
}
