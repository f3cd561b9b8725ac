use super::*;

fn options(json: &str) -> Options {
    serde_json::from_str(json).expect("options")
}

fn interface(letter: char, vpc: char, public: &[&str], ipv6: &[&str]) -> Interface {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Interface {
        id: format!("eni-0000000000000000{letter}").parse().expect("an id"),
        vpc: format!("vpc-0000000000000000{vpc}").parse().expect("an id"),
        primary: letter == 'a',
        groups: Vec::new(),
        public: texts(public),
        ipv6: texts(ipv6),
        trunk: false,
        operator: None,
    }
}

fn target() -> Ec2Instance {
    Ec2Instance {
        account: "123456789012".parse().expect("an account"),
        region: "eu-central-1".parse().expect("a region"),
        id: "i-0123456789abcdef0".parse().expect("an id"),
    }
}

#[test]
fn a_wrong_option_is_named() {
    let many = format!(r#"{{"allow_from":[{}]}}"#, vec![r#""192.0.2.0/24""#; 61].join(","));
    for (json, field) in [
        (r#"{"allow_from":["0.0.0.0/0"]}"#, "options.allow_from"),
        (r#"{"allow_from":["192.0.2.0/24","::/0"]}"#, "options.allow_from"),
        (many.as_str(), "options.allow_from"),
        (r#"{"group":"sg-0123456789abcdef0","allow_from":["192.0.2.0/24"]}"#, "options.allow_from"),
        (r#"{"group":"sg-0123456789abcdef0","cut_tracked":"on"}"#, "options.cut_tracked"),
    ] {
        let error = check(&options(json)).expect_err(json);
        assert_eq!((error.kind(), error.resource()), (Kind::Invalid, field), "{json}");
    }
    for json in [
        r#"{"cut_tracked":"maybe"}"#,
        r#"{"group":"sg-1;reboot"}"#,
        r#"{"allow_from":["192.0.2.0"]}"#,
        r#"{"force":true}"#,
    ] {
        assert!(serde_json::from_str::<Options>(json).is_err(), "{json}");
    }
}

#[test]
fn auto_opens_nothing_that_the_internet_can_reach() {
    let private = interface('a', 'a', &[], &["fd00::1"]);
    for (others, cut) in [
        (vec![], true),
        (vec![interface('b', 'a', &["198.51.100.7"], &[])], false),
        (vec![interface('b', 'a', &[], &["2001:db8::7"])], false),
        (vec![interface('b', 'a', &[], &["2001:db8:1::/80"])], false),
        (vec![interface('b', 'a', &[], &["fe80::1", "fd12::/64"])], true),
    ] {
        let all = [vec![private.clone()], others].concat();
        assert_eq!(cuts(&options("{}"), &all), cut, "{all:?}");
        assert!(cuts(&options(r#"{"cut_tracked":"on"}"#), &all));
        assert!(!cuts(&options(r#"{"cut_tracked":"off"}"#), &all));
        assert!(!cuts(&options(r#"{"group":"sg-0123456789abcdef0"}"#), &all));
    }
}

#[test]
fn each_vpc_has_a_group_of_its_own() {
    let all = [interface('a', 'a', &[], &[]), interface('b', 'b', &[], &[]), interface('c', 'a', &[], &[])];
    assert_eq!(groups(&target(), &options("{}"), &all, false).len(), 2);
    assert_eq!(groups(&target(), &options("{}"), &all, true).len(), 4, "and an open one for cutting");
    assert!(groups(&target(), &options(r#"{"group":"sg-0123456789abcdef0"}"#), &all, false).is_empty());
}
