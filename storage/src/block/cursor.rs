//! Walking a block, either way.
//!
//! Invariant: the cursor holds the key of the entry it is on, and once its buffer has grown it allocates nothing.

use bytes::Bytes;

use super::{BadBlock, Block, RawEntry, Target};
use crate::entry::{EntryKind, SequenceNumber};

/// A place in a block.
#[derive(Debug)]
pub(crate) struct BlockCursor {
    block: Block,
    /// The number of entries when not on one.
    at: usize,
    /// The run whose partition part is at the front of `key`, with its entries.
    run: usize,
    run_entries: std::ops::Range<usize>,
    prefix_len: usize,
    key: Vec<u8>,
    entry: RawEntry,
}

impl BlockCursor {
    pub(crate) fn new(block: Block) -> Self {
        Self {
            at: block.len(),
            block,
            run: 0,
            run_entries: 0..0,
            prefix_len: 0,
            key: Vec::new(),
            entry: RawEntry {
                suffix: 0..0,
                value: 0..0,
                sequence: 0,
                kind: EntryKind::Put,
            },
        }
    }

    /// Goes over to another block, keeping the buffer.
    pub(crate) fn set_block(&mut self, block: Block) {
        self.at = block.len();
        self.block = block;
        self.run_entries = 0..0;
    }

    /// To entry `index`, or off the block.
    fn go_to(&mut self, index: usize) -> Result<(), BadBlock> {
        self.at = index;
        if index >= self.block.len() {
            return Ok(());
        }
        if !self.run_entries.contains(&index) {
            self.run = if index == self.run_entries.end && index > 0 {
                self.run + 1
            } else {
                self.block.run_of(index)
            };
            self.run_entries = self.block.run_start(self.run)..self.block.run_end(self.run);
            let prefix = self.block.run_prefix(self.run)?;
            self.key.clear();
            self.key.extend_from_slice(prefix);
            self.prefix_len = prefix.len();
        }
        self.entry = self.block.entry(index)?;
        self.key.truncate(self.prefix_len);
        self.key
            .extend_from_slice(&self.block.data[self.entry.suffix.clone()]);
        Ok(())
    }

    /// To the first entry that is not before `target`; off the block if there is none.
    pub(crate) fn seek(&mut self, target: Target<'_>) -> Result<(), BadBlock> {
        self.go_to(self.block.lower_bound(target)?)
    }

    /// To the last entry that is before `target`; off the block if there is none.
    pub(crate) fn seek_before(&mut self, target: Target<'_>) -> Result<(), BadBlock> {
        match self.block.lower_bound(target)?.checked_sub(1) {
            Some(index) => self.go_to(index),
            None => self.go_to(self.block.len()),
        }
    }

    pub(crate) fn seek_first(&mut self) -> Result<(), BadBlock> {
        self.go_to(0)
    }

    pub(crate) fn seek_last(&mut self) -> Result<(), BadBlock> {
        self.go_to(self.block.len() - 1)
    }

    /// To the next entry; off the block behind the last.
    pub(crate) fn advance(&mut self) -> Result<(), BadBlock> {
        self.go_to(self.at + 1)
    }

    /// To the entry before; off the block in front of the first.
    pub(crate) fn retreat(&mut self) -> Result<(), BadBlock> {
        match self.at.checked_sub(1) {
            Some(index) => self.go_to(index),
            None => self.go_to(self.block.len()),
        }
    }

    /// Whether the cursor is on an entry.
    pub(crate) fn valid(&self) -> bool {
        self.at < self.block.len()
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn sequence(&self) -> SequenceNumber {
        self.entry.sequence
    }

    pub(crate) fn kind(&self) -> EntryKind {
        self.entry.kind
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.block.data[self.entry.value.clone()]
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.block.data.slice(self.entry.value.clone())
    }
}
