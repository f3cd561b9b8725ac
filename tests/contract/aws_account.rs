//! Another account, and another region.

use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Kind, Mode, Status, Target};
use stanch_tests::{incident, order};

use crate::{
    aws_identity::{On, Terminate},
    desk::{Desk, is},
    ec2::ACCOUNT,
    suite::Bed,
};

const MEMBER: &str = "210987654321";

/// An instance of another account, and our view of AWS with a role that lets us in there.
fn elsewhere(bed: &On<Terminate>) -> (Target, Aws) {
    let made = bed.script(
        r#"
made = boto3.client("sts").assume_role(RoleArn=f"arn:aws:iam::{want}:role/admin", RoleSessionName="seed")["Credentials"]
there = boto3.client("ec2", region_name="eu-central-1", aws_access_key_id=made["AccessKeyId"],
                     aws_secret_access_key=made["SecretAccessKey"], aws_session_token=made["SessionToken"])
instance = there.run_instances(ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
print(json.dumps({"kind": "ec2-instance", "account": want, "region": "eu-central-1", "id": instance}))
"#,
        &json!(MEMBER),
    );
    let aws = Aws::with(bed.proxy.url(), "eu-central-1".parse().unwrap(), "range", "range")
        .assuming("arn:aws:iam::{account}:role/stanch-member", Some("acme-42"))
        .expect("a role");
    (serde_json::from_value(made).expect("a target"), aws)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_reached_by_a_role_that_is_narrowed_to_the_order() {
    let bed = On::<Terminate>::start();
    let mut desk = Desk::new(&bed.proxy);
    let (target, aws) = elsewhere(&bed);
    let request = order(&desk.clock, Mode::Apply, &incident("case-1"), &target);

    bed.proxy.clear();
    let outside = desk.driver::<AwsSnapshotVolumes>(aws).run(&request).await;
    assert_eq!((outside.status, bed.proxy.count()), (Status::Refused, 0), "before any call: {outside:#?}");

    desk.guard.accounts = Some(vec![ACCOUNT.parse().unwrap(), MEMBER.parse().unwrap()]);
    let (_, aws) = elsewhere(&bed);
    bed.proxy.clear();
    let report = desk.driver::<AwsSnapshotVolumes>(aws).run(&request).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let calls = bed.proxy.calls();
    let assumed: Vec<_> = calls.iter().filter(|call| is("AssumeRole")(call)).collect();
    assert_eq!(assumed.len(), 1, "one role for the whole order");
    let sent = |name: &str| assumed[0].form(name).unwrap_or_default();
    assert_eq!(sent("RoleArn"), format!("arn:aws:iam::{MEMBER}:role/stanch-member"));
    assert_eq!(sent("ExternalId"), "acme-42");
    let policy: Value = serde_json::from_str(&sent("Policy")).expect("a session policy");
    let text = policy.to_string();
    assert!(text.len() <= 2048, "{}", text.len());
    let instance = format!("arn:aws:ec2:eu-central-1:{MEMBER}:instance/{target}");
    let create =
        policy["Statement"].as_array().unwrap().iter().find(|it| it["Action"] == json!(["ec2:CreateSnapshots"]));
    assert_eq!(create.expect("a statement")["Resource"][0], json!(instance));
    assert!(!text.contains("ec2:TerminateInstances") && !text.contains("\"*:*\""), "{text}");
    let taken = bed.script(
        r#"
made = boto3.client("sts").assume_role(RoleArn=f"arn:aws:iam::{want}:role/admin", RoleSessionName="seed")["Credentials"]
there = boto3.client("ec2", region_name="eu-central-1", aws_access_key_id=made["AccessKeyId"],
                     aws_secret_access_key=made["SecretAccessKey"], aws_session_token=made["SessionToken"])
print(json.dumps(len(there.describe_snapshots(OwnerIds=["self"])["Snapshots"])))
"#,
        &json!(MEMBER),
    );
    assert_eq!(taken, json!(1));
    let again = order(&desk.clock, Mode::Apply, &incident("case-1"), &bed.target());
    bed.proxy.clear();
    let own = desk.driver::<AwsSnapshotVolumes>(elsewhere(&bed).1).run(&again).await;
    assert_eq!(own.status, Status::Applied, "{own:#?}");
    assert!(
        !bed.proxy.actions().contains(&"AssumeRole".to_owned())
            || bed
                .proxy
                .calls()
                .iter()
                .all(|call| { !is("AssumeRole")(call) || call.form("RoleSessionName").as_deref() == Some("seed") }),
        "our own account needs no role"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_another_partition_is_not_asked() {
    let bed = On::<Terminate>::start();
    let desk = Desk::new(&bed.proxy);
    let target: Target = serde_json::from_value(
        json!({"kind": "ec2-instance", "account": ACCOUNT, "region": "cn-north-1", "id": "i-0123456789abcdef0"}),
    )
    .expect("a target");
    bed.proxy.clear();
    let report = desk.run::<AwsDetachRole>(Mode::Plan, &target, Value::Null).await;
    assert_eq!((report.error, bed.proxy.count()), (Some(Kind::Unsupported), 0), "{report:#?}");
    let forged = json!({"kind": "ec2-instance", "account": ACCOUNT, "region": "eu-central-1.evil.example", "id": "i-0123456789abcdef0"});
    assert!(serde_json::from_value::<Target>(forged).is_err());
}

/// What is asked about its group is asked in the same session, and is no wider.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_serves_every_service() {
    let bed = On::<Terminate>::start();
    let mut desk = Desk::new(&bed.proxy);
    desk.guard.accounts = Some(vec![ACCOUNT.parse().unwrap(), MEMBER.parse().unwrap()]);
    let (target, aws) = elsewhere(&bed);
    let request = order(&desk.clock, Mode::Apply, &incident("case-1"), &target);
    bed.proxy.clear();
    let report = desk.driver::<AwsIsolateInstance>(aws.into()).run(&request).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let assumed: Vec<_> = bed.proxy.calls().into_iter().filter(|call| is("AssumeRole")(call)).collect();
    assert_eq!(assumed.len(), 1, "{:?}", bed.proxy.actions());
    let policy = assumed[0].form("Policy").expect("a session policy");
    assert!(policy.contains(&format!(":instance/{target}\"")) && policy.len() <= 2048, "{policy}");
}
