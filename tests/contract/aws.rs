//! EC2 on moto, with the ledger in DynamoDB behind the same proxy: a kill at call N may hit either.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_snapshot_volumes::AwsSnapshotVolumes;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Guard, Store, Target, target::Ec2Instance};
use stanch_dynamodb::Dynamo;
use stanch_range::{
    moto::Moto,
    proxy::{Dialect, Proxy},
};

use crate::suite::{Bed, contract};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";

struct Ec2 {
    moto: Moto,
    proxy: Proxy,
    tables: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_snapshot_volumes() {
    let moto = Moto::start().expect("moto starts");
    let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("the proxy starts");
    Box::pin(contract(&Ec2 { moto, proxy, tables: AtomicUsize::new(0) })).await;
}

fn id(target: &Target) -> String {
    target.to_string()
}

impl Bed for Ec2 {
    type R = AwsSnapshotVolumes;
    const KEEPS: bool = true;

    fn cloud(&self) -> Aws {
        Aws::with(self.proxy.url(), REGION.parse().unwrap(), "range", "range")
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        let table = format!("ledger-{}", self.tables.fetch_add(1, Ordering::SeqCst));
        // A trial begins with it: what the ones before have left would only be listed again and again.
        self.moto.reset().expect("moto forgets");
        self.moto.seed_table(&table).expect("a table");
        Arc::new(Dynamo::with(table, self.proxy.url(), REGION.parse().unwrap(), "range", "range"))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        let seeded = self.moto.seed_instance(3, &[("Name", "web")]).expect("an instance");
        Ec2Instance {
            account: ACCOUNT.parse().unwrap(),
            region: REGION.parse().unwrap(),
            id: seeded.id.parse().unwrap(),
        }
        .into()
    }

    fn guard(&self) -> Guard {
        Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() }
    }

    fn state(&self, target: &Target) -> Value {
        let script = format!(
            r#"
import boto3, json
ec2 = boto3.client("ec2", region_name="{REGION}")
instance = ec2.describe_instances(InstanceIds=["{}"])["Reservations"][0]["Instances"][0]
volumes = sorted(m["Ebs"]["VolumeId"] for m in instance["BlockDeviceMappings"])
found = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{{"Name": "volume-id", "Values": volumes}}])["Snapshots"]
snapshots = [dict(volume=volumes.index(s["VolumeId"]), tags=sorted(t["Key"] for t in s.get("Tags", []))) for s in found]
print(json.dumps(dict(state=instance["State"]["Name"], volumes=len(volumes),
                      snapshots=sorted(snapshots, key=lambda s: s["volume"]))))
"#,
            id(target)
        );
        self.moto.python(&script).expect("the state is read")
    }

    fn assert_contained(&self, state: &Value) {
        let volumes: Vec<_> =
            state["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot["volume"].clone()).collect();
        assert_eq!(volumes, [json!(0), json!(1), json!(2)], "one snapshot of each volume: {state:#}");
        for snapshot in state["snapshots"].as_array().unwrap() {
            for tag in ["stanch:incident", "stanch:record"] {
                assert!(snapshot["tags"].as_array().unwrap().contains(&json!(tag)), "{state:#}");
            }
        }
    }

    fn drift(&self, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, target: &Target) {
        let script = format!(
            r#"
import boto3
ec2 = boto3.client("ec2", region_name="{REGION}")
instance = ec2.describe_instances(InstanceIds=["{}"])["Reservations"][0]["Instances"][0]
volumes = [m["Ebs"]["VolumeId"] for m in instance["BlockDeviceMappings"]]
for s in ec2.describe_snapshots(OwnerIds=["self"], Filters=[{{"Name": "volume-id", "Values": volumes}}])["Snapshots"]:
    ec2.delete_snapshot(SnapshotId=s["SnapshotId"])
"#,
            id(target)
        );
        self.moto.python(&script).expect("the snapshots are deleted");
    }
}
