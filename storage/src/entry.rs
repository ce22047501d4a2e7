//! The units everything else is made of: keyspace identities, sequence numbers, entry kinds, shared values, and the
//! order of versions.
//!
//! Invariant: versions of one key are ordered newest first. Not here: how entries are encoded in a batch
//! (`batch.rs`) or in a block (`block/`).

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// The place of a write batch in the one order of all batches of an engine. The first batch has number 1.
pub type SequenceNumber = u64;

/// Sequence numbers share eight bytes with the entry kind in an sstable, so that they end here.
pub(crate) const SEQUENCE_MAX: SequenceNumber = (1 << 56) - 1;

/// The largest key, in bytes. Far above what the owner needs (a DynamoDB key is at most 2048 + 1024 bytes), and small
/// enough for a key to fit any block.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The identity of a keyspace. Never used again after the keyspace was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub(crate) u32);

impl KeyspaceId {
    /// The number behind the identity, for messages and for the owner's own records.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What an entry says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// The key has this value.
    Put,
    /// The key has no value (a tombstone).
    Delete,
}

impl EntryKind {
    /// The byte that stands for the kind in every format.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Delete => 2,
        }
    }

    /// The kind that `byte` stands for.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Put),
            2 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The order of versions: by key, and newest first within a key.
pub(crate) fn compare_versions(left: (&[u8], SequenceNumber), right: (&[u8], SequenceNumber)) -> Ordering {
    left.0.cmp(right.0).then_with(|| right.1.cmp(&left.1))
}

/// A value read from the engine: a counted reference into the write buffer or the cached block that holds it, not a
/// copy. Holding it for long keeps that buffer or block in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(pub(crate) Bytes);

impl Value {
    /// The shared bytes themselves.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
