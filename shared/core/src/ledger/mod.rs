//! The ledger: what was planned, what was done, and enough of both to resume after a crash and to undo.

pub(crate) mod book;
pub(crate) mod record;
mod store;
pub(crate) mod together;

pub use book::{Brake, brake, set_brake};
pub use store::{Item, Key, Saved, Store, Write};
