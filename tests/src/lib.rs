//! What the suites share, and where things are.

mod responders;

use std::{path::PathBuf, process::Child};

pub use responders::{Said, responders};
pub use stanch_suite::{Skipping, incident, order, skipped};

/// The top of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Ending(pub Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
