//! What each AWS responder may do, tried one action at a time: see `privilege`.

use std::sync::Arc;

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
use futures::FutureExt;
use serde_json::{Value, json};
use stanch_aws::{Aws, Rules};
use stanch_core::{Driver, Mode, Target};
use stanch_sqlite::Sqlite;

use crate::{
    aws_identity::{Case, ContainRole, ContainUser, DetachRole, On, Terminate},
    ec2::{self, Ec2, REGION},
    privilege::{Scenario, least_privilege, least_privilege_without},
    suite::Bed,
};

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_isolate_instance() {
    let ec2 = Ec2::start();
    // In a group, and with a pod's branch on its trunk.
    let node = || {
        let seeded = ec2.seed(&json!({"interfaces": [{"groups": 2}, {}], "group": {"min": 1, "max": 4, "desired": 2}}));
        ec2.branch(&seeded);
        ec2::target(&seeded)
    };
    // Somebody opened the quarantine group of its VPC, and left it; a new group there lets nothing out over IPv6.
    let opened = || {
        let seeded = ec2.seed(&json!({"ipv4_only": true}));
        let want = json!({"vpc": seeded.vpc, "name": Rules::closed(Vec::new()).name()});
        ec2.script(
            "\
made = ec2.create_security_group(GroupName=want['name'], Description='quarantine', VpcId=want['vpc'])['GroupId']
ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[
    {'IpProtocol': 'tcp', 'FromPort': 22, 'ToPort': 22, 'IpRanges': [{'CidrIp': '0.0.0.0/0'}]}])
",
            &want,
        );
        ec2::target(&seeded)
    };
    let scenarios = [
        Scenario::new(&node, json!({"even_if_managed": true, "cut_tracked": "on"})),
        Scenario::new(&opened, json!({"cut_tracked": "on"})),
    ];
    Box::pin(least_privilege::<AwsIsolateInstance>(&ec2.moto, &ec2.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_protect_instance() {
    let ec2 = Ec2::start();
    let member = || ec2::target(&ec2.seed(&json!({"volumes": 3, "group": {"min": 1, "max": 4, "desired": 2}})));
    let scenarios = [Scenario::new(&member, Value::Null)];
    Box::pin(least_privilege::<AwsProtectInstance>(&ec2.moto, &ec2.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_remove_public_ip() {
    let ec2 = Ec2::start();
    let member = || {
        ec2::target(&ec2.seed(&json!({
            "interfaces": [{"address": "elastic", "auto": true, "ipv6": 1}],
            "group": {"min": 1, "max": 4, "desired": 2},
        })))
    };
    let scenarios = [Scenario::new(&member, json!({"ipv6": "unassign", "even_if_managed": true}))];
    Box::pin(least_privilege::<AwsRemovePublicIp>(&ec2.moto, &ec2.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_release_instance() {
    let ec2 = Ec2::start();
    let member = || {
        let target = ec2::target(&ec2.seed(&json!({"group": {"min": 1, "max": 4, "desired": 2}})));
        ec2.balance(&target);
        target
    };
    let scenarios = [Scenario::new(&member, Value::Null), Scenario::new(&member, json!({"how": "detach"}))];
    Box::pin(least_privilege::<AwsReleaseInstance>(&ec2.moto, &ec2.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_detach_role() {
    let bed = On::<DetachRole>::start();
    bed.script(
        r#"
iam.create_role(RoleName="ssm", AssumeRolePolicyDocument=trust(allow({"Service": "ec2.amazonaws.com"})))
iam.create_instance_profile(InstanceProfileName="ssm-only")
iam.add_role_to_instance_profile(InstanceProfileName="ssm-only", RoleName="ssm")
"#,
        &Value::Null,
    );
    let make = || bed.target();
    // The tag that only Auto Scaling can set makes it look for the group.
    let grouped = || {
        let target = bed.target();
        bed.script(
            "ec2.create_tags(Resources=[want['id']], Tags=[{'Key': 'aws:autoscaling:groupName', 'Value': 'gone'}])",
            &json!(target),
        );
        target
    };
    let scenarios = [
        Scenario::new(&make, json!({"sessions": "all", "disable_imds": true})),
        Scenario::new(&make, json!({"isolation_profile": "ssm-only"})),
        Scenario::new(&grouped, Value::Null),
    ];
    Box::pin(least_privilege::<AwsDetachRole>(&bed.moto, &bed.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_contain_principal() {
    let bed = On::<ContainRole>::start();
    let role = || bed.target();
    let user = || {
        let made = bed.script(
            &format!(
                "{}\nmanaged = iam.create_policy(PolicyName=user, PolicyDocument=json.dumps({{'Version': '2012-10-17', \
                 'Statement': [{{'Effect': 'Allow', 'Action': 's3:GetObject', 'Resource': '*'}}]}}))\n\
                 iam.attach_user_policy(UserName=user, PolicyArn=managed['Policy']['Arn'])\n\
                 iam.put_user_policy(UserName=user, PolicyName='app', PolicyDocument=json.dumps({{'Version': \
                 '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Action': 's3:GetObject', 'Resource': '*'}}]}}))\n",
                ContainUser::MAKE
            ),
            &json!(bed.next()),
        );
        serde_json::from_value(made).expect("a target")
    };
    let options = || json!({"detach_policies": true});
    let scenarios = [Scenario::new(&role, options()), Scenario::new(&user, options())];
    Box::pin(least_privilege::<AwsContainPrincipal>(&bed.moto, &bed.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_terminate_instance() {
    let bed = On::<Terminate>::start();
    let url = bed.proxy.url();
    // Captured and protected by its siblings, whose records it depends on.
    let before = move |ledger: Arc<Sqlite>, target: Target| {
        let url = url.clone();
        async move {
            let aws = || Aws::with(&url, REGION.parse().unwrap(), "range", "range");
            let clock = stanch_tests::Skipping::default();
            let request = stanch_tests::order(&clock, Mode::Apply, &stanch_tests::incident("case-1"), &target);
            let (guard, clock) = (Ec2::guard(), Arc::new(clock));
            Driver::<AwsSnapshotVolumes>::new(aws(), ledger.clone(), guard.clone(), clock.clone()).run(&request).await;
            Driver::<AwsProtectInstance>::new(aws().into(), ledger, guard, clock).run(&request).await;
        }
        .boxed()
    };
    let make = || bed.target();
    let scenario = Scenario { before: Some(&before), ..Scenario::new(&make, Value::Null) };
    Box::pin(least_privilege::<AwsTerminateInstance>(&bed.moto, &bed.proxy, &[scenario])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_mark_instance() {
    let ec2 = Ec2::start();
    let make = || ec2::target(&ec2.seed(&json!({})));
    // A mark that was there under another value is set back; one that was not is taken off.
    let marked = || ec2::target(&ec2.seed(&json!({"tags": {"stanch:status": "old"}})));
    let scenarios = [Scenario::new(&make, Value::Null), Scenario::new(&marked, Value::Null)];
    Box::pin(least_privilege::<AwsMarkInstance>(&ec2.moto, &ec2.proxy, &scenarios)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_privilege_of_aws_snapshot_volumes() {
    let ec2 = Ec2::start();
    let make = || ec2::target(&ec2.seed(&json!({"volumes": 2})));
    let scenarios = [Scenario::new(&make, Value::Null)];
    // moto has no locks: `shared/aws` tries those on canned answers.
    let unserved = ["ec2:DescribeLockedSnapshots", "ec2:LockSnapshot"];
    Box::pin(least_privilege_without::<AwsSnapshotVolumes>(&ec2.moto, &ec2.proxy, &scenarios, &unserved)).await;
}
