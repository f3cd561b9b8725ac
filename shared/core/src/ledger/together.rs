//! What several records have in common: things that they share, groups that they shrink, a turn that they take.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    book::{Book, LEASE, patient, read, save, to_json},
    record::Lease,
    store::{Item, Key, Saved, Write},
};
use crate::{
    clock,
    driver::busy,
    error::{Error, Kind, Result},
    guard::Limits,
    names::RecordId,
    plan::{Plan, Pool},
    slot::Slot,
};

/// A member that was taken out and not put back counts for so long; after that its group has made up for it.
const LOST: Duration = Duration::from_hours(24);
/// How often a change of one such item is tried against others that change it at the same moment.
const TRIES: u32 = 8;

/// Who uses a shared thing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Users {
    records: BTreeSet<RecordId>,
    /// The last user is taking it away; whoever wants it waits until then.
    removing: Option<Lease>,
}

/// Which members a group is without.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Missing(Vec<Member>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    uid: String,
    at: Timestamp,
}

/// What became of a shared thing's users when one left.
pub(crate) enum Left {
    /// So many others use it.
    InUse(usize),
    /// Nobody does. It is ours to take away, and nobody begins to use it meanwhile.
    Unused,
}

impl<S: Slot> Book<S> {
    /// The writes that count a plan's record among the users of what it shares, and its target among what its
    /// groups are without. They belong into the claim's own transaction.
    ///
    /// # Errors
    /// [`Kind::Refused`] when a group would lose too many; [`Kind::Unavailable`] while a shared thing is taken away.
    pub(crate) async fn counting(
        &self,
        plan: &Plan<S>,
        record: &RecordId,
        owner: &str,
        limits: Limits,
    ) -> Result<Vec<Write>> {
        let mut shared = Vec::new();
        for change in plan.stages.iter().flatten().filter(|change| change.slot.shared().is_some()) {
            let key = self.users_key(&change.slot)?;
            if !shared.contains(&key) {
                shared.push(key);
            }
        }
        let pools: Vec<_> = plan.pools.iter().map(|pool| (self.pool_key(&pool.name), pool)).collect();
        let keys: Vec<_> = shared.iter().cloned().chain(pools.iter().map(|(key, _)| key.clone())).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let items = patient(&*self.clock, || self.store.load(&keys)).await?;
        let mut items = items.into_iter();
        let mut writes = Vec::new();
        for (key, item) in shared.into_iter().zip(items.by_ref()) {
            writes.extend(self.use_it(key, item.as_ref(), record, owner)?);
        }
        for ((key, pool), item) in pools.into_iter().zip(items) {
            writes.push(self.lose_it(key, item.as_ref(), pool, limits)?);
        }
        Ok(writes)
    }

    fn use_it(&self, key: Key, item: Option<&Item>, record: &RecordId, owner: &str) -> Result<Option<Write>> {
        let mut users: Users = read(item)?.unwrap_or_default();
        if let Some(lease) = users.removing.take() {
            if lease.owner != owner && lease.until > self.clock.now() {
                return Err(busy(lease.until));
            }
        } else if users.records.contains(record) {
            return Ok(None);
        }
        users.records.insert(record.clone());
        Ok(Some(Write { key, expected: item.map(|item| item.version), body: Some(to_json(&users)?) }))
    }

    fn lose_it(&self, key: Key, item: Option<&Item>, pool: &Pool, limits: Limits) -> Result<Write> {
        let now = self.clock.now();
        let since = clock::before(now, LOST);
        let mut missing: Missing = read(item)?.unwrap_or_default();
        missing.0.retain(|member| member.at > since && member.uid != self.uid());
        let most = (pool.size * limits.percent / 100).max(1);
        if missing.0.len() >= most {
            return Err(Error::refused(format!(
                "{} of {} members of {} are cut, drained or released already, and {most} may be at once; raise the \
                 percentage by name in the guard if this is right",
                missing.0.len(),
                pool.size,
                pool.name
            )));
        }
        missing.0.push(Member { uid: self.uid().to_owned(), at: now });
        Ok(Write { key, expected: item.map(|item| item.version), body: Some(to_json(&missing)?) })
    }

    /// Takes the record from the users of a shared thing, and marks it as being taken away if it was the last.
    pub(crate) async fn leave(&self, slot: &S, record: &RecordId, owner: &str) -> Result<Left> {
        let key = self.users_key(slot)?;
        let mut left = Left::Unused;
        let now = self.clock.now();
        self.edit(&key, |item| {
            let mut users: Users = read(item)?.unwrap_or_default();
            users.records.remove(record);
            if let Some(lease) = users.removing.take().filter(|lease| lease.owner != owner && lease.until > now) {
                return Err(busy(lease.until));
            }
            left = Left::InUse(users.records.len());
            if users.records.is_empty() {
                left = Left::Unused;
                users.removing = Some(Lease { owner: owner.to_owned(), until: clock::after(now, LEASE * 2) });
            }
            to_json(&users)
        })
        .await?;
        Ok(left)
    }

    /// It was taken away: whoever wants it may make it again.
    pub(crate) async fn taken_away(&self, slot: &S, owner: &str) -> Result<()> {
        let key = self.users_key(slot)?;
        self.edit(&key, |item| {
            let mut users: Users = read(item)?.unwrap_or_default();
            users.removing = users.removing.filter(|lease| lease.owner != owner);
            to_json(&users)
        })
        .await
    }

    /// The target is back in its groups.
    pub(crate) async fn give_back(&self) -> Result<()> {
        for name in self.record.iter().flat_map(|record| &record.pools) {
            self.edit(&self.pool_key(name), |item| {
                let mut missing: Missing = read(item)?.unwrap_or_default();
                missing.0.retain(|member| member.uid != self.uid());
                to_json(&missing)
            })
            .await?;
        }
        Ok(())
    }

    async fn edit(&self, key: &Key, mut change: impl FnMut(Option<&Item>) -> Result<String>) -> Result<()> {
        for _ in 0..TRIES {
            let items = patient(&*self.clock, || self.store.load(std::slice::from_ref(key))).await?;
            let item = items.first().and_then(Option::as_ref);
            let body = Some(change(item)?);
            let write = Write { key: key.clone(), expected: item.map(|item| item.version), body };
            if save(&*self.store, &*self.clock, &[write]).await? == Saved::Done {
                return Ok(());
            }
        }
        Err(Error::new(Kind::Unavailable, "ledger:save", "others change it at the same moment; call again")
            .on(key.as_str()))
    }

    fn users_key(&self, slot: &S) -> Result<Key> {
        Ok(Key(format!("users {} {}", self.scope(), digest(&to_json(slot)?))))
    }

    fn pool_key(&self, name: &str) -> Key {
        Key(format!("pool {} {}", self.scope(), digest(name)))
    }
}

/// A name of any length and alphabet as part of a key.
fn digest(name: &str) -> String {
    Sha256::digest(name).iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
