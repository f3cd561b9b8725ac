//! Who we are, and which instance a target is.

use stanch_core::{Cloud, Kind, Permission, Permissions, Scope};

use super::bed::Bed;
use crate::Aws;

const NEEDS: Permissions = Permissions {
    plan: &[Permission::Aws("ec2:DescribeInstances"), Permission::Aws("ec2:DescribeSnapshots")],
    apply: &[Permission::Aws("ec2:CreateSnapshots"), Permission::Aws("ec2:CreateTags")],
    revert: &[],
};

#[tokio::test]
async fn an_instance_is_read_with_one_call() {
    let bed = Bed::new(3, &[("stanch:exempt", "true"), ("Name", "web-1")]).await;
    let found = bed.aws.identify(&bed.api, &bed.target).await.expect("identifies");
    assert_eq!(bed.proxy.actions(), ["DescribeInstances"]);
    assert_eq!(found.uid, bed.seeded.id);
    let ids: Vec<_> = found.facts.volumes.iter().map(|volume| volume.id.to_string()).collect();
    assert_eq!(ids.len(), 3);
    assert!(bed.seeded.volumes.iter().all(|id| ids.contains(id)));
    assert_eq!(found.facts.volumes.iter().filter(|volume| volume.root).count(), 1);
    assert_eq!((found.facts.state.as_str(), found.facts.instance_type.as_str()), ("running", "m5.large"));
    assert!(!found.facts.spot && found.facts.operator.is_none());
    assert_eq!(found.facts.tags.get("Name").map(String::as_str), Some("web-1"));
    assert_eq!(found.exempt.len(), 1);
    assert!(found.exempt[0].forgeable, "whoever holds the instance may have set a tag");
}

#[tokio::test]
async fn what_is_gone_or_elsewhere_is_no_target() {
    let bed = Bed::new(1, &[("stanch:exempt", "false")]).await;
    let found = bed.aws.identify(&bed.api, &bed.target).await.expect("identifies");
    assert_eq!(found.exempt, [], "false is no");

    let mut elsewhere = bed.target.clone();
    elsewhere.account = "999999999999".parse().expect("an account");
    let api = bed.aws.connect(&elsewhere).await.expect("connects");
    assert_eq!(bed.aws.identify(&api, &elsewhere).await.expect_err("another account").kind(), Kind::Conflict);

    let mut unknown = bed.target.clone();
    unknown.id = "i-0ffffffffffffffff".parse().expect("an id");
    let error = bed.aws.identify(&bed.api, &unknown).await.expect_err("no such instance");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");

    bed.script("ec2.terminate_instances(InstanceIds=[want])", &bed.seeded.id.clone().into());
    let error = bed.aws.identify(&bed.api, &bed.target).await.expect_err("terminated");
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(error.message().contains("terminated"), "{error}");
}

#[tokio::test]
async fn home_is_asked_once_or_told() {
    let bed = Bed::new(1, &[]).await;
    let home = Scope::Account(bed.target.account.clone());
    bed.aws.warm().await;
    assert_eq!(bed.proxy.count(), 0, "warming makes no call");
    for _ in 0..2 {
        assert_eq!(bed.aws.home().await.expect("answers"), home);
    }
    assert_eq!(bed.proxy.actions(), ["GetCallerIdentity"]);
    let told =
        Aws::with("http://127.0.0.1:9", bed.target.region.clone(), "a", "b").with_account(bed.target.account.clone());
    assert_eq!(told.home().await.expect("was told"), home);
}

#[tokio::test]
async fn a_check_uses_no_permission() {
    let bed = Bed::new(2, &[]).await;
    let before = bed.moto.describe_snapshots().expect("lists").len();
    let lines = bed.aws.check(&bed.api, &bed.target, &NEEDS).await;
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line.ok), "{lines:?}");
    assert_eq!(bed.moto.describe_snapshots().expect("lists").len(), before);

    let api = bed.as_user("looker", &["ec2:Describe*", "sts:*"]).await;
    bed.moto.enforce_iam(0.0).expect("enforces");
    let lines = bed.aws.check(&api, &bed.target, &NEEDS).await;
    let ok = |what: &str| lines.iter().find(|line| line.what == what).expect("a line").ok;
    assert!(ok("ec2:DescribeInstances") && ok("ec2:DescribeSnapshots"), "{lines:?}");
    assert!(!ok("ec2:CreateSnapshots"), "{lines:?}");
}
