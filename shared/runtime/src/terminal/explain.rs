//! `explain`: what the responder declares, as text or JSON.

use serde::Serialize;
use stanch_core::{OptionDoc, Permission, Permissions, Responder, Result, TargetKind, Trigger};

use super::{args::Answer, render::Ink, to_json};
use crate::out::Out;

#[derive(Serialize)]
struct Explained {
    name: &'static str,
    about: &'static str,
    trigger: Trigger,
    undo: &'static str,
    targets: &'static [&'static str],
    options: &'static [OptionDoc],
    permissions: Permissions,
    cool_down_seconds: Option<u64>,
    /// The guard's severity floor is not for it.
    gentle: bool,
}

/// Prints it.
pub(super) fn run<R: Responder>(how: &Answer, out: &mut Out) -> Result<u8> {
    let it = Explained {
        name: R::NAME,
        about: R::ABOUT,
        trigger: R::TRIGGER,
        undo: R::UNDO,
        targets: R::Target::KINDS,
        options: R::OPTIONS,
        permissions: R::NEEDS,
        cool_down_seconds: R::COOL_DOWN.map(|wait| wait.as_secs()),
        gentle: R::GENTLE,
    };
    let text = if how.json { to_json(&it)? } else { text(&it, Ink(out.colour)) };
    out.answer(&text);
    Ok(0)
}

fn text(it: &Explained, ink: Ink) -> String {
    let trigger = match it.trigger {
        Trigger::Event => "a detector's event, a person or a playbook",
        Trigger::Order => {
            "a person or a playbook; an event is planned and reported, unless the guard lists it under auto"
        }
    };
    let mut lines = vec![format!("{}  {}", ink.bold(it.name), it.about), String::new()];
    let mut field = |name: &str, text: &str| lines.push(format!("{}  {text}", ink.bold(&format!("{name:<11}"))));
    field("Target", &it.targets.join(" or "));
    field("Set off by", trigger);
    field("Undo", it.undo);
    if let Some(seconds) = it.cool_down_seconds {
        field("Repeats", &format!("after {} minutes at the earliest, whatever the incident", seconds / 60));
    }
    if it.gentle {
        field("Severity", "any: it takes evidence or sets marks");
    }
    if !it.options.is_empty() {
        lines.extend([String::new(), ink.bold("Options (--set KEY=VALUE)")]);
        lines.extend(it.options.iter().map(|it| format!("  {}  {}\n      {}", it.name, ink.dim(it.form), it.about)));
    }
    lines.extend([String::new(), ink.bold("Permissions")]);
    let parts = [
        ("to look", it.permissions.plan),
        ("to act, beyond that", it.permissions.apply),
        ("to undo, beyond looking", it.permissions.revert),
    ];
    for (what, needs) in parts {
        let needs = needs.iter().map(Permission::to_string).collect::<Vec<_>>();
        let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join("; ") };
        lines.push(format!("  {what}: {needs}"));
    }
    lines.join("\n") + "\n"
}
