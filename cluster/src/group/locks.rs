//! Which cells of a group transactions have locked, as its replicas have applied it and as its leader has proposed it.
//!
//! Invariant: a cell has at most one holder; what is applied is the same on all replicas; what a leadership has proposed on
//! top of it goes with the leadership. A lock holds off writes until its release has a place in the log, because what comes
//! behind it is decided on the images of the release; it holds off reads of several cells until the release is applied,
//! because they see applied cells. Pure. Not here: what a lock is released with (`transact.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::prepared::Prepare;
use crate::seldom::{Empty, Seldom};
use crate::transaction::TransactionId;

/// By keyspace, so that a key that is only looked up is not copied.
type Keys = BTreeMap<u32, HashMap<Bytes, TransactionId>>;

/// A transaction that is prepared here.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The entry that has prepared it.
    pub(super) index: u64,
    pub(super) prepare: Arc<Prepare>,
    /// The tick at which the replica has applied it, or has started.
    applied_at: u64,
    /// The tick since which nobody has looked after it: the same, or that at which the replica began to lead, or that of
    /// the last try to find out.
    since: u64,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Locks {
    prepared: BTreeMap<TransactionId, Held>,
    prepared_keys: Keys,
    /// Proposed by this leadership and not applied: the entry.
    preparing: BTreeMap<TransactionId, u64>,
    preparing_keys: Keys,
    /// Whose release this leadership has proposed: the entry.
    releasing: BTreeMap<TransactionId, u64>,
    /// Somebody finds out what has become of them.
    resolving: BTreeSet<TransactionId>,
}

impl Empty for Locks {
    const NOTHING: &'static Self = &Self {
        prepared: BTreeMap::new(),
        prepared_keys: BTreeMap::new(),
        preparing: BTreeMap::new(),
        preparing_keys: BTreeMap::new(),
        releasing: BTreeMap::new(),
        resolving: BTreeSet::new(),
    };

    fn is_nothing(&self) -> bool {
        self.is_empty()
            && self.prepared_keys.is_empty()
            && self.preparing_keys.is_empty()
            && self.releasing.is_empty()
            && self.resolving.is_empty()
    }
}

impl Locks {
    /// With what was found at a tick: the entries that have prepared them.
    pub(super) fn new(prepared: Vec<(u64, Prepare)>, tick: u64) -> Seldom<Self> {
        let mut locks = Seldom::<Self>::default();
        for (index, prepare) in prepared {
            locks.apply_prepare(index, tick, prepare);
        }
        locks
    }

    /// Whether nothing is locked.
    pub(super) fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.preparing.is_empty()
    }

    /// How many transactions are prepared.
    pub(super) fn prepared_count(&self) -> usize {
        self.prepared.len()
    }

    /// For how many ticks the oldest of them has been prepared, as far as this replica has seen.
    pub(super) fn oldest(&self, tick: u64) -> u64 {
        let ages = self
            .prepared
            .values()
            .map(|held| tick.saturating_sub(held.applied_at));
        ages.max().unwrap_or_default()
    }

    /// Who keeps others from writing a cell.
    pub(super) fn holder(&self, keyspace: u32, key: &[u8]) -> Option<TransactionId> {
        let holds = |keys: &Keys| keys.get(&keyspace)?.get(key).copied();
        let is_held = |id: &TransactionId| !self.releasing.contains_key(id);
        holds(&self.preparing_keys)
            .filter(is_held)
            .or_else(|| holds(&self.prepared_keys).filter(is_held))
    }

    /// Whether the applied cell may not be the newest one of a transaction that stands.
    pub(super) fn hides(&self, keyspace: u32, key: &[u8]) -> bool {
        let holds = |keys: &Keys| keys.get(&keyspace).is_some_and(|keys| keys.contains_key(key));
        holds(&self.prepared_keys) || holds(&self.preparing_keys)
    }

    /// A transaction that is prepared.
    pub(super) fn prepared(&self, id: TransactionId) -> Option<&Held> {
        self.prepared.get(&id)
    }

    /// The transactions that are prepared on cells of these keyspaces, in the order of the entries that have prepared them.
    pub(super) fn all_prepared_on(&self, keyspaces: &[u32]) -> Vec<Held> {
        let is_on = |held: &&Held| {
            let mut actions = held.prepare.actions.iter();
            actions.any(|action| keyspaces.contains(&action.keyspace))
        };
        let mut prepared: Vec<_> = self.prepared.values().filter(is_on).cloned().collect();
        prepared.sort_by_key(|held| held.index);
        prepared
    }

    /// The transactions that are prepared, or about to be.
    pub(super) fn all(&self) -> impl Iterator<Item = TransactionId> + '_ {
        self.prepared.keys().chain(self.preparing.keys()).copied()
    }

    /// Whether a transaction is prepared or about to be.
    pub(super) fn is_there(&self, id: TransactionId) -> bool {
        self.prepared.contains_key(&id) || self.preparing.contains_key(&id)
    }

    /// The entry that is to prepare a transaction and is not applied yet.
    pub(super) fn preparing(&self, id: TransactionId) -> Option<u64> {
        self.preparing.get(&id).copied()
    }

    /// The entry that is to release a transaction.
    pub(super) fn releasing(&self, id: TransactionId) -> Option<u64> {
        self.releasing.get(&id).copied()
    }

    /// This leadership has proposed to prepare.
    pub(super) fn prepare(&mut self, index: u64, prepare: &Prepare) {
        self.preparing.insert(prepare.transaction, index);
        lock(&mut self.preparing_keys, prepare);
    }

    /// This leadership has proposed to release.
    pub(super) fn release(&mut self, id: TransactionId, index: u64) {
        if self.prepared.contains_key(&id) || self.preparing.contains_key(&id) {
            self.releasing.insert(id, index);
        }
    }

    /// An entry that prepares is applied, at a tick.
    pub(super) fn apply_prepare(&mut self, index: u64, tick: u64, prepare: Prepare) {
        let id = prepare.transaction;
        if self.preparing.get(&id) == Some(&index) {
            self.preparing.remove(&id);
            unlock(&mut self.preparing_keys, &prepare);
        }
        lock(&mut self.prepared_keys, &prepare);
        let held = Held {
            index,
            prepare: Arc::new(prepare),
            applied_at: tick,
            since: tick,
        };
        self.prepared.insert(id, held);
    }

    /// An entry that releases is applied.
    pub(super) fn apply_release(&mut self, id: TransactionId) {
        self.releasing.remove(&id);
        self.resolving.remove(&id);
        if let Some(held) = self.prepared.remove(&id) {
            unlock(&mut self.prepared_keys, &held.prepare);
        }
    }

    /// The replica leads from now on: whoever was to release has as much time again.
    pub(super) fn begin_leadership(&mut self, tick: u64) {
        for held in self.prepared.values_mut() {
            held.since = tick;
        }
    }

    /// The replica leads no longer.
    pub(super) fn end_leadership(&mut self) {
        self.preparing.clear();
        self.preparing_keys.clear();
        self.releasing.clear();
        self.resolving.clear();
    }

    /// The transactions that have been prepared for at least so many ticks and that nobody is finding out about. Somebody
    /// is from now on.
    pub(super) fn overdue(&mut self, tick: u64, ticks: u64) -> Vec<Held> {
        let mut overdue = Vec::new();
        for (id, held) in &self.prepared {
            let is_due = tick.saturating_sub(held.since) >= ticks && !self.releasing.contains_key(id);
            if is_due && self.resolving.insert(*id) {
                overdue.push(held.clone());
            }
        }
        // The order of a hash map is not that of a seed.
        overdue.sort_by_key(|held| held.index);
        overdue
    }

    /// Finding out has come to an end, or to nothing.
    pub(super) fn resolved(&mut self, id: TransactionId, tick: u64) {
        self.resolving.remove(&id);
        if let Some(held) = self.prepared.get_mut(&id) {
            held.since = tick;
        }
    }
}

fn lock(keys: &mut Keys, prepare: &Prepare) {
    for action in &prepare.actions {
        let keys = keys.entry(action.keyspace).or_default();
        keys.insert(action.key.clone(), prepare.transaction);
    }
}

fn unlock(keys: &mut Keys, prepare: &Prepare) {
    for action in &prepare.actions {
        if let Some(of_keyspace) = keys.get_mut(&action.keyspace)
            && of_keyspace.get(&action.key) == Some(&prepare.transaction)
        {
            of_keyspace.remove(&action.key);
            if of_keyspace.is_empty() {
                keys.remove(&action.keyspace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prepared::{Becomes, PreparedAction};
    use super::*;

    fn prepare(id: u8, keys: &[&'static str]) -> Prepare {
        let action = |key: &&'static str| PreparedAction {
            keyspace: 1,
            key: Bytes::from_static(key.as_bytes()),
            becomes: Becomes::Nothing,
            answer: Bytes::new(),
        };
        Prepare {
            transaction: TransactionId([id; 16]),
            ledger: Bytes::from_static(b"ledger"),
            actions: keys.iter().map(action).collect(),
        }
    }

    fn id(id: u8) -> TransactionId {
        TransactionId([id; 16])
    }

    #[test]
    fn a_lock_lets_writes_go_when_its_release_is_proposed_and_reads_when_it_is_applied() {
        let mut locks = Locks::default();
        locks.prepare(5, &prepare(1, &["a", "b"]));
        assert_eq!(
            (locks.holder(1, b"a"), locks.holder(1, b"c")),
            (Some(id(1)), None)
        );
        locks.apply_prepare(5, 0, prepare(1, &["a", "b"]));
        assert_eq!(locks.holder(1, b"b"), Some(id(1)));
        assert!(locks.hides(1, b"b") && locks.preparing(id(1)).is_none());
        locks.release(id(1), 6);
        assert_eq!(locks.holder(1, b"b"), None);
        assert!(locks.hides(1, b"b"));
        // The next one may have the cell before the release is applied.
        locks.prepare(7, &prepare(2, &["b"]));
        locks.apply_release(id(1));
        assert!(!locks.hides(1, b"a"));
        assert_eq!(locks.holder(1, b"b"), Some(id(2)));
        locks.apply_prepare(7, 0, prepare(2, &["b"]));
        locks.release(id(2), 8);
        locks.apply_release(id(2));
        assert!(locks.is_empty() && !locks.hides(1, b"b"));
    }

    #[test]
    fn what_a_leadership_has_proposed_goes_with_it() {
        let mut locks = Locks::new(vec![(3, prepare(1, &["a"]))], 0);
        locks.prepare(5, &prepare(2, &["b"]));
        locks.release(id(1), 6);
        locks.end_leadership();
        assert_eq!(
            (locks.holder(1, b"a"), locks.holder(1, b"b")),
            (Some(id(1)), None)
        );
        assert!(!locks.hides(1, b"b"));
    }

    #[test]
    fn somebody_finds_out_about_what_nobody_releases_one_at_a_time() {
        let mut locks = Locks::new(vec![(4, prepare(2, &["b"])), (3, prepare(1, &["a"]))], 0);
        assert!(locks.overdue(9, 10).is_empty());
        let due: Vec<_> = locks.overdue(10, 10).iter().map(|held| held.index).collect();
        assert_eq!(due, [3, 4]);
        assert!(locks.overdue(20, 10).is_empty());
        locks.resolved(id(1), 20);
        assert!(locks.overdue(29, 10).is_empty());
        assert_eq!(locks.oldest(29), 29);
        assert_eq!(locks.overdue(30, 10).len(), 1);
        locks.begin_leadership(31);
        locks.resolved(id(2), 31);
        assert!(locks.overdue(40, 10).is_empty());
    }
}
