//! Principals: who must not be contained, who else is hit, and what others do meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_contain_principal::AwsContainPrincipal;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Kind, Limits, Mode, Status, Target};
use stanch_range::proxy::Fault;
use stanch_tests::{incident, order};

use crate::{
    aws_identity::{Case, ContainRole, On},
    desk::{Desk, is, leaves, says},
    ec2::ACCOUNT,
    suite::Bed,
};

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
