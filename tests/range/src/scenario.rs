//! The scenarios that `range up --seed` plants.

use std::io;

use serde_json::json;

use crate::gce::{Disk, Gce, Instance};
use crate::kube::Kube;
use crate::moto::{Moto, SeededInstance};

/// The ledger's table.
pub const TABLE: &str = "stanch-ledger";
/// The project of the scenario `gcp`.
pub const PROJECT: &str = "acme-prod";
/// Its zone.
pub const ZONE: &str = "europe-west1-b";
/// Its instance.
pub const VM: &str = "web-1";
/// The node of the scenario `k8s` that an incident is about.
pub const NODE: &str = "node-b";

/// `aws`: an EC2 instance with three EBS volumes, and the ledger's table.
pub fn aws(moto: &Moto) -> io::Result<SeededInstance> {
    moto.seed_table(TABLE)?;
    moto.seed_instance(3, &[("Name", "web-1"), ("team", "shop")])
}

/// `gcp`: a VM with a boot disk, a zonal data disk, a regional disk and a local SSD; answers its numeric id.
pub fn gcp(gce: &Gce) -> u64 {
    gce.seed(
        Instance::new(PROJECT, ZONE, VM)
            .disk(Disk::zonal(VM).size_gb(20).boot())
            .disk(Disk::zonal("web-1-data").size_gb(100).label("team", "shop"))
            .disk(Disk::regional("web-shared", &[ZONE, "europe-west1-c"]).size_gb(200))
            .local_ssd()
            .label("team", "shop"),
    )
}

/// `k8s`: three nodes, and pods on each; `default/web-…` runs on [`NODE`].
pub fn k8s(kube: &Kube) {
    for node in ["node-a", NODE, "node-c"] {
        kube.add_node(
            node,
            json!({
                "metadata": {"labels": {"topology.kubernetes.io/zone": ZONE, "cloud.google.com/gke-nodepool": "default"}},
                "spec": {"providerID": format!("gce://{PROJECT}/{ZONE}/{node}"), "podCIDR": "10.4.0.0/24"},
            }),
        );
        let owner = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true, "uid": uuid::Uuid::new_v4().to_string()}]);
        let daemon = json!({"metadata": {"labels": {"k8s-app": "fluentbit"}, "ownerReferences": owner("DaemonSet", "fluentbit")}});
        kube.add_pod("kube-system", &format!("fluentbit-{node}"), node, daemon);
        let name = match node {
            "node-a" => "web-6d4cf56db6-2xkfp",
            NODE => "web-6d4cf56db6-9vqnl",
            _ => "web-6d4cf56db6-hw7tz",
        };
        let web = json!({
            "metadata": {"labels": {"app": "web"}, "ownerReferences": owner("ReplicaSet", "web-6d4cf56db6")},
            "spec": {"containers": [{"name": "web", "image": "example.com/shop/web:1.4"}], "serviceAccountName": "web"},
        });
        kube.add_pod("default", name, node, web);
    }
}
