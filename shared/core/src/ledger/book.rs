//! One target's page of the ledger: its record, the brake and the counters, read at once and saved under conditions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    parts,
    record::{Lease, Record},
    sibling::Sibling,
    store::{Item, Key, Saved, Store, Write},
};
use crate::{
    clock::{self, Clock},
    error::{Error, Kind, Result},
    guard::Limits,
    slot::Slot,
    target::Scope,
};

/// How long nobody else works on a record. Renewed by its owner every third of it.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How often the owner of a lease renews it.
pub(crate) const RENEW: Duration = Duration::from_secs(10);
/// The limits look back this far at most.
const DAY: Duration = Duration::from_hours(24);
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// How often a save is tried while the ledger does not answer.
const TRIES: u32 = 6;

/// The brake: one item that stops every responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// On: plan and report only.
    pub on: bool,
    /// Who set it.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

/// What one responder touched in one scope, for the limits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Touched(Vec<Touch>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Touch {
    uid: String,
    at: Timestamp,
}

pub(crate) fn brake_key() -> Key {
    Key("brake".to_owned())
}

/// Until when our lease is confirmed, for those who write while the record is saved elsewhere. A process that was
/// stopped for longer than its lease must not write when it wakes: somebody else may have taken over.
#[derive(Clone, Default)]
pub(crate) struct Leased(Arc<AtomicI64>);

impl Leased {
    fn set(&self, until: Option<Timestamp>) {
        self.0.store(until.map_or(0, Timestamp::as_millisecond), Ordering::SeqCst);
    }

    /// Whether the lease is confirmed at this moment.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        now.as_millisecond() < self.0.load(Ordering::SeqCst)
    }
}

/// Whose turn it is.
struct Turn {
    key: Key,
    version: Option<u64>,
    lease: Option<Lease>,
}

/// The page as it was read, and what is needed to save it.
pub(crate) struct Book<S: Slot> {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    key: Key,
    limits_key: Key,
    scope: Scope,
    uid: String,
    version: Option<u64>,
    /// The versions of the record's further items, whether they are in use or not.
    parts: Vec<Option<u64>>,
    brake_version: Option<u64>,
    limits_version: Option<u64>,
    touched: Touched,
    /// The turn that responders take which must not run twice at once in a scope.
    turn: Option<Turn>,
    /// Until when the ledger has confirmed our lease.
    leased: Leased,
    pub(crate) brake: Option<Brake>,
    pub(crate) record: Option<Record<S>>,
}

impl<S: Slot> Book<S> {
    /// Reads record, brake and counters in one call.
    pub(crate) async fn open(
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        responder: &str,
        scope: &Scope,
        uid: &str,
        alone: bool,
    ) -> Result<Self> {
        let key = Key(format!("record {responder} {scope} {uid}"));
        let limits_key = Key(format!("limits {responder} {scope}"));
        let turn_key = alone.then(|| Key(format!("turn {responder} {scope}")));
        let keys: Vec<_> = [key.clone(), brake_key(), limits_key.clone()].into_iter().chain(turn_key.clone()).collect();
        let items = patient(&**clock, || store.load(&keys)).await?;
        let mut items = items.into_iter();
        let mut next = || items.next().flatten();
        let (record, brake, limits, turn) = (next(), next(), next(), next());
        let Some((body, parts)) = read_record(&**store, &**clock, &key, record.as_ref()).await? else {
            return Err(Error::new(
                Kind::Unavailable,
                "ledger:load",
                "the record changes while it is read; call again",
            )
            .on(key.as_str()));
        };
        let turn = match turn_key {
            Some(key) => Some(Turn {
                key,
                version: turn.as_ref().map(|item| item.version),
                lease: read::<Option<Lease>>(turn.as_ref())?.flatten(),
            }),
            None => None,
        };
        Ok(Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            key,
            limits_key,
            scope: scope.clone(),
            uid: uid.to_owned(),
            turn,
            version: record.as_ref().map(|item| item.version),
            parts,
            brake_version: brake.as_ref().map(|item| item.version),
            limits_version: limits.as_ref().map(|item| item.version),
            touched: read(limits.as_ref())?.unwrap_or_default(),
            leased: Leased::default(),
            brake: read(brake.as_ref())?.filter(|brake: &Brake| brake.on),
            record: body.map(|body| Record::read(&body)).transpose()?,
        })
    }

    /// What other responders' records of the same target say.
    pub(crate) async fn siblings(&self, responders: &[&'static str]) -> Result<Vec<Sibling>> {
        if responders.is_empty() {
            return Ok(Vec::new());
        }
        let key = |name: &&str| Key(format!("record {name} {} {}", self.scope, self.uid));
        let keys: Vec<_> = responders.iter().map(key).collect();
        let items = patient(&*self.clock, || self.store.load(&keys)).await?;
        let found = responders.iter().zip(&items).map(|(name, item)| Sibling::read(name, item.as_ref()));
        found.filter_map(Result::transpose).collect()
    }

    /// Our lease, to be asked before each write.
    pub(crate) fn leased(&self) -> Leased {
        self.leased.clone()
    }

    /// Whether the record is the same that another reading has seen.
    pub(crate) fn is_as_read_by(&self, other: &Self) -> bool {
        self.version == other.version
    }

    /// The key of the record, as text.
    pub(crate) fn name(&self) -> &str {
        self.key.as_str()
    }

    pub(super) const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether one more target would be too many.
    ///
    /// # Errors
    /// [`Kind::Refused`], with the limit.
    pub(crate) fn within(&self, limits: Limits, now: Timestamp) -> Result<()> {
        let touched_since = |span: Duration| {
            let since = clock::before(now, span);
            let mut uids: Vec<_> = self
                .touched
                .0
                .iter()
                .filter(|touch| touch.at > since && touch.uid != self.uid)
                .map(|t| &t.uid)
                .collect();
            uids.sort_unstable();
            uids.dedup();
            uids.len()
        };
        for (span, name, most) in
            [(TEN_MINUTES, "ten minutes", limits.per_ten_minutes), (DAY, "24 hours", limits.per_day)]
        {
            if touched_since(span) >= most {
                return Err(Error::refused(format!(
                    "the limit of {most} targets in {name} is reached; raise it by name in the guard if this is right"
                )));
            }
        }
        Ok(())
    }

    /// Writes the record down for the first time, together with its count, unless the brake was touched meanwhile.
    /// What it replaces (a reverted record) is kept under its generation.
    pub(crate) async fn claim_new(&mut self, record: Record<S>, owner: &str, mut writes: Vec<Write>) -> Result<Saved> {
        self.may_take_turn()?;
        let now = self.clock.now();
        if let (Some(old), Some(_)) = (&self.record, self.version) {
            let key = Key(format!("{} @{}", self.key.as_str(), old.generation));
            for (part, body) in parts::split(old.write()?, 1)?.into_iter().enumerate() {
                let key = if part == 0 { key.clone() } else { parts::key(&key, part) };
                writes.push(Write { key, expected: None, body: Some(body) });
            }
        }
        let since = clock::before(now, DAY);
        let mut touched =
            Touched(self.touched.0.iter().filter(|t| t.at > since && t.uid != self.uid).cloned().collect());
        touched.0.push(Touch { uid: self.uid.clone(), at: now });
        writes.push(Write {
            key: self.limits_key.clone(),
            expected: self.limits_version,
            body: Some(to_json(&touched)?),
        });
        self.record = Some(record);
        self.take_lease(owner);
        self.save(writes, true).await
    }

    /// Takes the lease of the present record, together with what it counts, unless the brake was touched meanwhile.
    pub(crate) async fn claim(&mut self, owner: &str, counting: Vec<Write>) -> Result<Saved> {
        self.may_take_turn()?;
        self.take_lease(owner);
        self.save(counting, true).await
    }

    /// Whether no other target of this scope is being worked on, where that matters.
    fn may_take_turn(&self) -> Result<()> {
        match self.turn.as_ref().and_then(|turn| turn.lease.as_ref()) {
            Some(lease) if lease.owner != self.uid && lease.until > self.clock.now() => Err(Error::new(
                Kind::Unavailable,
                "ledger:claim",
                format!("another target of {} is being worked on until {}; try again", self.scope, lease.until),
            )),
            _ => Ok(()),
        }
    }

    /// Saves a change of the holders alone, unless the brake was touched meanwhile.
    pub(crate) async fn save_holders(&mut self) -> Result<Saved> {
        self.save(Vec::new(), true).await
    }

    /// Notes the begin of a stage: as [`claim`](Self::claim), but losing it is an error, for there is no second try.
    pub(crate) async fn begin(&mut self, owner: &str) -> Result<()> {
        match self.claim(owner, Vec::new()).await? {
            Saved::Done => Ok(()),
            Saved::Moved => Err(self.lost("before the next stage could begin; nothing more was started")),
        }
    }

    /// Saves what is known and keeps the lease.
    pub(crate) async fn renew(&mut self, owner: &str) -> Result<()> {
        self.take_lease(owner);
        match self.save(Vec::new(), false).await? {
            Saved::Done => Ok(()),
            Saved::Moved => Err(self.lost("while it was worked on")),
        }
    }

    /// Saves what is known and gives the lease back.
    pub(crate) async fn release(&mut self) -> Result<Saved> {
        if let Some(record) = &mut self.record {
            record.lease = None;
        }
        self.save(Vec::new(), false).await
    }

    fn lost(&self, when: &str) -> Error {
        Error::new(Kind::Unavailable, "ledger:save", format!("the record was taken over, or the brake touched, {when}"))
            .on(self.key.as_str())
    }

    fn take_lease(&mut self, owner: &str) {
        let until = clock::after(self.clock.now(), LEASE);
        if let Some(record) = &mut self.record {
            record.lease = Some(Lease { owner: owner.to_owned(), until });
        }
    }

    /// Finds out the versions of items that a smaller record did not need and an earlier one may have left.
    async fn find_parts(&mut self, needed: usize) -> Result<()> {
        let keys: Vec<_> = (self.parts.len()..needed).map(|part| parts::key(&self.key, part + 1)).collect();
        if !keys.is_empty() {
            let items = patient(&*self.clock, || self.store.load(&keys)).await?;
            self.parts.extend(items.iter().map(|item| item.as_ref().map(|item| item.version)));
        }
        Ok(())
    }

    /// Saves the record and whatever goes with it. A save without an answer is looked up before it is tried again.
    async fn save(&mut self, mut writes: Vec<Write>, brake_unchanged: bool) -> Result<Saved> {
        let version = self.version.map_or(1, |version| version + 1);
        let body = self.record.as_ref().map(Record::write).transpose()?;
        let bodies = body.map(|body| parts::split(body, version)).transpose()?.unwrap_or_default();
        let mut bodies = bodies.into_iter();
        writes.insert(0, Write { key: self.key.clone(), expected: self.version, body: bodies.next() });
        let in_parts = bodies.len();
        self.find_parts(in_parts).await?;
        for ((part, body), expected) in bodies.enumerate().zip(&self.parts) {
            writes.push(Write { key: parts::key(&self.key, part + 1), expected: *expected, body: Some(body) });
        }
        let lease = self.record.as_ref().and_then(|record| record.lease.as_ref()).map(|lease| lease.until);
        let turn = lease.map(|until| Lease { owner: self.uid.clone(), until });
        let held = self.turn.as_ref().is_some_and(|held| held.lease.as_ref().is_some_and(|it| it.owner == self.uid));
        if let Some(Turn { key, version, .. }) = self.turn.as_ref().filter(|_| turn.is_some() || held) {
            writes.push(Write { key: key.clone(), expected: *version, body: Some(to_json(&turn)?) });
        }
        if brake_unchanged {
            writes.push(Write { key: brake_key(), expected: self.brake_version, body: None });
        }
        let saved = save(&*self.store, &*self.clock, &writes).await?;
        if saved == Saved::Done {
            self.version = Some(version);
            for part in self.parts.iter_mut().take(in_parts) {
                *part = Some(part.map_or(1, |version| version + 1));
            }
            if let Some(held) = self.turn.as_mut().filter(|_| turn.is_some() || held) {
                held.version = Some(held.version.map_or(1, |version| version + 1));
                held.lease = turn;
            }
            self.leased.set(lease);
        }
        Ok(saved)
    }
}

/// The text of a record, and the versions of its further items; `None` when it changes under the reader.
async fn read_record(
    store: &dyn Store,
    clock: &dyn Clock,
    key: &Key,
    first: Option<&Item>,
) -> Result<Option<(Option<String>, Vec<Option<u64>>)>> {
    let Some(first) = first else { return Ok(Some((None, Vec::new()))) };
    let keys: Vec<_> = (1..parts::count(first)).map(|part| parts::key(key, part)).collect();
    let others = if keys.is_empty() { Vec::new() } else { patient(clock, || store.load(&keys)).await? };
    let versions = others.iter().map(|item| item.as_ref().map(|item| item.version)).collect();
    Ok(parts::join(first, others.iter().map(Option::as_ref)).map(|body| (Some(body), versions)))
}

/// Saves, and when the store does not answer looks whether the first write is there before trying again.
pub(super) async fn save(store: &dyn Store, clock: &dyn Clock, writes: &[Write]) -> Result<Saved> {
    let mut unsure = false;
    for attempt in 0.. {
        match store.save(writes).await {
            Ok(Saved::Moved) if unsure && holds(store, clock, writes).await? => return Ok(Saved::Done),
            Ok(saved) => return Ok(saved),
            Err(error) if !error.kind().is_transient() || attempt + 1 >= TRIES => return Err(error),
            Err(error) => {
                unsure |= error.kind() == Kind::Unavailable;
                clock.pause(back_off(attempt, error.wait(), clock.chance())).await;
            }
        }
    }
    Ok(Saved::Moved)
}

/// Whether the store holds exactly what the first write wrote.
async fn holds(store: &dyn Store, clock: &dyn Clock, writes: &[Write]) -> Result<bool> {
    let Some(write) = writes.first() else { return Ok(false) };
    let keys = [write.key.clone()];
    let found = patient(clock, || store.load(&keys)).await?;
    Ok(
        matches!(found.first(), Some(Some(Item { version, body })) if *version == write.version() && Some(body) == write.body.as_ref()),
    )
}

/// Tries again what only reads.
pub(super) async fn patient<'a, T>(
    clock: &dyn Clock,
    mut call: impl FnMut() -> futures::future::BoxFuture<'a, Result<T>>,
) -> Result<T> {
    let mut attempt = 0;
    loop {
        match call().await {
            Err(error) if error.kind().is_transient() && attempt + 1 < TRIES => {
                clock.pause(back_off(attempt, error.wait(), clock.chance())).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// Full jitter over a doubling bound (AWS Architecture Blog: "Exponential Backoff And Jitter"), at least what the
/// provider asked for.
pub(crate) fn back_off(attempt: u32, asked: Option<Duration>, chance: u64) -> Duration {
    const FIRST_MS: u64 = 100;
    const MOST_MS: u64 = 5_000;
    let bound = FIRST_MS.saturating_mul(1 << attempt.min(16)).min(MOST_MS);
    asked.unwrap_or_default().max(Duration::from_millis(FIRST_MS / 2 + chance % bound))
}

pub(super) fn read<T: serde::de::DeserializeOwned>(item: Option<&Item>) -> Result<Option<T>> {
    item.map(|item| serde_json::from_str(&item.body)).transpose().map_err(|error| {
        Error::new(Kind::Internal, "ledger:read", "an item of another version, or damaged").because(error)
    })
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(Kind::Internal, "ledger:write", "an item does not serialize").because(error))
}

/// The brake as it stands.
///
/// # Errors
/// Whatever the store answers.
pub async fn brake(store: &dyn Store) -> Result<Option<Brake>> {
    let items = store.load(&[brake_key()]).await?;
    read(items.first().and_then(Option::as_ref))
}

/// Reads the brake and writes a line of its own, so that `check` knows the ledger works both ways.
pub(crate) async fn try_out(store: &dyn Store, now: Timestamp) -> Result<Option<Brake>> {
    let key = Key("check".to_owned());
    let items = store.load(&[key.clone(), brake_key()]).await?;
    let expected = items.first().and_then(Option::as_ref).map(|item| item.version);
    store.save(&[Write { key, expected, body: Some(to_json(&now)?) }]).await?;
    Ok(read(items.get(1).and_then(Option::as_ref))?.filter(|brake: &Brake| brake.on))
}

/// Sets or lifts the brake. On: from now on every responder that shares this ledger plans and reports only.
///
/// # Errors
/// Whatever the store answers; [`Kind::Unavailable`] when somebody else set it at the same moment.
pub async fn set_brake(store: &dyn Store, on: bool, by: &str, now: Timestamp) -> Result<Brake> {
    let items = store.load(&[brake_key()]).await?;
    let brake = Brake { on, by: by.to_owned(), since: now };
    let expected = items.first().and_then(Option::as_ref).map(|item| item.version);
    match store.save(&[Write { key: brake_key(), expected, body: Some(to_json(&brake)?) }]).await? {
        Saved::Done => Ok(brake),
        Saved::Moved => {
            Err(Error::new(Kind::Unavailable, "ledger:save", "somebody else set it at the same moment").on("brake"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_stays_within_its_bounds() {
        for attempt in 0..40 {
            for chance in [0, 1, 12_345, u64::MAX] {
                let wait = back_off(attempt, None, chance);
                assert!(
                    wait >= Duration::from_millis(50) && wait <= Duration::from_millis(5_050),
                    "{attempt}: {wait:?}"
                );
            }
        }
        assert_eq!(back_off(0, Some(Duration::from_secs(15)), 7), Duration::from_secs(15));
    }
}
