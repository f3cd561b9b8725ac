//! Terraform's modules: their form, what the linters find, and whether what `infra/gcp` grants exists.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use stanch_range::moto;
use stanch_tests::{responders, root, skipped};

use crate::{installed, run};

#[test]
fn terraform_has_nothing_to_format() {
    if !installed("terraform", "version") {
        return skipped("terraform fmt", "terraform is not installed");
    }
    run(Command::new("terraform").args(["fmt", "-check", "-diff", "-recursive", "infra"]).current_dir(root())).unwrap();
}

#[test]
fn checkov_finds_nothing_that_is_not_explained() {
    let python = match moto::ensure_infra_venv() {
        Ok(python) => python,
        Err(error) => return skipped("checkov (python)", &error.to_string()),
    };
    for (folder, framework) in [("infra/gcp", "terraform"), ("infra/image", "dockerfile"), ("infra/k8s", "kubernetes")]
    {
        let mut checkov = Command::new(python.with_file_name("checkov"));
        checkov.args(["--directory", folder, "--framework", framework, "--output", "json"]);
        checkov.args(["--compact", "--quiet", "--skip-download", "--soft-fail"]).current_dir(root());
        let explained = root().join(folder).join(".checkov.yaml");
        if explained.is_file() {
            checkov.arg("--config-file").arg(explained);
        }
        let said = run(&mut checkov).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let failed: Vec<_> = said["results"]["failed_checks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|check| format!("{} of {}: {}", check["check_id"], check["resource"], check["check_name"]))
            .collect();
        assert!(failed.is_empty(), "{folder}: {failed:#?}");
        assert!(
            said["summary"]["passed"].as_u64().is_some_and(|passed| passed > 0),
            "{folder}: nothing was checked: {said}"
        );
    }
}

#[test]
fn tflint_finds_nothing() {
    if !installed("tflint", "--version") {
        return skipped("tflint", "tflint is not installed");
    }
    let config = root().join("infra/.tflint.hcl");
    let tflint = |folder: &Path| {
        let mut tflint = Command::new("tflint");
        run(tflint.arg(format!("--config={}", config.display())).arg(format!("--chdir={}", folder.display())))
    };
    for folder in ["infra/aws", "infra/aws/member", "infra/gcp"] {
        tflint(&root().join(folder)).unwrap();
    }
    let spoilt = tempfile::tempdir().unwrap();
    fs::write(spoilt.path().join("main.tf"), "variable \"unused\" {}\n").unwrap();
    let found = tflint(spoilt.path()).unwrap_err();
    assert!(found.contains("terraform_unused_declarations"), "{found}");
}

/// Permissions that are no method of an API: what one resource is used for by another (IAM, "Permissions reference").
const USES: [&str; 4] = [
    "compute.addresses.use",
    "compute.networks.updatePolicy",
    "compute.subnetworks.useExternalIp",
    "iam.serviceAccounts.actAs",
];
/// What the module grants beside what the responders declare: the ledger (Firestore, "Roles and permissions") and the
/// way to a cluster (GKE, "IAM permissions").
const HOST: [&str; 6] = [
    "container.clusters.connect",
    "container.clusters.get",
    "datastore.databases.get",
    "datastore.entities.create",
    "datastore.entities.get",
    "datastore.entities.update",
];

#[test]
fn every_permission_that_is_granted_exists() {
    let python = match moto::ensure_google_venv() {
        Ok(python) => python,
        Err(error) => return skipped("Google Cloud permissions (python)", &error.to_string()),
    };
    let script = root().join("tests/infra/methods.py");
    let methods = run(Command::new(python).arg(script).args(["compute.v1", "iam.v1"])).unwrap();
    let methods: BTreeSet<_> = methods.lines().collect();
    assert!(methods.contains("compute.instances.get"), "no methods");
    let exists = |permission: &str| {
        methods_of(permission).iter().any(|method| methods.contains(method.as_str())) || USES.contains(&permission)
    };
    assert!(!exists("compute.instances.isolate") && !exists("iam.serviceAccounts.use"), "everything exists");
    for (name, said) in responders().iter().filter(|(name, _)| name.starts_with("gcp-")) {
        for permission in [said.needs.plan, said.needs.apply, said.needs.revert].concat() {
            let permission = permission.to_string();
            assert!(exists(&permission), "{name}: there is no permission {permission}");
        }
    }
    let module = fs::read_to_string(root().join("infra/gcp/main.tf")).unwrap();
    let granted: BTreeSet<_> = module
        .split('"')
        .filter(|text| text.starts_with("datastore.") || text.starts_with("container.clusters."))
        .collect();
    assert_eq!(granted, BTreeSet::from(HOST));
}

/// The methods that a permission may be for: their names differ by the API's habits.
fn methods_of(permission: &str) -> Vec<String> {
    let (resource, verb) = permission.rsplit_once('.').unwrap();
    let resource = match resource {
        "iam.serviceAccounts" => "iam.projects.serviceAccounts",
        "iam.serviceAccountKeys" => "iam.projects.serviceAccounts.keys",
        same => same,
    };
    let verbs: &[&str] = match verb {
        "create" => &["insert", "create"],
        "update" => &["update", "patch"],
        same => &[same],
    };
    verbs.iter().map(|verb| format!("{resource}.{verb}")).collect()
}
