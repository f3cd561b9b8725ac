//! The only thing that the ledger asks of a database: read some keys, and compare-and-swap some keys at once.

use futures::future::BoxFuture;

use crate::error::Result;

/// A compare-and-swap store. Claims, leases, holders, limits and the brake are made of it in core, so that a store
/// stays about sixty lines.
///
/// # Guarantees
/// `load` is strongly consistent: it sees every `save` that was answered before. `save` writes everything or
/// nothing, and of two that expect the same version exactly one succeeds.
pub trait Store: Send + Sync {
    /// The items under these keys, in this order; `None` where there is none.
    ///
    /// # Errors
    /// [`crate::Kind::Denied`], [`crate::Kind::Throttled`], [`crate::Kind::Unavailable`].
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>>;

    /// Carries out all writes, or none if any key is not at its expected version.
    ///
    /// # Errors
    /// As [`load`](Self::load). After [`crate::Kind::Unavailable`] the writes may have been carried out.
    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>>;
}

/// The name of an item: printable ASCII, at most 1024 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) String);

impl Key {
    /// The text under which a store keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key of any name, to try a store with.
    pub fn raw(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A stored item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// 1 for a new item, one more with each save.
    pub version: u64,
    /// JSON.
    pub body: String,
}

/// One part of a save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which item.
    pub key: Key,
    /// The version that it must have; `None`: it must not exist.
    pub expected: Option<u64>,
    /// What to store under version `expected + 1` (or 1); `None`: only check the version.
    pub body: Option<String>,
}

impl Write {
    /// The version that the item has afterwards.
    pub const fn version(&self) -> u64 {
        match self.expected {
            Some(version) => version + 1,
            None => 1,
        }
    }
}

/// The outcome of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Everything was written.
    Done,
    /// Nothing was written: an item was not at its expected version.
    Moved,
}
