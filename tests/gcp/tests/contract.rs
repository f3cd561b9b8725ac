//! The contract of every responder, for those that change a GCE instance: on the range's simulator, with the ledger in
//! SQLite.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use gcp_allow_bastion::GcpAllowBastion;
use gcp_isolate_instance::GcpIsolateInstance;
use gcp_mark_instance::GcpMarkInstance;
use gcp_protect_instance::GcpProtectInstance;
use gcp_remove_external_ip::GcpRemoveExternalIp;
use serde_json::{Value, json};
use stanch_core::{Guard, Responder, Store, Target, target::GceInstance};
use stanch_gcp::Gcp;
use stanch_range::{
    gce::{Disk, Gce, Instance, Nic, Timing},
    proxy::{Dialect, Proxy},
};
use stanch_suite::contract::{Bed, contract};

const PROJECT: &str = "acme-prod";
const ZONE: &str = "europe-west1-b";
const KEY: &str = "ana:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// What a responder's trial needs beyond an instance.
trait Trial: Responder<Cloud = Gcp> {
    fn plant(gce: &Gce, name: &str, vm: Instance);
    fn contained(state: &Value) -> bool;
    fn undo(gce: &Gce, name: &str);
    fn options() -> Value {
        Value::Null
    }
}

impl Trial for GcpIsolateInstance {
    fn plant(gce: &Gce, name: &str, vm: Instance) {
        // Networks of its own: every trial has another ledger, and counts only its own users.
        gce.seed(vm.nic(Nic::new(&format!("a-{name}"))).nic(Nic::new(&format!("b-{name}"))));
    }
    fn contained(state: &Value) -> bool {
        let tagged = state["vm"]["tags"].to_string().matches("stanch-quarantine-").count() == 1;
        tagged && state["firewalls"].as_object().unwrap().len() == 8
    }
    fn undo(gce: &Gce, name: &str) {
        gce.untag_by_hand(PROJECT, name, "stanch-quarantine-");
    }
}

impl Trial for GcpProtectInstance {
    fn plant(gce: &Gce, _: &str, vm: Instance) {
        gce.seed(vm);
    }
    fn contained(state: &Value) -> bool {
        let disks = state["vm"]["disks"].as_array().unwrap();
        state["vm"]["deletionProtection"] == true && disks.iter().all(|disk| disk["autoDelete"] == false)
    }
    fn undo(gce: &Gce, name: &str) {
        gce.unprotect_by_hand(PROJECT, name);
    }
}

impl Trial for GcpMarkInstance {
    fn plant(gce: &Gce, _: &str, vm: Instance) {
        gce.seed(vm.label("status", "live").label("team", "shop"));
    }
    fn contained(state: &Value) -> bool {
        let labels = &state["vm"]["labels"];
        labels["status"] == "under-investigation" && labels["team"] == "shop" && labels.as_object().unwrap().len() == 6
    }
    fn undo(gce: &Gce, name: &str) {
        gce.label_by_hand(PROJECT, name, "status", "closed");
    }
}

impl Trial for GcpRemoveExternalIp {
    fn plant(gce: &Gce, name: &str, vm: Instance) {
        let number: usize = name.trim_start_matches("web-").parse().unwrap();
        let address = format!("198.18.{}.{}", number / 250, number % 250);
        gce.seed_address(PROJECT, "europe-west1", name, &address);
        gce.seed(vm.nic(Nic::new("default").external("My NAT", &address).ptr("web.example.com.")));
    }
    fn contained(state: &Value) -> bool {
        state["vm"]["nics"][0]["accessConfigs"] == json!([])
    }
    fn undo(gce: &Gce, name: &str) {
        gce.attach_address(PROJECT, name, "by-hand", "203.0.113.250");
    }
}

impl Trial for GcpAllowBastion {
    fn plant(gce: &Gce, _: &str, vm: Instance) {
        // What trials with other ledgers left of what is shared.
        gce.clear_firewalls(PROJECT);
        gce.seed(Instance::new(PROJECT, ZONE, "bastion"));
        gce.seed(vm.tag("stanch-quarantine-0123abcd").metadata("startup-script", "exit"));
    }
    fn contained(state: &Value) -> bool {
        let keys = state["vm"]["metadata"]["ssh-keys"].as_str().unwrap_or_default();
        let tags = &state["bastion"]["tags"];
        keys.matches("ssh-ed25519").count() == 1
            && *tags == json!(["stanch-bastion"])
            && state["firewalls"].as_object().unwrap().len() == 1
    }
    fn undo(gce: &Gce, _: &str) {
        gce.clear_firewalls(PROJECT);
    }
    fn options() -> Value {
        json!({"bastion": "bastion", "public_key": KEY})
    }
}

struct Vm<R> {
    gce: Gce,
    proxy: Proxy,
    made: AtomicUsize,
    folder: tempfile::TempDir,
    of: PhantomData<R>,
}

impl<R: Trial> Vm<R> {
    fn new() -> Self {
        let gce = Gce::start().expect("the simulator starts");
        gce.timing(Timing::NONE);
        let proxy = Proxy::start(&gce.endpoint(), Dialect::Gce).expect("the proxy starts");
        let folder = tempfile::tempdir().expect("a folder");
        Self { gce, proxy, made: AtomicUsize::new(0), folder, of: PhantomData }
    }
}

fn name(target: &Target) -> String {
    let Target::GceInstance(instance) = target else { panic!("not an instance: {target}") };
    instance.name.as_ref().expect("a name").to_string()
}

impl<R: Trial> Bed for Vm<R> {
    type R = R;
    const KEEPS: bool = false;

    fn cloud(&self) -> Gcp {
        Gcp::at(&self.proxy.url(), None).expect("an address")
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join(format!("ledger-{}.db", self.made.fetch_add(1, Ordering::SeqCst)));
        Arc::new(stanch_sqlite::Sqlite::open(&path).expect("a ledger"))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        let name = format!("web-{}", self.made.fetch_add(1, Ordering::SeqCst));
        R::plant(&self.gce, &name, Instance::new(PROJECT, ZONE, &name).disk(Disk::zonal(&name).boot()).tag("web"));
        GceInstance {
            project: PROJECT.parse().unwrap(),
            zone: ZONE.parse().unwrap(),
            name: Some(name.parse().unwrap()),
            id: None,
        }
        .into()
    }

    fn guard(&self) -> Guard {
        Guard { projects: Some(vec![PROJECT.parse().unwrap()]), ..Guard::default() }
    }

    fn options(&self) -> Value {
        R::options()
    }

    fn state(&self, target: &Target) -> Value {
        let (all, name) = (self.gce.dump(PROJECT), name(target));
        let vm = &all["instances"][format!("{ZONE}/{name}")];
        let networks: Vec<&Value> = vm["nics"].as_array().unwrap().iter().map(|nic| &nic["network"]).collect();
        let rules =
            all["firewalls"].as_object().unwrap().iter().filter(|(_, rule)| networks.contains(&&rule["network"]));
        let rules: serde_json::Map<_, _> = rules.map(|(name, rule)| (name.clone(), rule.clone())).collect();
        json!({"vm": vm, "bastion": all["instances"][format!("{ZONE}/bastion")], "firewalls": rules})
    }

    fn assert_contained(&self, state: &Value) {
        assert!(R::contained(state), "{state:#}");
    }

    /// What these write is on or off: somebody who changes it undoes it, which is another clause.
    fn drift(&self, _: &Target) -> Option<&'static str> {
        None
    }

    fn undo_by_hand(&self, target: &Target) {
        R::undo(&self.gce, &name(target));
    }
}

macro_rules! contracts {
    ($($name:ident: $R:ty,)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            Box::pin(contract(&Vm::<$R>::new())).await;
        }
    )+};
}

contracts! {
    gcp_allow_bastion: GcpAllowBastion,
    gcp_isolate_instance: GcpIsolateInstance,
    gcp_mark_instance: GcpMarkInstance,
    gcp_protect_instance: GcpProtectInstance,
    gcp_remove_external_ip: GcpRemoveExternalIp,
}
