//! The rules of GuardDuty, one by one, on a finding with one change.

use jiff::Timestamp;
use serde_json::{Value, json};
use stanch_core::{Alert, Result, Severity, Target};

use crate::{Context, decode};

const CLUSTER_ARN: &str = "arn:aws:eks:eu-central-1:210987654321:cluster/shop";

fn finding(resource: &Value) -> Value {
    json!({
        "schemaVersion": "2.0", "accountId": "210987654321", "region": "eu-central-1", "partition": "aws",
        "id": "f00d", "arn": "arn:aws:guardduty:eu-central-1:210987654321:detector/d0/finding/f00d",
        "type": "Execution:Runtime/NewBinaryExecuted", "severity": 8, "resource": resource,
        "service": {"archived": false, "eventFirstSeen": "2026-11-19T22:10:04Z", "eventLastSeen": "2026-11-19T22:41:37Z"},
    })
}

fn instance() -> Value {
    json!({"resourceType": "Instance", "instanceDetails": {"instanceId": "i-0a1b2c3d4e5f67890"}})
}

fn eks(workload: &Value, user: &Value) -> Value {
    json!({
        "resourceType": "EKSCluster", "eksClusterDetails": {"name": "shop", "arn": CLUSTER_ARN},
        "kubernetesDetails": {"kubernetesWorkloadDetails": workload, "kubernetesUserDetails": user},
    })
}

fn read(finding: &Value) -> Result<Alert> {
    let context = Context::new(None, "2026-11-20T00:00:00Z".parse().expect("a time"));
    Ok(decode(finding.to_string().as_bytes(), &context)?.remove(0))
}

fn names(alert: &Alert) -> Vec<String> {
    alert.subjects.iter().map(ToString::to_string).collect()
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    document.pointer_mut(parent).expect("a parent")[key] = value;
    document
}

#[test]
fn severities_fall_into_the_documented_bands() -> Result<()> {
    for (number, expected) in [
        (json!(1), Some(Severity::Low)),
        (json!(3.9), Some(Severity::Low)),
        (json!(3.95), Some(Severity::Low)),
        (json!(4), Some(Severity::Medium)),
        (json!(6.9), Some(Severity::Medium)),
        (json!(7.0), Some(Severity::High)),
        (json!(8.9), Some(Severity::High)),
        (json!(9), Some(Severity::Critical)),
        (json!(10), Some(Severity::Critical)),
        (json!(null), None),
    ] {
        assert_eq!(read(&with(finding(&instance()), "/severity", number.clone()))?.severity, expected, "{number}");
    }
    for wrong in [json!(0), json!(0.9), json!(10.1), json!(-1), json!("8"), json!([8])] {
        assert!(read(&with(finding(&instance()), "/severity", wrong.clone())).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn a_finding_keeps_its_id_and_times() -> Result<()> {
    let alert = read(&finding(&instance()))?;
    assert_eq!(alert.incident.as_str(), "guardduty-f00d");
    assert_eq!(alert.first_seen, "2026-11-19T22:10:04Z".parse().ok());
    assert_eq!(alert.last_seen, "2026-11-19T22:41:37Z".parse().ok());
    assert_eq!((alert.inactive, alert.note), (None, None));
    Ok(())
}

#[test]
fn archived_and_sample_findings_are_inactive() -> Result<()> {
    for (pointer, value) in [
        ("/service/archived", json!(true)),
        ("/service/archived", json!("true")),
        ("/service/additionalInfo", json!({"sample": true})),
        ("/service/additionalInfo", json!({"sample": "true"})),
        ("/service/additionalInfo", json!({"value": "{\"sample\": true}"})),
        ("/service/additionalInfo", json!({"sample": false, "value": "{\"sample\": true}"})),
        ("/resource/instanceDetails/instanceId", json!("i-99999999")),
        ("/resource/eksClusterDetails", json!({"arn": "GeneratedFindingEKSClusterArn"})),
        ("/resource/accessKeyDetails", json!({"accessKeyId": "GeneratedFindingAccessKeyId"})),
    ] {
        let alert = read(&with(finding(&instance()), pointer, value.clone()))?;
        assert!(alert.inactive.is_some(), "{pointer} {value}");
    }
    for (pointer, value) in [
        ("/service/archived", json!("false")),
        ("/service/archived", json!(null)),
        ("/service/additionalInfo", json!({"sample": false, "value": "{}"})),
        ("/service/additionalInfo", json!({"value": "not JSON"})),
        ("/service/additionalInfo", json!({"value": "[true]"})),
        ("/service/additionalInfo", json!("")),
    ] {
        let alert = read(&with(finding(&instance()), pointer, value.clone()))?;
        assert!(alert.inactive.is_none(), "{pointer} {value}");
    }
    Ok(())
}

#[test]
fn an_attacker_cannot_name_a_role_so_that_it_passes_for_a_sample() -> Result<()> {
    let caller =
        json!({"userType": "Role", "userName": "GeneratedFindingUserName", "principalId": "AROAEXAMPLEEXAMPLE12:x"});
    let alert = read(&finding(&json!({"resourceType": "AccessKey", "accessKeyDetails": caller})))?;
    assert_eq!(alert.inactive, None);
    assert_eq!(names(&alert), ["role/GeneratedFindingUserName"]);
    Ok(())
}

#[test]
fn workload_details_can_be_missing_in_every_way() -> Result<()> {
    for nothing in
        [json!(null), json!(""), json!({}), json!({"namespace": "web"}), json!({"name": null, "type": "pods"})]
    {
        let alert = read(&finding(&eks(&nothing, &json!({"username": "system:serviceaccount:web:api"}))))?;
        assert_eq!(names(&alert), ["serviceaccount/web/api"], "{nothing}");
        assert!(alert.note.is_some(), "{nothing}");
    }
    Ok(())
}

#[test]
fn only_pods_are_pods() -> Result<()> {
    for (kind, expected) in [
        ("pods", "pod/web/cart"),
        ("Pod", "pod/web/cart"),
        ("PODS", "pod/web/cart"),
        ("deployments", "deployments/web/cart"),
        ("DaemonSet", "DaemonSet/web/cart"),
    ] {
        let workload = json!({"type": kind, "namespace": "web", "name": "cart", "uid": "u-1"});
        let alert = read(&finding(&eks(&workload, &json!(null))))?;
        assert_eq!(names(&alert), [expected]);
        if let Some(Target::Pod(pod)) = alert.subjects.first() {
            assert_eq!(pod.uid.as_ref().map(ToString::to_string).as_deref(), Some("u-1"));
        }
    }
    Ok(())
}

#[test]
fn who_called_is_a_subject_and_whom_they_impersonated_is_not() -> Result<()> {
    for (user, expected) in [("system:node:n-1", vec!["node/n-1"]), ("alice", vec![]), ("system:anonymous", vec![])] {
        let user = json!({"username": user, "impersonatedUser": {"username": "system:node:victim\u{1b}"}});
        let alert = read(&finding(&eks(&json!(null), &user)))?;
        assert_eq!(names(&alert), expected);
        assert_eq!(alert.acted_as.as_deref(), Some("system:node:victim\u{fffd}"));
    }
    Ok(())
}

#[test]
fn a_cluster_is_named_by_its_arn_alone() -> Result<()> {
    let workload = json!({"type": "pods", "namespace": "web", "name": "cart"});
    let resource = with(eks(&workload, &json!(null)), "/eksClusterDetails/arn", json!(null));
    let alert = read(&finding(&resource))?;
    assert_eq!(names(&alert), [""; 0]);
    assert_eq!(alert.note.as_deref(), Some("the finding does not say which cluster"));
    for wrong in [
        "shop",
        "arn:aws:eks:eu-central-1:210987654321:nodegroup/shop",
        "arn:aws:eks:eu-central-1:210987654321:cluster/../x",
        "arn:aws:eks:eu-central-1:210987654321:cluster/other",
        "arn:aws:eks:us-east-1:210987654321:cluster/shop",
        "arn:aws-cn:eks:eu-central-1:210987654321:cluster/shop",
        "arn:aws:ecs:eu-central-1:210987654321:cluster/shop",
    ] {
        let resource = with(eks(&workload, &json!(null)), "/eksClusterDetails/arn", json!(wrong));
        assert!(read(&finding(&resource)).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn partitions_belong_to_their_regions() {
    for (region, partition, is_right) in [
        ("eu-central-1", "aws", true),
        ("cn-north-1", "aws-cn", true),
        ("us-gov-west-1", "aws-us-gov", true),
        ("us-iso-east-1", "aws-iso", true),
        ("us-isob-east-1", "aws-iso-b", true),
        ("eusc-de-east-1", "aws-eusc", true),
        ("cn-north-1", "aws", false),
        ("eu-central-1", "aws-cn", false),
    ] {
        let mut it = finding(&instance());
        it["arn"] = json!(format!("arn:{partition}:guardduty:{region}:210987654321:detector/d0/finding/f00d"));
        it["region"] = json!(region);
        it["partition"] = json!(partition);
        assert_eq!(read(&it).is_ok(), is_right, "{region} {partition}");
        // The ARN alone must be right as well, and so must the finding without one.
        it["partition"] = json!(null);
        assert_eq!(read(&it).is_ok(), is_right, "ARN {region} {partition}");
        it["partition"] = json!(partition);
        it["arn"] = json!(null);
        assert_eq!(read(&it).is_ok(), is_right, "finding {region} {partition}");
    }
}

#[test]
fn a_caller_is_a_user_or_a_role() -> Result<()> {
    for (kind, id, expected, unique) in [
        ("IAMUser", "AIDAEXAMPLEEXAMPLE12", vec!["user/ci"], Some("AIDAEXAMPLEEXAMPLE12")),
        ("Role", "AROAEXAMPLEEXAMPLE12", vec!["role/ci"], Some("AROAEXAMPLEEXAMPLE12")),
        ("AssumedRole", "AROAEXAMPLEEXAMPLE12:i-0a1b2c3d4e5f67890", vec!["role/ci"], Some("AROAEXAMPLEEXAMPLE12")),
        ("AssumedRole", "ASIAEXAMPLEEXAMPLE12:x", vec!["role/ci"], None),
        ("Root", "210987654321", vec![], None),
        ("FederatedUser", "210987654321:x", vec![], None),
        ("AWSService", "", vec![], None),
    ] {
        let caller = json!({"userType": kind, "userName": "ci", "principalId": id});
        let alert = read(&finding(&json!({"resourceType": "AccessKey", "accessKeyDetails": caller})))?;
        assert_eq!(names(&alert), expected, "{kind}");
        let found = alert.subjects.first().and_then(|it| match it {
            Target::IamPrincipal(it) => it.unique_id.as_ref().map(ToString::to_string),
            _ => None,
        });
        assert_eq!(found.as_deref(), unique, "{kind}");
    }
    Ok(())
}

#[test]
fn resources_that_no_responder_takes_are_a_note() -> Result<()> {
    for kind in ["S3Bucket", "RDSDBInstance", "Lambda", "ECSCluster", "AttackSequence"] {
        let alert = read(&finding(&with(instance(), "/resourceType", json!(kind))))?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true), "{kind}");
    }
    Ok(())
}

#[test]
fn an_image_is_a_subject_only_of_what_ran() -> Result<()> {
    let workload = |image: &str| json!({"type": "pods", "namespace": "web", "name": "cart", "containers": [{"name": "a", "image": image}]});
    let runtime = read(&finding(&eks(&workload("centos"), &json!(null))))?;
    assert_eq!(names(&runtime), ["pod/web/cart", "image/centos"]);
    let audit =
        with(finding(&eks(&workload("centos"), &json!(null))), "/type", json!("Policy:Kubernetes/ExposedDashboard"));
    assert_eq!(names(&read(&audit)?), ["pod/web/cart"]);
    let odd = read(&finding(&eks(&workload("[a](https://b)"), &json!(null))))?;
    assert_eq!(odd.note.as_deref(), Some("the container's image is not an image reference"));
    Ok(())
}

#[test]
fn unknown_types_and_versions_are_noted() -> Result<()> {
    let unknown = read(&with(finding(&instance()), "/type", json!("Novel:Thing/Else\u{1b}[2J")))?;
    assert_eq!((names(&unknown).len(), unknown.note.as_deref()), (1, Some("the finding type is unknown")));
    assert!(!unknown.rule.contains('\u{1b}'));
    let version = read(&with(finding(&instance()), "/schemaVersion", json!("3.0")))?;
    assert_eq!((names(&version).len(), version.note.as_deref()), (1, Some("the schema version is not 2.0")));
    Ok(())
}

#[test]
fn lists_are_bounded_and_can_be_empty() -> Result<()> {
    let context = Context::new(None, Timestamp::UNIX_EPOCH);
    assert_eq!(decode(br#"{"Findings":[]}"#, &context)?, []);
    let many = json!({ "Findings": vec![finding(&instance()); 51] });
    assert!(decode(many.to_string().as_bytes(), &context).is_err());
    Ok(())
}
