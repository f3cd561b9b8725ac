//! The rules of GuardDuty, one by one, on a finding with one change.

use jiff::Timestamp;
use serde_json::{Value, json};
use stanch_core::{Alert, Result, Severity, Target};

use crate::{Context, decode, decode_each};

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
    for kind in ["S3Bucket", "RDSDBInstance", "Lambda", "EBSSnapshot", "AttackSequence"] {
        let alert = read(&finding(&with(instance(), "/resourceType", json!(kind))))?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true), "{kind}");
    }
    Ok(())
}

#[test]
fn who_reached_for_a_bucket_is_a_subject_and_what_is_around_it_is_not() -> Result<()> {
    let caller = json!({"userType": "IAMUser", "userName": "ci", "principalId": "AIDAEXAMPLEEXAMPLE12"});
    let resource = with(with(instance(), "/resourceType", json!("S3Bucket")), "/accessKeyDetails", caller);
    assert_eq!(
        names(&read(&with(finding(&resource), "/type", json!("Exfiltration:S3/AnomalousBehavior")))?),
        ["user/ci"]
    );
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
    let mut context = Context::new(None, Timestamp::UNIX_EPOCH);
    assert_eq!(decode(br#"{"Findings":[]}"#, &context)?, []);
    let many = json!({ "Findings": vec![finding(&instance()); 51] });
    assert_eq!(decode(many.to_string().as_bytes(), &context)?.len(), 51);
    context.limits.findings = 50;
    let error = decode(many.to_string().as_bytes(), &context).expect_err("too many");
    assert!(error.to_string().contains("limit.findings (50)"), "{error}");
    Ok(())
}

#[test]
fn one_finding_that_cannot_be_read_does_not_silence_the_others() -> Result<()> {
    let context = Context::new(None, Timestamp::UNIX_EPOCH);
    let wrong = with(finding(&instance()), "/accountId", json!("1"));
    let both = json!({ "Findings": [wrong, finding(&instance())] });
    let items = decode_each(both.to_string().as_bytes(), &context)?;
    let [Err(error), Ok(alert)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(error.resource(), "Findings[0].accountId");
    assert_eq!(names(alert), ["i-0a1b2c3d4e5f67890"]);
    Ok(())
}

fn event(finding: &Value, account: &str) -> Value {
    json!({"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "account": account, "detail": finding,
           "region": "eu-central-1", "time": "2026-11-19T22:45:02Z"})
}

#[test]
fn an_administrator_speaks_for_its_members_and_nobody_else_does() -> Result<()> {
    let now: Timestamp = "2026-11-20T00:00:00Z".parse().expect("a time");
    let mut context = Context::new(None, now);
    let body = event(&finding(&instance()), "111122223333").to_string();
    let error = decode(body.as_bytes(), &context).expect_err("somebody else's");
    assert_eq!(error.resource(), "account");
    assert!(error.to_string().contains("STANCH_DETECTOR_ACCOUNTS"), "{error}");
    context.detector_accounts = vec!["111122223333".parse()?];
    let alert = decode(body.as_bytes(), &context)?.remove(0);
    assert_eq!(alert.subjects.first().map(|it| it.scope().to_string()).as_deref(), Some("aws:210987654321"));
    // Among itself the finding must agree all the same.
    let arn = "arn:aws:guardduty:eu-central-1:111122223333:detector/d0/finding/f00d";
    let body = event(&with(finding(&instance()), "/arn", json!(arn)), "111122223333").to_string();
    assert!(decode(body.as_bytes(), &context).is_err());
    Ok(())
}

#[test]
fn a_region_may_differ_only_in_what_is_global() -> Result<()> {
    let caller = json!({"userType": "IAMUser", "userName": "ci", "principalId": "AIDAEXAMPLEEXAMPLE12"});
    let global = json!({"resourceType": "AccessKey", "accessKeyDetails": caller});
    let moved = |resource: &Value, kind: &str| {
        with(with(finding(resource), "/region", json!("us-east-1")), "/type", json!(kind))
    };
    assert_eq!(names(&read(&moved(&global, "Persistence:IAMUser/AnomalousBehavior"))?), ["user/ci"]);
    assert!(read(&moved(&instance(), "Execution:Runtime/NewBinaryExecuted")).is_err());
    // An instance beside it could be in either.
    let both = with(global, "/instanceDetails", json!({"instanceId": "i-0a1b2c3d4e5f67890"}));
    let alert = read(&moved(&both, "Persistence:IAMUser/AnomalousBehavior"))?;
    assert_eq!((names(&alert), alert.note.is_some()), (vec!["user/ci".to_owned()], true));
    Ok(())
}

#[test]
fn stolen_credentials_lead_to_the_instance_and_its_role() -> Result<()> {
    let stolen = |kind: &str, id: &str| {
        let caller = json!({"userType": kind, "userName": "shop-node", "principalId": id});
        json!({"resourceType": "AccessKey", "accessKeyDetails": caller})
    };
    let kind = json!("UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.InsideAWS");
    let read = |resource: &Value| read(&with(finding(resource), "/type", kind.clone()));
    let session = "AROAEXAMPLEEXAMPLE12:i-0a1b2c3d4e5f67890";
    assert_eq!(names(&read(&stolen("AssumedRole", session))?), ["i-0a1b2c3d4e5f67890", "role/shop-node"]);
    let both = with(stolen("AssumedRole", session), "/instanceDetails", json!({"instanceId": "i-0a1b2c3d4e5f67890"}));
    assert_eq!(names(&read(&both)?), ["i-0a1b2c3d4e5f67890", "role/shop-node"]);
    // Two places that disagree, a session that only looks like an instance, and an identity without sessions.
    let other = with(stolen("AssumedRole", session), "/instanceDetails", json!({"instanceId": "i-0fedcba9876543210"}));
    assert!(read(&other).is_err());
    assert!(read(&stolen("AssumedRole", "AROAEXAMPLEEXAMPLE12:i-../x")).is_err());
    assert_eq!(names(&read(&stolen("AssumedRole", "AROAEXAMPLEEXAMPLE12:alice"))?), ["role/shop-node"]);
    assert_eq!(names(&read(&stolen("Root", session))?), [""; 0]);
    Ok(())
}

fn sequence(resources: &Value, actors: &Value) -> Result<Alert> {
    let service = json!({"eventFirstSeen": "2026-11-19T22:10:04Z",
        "detection": {"sequence": {"uid": "s", "resources": resources, "actors": actors}}});
    let it = with(finding(&json!({"resourceType": "AttackSequence"})), "/service", service);
    read(&with(it, "/type", json!("AttackSequence:EKS/CompromisedCluster")))
}

#[test]
fn a_sequence_names_what_is_the_accounts_own() -> Result<()> {
    let workload = |namespace: &str| {
        json!({"uid": "w", "name": "cart", "resourceType": "KUBERNETES_WORKLOAD",
               "data": {"kubernetesWorkload": {"namespace": namespace, "type": "DEPLOYMENTS"}}})
    };
    let cluster = |arn: &str| json!({"uid": arn, "resourceType": "EKS_CLUSTER", "data": {"eksCluster": {"arn": arn}}});
    let instance = |uid: &str| json!({"uid": uid, "resourceType": "EC2_INSTANCE", "data": {}});
    let none = json!(null);
    let named = sequence(&json!([instance("i-0a1b2c3d4e5f67890"), workload("web"), cluster(CLUSTER_ARN)]), &none)?;
    assert_eq!(names(&named), ["DEPLOYMENTS/web/cart", "i-0a1b2c3d4e5f67890"]);
    // Workloads do not name their cluster: without one, or with two, nobody can tell.
    let other = CLUSTER_ARN.replace("shop", "other");
    for clusters in [json!([workload("web")]), json!([workload("web"), cluster(CLUSTER_ARN), cluster(&other)])] {
        let alert = sequence(&clusters, &none)?;
        assert_eq!((names(&alert).len(), alert.note.is_some()), (0, true));
    }
    let mut foreign = instance("i-0a1b2c3d4e5f67890");
    foreign["accountId"] = json!("111122223333");
    assert_eq!(names(&sequence(&json!([foreign]), &none)?), [""; 0]);
    for wrong in [
        json!([instance("arn:aws:ec2:eu-central-1:111122223333:instance/i-0a1b2c3d4e5f67890")]),
        json!([instance("arn:aws:ec2:us-east-1:210987654321:instance/i-0a1b2c3d4e5f67890")]),
        json!([instance("i-0a1b")]),
        json!([workload("../x"), cluster(CLUSTER_ARN)]),
        json!({}),
    ] {
        assert!(sequence(&wrong, &none).is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn a_sequence_names_the_instances_by_what_they_have_in_common() -> Result<()> {
    for (kind, key) in [
        ("AUTOSCALING_AUTO_SCALING_GROUP", "autoscalingAutoScalingGroup"),
        ("CLOUDFORMATION_STACK", "cloudformationStack"),
        ("EC2_IMAGE", "ec2Image"),
        ("EC2_LAUNCH_TEMPLATE", "ec2LaunchTemplate"),
        ("EC2_VPC", "ec2Vpc"),
        ("IAM_INSTANCE_PROFILE", "iamInstanceProfile"),
    ] {
        let uids = ["i-0a1b2c3d4e5f67890", "arn:aws:ec2:eu-central-1:210987654321:instance/i-0fedcba9876543210"];
        let group = json!({"uid": "g", "resourceType": kind, "data": {key: {"ec2InstanceUids": uids}}});
        let alert = sequence(&json!([group]), &json!(null))?;
        assert_eq!(names(&alert), ["i-0a1b2c3d4e5f67890", "i-0fedcba9876543210"], "{kind}");
    }
    let group =
        json!({"uid": "g", "resourceType": "group", "data": {"group": {"ec2InstanceUids": ["i-0a1b2c3d4e5f67890"]}}});
    assert_eq!(names(&sequence(&json!([group]), &json!(null))?), [""; 0]);
    Ok(())
}

#[test]
fn a_sequence_in_ecs_says_that_no_responder_takes_a_task() -> Result<()> {
    let cluster = json!({"uid": "c", "name": "shop", "resourceType": "ECS_CLUSTER", "data": {"ecsCluster": {
        "status": "ACTIVE", "ec2InstanceUids": ["i-0a1b2c3d4e5f67890", "i-0fedcba9876543210"]}}});
    let task = |launched: &str| {
        json!({"uid": "arn:aws:ecs:eu-central-1:210987654321:task/shop/0a1b", "resourceType": "ECS_TASK",
               "data": {"ecsTask": {"launchType": launched, "containerUids": ["x"]}}})
    };
    let container = json!({"uid": "x", "resourceType": "CONTAINER", "data": {"container": {"image": "cart:1"}}});
    let instance = json!({"uid": "arn:aws:ec2:eu-central-1:210987654321:instance/i-0a1b2c3d4e5f67890",
        "resourceType": "EC2_INSTANCE", "data": {"ec2Instance": {"instanceState": "running"}}});
    let hosted = sequence(&json!([task("EC2"), cluster, container, instance]), &json!(null))?;
    // Of the cluster's instances only the one that the sequence names.
    assert_eq!(names(&hosted), ["i-0a1b2c3d4e5f67890"]);
    assert!(hosted.note.is_some_and(|note| note.contains("no responder takes an ECS task: the instances are")));
    let alone = sequence(&json!([task("FARGATE"), cluster]), &json!(null))?;
    assert_eq!(names(&alone), [""; 0]);
    assert!(alone.note.is_some_and(|note| note.starts_with("no responder takes an ECS task; ")));
    Ok(())
}

#[test]
fn an_actor_is_a_role_of_this_account_or_nobody() -> Result<()> {
    let actor = |kind: &str, account: &str, issuer: &str| {
        json!([{"user": {"name": "x", "uid": "AROAEXAMPLEEXAMPLE12:y", "type": kind, "account": {"uid": account}},
                "session": {"issuer": issuer}}])
    };
    let here = "arn:aws:iam::210987654321:role/path/exporter";
    for (actors, expected) in [
        (actor("AssumedRole", "210987654321", here), vec!["role/exporter"]),
        (actor("AssumedRole", "210987654321", "arn:aws:iam::111122223333:role/exporter"), vec![]),
        (actor("AssumedRole", "111122223333", here), vec![]),
        (actor("AssumedRole", "210987654321", ""), vec![]),
        (actor("IAMUser", "210987654321", ""), vec!["user/x"]),
        (actor("Root", "210987654321", ""), vec![]),
        (actor("AWSService", "210987654321", ""), vec![]),
    ] {
        assert_eq!(names(&sequence(&json!([]), &actors)?), expected, "{actors}");
    }
    Ok(())
}
