//! The rules of Security Command Center, one by one, on a finding with one change.

use serde_json::{Value, json};
use stanch_core::{Result, Severity};

use crate::testing::{alert, alerts, names, with};

const VM: &str = "//compute.googleapis.com/projects/shop-prod/zones/europe-west1-b/instances/vm-1";
const CLUSTER: &str = "//container.googleapis.com/projects/shop-prod/locations/europe-west1/clusters/shop";
const SHOP: &str = "gke:shop-prod/europe-west1/shop";

fn finding(resource: &str) -> Value {
    json!({
        "notificationConfigName": "organizations/1/notificationConfigs/c",
        "finding": {
            "name": "organizations/1/sources/22/findings/abc", "parent": "organizations/1/sources/22",
            "canonicalName": "projects/777/sources/22/findings/abc", "resourceName": resource,
            "state": "ACTIVE", "mute": "UNDEFINED", "category": "Malware: Bad Domain", "severity": "HIGH",
            "eventTime": "2026-11-19T22:41:37Z", "createTime": "2026-11-19T22:00:00Z", "sourceProperties": {},
        },
        "resource": {"name": resource, "project": "//cloudresourcemanager.googleapis.com/projects/777",
            "projectDisplayName": "shop-prod"},
    })
}

fn subjects(document: &Value) -> Result<Vec<String>> {
    alert("", document).map(|alert| names(&alert))
}

#[test]
fn a_finding_is_read_in_every_wrapping_of_the_api() -> Result<()> {
    let notification = finding(VM);
    let expected = alert("", &notification)?;
    assert_eq!(names(&expected), ["gcp:shop-prod instance/europe-west1-b/vm-1"]);
    assert_eq!(expected.incident.as_str(), "scc-22-abc");
    assert_eq!(expected.id.as_deref(), Some("organizations/1/sources/22/findings/abc"));
    assert_eq!((expected.severity, expected.inactive.as_ref()), (Some(Severity::High), None));
    let (inner, resource) = (notification["finding"].clone(), notification["resource"].clone());
    for document in [
        with(notification.clone(), "/notificationConfigName", json!(null)),
        with(inner.clone(), "/resource", resource.clone()),
        json!({"findings": inner, "resource": resource}),
        json!({"listFindingsResults": [{"finding": inner, "resource": resource}]}),
        inner,
    ] {
        assert_eq!(alert("", &document)?, expected, "{document}");
    }
    // As v2 names it, it is the same incident.
    let second = with(notification, "/finding/name", json!("organizations/1/sources/22/locations/global/findings/abc"));
    assert_eq!(alert("", &second)?.incident, expected.incident);
    Ok(())
}

#[test]
fn each_place_of_a_vm_is_read_and_a_second_must_agree() -> Result<()> {
    let project = "//cloudresourcemanager.googleapis.com/projects/777";
    let details = "/finding/sourceProperties/properties/instanceDetails";
    let affected = |name: &str| json!([{"gcpResourceName": project}, {"gcpResourceName": name}]);
    let brute = json!({
        "projectId": "shop-prod", "zone": "europe-west1-b", "instanceId": "42",
        "attempts": [{"vmName": "vm-1", "authResult": "FAIL"}, {"vmName": "vm-1", "authResult": "SUCCESS"}],
    });
    let by_name = ["gcp:shop-prod instance/europe-west1-b/vm-1"];
    for document in [
        with(finding(project), details, json!("/projects/shop-prod/zones/europe-west1-b/instances/vm-1")),
        with(finding(project), "/finding/sourceProperties/affectedResources", affected(VM)),
        with(finding(project), "/finding/sourceProperties/properties", brute.clone()),
        with(finding(VM), details, json!("projects/shop-prod/zones/europe-west1-b/instances/vm-1")),
        with(finding(VM), details, json!("/projects/777/zones/europe-west1-b/instances/vm-1")),
        with(finding(VM), "/finding/sourceProperties/affectedResources", affected(VM)),
        with(finding(VM), "/resource/displayName", json!("vm-1")),
        with(finding(VM), "/resource/displayName", json!("The web server")),
        with(finding(VM), "/finding/sourceProperties/properties", brute.clone()),
        with(finding(VM), "/finding/sourceProperties/properties/gceInstanceId", json!("42")),
        with(finding(&VM.replace("shop-prod", "777")), "/resource/projectDisplayName", json!("shop-prod")),
    ] {
        assert_eq!(subjects(&document)?, by_name, "{document}");
    }
    let other = VM.replace("vm-1", "vm-2");
    for document in [
        with(finding(VM), "/resource/name", json!(other)),
        with(finding(VM), "/resource/name", json!(CLUSTER)),
        with(finding(VM), "/resource/projectDisplayName", json!("other-one")),
        with(finding(VM), details, json!("/projects/shop-prod/zones/europe-west1-b/instances/vm-2")),
        with(finding(VM), details, json!("/projects/shop-prod/zones/europe-west1-c/instances/vm-1")),
        with(finding(VM), details, json!("/projects/other-one/zones/europe-west1-b/instances/vm-1")),
        with(finding(VM), details, json!("/projects/shop-prod/zones/../instances/vm-1")),
        with(finding(VM), "/finding/sourceProperties/affectedResources", affected(&other)),
        with(finding(VM), "/resource/displayName", json!("vm-2")),
        with(
            finding(VM),
            "/finding/sourceProperties/properties",
            with(brute.clone(), "/zone", json!("europe-west1-c")),
        ),
        with(
            finding(project),
            "/finding/sourceProperties/properties",
            with(brute, "/attempts/1/vmName", json!("vm-2")),
        ),
        finding(""),
        finding("vm-1"),
        finding("//compute.googleapis.com/projects/shop-prod/zones/../../other/zones/z/instances/i"),
    ] {
        assert!(subjects(&document).is_err(), "{document}");
    }
    Ok(())
}

#[test]
fn a_numeric_id_comes_with_the_name_that_is_shown() -> Result<()> {
    let document = with(finding(&VM.replace("vm-1", "5289438569693667937")), "/resource/displayName", json!("vm-1"));
    let alert = alert("", &document)?;
    let json = serde_json::to_value(&alert.subjects).expect("json");
    assert_eq!((json[0]["id"].as_str(), json[0]["name"].as_str()), (Some("5289438569693667937"), Some("vm-1")));
    Ok(())
}

fn container_threat() -> Value {
    let pod =
        json!({"ns": "web", "name": "cart-1", "containers": [{"name": "cart", "uri": "registry.example.com/cart:1"}]});
    let mut document = finding(CLUSTER);
    document["finding"]["category"] = json!("Added Binary Executed");
    document["finding"]["parentDisplayName"] = json!("Container Threat Detection");
    document["finding"]["kubernetes"] = json!({"pods": [pod.clone(), pod]});
    document["finding"]["sourceProperties"] = json!({
        "Pod_Namespace": "web", "Pod_Name": "cart-1", "Container_Name": "cart",
        "Container_Image_Uri": "registry.example.com/cart:1", "VM_Instance_Name": VM,
    });
    document
}

#[test]
fn container_threat_detection_names_pod_image_node_and_vm() -> Result<()> {
    let expected = [
        format!("{SHOP} pod/web/cart-1"),
        format!("{SHOP} image/registry.example.com/cart:1"),
        format!("{SHOP} node/vm-1"),
        "gcp:shop-prod instance/europe-west1-b/vm-1".to_owned(),
    ];
    assert_eq!(subjects(&container_threat())?, expected);
    // Google's page prints the properties beside the finding.
    let mut beside = container_threat();
    beside["sourceProperties"] = beside["finding"]["sourceProperties"].take();
    assert_eq!(subjects(&beside)?, expected);
    // The node by name alone.
    let node = with(container_threat(), "/finding/sourceProperties/VM_Instance_Name", json!("gke-node-1"));
    assert_eq!(subjects(&node)?[2..], [format!("{SHOP} node/gke-node-1")]);
    for (pointer, value) in [
        ("/finding/sourceProperties/Pod_Name", "other"),
        ("/finding/sourceProperties/Container_Image_Uri", "evil.example.com/x"),
        ("/finding/kubernetes/pods/0/name", "../x"),
        ("/finding/sourceProperties/VM_Instance_Name", "a b"),
    ] {
        assert!(subjects(&with(container_threat(), pointer, json!(value))).is_err(), "{pointer}");
    }
    Ok(())
}

#[test]
fn a_pod_that_is_the_resource_is_one_of_those_listed() -> Result<()> {
    let of = |name: &str| -> Value {
        let mut document = finding(&format!("{CLUSTER}/k8s/namespaces/web/pods/{name}"));
        document["finding"]["kubernetes"] = json!({"pods": [{"ns": "web", "name": "cart-1"}]});
        document
    };
    assert_eq!(subjects(&of("cart-1"))?, [format!("{SHOP} pod/web/cart-1")]);
    let error = subjects(&of("cart-2")).expect_err("they disagree");
    assert!(error.to_string().contains("is not among finding.kubernetes.pods"), "{error}");
    let mut older = of("cart-2");
    older["finding"]["kubernetes"] = json!(null);
    older["finding"]["sourceProperties"] = json!({"Pod_Namespace": "web", "Pod_Name": "cart-1"});
    assert!(subjects(&older).is_err());
    // Its workload is another thing, and no contradiction.
    let mut document = of("cart-1");
    for place in ["/finding/resourceName", "/resource/name"] {
        document = with(document, place, json!(format!("{CLUSTER}/k8s/namespaces/web/apps/deployments/cart")));
    }
    assert_eq!(subjects(&document)?.len(), 2);
    Ok(())
}

#[test]
fn what_the_resource_is_must_be_among_what_is_listed_of_its_kind() -> Result<()> {
    let of = |path: &str, kubernetes: &Value| {
        subjects(&with(finding(&format!("{CLUSTER}/k8s/{path}")), "/finding/kubernetes", kubernetes.clone()))
    };
    let object = |kind: &str, name: &str| json!({"group": "", "kind": kind, "ns": "web", "name": name});
    for (kind, place) in [
        ("ServiceAccount", "serviceaccounts"),
        ("Deployment", "apps/deployments"),
        ("ReplicaSet", "apps/replicasets"),
        ("DaemonSet", "apps/daemonsets"),
        ("StatefulSet", "apps/statefulsets"),
        ("Job", "batch/jobs"),
        ("CronJob", "batch/cronjobs"),
        ("ReplicationController", "replicationcontrollers"),
        ("Pod", "pods"),
    ] {
        let path = format!("namespaces/web/{place}/cart");
        let listed = |names: &[&str]| json!({"objects": names.iter().map(|it| object(kind, it)).collect::<Vec<_>>()});
        assert_eq!(of(&path, &listed(&["cart"]))?.len(), 1, "{kind}");
        assert_eq!(of(&path, &listed(&["cart-2", "cart"]))?.len(), 2, "{kind}");
        let error = of(&path, &listed(&["cart-2"])).expect_err(kind).to_string();
        assert!(error.contains("is not among finding.kubernetes.objects"), "{error}");
        // Another namespace's of the same name is another one.
        let other = with(listed(&["cart"]), "/objects/0/ns", json!("other"));
        assert!(of(&path, &other).is_err(), "{kind}");
        // What owns it, or runs as it, is of another kind.
        let owner = if kind == "Deployment" { "ReplicaSet" } else { "Deployment" };
        assert_eq!(of(&path, &json!({"objects": [object(owner, "shop")]}))?.len(), 2, "{kind}");
    }
    // Several pods, of which the resource is one, and their owner.
    let many = json!({
        "pods": [{"ns": "web", "name": "cart-1"}, {"ns": "web", "name": "cart-2"}],
        "objects": [object("Deployment", "cart")],
    });
    assert_eq!(
        of("namespaces/web/pods/cart-2", &many)?,
        ["pod/web/cart-2", "pod/web/cart-1", "deployments/web/cart"].map(|it| format!("{SHOP} {it}"))
    );
    assert!(of("namespaces/web/pods/cart-3", &many).is_err());
    // The two lists are one finding's as well.
    let two = json!({"pods": [{"ns": "web", "name": "cart-1"}], "objects": [object("Pod", "cart-2")]});
    assert!(of("namespaces/web/pods/cart-1", &two).is_err());
    Ok(())
}

#[test]
fn a_node_that_is_the_resource_is_one_of_those_listed() -> Result<()> {
    let node = |name: &str| finding(&format!("{CLUSTER}/k8s/nodes/{name}"));
    let listed = |document: Value, names: &[&str]| {
        let nodes: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        subjects(&with(document, "/finding/kubernetes", json!({ "nodes": nodes })))
    };
    let vm = "gcp:shop-prod instance/europe-west1-b/vm-1";
    assert_eq!(listed(node("vm-1"), &[VM])?, [format!("{SHOP} node/vm-1"), vm.to_owned()]);
    assert_eq!(listed(node("vm-1"), &["vm-1"])?, [format!("{SHOP} node/vm-1")]);
    assert_eq!(listed(node("vm-1"), &["vm-2", VM])?.len(), 3);
    // A VM's number says nothing about the node's name.
    assert!(listed(node("vm-1"), &[&VM.replace("vm-1", "42")]).is_ok());
    assert_eq!(listed(finding(VM), &[VM])?, [vm]);
    let other = VM.replace("vm-1", "vm-2");
    for (document, names) in [
        (node("vm-1"), [other.as_str()]),
        (node("vm-1"), ["vm-2"]),
        (finding(VM), [&other]),
        (finding(VM), ["vm-2"]),
        (finding(VM), [&VM.replace("west1-b", "west1-c")]),
        (finding(CLUSTER), [&VM.replace("shop-prod", "other-one")]),
    ] {
        assert!(listed(document.clone(), &names).is_err(), "{document} {names:?}");
    }
    let own = |document: Value, name: &str| with(document, "/finding/sourceProperties/VM_Instance_Name", json!(name));
    assert_eq!(listed(own(finding(CLUSTER), VM), &[VM])?.len(), 2);
    assert!(listed(own(finding(CLUSTER), &other), &[VM]).is_err());
    let error = subjects(&own(node("vm-1"), &other)).expect_err("they disagree").to_string();
    assert!(error.contains("disagrees with finding.resourceName"), "{error}");
    Ok(())
}

#[test]
fn a_resource_of_another_cloud_is_no_subject_and_one_of_google_beside_it_is_refused() -> Result<()> {
    let arn = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0a1b2c3d4e5f67890";
    let azure = "/subscriptions/0a1b2c3d/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/vm-1";
    let of = |name: &str, provider: Value| {
        let mut document = with(finding(name), "/resource/cloudProvider", provider);
        document["resource"]["project"] = json!(null);
        document["resource"]["projectDisplayName"] = json!(null);
        document
    };
    let aws = json!("AMAZON_WEB_SERVICES");
    for (name, provider, expected) in [
        (arn, json!(null), "AWS"),
        (arn, aws.clone(), "AWS"),
        ("i-0a1b2c3d4e5f67890", aws.clone(), "AWS"),
        (azure, json!(null), "Azure"),
        (azure, json!("MICROSOFT_AZURE"), "Azure"),
        ("vm-1", json!("TOMORROWS_CLOUD"), "another cloud"),
    ] {
        let alert = alert("", &of(name, provider))?;
        let note = alert.note.clone().unwrap_or_default();
        assert!(names(&alert).is_empty() && note.contains(&format!("the resource is in {expected}")), "{note}");
        assert_eq!((alert.incident.as_str(), alert.severity), ("scc-22-abc", Some(Severity::High)));
    }
    // Neither is the caller: another cloud's finding has it from that cloud's log.
    let caller = json!("ci@shop-prod.iam.gserviceaccount.com");
    assert!(names(&alert("", &with(of(arn, aws.clone()), "/finding/access/principalEmail", caller))?).is_empty());
    let affected = json!([{ "gcpResourceName": VM }]);
    let details = json!("projects/shop-prod/zones/europe-west1-b/instances/vm-1");
    for document in [
        of(VM, aws.clone()),
        of(CLUSTER, aws.clone()),
        of(azure, aws.clone()),
        of(arn, json!("GOOGLE_CLOUD_PLATFORM")),
        of("vm-1", json!("GOOGLE_CLOUD_PLATFORM")),
        of(arn, json!(1)),
        with(of(arn, json!(null)), "/resource/name", json!(VM)),
        with(of(arn, json!(null)), "/finding/resourceName", json!(CLUSTER)),
        with(of(arn, json!(null)), "/resource/name", json!(azure)),
        with(of(arn, aws.clone()), "/finding/sourceProperties/affectedResources", affected),
        with(of(arn, aws.clone()), "/finding/sourceProperties/properties/instanceDetails", details),
        with(of(arn, aws.clone()), "/finding/kubernetes", json!({"nodes": [{"name": VM}]})),
        with(of(arn, aws), "/finding/sourceProperties/VM_Instance_Name", json!(VM)),
    ] {
        assert!(subjects(&document).is_err(), "{document}");
    }
    Ok(())
}

#[test]
fn a_cluster_of_a_numbered_project_is_told_by_the_notification_or_by_the_context() -> Result<()> {
    let number = CLUSTER.replace("shop-prod", "777");
    let pods = json!({"pods": [{"ns": "web", "name": "cart-1"}]});
    let mut document = with(finding(&number), "/finding/kubernetes", pods);
    assert_eq!(subjects(&document)?, [format!("{SHOP} pod/web/cart-1")]);
    document["resource"]["projectDisplayName"] = json!(null);
    assert_eq!(names(&alert(SHOP, &document)?), [format!("{SHOP} pod/web/cart-1")]);
    for other in ["", "gke:shop-prod/europe-west2/shop", "eks:123456789012/eu-central-1/shop"] {
        let alert = alert(other, &document)?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true), "{other}");
    }
    Ok(())
}

#[test]
fn the_caller_is_a_subject_and_what_it_names_is_not() -> Result<()> {
    let access = json!({
        "principalEmail": "system:serviceaccount:web:ci", "methodName": "io.k8s.core.v1.pods.create",
        "serviceName": "k8s.io",
    });
    let kubernetes = json!({
        "bindings": [{"name": "b", "subjects": [{"kind": "SERVICEACCOUNT", "ns": "kube-system", "name": "victim"}]}],
        "accessReviews": [{"ns": "kube-system", "name": "victim", "resource": "pods", "verb": "get"}],
        "objects": [{"group": "apps", "kind": "DaemonSet", "ns": "web", "name": "agent"}],
    });
    let document = with(with(finding(CLUSTER), "/finding/access", access), "/finding/kubernetes", kubernetes);
    assert_eq!(subjects(&document)?, [format!("{SHOP} daemonsets/web/agent"), format!("{SHOP} serviceaccount/web/ci")]);
    let email = "ci@shop-prod.iam.gserviceaccount.com";
    let document = with(finding(VM), "/finding/access/principalEmail", json!(email));
    assert_eq!(subjects(&document)?[1], format!("gcp:shop-prod {email}"));
    let two = with(document, "/finding/sourceProperties/properties/principalEmail", json!("other@example.com"));
    assert!(subjects(&two).is_err());
    let account = finding(&format!("//iam.googleapis.com/projects/shop-prod/serviceAccounts/{email}"));
    assert_eq!(subjects(&account)?, [format!("gcp:shop-prod {email}")]);
    Ok(())
}

#[test]
fn an_object_of_a_cluster_is_named_by_its_full_name() -> Result<()> {
    for (path, expected) in [
        ("k8s/namespaces/web/pods/cart-1", "pod/web/cart-1"),
        ("k8s/namespaces/web/apps/deployments/cart", "deployments/web/cart"),
        ("k8s/nodes/n-1", "node/n-1"),
        ("k8s/namespaces/web/serviceaccounts/ci", "serviceaccount/web/ci"),
    ] {
        assert_eq!(subjects(&finding(&format!("{CLUSTER}/{path}")))?, [format!("{SHOP} {expected}")]);
    }
    assert!(subjects(&finding(&format!("{CLUSTER}/k8s/namespaces/../pods/x"))).is_err());
    // A custom resource may be named like one of Kubernetes' own.
    assert_eq!(subjects(&finding(&format!("{CLUSTER}/k8s/namespaces/web/batch.volcano.sh/jobs/train")))?, [""; 0]);
    for (group, expected) in [("batch", 1), ("batch/v1", 1), ("batch.volcano.sh", 0)] {
        let objects = json!({"objects": [{"group": group, "kind": "Job", "ns": "web", "name": "train"}]});
        let document = with(finding(CLUSTER), "/finding/kubernetes", objects);
        assert_eq!(subjects(&document)?.len(), expected, "{group}");
    }
    assert_eq!(subjects(&finding("//storage.googleapis.com/bucket"))?, [""; 0]);
    Ok(())
}

#[test]
fn inactive_and_muted_findings_are_inactive() -> Result<()> {
    for (pointer, value, expected) in [
        ("/finding/state", "INACTIVE", Some("the finding is inactive")),
        ("/finding/mute", "MUTED", Some("the finding is muted")),
        ("/finding/mute", "UNMUTED", None),
    ] {
        assert_eq!(alert("", &with(finding(VM), pointer, json!(value)))?.inactive.as_deref(), expected);
    }
    for pointer in ["/finding/state", "/finding/mute", "/finding/severity"] {
        assert!(alert("", &with(finding(VM), pointer, json!("SOMETIMES"))).is_err(), "{pointer}");
        assert!(alert("", &with(finding(VM), pointer, json!(1))).is_err(), "{pointer}");
    }
    Ok(())
}

#[test]
fn ids_and_times_are_checked() -> Result<()> {
    for (pointer, value) in [
        ("/finding/name", json!("organizations/1/sources/22/findings/other")),
        ("/finding/name", json!("organizations/1/sources/22/findings/../x")),
        ("/finding/name", json!("x")),
        ("/finding/eventTime", json!({"seconds": 1})),
        ("/finding/category", json!(null)),
        ("/finding", json!(null)),
        ("/finding/resource", json!({"name": VM})),
    ] {
        assert!(alert("", &with(finding(VM), pointer, value.clone())).is_err(), "{pointer} {value}");
    }
    let many: Vec<_> = std::iter::repeat_n(json!({"finding": finding(VM)["finding"]}), 1001).collect();
    assert!(alerts("", &json!({ "listFindingsResults": many })).is_err());
    let old = with(finding(VM), "/finding/severity", json!(null));
    let old = with(old, "/finding/sourceProperties/SeverityLevel", json!("High"));
    assert_eq!(alert("", &old)?.severity, Some(Severity::High));
    let tactic = with(finding(VM), "/finding/mitreAttack/primaryTactic", json!("DEFENSE_EVASION"));
    assert_eq!(alert("", &tactic)?.tactic.as_deref(), Some("Defense Evasion"));
    Ok(())
}
