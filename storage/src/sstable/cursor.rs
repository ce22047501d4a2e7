//! Walking an sstable, either way.
//!
//! Invariant: the cursor is on an entry or off the end; it reads a block only when it comes to it, and reads ahead once
//! it has come to a second one.

use std::sync::Arc;

use bytes::Bytes;

use super::Handle;
use super::index::Index;
use super::read_ahead::ReadAhead;
use super::reader::Sstable;
use crate::block::{BadBlock, BlockCursor, Target};
use crate::cache::Caching;
use crate::entry::{EntryKind, SequenceNumber};
use crate::error::Result;
use crate::iter::Direction;

/// A place in an sstable.
#[derive(Debug)]
pub(crate) struct SstableCursor {
    sstable: Arc<Sstable>,
    direction: Direction,
    /// The index block the cursor is in, by its place in the top.
    part: Option<(usize, Arc<Index>)>,
    /// The data block within the index block.
    at: usize,
    data: Option<BlockCursor>,
    data_offset: u64,
    on_entry: bool,
    caching: Caching,
    ahead: ReadAhead,
}

impl SstableCursor {
    pub(crate) fn new(sstable: Arc<Sstable>, direction: Direction, caching: Caching) -> Self {
        Self {
            sstable,
            direction,
            part: None,
            at: 0,
            data: None,
            data_offset: 0,
            on_entry: false,
            caching,
            // What is not kept is read from end to end.
            ahead: ReadAhead::new(direction, caching != Caching::Keep),
        }
    }

    /// Forward: to the first entry that is not before `target`, or the first of all. Backward: to the last entry that
    /// is before `target`, or the last of all.
    pub(crate) fn seek(&mut self, target: Option<Target<'_>>) -> Result<()> {
        self.on_entry = false;
        let parts = self.sstable.top().len();
        let part = match (target, self.direction) {
            (Some(target), _) => self.sstable.top().find(target),
            (None, Direction::Forward) => 0,
            (None, Direction::Backward) => parts,
        };
        match self.direction {
            Direction::Forward => self.seek_forward(part, target),
            Direction::Backward => self.seek_backward(part, parts, target),
        }
    }

    fn seek_forward(&mut self, part: usize, target: Option<Target<'_>>) -> Result<()> {
        if !self.enter_part(part)? {
            return Ok(());
        }
        self.at = match (target, &self.part) {
            (Some(target), Some((_, index))) => index.find(target),
            _ => 0,
        };
        if self.load()? {
            self.step(|data| match target {
                Some(target) => data.seek(target),
                None => data.seek_first(),
            })?;
        }
        // The place may lie behind the last entry of its block.
        self.skip_forward()
    }

    fn seek_backward(&mut self, part: usize, parts: usize, target: Option<Target<'_>>) -> Result<()> {
        if part >= parts {
            // Behind everything.
            return match parts.checked_sub(1) {
                Some(last) => self.enter_last_block_of(last),
                None => Ok(()),
            };
        }
        self.enter_part(part)?;
        if let (Some(target), Some((_, index))) = (target, &self.part) {
            self.at = index.find(target);
            if self.load()? {
                self.step(|data| data.seek_before(target))?;
            }
        }
        if self.on_entry {
            Ok(())
        } else {
            self.previous_block()
        }
    }

    /// Goes into an index block; `false` if there is none at that place.
    fn enter_part(&mut self, part: usize) -> Result<bool> {
        self.at = 0;
        self.part = None;
        if part < self.sstable.top().len() {
            self.part = Some((part, self.sstable.index_block(part)?));
        }
        Ok(self.part.is_some())
    }

    fn enter_last_block_of(&mut self, part: usize) -> Result<()> {
        if self.enter_part(part)? {
            self.at = self
                .part
                .as_ref()
                .map_or(0, |(_, index)| index.len().saturating_sub(1));
            if self.load()? {
                self.step(BlockCursor::seek_last)?;
            }
        }
        Ok(())
    }

    /// To the next entry in the direction of the cursor.
    pub(crate) fn advance(&mut self) -> Result<()> {
        match self.direction {
            Direction::Forward => {
                self.step(BlockCursor::advance)?;
                self.skip_forward()
            }
            Direction::Backward => {
                self.step(BlockCursor::retreat)?;
                if self.on_entry {
                    Ok(())
                } else {
                    self.previous_block()
                }
            }
        }
    }

    /// Goes on to the next block if the cursor is behind the last entry of one.
    fn skip_forward(&mut self) -> Result<()> {
        while !self.on_entry {
            let Some((part, index)) = &self.part else {
                return Ok(());
            };
            if self.at + 1 < index.len() {
                self.at += 1;
            } else {
                let next = part + 1;
                if !self.enter_part(next)? {
                    return Ok(());
                }
            }
            if self.load()? {
                self.step(BlockCursor::seek_first)?;
            }
        }
        Ok(())
    }

    fn previous_block(&mut self) -> Result<()> {
        let Some((part, _)) = &self.part else {
            return Ok(());
        };
        if self.at > 0 {
            self.at -= 1;
            if self.load()? {
                self.step(BlockCursor::seek_last)?;
            }
            return Ok(());
        }
        if let Some(before) = part.checked_sub(1) {
            return self.enter_last_block_of(before);
        }
        self.part = None;
        Ok(())
    }

    /// Loads the block the cursor is at; `false` if it is at none.
    fn load(&mut self) -> Result<bool> {
        let handle: Option<Handle> = self.part.as_ref().and_then(|(_, index)| index.handle(self.at));
        let Some(handle) = handle else {
            return Ok(false);
        };
        let block = self.sstable.block(handle, self.caching, Some(&mut self.ahead))?;
        self.data_offset = handle.offset;
        match &mut self.data {
            Some(data) => data.set_block(block),
            None => self.data = Some(BlockCursor::new(block)),
        }
        Ok(true)
    }

    fn step(&mut self, action: impl FnOnce(&mut BlockCursor) -> Result<(), BadBlock>) -> Result<()> {
        let Some(data) = &mut self.data else { return Ok(()) };
        action(data).map_err(|_| self.sstable.bad_block(self.data_offset))?;
        self.on_entry = data.valid();
        Ok(())
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
