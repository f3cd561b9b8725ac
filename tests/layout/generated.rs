//! What is deployed is generated from what the responders declare: policies, roles, rules and their documentation.
//!
//! `STANCH_GENERATE=1 cargo test -p stanch-tests --test layout` writes the files; without it a stale one fails.

use std::{collections::BTreeMap, fmt::Write, fs};

use serde_json::{Map, Value, json};
use stanch_aws::grants::{Names, policy};
use stanch_core::Permission;
use stanch_tests::{Said, responders, root};

use crate::{kubernetes, sam, terraform};

#[test]
fn what_is_deployed_is_what_the_responders_declare() {
    let write = std::env::var_os("STANCH_GENERATE").is_some();
    let files = files();
    let mut stale = Vec::new();
    for (path, text) in &files {
        let place = root().join(path);
        if fs::read_to_string(&place).is_ok_and(|present| present == *text) {
            continue;
        }
        if write {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, text).unwrap();
        } else {
            stale.push(path.clone());
        }
    }
    for folder in [
        "infra/responders",
        "infra/k8s/base/roles",
        "infra/k8s/in-cluster/responders",
        "infra/k8s/in-cluster/orders",
        "infra/k8s/knative/responders",
    ] {
        for entry in fs::read_dir(root().join(folder)).into_iter().flatten().map(Result::unwrap) {
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            if !files.contains_key(&path) {
                if write { fs::remove_file(entry.path()).unwrap() } else { stale.push(path) }
            }
        }
    }
    assert!(stale.is_empty(), "stale: {stale:?}; run STANCH_GENERATE=1 cargo test -p stanch-tests --test layout");
}

fn files() -> BTreeMap<String, String> {
    let all = responders();
    let mut files = BTreeMap::new();
    for (name, said) in &all {
        files.insert(format!("infra/responders/{name}.json"), pretty(&entry(name, said)));
    }
    files.extend(kubernetes::files(&all));
    files.extend(terraform::files());
    files.insert("template.yaml".to_owned(), sam::template(&all));
    files.insert("docs/permissions.md".to_owned(), documentation(&all));
    files
}

pub(crate) fn wing(name: &str) -> &str {
    name.split_once('-').map_or(name, |(wing, _)| wing)
}

/// What infrastructure reads of a responder.
pub(crate) fn entry(name: &str, said: &Said) -> Value {
    let mut entry = json!({
        "name": name,
        "wing": wing(name),
        "about": said.about,
        "trigger": said.trigger,
        "targets": said.kinds,
    });
    let (act, undo) = parts(said);
    match wing(name) {
        "aws" => {
            entry["policies"] = json!({"act": document(name, &act), "undo": document(name, &undo)});
            entry["events"] = pattern(said);
        }
        "gcp" => entry["permissions"] = json!({"act": names(&act), "undo": names(&undo)}),
        _ => entry["events"] = pattern(said),
    }
    entry
}

/// What the deployed role and the undo role need.
pub(crate) fn parts(said: &Said) -> (Vec<Permission>, Vec<Permission>) {
    let needs = said.needs;
    let undo = if needs.revert.is_empty() { Vec::new() } else { [needs.plan, needs.revert].concat() };
    ([needs.plan, needs.apply].concat(), undo)
}

/// The IAM policy of a role that is there before any target is known.
pub(crate) fn document(name: &str, needs: &[Permission]) -> Value {
    policy(name, needs, &Names { partition: "*".to_owned(), ..Names::default() })
}

fn names(needs: &[Permission]) -> Vec<String> {
    let mut names: Vec<_> = needs.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names
}

/// What EventBridge hands to a responder: findings that name what it takes, and what a person sends it from the
/// Security Hub console by a custom action whose name begins with "Stanch".
fn pattern(said: &Said) -> Value {
    let takes = |kinds: &[&str]| said.kinds.iter().any(|kind| kinds.contains(kind));
    let mut findings = Vec::new();
    let mut types = Vec::new();
    let mut finding = |kinds: &[&str], resource: Value| {
        let kinds: Vec<_> = kinds.iter().map(|kind| json!({ "wildcard": format!("*:{kind}/*") })).collect();
        let mut detail =
            json!({"type": kinds, "resource": resource, "service": {"archived": [false, {"exists": false}]}});
        if !said.gentle {
            detail["severity"] = json!([{"numeric": [">=", 7]}]);
        }
        findings.push(json!({"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"], "detail": detail}));
    };
    if takes(&["ec2-instance"]) {
        finding(&["EC2", "Runtime"], json!({"instanceDetails": {"instanceId": [{"prefix": "i-"}]}}));
        types.push("AwsEc2Instance");
    }
    if takes(&["iam-principal"]) {
        finding(&["IAMUser"], json!({"accessKeyDetails": {"userName": [{"exists": true}]}}));
        types.extend(["AwsIamAccessKey", "AwsIamRole", "AwsIamUser"]);
    }
    if takes(&["pod", "node", "workload", "service-account", "image"]) {
        finding(&["Kubernetes", "Runtime"], json!({"eksClusterDetails": {"name": [{"exists": true}]}}));
        types.push("AwsEksCluster");
    }
    findings.push(json!({
        "source": ["aws.securityhub"],
        "detail-type": ["Security Hub Findings - Custom Action"],
        "detail": {"actionName": [{"prefix": "Stanch"}], "findings": {"Resources": {"Type": types}}},
    }));
    json!({ "$or": findings })
}

fn documentation(all: &BTreeMap<&'static str, Said>) -> String {
    let mut text = "# Permissions\n\nGenerated from what each responder declares (`Responder::NEEDS`). The deployed \
                    function has *plan* and *apply*; *revert* belongs to a role that only people and playbooks \
                    assume. IAM policies with their resources and conditions are in `infra/responders/*.json`.\n"
        .to_owned();
    for (title, wing_name) in [("AWS", "aws"), ("Google Cloud", "gcp"), ("Kubernetes", "k8s")] {
        let _ = write!(
            text,
            "\n## {title}\n\n| responder | plan | apply, beyond plan | revert, beyond plan |\n|---|---|---|---|\n"
        );
        for (name, said) in all.iter().filter(|(name, _)| wing(name) == wing_name) {
            let cell = |needs: &[Permission]| {
                let cell = names(needs).iter().map(|need| format!("`{need}`")).collect::<Vec<_>>().join("<br>");
                if cell.is_empty() { "–".to_owned() } else { cell }
            };
            let (plan, apply, revert) = (cell(said.needs.plan), cell(said.needs.apply), cell(said.needs.revert));
            let _ = writeln!(text, "| `{name}` | {plan} | {apply} | {revert} |");
        }
    }
    let _ = write!(
        text,
        "\n## `Resource: \"*\"`\n\nOnly where the API knows no resource (Service Authorization Reference):\n\n"
    );
    for (action, users) in unscoped(all) {
        let _ = writeln!(text, "- `{action}` ({})", users.join(", "));
    }
    text
}

/// Actions that are granted on everything, and by whom they are used.
fn unscoped(all: &BTreeMap<&'static str, Said>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, said) in all.iter().filter(|(name, _)| wing(name) == "aws") {
        let (act, undo) = parts(said);
        let document = document(name, &[act, undo].concat());
        for statement in document["Statement"].as_array().into_iter().flatten() {
            if statement["Resource"] == json!(["*"]) {
                for action in statement["Action"].as_array().into_iter().flatten() {
                    let users = found.entry(action.as_str().unwrap().to_owned()).or_default();
                    if !users.contains(&(*name).to_owned()) {
                        users.push((*name).to_owned());
                    }
                }
            }
        }
    }
    found
}

#[test]
fn no_policy_allows_everything_and_each_fits_into_its_role() {
    for (name, said) in responders().iter().filter(|(name, _)| wing(name) == "aws") {
        for needs in <[_; 2]>::from(parts(said)) {
            let document = document(name, &needs);
            let mut allowed = Vec::new();
            for statement in document["Statement"].as_array().into_iter().flatten() {
                for action in statement["Action"].as_array().unwrap() {
                    let action = action.as_str().unwrap();
                    assert!(!action.contains('*'), "{name}: {action}");
                    allowed.push(action.to_owned());
                }
                assert!(statement["Resource"].as_array().is_some_and(|it| !it.is_empty()), "{name}: {statement}");
            }
            for need in &needs {
                assert!(allowed.contains(&need.to_string()), "{name}: no grant says what {need} is used on");
            }
            // IAM quotas: a managed policy has 6,144 characters, white space aside.
            assert!(document.to_string().len() <= 6144, "{name}: {} characters", document.to_string().len());
        }
    }
}

pub(crate) fn pretty(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.keys().collect();
                keys.sort();
                Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect::<Map<_, _>>())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(value)).unwrap() + "\n"
}
