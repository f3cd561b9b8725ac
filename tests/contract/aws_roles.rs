//! What the contract cannot ask of every responder: times that stay, quotas, who else is hit, who must not be, what
//! the ledger of a sibling says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_protect_instance::AwsProtectInstance;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Driver, Guard, Kind, Limits, Mode, Report, Responder, Status, Store, Target};
use stanch_range::proxy::{CallInfo, Fault, Proxy};
use stanch_sqlite::Sqlite;
use stanch_tests::{Skipping, incident, order};

use crate::{
    aws_identity::{Case, ContainRole, ContainUser, DetachRole, DetachRoleAll, On, Terminate},
    suite::Bed,
};

const ACCOUNT: &str = "123456789012";

/// One ledger for all responders, as they are deployed.
pub(crate) struct Desk<'a> {
    proxy: &'a Proxy,
    pub(crate) clock: Skipping,
    ledger: Arc<dyn Store>,
    pub(crate) guard: Guard,
    _folder: tempfile::TempDir,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(proxy: &'a Proxy) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Arc::new(Sqlite::open(folder.path().join("ledger.db")).expect("a ledger"));
        let guard = Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() };
        Self { proxy, clock: Skipping::default(), ledger, guard, _folder: folder }
    }

    fn aws(&self) -> Aws {
        Aws::with(self.proxy.url(), "eu-central-1".parse().unwrap(), "range", "range")
    }

    pub(crate) fn driver<R: Responder>(&self, cloud: R::Cloud) -> Driver<R> {
        Driver::new(cloud, Arc::clone(&self.ledger), self.guard.clone(), Arc::new(self.clock.clone()))
            .limiting_calls(Duration::from_mins(10))
    }

    pub(crate) async fn run<R: Responder<Cloud: From<Aws>>>(
        &self,
        mode: Mode,
        target: &Target,
        options: Value,
    ) -> Report {
        let mut request = order(&self.clock, mode, &incident("case-1"), target);
        request.order.options = options;
        self.driver::<R>(self.aws().into()).run(&request).await
    }
}

fn says(report: &Report, text: &str) -> bool {
    report.reason.as_ref().is_some_and(|reason| reason.contains(text))
}

fn leaves(report: &Report, text: &str) -> bool {
    report.remaining.iter().any(|it| it.what.contains(text))
}

pub(crate) fn is(action: &'static str) -> impl Fn(&CallInfo) -> bool + Send + 'static {
    move |call| call.action.as_deref() == Some(action)
}

fn actions(proxy: &Proxy) -> Vec<String> {
    let mut actions = proxy.actions();
    actions.sort();
    actions
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_left_is_made_with_the_noted_time() {
    let bed = On::<ContainRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    bed.proxy.fault_on(is("PutRolePolicy"), 1, 1, Fault::KillBefore);
    tokio::select! {
        _ = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, ContainRole::options()) => panic!("it was killed"),
        () = bed.proxy.killed() => {}
    }
    let planned = bed.proxy.calls().into_iter().find(|call| is("PutRolePolicy")(call)).expect("the call");
    bed.proxy.clear();
    assert_eq!(bed.state(&target)["ours"], json!([]), "it never left");
    desk.clock.skip(Duration::from_hours(2));
    let done = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, ContainRole::options()).await;
    assert_eq!(done.status, Status::Applied, "{done:#?}");
    let written: Value = serde_json::from_str(&planned.form("PolicyDocument").unwrap()).unwrap();
    assert_eq!(bed.state(&target)["ours"][0], written);
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
        "two writes; one look at the other policy of the role; what was written is looked at"
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

#[tokio::test(flavor = "multi_thread")]
async fn who_must_not_be_contained_is_refused() {
    let bed = On::<ContainRole>::start();
    let mut desk = Desk::new(&bed.proxy);
    bed.script(
        r#"
iam.create_role(RoleName="AWSReservedSSO_Admin_0123456789abcdef", Path="/aws-reserved/sso.amazonaws.com/", AssumeRolePolicyDocument=trust(allow({"AWS": "*"})))
iam.create_role(RoleName="AWSServiceRoleForX", Path="/aws-service-role/x.amazonaws.com/", AssumeRolePolicyDocument=trust(allow({"Service": "x.amazonaws.com"})))
iam.create_role(RoleName="break-glass", AssumeRolePolicyDocument=trust(allow({"AWS": "*"})))
iam.create_user(UserName="range")
"#,
        &Value::Null,
    );
    let role = |name: &str| -> Target {
        serde_json::from_value(json!({"kind": "iam-principal", "account": ACCOUNT, "role": name})).unwrap()
    };
    for name in ["AWSReservedSSO_Admin_0123456789abcdef", "AWSServiceRoleForX"] {
        let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &role(name), Value::Null).await;
        assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
    }
    desk.guard.exempt = vec!["role/break-glass".to_owned()];
    bed.proxy.clear();
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &role("break-glass"), Value::Null).await;
    assert_eq!((report.status, bed.proxy.count()), (Status::Refused, 0), "{report:#?}");

    // Whoever we act as: moto says so of a role that is assumed.
    let credentials = bed.script(
        r#"
iam.create_role(RoleName="responder", AssumeRolePolicyDocument=trust(allow({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})))
made = boto3.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/responder", RoleSessionName="session")["Credentials"]
print(json.dumps([made["AccessKeyId"], made["SecretAccessKey"]]))
"#,
        &Value::Null,
    );
    let [key, secret] = [0, 1].map(|index| credentials[index].as_str().unwrap().to_owned());
    let aws = Aws::with(bed.proxy.url(), "eu-central-1".parse().unwrap(), &key, &secret);
    let request = order(&desk.clock, Mode::Apply, &incident("case-1"), &role("responder"));
    let report = desk.driver::<AwsContainPrincipal>(aws.into()).run(&request).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(says(&report, "who we act as"), "{report:#?}");

    // The accused one is gone, and its name given away again.
    let mut stale = role("break-glass-2");
    if let Target::IamPrincipal(it) = &mut stale {
        it.unique_id = Some("AROAEXAMPLEEXAMPLE12".parse().unwrap());
    }
    bed.script(
        "iam.create_role(RoleName='break-glass-2', AssumeRolePolicyDocument=trust(allow({'AWS': '*'})))",
        &Value::Null,
    );
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &stale, Value::Null).await;
    assert_eq!(report.error, Some(Kind::Conflict), "{report:#?}");
    let temporary: Target = serde_json::from_value(
        json!({"kind": "iam-principal", "account": ACCOUNT, "access_key": "ASIAEXAMPLEEXAMPLE12"}),
    )
    .unwrap();
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &temporary, Value::Null).await;
    assert_eq!(report.error, Some(Kind::Unsupported), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_account_is_told_from_the_others() {
    let bed = On::<ContainRole>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let Value::String(role) = json!(target)["role"].clone() else { panic!("a role") };
    let number = role.trim_start_matches("shop-");
    // By Pod Identity alone: its sessions carry tags, and everybody else's go on.
    let options = json!({"service_account": format!("web/cart-{number}"), "clusters": ["eu-central-1/prod"]});
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let state = bed.state(&target);
    assert_eq!(
        state["ours"][0]["Statement"][0]["Condition"],
        json!({"StringEquals": {
            "aws:PrincipalTag/kubernetes-namespace": "web",
            "aws:PrincipalTag/kubernetes-service-account": format!("cart-{number}"),
        }})
    );
    assert_eq!(state["pods"].as_array().unwrap().len(), 1, "the other keeps its role: {state:#}");
    assert!(state["trust"]["Statement"].as_array().unwrap().iter().all(|it| it["Effect"] == "Allow"), "{state:#}");
    for way in ["user/ann", "system:serviceaccount:web:shop"] {
        let named =
            report.remaining.iter().any(|it| it.what.starts_with("new sessions possible") && it.what.contains(way));
        assert!(named, "{way}: {:#?}", report.remaining);
    }
    let all = desk.run::<AwsContainPrincipal>(Mode::Plan, &bed.target(), json!({"deny": "all"})).await;
    assert!(!leaves(&all, "new sessions possible"), "{all:#?}");
}

/// As another delivery of the same alert does it.
#[tokio::test(flavor = "multi_thread")]
async fn an_association_that_goes_after_it_was_listed_is_gone() {
    let bed = Arc::new(On::<ContainRole>::start());
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let (other, deleted) = (Arc::downgrade(&bed), AtomicBool::new(false));
    bed.proxy.rewrite(move |call| {
        let describes = call.method == "GET" && call.path.starts_with("/clusters/prod/pod-identity-associations/");
        if describes && !deleted.swap(true, Ordering::SeqCst) {
            let id = call.path.rsplit('/').next()?;
            other.upgrade()?.script(
                r#"
eks.delete_pod_identity_association(clusterName="prod", associationId=want)
"#,
                &json!(id),
            );
        }
        None
    });
    let options = json!({"clusters": ["eu-central-1/prod"]});
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, options).await;
    assert_eq!(report.status, Status::Applied, "{report:#?}");
    let lost = bed.proxy.calls().iter().filter(|call| call.status == Some(404) && call.method == "GET").count();
    assert_eq!(lost, 1, "{:#?}", bed.proxy.actions());
    assert_eq!(bed.state(&target)["pods"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_ends_only_when_its_volumes_are_captured() {
    let bed = On::<Terminate>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    let refused = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(refused.status, Status::Refused, "{refused:#?}");
    assert!(says(&refused, "aws-snapshot-volumes apply --incident case-1"), "{refused:#?}");

    // Planted: the tag is right, and no record of ours says so.
    bed.script(
        r#"
volume = ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
ec2.create_snapshot(VolumeId=volume, TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "stanch:incident", "Value": "case-1"}]}])
"#,
        &json!(target),
    );
    let refused = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(refused.status, Status::Refused, "{refused:#?}");

    let captured = desk.run::<AwsSnapshotVolumes>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(captured.status, Status::Applied, "{captured:#?}");
    let protected = desk.run::<AwsProtectInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(protected.status, Status::Applied, "{protected:#?}");
    let ended = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(ended.status, Status::Applied, "the protection is ours to lift: {ended:#?}");
    assert!(leaves(&ended, "captured as snap-"), "{ended:#?}");
    assert_eq!(bed.state(&target), json!("terminated"));
    let again = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!(again.status, Status::Already, "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protection_that_somebody_else_set_stays() {
    let bed = On::<Terminate>::start();
    let desk = Desk::new(&bed.proxy);
    let target = bed.target();
    bed.script(
        "ec2.modify_instance_attribute(InstanceId=want['id'], DisableApiTermination={'Value': True})",
        &json!(target),
    );
    // It was on before: protecting found it so, and it is not ours.
    desk.run::<AwsProtectInstance>(Mode::Apply, &target, Value::Null).await;
    let refused = desk.run::<AwsTerminateInstance>(Mode::Apply, &target, json!({"without_snapshot": true})).await;
    assert_eq!(refused.status, Status::Refused, "{refused:#?}");
    assert!(says(&refused, "not by us"), "{refused:#?}");
    assert_eq!(bed.state(&target), json!("running"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_too_many_use_is_refused() {
    let bed = On::<ContainRole>::start();
    let mut desk = Desk::new(&bed.proxy);
    let limits = Limits { objects: 2, ..Limits::default() };
    desk.guard.limits = [("aws-contain-principal".to_owned(), limits)].into();
    let target = bed.target();
    let before = bed.state(&target);
    let report = desk.run::<AwsContainPrincipal>(Mode::Apply, &target, ContainRole::options()).await;
    assert_eq!(report.status, Status::Refused, "{report:#?}");
    assert!(says(&report, "one order may reach 2"), "{report:#?}");
    assert_eq!(bed.state(&target), before);
}
