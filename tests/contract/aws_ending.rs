//! The end of an instance: what its siblings have in the ledger, and what somebody else wants kept.

use aws_protect_instance::AwsProtectInstance;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
use serde_json::{Value, json};
use stanch_core::{Mode, Status};

use crate::{
    aws_identity::{On, Terminate},
    desk::{Desk, leaves, says},
    suite::Bed,
};

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
