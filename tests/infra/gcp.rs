//! `infra/gcp`: its form, what the linters find, and whether what it grants exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
fn terraform_finds_it_valid() {
    if !installed("terraform", "version") {
        return skipped("terraform validate of infra/gcp", "terraform is not installed");
    }
    // A copy: `init` writes beside what it reads.
    let folder = tempfile::tempdir().unwrap();
    for part in ["gcp", "responders"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for entry in fs::read_dir(root().join("infra").join(part)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    let terraform = |words: &[&str]| {
        let quick =
            [("TF_REGISTRY_CLIENT_TIMEOUT", "5"), ("TF_REGISTRY_DISCOVERY_RETRY", "0"), ("TF_IN_AUTOMATION", "1")];
        run(Command::new("terraform").args(words).envs(quick).current_dir(folder.path().join("gcp")))
    };
    if let Err(why) = terraform(&["init", "-backend=false", "-input=false", "-no-color"]) {
        assert!(why.contains("hashicorp/google"), "{why}");
        return skipped("terraform google provider", "it is neither in a local mirror nor to be had from a registry");
    }
    terraform(&["validate", "-no-color"]).unwrap();
}

/// Google's provider in the form of CDKTF's bindings: the provider itself is in no package registry.
const BINDINGS: (&str, &str) = ("@cdktf/provider-google", "16.12.1");

#[test]
fn the_module_fits_the_providers_schema() {
    let what = "infra/gcp against the provider's schema";
    if !installed("npm", "--version") {
        return skipped(what, "npm is not installed");
    }
    let (python, bindings) = match (moto::ensure_infra_venv(), bindings()) {
        (Ok(python), Ok(bindings)) => (python, bindings),
        (Err(error), _) => return skipped(&format!("{what} (python)"), &error.to_string()),
        (_, Err(error)) => return skipped(what, error.lines().last().unwrap_or_default()),
    };
    let judge =
        |module: &Path| run(Command::new(&python).arg(root().join("tests/infra/schema.py")).arg(module).arg(&bindings));
    judge(&root().join("infra/gcp")).unwrap();
    for (right, wrong, said) in [
        ("custom_audiences ", "custom_audience ", "custom_audience is not known"),
        ("pubsub_topic = ", "# ", "pubsubtopic is missing"),
        ("period_seconds", "period", "period is not known"),
    ] {
        let broken = tempfile::tempdir().unwrap();
        for file in ["main.tf", "triggers.tf"] {
            let text = fs::read_to_string(root().join("infra/gcp").join(file)).unwrap();
            fs::write(broken.path().join(file), text.replace(right, wrong)).unwrap();
        }
        let refused = judge(broken.path()).expect_err("it was taken");
        assert!(refused.contains(said), "{refused}");
    }
}

/// Unpacks the declarations into the cache, once.
fn bindings() -> Result<PathBuf, String> {
    let (name, version) = BINDINGS;
    let cache = std::env::var_os("STANCH_CACHE").map_or_else(|| root().join(".cache"), PathBuf::from);
    let folder = cache.join(format!("provider-google-{version}"));
    if folder.join("package").is_dir() {
        return Ok(folder.join("package"));
    }
    fs::create_dir_all(&cache).map_err(|error| error.to_string())?;
    let scratch = tempfile::tempdir_in(&cache).map_err(|error| error.to_string())?;
    let pack = ["pack", "--silent", &format!("{name}@{version}")];
    let packed = run(Command::new("npm").args(pack).current_dir(scratch.path()))?;
    let unpack = ["--extract", "--wildcards", "--file", packed.trim(), "*.d.ts"];
    run(Command::new("tar").args(unpack).current_dir(scratch.path()))?;
    fs::remove_file(scratch.path().join(packed.trim())).map_err(|error| error.to_string())?;
    // Whole or not at all; of two at once the first one counts.
    if fs::rename(scratch.path(), &folder).is_err() && !folder.join("package").is_dir() {
        return Err(format!("{} cannot be made", folder.display()));
    }
    Ok(folder.join("package"))
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
        return skipped("tflint of infra/gcp", "tflint is not installed");
    }
    run(Command::new("tflint").arg("--chdir=infra/gcp").current_dir(root())).unwrap();
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
