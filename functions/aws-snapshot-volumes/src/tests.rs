use std::collections::BTreeMap;

use jiff::Timestamp;
use stanch_core::{Cloud, Mark};
use stanch_range::{
    moto::Moto,
    proxy::{Dialect, Proxy, ec2_error},
};

use super::*;

fn volume(letter: char, root: bool) -> Volume {
    let id = format!("vol-0000000000000000{letter}");
    Volume {
        device: format!("/dev/sd{letter}"),
        id: id.parse().expect("a volume id"),
        root,
        delete_on_termination: root,
    }
}

/// A root volume `a` and data volumes `b` and `c`.
fn facts() -> Instance {
    Instance {
        state: "running".to_owned(),
        instance_type: "m5.large".to_owned(),
        volumes: vec![volume('a', true), volume('b', false), volume('c', false)],
        ..Instance::default()
    }
}

fn target() -> Ec2Instance {
    Ec2Instance {
        account: "123456789012".parse().expect("an account"),
        region: "eu-central-1".parse().expect("a region"),
        id: "i-0123456789abcdef0".parse().expect("an id"),
    }
}

fn mark() -> Mark {
    Mark {
        record: "0123456789abcdef01234567".parse().expect("a record id"),
        incident: "case-1".parse().expect("an incident id"),
        opened: Timestamp::now(),
        by: "ann".to_owned(),
    }
}

fn options(json: &str) -> Options {
    serde_json::from_str(json).expect("options")
}

fn ids(set: &SnapshotSet) -> Vec<char> {
    set.volumes.iter().filter_map(|id| id.as_str().chars().last()).collect()
}

#[test]
fn options_choose_the_volumes() {
    for (json, captured) in [
        ("{}", "abc"),
        (r#"{"exclude_boot":true}"#, "bc"),
        (r#"{"exclude_volumes":["vol-0000000000000000b"]}"#, "ac"),
        (r#"{"exclude_volumes":["vol-0000000000000000c","vol-0000000000000000b","vol-0000000000000000c"]}"#, "a"),
        (r#"{"exclude_boot":true,"exclude_volumes":["vol-0000000000000000c"]}"#, "b"),
    ] {
        let set = select(&target(), &options(json), &facts()).expect(json);
        assert_eq!(ids(&set), captured.chars().collect::<Vec<_>>(), "{json}");
    }
}

#[test]
fn a_wrong_option_is_named() {
    for (json, field, text) in [
        (r#"{"exclude_volumes":["vol-0000000000000000f"]}"#, "options.exclude_volumes", "not attached"),
        (r#"{"exclude_volumes":["vol-0000000000000000a"]}"#, "options.exclude_volumes", "use exclude_boot"),
        (
            r#"{"exclude_boot":true,"exclude_volumes":["vol-0000000000000000b","vol-0000000000000000c"]}"#,
            "options.exclude_volumes",
            "every volume",
        ),
        (r#"{"lock":0}"#, "options.lock", "1 to 36500"),
        (r#"{"lock":36501}"#, "options.lock", "1 to 36500"),
    ] {
        let error = select(&target(), &options(json), &facts()).expect_err(json);
        assert_eq!((error.kind(), error.resource()), (Kind::Invalid, field), "{json}");
        assert!(error.message().contains(text), "{error}");
    }
    let mut many = facts();
    many.volumes.extend((0..41).map(|n| Volume {
        device: format!("/dev/x{n}"),
        id: format!("vol-{n:017x}").parse().expect("an id"),
        root: false,
        delete_on_termination: false,
    }));
    let exclude = many.volumes.iter().skip(3).map(|volume| volume.id.clone()).collect();
    let error = select(&target(), &Options { exclude_volumes: exclude, ..Options::default() }, &many).expect_err("41");
    assert_eq!(error.resource(), "options.exclude_volumes");
    for json in
        [r#"{"exclude_boot":"yes"}"#, r#"{"exclude":[]}"#, r#"{"exclude_volumes":["$(reboot)"]}"#, r#"{"lock":-1}"#]
    {
        assert!(serde_json::from_str::<Options>(json).is_err(), "{json}");
    }
}

#[test]
fn an_instance_without_ebs_is_not_for_us() {
    let bare = Instance { volumes: Vec::new(), instance_store_root: true, ..facts() };
    let error = select(&target(), &Options::default(), &bare).expect_err("no volume");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn what_is_not_captured_is_named() {
    let facts = Instance { instance_type: "m5d.large".to_owned(), tags: BTreeMap::new(), ..facts() };
    let options = options(r#"{"exclude_boot":true,"exclude_volumes":["vol-0000000000000000c"]}"#);
    let left: Vec<_> = remaining(&options, &facts, &Evidence::default()).into_iter().map(|it| it.what).collect();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left[0].contains("vol-0000000000000000a (/dev/sda)"), "{left:?}");
    assert!(left[1].contains("vol-0000000000000000c"), "{left:?}");
    assert!(left[2].contains("instance store volumes of m5d.large"), "{left:?}");
    assert!(left[3].contains("memory"), "{left:?}");
}

#[tokio::test]
async fn a_plan_reads_two_things_and_writes_nothing() {
    let moto = Moto::start().expect("moto starts");
    let seeded = moto.seed_instance(3, &[]).expect("plants an instance");
    let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("the proxy starts");
    let target = Ec2Instance {
        account: seeded.account.parse().expect("an account"),
        region: seeded.region.parse().expect("a region"),
        id: seeded.id.parse().expect("an id"),
    };
    let aws = Aws::with(proxy.url(), target.region.clone(), "range", "range");
    let api = aws.connect(&target).await.expect("connects");
    let mut facts = aws.identify(&api, &target).await.expect("identifies").facts;
    let mark = mark();
    let before = moto.describe_snapshots().expect("lists").len();

    let usual = Options::default();
    let scene = Scene { target: &target, options: &usual, facts: &facts, mark: &mark, fresh: false };
    let plan = AwsSnapshotVolumes::plan(&api, &scene).await.expect("plans");
    assert_eq!(plan.stages.len(), 1);
    assert_eq!(proxy.actions(), ["DescribeInstances", "DescribeSnapshots"]);

    let all = options(r#"{"lock":30,"wait":true}"#);
    let scene = Scene { target: &target, options: &all, facts: &facts, mark: &mark, fresh: false };
    let plan = AwsSnapshotVolumes::plan(&api, &scene).await.expect("plans");
    let shape: Vec<usize> = plan.stages.iter().map(Vec::len).collect();
    assert_eq!(shape, [1, 3, 1], "the set, a lock for each volume, the wait");
    assert_eq!(moto.describe_snapshots().expect("lists").len(), before);

    // Another service operates it: tried without doing it, and refused with what to do instead.
    facts.operator = Some("eks.amazonaws.com".to_owned());
    let scene = Scene { target: &target, options: &usual, facts: &facts, mark: &mark, fresh: false };
    AwsSnapshotVolumes::plan(&api, &scene).await.expect("AWS allows it");
    proxy.rewrite(|call| {
        let text = "The operation is not permitted because an operator manages the resource.";
        (call.action.as_deref() == Some("CreateSnapshots")).then(|| ec2_error(400, "OperationNotPermitted", text))
    });
    let error = AwsSnapshotVolumes::plan(&api, &scene).await.expect_err("AWS blocks it");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("k8s-cordon-node"), "{error}");
    assert_eq!(moto.describe_snapshots().expect("lists").len(), before);
}
