//! The suite itself is shared with the responders' own tests.

pub(crate) use stanch_suite::contract::{Bed, contract};
