//! moto, a proxy before it, and an instance.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stanch_core::{Cloud, Mark, Slot, target::Ec2Instance};
use stanch_range::{
    moto::{Moto, SeededInstance},
    proxy::{Dialect, Proxy},
};

use crate::{Aws, Ec2Api, SnapshotSet, SnapshotSlot, SnapshotState};

pub(super) struct Bed {
    pub(super) moto: Moto,
    pub(super) proxy: Proxy,
    pub(super) seeded: SeededInstance,
    pub(super) aws: Aws,
    pub(super) target: Ec2Instance,
    pub(super) api: Ec2Api,
}

impl Bed {
    pub(super) async fn new(volumes: usize, tags: &[(&str, &str)]) -> Self {
        let moto = Moto::start().expect("moto starts");
        let seeded = moto.seed_instance(volumes, tags).expect("plants an instance");
        let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("the proxy starts");
        let region = seeded.region.parse().expect("a region");
        let aws = Aws::with(proxy.url(), region, "range", "range");
        let target = target(&seeded);
        let api = aws.connect(&target).await.expect("connects");
        Self { moto, proxy, seeded, aws, target, api }
    }

    /// All volumes.
    pub(super) fn set(&self) -> SnapshotSet {
        SnapshotSet {
            region: self.target.region.clone(),
            account: self.target.account.clone(),
            instance: self.target.id.clone(),
            volumes: self.seeded.volumes.iter().map(|id| id.parse().expect("a volume id")).collect(),
            exclude_boot: false,
            exclude: Vec::new(),
        }
    }

    /// The same bed through a client with this policy.
    pub(super) async fn as_user(&self, name: &str, actions: &[&str]) -> Ec2Api {
        let policy =
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        let (key, secret) = self.moto.user(name, &policy).expect("makes a user");
        let aws = Aws::with(self.proxy.url(), self.target.region.clone(), &key, &secret);
        aws.connect(&self.target).await.expect("connects")
    }

    /// Runs a script with `ec2` and `want` in scope.
    pub(super) fn script(&self, body: &str, want: &serde_json::Value) -> serde_json::Value {
        let script = format!(
            "import boto3, json, os\nec2 = boto3.client('ec2')\nwant = json.loads(os.environ['RANGE_INPUT'])\n{body}"
        );
        self.moto.python_with(&script, want).expect("the script runs")
    }
}

pub(super) fn target(seeded: &SeededInstance) -> Ec2Instance {
    Ec2Instance {
        account: seeded.account.parse().expect("an account"),
        region: seeded.region.parse().expect("a region"),
        id: seeded.id.parse().expect("an id"),
    }
}

/// A record that was opened so long ago; negative: that will be.
pub(super) fn mark(ago: SignedDuration) -> Mark {
    Mark {
        record: "0123456789abcdef01234567".parse().expect("a record id"),
        incident: "guardduty/7ac4e1f0".parse().expect("an incident id"),
        opened: Timestamp::now().checked_sub(ago).expect("a time"),
        by: "arn:aws:iam::123456789012:user/o'hara".to_owned(),
    }
}

/// A record that was opened just now.
pub(super) fn now() -> Mark {
    mark(SignedDuration::from_secs(1))
}

/// Look, write once, look again: what the driver does.
pub(super) async fn take(
    slot: &SnapshotSlot,
    to: &SnapshotState,
    mark: &Mark,
    api: &Ec2Api,
) -> stanch_core::Result<()> {
    let seen = slot.look(api, mark).await?;
    slot.carry_out(to, mark, &seen, api).await
}

pub(super) const TAKEN: SnapshotState = SnapshotState::Snapshots { taken: true };
