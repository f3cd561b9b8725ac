//! The crate from outside: our own fixtures, the public events, and both of them damaged.

mod common;
mod damage;
mod fixtures;
mod public;
