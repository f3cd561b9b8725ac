use std::collections::BTreeMap;

use jiff::Timestamp;
use stanch_aws::{Captured, Volume};
use stanch_core::Mark;

use super::*;

fn volume(letter: char, goes: bool) -> Volume {
    Volume {
        device: format!("/dev/sd{letter}"),
        id: format!("vol-0000000000000000{letter}").parse().expect("an id"),
        root: letter == 'a',
        delete_on_termination: goes,
    }
}

fn snapshot(id: &str, percent: u8) -> Captured {
    let started = Timestamp::UNIX_EPOCH;
    Captured { snapshot: id.to_owned(), started, completed: percent == 100, percent }
}

fn facts() -> Instance {
    let tags = BTreeMap::from([("aws:autoscaling:groupName".to_owned(), "web".to_owned())]);
    Instance {
        instance_type: "m5d.large".to_owned(),
        volumes: vec![volume('a', true), volume('b', false)],
        tags,
        ..Instance::default()
    }
}

#[test]
fn each_volume_needs_a_completed_snapshot() {
    let target = Ec2Instance {
        account: "123456789012".parse().expect("an account"),
        region: "eu-central-1".parse().expect("a region"),
        id: "i-0123456789abcdef0".parse().expect("an id"),
    };
    let mark = Mark {
        record: "0123456789abcdef01234567".parse().expect("a record id"),
        incident: "case-1".parse().expect("an incident"),
        opened: Timestamp::UNIX_EPOCH,
        by: "ann".to_owned(),
    };
    let (facts, options) = (facts(), Options::default());
    let scene = Scene { target: &target, options: &options, facts: &facts, mark: &mark, fresh: true };
    let mut evidence = Evidence::default();
    evidence.captured.insert(facts.volumes[0].id.clone(), snapshot("snap-a", 100));
    let error = captured(&scene, &evidence).expect_err("one is missing");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.message().contains("vol-0000000000000000b (none)"), "{error}");
    assert!(!error.message().contains("vol-0000000000000000a"), "{error}");
    evidence.captured.insert(facts.volumes[1].id.clone(), snapshot("snap-b", 40));
    let error = captured(&scene, &evidence).expect_err("one is pending");
    assert!(error.message().contains("(snap-b is at 40 %)"), "{error}");
    evidence.captured.insert(facts.volumes[1].id.clone(), snapshot("snap-b", 100));
    captured(&scene, &evidence).expect("both are completed");
}

#[test]
fn what_ends_with_it_is_named() {
    let mut evidence = Evidence::default();
    evidence.captured.insert(facts().volumes[0].id.clone(), snapshot("snap-a", 100));
    let left: Vec<_> = remaining(&facts(), &evidence).into_iter().map(|it| it.what).collect();
    assert!(left[0].contains("is deleted with it; captured as snap-a"), "{left:?}");
    assert!(left[1].contains("stays, detached; not captured"), "{left:?}");
    assert!(left[2].contains("instance store"), "{left:?}");
    assert!(left[3].contains("the Auto Scaling group web starts another"), "{left:?}");
}
