//! Walking a block, either way.
//!
//! Invariant: the cursor holds one decoded restart interval, so that a step backward costs what a step forward does,
//! and once its buffers have grown it allocates nothing.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use super::{BadBlock, Block, Target};
use crate::entry::{EntryKind, SequenceNumber, compare_versions};

#[derive(Debug)]
struct Decoded {
    key: Range<usize>,
    value: Range<usize>,
    sequence: SequenceNumber,
    kind: EntryKind,
}

/// A place in a block.
#[derive(Debug)]
pub(crate) struct BlockCursor {
    block: Block,
    interval: usize,
    keys: Vec<u8>,
    entries: Vec<Decoded>,
    /// The entry within the interval; beyond its end: not on an entry.
    at: usize,
}

impl BlockCursor {
    pub(crate) fn new(block: Block) -> Self {
        Self {
            block,
            interval: 0,
            keys: Vec::new(),
            entries: Vec::new(),
            at: 0,
        }
    }

    /// Goes over to another block, keeping the buffers.
    pub(crate) fn set_block(&mut self, block: Block) {
        self.block = block;
        self.entries.clear();
        self.at = 0;
    }

    fn load(&mut self, interval: usize) -> Result<(), BadBlock> {
        let Range {
            start: mut offset,
            end,
        } = self.block.interval(interval)?;
        self.interval = interval;
        self.keys.clear();
        self.entries.clear();
        let mut last = 0..0;
        while offset < end {
            let entry = self.block.entry(offset)?;
            if entry.shared > last.len() {
                return Err(BadBlock);
            }
            let start = self.keys.len();
            self.keys
                .extend_from_within(last.start..last.start + entry.shared);
            self.keys.extend_from_slice(&self.block.data[entry.rest]);
            last = start..self.keys.len();
            offset = entry.end;
            let (value, sequence, kind) = (entry.value, entry.sequence, entry.kind);
            self.entries.push(Decoded {
                key: last.clone(),
                value,
                sequence,
                kind,
            });
        }
        Ok(())
    }

    /// To the first entry that is not before `target`; off the block if there is none.
    pub(crate) fn seek(&mut self, target: Target<'_>) -> Result<(), BadBlock> {
        self.load(self.block.interval_of(target)?)?;
        let keys = &self.keys;
        self.at = self.entries.partition_point(|entry| {
            compare_versions((&keys[entry.key.clone()], entry.sequence), target) == Ordering::Less
        });
        self.skip_interval_end()
    }

    /// To the last entry that is before `target`; off the block if there is none.
    pub(crate) fn seek_before(&mut self, target: Target<'_>) -> Result<(), BadBlock> {
        self.seek(target)?;
        if self.valid() {
            self.retreat()
        } else {
            self.seek_last()
        }
    }

    pub(crate) fn seek_first(&mut self) -> Result<(), BadBlock> {
        self.at = 0;
        self.load(0)
    }

    pub(crate) fn seek_last(&mut self) -> Result<(), BadBlock> {
        self.load(self.block.restarts - 1)?;
        self.at = self.entries.len() - 1;
        Ok(())
    }

    /// To the next entry; off the block behind the last.
    pub(crate) fn advance(&mut self) -> Result<(), BadBlock> {
        self.at += 1;
        self.skip_interval_end()
    }

    fn skip_interval_end(&mut self) -> Result<(), BadBlock> {
        if self.at == self.entries.len() && self.interval + 1 < self.block.restarts {
            self.load(self.interval + 1)?;
            self.at = 0;
        }
        Ok(())
    }

    /// To the entry before; off the block in front of the first.
    pub(crate) fn retreat(&mut self) -> Result<(), BadBlock> {
        if self.at > 0 {
            self.at -= 1;
        } else if self.interval > 0 {
            self.load(self.interval - 1)?;
            self.at = self.entries.len() - 1;
        } else {
            self.at = self.entries.len();
        }
        Ok(())
    }

    /// Whether the cursor is on an entry.
    pub(crate) fn valid(&self) -> bool {
        self.at < self.entries.len()
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.keys[self.entries[self.at].key.clone()]
    }

    pub(crate) fn sequence(&self) -> SequenceNumber {
        self.entries[self.at].sequence
    }

    pub(crate) fn kind(&self) -> EntryKind {
        self.entries[self.at].kind
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.block.data[self.entries[self.at].value.clone()]
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.block.data.slice(self.entries[self.at].value.clone())
    }
}
