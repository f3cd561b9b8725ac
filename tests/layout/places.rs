//! Where a responder must stand, and where an order responder must not: nothing may set it off by default.

use std::{fs, path::Path};

use stanch_tests::{responders, root};

/// What is missing in a tree for these responders (name and trigger), or set off that must not be. Empty: all is well.
fn missing(tree: &Path, known: &[(&str, &str)]) -> Vec<String> {
    let text = |path: &str| fs::read_to_string(tree.join(path)).unwrap_or_default();
    let (readme, permissions, template) = (text("README.md"), text("docs/permissions.md"), text("template.yaml"));
    let row = |document: &str, name: &str| document.lines().any(|line| line.starts_with(&format!("| `{name}` |")));
    let mut found = Vec::new();
    let mut ask = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for (name, trigger) in known {
        let wing = name.split('-').next().unwrap_or_default();
        let id = crate::sam::logical(name);
        for file in ["src/lib.rs", "src/main.rs", "event.json"] {
            let path = format!("functions/{name}/{file}");
            ask(tree.join(&path).is_file(), format!("{name}: {path} is missing"));
        }
        let entry = format!("infra/responders/{name}.json");
        let said: serde_json::Value = serde_json::from_str(&text(&entry)).unwrap_or_default();
        ask(said["name"] == *name, format!("{name}: {entry} is missing"));
        ask(row(&readme, name), format!("{name}: README.md has no row for it"));
        ask(row(&permissions, name), format!("{name}: docs/permissions.md has no row for it"));
        if wing != "gcp" {
            ask(
                !block(&template, &format!("{id}Function")).is_empty(),
                format!("{name}: template.yaml has no {id}Function"),
            );
            ask(!block(&template, &format!("{id}Check")).is_empty(), format!("{name}: template.yaml has no {id}Check"));
        }
        if wing == "k8s" {
            let path = format!("infra/k8s/base/roles/{name}.yaml");
            ask(tree.join(&path).is_file(), format!("{name}: {path} is missing"));
        }
        if *trigger != "order" {
            continue;
        }
        ask(said["trigger"] == "order", format!("{name}: {entry} gives an order responder a default trigger"));
        let rule = block(&template, &format!("{id}Rule"));
        ask(
            rule.is_empty() || rule.contains(&format!("Condition: \"{id}Wired\"")),
            format!("{name}: template.yaml gives an order responder a default trigger: {id}Rule has no condition"),
        );
        let inside = format!("infra/k8s/in-cluster/responders/{name}.yaml");
        ask(!tree.join(&inside).exists(), format!("{name}: {inside} gives an order responder a default trigger"));
    }
    // Which of them events may set off is what these say; by default, none.
    let auto = block(&template, "Auto");
    ask(auto.contains("Default: \"\"\n"), "template.yaml: the parameter Auto must be empty by default".to_owned());
    for path in ["infra/aws/common.tf", "infra/gcp/common.tf"] {
        let variables = text(path);
        let auto = variables.split("variable \"auto\" {").nth(1).and_then(|rest| rest.split("\n}").next());
        let empty =
            auto.is_some_and(|body| body.lines().any(|line| line.split_whitespace().eq(["default", "=", "[]"])));
        ask(empty, format!("{path}: the variable auto must be empty by default"));
    }
    found
}

/// A resource or parameter of the template: the lines under its name.
fn block(template: &str, name: &str) -> String {
    let mut lines = template.lines().skip_while(|line| *line != format!("  {name}:"));
    lines.next();
    lines.take_while(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_responder_stands_where_it_must() {
    let all = responders();
    let known: Vec<_> = all.iter().map(|(name, said)| (*name, said.trigger)).collect();
    let found = missing(&root(), &known);
    assert!(found.is_empty(), "{found:#?}");
}

const KNOWN: [(&str, &str); 3] = [("aws-stop", "order"), ("k8s-tag", "event"), ("k8s-end", "order")];

/// A tree in which three made-up responders stand everywhere.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let rows: String = KNOWN.iter().map(|(name, _)| format!("| `{name}` | … |\n")).collect();
    let mut template = "Parameters:\n  Auto:\n    Type: \"String\"\n    Default: \"\"\nResources:\n".to_owned();
    for (name, trigger) in KNOWN {
        for file in ["src/lib.rs", "src/main.rs", "event.json"] {
            put(tree.path(), &format!("functions/{name}/{file}"), "");
        }
        let said = format!("{{\"name\": \"{name}\", \"trigger\": \"{trigger}\"}}");
        put(tree.path(), &format!("infra/responders/{name}.json"), &said);
        if name.starts_with("k8s") {
            put(tree.path(), &format!("infra/k8s/base/roles/{name}.yaml"), "");
        }
        let id = crate::sam::logical(name);
        let condition = if trigger == "order" { format!("    Condition: \"{id}Wired\"\n") } else { String::new() };
        let resources = format!(
            "  {id}Function:\n    Type: \"f\"\n  {id}Check:\n    Type: \"c\"\n  {id}Rule:\n    Type: \"r\"\n{condition}"
        );
        template.push_str(&resources);
    }
    put(tree.path(), "infra/k8s/in-cluster/responders/k8s-tag.yaml", "");
    put(tree.path(), "template.yaml", &template);
    put(tree.path(), "README.md", &rows);
    put(tree.path(), "docs/permissions.md", &rows);
    for path in ["infra/aws/common.tf", "infra/gcp/common.tf"] {
        put(tree.path(), path, "variable \"auto\" {\n  type    = set(string)\n  default = []\n}\n");
    }
    tree
}

fn put(tree: &Path, path: &str, text: &str) {
    let path = tree.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn whatever_is_missing_is_named() {
    assert_eq!(missing(tree().path(), &KNOWN), [""; 0]);
    for (path, names) in [
        ("functions/aws-stop/event.json", "aws-stop: functions/aws-stop/event.json is missing"),
        ("functions/k8s-tag/src/main.rs", "k8s-tag: functions/k8s-tag/src/main.rs is missing"),
        ("infra/responders/k8s-tag.json", "k8s-tag: infra/responders/k8s-tag.json is missing"),
        ("infra/k8s/base/roles/k8s-tag.yaml", "k8s-tag: infra/k8s/base/roles/k8s-tag.yaml is missing"),
        ("README.md", "aws-stop: README.md has no row for it"),
        ("docs/permissions.md", "k8s-tag: docs/permissions.md has no row for it"),
        ("template.yaml", "aws-stop: template.yaml has no AwsStopFunction"),
        ("template.yaml", "k8s-tag: template.yaml has no K8sTagCheck"),
        ("template.yaml", "template.yaml: the parameter Auto must be empty by default"),
        ("infra/aws/common.tf", "infra/aws/common.tf: the variable auto must be empty by default"),
        ("infra/gcp/common.tf", "infra/gcp/common.tf: the variable auto must be empty by default"),
    ] {
        let tree = tree();
        fs::remove_file(tree.path().join(path)).unwrap();
        let found = missing(tree.path(), &KNOWN);
        assert!(found.iter().any(|it| it == names), "{path}: {found:#?}");
    }
}

#[test]
fn an_order_responder_that_something_sets_off_is_named() {
    let template = |from: &str, to: &str| {
        let tree = tree();
        let text = fs::read_to_string(tree.path().join("template.yaml")).unwrap();
        assert!(text.contains(from), "{text}");
        put(tree.path(), "template.yaml", &text.replace(from, to));
        missing(tree.path(), &KNOWN)
    };
    assert_eq!(
        template("    Condition: \"AwsStopWired\"\n", ""),
        ["aws-stop: template.yaml gives an order responder a default trigger: AwsStopRule has no condition"]
    );
    assert_eq!(
        template("Default: \"\"", "Default: \"aws-stop\""),
        ["template.yaml: the parameter Auto must be empty by default"]
    );
    for (path, text, names) in [
        (
            "infra/responders/aws-stop.json",
            r#"{"name": "aws-stop", "trigger": "event"}"#,
            "aws-stop: infra/responders/aws-stop.json gives an order responder a default trigger",
        ),
        (
            "infra/k8s/in-cluster/responders/k8s-end.yaml",
            "",
            "k8s-end: infra/k8s/in-cluster/responders/k8s-end.yaml gives an order responder a default trigger",
        ),
        (
            "infra/aws/common.tf",
            "variable \"auto\" {\n  default = [\"aws-stop\"]\n}\n",
            "infra/aws/common.tf: the variable auto must be empty by default",
        ),
    ] {
        let tree = tree();
        put(tree.path(), path, text);
        assert_eq!(missing(tree.path(), &KNOWN), [names]);
    }
}
