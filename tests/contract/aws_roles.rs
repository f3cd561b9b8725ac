//! Roles: times that stay, quotas, and what else a role takes down. How many calls each of their responders makes.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_terminate_instance::AwsTerminateInstance;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Status};
use stanch_range::proxy::Fault;

use crate::{
    aws_identity::{Case, ContainRole, ContainUser, DetachRole, DetachRoleAll, On, Terminate},
    desk::{Desk, actions, is, leaves, says},
    ec2::ACCOUNT,
    suite::Bed,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_deny_is_noted_before_the_call_and_stays_until_the_role_is_back() {
    let bed = On::<DetachRoleAll>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let bound = |state: &Value| {
        state["ours"][0]["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"].as_str().unwrap().to_owned()
    };
    let options = || json!({"sessions": "all"});

    // The process dies after the call was made and before its answer; an hour later the order is resumed.
    bed.proxy.fault_on(is("PutRolePolicy"), 1, 1, Fault::KillAfter);
    let killed = tokio::select! {
        _ = desk.run::<AwsDetachRole>(Mode::Apply, &target, options()) => false,
        () = bed.proxy.killed() => true,
    };
    assert!(killed);
    let sent = bed.proxy.calls();
    let at = |action: &str| sent.iter().position(|call| call.action.as_deref() == Some(action)).expect(action);
    assert!(at("DisassociateIamInstanceProfile") < at("PutRolePolicy"), "no session comes in between");
    bed.proxy.clear();
    let first = bound(&bed.state(&target));
    desk.clock.skip(Duration::from_hours(1));
    let resumed = desk.run::<AwsDetachRole>(Mode::Apply, &target, options()).await;
    assert_eq!(resumed.status, Status::Applied, "{resumed:#?}");
    assert_eq!(bound(&bed.state(&target)), first, "a resume writes what was noted");
    assert!(!bed.proxy.actions().contains(&"PutRolePolicy".to_owned()), "it was there: {:?}", bed.proxy.actions());

    desk.clock.skip(Duration::from_hours(1));
    let again = desk.run::<AwsDetachRole>(Mode::Apply, &target, options()).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
    assert_eq!(bound(&bed.state(&target)), first, "a redelivery moves nothing");

    // The profile is back, and hands sessions out: those are newer than the first deny.
    bed.undo_by_hand(&target);
    let back = desk.run::<AwsDetachRole>(Mode::Apply, &target, options()).await;
    assert_eq!(back.status, Status::Applied, "{back:#?}");
    assert!(bound(&bed.state(&target)) > first);
}

/// Another profile in place of the one that the plan has read; the association is another one, too.
const EXCHANGE: &str = r#"
import boto3, os
ec2, iam, instance = boto3.client("ec2"), boto3.client("iam"), os.environ["INSTANCE"]
of = [{"Name": "instance-id", "Values": [instance]}]
found = ec2.describe_iam_instance_profile_associations(Filters=of)["IamInstanceProfileAssociations"][0]
ec2.disassociate_iam_instance_profile(AssociationId=found["AssociationId"])
iam.create_instance_profile(InstanceProfileName="other")
ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "other"})
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_exchanged_while_it_is_planned_is_not_taken_off() {
    let bed = On::<DetachRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let instance = json!(target)["id"].as_str().unwrap().to_owned();
    let (python, env) = (bed.moto.interpreter().to_owned(), bed.moto.env());
    let done = AtomicBool::new(false);
    bed.proxy.rewrite(move |call| {
        if is("ListRolePolicies")(call) && !done.swap(true, Ordering::SeqCst) {
            let mut exchange = Command::new(&python);
            exchange.args(["-c", EXCHANGE]).envs(env.iter().cloned()).env("INSTANCE", &instance);
            assert!(exchange.status().unwrap().success());
        }
        None
    });
    let report = desk.run::<AwsDetachRole>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.error), (Status::Partial, Some(Kind::Conflict)), "{report:#?}");
    let profiles = bed.state(&target)["profiles"].to_string();
    assert!(profiles.contains("/other"), "{profiles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_calls_is_known() {
    let bed = On::<DetachRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    bed.proxy.clear();
    let report = desk.run::<AwsDetachRole>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(
        actions(&bed.proxy),
        [
            "DescribeIamInstanceProfileAssociations",
            "DescribeIamInstanceProfileAssociations",
            "DescribeInstances",
            "DisassociateIamInstanceProfile",
            "GetCallerIdentity",
            "GetInstanceProfile",
            "GetRolePolicy",
            "GetRolePolicy",
            "ListRolePolicies",
            "PutRolePolicy",
        ],
        "two writes; one look at the other policy of the role; what was written is looked at, what was planned is not"
    );
    let users = On::<ContainUser>::start();
    let desk = Desk::new(&users.proxy);
    let target = users.target();
    users.proxy.clear();
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(
        actions(&users.proxy),
        [
            "GetAccessKeyLastUsed",
            "GetCallerIdentity",
            "GetUser",
            "GetUserPolicy",
            "ListAccessKeys",
            "ListAccessKeys",
            "ListUserPolicies",
            "PutUserPolicy",
            "UpdateAccessKey",
        ]
    );
    let roles = On::<ContainRole>::start();
    let desk = Desk::new(&roles.proxy);
    let target = roles.target();
    roles.proxy.clear();
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, ContainRole::options()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let reads = roles.proxy.calls().iter().filter(|call| call.reads()).count();
    // Two associations, the trust policy, the attached policy, and ours.
    assert_eq!((roles.proxy.count() - reads, reads <= 26), (5, true), "{:?}", actions(&roles.proxy));
    let ends = On::<Terminate>::start();
    let desk = Desk::new(&ends.proxy);
    let target = ends.target();
    ends.proxy.clear();
    let report = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, Terminate::options()).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    assert_eq!(
        actions(&ends.proxy),
        ["DescribeInstanceAttribute", "DescribeInstances", "DescribeInstances", "TerminateInstances"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_role_names_how_many_instances_it_takes_down() {
    let bed = On::<DetachRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    // A second profile of another name and path with the same role, on two more instances.
    bed.script(
        r#"
role = [t["Value"] for t in ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]["Tags"] if t["Key"] == "role"][0]
iam.create_instance_profile(InstanceProfileName="other", Path="/elsewhere/")
iam.add_role_to_instance_profile(InstanceProfileName="other", RoleName=role)
for _ in range(2):
    i = ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    ec2.associate_iam_instance_profile(InstanceId=i, IamInstanceProfile={"Name": "other"})
"#,
        &json!(target),
    );
    let narrow = desk.run::<AwsDetachRole>(Mode::Plan, &target, Value::Null).await;
    assert!(!leaves(&narrow, "every session"), "{narrow:#?}");
    let wide = desk.run::<AwsDetachRole>(Mode::Plan, &target, json!({"sessions": "all"})).await;
    assert!(leaves(&wide, "those of 2 other instance(s)"), "{wide:#?}");
    assert!(wide.changes.iter().any(|change| change.what.contains("issued before this is written")), "{wide:#?}");
    assert!(narrow.remaining.iter().all(|it| it.next.is_some()), "{narrow:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolation_profile_takes_the_place_and_goes_again() {
    let bed = On::<DetachRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let before = bed.state(&target);
    let missing = desk.run::<AwsDetachRole>(Mode::Apply, &target, json!({"isolation_profile": "ssm-only"})).await;
    assert_eq!(missing.error, Some(Kind::Invalid), "{missing:#?}");
    assert!(says(&missing, "options.isolation_profile"), "{missing:#?}");
    bed.script(
        r#"
iam.create_role(RoleName="ssm", AssumeRolePolicyDocument=trust(allow({"Service": "ec2.amazonaws.com"})))
iam.create_instance_profile(InstanceProfileName="ssm-only")
iam.add_role_to_instance_profile(InstanceProfileName="ssm-only", RoleName="ssm")
"#,
        &Value::Null,
    );
    bed.proxy.clear();
    let report = desk.run::<AwsDetachRole>(Mode::Apply, &target, json!({"isolation_profile": "ssm-only"})).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let state = bed.state(&target);
    assert_eq!(state["profiles"], json!([format!("arn:aws:iam::{ACCOUNT}:instance-profile/ssm-only")]));
    assert_eq!(state["ours"].as_array().unwrap().len(), 1, "the former role's sessions are denied: {state:#}");
    assert!(bed.proxy.actions().contains(&"ReplaceIamInstanceProfileAssociation".to_owned()));
    let again = desk.run::<AwsDetachRole>(Mode::Apply, &target, json!({"isolation_profile": "ssm-only"})).await;
    assert_eq!(again.status, Status::Already, "the role is known from the record: {again:#?}");
    let back = desk.run::<AwsDetachRole>(Mode::Revert, &target, Value::Null).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(bed.state(&target), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_profile_the_role_has_to_be_named() {
    let bed = On::<DetachRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    bed.script(
        r#"
found = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [want["id"]]}])
for a in found["IamInstanceProfileAssociations"]:
    ec2.disassociate_iam_instance_profile(AssociationId=a["AssociationId"])
"#,
        &json!(target),
    );
    let bare = desk.run::<AwsDetachRole>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(bare.status, Status::Already, "{bare:#?}");
    assert!(leaves(&bare, "no role is known"), "{bare:#?}");
    let named = desk.run::<AwsDetachRole>(Mode::Apply, &target, json!({"role": "web-0"})).await;
    assert_eq!(named.status, Status::Applied, "{named:#?}");
    assert_eq!(bed.state(&target)["ours"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_does_not_fit_is_found_before_anything_is_done() {
    let roles = On::<DetachRole>::start();
    let desk = Desk::new(&roles.proxy);
    let target = roles.target();
    // 10,200 characters that count, and 3,000 of white space that do not.
    roles.script(
        r#"
role = [t["Value"] for t in ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]["Tags"] if t["Key"] == "role"][0]
iam.put_role_policy(RoleName=role, PolicyName="big", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + "x" * 9950}]}) + " " * 3000)
"#,
        &json!(target),
    );
    let before = roles.state(&target);
    let report = desk.run::<AwsDetachRole>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Unsupported)), "{report:#?}");
    assert!(says(&report, "of 10240 characters"), "{report:#?}");
    assert_eq!(roles.state(&target), before);

    let users = On::<ContainUser>::start();
    let desk = Desk::new(&users.proxy);
    let target = users.target();
    users.script(
        r#"
user = iam.get_access_key_last_used(AccessKeyId=want["access_key"])["UserName"]
iam.put_user_policy(UserName=user, PolicyName="big", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + "x" * 1900}]}))
"#,
        &json!(target),
    );
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    assert!(says(&report, "of 2048 characters"), "{report:#?}");
    assert_eq!(users.state(&target)["accused"], "Active", "nothing was begun");
}
