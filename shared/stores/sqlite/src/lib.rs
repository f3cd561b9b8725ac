//! The ledger in a SQLite file: what a terminal uses, where nothing else is there.
//!
//! The file is for its owner alone (0600, in a folder made 0700): it holds what undo restores. A save is one
//! `BEGIN IMMEDIATE` transaction with `synchronous = FULL`, so it is on disk when it is answered, and two processes
//! take turns. Sources: SQLite "Write-Ahead Logging", "PRAGMA synchronous", "Transaction".

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};
use stanch_core::{Error, Item, Key, Kind, Result, Saved, Store, Write};

/// How long one process waits for another: a save takes milliseconds, a slow disk's flush a second.
const BUSY: Duration = Duration::from_secs(5);
/// Two processes that make the file at once both switch it to WAL, which is not covered by the busy timeout.
const OPENINGS: u32 = 50;
/// Between two of these attempts.
const OPENING_PAUSE: Duration = Duration::from_millis(20);

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS items \
    (key TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID";
const LOAD: &str = "SELECT version, body FROM items WHERE key = ?1";
const SAVE: &str = "INSERT INTO items (key, version, body) VALUES (?1, ?2, ?3) \
    ON CONFLICT (key) DO UPDATE SET version = ?2, body = ?3";

/// A [`Store`] in one file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    file: PathBuf,
    connection: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens the file, and makes it and its folder where they are missing.
    ///
    /// # Errors
    /// [`Kind::Denied`] when the file cannot be made or opened; [`Kind::Throttled`] while others keep it busy;
    /// [`Kind::Internal`] when it is not a database.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self> {
        const OPERATION: &str = "sqlite:open";
        let file = file.into();
        create_private(&file).map_err(|error| {
            Error::new(Kind::Denied, OPERATION, "the file cannot be made").on(name(&file)).because(error)
        })?;
        let mut attempt = 1;
        let connection = loop {
            match connect(&file) {
                Err(error) if is_busy(&error) && attempt < OPENINGS => {
                    attempt += 1;
                    std::thread::sleep(OPENING_PAUSE);
                }
                other => break other.map_err(|error| classify(OPERATION, &file, error))?,
            }
        };
        Ok(Self { file, connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` where it may block.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { file, connection } = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic in between has rolled its transaction back: the connection is as good as before.
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(answer) => answer.map_err(|error| classify(operation, &file, error)),
            // The runtime is going down; whether the work was done is not known.
            Err(error) => {
                Err(Error::new(Kind::Unavailable, operation, "it was interrupted").on(name(&file)).because(error))
            }
        }
    }
}

impl Store for Sqlite {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        let keys = keys.to_vec();
        self.run("sqlite:load", move |connection| {
            // One transaction: the items are of one moment.
            let transaction = connection.transaction()?;
            keys.iter().map(|key| load(&transaction, key)).collect()
        })
        .boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        let distinct: BTreeSet<_> = writes.iter().map(|write| &write.key).collect();
        if distinct.len() < writes.len() {
            return futures::future::err(Error::new(Kind::Internal, "sqlite:save", "one key is written twice")).boxed();
        }
        let writes = writes.to_vec();
        self.run("sqlite:save", move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for write in &writes {
                if load(&transaction, &write.key)?.map(|item| item.version) != write.expected {
                    return Ok(Saved::Moved);
                }
            }
            for write in &writes {
                let Some(body) = &write.body else { continue };
                let version = i64::try_from(write.version()).unwrap_or(i64::MAX);
                transaction.prepare_cached(SAVE)?.execute((write.key.as_str(), version, body))?;
            }
            transaction.commit()?;
            Ok(Saved::Done)
        })
        .boxed()
    }
}

fn load(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<Option<Item>> {
    transaction
        .prepare_cached(LOAD)?
        .query_row([key.as_str()], |row| {
            Ok(Item { version: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), body: row.get(1)? })
        })
        .optional()
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(SCHEMA, ())?;
    Ok(connection)
}

/// Makes the file before SQLite does, which would make it readable for others. Its companions (`-wal`, `-shm`)
/// inherit the mode. What exists is left as it is.
fn create_private(file: &Path) -> std::io::Result<()> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        options.mode(0o600);
    }
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        folder.create(parent)?;
    }
    options.open(file).map(drop)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn classify(operation: &str, file: &Path, error: rusqlite::Error) -> Error {
    let (kind, message) = match error.sqlite_error_code() {
        // Refused before anything was written.
        _ if is_busy(&error) => (Kind::Throttled, "another process keeps the file busy"),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Kind::Denied, "the file cannot be written")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::OperationInterrupted) => {
            (Kind::Unavailable, "the disk did not take it")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (Kind::Internal, "the file is damaged, or no ledger")
        }
        _ => (Kind::Internal, "SQLite refused"),
    };
    Error::new(kind, operation, message).on(name(file)).because(error)
}

/// A path for people: escaped, since a file name can hold anything.
fn name(file: &Path) -> String {
    file.display().to_string().escape_debug().to_string()
}
