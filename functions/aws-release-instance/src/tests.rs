use super::*;

fn group(min: usize, desired: usize, max: usize, lifecycle: Lifecycle) -> Group {
    Group {
        name: "web".to_owned(),
        min,
        max,
        desired,
        size: desired,
        lifecycle,
        protected: false,
        target_groups: Vec::new(),
        balancers: Vec::new(),
    }
}

fn texts(leaving: &Leaving, group: &Group) -> String {
    leaving.remaining(group).into_iter().map(|it| it.what).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_undo_cannot_do_is_said_beforehand() {
    let plain = |decrement, at_minimum| Leaving { to: Lifecycle::Standby, decrement, refresh: false, at_minimum };
    let roomy = group(1, 2, 3, Lifecycle::InService);
    assert!(texts(&plain(true, false), &roomy).contains("starts no replacement"));
    assert!(texts(&plain(false, false), &roomy).contains("one more"));
    let full = group(1, 3, 3, Lifecycle::InService);
    assert!(texts(&plain(false, false), &full).contains("undo fails at its maximum of 3"));
    let least = group(2, 2, 2, Lifecycle::InService);
    let said = texts(&plain(false, true), &least);
    assert!(said.contains("minimum of 2") && said.contains("undo fails"), "{said}");
    assert_eq!(texts(&plain(false, false), &group(1, 2, 3, Lifecycle::Standby)), "");
}

#[test]
fn each_place_is_a_change() {
    let target = Ec2Instance {
        account: "123456789012".parse().expect("an account"),
        region: "eu-central-1".parse().expect("a region"),
        id: "i-0123456789abcdef0".parse().expect("an id"),
    };
    let arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/6d0ecf831eec9f09".to_owned();
    let registered = Registered {
        targets: vec![(arn.clone(), target.id.to_string(), 80), (arn, "10.0.1.7".to_owned(), 8080)],
        classic: vec!["old".to_owned()],
    };
    let changes = deregistrations(&target, &registered);
    let said: Vec<_> = changes.iter().map(|change| stanch_core::Slot::what(&change.slot, &change.after)).collect();
    assert_eq!(
        said,
        [
            "deregister i-0123456789abcdef0 from web/6d0ecf831eec9f09",
            "deregister 10.0.1.7 from web/6d0ecf831eec9f09",
            "deregister i-0123456789abcdef0 from the classic load balancer old",
        ]
    );
}
