//! Who may set a responder off, and what it does not cut unless it is told to.

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use aws_terminate_instance::AwsTerminateInstance;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Alert, Cause, Mode, Responder, Severity, Source, Status, Target};
use stanch_tests::{Skipping, incident, order};

use crate::{
    aws_world::{World, remaining},
    ec2,
};

/// An instance whose profile hands a role out.
fn with_role(world: &World, wanted: &Value) -> Target {
    let target = world.plant(wanted);
    world.ec2.on(
        &target,
        "\
iam, name = boto3.client('iam'), want[-8:]
trust = json.dumps({'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'Service': 'ec2.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]})
iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
iam.create_instance_profile(InstanceProfileName=name)
iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
ec2.associate_iam_instance_profile(InstanceId=want, IamInstanceProfile={'Name': name})
",
    );
    target
}

/// A finding that names the target.
fn alert(target: &Target, clock: &Skipping) -> Cause {
    let mut alert = Alert::new(incident("inc-alert"), Source::GuardDuty, "Backdoor:EC2/C&CActivity.B!DNS");
    alert.severity = Some(Severity::High);
    alert.last_seen = Some(stanch_core::Clock::now(clock));
    alert.subjects = vec![target.clone()];
    Cause::Alert(Box::new(alert))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_in_a_group_is_not_cut_unless_told() {
    let mut world = World::new();
    // Two of twenty: as much as may be lost of a group at once.
    let target = with_role(
        &world,
        &json!({"group": {"min": 1, "max": 4, "desired": 2}, "interfaces": [{"address": "elastic"}]}),
    );
    let before = world.ec2.state(&target);
    let isolate = world.run::<AwsIsolateInstance>(Mode::Apply, &target, Value::Null).await;
    let remove = world.run::<AwsRemovePublicIp>(Mode::Apply, &target, Value::Null).await;
    let detach = world.run::<AwsDetachRole>(Mode::Apply, &target, Value::Null).await;
    for report in [isolate, remove, detach] {
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

#[tokio::test(flavor = "multi_thread")]
async fn an_event_sets_off_what_waits_for_orders_only_where_the_guard_says_so() {
    async fn try_out<R>(world: &mut World, target: &Target, options: Value)
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let state = |world: &World| matches!(target, Target::Ec2Instance(_)).then(|| world.ec2.state(target));
        let before = state(world);
        let mut request = order(&world.clock, Mode::Apply, &incident("inc-alert"), target);
        request.cause = alert(target, &world.clock);
        request.order.options = options;
        world.ec2.proxy.clear();
        let report = Box::pin(world.driver::<R>().run(&request)).await;
        assert_eq!(report.status, Status::Planned, "{}: {report:#?}", R::NAME);
        assert!(!report.changes.is_empty(), "it is planned and reported");
        assert_eq!((world.counted().1, state(world)), (0, before), "{}", R::NAME);
        world.guard.auto = vec![R::NAME.to_owned()];
        request.id = format!("again-{}", R::NAME);
        let report = Box::pin(world.driver::<R>().run(&request)).await;
        assert_eq!(report.status, Status::Applied, "{}: {report:#?}", R::NAME);
        world.guard.auto = Vec::new();
    }
    let mut world = World::new();
    let member = world.plant(&json!({"group": {"min": 1, "max": 4, "desired": 2}}));
    try_out::<AwsReleaseInstance>(&mut world, &member, Value::Null).await;
    let target = world.plant(&json!({"interfaces": [{"address": "elastic"}]}));
    try_out::<AwsRemovePublicIp>(&mut world, &target, Value::Null).await;
    try_out::<AwsIsolateInstance>(&mut world, &target, Value::Null).await;
    let target = with_role(&world, &json!({}));
    try_out::<AwsDetachRole>(&mut world, &target, Value::Null).await;
    try_out::<AwsTerminateInstance>(&mut world, &target, json!({"without_snapshot": true})).await;
    world.ec2.script("boto3.client('iam').create_user(UserName='ann')", &Value::Null);
    let user = json!({"kind": "iam-principal", "account": ec2::ACCOUNT, "user": "ann"});
    try_out::<AwsContainPrincipal>(&mut world, &serde_json::from_value(user).unwrap(), Value::Null).await;
}
