use serde_json::json;
use stanch_range::moto::Moto;
use stanch_range::proxy::{Dialect, Fault, Proxy};
use stanch_range::scenario;

use crate::{installed, skipped};

#[test]
fn moto_serves_is_seeded_reset_and_guarded() {
    if !installed("python3") {
        return skipped("python3 is not installed");
    }
    let moto = Moto::start().unwrap();
    let instance = scenario::aws(&moto).unwrap();
    assert_eq!(instance.volumes.len(), 3);
    let take = format!(
        "import boto3, json\nmade = boto3.client('ec2').create_snapshots(InstanceSpecification={{'InstanceId': '{}'}})\nprint(json.dumps([s['SnapshotId'] for s in made['Snapshots']]))",
        instance.id
    );
    // Through the proxy: the same endpoint, counted, and throttled once.
    let proxy = Proxy::start(&moto.url(), Dialect::Aws).unwrap();
    proxy.fault_on(|call| call.action.as_deref() == Some("CreateSnapshots"), 1, 1, Fault::Throttle);
    let through = format!("import os\nos.environ['AWS_ENDPOINT_URL'] = '{}'\n{take}", proxy.url());
    assert_eq!(moto.python(&through).unwrap().as_array().unwrap().len(), 3);
    assert_eq!(proxy.actions(), ["CreateSnapshots", "CreateSnapshots"]);
    assert_eq!(proxy.calls().iter().map(|call| call.status).collect::<Vec<_>>(), [Some(503), Some(200)]);
    assert_eq!(moto.describe_snapshots().unwrap().len(), 3);
    assert!(moto.scan(scenario::TABLE).unwrap().is_empty());

    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}]});
    let (id, secret) = moto.user("responder", &policy).unwrap();
    moto.enforce_iam(0.0).unwrap();
    let as_user = format!(
        "import boto3, json\nec2 = boto3.client('ec2', aws_access_key_id='{id}', aws_secret_access_key='{secret}')\nec2.describe_instances()\ntry:\n    ec2.describe_volumes()\nexcept Exception as e:\n    print(json.dumps(e.response['Error']['Code']))"
    );
    // EC2 itself would say UnauthorizedOperation.
    assert_eq!(moto.python(&as_user).unwrap(), "AccessDenied");
    moto.enforce_iam(f64::INFINITY).unwrap();
    moto.reset().unwrap();
    assert!(moto.describe_snapshots().unwrap().is_empty());
}

#[test]
fn moto_is_gone_when_its_handle_is() {
    if !installed("python3") {
        return skipped("python3 is not installed");
    }
    let moto = Moto::start().unwrap();
    let pid = moto.pid();
    drop(moto);
    if cfg!(target_os = "linux") {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
