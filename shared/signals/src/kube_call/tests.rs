//! What calls mean, one by one.

use serde_json::{Value, json};
use stanch_core::{Result, Severity, target::Cluster};

use super::*;
use crate::{Limits, document::Document};

/// A call as JSON: the same keys as [`Call`].
fn judged(call: &Value) -> Result<(Vec<String>, Option<Severity>, Option<&'static str>)> {
    let text = call.to_string();
    let document = Document::read(text.as_bytes(), &Limits::default())?;
    let at = document.top();
    let part = |key: &'static str| -> Result<Option<&str>> { at.get(key)?.text() };
    let call = Call {
        at,
        verb: part("verb")?.unwrap_or_default(),
        group: part("group")?,
        resource: part("resource")?.unwrap_or_default(),
        subresource: part("subresource")?,
        namespace: part("namespace")?,
        name: part("name")?,
        uid: None,
        user: at.get("user")?,
        extra: at.get("extra")?,
        request: at.get("request")?,
        response: at.get("response")?,
        failed: at.get("failed")?.flag()? == Some(true),
    };
    let judgement = judge(&call, &Cluster::Current, &mut Notes::default())?;
    Ok((judgement.subjects.iter().map(ToString::to_string).collect(), judgement.severity, judgement.inactive))
}

fn severity(call: &Value) -> Result<Option<Severity>> {
    judged(call).map(|(_, severity, _)| severity)
}

fn pod(verb: &str, subresource: &str) -> Value {
    json!({"verb": verb, "resource": "pods", "subresource": subresource, "namespace": "web", "name": "cart",
        "user": "alice@example.com"})
}

#[test]
fn entering_a_pod_is_the_same_by_either_verb() -> Result<()> {
    for subresource in ["exec", "attach", "portforward"] {
        for verb in ["create", "get"] {
            let (subjects, severity, _) = judged(&pod(verb, subresource))?;
            assert_eq!((subjects, severity), (vec!["pod/web/cart".to_owned()], Some(Severity::Medium)));
        }
        assert_eq!(severity(&pod("delete", subresource))?, None);
    }
    assert_eq!(severity(&pod("patch", "ephemeralcontainers"))?, Some(Severity::Medium));
    assert_eq!(severity(&pod("get", "log"))?, None);
    Ok(())
}

#[test]
fn a_proxy_is_asked_for_by_scheme_name_and_port() -> Result<()> {
    let proxy = |resource: &str, name: &str| {
        json!({"verb": "get", "resource": resource, "subresource": "proxy", "namespace": "web", "name": name,
            "user": "alice@example.com"})
    };
    for name in ["n-1", "n-1:10250", "n-1:", "https:n-1:10250", "https:n-1:", ":n-1:10250"] {
        let (subjects, severity, _) = judged(&proxy("nodes", name))?;
        assert_eq!((subjects, severity), (vec!["node/n-1".to_owned()], Some(Severity::High)), "{name}");
        assert_eq!(judged(&proxy("pods", name))?.0, ["pod/web/n-1"], "{name}");
    }
    for wrong in ["ftp:n-1:1", "https:n-1:1:2", "https:..:1", ""] {
        assert!(judged(&proxy("nodes", wrong)).is_err(), "{wrong}");
    }
    let mut exec = pod("create", "exec");
    exec["name"] = json!("cart:1");
    assert!(judged(&exec).is_err());
    Ok(())
}

#[test]
fn a_custom_resource_is_not_the_one_that_it_is_named_like() -> Result<()> {
    let privileged = json!({"spec": {"template": {"spec": {"hostPID": true}}}});
    let create = |group: Value, resource: &str| {
        json!({"verb": "create", "group": group, "resource": resource, "namespace": "web", "name": "train",
            "user": "system:serviceaccount:web:ci", "request": privileged})
    };
    for (group, resource) in [
        (json!(null), "jobs"),
        (json!("batch"), "jobs"),
        (json!("apps"), "statefulsets"),
        (json!("core"), "replicationcontrollers"),
    ] {
        let (subjects, severity, _) = judged(&create(group, resource))?;
        assert_eq!((subjects.len(), severity), (2, Some(Severity::High)), "{resource}");
    }
    for (group, resource) in
        [("batch.volcano.sh", "jobs"), ("apps.kruise.io", "statefulsets"), ("metrics.k8s.io", "pods")]
    {
        let (subjects, severity, _) = judged(&create(json!(group), resource))?;
        assert_eq!((subjects, severity), (vec!["serviceaccount/web/ci".to_owned()], None), "{resource}");
    }
    Ok(())
}

#[test]
fn a_call_that_failed_is_inactive() -> Result<()> {
    let mut call = pod("create", "exec");
    call["failed"] = json!(true);
    assert_eq!(judged(&call)?, (vec!["pod/web/cart".to_owned()], Some(Severity::Low), Some("the call failed")));
    Ok(())
}

#[test]
fn the_caller_and_its_own_pod_are_subjects() -> Result<()> {
    let call = json!({
        "verb": "create", "resource": "selfsubjectaccessreviews", "user": "system:serviceaccount:web:ci",
        "extra": {"authentication.kubernetes.io/pod-name": ["ci-1"], "authentication.kubernetes.io/pod-uid": ["u-1"]},
        "request": {"spec": {"resourceAttributes": {"namespace": "kube-system", "name": "victim"}}},
    });
    let expected = vec!["pod/web/ci-1".to_owned(), "serviceaccount/web/ci".to_owned()];
    assert_eq!(judged(&call)?, (expected, Some(Severity::Medium), None));
    for (user, expected) in [
        ("system:node:n-1", (vec!["node/n-1".to_owned()], Some(Severity::Medium), None)),
        // People ask all the time.
        ("alice@example.com", (vec![], None, None)),
    ] {
        let mut call = call.clone();
        call["user"] = json!(user);
        call["extra"] = json!(null);
        assert_eq!(judged(&call)?, expected);
    }
    Ok(())
}

#[test]
fn privileged_pods_are_told_from_others() -> Result<()> {
    let create = |resource: &str, spec: &Value, user: &str| {
        let template = json!({"spec": {"template": {"spec": spec}}});
        let request = match resource {
            "pods" => json!({"spec": spec}),
            "cronjobs" => json!({"spec": {"jobTemplate": template}}),
            _ => template,
        };
        severity(&json!({"verb": "create", "resource": resource, "namespace": "web", "name": "x", "user": user,
            "request": request}))
    };
    for spec in [
        json!({"hostPID": true}),
        json!({"hostNetwork": true}),
        json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
        json!({"containers": [{"securityContext": {"privileged": true}}]}),
        json!({"initContainers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
    ] {
        for resource in ["pods", "daemonsets", "deployments", "cronjobs", "jobs"] {
            assert_eq!(create(resource, &spec, "alice")?, Some(Severity::High), "{resource} {spec}");
        }
        assert_eq!(create("pods", &spec, "system:serviceaccount:kube-system:daemon-set-controller")?, None);
    }
    for spec in [
        json!({}),
        json!({"hostPID": false, "containers": [{"securityContext": {"privileged": false}}]}),
        json!({"containers": "odd"}),
        json!([]),
    ] {
        assert_eq!(create("pods", &spec, "alice")?, None, "{spec}");
    }
    Ok(())
}

#[test]
fn rights_are_graded() -> Result<()> {
    let binding = |role: &str, subject: &str| {
        severity(
            &json!({"verb": "create", "resource": "clusterrolebindings", "name": "b", "user": "alice", "request": {
            "roleRef": {"name": role}, "subjects": [{"kind": "User", "name": subject}]}}),
        )
    };
    assert_eq!(binding("view", "bob")?, Some(Severity::Medium));
    assert_eq!(binding("cluster-admin", "bob")?, Some(Severity::High));
    assert_eq!(binding("view", "system:anonymous")?, Some(Severity::Critical));
    let role = |verbs: Value| {
        severity(&json!({"verb": "update", "resource": "clusterroles", "name": "r", "user": "alice",
            "request": {"rules": [{"verbs": verbs, "resources": ["*"]}]}}))
    };
    assert_eq!((role(json!(["get"]))?, role(json!(["*"]))?), (Some(Severity::Medium), Some(Severity::High)));
    Ok(())
}

#[test]
fn whom_a_binding_names_is_no_subject() -> Result<()> {
    let (subjects, ..) = judged(&json!({
        "verb": "create", "resource": "rolebindings", "namespace": "web", "name": "b",
        "user": "system:serviceaccount:web:ci",
        "request": {"subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": "victim"}]},
    }))?;
    assert_eq!(subjects, ["serviceaccount/web/ci"]);
    Ok(())
}

#[test]
fn an_anonymous_caller_is_grave_and_a_component_is_routine() -> Result<()> {
    let get = |user: &str| {
        severity(&json!({"verb": "get", "resource": "pods", "namespace": "web", "name": "cart", "user": user}))
    };
    assert_eq!(get("system:anonymous")?, Some(Severity::High));
    for routine in ["system:apiserver", "system:node:n-1", "alice", "system:kube-scheduler"] {
        assert_eq!(get(routine)?, None, "{routine}");
    }
    Ok(())
}

#[test]
fn a_generated_name_is_read_from_the_answer() -> Result<()> {
    let call = |verb: &str| {
        judged(&json!({"verb": verb, "resource": "pods", "namespace": "web", "user": "alice",
            "response": {"metadata": {"name": "cart-x", "uid": "u-1"}}}))
        .map(|(subjects, ..)| subjects)
    };
    assert_eq!((call("create")?, call("deletecollection")?), (vec!["pod/web/cart-x".to_owned()], vec![]));
    Ok(())
}

#[test]
fn names_are_checked() {
    for (key, value) in [("name", "../x"), ("namespace", "*"), ("user", "system:serviceaccount:web:a:b")] {
        let mut call = pod("create", "exec");
        call[key] = json!(value);
        assert!(judged(&call).is_err(), "{key}");
    }
}
