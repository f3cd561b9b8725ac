//! Least privilege, in three parts.
//!
//! moto's enforcement knows actions only (it checks each call against `*` and ignores conditions), so here the actions
//! are proved: each part works with exactly what the responder declares, and taking any one away makes something fail
//! with `Denied`, naming it. What another service asks for on the side (`ec2:CreateTags` of a call that tags,
//! `iam:PassRole` of one that hands a role on) moto does not ask for; the proxy does, in AWS's words. Resources and
//! conditions are proved by `evaluator`, over the requests that are recorded here.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use stanch_aws::{
    Aws,
    grants::{self, Names},
};
use stanch_core::{Driver, Guard, Kind, Mode, Permission, Report, Responder, Status, Target};
use stanch_range::{
    moto::Moto,
    proxy::{CallInfo, Proxy, ec2_error},
};
use stanch_sqlite::Sqlite;
use stanch_tests::{Skipping, incident, order};

use crate::evaluator;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";

/// One way to use a responder: a target that it is used on, and how.
pub(crate) struct Scenario<'a> {
    pub(crate) make: &'a (dyn Fn() -> Target + Sync),
    pub(crate) options: Value,
    /// What other responders have done to it before, by the same ledger.
    pub(crate) before: Option<Before<'a>>,
}

impl<'a> Scenario<'a> {
    pub(crate) fn new(make: &'a (dyn Fn() -> Target + Sync), options: Value) -> Self {
        Self { make, options, before: None }
    }
}

pub(crate) type Before<'a> = &'a (dyn Fn(Arc<Sqlite>, Target) -> BoxFuture<'static, ()> + Sync);

/// Proves the permissions of `R`, all of which the scenarios together need.
pub(crate) async fn least_privilege<R: Responder<Cloud: From<Aws>>>(
    moto: &Moto,
    proxy: &Proxy,
    scenarios: &[Scenario<'_>],
) {
    least_privilege_without::<R>(moto, proxy, scenarios, &[]).await;
}

/// The same but for actions that moto does not serve, which are tried elsewhere.
pub(crate) async fn least_privilege_without<R: Responder<Cloud: From<Aws>>>(
    moto: &Moto,
    proxy: &Proxy,
    scenarios: &[Scenario<'_>],
    unserved: &[&str],
) {
    let names = |permissions: &[Permission]| permissions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let [plan, apply, revert] = [R::NEEDS.plan, R::NEEDS.apply, R::NEEDS.revert].map(names);
    let function = [plan.clone(), apply.clone()].concat();
    let undoer = [plan.clone(), revert.clone()].concat();
    let bench = Bench { moto, proxy, allowed: Arc::default() };
    bench.install();

    // Where undoing is the same calls with other values, IAM cannot tell them apart.
    let same = revert.iter().all(|action| function.contains(action));
    let mut cannot_revert = same;
    let mut recorded = Vec::new();
    for scenario in scenarios {
        let desk = Desk::<R>::new(&bench, scenario).await;
        desk.proxy().clear();
        let report = desk.run(Mode::Apply, &function).await;
        assert_eq!(report.status, Status::Applied, "{} with what it declares: {report:#?}", R::NAME);
        recorded.push((evaluator::Part::Function, desk.target.clone(), desk.proxy().calls()));
        if revert.is_empty() {
            continue;
        }
        // What the attempt has undone is not asked for again.
        desk.proxy().clear();
        if !same {
            let attempt = desk.run(Mode::Revert, &function).await;
            cannot_revert |= attempt.status != Status::Reverted && attempt.error == Some(Kind::Denied);
        }
        let back = desk.run(Mode::Revert, &undoer).await;
        assert_eq!(back.status, Status::Reverted, "{} with what it declares: {back:#?}", R::NAME);
        recorded.push((evaluator::Part::Undo, desk.target.clone(), desk.proxy().calls()));
    }
    assert!(cannot_revert, "{}: the function's own role can revert", R::NAME);

    for (part, actions) in [("plan", &plan), ("apply", &apply), ("revert", &revert)] {
        for action in actions.iter().filter(|action| !unserved.contains(&action.as_str())) {
            let mut missed = Vec::new();
            for scenario in scenarios {
                let report = without::<R>(&bench, scenario, part, action, &function, &undoer).await;
                if names_missing(&report, action) {
                    missed.clear();
                    break;
                }
                missed.push(report);
            }
            assert!(missed.is_empty(), "{}: {part} works without {action}: {missed:#?}", R::NAME);
        }
    }
    evaluator::prove::<R>(moto, &recorded, unserved);
}

/// What comes of a part without one action.
async fn without<R: Responder<Cloud: From<Aws>>>(
    bench: &Bench<'_>,
    scenario: &Scenario<'_>,
    part: &str,
    action: &str,
    function: &[String],
    undoer: &[String],
) -> Report {
    let less = |actions: &[String]| actions.iter().filter(|it| *it != action).cloned().collect::<Vec<_>>();
    let desk = Desk::<R>::new(bench, scenario).await;
    match part {
        "plan" => desk.run(Mode::Plan, &less(function)).await,
        "apply" => desk.run(Mode::Apply, &less(function)).await,
        _ => {
            let done = desk.run(Mode::Apply, function).await;
            assert_eq!(done.status, Status::Applied, "{done:#?}");
            desk.run(Mode::Revert, &less(undoer)).await
        }
    }
}

fn names_missing(report: &Report, action: &str) -> bool {
    let missing = format!("{action} is not allowed");
    let noted = report.changes.iter().any(|change| change.error.as_ref().is_some_and(|error| error.contains(&missing)));
    report.error == Some(Kind::Denied) && (noted || report.reason.as_ref().is_some_and(|it| it.contains(&missing)))
}

struct Bench<'a> {
    moto: &'a Moto,
    proxy: &'a Proxy,
    allowed: Arc<Mutex<Option<Vec<String>>>>,
}

impl Bench<'_> {
    /// The proxy asks for what moto does not.
    fn install(&self) {
        let allowed = Arc::clone(&self.allowed);
        self.proxy.rewrite(move |call| {
            let allowed = allowed.lock().unwrap();
            let missing = implied(call).filter(|action| allowed.as_ref().is_some_and(|list| !list.iter().any(|it| it == action)))?;
            let said = format!(
                "User: arn:aws:iam::{ACCOUNT}:user/actor is not authorized to perform: {missing} on resource: * because \
                 no identity-based policy allows the {missing} action"
            );
            if call.action.is_some() {
                let said = format!("You are not authorized to perform this operation. {said}");
                return Some(ec2_error(403, "UnauthorizedOperation", &said));
            }
            let mut answer = stanch_range::proxy::dynamodb_error(403, "AccessDeniedException", &said);
            answer.headers_mut().insert("x-amzn-errortype", "AccessDeniedException".parse().unwrap());
            Some(answer)
        });
    }

    /// The keys of a user who may do this and nothing else. From now on that is checked.
    fn actor(&self, actions: &[String]) -> (String, String) {
        self.moto.enforce_iam(f64::INFINITY).expect("no check");
        let script = r#"
import boto3, json, os
iam, actions = boto3.client("iam"), json.loads(os.environ["RANGE_INPUT"])
try:
    iam.create_user(UserName="actor")
except iam.exceptions.EntityAlreadyExistsException:
    pass
iam.put_user_policy(UserName="actor", PolicyName="range", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}))
for key in iam.list_access_keys(UserName="actor")["AccessKeyMetadata"]:
    iam.delete_access_key(UserName="actor", AccessKeyId=key["AccessKeyId"])
key = iam.create_access_key(UserName="actor")["AccessKey"]
print(json.dumps([key["AccessKeyId"], key["SecretAccessKey"]]))
"#;
        let made = self.moto.python_with(script, &json!(actions)).expect("a user");
        *self.allowed.lock().unwrap() = Some(actions.to_vec());
        self.moto.enforce_iam(0.0).expect("checks");
        serde_json::from_value(made).expect("a key")
    }

    fn free(&self) {
        self.moto.enforce_iam(f64::INFINITY).expect("no check");
        *self.allowed.lock().unwrap() = None;
    }
}

/// What a call needs on the side.
fn implied(call: &CallInfo) -> Option<&'static str> {
    let tags = call.form("TagSpecification.1.Tag.1.Key").is_some();
    match call.action.as_deref() {
        Some("CreateSnapshots" | "CreateSecurityGroup") if tags => Some("ec2:CreateTags"),
        Some("AssociateIamInstanceProfile" | "ReplaceIamInstanceProfileAssociation") => Some("iam:PassRole"),
        None if call.method == "POST" && call.path.ends_with("/pod-identity-associations") => Some("iam:PassRole"),
        _ => None,
    }
}

struct Desk<'a, R> {
    bench: &'a Bench<'a>,
    target: Target,
    options: Value,
    clock: Skipping,
    ledger: Arc<Sqlite>,
    _folder: tempfile::TempDir,
    responder: std::marker::PhantomData<fn() -> R>,
}

impl<'a, R: Responder<Cloud: From<Aws>>> Desk<'a, R> {
    async fn new(bench: &'a Bench<'a>, scenario: &Scenario<'_>) -> Self {
        bench.free();
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Arc::new(Sqlite::open(folder.path().join("ledger.db")).expect("a ledger"));
        let target = (scenario.make)();
        if let Some(before) = scenario.before {
            before(Arc::clone(&ledger), target.clone()).await;
        }
        Self {
            bench,
            target,
            options: scenario.options.clone(),
            clock: Skipping::default(),
            ledger,
            _folder: folder,
            responder: std::marker::PhantomData,
        }
    }

    fn proxy(&self) -> &Proxy {
        self.bench.proxy
    }

    async fn run(&self, mode: Mode, actions: &[String]) -> Report {
        let (key, secret) = self.bench.actor(actions);
        let aws = Aws::with(self.proxy().url(), REGION.parse().unwrap(), &key, &secret);
        let guard = Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() };
        let mut request = order(&self.clock, mode, &incident("case-1"), &self.target);
        request.order.options = self.options.clone();
        let driver = Driver::<R>::new(aws.into(), self.ledger.clone(), guard, Arc::new(self.clock.clone()));
        let report = driver.limiting_calls(Duration::from_mins(10)).run(&request).await;
        self.bench.free();
        report
    }
}

#[test]
fn every_declared_action_has_its_resources() {
    fn of<R: Responder>() {
        for permission in [R::NEEDS.plan, R::NEEDS.apply, R::NEEDS.revert].concat() {
            let action = permission.to_string();
            assert!(!grants::grants(R::NAME, &action).is_empty(), "{}: no row for {action}", R::NAME);
        }
        // In another account it is a session policy, whatever the names.
        let names = Names {
            partition: "aws-us-gov".to_owned(),
            account: Some(ACCOUNT.parse().unwrap()),
            region: Some("ap-northeast-1".parse().unwrap()),
            instance: Some("i-0123456789abcdef0".to_owned()),
            principal: Some("n".repeat(64)),
        };
        let all = [R::NEEDS.plan, R::NEEDS.apply, R::NEEDS.revert].concat();
        let length = grants::policy(R::NAME, &all, &names).to_string().len();
        assert!(length <= 2048, "{}: a session policy of {length} characters", R::NAME);
    }
    of::<aws_contain_principal::AwsContainPrincipal>();
    of::<aws_detach_role::AwsDetachRole>();
    of::<aws_isolate_instance::AwsIsolateInstance>();
    of::<aws_mark_instance::AwsMarkInstance>();
    of::<aws_protect_instance::AwsProtectInstance>();
    of::<aws_release_instance::AwsReleaseInstance>();
    of::<aws_remove_public_ip::AwsRemovePublicIp>();
    of::<aws_snapshot_volumes::AwsSnapshotVolumes>();
    of::<aws_terminate_instance::AwsTerminateInstance>();
}
