//! The rules of Cloud Logging, one by one, on an entry with one change.

use serde_json::{Value, json};
use stanch_core::{Alert, Result, Severity};

use crate::{Context, decode};

fn audit(method: &str, name: &str) -> Value {
    json!({
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "methodName": method, "resourceName": name,
            "authenticationInfo": {"principalEmail": "alice@example.com"},
        },
        "insertId": "1", "timestamp": "2026-11-19T22:41:37Z",
        "logName": "projects/shop-prod/logs/cloudaudit.googleapis.com%2Factivity",
        "resource": {"type": "k8s_cluster", "labels": {
            "project_id": "shop-prod", "location": "europe-west1", "cluster_name": "shop"}},
    })
}

fn gce(labels: &Value) -> Value {
    json!({
        "jsonPayload": {}, "logName": "projects/shop-prod/logs/miner", "timestamp": "2026-11-19T22:41:37Z",
        "resource": {"type": "gce_instance", "labels": labels},
    })
}

fn read(entry: &Value) -> Result<Alert> {
    read_in("", entry)
}

fn read_in(cluster: &str, entry: &Value) -> Result<Alert> {
    let context = Context::new(cluster.parse().ok(), "2026-11-20T00:00:00Z".parse().expect("a time"));
    Ok(decode(entry.to_string().as_bytes(), &context)?.remove(0))
}

fn names(alert: &Alert) -> Vec<String> {
    alert.subjects.iter().map(ToString::to_string).collect()
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    document.pointer_mut(parent).expect("a parent")[key] = value;
    document
}

/// What Falco printed, as an agent sends it that does not look into the line.
#[test]
fn a_line_of_falco_is_its_alert_and_accuses_no_pod_by_where_it_was_printed() -> Result<()> {
    let alert = json!({"rule": "Terminal shell in container", "priority": "Critical", "output": "a shell",
        "time": "2026-11-19T22:41:37.123456789Z", "hostname": "n-1", "source": "syscall",
        "output_fields": {"k8s.ns.name": "web", "k8s.pod.name": "cart", "container.id": "6f1c9e0b7d52"}});
    let entry = |namespace: &str, payload: (&str, Value)| {
        let mut entry = json!({
            "insertId": "1", "logName": "projects/shop-prod/logs/stdout", "timestamp": "2026-11-19T22:41:38Z",
            "resource": {"type": "k8s_container", "labels": {
                "project_id": "shop-prod", "location": "europe-west1", "cluster_name": "shop",
                "namespace_name": namespace, "pod_name": "falco-x7k2p", "container_name": "falco"}},
        });
        entry[payload.0] = payload.1;
        entry
    };
    let line = alert.to_string();
    for payload in [
        ("textPayload", json!(format!("{line}\n"))),
        ("jsonPayload", json!({"log": line, "stream": "stdout"})),
        ("jsonPayload", json!({"message": line})),
        ("jsonPayload", alert),
    ] {
        let alert = read(&entry("falco", payload.clone()))?;
        assert_eq!(names(&alert), ["pod/web/cart"], "{payload:?}");
        assert_eq!((alert.rule.as_str(), alert.severity), ("Terminal shell in container", Some(Severity::High)));
        // The same line of somebody else's container proves nothing.
        assert_eq!(names(&read(&entry("web", payload))?), Vec::<String>::new());
    }
    let two = json!({"log": r#"{"rule": "A", "priority": "Critical"}"#, "message": r#"{"rule": "B", "priority": "Critical"}"#});
    let error = read(&entry("falco", ("jsonPayload", two))).expect_err("they disagree");
    assert!(error.to_string().contains("disagrees with another line"), "{error}");
    let other = read(&entry("falco", ("textPayload", json!("Falco initialized with configuration file"))))?;
    assert_eq!((names(&other), other.note.is_some()), (vec![], true));
    Ok(())
}

/// An agent that takes the alert's time for the entry's leaves none in the alert.
#[test]
fn a_falco_alert_without_a_time_is_from_when_its_entry_is() -> Result<()> {
    let alert = json!({"rule": "Terminal shell in container", "priority": "Critical", "source": "syscall",
        "time": "2026-11-19T21:59:59.5Z", "output_fields": {"k8s.ns.name": "web", "k8s.pod.name": "cart"}});
    let entry = |alert: &Value, times: &[(&str, &str)]| {
        let mut entry = json!({
            "insertId": "1", "logName": "projects/shop-prod/logs/stdout", "jsonPayload": alert,
            "resource": {"type": "k8s_container", "labels": {
                "project_id": "shop-prod", "location": "europe-west1", "cluster_name": "shop",
                "namespace_name": "falco", "pod_name": "falco-x7k2p", "container_name": "falco"}},
        });
        for (key, time) in times {
            entry[*key] = json!(time);
        }
        entry
    };
    let (stamp, received) = (("timestamp", "2026-11-19T22:00:00Z"), ("receiveTimestamp", "2026-11-19T23:00:01Z"));
    let seen = |document: &Value| read(document).map(|alert| alert.last_seen.map(|it| it.to_string()));
    let own = read(&entry(&alert, &[stamp, received]))?;
    assert_eq!(own.last_seen, "2026-11-19T21:59:59.5Z".parse().ok());
    for lost in [json!(null), json!("22:00:00.0"), json!(1_763_589_600.5)] {
        let lost = with(alert.clone(), "/time", lost);
        let by_stamp = entry(&lost, &[stamp, received]);
        assert_eq!(seen(&by_stamp)?.as_deref(), Some(stamp.1));
        assert_eq!(seen(&entry(&lost, &[received]))?.as_deref(), Some(received.1));
        // The hour that tells incidents apart is that of the same time.
        let whole = entry(&with(alert.clone(), "/time", json!(stamp.1)), &[received]);
        assert_eq!(read(&by_stamp)?.incident, read(&whole)?.incident);
        assert_ne!(read(&by_stamp)?.incident, own.incident);
        let exact = with(lost.clone(), "/output_fields/evt.time", json!(1_795_125_600_000_000_001_i64));
        assert_eq!(seen(&entry(&exact, &[stamp]))?.as_deref(), Some("2026-11-19T22:00:00.000000001Z"));
        let rounded = with(lost.clone(), "/output_fields/evt.time", json!(1.795_125_6e18));
        assert_eq!(seen(&entry(&rounded, &[stamp]))?.as_deref(), Some(stamp.1));
        assert!(read(&entry(&lost, &[])).is_err());
    }
    Ok(())
}

#[test]
fn a_federated_caller_is_in_the_cluster_that_it_called_only_if_the_context_says_so() -> Result<()> {
    let account = "shop-prod.svc.id.goog[web/deployer]";
    let exec = |principal: &str, delegation: Value| {
        let it = audit("io.k8s.core.v1.pods.exec.create", "core/v1/namespaces/web/pods/cart/exec");
        let it = with(it, "/protoPayload/authenticationInfo/principalEmail", json!(principal));
        with(it, "/protoPayload/authenticationInfo/serviceAccountDelegationInfo", delegation)
    };
    let delegated = json!([{ "principalSubject": format!("serviceAccount:{account}") }]);
    let shop = "gke:shop-prod/europe-west1/shop";
    for call in [exec(account, json!(null)), exec("ci@shop-prod.iam.gserviceaccount.com", delegated)] {
        assert_eq!(names(&read_in(shop, &call)?), ["pod/web/cart", "serviceaccount/web/deployer"]);
        // All clusters of the project share its pool, and an account of that name in another one is not its caller.
        for context in ["", "gke:shop-prod/europe-west1/other", "gke:other-one/europe-west1/shop"] {
            let alert = read_in(context, &call)?;
            assert_eq!(names(&alert), ["pod/web/cart"], "{context}");
            assert!(alert.note.is_some_and(|note| note.contains("of a cluster that is not named")), "{context}");
        }
    }
    let direct = exec("ci@shop-prod.iam.gserviceaccount.com", json!(null));
    let alert = read(&direct)?;
    assert_eq!(names(&alert), ["pod/web/cart", "ci@shop-prod.iam.gserviceaccount.com"]);
    assert_eq!(alert.note.as_deref(), Some("a command was run in the pod (exec)"));
    Ok(())
}

#[test]
fn an_object_is_named_whatever_the_verb() -> Result<()> {
    for (method, name, expected) in [
        ("io.k8s.core.v1.pods.exec.create", "core/v1/namespaces/web/pods/cart/exec", vec!["pod/web/cart"]),
        ("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/web/pods/cart/exec", vec!["pod/web/cart"]),
        ("io.k8s.core.v1.pods.attach.get", "core/v1/namespaces/web/pods/cart/attach", vec!["pod/web/cart"]),
        ("io.k8s.core.v1.pods.portforward.get", "core/v1/namespaces/web/pods/cart/portforward", vec!["pod/web/cart"]),
        ("io.k8s.core.v1.pods.create", "core/v1/namespaces/web/pods/cart", vec!["pod/web/cart"]),
        ("io.k8s.core.v1.pods.deletecollection", "core/v1/namespaces/web/pods", vec![]),
        ("io.k8s.core.v1.nodes.proxy.get", "core/v1/nodes/n-1/proxy/run", vec!["node/n-1"]),
        ("io.k8s.core.v1.nodes.proxy.get", "core/v1/nodes/https:n-1:10250/proxy/run//../x", vec!["node/n-1"]),
        ("sh.volcano.batch.v1alpha1.jobs.create", "batch.volcano.sh/v1alpha1/namespaces/web/jobs/train", vec![]),
        ("io.k8s.apps.v1.daemonsets.create", "apps/v1/namespaces/web/daemonsets/d", vec!["daemonsets/web/d"]),
        ("io.k8s.core.v1.secrets.get", "core/v1/namespaces/web/secrets/s", vec![]),
        (
            "io.k8s.authorization.rbac.v1.clusterroles.create",
            "rbac.authorization.k8s.io/v1/clusterroles/system:x",
            vec![],
        ),
    ] {
        let alert = read(&audit(method, name))?;
        assert_eq!((names(&alert), alert.rule.as_str()), (expected.into_iter().map(str::to_owned).collect(), method));
        assert!(!alert.subjects.is_empty() || alert.note.is_some(), "{method}");
    }
    assert!(read(&audit("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/web/daemonsets/cart")).is_err());
    assert!(read(&audit("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/WEB/pods/cart/exec")).is_err());
    Ok(())
}

#[test]
fn a_failed_call_and_an_asked_for_authority_are_shown() -> Result<()> {
    let exec = audit("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/web/pods/cart/exec");
    let failed = read(&with(exec.clone(), "/protoPayload/status", json!({"code": 7})))?;
    assert_eq!(
        (failed.inactive.as_deref(), names(&failed)),
        (Some("the call failed"), vec!["pod/web/cart".to_owned()])
    );
    let refused = read(&with(exec.clone(), "/labels", json!({"authorization.k8s.io/decision": "forbid"})))?;
    assert!(refused.inactive.is_some());
    assert_eq!(read(&with(exec.clone(), "/protoPayload/status", json!({"code": 0})))?.inactive, None);
    let asked = with(exec, "/protoPayload/authenticationInfo/authoritySelector", json!("system:node:victim"));
    let alert = read(&asked)?;
    assert_eq!(alert.acted_as.as_deref(), Some("system:node:victim"));
    assert_eq!(names(&alert), ["pod/web/cart"]);
    Ok(())
}

#[test]
fn an_instance_is_named_by_label_or_by_resource_name() -> Result<()> {
    let labels = json!({"project_id": "shop-prod", "zone": "europe-west1-b", "instance_id": "42"});
    assert_eq!(names(&read(&gce(&labels))?), ["instance/europe-west1-b/42"]);
    for missing in ["project_id", "zone", "instance_id"] {
        let alert = read(&gce(&with(json!({ "it": labels }), &format!("/it/{missing}"), json!(null))["it"]))?;
        // The log names the project as well.
        assert_eq!(alert.subjects.len(), usize::from(missing == "project_id"), "{missing}");
    }
    let by_name = |path: &str| {
        let it = audit("v1.compute.instances.stop", path);
        with(with(it, "/resource/type", json!("gce_instance")), "/resource/labels", labels.clone())
    };
    for path in [
        "projects/shop-prod/zones/europe-west1-b/instances/vm",
        "projects/777/zones/europe-west1-b/instances/vm/SerialPort/1",
    ] {
        assert_eq!(names(&read(&by_name(path))?), ["instance/europe-west1-b/vm"]);
    }
    assert_eq!(
        names(&read(&by_name("projects/shop-prod/zones/europe-west1-b/instances/42"))?),
        ["instance/europe-west1-b/42"]
    );
    for wrong in [
        "projects/other-one/zones/europe-west1-b/instances/vm",
        "projects/shop-prod/zones/europe-west1-c/instances/vm",
        "projects/shop-prod/zones/europe-west1-b/instances/43",
        "projects/shop-prod/zones/europe-west1-b/instances/VM",
        "projects/shop-prod/zones/../instances/vm",
    ] {
        assert!(read(&by_name(wrong)).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn only_google_can_write_an_audit_entry() {
    let exec = audit("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/web/pods/cart/exec");
    for (log, is_right) in [
        ("projects/shop-prod/logs/cloudaudit.googleapis.com%2Fdata_access", true),
        ("projects/123456789012/logs/cloudaudit.googleapis.com%2Factivity", true),
        ("organizations/1/logs/cloudaudit.googleapis.com%2Factivity", true),
        ("projects/shop-prod/logs/app", false),
        ("projects/shop-prod/logs/cloudaudit.googleapis.com.evil%2Factivity", false),
        ("projects/evil-project/logs/cloudaudit.googleapis.com%2Factivity", false),
        ("cloudaudit.googleapis.com%2Factivity", false),
        ("projects/../logs/cloudaudit.googleapis.com%2Factivity", false),
    ] {
        assert_eq!(read(&with(exec.clone(), "/logName", json!(log))).is_ok(), is_right, "{log}");
    }
}

#[test]
fn a_service_account_is_named_alike_by_label_and_by_resource_name() -> Result<()> {
    let labels =
        json!({"project_id": "shop-prod", "email_id": "ci@shop-prod.iam.gserviceaccount.com", "unique_id": "1"});
    let call = |name: &str| {
        let it = audit("google.iam.admin.v1.CreateServiceAccountKey", name);
        read(&with(with(it, "/resource/type", json!("service_account")), "/resource/labels", labels.clone()))
    };
    for name in
        ["projects/-/serviceAccounts/1", "projects/-/serviceAccounts/ci@shop-prod.iam.gserviceaccount.com/keys/k"]
    {
        assert_eq!(names(&call(name)?), ["ci@shop-prod.iam.gserviceaccount.com"], "{name}");
    }
    let other = call("projects/shop-prod/serviceAccounts/victim@shop-prod.iam.gserviceaccount.com");
    let error = other.expect_err("they disagree").to_string();
    assert!(error.contains("protoPayload.resourceName: disagrees with resource.labels.email_id"), "{error}");
    Ok(())
}

#[test]
fn a_flow_counts_in_a_log_of_flows_only() -> Result<()> {
    let instance = json!({"project_id": "shop-prod", "zone": "europe-west1-b", "vm_name": "vm"});
    let flow = |log: &str| {
        let it = with(gce(&json!({})), "/resource/type", json!("gce_subnetwork"));
        let it = with(it, "/jsonPayload", json!({"reporter": "SRC", "src_instance": instance}));
        read(&with(it, "/logName", json!(format!("projects/shop-prod/logs/{log}"))))
    };
    for log in ["compute.googleapis.com%2Fvpc_flows", "networkmanagement.googleapis.com%2Fvpc_flows"] {
        assert_eq!(names(&flow(log)?), ["instance/europe-west1-b/vm"], "{log}");
    }
    for log in ["my_vpc_flows", "compute.googleapis.com.evil%2Fvpc_flows", "threatdetection.googleapis.com.evil"] {
        assert_eq!(names(&flow(log)?), [""; 0], "{log}");
    }
    Ok(())
}

#[test]
fn severities_are_mapped() -> Result<()> {
    for (word, expected) in [
        ("DEFAULT", None),
        ("DEBUG", Some(Severity::Info)),
        ("INFO", Some(Severity::Info)),
        ("NOTICE", Some(Severity::Low)),
        ("WARNING", Some(Severity::Medium)),
        ("ERROR", Some(Severity::Medium)),
        ("CRITICAL", Some(Severity::High)),
        ("ALERT", Some(Severity::Critical)),
        ("EMERGENCY", Some(Severity::Critical)),
    ] {
        assert_eq!(read(&with(gce(&json!({})), "/severity", json!(word)))?.severity, expected, "{word}");
    }
    for wrong in [json!("critical"), json!(500), json!("")] {
        assert!(read(&with(gce(&json!({})), "/severity", wrong.clone())).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn an_entry_is_one_incident_and_another_is_another() -> Result<()> {
    let exec = audit("io.k8s.core.v1.pods.exec.get", "core/v1/namespaces/web/pods/cart/exec");
    let first = read(&exec)?.incident;
    assert!(first.as_str().starts_with("gcplog-") && first.as_str().len() == 31, "{first}");
    assert_eq!(read(&with(exec.clone(), "/receiveTimestamp", json!("2026-11-19T23:00:00Z")))?.incident, first);
    for (pointer, value) in [("/insertId", "2"), ("/timestamp", "2026-11-19T22:41:38Z"), ("/insertId", "")] {
        assert_ne!(read(&with(exec.clone(), pointer, json!(value)))?.incident, first, "{pointer}");
    }
    // Without an insertId the call is its identity; with nothing at all, the whole entry is.
    let lost = |pod: &str| {
        let name = format!("core/v1/namespaces/web/pods/{pod}/exec");
        read(&with(audit("io.k8s.core.v1.pods.exec.get", &name), "/insertId", json!(null)))
    };
    assert_eq!(lost("a")?.incident, lost("a")?.incident);
    assert_ne!(lost("a")?.incident, lost("b")?.incident);
    let bare = |id: &str| read(&gce(&json!({"project_id": "shop-prod", "zone": "europe-west1-b", "instance_id": id})));
    assert_ne!(bare("1")?.incident, bare("2")?.incident);
    Ok(())
}
