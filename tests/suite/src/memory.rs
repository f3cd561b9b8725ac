//! A ledger that ends with its process.

use std::{collections::BTreeMap, sync::Mutex};

use futures::{FutureExt, future::BoxFuture};
use stanch_core::{Item, Key, Result, Saved, Store, Write};

/// A compare-and-swap store in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Item>>);

impl Store for Memory {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        let items = self.0.lock().unwrap();
        let found = keys.iter().map(|key| items.get(key.as_str()).cloned()).collect();
        async move { Ok(found) }.boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        let mut items = self.0.lock().unwrap();
        let fresh = writes.iter().all(|write| items.get(write.key.as_str()).map(|it| it.version) == write.expected);
        if fresh {
            for write in writes {
                if let Some(body) = &write.body {
                    items.insert(write.key.as_str().to_owned(), Item { version: write.version(), body: body.clone() });
                }
            }
        }
        async move { Ok(if fresh { Saved::Done } else { Saved::Moved }) }.boxed()
    }
}
