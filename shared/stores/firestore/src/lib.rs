//! The ledger in a Firestore collection: what the Google Cloud responders use.
//!
//! An item is a document with `version` (integer) and `body` (string). A save is one commit whose writes carry
//! preconditions: a new document must not exist, a known one must have the `updateTime` that this version had. An item
//! that is only checked is read in a transaction, which the commit then belongs to. Reads are strongly consistent.
//! Sources: Firestore "Transactions and batched writes", "Quotas and limits"; REST reference `documents.batchGet`,
//! `documents.commit`, `Precondition`.
//!
//! Permissions: `datastore.entities.get`, `datastore.entities.create`, `datastore.entities.update` and, for the
//! transaction, `datastore.databases.get` (the role `roles/datastore.user` has them).
//!
//! The database must be in Native mode. An index exemption for `body` saves money and changes nothing.

mod client;
mod fault;
mod place;

use std::{
    collections::{BTreeSet, HashMap},
    env,
    sync::{Mutex, PoisonError},
};

use futures::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};
use stanch_core::{Error, Item, Key, Kind, Result, Saved, Store, Write};
use tokio::sync::OnceCell;

use crate::{
    client::{Client, Failure},
    place::Place,
};

/// A document holds 1 MiB; its name and its other fields need a little of it.
const LARGEST: usize = 1024 * 1024 - 8 * 1024;
/// A request holds 10 MiB, and JSON needs more room for some characters than what is counted.
const COMMIT: usize = 8 * 1024 * 1024;
/// As many documents are asked for at once.
const BATCH: usize = 100;
/// How many `updateTime`s are remembered. A process works on a few targets at a time.
const REMEMBERED: usize = 1024;

const GET: &str = "datastore.entities.get";
const CREATE: &str = "datastore.entities.create";
const UPDATE: &str = "datastore.entities.update";
const TRANSACTION: &str = "datastore.databases.get";

/// A [`Store`] in one collection.
#[derive(Debug)]
pub struct Firestore {
    place: Place,
    emulator: Option<String>,
    client: OnceCell<Client>,
    /// The `updateTime` of a version that was read or written here: saves a read before each save.
    times: Mutex<HashMap<Key, (u64, String)>>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    found: HashMap<String, (Item, String)>,
    transaction: Option<String>,
}

impl Firestore {
    /// A collection, as `PROJECT/COLLECTION` or `PROJECT/DATABASE/COLLECTION`, with Application Default Credentials; or
    /// at the emulator that `FIRESTORE_EMULATOR_HOST` names. Nothing is called before the first use.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the place is none.
    pub fn connect(place: &str) -> Result<Self> {
        Ok(Self { emulator: env::var("FIRESTORE_EMULATOR_HOST").ok(), ..Self::new(place)? })
    }

    /// A collection at an emulator: `127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the place is none.
    pub fn at(host: &str, place: &str) -> Result<Self> {
        Ok(Self { emulator: Some(host.to_owned()), ..Self::new(place)? })
    }

    fn new(place: &str) -> Result<Self> {
        Ok(Self { place: Place::parse(place)?, emulator: None, client: OnceCell::new(), times: Mutex::default() })
    }

    /// As [`connect`](Self::connect), with the client built.
    ///
    /// # Errors
    /// As there, and [`Kind::Denied`] without usable credentials.
    pub async fn open(place: String) -> Result<Self> {
        let store = Self::connect(&place)?;
        store.client().await?;
        Ok(store)
    }

    async fn client(&self) -> Result<&Client> {
        self.client.get_or_try_init(|| async { Client::build(&self.place.database, self.emulator.as_deref()) }).await
    }

    /// Reads each of these once. In a transaction, nobody else writes what was read before the transaction ends.
    async fn read(&self, keys: &BTreeSet<&Key>, transaction: bool) -> Result<Read> {
        const METHOD: &str = "batchGet";
        let client = self.client().await?;
        let mut all = Read::default();
        let names: Vec<String> = keys.iter().map(|key| self.place.document(key)).collect();
        for names in names.chunks(BATCH) {
            let body = match (transaction, &all.transaction) {
                (false, _) => json!({"documents": names}),
                (true, None) => json!({"documents": names, "newTransaction": {"readWrite": {}}}),
                (true, Some(begun)) => json!({"documents": names, "transaction": begun}),
            };
            let needs = if transaction { format!("{GET} or {TRANSACTION}") } else { GET.to_owned() };
            let answer = client.call(METHOD, &body).await.map_err(|failure| self.error(METHOD, &needs, failure))?;
            for part in answer.as_array().into_iter().flatten() {
                if let Some(begun) = part.get("transaction").and_then(Value::as_str) {
                    all.transaction = Some(begun.to_owned());
                }
                if let Some(document) = part.get("found") {
                    let (name, item, time) = item(document).ok_or_else(|| self.odd(METHOD))?;
                    all.found.insert(name, (item, time));
                }
            }
        }
        if transaction && all.transaction.is_none() {
            return Err(self.odd(METHOD));
        }
        for key in keys {
            let found = all.found.get(&self.place.document(key));
            self.remember(key, found.map(|(item, time)| (item.version, time.clone())));
        }
        Ok(all)
    }

    async fn write(&self, writes: &[Write]) -> Result<Saved> {
        self.fits(writes)?;
        let checks = writes.iter().any(|write| write.body.is_none());
        // What is only checked, and what we do not know the time of.
        let unknown: BTreeSet<&Key> = writes
            .iter()
            .filter(|write| match (&write.body, write.expected) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(version)) => self.time(&write.key, version).is_none(),
            })
            .map(|write| &write.key)
            .collect();
        let read = if unknown.is_empty() { Read::default() } else { self.read(&unknown, checks).await? };
        let version = |key: &Key| read.found.get(&self.place.document(key)).map(|(item, _)| item.version);
        let moved = writes.iter().any(|write| unknown.contains(&write.key) && version(&write.key) != write.expected);
        if moved || writes.iter().all(|write| write.body.is_none()) {
            self.give_up(read.transaction).await;
            return Ok(if moved { Saved::Moved } else { Saved::Done });
        }
        self.commit(writes, read.transaction).await
    }

    async fn commit(&self, writes: &[Write], transaction: Option<String>) -> Result<Saved> {
        const METHOD: &str = "commit";
        let written: Vec<&Write> = writes.iter().filter(|write| write.body.is_some()).collect();
        let mut parts = Vec::new();
        for write in &written {
            let Some(part) = self.part(write) else {
                self.give_up(transaction).await;
                return Ok(Saved::Moved);
            };
            parts.push(part);
        }
        let body = match &transaction {
            Some(begun) => json!({"writes": parts, "transaction": begun}),
            None => json!({"writes": parts}),
        };
        let failure = match self.client().await?.call(METHOD, &body).await {
            Ok(answer) => {
                let times = answer.get("writeResults").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                for (at, write) in written.iter().enumerate() {
                    let time = times.get(at).and_then(|one| one.get("updateTime")?.as_str());
                    self.remember(&write.key, time.map(|time| (write.version(), time.to_owned())));
                }
                return Ok(Saved::Done);
            }
            Err(failure) => failure,
        };
        for write in &written {
            self.remember(&write.key, None);
        }
        if let Failure::Said { fault, .. } = &failure {
            self.give_up(transaction).await;
            if fault.may_be_moved() && self.has_moved(&written).await? {
                return Ok(Saved::Moved);
            }
        }
        Err(self.error(METHOD, &needs(&written), failure))
    }

    /// One document of a commit; `None` if its version is not the one that was expected.
    fn part(&self, write: &Write) -> Option<Value> {
        let condition = match write.expected {
            None => json!({"exists": false}),
            Some(version) => json!({"updateTime": self.time(&write.key, version)?}),
        };
        let fields = json!({
            "version": {"integerValue": write.version().to_string()},
            "body": {"stringValue": write.body.as_deref()?},
        });
        Some(json!({
            "update": {"name": self.place.document(&write.key), "fields": fields},
            "currentDocument": condition,
        }))
    }

    async fn has_moved(&self, written: &[&Write]) -> Result<bool> {
        let read = self.read(&written.iter().map(|write| &write.key).collect(), false).await?;
        let version = |key: &Key| read.found.get(&self.place.document(key)).map(|(item, _)| item.version);
        Ok(written.iter().any(|write| version(&write.key) != write.expected))
    }

    /// Frees what a transaction holds; else it would hold it for up to a minute. Nothing depends on it.
    async fn give_up(&self, transaction: Option<String>) {
        if let (Some(begun), Ok(client)) = (transaction, self.client().await) {
            drop(client.call("rollback", &json!({"transaction": begun})).await);
        }
    }

    fn fits(&self, writes: &[Write]) -> Result<()> {
        let refuse =
            |kind, message: String| Err(Error::new(kind, "firestore:commit", message).on(&self.place.database));
        if writes.iter().map(|write| &write.key).collect::<BTreeSet<_>>().len() < writes.len() {
            return refuse(Kind::Internal, "the same item twice".to_owned());
        }
        let sizes = || writes.iter().filter_map(|write| Some(write.body.as_ref()?.len()));
        if let Some(size) = sizes().find(|size| *size > LARGEST) {
            return refuse(Kind::Unsupported, format!("an item of {size} bytes, and a document holds {LARGEST}"));
        }
        let all: usize = sizes().sum();
        if all > COMMIT {
            return refuse(Kind::Unsupported, format!("{all} bytes at once, and a commit holds {COMMIT}"));
        }
        Ok(())
    }

    fn time(&self, key: &Key, version: u64) -> Option<String> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.get(key).filter(|(known, _)| *known == version).map(|(_, time)| time.clone())
    }

    fn remember(&self, key: &Key, time: Option<(u64, String)>) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match time {
            None => drop(times.remove(key)),
            Some(time) => {
                if times.len() >= REMEMBERED {
                    times.clear();
                }
                times.insert(key.clone(), time);
            }
        }
    }

    fn error(&self, method: &str, needs: &str, failure: Failure) -> Error {
        match failure {
            Failure::Said { fault, wait } => {
                fault.error(&format!("firestore:{method}"), &self.place.database, needs, wait)
            }
            Failure::Silent(error) => error,
        }
    }

    fn odd(&self, method: &str) -> Error {
        let message = "a document is not of the ledger, or the answer does not have the documented form";
        Error::new(Kind::Internal, format!("firestore:{method}"), message).on(&self.place.database)
    }
}

impl Store for Firestore {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let read = self.read(&keys.iter().collect(), false).await?;
            let item = |key: &Key| read.found.get(&self.place.document(key)).map(|(item, _)| item.clone());
            Ok(keys.iter().map(item).collect())
        }
        .boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        async move { if writes.is_empty() { Ok(Saved::Done) } else { self.write(writes).await } }.boxed()
    }
}

/// The permissions that a commit needs.
fn needs(written: &[&Write]) -> String {
    let create = written.iter().any(|write| write.expected.is_none());
    let update = written.iter().any(|write| write.expected.is_some());
    match (create, update) {
        (true, true) => format!("{CREATE} or {UPDATE}"),
        (true, false) => CREATE.to_owned(),
        _ => UPDATE.to_owned(),
    }
}

/// Name, item and `updateTime` of a document.
fn item(document: &Value) -> Option<(String, Item, String)> {
    let text = |pointer: &str| document.pointer(pointer)?.as_str().map(str::to_owned);
    let version = text("/fields/version/integerValue")?.parse().ok()?;
    Some((text("/name")?, Item { version, body: text("/fields/body/stringValue")? }, text("/updateTime")?))
}
