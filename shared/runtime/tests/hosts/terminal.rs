//! The terminal: what is printed where, and the exit codes.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{Outcome, Place, falco, responder};

fn run(place: &Place, arguments: &[&str]) -> std::io::Result<Output> {
    responder(place, &[("USER", "alice"), ("STANCH_MODE", "observe")]).args(arguments).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_person_plans_applies_and_reverts() -> Outcome {
    let place = Place::new()?;
    let pod = ["--namespace", "web", "--name", "web-1", "--incident", "case-1"];
    let with = |command: &str, more: &[&str]| -> std::io::Result<Output> {
        run(&place, &[&[command], &pod[..], more].concat())
    };
    let out = with("plan", &[])?;
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("kubectl label pod web-1 state=suspect"), "{}", text(&out.stdout));
    assert!(!text(&out.stdout).contains('\u{1b}'), "no colour into a pipe");
    assert!(place.labels().is_empty());

    // Observe does not hold a person.
    let out = with("apply", &["--set", "text=seen", "--json"])?;
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout)?;
    assert_eq!(report["status"], "applied");
    assert_eq!(place.labels().get("web-1").map(String::as_str), Some("seen"));

    let out = with("revert", &["--json"])?;
    let report: Value = serde_json::from_slice(&out.stdout)?;
    assert_eq!(report["status"], "reverted", "{report}");
    assert!(place.labels().is_empty());
    Ok(())
}

#[test]
fn the_exit_code_says_what_came_of_it() -> Outcome {
    let place = Place::new()?;
    let pod = |name: &str| -> Vec<String> { ["--namespace", "web", "--name", name].map(str::to_owned).to_vec() };
    let cases: Vec<(&str, Vec<String>, i32, &str)> = vec![
        ("apply", pod("gone-1"), 1, "there is no such pod"),
        ("apply", pod("UPPER"), 2, "RFC 1123"),
        ("apply", vec![], 2, "must be named"),
        ("apply", vec!["--name".to_owned(), "a".to_owned()], 2, "namespace"),
        ("apply", [pod("a"), vec!["--account".to_owned(), "123456789012".to_owned()]].concat(), 2, "--account"),
        ("apply", [pod("a"), vec!["--set".to_owned(), "colour=red".to_owned()]].concat(), 2, "colour"),
        ("revert", pod("a"), 2, "--incident"),
        ("apply", vec!["--event".to_owned(), "/no/such/file".to_owned()], 2, "cannot be read"),
        ("apply", vec!["--nonsense".to_owned()], 2, "--nonsense"),
        ("apply", ["--namespace", "kube-system", "--name", "a"].map(str::to_owned).to_vec(), 3, "--protected"),
    ];
    for (command, arguments, code, says) in cases {
        let mut all = vec![command];
        all.extend(arguments.iter().map(String::as_str));
        let out = run(&place, &all)?;
        let (answer, notes) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "{all:?}: {answer}{notes}");
        assert!(answer.contains(says) || notes.contains(says), "{all:?}: {answer}{notes}");
    }
    assert_eq!(run(&place, &[])?.status.code(), Some(2), "nothing asked: the help");
    assert_eq!(run(&place, &["--help"])?.status.code(), Some(0));
    assert!(place.labels().is_empty());
    Ok(())
}

#[test]
fn an_event_names_target_and_incident() -> Outcome {
    let place = Place::new()?;
    let mut child = responder(&place, &[])
        .args(["apply", "--event", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("a pipe")?.write_all(falco("web-1").to_string().as_bytes())?;
    let out = child.wait_with_output()?;
    let report: Value = serde_json::from_slice(&out.stdout)?;
    assert_eq!(report["status"], "applied", "{report}");
    assert!(report["incident"].as_str().is_some_and(|it| it.starts_with("falco-")));

    let mut hostile = falco("web-2");
    hostile["rule"] = "a\u{1b}[2J\u{202e}rule".into();
    std::fs::write(place.path("event.json"), hostile.to_string())?;
    let file = place.path("event.json").display().to_string();
    let out = run(&place, &["plan", "--event", &file])?;
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{shown}");
    assert!(shown.contains("Falco") && !shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    Ok(())
}

#[test]
fn it_explains_checks_and_brakes() -> Outcome {
    let place = Place::new()?;
    let explained: Value = serde_json::from_slice(&run(&place, &["explain", "--json"])?.stdout)?;
    assert_eq!((&explained["name"], &explained["trigger"]), (&"label-pod".into(), &"event".into()));
    assert!(text(&run(&place, &["explain"])?.stdout).contains("patch pods"));

    let checks: Value =
        serde_json::from_slice(&run(&place, &["check", "--namespace", "web", "--name", "a", "--json"])?.stdout)?;
    assert!(checks.as_array().is_some_and(|it| it.len() == 2 && it.iter().all(|line| line["ok"] == true)), "{checks}");
    let out = run(&place, &["check"])?;
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("ok       context: reach it: open"), "{}", text(&out.stdout));

    let out = run(&place, &["brake", "on"])?;
    assert!(text(&out.stdout).contains("local:alice"), "{}", text(&out.stdout));
    let apply = ["apply", "--namespace", "web", "--name", "web-1", "--json"];
    let report: Value = serde_json::from_slice(&run(&place, &apply)?.stdout)?;
    assert_eq!(report["status"], "planned", "{report}");
    assert!(place.labels().is_empty());
    assert_eq!(run(&place, &["check"])?.status.code(), Some(1));
    let status: Value = serde_json::from_slice(&run(&place, &["brake", "status", "--json"])?.stdout)?;
    assert_eq!(status["on"], true);
    run(&place, &["brake", "off"])?;
    let report: Value = serde_json::from_slice(&run(&place, &apply)?.stdout)?;
    assert_eq!(report["status"], "applied", "{report}");

    let script = run(&place, &["completions", "bash"])?;
    assert!(text(&script.stdout).contains("label-pod"));
    Ok(())
}
