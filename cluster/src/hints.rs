//! The hints of a coordinator: unconditional writes at level ONE to ranges without a majority, kept until there is one.
//!
//! They lie in a keyspace of the node's engine (`docs/format/hints.md`). Invariants: a hint is there after a power cut once
//! it was acknowledged, until it was delivered; hints of a group come out in the order in which they were added. A hint
//! may be delivered twice after a power cut, under the same invocation id, and with the time since when that has to be remembered.
//! Nothing here waits for the disk but
//! [`Hints::open`]. Hints are on one disk only: when bytes of theirs have changed there, those hints are lost, which is told
//! ([`Hints::forget_lost`]), and what was delivered before does not come back with them ([`Hints::keep_floors`]). Not here: when hints are made and who delivers them.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use stator_storage::{
    Direction, Durability, Engine, KeyspaceId, KeyspaceOptions, Recovery, Snapshot, WriteBatch,
};
use tokio::sync::oneshot;

use record::{FLOOR, KEY_BYTES, key, parse_floor, parse_key};
pub(crate) use record::{Hint, MalformedHint};

/// The name of the keyspace.
pub(crate) const HINTS_KEYSPACE: &str = "hints";

/// How many bytes of hints a node keeps if nothing else is said: 1 GiB.
pub(crate) const HINT_BYTES_MAX_DEFAULT: u64 = 1 << 30;

/// What a hint costs beside its record: its key, and its place in memory and in the engine.
const HINT_BYTES_BESIDE: u64 = 64;

/// Why a hint was not kept, or hints not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HintError {
    /// The budget is used up. Nothing was kept.
    #[error(
        "{bytes} bytes of hints wait, and there may be {bytes_max}; bring back the nodes that are away, so that the hints \
         can be delivered"
    )]
    Full {
        /// What waits.
        bytes: u64,
        /// The budget.
        bytes_max: u64,
    },
    /// The engine refused or failed. After a failed write it is not known whether the hint was kept.
    #[error(transparent)]
    Storage(#[from] stator_storage::Error),
    /// A hint on disk was not written by this program or one before it.
    #[error(transparent)]
    Malformed(#[from] MalformedHint),
}

/// How the hints of a node stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HintStatus {
    /// Hints that wait for their delivery.
    pub waiting: u64,
    /// What they take of the budget, in bytes.
    pub bytes: u64,
    /// Hints that were made durable since the start of the process.
    pub written: u64,
    /// Hints that were delivered since then.
    pub delivered: u64,
    /// Hints that were refused since then because the budget was used up.
    pub refused: u64,
    /// Hints that were lost since then with bytes of the disk that are not what was written.
    pub lost: u64,
    /// Hints that were given up since then, because their range refuses them for good.
    pub dropped: u64,
}

/// The hints of a node. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Hints {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    keyspace: KeyspaceId,
    bytes_max: u64,
    /// The sequence of the last hint of each group. Locked while a hint is handed to the engine, so that the order of
    /// the sequences is that of the commits; never by a completion.
    last: Mutex<BTreeMap<u32, u64>>,
    /// Never locked while the engine is called, since it may call a completion.
    index: Mutex<Index>,
}

/// The hints that were added and neither delivered nor lost, those on their way to the disk included.
#[derive(Debug, Default)]
struct Index {
    /// No group without hints.
    groups: BTreeMap<u32, BTreeMap<u64, Kept>>,
    status: HintStatus,
}

/// What is remembered of a hint.
#[derive(Clone, Copy, Debug)]
struct Kept {
    cost: u64,
    is_on_disk: bool,
    /// Since when tries of it may have taken effect, in milliseconds since the Unix epoch; `None` as long as none can have.
    tried_ms: Option<u64>,
}

impl Index {
    fn insert(&mut self, group: u32, sequence: u64, kept: Kept) {
        self.groups.entry(group).or_default().insert(sequence, kept);
        self.status.waiting += 1;
        self.status.bytes += kept.cost;
    }

    fn written(&mut self, group: u32, sequence: u64) {
        let hints = self.groups.get_mut(&group);
        if let Some(kept) = hints.and_then(|hints| hints.get_mut(&sequence)) {
            kept.is_on_disk = true;
        }
        self.status.written += 1;
    }

    /// `false` if it is not there.
    fn remove(&mut self, group: u32, sequence: u64) -> bool {
        let Some(hints) = self.groups.get_mut(&group) else {
            return false;
        };
        let Some(kept) = hints.remove(&sequence) else {
            return false;
        };
        if hints.is_empty() {
            self.groups.remove(&group);
        }
        self.status.waiting -= 1;
        self.status.bytes -= kept.cost;
        true
    }
}

impl Hints {
    /// Finds the hints that wait in the engine, which gets the keyspace if it has none. `bytes_max` is the budget in
    /// bytes; hints that are there count even if they exceed it. Reads all hints.
    ///
    /// # Errors
    ///
    /// [`HintError::Storage`], [`HintError::Malformed`].
    pub(crate) fn open(engine: Engine, bytes_max: u64) -> Result<Self, HintError> {
        let options = KeyspaceOptions {
            recovery: Recovery::Logged,
            ..KeyspaceOptions::default()
        };
        let keyspace = match engine.keyspace(HINTS_KEYSPACE) {
            Some(keyspace) => keyspace,
            None => engine.create_keyspace_with(HINTS_KEYSPACE, options)?,
        };
        let mut index = Index::default();
        let mut last = BTreeMap::new();
        let mut behind = WriteBatch::new();
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let mut rows = engine
            .snapshot()
            .range(keyspace, everything, Direction::Forward)?;
        while rows.advance()? {
            let (group, sequence) = parse_key(rows.key())?;
            let record = rows.value_shared().into_bytes();
            if sequence == FLOOR {
                last.insert(group, parse_floor(&record)? - 1);
                continue;
            }
            if last.get(&group).is_some_and(|last| sequence <= *last) {
                // It was delivered; what said so was lost.
                behind.delete(keyspace, rows.key());
                continue;
            }
            let cost = cost(record.len());
            let hint = Hint::decode(record)?;
            let kept = Kept {
                cost,
                is_on_disk: true,
                // It may have been delivered, and what removed it lost with the power.
                tried_ms: Some(hint.at_ms),
            };
            index.insert(group, sequence, kept);
            last.insert(group, sequence);
        }
        if !behind.is_empty() {
            engine.write(behind, Durability::Interval)?;
        }
        let shared = Shared {
            engine,
            keyspace,
            bytes_max,
            last: Mutex::new(last),
            index: Mutex::new(index),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Puts a hint behind the others of a group, at once; the future is ready when it is on disk. The hint is kept whether
    /// or not anybody waits for the future. `is_tried` says whether a try of its call may have taken effect.
    ///
    /// # Errors
    ///
    /// [`HintError::Full`], [`HintError::Storage`].
    pub(crate) fn add(
        &self,
        group: u32,
        hint: &Hint,
        is_tried: bool,
    ) -> impl Future<Output = Result<(), HintError>> + Send + 'static + use<> {
        let committed = self.commit(group, hint, is_tried);
        async move {
            match committed?.await {
                Ok(result) => Ok(result?),
                // The engine calls every completion.
                Err(_) => Err(stator_storage::Error::Closed.into()),
            }
        }
    }

    fn commit(
        &self,
        group: u32,
        hint: &Hint,
        is_tried: bool,
    ) -> Result<oneshot::Receiver<stator_storage::Result<()>>, HintError> {
        let shared = &self.shared;
        let record = hint.encode();
        let cost = cost(record.len());
        let mut last = shared.last.lock();
        let sequence = last.get(&group).map_or(1, |last| last + 1);
        {
            let mut index = shared.index.lock();
            let bytes = index.status.bytes;
            if bytes.saturating_add(cost) > shared.bytes_max {
                index.status.refused += 1;
                let bytes_max = shared.bytes_max;
                return Err(HintError::Full { bytes, bytes_max });
            }
            let kept = Kept {
                cost,
                is_on_disk: false,
                tried_ms: is_tried.then_some(hint.at_ms),
            };
            index.insert(group, sequence, kept);
        }
        last.insert(group, sequence);
        let mut batch = WriteBatch::with_capacity(KEY_BYTES + record.len());
        batch.put(shared.keyspace, &key(group, sequence), &record);
        let (sender, receiver) = oneshot::channel();
        let of_completion = Arc::clone(shared);
        shared.engine.commit(batch, Durability::Sync, move |result| {
            let mut index = of_completion.index.lock();
            match &result {
                Ok(_) => index.written(group, sequence),
                Err(_) => drop(index.remove(group, sequence)),
            }
            drop(index);
            sender.send(result.map(drop)).ok();
        });
        Ok(receiver)
    }

    /// The first hints of a group behind `after` that are on disk and were not delivered, with their sequences: as many
    /// as have `bytes_max` bytes together, or one. There may be none although the group is among those that wait, as
    /// long as its hints are on their way to the disk. Reads the disk.
    ///
    /// # Errors
    ///
    /// [`HintError::Storage`], [`HintError::Malformed`].
    pub(crate) fn next(
        &self,
        group: u32,
        after: Option<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Hint)>, HintError> {
        let shared = &self.shared;
        let snapshot = shared.engine.snapshot();
        // What is in the snapshot and waits now was added before the snapshot and is on disk; its predecessors as well.
        let Some(waiting) = shared.waiting(group, after) else {
            return Ok(Vec::new());
        };
        shared.read(&snapshot, group, waiting, bytes_max)
    }

    /// A hint is about to be tried at `now_ms`. Since when tries of it may have taken effect, in milliseconds since the Unix epoch;
    /// `None` if this is the first one.
    pub(crate) fn begin_try(&self, group: u32, sequence: u64, now_ms: u64) -> Option<u64> {
        let mut index = self.shared.index.lock();
        let kept = index.groups.get_mut(&group)?.get_mut(&sequence)?;
        let before = kept.tried_ms;
        kept.tried_ms = before.or(Some(now_ms));
        before
    }

    /// A hint was delivered: it is removed. That it may come back after a power cut soon after does no harm as long as its
    /// invocation id is remembered. Of a hint that is not there, nothing is done.
    pub(crate) fn delivered(&self, group: u32, sequence: u64) {
        self.remove(group, sequence, |status| status.delivered += 1);
    }

    /// A hint never can be delivered: it is removed, as one that was.
    pub(crate) fn dropped(&self, group: u32, sequence: u64) {
        self.remove(group, sequence, |status| status.dropped += 1);
    }

    fn remove(&self, group: u32, sequence: u64, count: impl FnOnce(&mut HintStatus)) {
        let shared = &self.shared;
        {
            let mut index = shared.index.lock();
            if !index.remove(group, sequence) {
                return;
            }
            count(&mut index.status);
        }
        let mut batch = WriteBatch::with_capacity(KEY_BYTES);
        batch.delete(shared.keyspace, &key(group, sequence));
        shared.engine.commit(batch, Durability::Interval, move |result| {
            if let Err(error) = result {
                tracing::warn!(group, sequence, %error, "a hint that was delivered or given up is still on disk");
            }
        });
    }

    /// Makes durable up to where hints were delivered, before bytes of the disk are given up that cannot be read: those that are removed
    /// stay so. Ready when it is on disk.
    pub(crate) fn keep_floors(
        &self,
    ) -> impl Future<Output = stator_storage::Result<()>> + Send + 'static + use<> {
        let shared = &self.shared;
        let mut batch = WriteBatch::new();
        {
            let last = shared.last.lock();
            let index = shared.index.lock();
            for (group, last) in &*last {
                let waiting = index.groups.get(group);
                let first = waiting.and_then(|hints| hints.first_key_value());
                let floor = first.map_or(last + 1, |(first, _)| *first);
                batch.put(shared.keyspace, &key(*group, FLOOR), &floor.to_le_bytes());
            }
        }
        let (sender, receiver) = oneshot::channel();
        shared.engine.commit(batch, Durability::Sync, move |result| {
            sender.send(result.map(drop)).ok();
        });
        // The engine calls every completion.
        async move { receiver.await.unwrap_or(Err(stator_storage::Error::Closed)) }
    }

    /// Hints that were on the disk and are not there any more are lost; says how many, by group. Reads all hints.
    ///
    /// # Errors
    ///
    /// [`HintError::Storage`], [`HintError::Malformed`].
    pub(crate) fn forget_lost(&self) -> Result<BTreeMap<u32, u64>, HintError> {
        let shared = &self.shared;
        // Looked at before the snapshot, in which they must be then, unless they are delivered meanwhile.
        let groups = shared.index.lock().groups.clone();
        let mut missing = BTreeSet::new();
        for (group, hints) in groups {
            let on_disk = hints.iter().filter(|(_, kept)| kept.is_on_disk);
            missing.extend(on_disk.map(|(sequence, _)| (group, *sequence)));
        }
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let mut rows = (shared.engine.snapshot()).range(shared.keyspace, everything, Direction::Forward)?;
        while rows.advance()? {
            missing.remove(&parse_key(rows.key())?);
        }
        let mut lost = BTreeMap::new();
        let mut index = shared.index.lock();
        for (group, sequence) in missing {
            if index.remove(group, sequence) {
                index.status.lost += 1;
                *lost.entry(group).or_default() += 1;
            }
        }
        Ok(lost)
    }

    /// The keyspace that they lie in.
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.shared.keyspace
    }

    /// The groups that hints wait for, in the order of their numbers.
    pub(crate) fn groups_waiting(&self) -> Vec<u32> {
        self.shared.index.lock().groups.keys().copied().collect()
    }

    /// How the hints stand.
    pub(crate) fn status(&self) -> HintStatus {
        self.shared.index.lock().status
    }
}

impl Shared {
    /// First and last sequence that wait behind `after`.
    fn waiting(&self, group: u32, after: Option<u64>) -> Option<(u64, u64)> {
        let index = self.index.lock();
        let hints = index.groups.get(&group)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = hints.range((from, Bound::Unbounded));
        let (first, _) = range.next()?;
        let last = range.next_back().map_or(first, |(last, _)| last);
        Some((*first, *last))
    }

    fn read(
        &self,
        snapshot: &Snapshot,
        group: u32,
        (first, last): (u64, u64),
        bytes_max: usize,
    ) -> Result<Vec<(u64, Hint)>, HintError> {
        let (first, last) = (key(group, first), key(group, last));
        let bounds = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let mut rows = snapshot.range(self.keyspace, bounds, Direction::Forward)?;
        let mut hints = Vec::new();
        let mut bytes = 0;
        while rows.advance()? {
            let (_, sequence) = parse_key(rows.key())?;
            if !self.waits(group, sequence) {
                continue;
            }
            let record = rows.value_shared().into_bytes();
            bytes += record.len();
            if bytes > bytes_max && !hints.is_empty() {
                break;
            }
            hints.push((sequence, Hint::decode(record)?));
        }
        Ok(hints)
    }

    fn waits(&self, group: u32, sequence: u64) -> bool {
        let index = self.index.lock();
        let hints = index.groups.get(&group);
        hints.is_some_and(|hints| hints.contains_key(&sequence))
    }
}

/// What a hint takes of the budget.
fn cost(record_bytes: usize) -> u64 {
    record_bytes as u64 + HINT_BYTES_BESIDE
}
