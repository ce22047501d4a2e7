//! Walking an sstable, either way.
//!
//! Invariant: the cursor is on an entry or off the end; it reads a block only when it comes to it.

use std::sync::Arc;

use bytes::Bytes;

use super::reader::Sstable;
use crate::block::{BlockCursor, Target};
use crate::entry::{EntryKind, SequenceNumber};
use crate::error::Result;

/// A place in an sstable.
#[derive(Debug)]
pub(crate) struct SstableCursor {
    sstable: Arc<Sstable>,
    index: BlockCursor,
    /// The block the index is at; `None` before the first seek and off the end.
    data: Option<BlockCursor>,
    data_offset: u64,
    on_entry: bool,
    /// Whether blocks that are read go into the cache.
    keep_blocks: bool,
}

impl SstableCursor {
    pub(crate) fn new(sstable: Arc<Sstable>, keep_blocks: bool) -> Self {
        let index = BlockCursor::new(sstable.index().clone());
        Self {
            sstable,
            index,
            data: None,
            data_offset: 0,
            on_entry: false,
            keep_blocks,
        }
    }

    /// To the first entry that is not before `target`, or the first of all.
    pub(crate) fn seek_forward(&mut self, target: Option<Target<'_>>) -> Result<()> {
        match target {
            Some(target) => self.index.seek(target),
            None => self.index.seek_first(),
        }
        .map_err(|_| self.bad_index())?;
        self.on_entry = false;
        if self.load()? {
            self.step(|data| match target {
                Some(target) => data.seek(target),
                None => data.seek_first(),
            })?;
            // The last entry of the block is not before the target, so that the block holds the entry.
        }
        Ok(())
    }

    /// To the last entry that is before `target`, or the last of all.
    pub(crate) fn seek_backward(&mut self, target: Option<Target<'_>>) -> Result<()> {
        let on_block = match target {
            Some(target) => self.index.seek(target).map(|()| self.index.valid()),
            None => Ok(false),
        }
        .map_err(|_| self.bad_index())?;
        if !on_block {
            self.index.seek_last().map_err(|_| self.bad_index())?;
        }
        self.on_entry = false;
        if self.load()? {
            self.step(|data| match target {
                Some(target) => data.seek_before(target),
                None => data.seek_last(),
            })?;
            if !self.on_entry {
                self.previous_block()?;
            }
        }
        Ok(())
    }

    /// To the next entry.
    pub(crate) fn advance(&mut self) -> Result<()> {
        self.step(BlockCursor::advance)?;
        if !self.on_entry {
            self.index.advance().map_err(|_| self.bad_index())?;
            if self.load()? {
                self.step(BlockCursor::seek_first)?;
            }
        }
        Ok(())
    }

    /// To the entry before.
    pub(crate) fn retreat(&mut self) -> Result<()> {
        self.step(BlockCursor::retreat)?;
        if self.on_entry {
            Ok(())
        } else {
            self.previous_block()
        }
    }

    fn previous_block(&mut self) -> Result<()> {
        self.index.retreat().map_err(|_| self.bad_index())?;
        if self.load()? {
            self.step(BlockCursor::seek_last)
        } else {
            Ok(())
        }
    }

    /// Loads the block the index is at; `false` if it is at none.
    fn load(&mut self) -> Result<bool> {
        if !self.index.valid() {
            return Ok(false);
        }
        let handle = self.sstable.decode_handle(self.index.value())?;
        let block = self.sstable.block(handle, self.keep_blocks)?;
        self.data_offset = handle.offset;
        match &mut self.data {
            Some(data) => data.set_block(block),
            None => self.data = Some(BlockCursor::new(block)),
        }
        Ok(true)
    }

    fn step(
        &mut self,
        action: impl FnOnce(&mut BlockCursor) -> Result<(), crate::block::BadBlock>,
    ) -> Result<()> {
        let Some(data) = &mut self.data else { return Ok(()) };
        action(data).map_err(|_| self.sstable.bad_block(self.data_offset))?;
        self.on_entry = data.valid();
        Ok(())
    }

    fn bad_index(&self) -> crate::error::Error {
        self.sstable.bad_block(self.sstable.index_offset())
    }

    /// The block cursor on the entry, if there is one.
    pub(crate) fn entry(&self) -> Option<&BlockCursor> {
        self.data.as_ref().filter(|_| self.on_entry)
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.entry().map(BlockCursor::value_shared).unwrap_or_default()
    }

    /// Key, sequence number and kind of the entry.
    pub(crate) fn place(&self) -> Option<(&[u8], SequenceNumber, EntryKind)> {
        self.entry()
            .map(|entry| (entry.key(), entry.sequence(), entry.kind()))
    }
}
