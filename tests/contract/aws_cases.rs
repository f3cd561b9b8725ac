//! EC2 instances of every kind, contained and released on moto, and read back by boto3.

use std::sync::Arc;

use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{
    Alert, Cause, Cloud, DoneState, Driver, Guard, Kind, Mode, Report, Responder, Scene, Severity, Source, Status,
    Store, Target,
};
use stanch_range::proxy::{Fault, ec2_error};
use stanch_sqlite::Sqlite;
use stanch_tests::{Skipping, incident, order};

use crate::ec2::{self, Ec2, id};

/// moto behind a proxy that sees nothing but calls to the cloud: the ledger is a file.
struct World {
    ec2: Ec2,
    ledger: Arc<dyn Store>,
    clock: Skipping,
    guard: Guard,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Sqlite::open(folder.path().join("ledger.db").display().to_string()).expect("a ledger");
        Self {
            ec2: Ec2::start(),
            ledger: Arc::new(ledger),
            clock: Skipping::default(),
            guard: Ec2::guard(),
            _folder: folder,
        }
    }

    fn plant(&self, wanted: &Value) -> Target {
        ec2::target(&self.ec2.seed(wanted))
    }

    fn driver<R>(&self) -> Driver<R>
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let clock = Arc::new(self.clock.clone());
        Driver::new(self.ec2.aws().into(), Arc::clone(&self.ledger), self.guard.clone(), clock)
            .limiting_calls(std::time::Duration::from_mins(10))
    }

    async fn run<R>(&self, mode: Mode, target: &Target, options: Value) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let mut request = order(&self.clock, mode, &incident("inc-case"), target);
        request.order.options = options;
        self.ec2.proxy.clear();
        Box::pin(self.driver::<R>().run(&request)).await
    }

    async fn apply<R>(&self, target: &Target, options: Value) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let report = self.run::<R>(Mode::Apply, target, options).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        report
    }

    async fn revert<R>(&self, target: &Target) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        self.run::<R>(Mode::Revert, target, Value::Null).await
    }

    /// Applies, reverts, and holds what is there then against what was there before.
    async fn there_and_back<R>(&self, target: &Target, options: Value) -> Value
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let before = self.ec2.state(target);
        self.apply::<R>(target, options).await;
        let contained = self.ec2.state(target);
        assert_ne!(contained, before, "something was done");
        let back = self.revert::<R>(target).await;
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
        assert_eq!(self.ec2.state(target), before, "undo is exact");
        contained
    }

    /// How many calls read, and how many wrote.
    fn counted(&self) -> (usize, usize) {
        let calls = self.ec2.proxy.calls();
        let reads = calls.iter().filter(|call| call.reads()).count();
        (reads, calls.len() - reads)
    }
}

fn remaining(report: &Report) -> String {
    report.remaining.iter().map(|it| it.what.as_str()).collect::<Vec<_>>().join("\n")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

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
    let pod = world.ec2.script(
        "print(json.dumps(ec2.create_network_interface(SubnetId=want)['NetworkInterface']['NetworkInterfaceId']))",
        &seeded.subnet.clone().into(),
    );
    let (trunk, branch) = (seeded.interfaces[1].clone(), pod.as_str().unwrap().to_owned());
    let (t, b) = (trunk.clone(), branch.clone());
    let blocked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let blocks = Arc::clone(&blocked);
    world.ec2.proxy.rewrite(move |call| match call.action.as_deref()? {
        "DescribeTrunkInterfaceAssociations" => {
            let mut answer = ec2_error(200, "", "");
            *answer.body_mut() = format!(
                "<DescribeTrunkInterfaceAssociationsResponse><interfaceAssociationSet><item><associationId>trunk-assoc-1\
                 </associationId><branchInterfaceId>{b}</branchInterfaceId><trunkInterfaceId>{t}</trunkInterfaceId></item>\
                 <item><branchInterfaceId>eni-0ffffffffffffffff</branchInterfaceId><trunkInterfaceId>eni-0eeeeeeeeeeeeeeee\
                 </trunkInterfaceId></item></interfaceAssociationSet></DescribeTrunkInterfaceAssociationsResponse>"
            )
            .into();
            answer.headers_mut().remove("content-length");
            Some(answer)
        }
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
    facts.instance.interfaces[1].trunk = true;
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
async fn what_serves_in_a_group_is_not_cut_unless_told() {
    let mut world = World::new();
    // Two of twenty: as much as may be lost of a group at once.
    let target =
        world.plant(&json!({"group": {"min": 1, "max": 4, "desired": 2}, "interfaces": [{"address": "elastic"}]}));
    let before = world.ec2.state(&target);
    let isolate = world.run::<AwsIsolateInstance>(Mode::Apply, &target, Value::Null).await;
    let remove = world.run::<AwsRemovePublicIp>(Mode::Apply, &target, Value::Null).await;
    for report in [isolate, remove] {
        assert_eq!(report.status, Status::Refused, "{report:#?}");
        let reason = report.reason.unwrap_or_default();
        assert!(reason.contains("in service") && reason.contains("even_if_managed"), "{reason}");
    }
    assert_eq!(world.ec2.state(&target), before);
    let told = world.apply::<AwsIsolateInstance>(&target, json!({"even_if_managed": true})).await;
    assert!(remaining(&told).contains("start another one"), "{told:#?}");
    world.revert::<AwsIsolateInstance>(&target).await;
    assert_eq!(world.ec2.state(&target), before);
    // Released first, it may be cut.
    world.guard.limits =
        [("aws-isolate-instance".to_owned(), stanch_core::Limits { per_ten_minutes: 99, ..Default::default() })].into();
    world.apply::<AwsReleaseInstance>(&target, Value::Null).await;
    world.apply::<AwsIsolateInstance>(&target, Value::Null).await;
}

/// A finding that names the instance.
fn alert(target: &Target, clock: &Skipping) -> Cause {
    let mut alert = Alert::new(incident("inc-alert"), Source::GuardDuty, "Backdoor:EC2/C&CActivity.B!DNS");
    alert.severity = Some(Severity::High);
    alert.last_seen = Some(stanch_core::Clock::now(clock));
    alert.subjects = vec![target.clone()];
    Cause::Alert(Box::new(alert))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_sets_off_what_waits_for_orders_only_where_the_guard_says_so() {
    async fn try_out<R>(world: &mut World, target: &Target)
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let before = world.ec2.state(target);
        let mut request = order(&world.clock, Mode::Apply, &incident("inc-alert"), target);
        request.cause = alert(target, &world.clock);
        world.ec2.proxy.clear();
        let report = Box::pin(world.driver::<R>().run(&request)).await;
        assert_eq!(report.status, Status::Planned, "{}: {report:#?}", R::NAME);
        assert!(!report.changes.is_empty(), "it is planned and reported");
        assert_eq!((world.counted().1, world.ec2.state(target)), (0, before), "{}", R::NAME);
        world.guard.auto = vec![R::NAME.to_owned()];
        request.id = format!("again-{}", R::NAME);
        let report = Box::pin(world.driver::<R>().run(&request)).await;
        assert_eq!(report.status, Status::Applied, "{}: {report:#?}", R::NAME);
        world.guard.auto = Vec::new();
    }
    let mut world = World::new();
    let member = world.plant(&json!({"group": {"min": 1, "max": 4, "desired": 2}}));
    try_out::<AwsReleaseInstance>(&mut world, &member).await;
    let target = world.plant(&json!({"interfaces": [{"address": "elastic"}]}));
    try_out::<AwsRemovePublicIp>(&mut world, &target).await;
    try_out::<AwsIsolateInstance>(&mut world, &target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_volumes_are_protected_in_one_stage() {
    let world = World::new();
    let target = world.plant(&json!({"volumes": 6}));
    let report = world.apply::<AwsProtectInstance>(&target, Value::Null).await;
    // Three attributes, and the volumes that go with the instance; each written once and seen once.
    let writes = report.changes.len();
    assert_eq!(writes, 2 + 3, "stop on shutdown was so before: {report:#?}");
    assert_eq!(world.counted(), (1 + 3 + writes, writes), "{:?}", world.ec2.proxy.actions());
    let actions = world.ec2.proxy.actions();
    let first = actions.iter().position(|it| it == "ModifyInstanceAttribute").unwrap();
    assert!(
        actions[first..].iter().filter(|it| *it == "ModifyInstanceAttribute").count() == writes,
        "one stage: {actions:?}"
    );
    let state = world.ec2.state(&target);
    for mapping in state["instance"]["BlockDeviceMappings"].as_array().unwrap() {
        assert_eq!(mapping["Ebs"]["DeleteOnTermination"], false);
    }
    assert_eq!(state["attributes"]["disableApiTermination"]["Value"], true);
    let again = world.run::<AwsProtectInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((again.status, world.counted().1), (Status::Already, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_instances_get_what_ec2_gives_them() {
    let world = World::new();
    for kind in [json!({"volumes": 2}), json!({"volumes": 3, "stopped": true})] {
        let target = world.plant(&kind);
        let contained = world.there_and_back::<AwsProtectInstance>(&target, Value::Null).await;
        assert_eq!(contained["attributes"]["disableApiStop"]["Value"], true);
    }
    let spot = world.plant(&json!({"spot": true, "volumes": 2}));
    world.ec2.on(
        &spot,
        "ec2.modify_instance_attribute(InstanceId=want, InstanceInitiatedShutdownBehavior={'Value': 'terminate'})",
    );
    let before = world.ec2.state(&spot);
    let report = world.apply::<AwsProtectInstance>(&spot, Value::Null).await;
    assert!(remaining(&report).contains("neither termination nor stop protection"), "{report:#?}");
    let state = world.ec2.state(&spot);
    assert_eq!(state["attributes"]["disableApiTermination"]["Value"], false);
    assert_eq!(state["attributes"]["instanceInitiatedShutdownBehavior"]["Value"], "stop");
    assert!(
        state["instance"]["BlockDeviceMappings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["Ebs"]["DeleteOnTermination"] == false)
    );
    world.revert::<AwsProtectInstance>(&spot).await;
    assert_eq!(world.ec2.state(&spot), before);
    // The range refuses what EC2 refuses.
    let refused = world.ec2.on(
        &spot,
        "\
try:
    ec2.modify_instance_attribute(InstanceId=want, DisableApiTermination={'Value': True})
except Exception as error:
    print(json.dumps(str(error)))
",
    );
    assert!(refused.as_str().is_some_and(|said| said.contains("not supported for spot instances")), "{refused}");

    // What was protected before stays so; shutting down has nothing to protect any more.
    let member = world.plant(&json!({"group": {"min": 1, "max": 2, "desired": 2}}));
    world.ec2.on(&member, "ec2.modify_instance_attribute(InstanceId=want, DisableApiTermination={'Value': True})");
    let contained = world.there_and_back::<AwsProtectInstance>(&member, Value::Null).await;
    assert_eq!(contained["scaling"][0]["ProtectedFromScaleIn"], true);
    assert_eq!(world.ec2.state(&member)["attributes"]["disableApiTermination"]["Value"], true);
    let gone = world.plant(&json!({}));
    world.ec2.on(&gone, "ec2.terminate_instances(InstanceIds=[want])");
    let report = world.run::<AwsProtectInstance>(Mode::Apply, &gone, Value::Null).await;
    assert_eq!(report.error, Some(Kind::NotFound), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_four_tags_and_undo_brings_back_what_was() {
    let world = World::new();
    let target = world.plant(&json!({"tags": {"stanch:incident": "old", "Name": "web"}}));
    let contained = world.there_and_back::<AwsMarkInstance>(&target, json!({"status": "compromised"})).await;
    let tags = contained["instance"]["Tags"].as_array().unwrap();
    assert!(tags.contains(&json!({"Key": "stanch:status", "Value": "compromised"})), "{tags:#?}");
    assert!(tags.contains(&json!({"Key": "stanch:incident", "Value": "inc-case"})));
    let fresh = world.plant(&json!({}));
    world.apply::<AwsMarkInstance>(&fresh, Value::Null).await;
    assert_eq!(world.counted(), (1 + 4, 4), "{:?}", world.ec2.proxy.actions());
}

#[tokio::test(flavor = "multi_thread")]
async fn public_addresses_go_and_ec2_gives_no_other() {
    let world = World::new();
    // Launched with an address of its own, which an Elastic IP address replaced: losing it would bring a new one.
    let target = world.plant(&json!({"interfaces": [{"address": "elastic", "auto": true}, {"address": "elastic"}]}));
    let contained = world.there_and_back::<AwsRemovePublicIp>(&target, Value::Null).await;
    assert!(!contained.to_string().contains("PublicIp\":"), "{contained:#}");
    assert!(contained["auto_assign"].as_object().unwrap().values().all(|on| on == false));
    // IPv6 stays, and is named; or goes.
    let dual = world.plant(&json!({"interfaces": [{"ipv6": 2, "address": "elastic"}]}));
    let report = world.run::<AwsRemovePublicIp>(Mode::Plan, &dual, Value::Null).await;
    assert_eq!(remaining(&report).matches(" keeps ").count(), 2, "{report:#?}");
    let contained = world.there_and_back::<AwsRemovePublicIp>(&dual, json!({"ipv6": "unassign"})).await;
    assert_eq!(contained["interfaces"][0]["Ipv6Addresses"], json!([]));
    // An address that EC2 assigned comes back as another one, and the plan says so.
    let auto = world.plant(&json!({"interfaces": [{"address": "auto"}]}));
    let had = text(&world.ec2.state(&auto)["instance"], "PublicIpAddress").to_owned();
    let report = world.apply::<AwsRemovePublicIp>(&auto, Value::Null).await;
    assert!(remaining(&report).contains(&format!("{had} was assigned by EC2")), "{report:#?}");
    assert_eq!(world.counted(), (5, 1), "{:?}", world.ec2.proxy.actions());
    assert_eq!(world.revert::<AwsRemovePublicIp>(&auto).await.status, Status::Reverted);
    let has = text(&world.ec2.state(&auto)["instance"], "PublicIpAddress").to_owned();
    assert!(!has.is_empty() && has != had, "{had} {has}");
    let bare = world.plant(&json!({}));
    let report = world.run::<AwsRemovePublicIp>(Mode::Apply, &bare, Value::Null).await;
    assert_eq!((report.status, world.counted().1), (Status::Already, 0), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_released_from_everything_that_sends_it_traffic() {
    let world = World::new();
    let target = world.plant(&json!({"group": {"min": 1, "max": 4, "desired": 2}}));
    world.ec2.balance(&target);
    let (before, served) = (world.ec2.state(&target), world.ec2.served(&target));
    assert_eq!(served, ["address:80", "hand:8080", "old", "own:80"]);
    let report = world.apply::<AwsReleaseInstance>(&target, Value::Null).await;
    assert!(remaining(&report).contains("starts no replacement"), "{report:#?}");
    assert_eq!(world.ec2.served(&target), Vec::<String>::new());
    let state = world.ec2.state(&target);
    assert_eq!(state["scaling"][0]["LifecycleState"], "Standby", "{state:#}");
    assert_eq!(state["sizes"][0]["DesiredCapacity"], 1);
    let again = world.run::<AwsReleaseInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((again.status, world.counted().1), (Status::Already, 0), "{again:#?}");
    let back = world.revert::<AwsReleaseInstance>(&target).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!((world.ec2.state(&target), world.ec2.served(&target)), (before, served));

    // Without a group there are still load balancers.
    let single = world.plant(&json!({}));
    world.ec2.balance(&single);
    let served = world.ec2.served(&single);
    world.apply::<AwsReleaseInstance>(&single, Value::Null).await;
    assert_eq!(world.ec2.served(&single), Vec::<String>::new());
    world.revert::<AwsReleaseInstance>(&single).await;
    assert_eq!(world.ec2.served(&single), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sizes_of_a_group_are_minded_and_never_raised() {
    let world = World::new();
    // At its minimum: no decrement, so a replacement starts; at its maximum: undo finds no room, and says so before.
    let full = world.plant(&json!({"group": {"min": 2, "max": 2, "desired": 2}}));
    let planned = world.run::<AwsReleaseInstance>(Mode::Plan, &full, Value::Null).await;
    assert!(remaining(&planned).contains("undo fails at its maximum of 2"), "{planned:#?}");
    world.apply::<AwsReleaseInstance>(&full, Value::Null).await;
    let state = world.ec2.state(&full);
    assert_eq!(state["scaling"][0]["LifecycleState"], "Standby");
    assert_eq!(state["sizes"][0]["DesiredCapacity"], 2, "another one serves in its place");
    let back = world.revert::<AwsReleaseInstance>(&full).await;
    assert_eq!((back.status, back.error), (Status::Failed, Some(Kind::Unsupported)), "{back:#?}");
    assert!(back.reason.is_some_and(|reason| reason.contains("max-size=2")));
    assert_eq!(world.ec2.state(&full)["sizes"][0]["MaxSize"], 2);

    // Detached, and attached again.
    let target = world.plant(&json!({"group": {"min": 1, "max": 3, "desired": 2}}));
    let before = world.ec2.state(&target);
    world.apply::<AwsReleaseInstance>(&target, json!({"how": "detach"})).await;
    assert_eq!(world.ec2.state(&target)["scaling"], json!([]));
    let back = world.revert::<AwsReleaseInstance>(&target).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(world.ec2.state(&target)["scaling"], before["scaling"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_ends_what_stands_by_makes_it_leave() {
    let world = World::new();
    let target = world.plant(&json!({"group": {"min": 1, "max": 3, "desired": 2}}));
    world.ec2.proxy.rewrite(|call| {
        if call.action.as_deref() != Some("DescribeInstanceRefreshes") {
            return None;
        }
        let mut answer = ec2_error(200, "", "");
        *answer.body_mut() =
            "<DescribeInstanceRefreshesResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">\
            <DescribeInstanceRefreshesResult><InstanceRefreshes><member><Status>InProgress</Status><Preferences>\
            <StandbyInstances>Terminate</StandbyInstances></Preferences></member></InstanceRefreshes>\
            </DescribeInstanceRefreshesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
            </DescribeInstanceRefreshesResponse>"
                .into();
        answer.headers_mut().remove("content-length");
        Some(answer)
    });
    let report = world.apply::<AwsReleaseInstance>(&target, Value::Null).await;
    assert!(remaining(&report).contains("detached instead"), "{report:#?}");
    assert_eq!(world.ec2.state(&target)["scaling"], json!([]));
    assert!(id(&target).starts_with("i-"));
}
