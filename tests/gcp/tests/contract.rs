//! The contract of every responder, on those that change an instance: its tags and the rules that aim at them, its
//! labels, its protection, its addresses, its keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a test")]

use gcp_allow_bastion::GcpAllowBastion;
use gcp_isolate_instance::GcpIsolateInstance;
use gcp_mark_instance::GcpMarkInstance;
use gcp_protect_instance::GcpProtectInstance;
use gcp_remove_external_ip::GcpRemoveExternalIp;
use serde_json::{Value, json};
use stanch_core::{Responder, Target};
use stanch_gcp::Gcp;
use stanch_gcp_suite::{Bench, PROJECT, Place, Trial, ZONE, name, target};
use stanch_range::gce::{Disk, Instance, Nic};

const KEY: &str = "ana:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// An instance that is seen whole: itself, the bastion, and the rules of its networks.
trait Vm: Send + Sync + 'static {
    type R: Responder<Cloud: From<Gcp>>;
    fn seed(bench: &Bench, name: &str, vm: Instance);
    fn contained(state: &Value) -> bool;
    fn undo(bench: &Bench, name: &str);
    fn options() -> Value {
        Value::Null
    }
}

struct Whole<T>(std::marker::PhantomData<T>);

/// What these write is on or off: somebody who changes it undoes it, which is another clause.
impl<T: Vm> Trial for Whole<T> {
    type R = T::R;

    fn plant(bench: &Bench, name: &str) -> Target {
        T::seed(bench, name, Instance::new(PROJECT, ZONE, name).disk(Disk::zonal(name).boot()).tag("web"));
        target(name)
    }

    fn state(bench: &Bench, target: &Target) -> Value {
        let (all, name) = (bench.gce.dump(PROJECT), name(target));
        let vm = &all["instances"][format!("{ZONE}/{name}")];
        let networks: Vec<&Value> = vm["nics"].as_array().unwrap().iter().map(|nic| &nic["network"]).collect();
        let rules =
            all["firewalls"].as_object().unwrap().iter().filter(|(_, rule)| networks.contains(&&rule["network"]));
        let rules: serde_json::Map<_, _> = rules.map(|(name, rule)| (name.clone(), rule.clone())).collect();
        json!({"vm": vm, "bastion": all["instances"][format!("{ZONE}/bastion")], "firewalls": rules})
    }

    fn assert_contained(state: &Value) {
        assert!(T::contained(state), "{state:#}");
    }

    fn undo_by_hand(bench: &Bench, target: &Target) {
        T::undo(bench, &name(target));
    }

    fn options() -> Value {
        T::options()
    }
}

struct Isolate;

impl Vm for Isolate {
    type R = GcpIsolateInstance;

    fn seed(bench: &Bench, name: &str, vm: Instance) {
        // Networks of its own: every trial has another ledger, and counts only its own users.
        bench.gce.seed(vm.nic(Nic::new(&format!("a-{name}"))).nic(Nic::new(&format!("b-{name}"))));
    }
    fn contained(state: &Value) -> bool {
        let tagged = state["vm"]["tags"].to_string().matches("stanch-quarantine-").count() == 1;
        tagged && state["firewalls"].as_object().unwrap().len() == 8
    }
    fn undo(bench: &Bench, name: &str) {
        bench.gce.untag_by_hand(PROJECT, name, "stanch-quarantine-");
    }
}

struct Protect;

impl Vm for Protect {
    type R = GcpProtectInstance;

    fn seed(bench: &Bench, _: &str, vm: Instance) {
        bench.gce.seed(vm);
    }
    fn contained(state: &Value) -> bool {
        let disks = state["vm"]["disks"].as_array().unwrap();
        state["vm"]["deletionProtection"] == true && disks.iter().all(|disk| disk["autoDelete"] == false)
    }
    fn undo(bench: &Bench, name: &str) {
        bench.gce.unprotect_by_hand(PROJECT, name);
    }
}

struct Mark;

impl Vm for Mark {
    type R = GcpMarkInstance;

    fn seed(bench: &Bench, _: &str, vm: Instance) {
        bench.gce.seed(vm.label("status", "live").label("team", "shop"));
    }
    fn contained(state: &Value) -> bool {
        let labels = &state["vm"]["labels"];
        labels["status"] == "under-investigation" && labels["team"] == "shop" && labels.as_object().unwrap().len() == 6
    }
    fn undo(bench: &Bench, name: &str) {
        bench.gce.label_by_hand(PROJECT, name, "status", "closed");
    }
}

struct RemoveExternalIp;

impl Vm for RemoveExternalIp {
    type R = GcpRemoveExternalIp;

    fn seed(bench: &Bench, name: &str, vm: Instance) {
        let number: usize = name.trim_start_matches("web-").parse().unwrap();
        let address = format!("198.18.{}.{}", number / 250, number % 250);
        bench.gce.seed_address(PROJECT, "europe-west1", name, &address);
        bench.gce.seed(vm.nic(Nic::new("default").external("My NAT", &address).ptr("web.example.com.")));
    }
    fn contained(state: &Value) -> bool {
        state["vm"]["nics"][0]["accessConfigs"] == json!([])
    }
    fn undo(bench: &Bench, name: &str) {
        bench.gce.attach_address(PROJECT, name, "by-hand", "203.0.113.250");
    }
}

struct AllowBastion;

impl Vm for AllowBastion {
    type R = GcpAllowBastion;

    fn seed(bench: &Bench, _: &str, vm: Instance) {
        // What trials with other ledgers left of what is shared.
        bench.gce.clear_firewalls(PROJECT);
        bench.gce.seed(Instance::new(PROJECT, ZONE, "bastion"));
        bench.gce.seed(vm.tag("stanch-quarantine-0123abcd").metadata("startup-script", "exit"));
    }
    fn contained(state: &Value) -> bool {
        let keys = state["vm"]["metadata"]["ssh-keys"].as_str().unwrap_or_default();
        let tags = &state["bastion"]["tags"];
        keys.matches("ssh-ed25519").count() == 1
            && *tags == json!(["stanch-bastion"])
            && state["firewalls"].as_object().unwrap().len() == 1
    }
    fn undo(bench: &Bench, _: &str) {
        bench.gce.clear_firewalls(PROJECT);
    }
    fn options() -> Value {
        json!({"bastion": "bastion", "public_key": KEY})
    }
}

macro_rules! contracts {
    ($($name:ident: $Vm:ty,)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            Box::pin(Place::<Whole<$Vm>>::keeps_the_contract()).await;
        }
    )+};
}

contracts! {
    gcp_allow_bastion: AllowBastion,
    gcp_isolate_instance: Isolate,
    gcp_mark_instance: Mark,
    gcp_protect_instance: Protect,
    gcp_remove_external_ip: RemoveExternalIp,
}
