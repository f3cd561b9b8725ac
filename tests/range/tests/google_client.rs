//! Google's own Python client drives every call that the simulator answers, and checks what comes back against the
//! discovery documents that it brings.

use std::process::Command;

use serde_json::json;
use stanch_range::gce::{Account, Disk, Gce, Group, Instance, Nic};

use crate::skipped;

const SCRIPT: &str = include_str!("google_client.py");
const PROJECT: &str = "acme-prod";

#[test]
fn googles_python_client_finds_what_its_documents_say() {
    let python = match stanch_range::moto::ensure_google_venv() {
        Ok(python) => python,
        Err(why) => return skipped(&format!("google-api-python-client is not installed: {why}")),
    };
    let gce = Gce::start().unwrap();
    gce.seed(
        Instance::new(PROJECT, "europe-west1-b", "web-1")
            .disk(Disk::zonal("web-1").boot())
            .disk(Disk::regional("shared", &["europe-west1-b", "europe-west1-c"]))
            .local_ssd()
            .nic(Nic::new("default").external("External NAT", "203.0.113.7").ptr("web.example.com."))
            .nic(Nic::new("data").external_ipv6("external-ipv6", "2600:1900:4010:1::"))
            .service_account("web@acme-prod.iam.gserviceaccount.com")
            .tag("web")
            .label("team", "shop")
            .metadata("startup-script", "true"),
    );
    for name in ["node-a", "node-b", "node-c"] {
        gce.seed(Instance::new(PROJECT, "europe-west1-b", name).disk(Disk::zonal(name).boot()));
        gce.seed(Instance::new(PROJECT, "europe-west1-c", &format!("r-{name}")));
    }
    gce.seed_group(Group::zonal(PROJECT, "europe-west1-b", "pool").member("node-a").member("node-b").member("node-c"));
    gce.seed_group(
        Group::regional(PROJECT, "europe-west1", "wide")
            .member("europe-west1-c/r-node-a")
            .member("europe-west1-c/r-node-b")
            .member("europe-west1-c/r-node-c"),
    );
    gce.seed_address(PROJECT, "europe-west1", "front", "203.0.113.7");
    gce.seed_policy(
        PROJECT,
        json!({"name": "1234", "shortName": "org", "type": "HIERARCHY", "priority": 1000, "rules": [
            {"action": "allow", "direction": "INGRESS", "priority": 10, "enableLogging": false,
             "match": {"srcIpRanges": ["35.235.240.0/20"], "layer4Configs": [{"ipProtocol": "tcp", "ports": ["22"]}]}},
        ]}),
    );
    gce.seed_account(
        Account::new(PROJECT, "web@acme-prod.iam.gserviceaccount.com")
            .key("ab12")
            .system_key("cd34")
            .binding("roles/iam.workloadIdentityUser", &["serviceAccount:acme-prod.svc.id.goog[shop/web]"]),
    );
    gce.page_size(2);
    let done = Command::new(python)
        .args(["-c", SCRIPT, &gce.endpoint(), PROJECT])
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );

    // What the client did is there.
    let state = gce.dump(PROJECT);
    let web = &state["instances"]["europe-west1-b/web-1"];
    assert_eq!(web["tags"], json!(["web", "quarantine"]));
    assert_eq!(web["labels"], json!({"team": "shop", "stanch-incident": "inc-1"}));
    assert_eq!(web["metadata"], json!({"startup-script": "true", "ssh-keys": "ana:ssh-ed25519 AAAA"}));
    assert_eq!(web["deletionProtection"], true);
    assert_eq!(web["disks"][0]["autoDelete"], false);
    assert_eq!(web["nics"][0]["accessConfigs"][0]["address"], "203.0.113.7");
    assert_eq!(web["nics"][1]["ipv6AccessConfigs"], json!([]));
    assert_eq!(web["serviceAccount"], json!(null));
    assert_eq!(state["firewalls"]["deny-in"]["priority"], 5);
    assert_eq!(state["firewalls"]["deny-out"], json!(null));
    assert_eq!(state["groups"]["zones/europe-west1-b/pool"]["targetSize"], 2);
    assert_eq!(state["groups"]["regions/europe-west1/wide"]["targetSize"], 1);
    let account = &state["serviceAccounts"]["web@acme-prod.iam.gserviceaccount.com"];
    assert_eq!(
        account,
        &json!({"disabled": true, "keys": [{"id": "ab12", "disabled": true}, {"id": "cd34", "disabled": false}], "policy": []})
    );
}
