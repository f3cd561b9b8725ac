use super::*;

#[test]
fn options_are_read_strictly() {
    let read = |json: &str| serde_json::from_str::<Options>(json);
    assert_eq!(read("{}").expect("the usual").ipv6, Ipv6::Report);
    assert_eq!(read(r#"{"ipv6":"unassign"}"#).expect("reads").ipv6, Ipv6::Unassign);
    for json in [r#"{"ipv6":"remove"}"#, r#"{"ipv4":"unassign"}"#, r#"{"even_if_managed":"yes"}"#] {
        assert!(read(json).is_err(), "{json}");
    }
}

#[test]
fn every_ipv6_address_is_a_change_and_prefixes_are_not() {
    let target = Ec2Instance {
        account: "123456789012".parse().expect("an account"),
        region: "eu-central-1".parse().expect("a region"),
        id: "i-0123456789abcdef0".parse().expect("an id"),
    };
    let interface = Interface {
        id: "eni-0123456789abcdef0".parse().expect("an id"),
        vpc: "vpc-0123456789abcdef0".parse().expect("an id"),
        primary: true,
        groups: Vec::new(),
        public: Vec::new(),
        ipv6: ["2001:db8::1", "2001:db8::2", "2001:db8:1::/80"].map(str::to_owned).to_vec(),
        trunk: false,
        operator: None,
    };
    let changes = unassign(&target, &[interface]);
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change.after == AddressState::Ipv6 { assigned: false }));
}
