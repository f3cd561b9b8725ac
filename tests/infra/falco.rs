//! `infra/k8s/falco`: rules of fields and operators that Falco documents, and values that its charts know.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use stanch_tests::root;

/// "Supported Fields for Conditions and Outputs" (Falco), as far as they are used.
const FIELDS: [&str; 17] = [
    "container.id",
    "container.image.digest",
    "container.image.repository",
    "evt.is_open_read",
    "evt.type",
    "fd.name",
    "fd.sip",
    "fd.typechar",
    "k8s.ns.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "proc.cmdline",
    "proc.exepath",
    "proc.is_exe_upper_layer",
    "proc.name",
    "proc.pname",
    "user.name",
];
const OPERATORS: [&str; 6] = ["=", "!=", "in", "startswith", "endswith", "contains"];
/// In falcosidekick's order.
const PRIORITIES: [&str; 8] =
    ["debug", "informational", "notice", "warning", "error", "critical", "alert", "emergency"];
/// The settings of falcosidekick's two HTTP outputs.
const OUTPUT: [&str; 7] =
    ["address", "checkcert", "customheaders", "extensions", "method", "minimumpriority", "mutualtls"];

fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

fn file(name: &str) -> Value {
    yaml(&fs::read_to_string(root().join("infra/k8s/falco").join(name)).unwrap())
}

#[test]
fn the_rules_can_be_read_by_falco() {
    let rules = file("rules.yaml");
    let rules = yaml(rules["customRules"]["stanch.yaml"].as_str().unwrap());
    let mut lists = BTreeSet::new();
    let mut names = BTreeSet::new();
    for item in rules.as_array().unwrap() {
        if let Some(list) = item["list"].as_str() {
            assert!(item["items"].as_array().is_some_and(|items| !items.is_empty()), "{list}");
            lists.insert(list);
            continue;
        }
        let rule = item["rule"].as_str().unwrap();
        assert!(names.insert(rule), "{rule} is there twice");
        condition(item["condition"].as_str().unwrap(), &lists).unwrap_or_else(|error| panic!("{rule}: {error}"));
        let output = item["output"].as_str().unwrap();
        for field in output.split('%').skip(1) {
            let field = field.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').next().unwrap();
            assert!(FIELDS.contains(&field), "{rule}: %{field}");
        }
        assert!(output.contains("%k8s.pod.name") && output.contains("%k8s.ns.name"), "{rule} names no pod");
        let priority = item["priority"].as_str().unwrap().to_lowercase();
        assert!(PRIORITIES.contains(&priority.as_str()), "{rule}: {priority}");
        assert_eq!(item["source"], "syscall", "{rule}");
        assert!(item["desc"].as_str().is_some_and(|desc| !desc.trim().is_empty()), "{rule}");
        for key in item.as_object().unwrap().keys() {
            assert!(
                ["rule", "desc", "condition", "output", "priority", "source", "tags"].contains(&key.as_str()),
                "{key}"
            );
        }
    }
    assert!(!names.is_empty());
}

#[test]
fn a_condition_that_falco_would_refuse_is_refused_here() {
    let lists = BTreeSet::from(["tools"]);
    assert_eq!(
        condition("evt.type in (execve, execveat) and not (proc.name in (tools) or fd.sip = \"::1\")", &lists),
        Ok(())
    );
    for wrong in [
        "evt.kind = execve",
        "evt.type execve",
        "evt.type in (execve",
        "evt.type = execve and",
        "(evt.type = execve",
        "evt.type = execve proc.name = sh",
        "evt.type is execve",
    ] {
        assert!(condition(wrong, &lists).is_err(), "{wrong}");
    }
}

/// Falco's grammar, as far as it is used: `or` of `and` of `not`, parentheses, and comparisons of a field.
fn condition(text: &str, lists: &BTreeSet<&str>) -> Result<(), String> {
    let mut words = words(text)?.into_iter().peekable();
    either(&mut words, lists)?;
    words.next().map_or(Ok(()), |word| Err(format!("{word} is left over")))
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' | ',' => 1,
            '"' => rest[1..].find('"').ok_or("a quote is not closed")? + 2,
            _ => rest.find(|c: char| c.is_whitespace() || "(),".contains(c)).unwrap_or(rest.len()),
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

fn either(words: &mut Words, lists: &BTreeSet<&str>) -> Result<(), String> {
    loop {
        each(words, lists)?;
        if words.next_if_eq("or").is_none() {
            return Ok(());
        }
    }
}

fn each(words: &mut Words, lists: &BTreeSet<&str>) -> Result<(), String> {
    loop {
        while words.next_if_eq("not").is_some() {}
        if words.next_if_eq("(").is_some() {
            either(words, lists)?;
            expect(words, ")")?;
        } else {
            comparison(words, lists)?;
        }
        if words.next_if_eq("and").is_none() {
            return Ok(());
        }
    }
}

fn comparison(words: &mut Words, lists: &BTreeSet<&str>) -> Result<(), String> {
    let mut next = || words.next().ok_or_else(|| "it ends too early".to_owned());
    let (field, operator) = (next()?, next()?);
    if !FIELDS.contains(&field.as_str()) {
        return Err(format!("{field} is no field"));
    }
    if !OPERATORS.contains(&operator.as_str()) {
        return Err(format!("{operator} is no operator"));
    }
    if operator != "in" {
        let value = next()?;
        return if ["and", "or", ")", "("].contains(&value.as_str()) {
            Err(format!("{field} is compared with nothing"))
        } else {
            Ok(())
        };
    }
    expect(words, "(")?;
    loop {
        let item = words.next().ok_or("it ends too early")?;
        if item.contains('_') && !lists.contains(item.as_str()) {
            return Err(format!("{item} is no list"));
        }
        if words.next_if_eq(",").is_none() {
            return expect(words, ")");
        }
    }
}

fn expect(words: &mut Words, wanted: &str) -> Result<(), String> {
    words.next_if_eq(wanted).map(|_| ()).ok_or_else(|| format!("{wanted} is missing"))
}

#[test]
fn the_values_reach_a_responder_that_is_deployed() {
    let values = file("values.yaml");
    for key in values["falco"].as_object().unwrap().keys() {
        let known = ["append_output", "json_include_output_property", "json_include_tags_property", "json_output"];
        assert!(known.contains(&key.as_str()), "falco.{key}");
    }
    for append in values["falco"]["append_output"].as_array().unwrap() {
        for field in append["extra_fields"].as_array().unwrap() {
            assert!(FIELDS.contains(&field.as_str().unwrap()), "{field}");
        }
    }
    let sidekick = &values["falcosidekick"];
    let mounts = sidekick["extraVolumeMounts"][0]["mountPath"].as_str().unwrap();
    for (key, path) in sidekick["config"]["mutualtlsclient"].as_object().unwrap() {
        assert!(["cacertfile", "certfile", "keyfile"].contains(&key.as_str()), "{key}");
        assert!(path.as_str().unwrap().starts_with(mounts), "{key} is not mounted");
    }
    assert_eq!(sidekick["extraVolumeMounts"][0]["name"], sidekick["extraVolumes"][0]["name"]);
    for (name, output) in sidekick["config"].as_object().unwrap() {
        if name == "mutualtlsclient" {
            continue;
        }
        assert!(["cloudevents", "webhook"].contains(&name.as_str()), "{name}");
        for key in output.as_object().unwrap().keys() {
            assert!(OUTPUT.contains(&key.as_str()), "{name}.{key}");
        }
        assert!(PRIORITIES.contains(&output["minimumpriority"].as_str().unwrap()), "{name}");
        assert_eq!(output["mutualtls"], true, "{name}");
        let address = output["address"].as_str().unwrap();
        let responder = address.strip_prefix("https://").and_then(|it| it.strip_suffix(".stanch.svc:8443/")).unwrap();
        let place = root().join(format!("infra/k8s/in-cluster/responders/{responder}.yaml"));
        assert!(place.is_file(), "{address}: nobody is there");
    }
}
