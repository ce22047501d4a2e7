//! Building a data block.
//!
//! Invariant: entries come in order; a partition's part of the key is written once a block.

use crate::entry::{EntryKind, SequenceNumber};

use super::{COUNTS_BYTES, WIDE_FLAG, tag_of, write_varint};

/// What an entry takes at most beside key and value, if the block stays narrow: five varints, a tag, three offsets.
const ENTRY_BYTES_MAX: usize = 4 * 5 + 10 + 1 + 3 * 2;

/// Collects the entries of one block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    values: Vec<u8>,
    /// What is known of each entry beside its value, and the partitions' parts.
    records: Vec<u8>,
    tags: Vec<u8>,
    entries: Vec<u32>,
    /// The first entry of each run of entries of one partition, and where the partition's part lies.
    runs: Vec<(u32, u32)>,
}

/// A key with what the writer has found out about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the partition part ends.
    pub(crate) prefix_len: usize,
    /// Whether the entry before is of another partition.
    pub(crate) begins_partition: bool,
    /// The hash of the whole key.
    pub(crate) hash: u64,
}

impl BlockBuilder {
    /// Appends an entry, which must follow the one before. Keys and values are within the engine's limits, so that
    /// lengths fit 32 bits.
    pub(crate) fn push(&mut self, key: Key<'_>, sequence: SequenceNumber, kind: EntryKind, value: &[u8]) {
        if key.begins_partition || self.runs.is_empty() {
            self.runs
                .push((length(self.entries.len()), length(self.records.len())));
            write_varint(&mut self.records, key.prefix_len as u64);
            self.records.extend_from_slice(&key.bytes[..key.prefix_len]);
        }
        let suffix = &key.bytes[key.prefix_len..];
        self.tags.push(tag_of(key.hash));
        self.entries.push(length(self.records.len()));
        write_varint(&mut self.records, suffix.len() as u64);
        write_varint(&mut self.records, self.values.len() as u64);
        write_varint(&mut self.records, value.len() as u64);
        write_varint(&mut self.records, sequence << 2 | u64::from(kind.byte()));
        self.records.extend_from_slice(suffix);
        self.values.extend_from_slice(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn offset_bytes(&self) -> usize {
        if u16::try_from(self.records.len()).is_ok() {
            2
        } else {
            4
        }
    }

    /// The size the block would have now.
    pub(crate) fn bytes(&self) -> usize {
        let offsets = self.entries.len() + 2 * self.runs.len();
        self.values.len()
            + self.records.len()
            + self.tags.len()
            + offsets * self.offset_bytes()
            + COUNTS_BYTES
    }

    /// The size the block could have with another entry: never less than it would.
    pub(crate) fn bytes_with(&self, key: &[u8], value: &[u8]) -> usize {
        self.bytes() + key.len() + value.len() + ENTRY_BYTES_MAX
    }

    /// Completes the block and leaves it in the builder until [`BlockBuilder::reset`].
    pub(crate) fn finish(&mut self) -> &[u8] {
        let wide = self.offset_bytes() == 4;
        let records_start = length(self.values.len());
        self.values.append(&mut self.records);
        self.values.extend_from_slice(&self.tags);
        let runs = self.runs.iter().flat_map(|&(first, prefix)| [first, prefix]);
        for number in self.entries.iter().copied().chain(runs) {
            let width = if wide { 4 } else { 2 };
            self.values.extend_from_slice(&number.to_le_bytes()[..width]);
        }
        let flag = if wide { WIDE_FLAG } else { 0 };
        let counts = [
            records_start,
            length(self.entries.len()),
            length(self.runs.len()) | flag,
        ];
        for count in counts {
            self.values.extend_from_slice(&count.to_le_bytes());
        }
        &self.values
    }

    /// Makes the builder empty again, keeping its memory.
    pub(crate) fn reset(&mut self) {
        self.values.clear();
        self.records.clear();
        self.tags.clear();
        self.entries.clear();
        self.runs.clear();
    }
}

/// A length that the limits of keys, values and blocks keep below 31 bits.
fn length(bytes: usize) -> u32 {
    debug_assert!(bytes < WIDE_FLAG as usize, "a block is smaller than 2 GiB");
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
