//! The Helm chart, by the real Helm on the real API server: it deploys what kustomize deploys, and takes it away again.

use std::{collections::BTreeSet, process::Command};

use stanch_tests::{responders, root, skipped};

use crate::{
    installed,
    k8s::{self, Kubectl},
    run,
};

const CHART: &str = "infra/k8s/helm";

/// With nothing of the user's own, neither configuration nor plugins.
fn helm(kubectl: &Kubectl<'_>, words: &[&str]) -> Result<String, String> {
    let mut helm = Command::new("helm");
    helm.arg("--kubeconfig").arg(kubectl.kubeconfig).args(["--namespace", "stanch"]).args(words);
    run(helm.current_dir(root()).env("HOME", kubectl.home.path()).env("NO_PROXY", "127.0.0.1"))
}

fn all() -> String {
    let names: Vec<_> = responders().into_keys().filter(|name| name.starts_with("k8s-")).collect();
    format!("responders={{{}}}", names.join(","))
}

#[test]
fn the_chart_deploys_what_kustomize_deploys() {
    if !installed("helm", "version") || !installed("kubectl", "--help") {
        return skipped("infra/k8s/helm", "helm or kubectl is not installed");
    }
    let Some(cluster) = k8s::server("infra/k8s/helm") else { return };
    let kubectl = Kubectl::of(&cluster);
    kubectl.run(&["apply", "--server-side", "--filename=infra/k8s/namespace/namespace.yaml"]).unwrap();
    let before = objects(&kubectl);

    helm(&kubectl, &["lint", "--strict", CHART]).unwrap();
    helm(&kubectl, &["install", "stanch", CHART, "--set", &all()]).unwrap();
    // The diff says so by its exit code, and of what is only in the cluster it says nothing.
    for folder in ["infra/k8s/in-cluster", "infra/k8s/in-cluster/orders"] {
        kubectl.run(&["diff", "--server-side", "--kustomize", folder]).unwrap();
    }
    let mut kustomized = BTreeSet::from(["namespace/stanch".to_owned()]);
    for folder in ["infra/k8s/in-cluster", "infra/k8s/in-cluster/orders"] {
        let dry = ["apply", "--server-side", "--dry-run=server", "--output=name", "--kustomize", folder];
        kustomized.extend(kubectl.run(&dry).unwrap().lines().map(str::to_owned));
    }
    let chart = &objects(&kubectl) - &before;
    let differ: Vec<_> = chart.symmetric_difference(&kustomized).collect();
    assert!(differ == ["namespace/stanch"], "only one of them makes {differ:?}");

    // New settings are new pods: a mode that only the ConfigMap has is not in force.
    let pods = |name: &str| {
        let get = ["--namespace=stanch", "get", "deployment", name, "--output=jsonpath={.spec.template}"];
        kubectl.run(&get).unwrap()
    };
    let observing = pods("k8s-mark");
    helm(&kubectl, &["upgrade", "stanch", CHART, "--set", &all()]).unwrap();
    assert_eq!(pods("k8s-mark"), observing, "nothing has changed");
    helm(&kubectl, &["upgrade", "stanch", CHART, "--set", &all(), "--set", "mode=enforce"]).unwrap();
    assert_ne!(pods("k8s-mark"), observing, "the pods still observe");

    // With a database for a ledger nothing needs the volume, nor one node. What is gone can still be undone.
    let database = ["upgrade", "stanch", CHART, "--set", "responders={k8s-mark},ledger.url=dynamodb:stanch"];
    helm(&kubectl, &database).unwrap();
    let pod = pods("k8s-mark");
    assert!(!pod.contains("podAffinity") && !pod.contains("/ledger") && pod.contains("/tls"), "{pod}");
    let left = objects(&kubectl);
    assert!(left.contains("deployment.apps/k8s-mark") && !left.contains("deployment.apps/k8s-cordon-node"), "{left:?}");
    let role = |name: &str| left.contains(&format!("clusterrole.rbac.authorization.k8s.io/stanch:{name}"));
    assert!(!role("k8s-cordon-node") && role("k8s-cordon-node-undo"), "{left:?}");

    helm(&kubectl, &["uninstall", "stanch"]).unwrap();
    let ledger = BTreeSet::from(["persistentvolumeclaim/stanch-ledger".to_owned()]);
    assert_eq!(&objects(&kubectl) - &before, ledger, "what is left is the state that undo needs");
    helm(&kubectl, &["install", "stanch", CHART]).expect("it takes the ledger up again");
}

#[test]
fn a_value_that_is_wrong_is_refused_by_name() {
    if !installed("helm", "version") {
        return skipped("infra/k8s/helm", "helm is not installed");
    }
    let template = |value: &str| {
        let mut helm = Command::new("helm");
        run(helm.args(["template", "stanch", CHART, "--set", value]).current_dir(root()))
    };
    assert!(template("mode=enforce").unwrap().contains("STANCH_MODE: enforce"));
    let digest = format!("sha256:{}", "0".repeat(64));
    let pinned = template(&format!("image.repository=r.example/stanch,image.tag=v1,image.digests.k8s-mark={digest}"));
    let pinned = pinned.unwrap();
    assert!(pinned.contains(&format!("image: r.example/stanch/k8s-mark:v1@{digest}\n")), "{pinned}");
    assert!(pinned.contains("image: r.example/stanch/k8s-locate:v1\n"), "{pinned}");
    let secrets = template("image.pullSecrets={registry}").unwrap();
    assert_eq!(secrets.matches("imagePullSecrets:\n  - name: registry\n").count(), 4, "{secrets}");
    for (value, said) in [
        ("mode=maybe", "mode"),
        ("modes=observe", "modes"),
        ("responders={k8s-mend}", "k8s-mend"),
        ("responders=null", "responders"),
        ("image.digests.k8s-mark=latest", "k8s-mark"),
        // A number may be another one by the time that it is text.
        ("image.tag=1", "tag"),
        ("ledger.url=sqlite:/tmp/stanch.db", "url"),
    ] {
        let refused = template(value).expect_err(value);
        assert!(refused.contains(said), "{value}: {refused}");
    }
}

/// What is there of all kinds that the deployment has, but for what every namespace has.
fn objects(kubectl: &Kubectl<'_>) -> BTreeSet<String> {
    let kinds = "serviceaccounts,configmaps,persistentvolumeclaims,networkpolicies,deployments,services,cronjobs,\
                 clusterroles,clusterrolebindings";
    let said = kubectl.run(&["--namespace=stanch", "get", kinds, "--output=name"]).unwrap();
    let everywhere = ["serviceaccount/default", "configmap/kube-root-ca.crt"];
    said.lines().filter(|name| !everywhere.contains(name)).map(str::to_owned).collect()
}
