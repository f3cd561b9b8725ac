//! The crate from outside: our own fixtures, the public events, and both of them damaged.

#![expect(clippy::expect_used, reason = "the helpers of tests stop at what must not be")]

mod common;
mod damage;
mod fixtures;
mod properties;
mod public;
mod snapshots;
