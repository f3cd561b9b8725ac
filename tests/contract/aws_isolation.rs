//! EC2 instances of every kind, isolated and let go on moto, and read back by boto3.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_isolate_instance::AwsIsolateInstance;
use serde_json::{Value, json};
use stanch_core::{Cloud, DoneState, Kind, Mode, Responder, Scene, Status, Target};
use stanch_range::proxy::{Fault, ec2_error};
use stanch_tests::{incident, order};

use crate::{
    aws_world::{World, remaining, text},
    ec2,
};

/// Every interface is in the one quarantine group, which lets nothing through.
fn assert_isolated(state: &Value, interfaces: usize) {
    let made = state["groups"].as_array().unwrap();
    let closed: Vec<_> = made.iter().filter(|it| text(it, "GroupName").starts_with("stanch-quarantine-")).collect();
    assert_eq!(closed.len(), 1, "{made:#?}");
    assert_eq!((&closed[0]["IpPermissions"], &closed[0]["IpPermissionsEgress"]), (&json!([]), &json!([])));
    let found = state["interfaces"].as_array().unwrap();
    assert_eq!(found.len(), interfaces);
    for eni in found {
        let groups: Vec<_> = eni["Groups"].as_array().unwrap().iter().map(|it| text(it, "GroupId")).collect();
        assert_eq!(groups, [text(closed[0], "GroupId")], "{eni:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_every_kind_are_isolated_and_come_back_equal() {
    let world = World::new();
    for (kind, interfaces) in [
        (json!({}), 1),
        (json!({"interfaces": [{"groups": 3}, {"groups": 2, "ipv6": 1}]}), 2),
        (json!({"interfaces": [{"ipv6": 2}, {"groups": 2}, {"address": "elastic"}, {"groups": 4}]}), 4),
        (json!({"spot": true, "interfaces": [{"address": "auto"}]}), 1),
        (json!({"stopped": true}), 1),
    ] {
        let target = world.plant(&kind);
        for cut in ["auto", "on", "off"] {
            let contained = world.there_and_back::<AwsIsolateInstance>(&target, json!({"cut_tracked": cut})).await;
            assert_isolated(&contained, interfaces);
        }
    }
    let gone = world.plant(&json!({}));
    world.ec2.on(&gone, "ec2.terminate_instances(InstanceIds=[want])");
    let report = world.run::<AwsIsolateInstance>(Mode::Apply, &gone, Value::Null).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::NotFound)), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn isolation_costs_four_reads_and_one_write_or_two() {
    let world = World::new();
    let first = world.ec2.seed(&json!({}));
    let near = || world.plant(&json!({"vpc": first.vpc, "subnet": first.subnet}));
    world.apply::<AwsIsolateInstance>(&ec2::target(&first), json!({"cut_tracked": "on"})).await;

    world.apply::<AwsIsolateInstance>(&near(), json!({"cut_tracked": "off"})).await;
    let calls =
        ["DescribeInstances", "DescribeSecurityGroups", "ModifyNetworkInterfaceAttribute", "DescribeNetworkInterfaces"];
    let mut made = world.ec2.proxy.actions();
    // A shared group is looked at in its stage as well, if it is at all.
    assert!(world.counted().0 <= 4 && world.counted().1 == 1, "{made:?}");
    made.dedup();
    assert!(calls.iter().all(|call| made.iter().any(|it| it == call)), "{made:?}");

    world.apply::<AwsIsolateInstance>(&near(), json!({"cut_tracked": "on"})).await;
    let writes: Vec<_> = world.ec2.proxy.calls().into_iter().filter(|call| !call.reads()).collect();
    assert_eq!(writes.len(), 2, "{:?}", world.ec2.proxy.actions());
    assert_ne!(writes[0].form("SecurityGroupId.1"), writes[1].form("SecurityGroupId.1"), "opened, then closed");
    let dry = world.ec2.proxy.calls().iter().filter(|call| call.form("DryRun").as_deref() == Some("true")).count();
    assert_eq!(dry, 2, "each was tried before");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_leaving_takes_the_quarantine_group_along() {
    let world = World::new();
    let first = world.ec2.seed(&json!({}));
    let (one, two) = (ec2::target(&first), world.plant(&json!({"vpc": first.vpc, "subnet": first.subnet})));
    for target in [&one, &two] {
        world.apply::<AwsIsolateInstance>(target, Value::Null).await;
    }
    let back = world.revert::<AwsIsolateInstance>(&one).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_isolated(&world.ec2.state(&two), 1);
    let back = world.revert::<AwsIsolateInstance>(&two).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(world.ec2.state(&two)["groups"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opened_quarantine_group_is_closed_again_and_reported() {
    let world = World::new();
    let target = world.plant(&json!({}));
    let before = world.ec2.state(&target);
    world.apply::<AwsIsolateInstance>(&target, json!({"allow_from": ["192.0.2.0/24", "2001:db8::/32"]})).await;
    let contained = world.ec2.state(&target);
    let open = "\
made = [g for g in ec2.describe_security_groups()['SecurityGroups'] if g['GroupName'].startswith('stanch-quarantine-')]
ec2.authorize_security_group_egress(GroupId=made[0]['GroupId'], IpPermissions=[
    {'IpProtocol': '-1', 'IpRanges': [{'CidrIp': '0.0.0.0/0'}]}, {'IpProtocol': '-1', 'Ipv6Ranges': [{'CidrIpv6': '::/0'}]}])
ec2.authorize_security_group_ingress(GroupId=made[0]['GroupId'], IpPermissions=[
    {'IpProtocol': 'tcp', 'FromPort': 22, 'ToPort': 22, 'IpRanges': [{'CidrIp': '0.0.0.0/0'}]}])
";
    world.ec2.on(&target, open);
    assert_ne!(world.ec2.state(&target), contained);
    let again =
        world.apply::<AwsIsolateInstance>(&target, json!({"allow_from": ["192.0.2.0/24", "2001:db8::/32"]})).await;
    let repaired = again.changes.iter().find(|it| it.what.starts_with("make sure of the group stanch-quarantine-"));
    assert!(
        repaired.is_some_and(|it| it.state == DoneState::Applied && it.before == json!({"group": "weak"})),
        "{again:#?}"
    );
    assert_eq!(world.ec2.state(&target), contained);
    // Opened once more, and undone: it goes all the same.
    world.ec2.on(&target, open);
    let back = world.revert::<AwsIsolateInstance>(&target).await;
    assert_eq!((back.status, world.ec2.state(&target)), (Status::Reverted, before), "{back:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_contained_by_hand_stays_so_when_undone() {
    let world = World::new();
    let seeded = world.ec2.seed(&json!({"interfaces": [{"groups": 2}, {}]}));
    let target = ec2::target(&seeded);
    let own = world.ec2.script(
        "\
own = ec2.create_security_group(GroupName='ir', Description='ir', VpcId=want['vpc'])['GroupId']
ec2.modify_network_interface_attribute(NetworkInterfaceId=want['eni'], Groups=[own])
print(json.dumps(own))
",
        &json!({"vpc": seeded.vpc, "eni": seeded.interfaces[1]}),
    );
    let before = world.ec2.state(&target);
    let report = world.apply::<AwsIsolateInstance>(&target, json!({"group": own})).await;
    assert_eq!(report.changes.len(), 1, "the other one is there: {report:#?}");
    assert!(remaining(&report).contains("let traffic through: out -1 0.0.0.0/0"), "{report:#?}");
    for eni in world.ec2.state(&target)["interfaces"].as_array().unwrap() {
        assert_eq!(eni["Groups"][0]["GroupId"], own);
    }
    let again = world.run::<AwsIsolateInstance>(Mode::Apply, &target, json!({"group": own})).await;
    assert_eq!(again.status, Status::Already);
    world.revert::<AwsIsolateInstance>(&target).await;
    assert_eq!(world.ec2.state(&target), before);

    let elsewhere = world.plant(&json!({}));
    let report = world.run::<AwsIsolateInstance>(Mode::Apply, &elsewhere, json!({"group": own})).await;
    assert_eq!(report.error, Some(Kind::Invalid), "{report:#?}");
    assert!(report.reason.is_some_and(|reason| reason.contains("options.group")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_died_open_is_closed_and_never_opened_again() {
    for (fault, nth) in [(Fault::KillAfter, 1), (Fault::KillBefore, 2), (Fault::KillBefore, 1), (Fault::AnswerLost, 1)]
    {
        let world = World::new();
        let target = world.plant(&json!({}));
        let before = world.ec2.state(&target);
        world.ec2.proxy.clear();
        let swap = |call: &stanch_range::proxy::CallInfo| {
            call.action.as_deref() == Some("ModifyNetworkInterfaceAttribute") && !call.reads()
        };
        world.ec2.proxy.fault_on(swap, nth, 1, fault);
        let mut request = order(&world.clock, Mode::Apply, &incident("inc-case"), &target);
        request.order.options = json!({"cut_tracked": "on"});
        let driver = world.driver::<AwsIsolateInstance>();
        let died =
            tokio::select! { _ = Box::pin(driver.run(&request)) => false, () = world.ec2.proxy.killed() => true };
        assert_eq!(died, fault != Fault::AnswerLost);
        if died {
            world.ec2.proxy.clear();
            world.clock.skip(std::time::Duration::from_secs(61));
            // Those that hung since the kill lose their connection, and what is left of the dead comes to its end.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            world.ec2.proxy.clear();
            let report = world.run::<AwsIsolateInstance>(Mode::Apply, &target, json!({"cut_tracked": "on"})).await;
            assert_eq!(report.status, Status::Applied, "{fault:?} {nth}: {report:#?}");
            let closed = world.ec2.state(&target)["interfaces"][0]["Groups"][0]["GroupId"].clone();
            for call in world.ec2.proxy.calls().into_iter().filter(swap) {
                assert_eq!(call.form("SecurityGroupId.1").map(Value::from), Some(closed.clone()), "{fault:?} {nth}");
            }
        }
        assert_isolated(&world.ec2.state(&target), 1);
        let back = world.revert::<AwsIsolateInstance>(&target).await;
        assert_eq!((back.status, world.ec2.state(&target)), (Status::Reverted, before), "{fault:?} {nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_cannot_be_changed_is_named() {
    let world = World::new();
    let seeded = world.ec2.seed(&json!({"interfaces": [{}, {}, {}]}));
    let (target, stuck) = (ec2::target(&seeded), seeded.interfaces[1].clone());
    let one = stuck.clone();
    world.ec2.proxy.rewrite(move |call| {
        let refused = call.action.as_deref() == Some("ModifyNetworkInterfaceAttribute")
            && call.form("NetworkInterfaceId").as_deref() == Some(one.as_str());
        refused.then(|| ec2_error(400, "OperationNotPermitted", "You are not allowed to manage this interface."))
    });
    let report = world.run::<AwsIsolateInstance>(Mode::Apply, &target, json!({"cut_tracked": "off"})).await;
    assert_eq!((report.status, report.error), (Status::Partial, Some(Kind::Unsupported)), "{report:#?}");
    for change in report.changes.iter().filter(|change| change.what.contains("eni-")) {
        assert_eq!(change.state == DoneState::Failed, change.what.contains(&stuck), "{change:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_interfaces_are_found_by_their_trunk_and_operated_ones_are_tried() {
    let world = World::new();
    let seeded = world.ec2.seed(&json!({"interfaces": [{}, {}]}));
    let branch = world.ec2.branch(&seeded);
    // Another node's trunk, which EC2 lists as well.
    world.ec2.branch(&world.ec2.seed(&json!({})));
    let blocked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let blocks = Arc::clone(&blocked);
    world.ec2.proxy.rewrite(move |call| match call.action.as_deref()? {
        "ModifyNetworkInterfaceAttribute" if blocks.load(std::sync::atomic::Ordering::SeqCst) => {
            let text = "The operation is not permitted because an operator manages the resource.";
            Some(ec2_error(400, "OperationNotPermitted", text))
        }
        _ => None,
    });
    let Target::Ec2Instance(target) = ec2::target(&seeded) else { panic!("an instance") };
    let cloud: <AwsIsolateInstance as Responder>::Cloud = world.ec2.aws().into();
    let api = cloud.connect(&target).await.unwrap();
    let mut facts = cloud.identify(&api, &target).await.unwrap().facts;
    let mark = stanch_core::Mark {
        record: "0123456789abcdef01234567".parse().unwrap(),
        incident: incident("inc-case"),
        opened: jiff::Timestamp::now(),
        by: "ann".to_owned(),
    };
    let options = aws_isolate_instance::Options::default();
    let scene = Scene { target: &target, options: &options, facts: &facts, mark: &mark, fresh: true };
    let plan = AwsIsolateInstance::plan(&api, &scene).await.unwrap();
    let said: Vec<Vec<String>> = plan
        .stages
        .iter()
        .map(|stage| stage.iter().map(|it| stanch_core::Slot::what(&it.slot, &it.after)).collect())
        .collect();
    assert_eq!(said.len(), 3, "groups, the primary interface, the others: {said:#?}");
    assert!(said[1].len() == 1 && said[1][0].contains(&seeded.interfaces[0]), "{said:#?}");
    assert!(said[2].len() == 2 && said[2].iter().any(|it| it.contains(&branch)), "{said:#?}");

    facts.instance.operator = Some("eks.amazonaws.com".to_owned());
    let scene = Scene { target: &target, options: &options, facts: &facts, mark: &mark, fresh: true };
    AwsIsolateInstance::plan(&api, &scene).await.expect("AWS allows it");
    blocked.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = AwsIsolateInstance::plan(&api, &scene).await.expect_err("AWS blocks it");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("k8s-isolate-pod"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_somebody_made_a_moment_ago_is_taken() {
    let world = World::new();
    let first = world.ec2.seed(&json!({}));
    world.apply::<AwsIsolateInstance>(&ec2::target(&first), json!({"cut_tracked": "off"})).await;
    let second = world.plant(&json!({"vpc": first.vpc, "subnet": first.subnet}));
    // EC2 does not show it yet: neither to the plan, nor before it is made.
    let looks = AtomicUsize::new(0);
    world.ec2.proxy.rewrite(move |call| {
        if call.action.as_deref() != Some("DescribeSecurityGroups") || looks.fetch_add(1, Ordering::SeqCst) >= 2 {
            return None;
        }
        let mut answer = ec2_error(200, "", "");
        *answer.body_mut() = "<DescribeSecurityGroupsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
            <securityGroupInfo/></DescribeSecurityGroupsResponse>"
            .into();
        answer.headers_mut().remove("content-length");
        Some(answer)
    });
    world.apply::<AwsIsolateInstance>(&second, json!({"cut_tracked": "off"})).await;
    let refused =
        world.ec2.proxy.calls().into_iter().find(|call| call.action.as_deref() == Some("CreateSecurityGroup"));
    assert_eq!(refused.and_then(|call| call.status), Some(400), "{:?}", world.ec2.proxy.actions());
    assert_isolated(&world.ec2.state(&second), 1);
}
