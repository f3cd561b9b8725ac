//! What the suites share, and where things are.

mod responders;

use std::path::PathBuf;

pub use responders::{Said, responders};
pub use stanch_suite::{Skipping, incident, order, skipped};

/// The top of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
