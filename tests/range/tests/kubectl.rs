//! The simulator, by the real program.

use std::process::Command;

use stanch_range::kube::{ADMIN, Kube};
use stanch_range::scenario::{self, NODE};

use crate::{installed, skipped};

#[test]
fn kubectl_drives_the_simulator() {
    if !installed("kubectl") {
        return skipped("kubectl is not installed");
    }
    let kube = Kube::start().unwrap();
    scenario::k8s(&kube);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    kube.kubeconfig(&config, ADMIN).unwrap();
    let kubectl = |args: &[&str]| {
        let done = Command::new("kubectl")
            .args(args)
            .env("KUBECONFIG", &config)
            .env("HOME", folder.path())
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        assert!(done.status.success(), "{args:?}: {}", text(done.stderr));
        text(done.stdout)
    };
    assert!(kubectl(&["get", "nodes"]).contains(NODE));
    kubectl(&["cordon", NODE]);
    kubectl(&["taint", "node", NODE, "stanch.dev/quarantine=:NoSchedule"]);
    let node = kube.node(NODE).unwrap();
    assert_eq!(node["spec"]["unschedulable"], true);
    let keys: Vec<_> = node["spec"]["taints"].as_array().unwrap().iter().map(|taint| taint["key"].clone()).collect();
    assert!(keys.contains(&"stanch.dev/quarantine".into()), "{keys:?}");
    kubectl(&["taint", "node", NODE, "stanch.dev/quarantine-"]);
    kubectl(&["uncordon", NODE]);
    assert_eq!(kube.node(NODE).unwrap()["spec"].get("taints"), None);
    assert!(
        kubectl(&["get", "pods", "-A", "--field-selector", &format!("spec.nodeName={NODE}"), "-o", "name"])
            .contains("web-")
    );
}
