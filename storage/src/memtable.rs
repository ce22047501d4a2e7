//! The memtable: the newest entries of all keyspaces, in memory, in key order.
//!
//! Invariant: entries are slices of the batch buffers that went to the log; one writer inserts, any number read
//! meanwhile without waiting. Versions of a key lie next to each other, newest first. Not here: when a memtable is
//! full (`commit.rs`) and how it becomes sstables (`flush.rs`).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Atomic};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use parking_lot::Mutex;

use crate::batch::BatchEntry;
use crate::entry::{EntryKind, KeyspaceId, SequenceNumber, compare_versions};

/// What an entry costs besides its batch: the skip list's node and the entry.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// One version of one key.
#[derive(Clone, Debug)]
pub(crate) struct MemtableEntry {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) sequence: SequenceNumber,
    pub(crate) kind: EntryKind,
    key_len: u32,
    data: Bytes,
}

impl MemtableEntry {
    pub(crate) fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.data[self.key_len as usize..]
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.data.slice(self.key_len as usize..)
    }
}

/// A place in the order of a memtable; lets a borrowed key be looked up without building an entry.
trait Position {
    fn place(&self) -> (KeyspaceId, &[u8], SequenceNumber);
}

impl Position for MemtableEntry {
    fn place(&self) -> (KeyspaceId, &[u8], SequenceNumber) {
        (self.keyspace, self.key(), self.sequence)
    }
}

impl Position for (KeyspaceId, &[u8], SequenceNumber) {
    fn place(&self) -> (KeyspaceId, &[u8], SequenceNumber) {
        *self
    }
}

fn compare(left: &dyn Position, right: &dyn Position) -> Ordering {
    let (left, right) = (left.place(), right.place());
    left.0
        .cmp(&right.0)
        .then_with(|| compare_versions((left.1, left.2), (right.1, right.2)))
}

impl PartialEq for dyn Position + '_ {
    fn eq(&self, other: &Self) -> bool {
        compare(self, other) == Ordering::Equal
    }
}

impl Eq for dyn Position + '_ {}

impl PartialOrd for dyn Position + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Position + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl PartialEq for MemtableEntry {
    fn eq(&self, other: &Self) -> bool {
        compare(self, other) == Ordering::Equal
    }
}

impl Eq for MemtableEntry {}

impl PartialOrd for MemtableEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MemtableEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl<'a> Borrow<dyn Position + 'a> for MemtableEntry {
    fn borrow(&self) -> &(dyn Position + 'a) {
        self
    }
}

/// Bytes and entries of one keyspace in a memtable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemtableUsage {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// The newest entries of all keyspaces.
#[derive(Debug)]
pub(crate) struct Memtable {
    entries: SkipMap<MemtableEntry, ()>,
    bytes: AtomicUsize,
    last_sequence: AtomicU64,
    /// The log segment that holds the first of the entries.
    first_segment: u64,
    usage: Mutex<BTreeMap<KeyspaceId, MemtableUsage>>,
}

impl Memtable {
    /// An empty memtable whose entries are in the log from `first_segment` on.
    pub(crate) fn new(first_segment: u64) -> Self {
        Self {
            entries: SkipMap::new(),
            bytes: AtomicUsize::new(0),
            last_sequence: AtomicU64::new(0),
            first_segment,
            usage: Mutex::new(BTreeMap::new()),
        }
    }

    /// Inserts the entries of one batch. Of two for the same key the later one stays.
    pub(crate) fn insert(&self, sequence: SequenceNumber, entries: impl Iterator<Item = BatchEntry>) {
        let mut total = 0;
        let mut usage: Vec<(KeyspaceId, MemtableUsage)> = Vec::new();
        for BatchEntry {
            kind,
            keyspace,
            key_len,
            data,
        } in entries
        {
            let bytes = data.len() + ENTRY_OVERHEAD_BYTES;
            total += bytes;
            if usage.last().is_none_or(|last| last.0 != keyspace) {
                usage.push((keyspace, MemtableUsage::default()));
            }
            if let Some((_, of_keyspace)) = usage.last_mut() {
                of_keyspace.bytes += bytes as u64;
                of_keyspace.entries += 1;
            }
            self.entries.insert(
                MemtableEntry {
                    keyspace,
                    sequence,
                    kind,
                    key_len,
                    data,
                },
                (),
            );
        }
        let mut sums = self.usage.lock();
        for (keyspace, more) in usage {
            let sum = sums.entry(keyspace).or_default();
            sum.bytes += more.bytes;
            sum.entries += more.entries;
        }
        drop(sums);
        self.bytes.fetch_add(total, Atomic::Relaxed);
        self.last_sequence.fetch_max(sequence, Atomic::Relaxed);
    }

    /// The newest version of `key` that is not newer than `sequence`.
    pub(crate) fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        sequence: SequenceNumber,
    ) -> Option<MemtableEntry> {
        let place = (keyspace, key, sequence);
        let entry = self
            .entries
            .lower_bound(Bound::Included(&place as &dyn Position))?;
        let found = entry.key();
        (found.keyspace == keyspace && found.key() == key).then(|| found.clone())
    }

    /// Appends to `into`, in order, up to `count` entries of `keyspace` from the first that is not before
    /// (`key`, `sequence`) on.
    pub(crate) fn read_forward(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        sequence: SequenceNumber,
        count: usize,
        into: &mut Vec<MemtableEntry>,
    ) {
        let place = (keyspace, key, sequence);
        let mut next = self.entries.lower_bound(Bound::Included(&place as &dyn Position));
        for _ in 0..count {
            let Some(entry) = next.filter(|entry| entry.key().keyspace == keyspace) else {
                return;
            };
            into.push(entry.key().clone());
            next = entry.next();
        }
    }

    /// Appends to `into`, in reverse order, up to `count` entries of `keyspace` from the last that is before
    /// (`key`, `sequence`) on.
    pub(crate) fn read_backward(
        &self,
        keyspace: KeyspaceId,
        place: Option<(&[u8], SequenceNumber)>,
        count: usize,
        into: &mut Vec<MemtableEntry>,
    ) {
        let mut next = match (place, keyspace.0.checked_add(1)) {
            (Some((key, sequence)), _) => {
                let place = (keyspace, key, sequence);
                self.entries.upper_bound(Bound::Excluded(&place as &dyn Position))
            }
            (None, Some(after)) => {
                let place = (KeyspaceId(after), &[][..], SequenceNumber::MAX);
                self.entries.upper_bound(Bound::Excluded(&place as &dyn Position))
            }
            (None, None) => self.entries.back(),
        };
        for _ in 0..count {
            let Some(entry) = next.filter(|entry| entry.key().keyspace == keyspace) else {
                return;
            };
            into.push(entry.key().clone());
            next = entry.prev();
        }
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = MemtableEntry> {
        self.entries.iter().map(|entry| entry.key().clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The memory the entries take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Atomic::Relaxed)
    }

    pub(crate) fn last_sequence(&self) -> SequenceNumber {
        self.last_sequence.load(Atomic::Relaxed)
    }

    pub(crate) fn first_segment(&self) -> u64 {
        self.first_segment
    }

    /// What `keyspace` has in this memtable.
    pub(crate) fn usage(&self, keyspace: KeyspaceId) -> MemtableUsage {
        self.usage.lock().get(&keyspace).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str) -> BatchEntry {
        let data = Bytes::from([key.as_bytes(), value.as_bytes()].concat());
        let key_len = u32::try_from(key.len()).unwrap();
        BatchEntry {
            kind: EntryKind::Put,
            keyspace: KeyspaceId(1),
            key_len,
            data,
        }
    }

    #[test]
    fn a_read_sees_the_newest_version_that_is_not_newer_than_itself() {
        let memtable = Memtable::new(1);
        memtable.insert(1, [entry("a", "1"), entry("b", "1")].into_iter());
        memtable.insert(5, [entry("a", "5")].into_iter());
        let value = |key: &str, sequence| {
            memtable
                .get(KeyspaceId(1), key.as_bytes(), sequence)
                .map(|entry| entry.value().to_vec())
        };
        assert_eq!(value("a", 4), Some(b"1".to_vec()));
        assert_eq!(value("a", 5), Some(b"5".to_vec()));
        assert_eq!(value("a", 0), None);
        assert_eq!(value("aa", 9), None);
        assert!(memtable.get(KeyspaceId(2), b"a", 9).is_none());
    }

    #[test]
    fn the_later_entry_of_a_batch_wins() {
        let memtable = Memtable::new(1);
        memtable.insert(1, [entry("a", "1"), entry("a", "2")].into_iter());
        assert_eq!(memtable.get(KeyspaceId(1), b"a", 1).unwrap().value(), b"2");
    }
}
