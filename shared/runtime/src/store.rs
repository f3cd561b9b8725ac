//! The ledger's store, opened when it is first needed: no host waits for a database before it is ready.

use std::sync::Arc;

use futures::future::BoxFuture;
use stanch_core::{Error, Item, Key, Result, Saved, Store, Write};
use tokio::sync::OnceCell;

use crate::{binary::give_way, config::Ledger};

/// Opens the store at a place.
pub(crate) type Open = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn Store>>> + Send + Sync>;

/// A store that opens itself. A failure is answered to whoever asked, and the next one tries again.
pub(crate) struct LateStore {
    open: Open,
    place: String,
    store: OnceCell<Arc<dyn Store>>,
}

impl LateStore {
    /// The store that the settings name, of those that the binary links.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`] when the binary has no store of that kind.
    pub(crate) fn new(stores: &[(&'static str, Open)], ledger: &Ledger) -> Result<Self> {
        let Some((_, open)) = stores.iter().find(|(kind, _)| *kind == ledger.kind) else {
            let kinds: Vec<_> = stores.iter().map(|(kind, _)| *kind).collect();
            return Err(Error::invalid("STANCH_LEDGER", format!("this binary knows {}", kinds.join(" and "))));
        };
        Ok(Self { open: Arc::clone(open), place: ledger.place.clone(), store: OnceCell::new() })
    }

    /// The open store.
    ///
    /// # Errors
    /// Whatever the store says.
    pub(crate) async fn get(&self) -> Result<&Arc<dyn Store>> {
        let open = || async {
            // To build a client takes this thread a millisecond or two: the call for the target goes out before.
            give_way().await;
            (self.open)(self.place.clone()).await
        };
        self.store.get_or_try_init(open).await
    }
}

impl Store for LateStore {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        Box::pin(async move { self.get().await?.load(keys).await })
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        Box::pin(async move { self.get().await?.save(writes).await })
    }
}
