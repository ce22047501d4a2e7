//! Sstables: the sorted files that hold one keyspace's entries (`docs/format/sstable.md`).
//!
//! Invariant: a file is complete and durable before anything names it, and never changes. Not here: which files make
//! up a keyspace (`version/`).

use bytes::Bytes;

use crate::entry::SequenceNumber;
use crate::header::{u32_at, u64_at};

mod bloom;
mod check;
mod codec;
mod cursor;
mod footer;
mod index;
mod properties;
mod read_ahead;
mod reader;
mod writer;

pub(crate) use bloom::{Filter, key_hash};
pub(crate) use check::FileCheck;
pub(crate) use cursor::SstableCursor;
pub(crate) use index::Index;
pub(crate) use properties::Properties;
pub(crate) use reader::{Lookup, Sstable, SstableContext};
pub(crate) use writer::SstableWriter;

const HANDLE_BYTES: usize = 12;

/// What the manifest knows about an sstable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SstableMeta {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    pub(crate) first_key: Bytes,
    pub(crate) last_key: Bytes,
}

impl SstableMeta {
    /// What the manifest is told of a file.
    fn new(number: u64, bytes: u64, properties: &Properties) -> Self {
        Self {
            number,
            bytes,
            entries: properties.entries,
            tombstones: properties.tombstones,
            smallest_sequence: properties.smallest_sequence,
            largest_sequence: properties.largest_sequence,
            first_key: properties.first_key.clone(),
            last_key: properties.last_key.clone(),
        }
    }

    /// Whether the key ranges of the two have a key in common.
    pub(crate) fn overlaps(&self, first_key: &[u8], last_key: &[u8]) -> bool {
        self.first_key <= last_key && first_key <= &self.last_key[..]
    }

    /// Whether `key` lies between the first and the last key.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.first_key <= key && key <= &self.last_key[..]
    }
}

/// Where a block lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle {
    offset: u64,
    length: u32,
}

impl Handle {
    fn encode(self) -> [u8; HANDLE_BYTES] {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            offset: u64_at(bytes, 0)?,
            length: u32_at(bytes, 8)?,
        })
    }
}
