//! Building a block.
//!
//! Invariant: entries come in order; the first of every interval has its whole key.

use crate::entry::{EntryKind, SequenceNumber};

use super::write_varint;

/// Collects the entries of one block.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    data: Vec<u8>,
    restarts: Vec<u32>,
    restart_interval: usize,
    since_restart: usize,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    /// A builder that restarts every `restart_interval` entries.
    pub(crate) fn new(restart_interval: usize) -> Self {
        Self {
            data: Vec::new(),
            restarts: Vec::new(),
            restart_interval,
            since_restart: 0,
            last_key: Vec::new(),
        }
    }

    /// Appends an entry, which must follow the one before. Keys and values are within the engine's limits, so that the
    /// lengths fit 32 bits.
    pub(crate) fn push(&mut self, key: &[u8], sequence: SequenceNumber, kind: EntryKind, value: &[u8]) {
        let shared = if self.since_restart == self.restart_interval || self.restarts.is_empty() {
            self.restarts.push(length(self.data.len()));
            self.since_restart = 0;
            0
        } else {
            self.last_key
                .iter()
                .zip(key)
                .take_while(|(left, right)| left == right)
                .count()
        };
        write_varint(&mut self.data, length(shared));
        write_varint(&mut self.data, length(key.len() - shared));
        write_varint(&mut self.data, length(value.len()));
        self.data
            .extend_from_slice(&(sequence << 8 | u64::from(kind.byte())).to_le_bytes());
        self.data.extend_from_slice(&key[shared..]);
        self.data.extend_from_slice(value);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.since_restart += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.restarts.is_empty()
    }

    /// The size the block would have now.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + 4 * self.restarts.len() + 4
    }

    /// Completes the block and leaves it in the builder until [`BlockBuilder::reset`].
    pub(crate) fn finish(&mut self) -> &[u8] {
        for restart in &self.restarts {
            self.data.extend_from_slice(&restart.to_le_bytes());
        }
        self.data
            .extend_from_slice(&length(self.restarts.len()).to_le_bytes());
        &self.data
    }

    /// Makes the builder empty again, keeping its memory.
    pub(crate) fn reset(&mut self) {
        self.data.clear();
        self.restarts.clear();
        self.last_key.clear();
        self.since_restart = 0;
    }
}

/// A length that the limits of keys, values and blocks keep below 32 bits.
fn length(bytes: usize) -> u32 {
    debug_assert!(u32::try_from(bytes).is_ok(), "a block is smaller than 4 GiB");
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
