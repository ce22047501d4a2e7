//! The memtable: the newest entries of all keyspaces, in memory, in key order.
//!
//! Invariant: entries are slices of the batch buffers that went to the log; one writer inserts at a time, any number read
//! meanwhile without waiting. Versions of a key lie next to each other, newest first. Not here: when a memtable is
//! full (`commit.rs`) and how it becomes sstables (`flush.rs`).

mod skiplist;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Atomic};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use self::skiplist::{Ordered, Place, SkipList};
use crate::batch::BatchEntry;
use crate::block::{Target, token_of};
use crate::entry::{EntryKind, KeyspaceId, SequenceNumber, compare_versions};

/// What an entry costs besides key and value: its node, and now and then a tower.
const ENTRY_OVERHEAD_BYTES: usize = 112;

/// Keys and values are copied together into pieces of memory that grow to this size. A buffer of its own for each batch
/// would be rounded up by the allocator, and given back one by one to threads that may have ended.
const PIECE_BYTES_MAX: usize = 1 << 20;
const PIECE_BYTES_MIN: usize = 4 << 10;

/// One version of one key.
#[derive(Clone, Debug)]
pub(crate) struct MemtableEntry {
    pub(crate) sequence: SequenceNumber,
    /// The first eight bytes of the key: decides nearly all comparisons without a look at the key.
    token: u64,
    pub(crate) keyspace: KeyspaceId,
    key_len: u32,
    pub(crate) kind: EntryKind,
    data: Bytes,
}

impl MemtableEntry {
    /// The entry as it is kept: `data` is a copy of the one in the batch.
    fn new(sequence: SequenceNumber, entry: BatchEntry<'_>, data: Bytes) -> Self {
        let BatchEntry {
            kind,
            keyspace,
            key_len,
            ..
        } = entry;
        Self {
            sequence,
            token: token_of(&data[..key_len as usize]),
            keyspace,
            key_len,
            kind,
            data,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.data[self.key_len as usize..]
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.data.slice(self.key_len as usize..)
    }

    /// Whether the entry comes before a place in its keyspace.
    fn is_before(&self, keyspace: KeyspaceId, target: &Target<'_>) -> bool {
        (self.keyspace, self.token)
            .cmp(&(keyspace, target.token))
            .then_with(|| target.order_of(self.key(), self.sequence))
            == Ordering::Less
    }
}

/// The highest bits of a token: tokens are hashes, so that they are evenly spread.
fn place_of(keyspace: KeyspaceId, token: u64) -> Place {
    let bytes = token.to_be_bytes();
    Place {
        group: keyspace.0,
        number: u16::from_be_bytes([bytes[0], bytes[1]]),
    }
}

impl Ordered for MemtableEntry {
    fn place(&self) -> Place {
        place_of(self.keyspace, self.token)
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.keyspace, self.token)
            .cmp(&(other.keyspace, other.token))
            .then_with(|| compare_versions((self.key(), self.sequence), (other.key(), other.sequence)))
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
    entries: SkipList<MemtableEntry>,
    bytes: AtomicUsize,
    last_sequence: AtomicU64,
    /// The log segment that holds the first of the entries.
    first_segment: u64,
    /// Held by whoever inserts.
    filling: Mutex<Filling>,
}

/// What only inserts need.
#[derive(Debug, Default)]
struct Filling {
    usage: BTreeMap<KeyspaceId, MemtableUsage>,
    /// Where the next keys and values go.
    piece: BytesMut,
}

impl Filling {
    /// Copies key and value of an entry to those of the others.
    fn keep(&mut self, data: &[u8], bytes_so_far: usize) -> Bytes {
        if self.piece.capacity() < data.len() {
            let bytes = bytes_so_far.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
            self.piece = BytesMut::with_capacity(bytes.max(data.len()));
        }
        self.piece.extend_from_slice(data);
        self.piece.split().freeze()
    }
}

impl Memtable {
    /// An empty memtable whose entries are in the log from `first_segment` on.
    pub(crate) fn new(first_segment: u64) -> Self {
        Self {
            entries: SkipList::new(),
            bytes: AtomicUsize::new(0),
            last_sequence: AtomicU64::new(0),
            first_segment,
            filling: Mutex::new(Filling::default()),
        }
    }

    /// Inserts the entries of one batch. Of two for the same key the later one stays.
    pub(crate) fn insert<'a>(
        &self,
        sequence: SequenceNumber,
        mut entries: impl Iterator<Item = BatchEntry<'a>>,
    ) {
        let mut filling = self.filling.lock();
        let mut insert = |entry: BatchEntry<'_>| {
            let (keyspace, bytes) = (entry.keyspace, entry.data.len() + ENTRY_OVERHEAD_BYTES);
            let data = filling.keep(entry.data, self.bytes());
            if self.entries.insert(MemtableEntry::new(sequence, entry, data)) {
                let of_keyspace = filling.usage.entry(keyspace).or_default();
                of_keyspace.bytes += bytes as u64;
                of_keyspace.entries += 1;
                self.bytes.fetch_add(bytes, Atomic::Relaxed);
            }
        };
        if let Some(first) = entries.next() {
            // An equal entry that is there stays: the last one goes in first.
            let rest: Vec<BatchEntry<'_>> = entries.collect();
            rest.into_iter().rev().for_each(&mut insert);
            insert(first);
        }
        self.last_sequence.fetch_max(sequence, Atomic::Relaxed);
    }

    /// The newest version of the target's key that is not newer than its sequence number.
    pub(crate) fn get(&self, keyspace: KeyspaceId, target: Target<'_>) -> Option<&MemtableEntry> {
        let place = self.seek(keyspace, target)?;
        self.entry(place)
            .filter(|entry| entry.keyspace == keyspace && entry.key() == target.key)
    }

    /// The place of the first entry that is not before `target`; it may be of a later keyspace.
    pub(crate) fn seek(&self, keyspace: KeyspaceId, target: Target<'_>) -> Option<u32> {
        self.entries
            .first_not_before(place_of(keyspace, target.token), |entry| {
                entry.is_before(keyspace, &target)
            })
    }

    /// The place of the last entry that is before `target`; it may be of an earlier keyspace.
    pub(crate) fn seek_before(&self, keyspace: KeyspaceId, target: Target<'_>) -> Option<u32> {
        self.entries
            .last_before(place_of(keyspace, target.token), |entry| {
                entry.is_before(keyspace, &target)
            })
    }

    /// The place of the first entry of `keyspace` or a later one.
    pub(crate) fn first(&self, keyspace: KeyspaceId) -> Option<u32> {
        self.entries
            .first_not_before(place_of(keyspace, 0), |entry| entry.keyspace < keyspace)
    }

    /// The place of the last entry of `keyspace` or an earlier one.
    pub(crate) fn last(&self, keyspace: KeyspaceId) -> Option<u32> {
        self.entries
            .last_before(place_of(keyspace, u64::MAX), |entry| entry.keyspace <= keyspace)
    }

    /// The place behind `place`.
    pub(crate) fn next(&self, place: u32) -> Option<u32> {
        self.entries.next(place)
    }

    /// The place in front of `place`.
    pub(crate) fn previous(&self, place: u32) -> Option<u32> {
        self.entries.previous(place)
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, place: u32) -> Option<&MemtableEntry> {
        self.entries.get(place)
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MemtableEntry> {
        std::iter::successors(self.entries.first(), |place| self.entries.next(*place))
            .filter_map(|place| self.entries.get(place))
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
        let filling = self.filling.lock();
        filling.usage.get(&keyspace).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of one byte and a value.
    fn entry(data: &str) -> BatchEntry<'_> {
        BatchEntry {
            kind: EntryKind::Put,
            keyspace: KeyspaceId(1),
            key_len: 1,
            data: data.as_bytes(),
        }
    }

    #[test]
    fn a_read_sees_the_newest_version_that_is_not_newer_than_itself() {
        let memtable = Memtable::new(1);
        memtable.insert(1, [entry("a1"), entry("b1")].into_iter());
        memtable.insert(5, [entry("a5")].into_iter());
        let value = |key: &str, sequence| {
            memtable
                .get(KeyspaceId(1), Target::new(key.as_bytes(), sequence))
                .map(|entry| entry.value().to_vec())
        };
        assert_eq!(value("a", 4), Some(b"1".to_vec()));
        assert_eq!(value("a", 5), Some(b"5".to_vec()));
        assert_eq!(value("a", 0), None);
        assert_eq!(value("aa", 9), None);
        assert!(memtable.get(KeyspaceId(2), Target::new(b"a", 9)).is_none());
    }

    #[test]
    fn the_later_entry_of_a_batch_wins() {
        let memtable = Memtable::new(1);
        memtable.insert(1, [entry("a1"), entry("a2")].into_iter());
        assert_eq!(
            memtable.get(KeyspaceId(1), Target::new(b"a", 1)).unwrap().value(),
            b"2"
        );
    }
}
