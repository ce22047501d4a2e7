//! Checking an sstable from end to end, for `verify`, or block by block beside an engine that goes on; reading what is left of a damaged
//! one, for `repair`.
//!
//! Invariant: nothing of the cache is used or changed; every byte is read from the file.

use std::sync::Arc;

use bytes::Bytes;

use super::bloom;
use super::codec::check_sum;
use super::index::Index;
use super::properties::Properties;
use super::read_ahead::ReadAhead;
use super::reader::Sstable;
use super::{Handle, SstableMeta};
use crate::block::{Block, BlockCursor, Target};
use crate::damage::{Lost, LostSpan};
use crate::entry::{EntryKind, SequenceNumber, compare_versions};
use crate::error::{Error, Result};
use crate::iter::Direction;
use crate::key::partition_prefix;

/// Gets the entries of an sstable, one after the other.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], SequenceNumber, EntryKind, &[u8]) -> Result<()>;

/// What a check found, and the running figures that are compared with the properties.
struct Check<'a> {
    sstable: &'a Sstable,
    problems: Vec<Error>,
    seen: Properties,
    last: Option<(Vec<u8>, SequenceNumber)>,
}

impl Sstable {
    /// Reads every block and compares what is in it with everything that the file says about itself. Gives all that is
    /// wrong. `progress` gets the bytes of each block that was read.
    pub(crate) fn check(&self, progress: &mut dyn FnMut(u64)) -> Vec<Error> {
        let mut check = Check {
            sstable: self,
            problems: Vec::new(),
            seen: Properties {
                smallest_sequence: SequenceNumber::MAX,
                ..Properties::default()
            },
            last: None,
        };
        for handle in self.whole_blocks() {
            let stored = self.read_stored(handle);
            let summed =
                stored.and_then(|stored| check_sum(self.path(), self.meta.number, handle.offset, &stored));
            check.problems.extend(summed.err());
        }
        for at in 0..self.top().len() {
            match self.fresh_index_block(at) {
                Ok(index) => check.index_block(&index, progress),
                Err(error) => check.problems.push(error),
            }
        }
        check.finish()
    }

    fn fresh_index_block(&self, at: usize) -> Result<Index> {
        let handle = self.top().handle(at).ok_or_else(|| self.bad_block(0))?;
        check_sum(
            self.path(),
            self.meta.number,
            handle.offset,
            &self.read_stored(handle)?,
        )?;
        self.read_index(handle)
    }

    /// A data block, checked without the cache.
    fn fresh_block(&self, handle: Handle) -> Result<Block> {
        let stored = self.read_stored(handle)?;
        check_sum(self.path(), self.meta.number, handle.offset, &stored)?;
        self.open_block(handle, stored)
    }

    fn open_block(&self, handle: Handle, stored: Vec<u8>) -> Result<Block> {
        let contents = self.decode_block(handle.offset, stored)?;
        Block::open(Bytes::from(contents)).map_err(|_| self.bad_block(handle.offset))
    }

    /// Walks all entries that can still be read, in order. What cannot be read is passed over and given back.
    ///
    /// # Errors
    ///
    /// Whatever `visit` returns.
    pub(crate) fn salvage(self: &Arc<Self>, visit: Visit<'_>) -> Result<Vec<Error>> {
        let mut lost = Vec::new();
        for at in 0..self.top().len() {
            let index = match self.fresh_index_block(at) {
                Ok(index) => Arc::new(index),
                Err(error) => {
                    // What is kept in memory was checked when it was read.
                    let Ok(index) = self.index_block(at) else {
                        lost.push(error);
                        continue;
                    };
                    index
                }
            };
            for handle in (0..index.len()).filter_map(|at| index.handle(at)) {
                match self.fresh_block(handle) {
                    Ok(block) => self.visit_block(block, handle, visit, &mut lost)?,
                    Err(error) => lost.push(error),
                }
            }
        }
        Ok(lost)
    }

    fn visit_block(
        &self,
        block: Block,
        handle: Handle,
        visit: Visit<'_>,
        lost: &mut Vec<Error>,
    ) -> Result<()> {
        let mut cursor = BlockCursor::new(block);
        let mut read = cursor.seek_first();
        while read.is_ok() && cursor.valid() {
            visit(cursor.key(), cursor.sequence(), cursor.kind(), cursor.value())?;
            read = cursor.advance();
        }
        if read.is_err() {
            lost.push(self.bad_block(handle.offset));
        }
        Ok(())
    }
}

/// How far a check by sums has come. Every byte of the file lies in its header, in its footer or in a block, and each of them has a sum.
#[derive(Debug)]
pub(crate) struct FileCheck {
    /// 0: the ends of the file and the blocks that belong to the whole; behind that the index blocks with what they name.
    next: usize,
    ahead: ReadAhead,
    /// What does not check.
    found: Vec<Error>,
    /// What cannot be read of the entries.
    lost: Lost,
    /// The bound of the last block that was looked at, or the first key.
    behind: Option<Bytes>,
}

impl Default for FileCheck {
    fn default() -> Self {
        Self {
            next: 0,
            ahead: ReadAhead::new(Direction::Forward, true),
            found: Vec::new(),
            lost: Lost::default(),
            behind: None,
        }
    }
}

impl FileCheck {
    /// Reads the next part of the file; gives the bytes that were read, `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. What does not check is noted.
    pub(crate) fn step(&mut self, sstable: &Sstable) -> Result<Option<u64>> {
        let part = self.next;
        self.next += 1;
        if part == 0 {
            self.behind = Some(sstable.meta.first_key.clone());
            let ends = sstable.check_ends();
            self.note(ends)?;
            let mut bytes = 0;
            for handle in sstable.whole_blocks() {
                bytes += u64::from(handle.length);
                let stored = self.stored(sstable, handle);
                self.note(stored)?;
            }
            return Ok(Some(bytes));
        }
        let Some(handle) = sstable.top().handle(part - 1) else {
            return Ok(None);
        };
        let mut bytes = u64::from(handle.length);
        let stored = self.stored(sstable, handle);
        self.note(stored)?;
        // What is kept in memory was checked when it was read.
        let Some(index) = self.note(sstable.index_block(part - 1))? else {
            self.lose(sstable, handle, sstable.top().bound(part - 1).0);
            return Ok(Some(bytes));
        };
        for at in 0..index.len() {
            let Some(handle) = index.handle(at) else { continue };
            bytes += u64::from(handle.length);
            let stored = self.stored(sstable, handle);
            let block = stored.and_then(|stored| sstable.open_block(handle, stored));
            if self.note(block)?.is_none() {
                self.lose(sstable, handle, index.bound(at).0);
            }
            self.behind = Some(Bytes::copy_from_slice(index.bound(at).0));
        }
        Ok(Some(bytes))
    }

    /// What was found not to check since the last call.
    pub(crate) fn take_found(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.found)
    }

    /// What cannot be read of the entries.
    pub(crate) fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// A block as it lies in the file, if its sum is right.
    fn stored(&mut self, sstable: &Sstable, handle: Handle) -> Result<Vec<u8>> {
        let stored = sstable.read_ahead(handle, &mut self.ahead)?;
        check_sum(sstable.path(), sstable.meta.number, handle.offset, &stored)?;
        Ok(stored)
    }

    /// Passes over what does not check.
    fn note<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error @ Error::Corruption { .. }) => {
                self.found.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The entries of a block up to its bound cannot be read.
    fn lose(&mut self, sstable: &Sstable, handle: Handle, bound: &[u8]) {
        let bound = Bytes::copy_from_slice(bound);
        let first = self.behind.replace(bound.clone());
        self.lost.offsets.insert(handle.offset);
        self.lost.spans.push(LostSpan {
            first: first.unwrap_or_else(|| sstable.meta.first_key.clone()),
            last: bound,
        });
    }
}

impl Check<'_> {
    fn problem(&mut self, offset: u64, detail: impl Into<String>) {
        self.problems
            .push(Error::corruption(self.sstable.path(), offset, detail));
    }

    fn index_block(&mut self, index: &Index, progress: &mut dyn FnMut(u64)) {
        for at in 0..index.len() {
            let Some(handle) = index.handle(at) else { continue };
            match self.sstable.fresh_block(handle) {
                Ok(block) => self.data_block(&block, handle, index.bound(at)),
                Err(error) => self.problems.push(error),
            }
            progress(u64::from(handle.length));
        }
    }

    fn data_block(&mut self, block: &Block, handle: Handle, bound: (&[u8], SequenceNumber)) {
        let mut cursor = BlockCursor::new(block.clone());
        let mut read = cursor.seek_first();
        while read.is_ok() && cursor.valid() {
            let (key, sequence) = (cursor.key(), cursor.sequence());
            if compare_versions((key, sequence), bound).is_ge() {
                self.problem(handle.offset, "an entry lies behind the bound of its block");
            }
            let found = block.find(Target::new(key, sequence), bloom::key_hash(key));
            if !found.is_ok_and(|found| found.is_some()) {
                self.problem(handle.offset, "an entry is not found under its own key");
            }
            self.entry(handle, key, sequence, &cursor);
            read = cursor.advance();
        }
        if read.is_err() {
            let error = self.sstable.bad_block(handle.offset);
            self.problems.push(error);
        }
    }

    fn entry(&mut self, handle: Handle, key: &[u8], sequence: SequenceNumber, cursor: &BlockCursor) {
        if let Some((last_key, last_sequence)) = &self.last
            && compare_versions((last_key, *last_sequence), (key, sequence)).is_ge()
        {
            self.problem(handle.offset, "the entries are not in order");
        }
        let prefix = partition_prefix(key);
        if self
            .last
            .as_ref()
            .is_none_or(|(last_key, _)| partition_prefix(last_key) != prefix)
        {
            self.seen.partitions += 1;
            if !self.sstable.may_contain_partition(prefix).unwrap_or(false) {
                self.problem(handle.offset, "the filter misses a partition of the block");
            }
        }
        if !self.sstable.may_contain(bloom::key_hash(key)).unwrap_or(false) {
            self.problem(handle.offset, "the filter misses a key of the block");
        }
        let seen = &mut self.seen;
        if seen.entries == 0 {
            seen.first_key = Bytes::copy_from_slice(key);
        }
        seen.entries += 1;
        seen.tombstones += u64::from(cursor.kind() == EntryKind::Delete);
        seen.raw_bytes += (key.len() + cursor.value().len()) as u64;
        seen.smallest_sequence = seen.smallest_sequence.min(sequence);
        seen.largest_sequence = seen.largest_sequence.max(sequence);
        self.last = Some((key.to_vec(), sequence));
    }

    /// Compares with the properties, unless something is missing anyhow.
    fn finish(mut self) -> Vec<Error> {
        if self.problems.is_empty() {
            match self.sstable.properties() {
                Ok(properties) => {
                    self.seen.last_key = Bytes::from(self.last.take().unwrap_or_default().0);
                    self.seen
                        .largest_partitions
                        .clone_from(&properties.largest_partitions);
                    self.seen.keyspace.clone_from(&properties.keyspace);
                    let meta =
                        SstableMeta::new(self.sstable.meta.number, self.sstable.meta.bytes, &self.seen);
                    if self.seen != properties || meta != self.sstable.meta {
                        self.problem(0, "the entries are not those that the properties tell of");
                    }
                }
                Err(error) => self.problems.push(error),
            }
        }
        self.problems
    }
}
