//! Who sits at the terminal, and what the incident is called if nobody says.

use jiff::Timestamp;
use stanch_core::{Error, IncidentId, Result};

use crate::{clock, env::Env};

/// The local user: the name that the session has, and the number that the system has.
pub(super) fn name(env: &Env) -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|variable| env.text(variable).ok().flatten());
    // It goes into tags and labels: what is unusual in them is left out.
    let name: String =
        name.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    let name = if name.is_empty() { "somebody".to_owned() } else { name };
    match uid() {
        Some(uid) => format!("local:{name}:{uid}"),
        None => format!("local:{name}"),
    }
}

/// The number, where the system shows it as a file.
fn uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

/// `manual-<time>-<4 hex digits>`.
///
/// # Errors
/// Never in practice: the form is one of an incident id.
pub(super) fn incident(now: Timestamp) -> Result<IncidentId> {
    let time = now.strftime("%Y%m%dt%H%M%Sz");
    format!("manual-{time}-{:04x}", clock::chance() & 0xffff).parse().map_err(|error: Error| error.within("incident"))
}
