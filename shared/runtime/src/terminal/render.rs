//! Reports, alerts and checks for a person to read. Whatever came from outside is escaped.

use stanch_core::{Alert, Check, Disruption, Done, DoneState, Report, Status, Undo};

use crate::out::plain;

/// Colours, or none.
#[derive(Clone, Copy)]
pub(super) struct Ink(pub(super) bool);

impl Ink {
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// What a detector said.
pub(super) fn alert(alert: &Alert, colour: bool) -> String {
    let ink = Ink(colour);
    let severity = alert.severity.map_or_else(|| "severity unknown".to_owned(), |it| format!("severity {it}"));
    let seen = alert.last_seen.map(|at| format!(", last seen {at}")).unwrap_or_default();
    let mut lines = vec![format!("{} {}: {severity}{seen}", ink.bold(&alert.source.to_string()), plain(&alert.rule))];
    let subjects: Vec<_> = alert.subjects.iter().map(|it| plain(&it.to_string())).collect();
    if !subjects.is_empty() {
        lines.push(format!("  names {}", subjects.join(", ")));
    }
    for (what, text) in [("inactive", &alert.inactive), ("acted as", &alert.acted_as), ("note", &alert.note)] {
        lines.extend(text.as_ref().map(|text| format!("  {what}: {}", plain(text))));
    }
    lines.join("\n") + "\n\n"
}

/// One report.
pub(super) fn report(report: &Report, colour: bool) -> String {
    let ink = Ink(colour);
    let status = report.status.as_str().to_uppercase();
    let status = match report.status {
        Status::Applied | Status::Already | Status::Reverted => ink.good(&status),
        Status::Planned => ink.bold(&status),
        Status::Refused | Status::Partial => ink.odd(&status),
        Status::Failed => ink.bad(&status),
    };
    let target = report.target.as_ref().map(|target| format!(" on {}", plain(&target.to_string()))).unwrap_or_default();
    let mut lines = vec![format!("{status}  {}{target}", ink.bold(&report.responder))];
    lines.extend(report.reason.as_ref().map(|reason| format!("  {}", plain(reason))));
    let mut about = Vec::new();
    about.extend(report.incident.as_ref().map(|it| format!("incident {it}")));
    about.extend(report.record.as_ref().map(|it| format!("record {it}")));
    let ms = report.finished.duration_since(report.started).as_millis();
    about.push(format!("{} to {} ({ms} ms)", report.started.strftime("%FT%TZ"), report.finished.strftime("%TZ")));
    lines.push(ink.dim(&format!("  {}", about.join(", "))));
    for done in &report.changes {
        change(done, ink, &mut lines);
    }
    if !report.changes.is_empty() {
        lines.push(match &report.undo {
            Undo::Order(order) => {
                let target = serde_json::to_string(&order.target).unwrap_or_default();
                let protected = if order.protected { " --protected" } else { "" };
                // No name that an order can hold has a quote in it.
                let name = &report.responder;
                format!("  undo: {name} revert --incident {} --target '{}'{protected}", order.incident, plain(&target))
            }
            Undo::None(why) => format!("  undo: none; {}", plain(why)),
        });
    }
    for found in &report.found {
        let details: Vec<_> = found.details.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        lines.push(format!("  {} {}", plain(&found.target.to_string()), ink.dim(&details.join(" "))));
    }
    for left in &report.remaining {
        let until = left.until.map(|until| format!(" (until {until})")).unwrap_or_default();
        lines.push(format!("  {} {}{until}", ink.odd("remaining:"), plain(&left.what)));
        lines.extend(left.next.as_ref().map(|next| format!("    next: {}", plain(next))));
    }
    lines.join("\n") + "\n"
}

fn change(done: &Done, ink: Ink, lines: &mut Vec<String>) {
    let state = match done.state {
        DoneState::Planned => ink.bold("would"),
        DoneState::Applied => ink.good("done"),
        DoneState::Skipped => ink.dim("skipped"),
        DoneState::Failed => ink.bad("failed"),
        DoneState::Reverted => ink.good("undone"),
    };
    let ms = if done.ms > 0 { ink.dim(&format!(" ({} ms)", done.ms)) } else { String::new() };
    lines.push(format!("  - {state}: {}{ms}", plain(&done.what)));
    lines.push(ink.dim(&format!("      {}", plain(&done.command))));
    if !done.ids.is_empty() {
        lines.push(format!("      {}", plain(&done.ids.join(", "))));
    }
    let mut effects = Vec::new();
    if done.visible_to_attacker {
        effects.push("the attacker can notice it");
    }
    effects.extend(match done.disruption {
        Disruption::None => None,
        Disruption::Pod => Some("interrupts the pod"),
        Disruption::Node => Some("interrupts everything on the node"),
        Disruption::Service => Some("interrupts a service that others use"),
    });
    if !effects.is_empty() {
        lines.push(format!("      {}", ink.odd(&effects.join("; "))));
    }
    lines.extend(done.error.as_ref().map(|error| format!("      {}", plain(error))));
}

/// The lines of `check`.
pub(super) fn checks(checks: &[Check], with_target: bool, colour: bool) -> String {
    let ink = Ink(colour);
    let mut lines: Vec<_> = checks
        .iter()
        .map(|check| {
            let state = if check.ok { ink.good("ok     ") } else { ink.bad("missing") };
            format!("{state}  {}: {}", plain(&check.what), plain(&check.detail))
        })
        .collect();
    if !with_target {
        lines.push(ink.dim("Name a target to have it checked, too, and the permissions to undo."));
    }
    lines.join("\n") + "\n"
}
