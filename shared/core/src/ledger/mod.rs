//! The ledger: what was planned, what was done, and enough of both to resume after a crash and to undo.

mod store;

pub use store::{Item, Key, Saved, Store, Write};
