//! `infra/k8s` on the real API server: it takes every manifest strictly, and gives each identity exactly what its
//! responder declares.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stanch_core::Permission;
use stanch_range::{control_plane::ControlPlane, moto};
use stanch_tests::{responders, root, skipped};

use crate::{installed, run, say};

/// A right as `kubectl auth can-i --list` has it: the resource with its group, and one verb.
type Rights = BTreeSet<(String, String)>;

pub(crate) struct Kubectl<'a> {
    pub(crate) kubeconfig: &'a Path,
    pub(crate) home: tempfile::TempDir,
}

impl<'a> Kubectl<'a> {
    pub(crate) fn of(cluster: &'a ControlPlane) -> Self {
        Self { kubeconfig: cluster.kubeconfig(), home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn run(&self, words: &[&str]) -> Result<String, String> {
        run(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["--request-timeout", "60s"])
            .args(words)
            .current_dir(root())
            .env("HOME", self.home.path())
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    fn apply(&self, folder: &str) -> Result<String, String> {
        self.run(&["apply", "--server-side", "--validate=strict", "--kustomize", folder])
    }

    /// What somebody may do, beyond what everybody may.
    fn rights(&self, who: &[&str], beyond: &Rights) -> Rights {
        let said = self.run(&[&["auth", "can-i", "--list"], who].concat()).unwrap();
        said.lines().skip(1).flat_map(rights).filter(|right| !beyond.contains(right)).collect()
    }
}

/// `nodes  []  []  [get patch]`: resource, URLs, names, verbs.
fn rights(line: &str) -> Vec<(String, String)> {
    let (resource, rest) = line.split_once(' ').unwrap_or_default();
    if resource.is_empty() {
        return Vec::new();
    }
    let lists: Vec<_> = rest.split(['[', ']']).skip(1).step_by(2).collect();
    let [urls, names, verbs] = lists[..] else { panic!("{line}") };
    assert_eq!((urls, names), ("", ""), "{line}");
    verbs.split(' ').map(|verb| (resource.to_owned(), verb.to_owned())).collect()
}

fn declared(needs: &[&[Permission]]) -> Rights {
    let mut rights = Rights::new();
    for need in needs.concat() {
        let Permission::Kube { group, resource, verbs } = need else { panic!("{need}") };
        let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        rights.extend(verbs.iter().map(|verb| (resource.clone(), (*verb).to_owned())));
    }
    rights
}

#[test]
fn the_api_server_takes_everything_and_grants_exactly_what_is_declared() {
    if !installed("kubectl", "--help") {
        return skipped("infra/k8s on an API server", "kubectl is not installed");
    }
    let Some(cluster) = server("infra/k8s") else { return };
    let kubectl = Kubectl::of(&cluster);
    let everybody = kubectl.rights(&["--as=somebody"], &Rights::new());

    kubectl.apply("infra/k8s/base").unwrap();
    let mut undone = Rights::new();
    for (name, said) in responders().iter().filter(|(name, _)| name.starts_with("k8s-")) {
        let group = format!("--as-group=stanch:{name}");
        let may = kubectl.rights(&["--as=function", &group], &everybody);
        assert_eq!(may, declared(&[said.needs.plan, said.needs.apply]), "{name}");
        if !said.needs.revert.is_empty() {
            undone.extend(declared(&[said.needs.plan, said.needs.revert]));
        }
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
            assert!(!allowed(&cluster, name, verb, "secrets"), "{name} may {verb} secrets");
        }
    }
    assert_eq!(kubectl.rights(&["--as=analyst", "--as-group=stanch:undo"], &everybody), undone);
    assert!(allowed(&cluster, "k8s-cordon-node", "patch", "nodes"), "the review says no to everything");

    in_the_cluster(&cluster, &kubectl);
    a_field_that_does_not_exist_is_refused(&kubectl);
}

/// A real API server of our own; where there is none, that is said.
pub(crate) fn server(what: &str) -> Option<ControlPlane> {
    match ControlPlane::start() {
        Ok(cluster) if cluster.whose() == "tests/control-plane" => return Some(cluster),
        Ok(cluster) => skipped(&format!("{what} on an API server"), &format!("{} may be in use", cluster.whose())),
        Err(error) => skipped(&format!("{what} on the real kube-apiserver"), &error.to_string()),
    }
    None
}

/// What the server itself says of a member of a responder's group.
fn allowed(cluster: &ControlPlane, name: &str, verb: &str, resource: &str) -> bool {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": "function", "groups": [format!("stanch:{name}"), "system:authenticated"],
        "resourceAttributes": {"verb": verb, "resource": resource},
    }});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let (status, said) = cluster.admin("POST", path, "application/json", Some(&review)).unwrap();
    assert_eq!(status, 201, "{said}");
    said["status"]["allowed"] == true
}

/// The Deployments, whose pods must also pass the namespace's Pod Security level, and who they are.
fn in_the_cluster(cluster: &ControlPlane, kubectl: &Kubectl<'_>) {
    kubectl.apply("infra/k8s/in-cluster").unwrap();
    kubectl.apply("infra/k8s/in-cluster/orders").unwrap();
    let analyst = kubectl.rights(&["--as=system:serviceaccount:stanch:analyst"], &Rights::new());
    let asks = ("tokenreviews.authentication.k8s.io".to_owned(), "create".to_owned());
    let mut expected = BTreeSet::new();
    for (name, said) in responders().iter().filter(|(name, _)| name.starts_with("k8s-")) {
        let may = kubectl.rights(&[&format!("--as=system:serviceaccount:stanch:{name}")], &analyst);
        let mut declared = declared(&[said.needs.plan, said.needs.apply]);
        declared.insert(asks.clone());
        assert_eq!(may, declared, "{name} in the cluster");
        kubectl
            .run(&[
                "create",
                "job",
                "--namespace=stanch",
                &format!("--from=cronjob/check-{name}"),
                &format!("try-{name}"),
            ])
            .unwrap();
        expected.extend([format!("{name}/responder"), format!("try-{name}/check")]);
    }
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let (_, said) = cluster.admin("GET", "/api/v1/namespaces/stanch/pods", "", None).unwrap();
        let made: BTreeSet<_> = said["items"].as_array().unwrap().iter().map(pod).collect();
        if made.is_superset(&expected) {
            break;
        }
        let missing: Vec<_> = expected.difference(&made).collect();
        assert!(Instant::now() < until, "no pod was admitted for {missing:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whose pod it is, and its container.
fn pod(pod: &Value) -> String {
    let labels = &pod["metadata"]["labels"];
    let owner = [&labels["app.kubernetes.io/name"], &labels["batch.kubernetes.io/job-name"]];
    let owner = owner.into_iter().find_map(Value::as_str).unwrap_or_default();
    format!("{owner}/{}", pod["spec"]["containers"][0]["name"].as_str().unwrap())
}

fn a_field_that_does_not_exist_is_refused(kubectl: &Kubectl<'_>) {
    let text = kubectl.run(&["kustomize", "infra/k8s/in-cluster"]).unwrap();
    let wrong = text.replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:");
    assert_ne!(text, wrong);
    let refused = say(&mut kubectl.command(&["apply", "--server-side", "--validate=strict", "--filename=-"]), &wrong);
    let refused = refused.expect_err("it was taken");
    assert!(refused.contains("readOnlyRootFileSystem"), "{refused}");
}

#[test]
fn the_knative_services_fit_knatives_schema() {
    if !installed("kubectl", "--help") {
        return skipped("infra/k8s/knative", "kubectl is not installed");
    }
    let python = match moto::ensure_infra_venv() {
        Ok(python) => python,
        Err(error) => return skipped("infra/k8s/knative against Knative's schema (python)", &error.to_string()),
    };
    let text = run(Command::new("kubectl").args(["kustomize", "infra/k8s/knative"]).current_dir(root())).unwrap();
    let judge = |text: &str| say(Command::new(&python).arg(root().join("tests/infra/knative.py")), text);
    let events = responders().iter().filter(|(name, said)| name.starts_with("k8s-") && said.trigger == "event").count();
    assert_eq!(judge(&text).unwrap().trim(), events.to_string());
    let wrong = judge(&text.replace("containerConcurrency:", "concurrency:")).expect_err("it was taken");
    assert!(wrong.contains("concurrency"), "{wrong}");
}
