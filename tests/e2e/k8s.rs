//! A Falco alert, as a `CloudEvent` over HTTP, on the real kube-apiserver, as a user with only the declared RBAC.

use k8s_cordon_node::K8sCordonNode;
use serde_json::{Value, json};
use stanch_core::{Permission, Responder};
use stanch_range::control_plane::ControlPlane;
use stanch_tests::{root, skipped};

use crate::service::{Service, terminal};

pub(crate) const NODE: &str = "e2e-node";
pub(crate) const POD: &str = "web-6d4cf56db6-9vqnl";

pub(crate) struct World {
    server: ControlPlane,
    folder: tempfile::TempDir,
    pub(crate) kubeconfig: String,
}

impl World {
    /// A node with a pod on it, and a user that may do what the responder declares, less one rule.
    pub(crate) fn start(user: &str, without: Option<&str>) -> Option<Self> {
        let server = match tokio::task::block_in_place(ControlPlane::start) {
            Ok(server) => server,
            Err(why) => {
                skipped("a Falco alert on the real kube-apiserver", &why.to_string());
                return None;
            }
        };
        let needs = K8sCordonNode::NEEDS;
        let rules: Vec<_> = [needs.plan, needs.apply, needs.revert]
            .concat()
            .iter()
            .filter(|permission| without != Some(permission.to_string().as_str()))
            .map(|permission| match permission {
                Permission::Kube { group, resource, verbs } => {
                    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
                }
                other => panic!("not RBAC: {other}"),
            })
            .collect();
        let kubeconfig = tokio::task::block_in_place(|| server.user_kubeconfig(user, &json!(rules))).unwrap();
        let kubeconfig = kubeconfig.display().to_string();
        let world = Self { server, folder: tempfile::tempdir().unwrap(), kubeconfig };
        world.admin("POST", "/api/v1/nodes", Some(&json!({"metadata": {"name": NODE}})));
        let pod = json!({
            "metadata": {"name": POD, "namespace": "default"},
            "spec": {"nodeName": NODE, "containers": [{"name": "web", "image": "example.com/web:1"}]},
        });
        // The namespace's service account is made by its controller, a moment later.
        for _ in 0..100 {
            let made = world.try_admin("POST", "/api/v1/namespaces/default/pods", Some(&pod));
            if made.0 == 201 || made.0 == 409 {
                return Some(world);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the pod is not accepted");
    }

    fn try_admin(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        tokio::task::block_in_place(|| self.server.admin(method, path, "application/json", body)).unwrap()
    }

    fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.try_admin(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer:#}");
        answer
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KUBECONFIG", self.kubeconfig.clone()),
            ("STANCH_CLUSTER", "context:".to_owned()),
            ("STANCH_LEDGER", format!("sqlite:{}", self.folder.path().join("ledger.db").display())),
            ("STANCH_MODE", "enforce".to_owned()),
        ]
    }

    /// `(unschedulable, our taint)`, by the administrator.
    pub(crate) fn node(&self) -> (bool, bool) {
        let node = self.admin("GET", &format!("/api/v1/nodes/{NODE}"), None);
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        (
            node["spec"]["unschedulable"].as_bool().unwrap_or(false),
            taints.iter().any(|taint| taint["key"] == "stanch.dev/quarantine" && taint["effect"] == "NoSchedule"),
        )
    }
}

/// The responder's own example, about the pod that is there, now.
fn alert() -> Value {
    let path = root().join("functions/k8s-cordon-node/event.json");
    let mut alert: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    alert["time"] = json!(jiff::Timestamp::now().to_string());
    alert["priority"] = json!("Critical");
    alert["hostname"] = json!(NODE);
    let fields = alert["output_fields"].as_object_mut().unwrap();
    for gone in ["evt.time", "k8s.pod.uid"] {
        fields.remove(gone);
    }
    fields.insert("k8s.ns.name".to_owned(), json!("default"));
    fields.insert("k8s.pod.name".to_owned(), json!(POD));
    alert
}

const BINARY: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "delivery-1"),
    ("ce-source", "https://falco.org"),
    ("ce-type", "falco.rule.output.v1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_falco_alert_cordons_the_node_until_a_person_reverts() {
    let Some(world) = World::start("e2e-cordon", None) else { return };
    let service = Service::start("k8s-cordon-node", &world.environment()).await;
    let alert = alert();
    let first = service.post(alert.to_string(), &BINARY).await;
    assert_eq!((first.status, &first.report()["status"]), (200, &json!("applied")), "{first:#?}");
    assert_eq!(world.node(), (true, true));

    // Structured mode, and the bare alert, are the same incident.
    let structured = json!({"specversion": "1.0", "id": "delivery-2", "source": "https://falco.org",
        "type": "falco.rule.output.v1", "datacontenttype": "application/json", "data": alert});
    let again = service.post(structured.to_string(), &[("content-type", "application/cloudevents+json")]).await;
    assert_eq!((again.status, &again.report()["status"]), (200, &json!("already")), "{again:#?}");
    let bare = service.post(alert.to_string(), &[]).await;
    assert_eq!(bare.report()["record"], first.report()["record"]);

    let undo = first.report()["undo"].to_string();
    let (incident, target) = {
        let undo: Value = serde_json::from_str(&undo).unwrap();
        (undo["incident"].as_str().unwrap().to_owned(), undo["target"].to_string())
    };
    let arguments = ["revert", "--incident", &incident, "--target", &target, "--json"];
    let (code, back, done) = terminal("k8s-cordon-node", &arguments, &world.environment());
    assert_eq!((code, &back["status"]), (Some(0), &json!("reverted")), "{done:?}");
    assert_eq!(world.node(), (false, false));

    // The same activity again is refused; later activity alarms.
    let old = service.post(alert.to_string(), &BINARY).await;
    assert_eq!(old.report()["status"], "refused", "{old:#?}");
    let mut later = alert.clone();
    later["time"] = json!(jiff::Timestamp::now().to_string());
    let new = service.post(later.to_string(), &BINARY).await;
    assert_eq!(new.report()["status"], "refused");
    assert!(new.report()["reason"].as_str().unwrap().contains("new activity"), "{new:#?}");
    assert_eq!(world.node(), (false, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_rule_is_needed() {
    for (index, rule) in ["get nodes", "patch nodes", "get,list pods", "get namespaces"].into_iter().enumerate() {
        let Some(world) = World::start(&format!("e2e-without-{index}"), Some(rule)) else { return };
        let service = Service::start("k8s-cordon-node", &world.environment()).await;
        let answer = service.post(alert().to_string(), &BINARY).await;
        let report = answer.report();
        assert_eq!((&report["status"], &report["error"]), (&json!("failed"), &json!("denied")), "{rule}: {answer:#?}");
        let verb = rule.split([' ', ',']).next().unwrap();
        let resource = rule.rsplit(' ').next().unwrap();
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains(verb) && reason.contains(resource), "{rule}: {reason}");
        assert_eq!(world.node(), (false, false), "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_same_name_in_another_cluster_is_not_ours() {
    let Some(world) = World::start("e2e-stranger", None) else { return };
    let service = Service::start("k8s-cordon-node", &world.environment()).await;
    let mut stranger = alert();
    stranger["hostname"] = json!("ip-10-99-0-1.other-cluster.internal");
    let answer = service.post(stranger.to_string(), &BINARY).await;
    assert_eq!((answer.status, &answer.report()["error"]), (409, &json!("conflict")), "{answer:#?}");
    assert_eq!(world.node(), (false, false));
    // Falco's own pod is no stranger.
    let falco = json!({"metadata": {"name": "falco-xczjd", "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [{"name": "falco", "image": "example.com/falco:1"}]}});
    world.admin("POST", "/api/v1/namespaces/default/pods", Some(&falco));
    stranger["hostname"] = json!("falco-xczjd");
    let answer = service.post(stranger.to_string(), &BINARY).await;
    assert_eq!(answer.report()["status"], "applied", "{answer:#?}");
    assert_eq!(world.node(), (true, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_is_the_default_and_writes_nothing() {
    let Some(world) = World::start("e2e-observe", None) else { return };
    let environment: Vec<_> = world.environment().into_iter().filter(|(name, _)| *name != "STANCH_MODE").collect();
    let service = Service::start("k8s-cordon-node", &environment).await;
    let answer = service.post(alert().to_string(), &BINARY).await;
    assert_eq!(answer.report()["status"], "planned", "{answer:#?}");
    assert!(answer.report()["changes"].to_string().contains("kubectl"));
    assert_eq!(world.node(), (false, false));
}
