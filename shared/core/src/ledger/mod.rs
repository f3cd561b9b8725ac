//! The ledger: what was planned, what was done, and enough of both to resume after a crash and to undo.

pub(crate) mod book;
mod parts;
pub(crate) mod record;
mod sibling;
mod store;
pub(crate) mod together;

pub use book::{Brake, brake, set_brake};
pub use sibling::Sibling;
pub use store::{Item, Key, Saved, Store, Write};
