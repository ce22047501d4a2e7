//! Walking the sstables of one level, which do not overlap.
//!
//! Invariant: a file is touched only when the cursor comes to it.

use std::sync::Arc;

use super::Direction;
use crate::block::Target;
use crate::cache::Caching;
use crate::error::Result;
use crate::sstable::{Sstable, SstableCursor};

/// A place in a level.
#[derive(Debug)]
pub(super) struct LevelCursor {
    /// In the order of the walk.
    sstables: Vec<Arc<Sstable>>,
    /// The first that the walk has not come to.
    next: usize,
    cursor: Option<SstableCursor>,
    direction: Direction,
    caching: Caching,
}

impl LevelCursor {
    /// A cursor over sstables that are given by ascending keys.
    pub(super) fn new(mut sstables: Vec<Arc<Sstable>>, direction: Direction, caching: Caching) -> Self {
        if direction == Direction::Backward {
            sstables.reverse();
        }
        Self {
            sstables,
            next: 0,
            cursor: None,
            direction,
            caching,
        }
    }

    pub(super) fn seek(&mut self, target: Option<Target<'_>>) -> Result<()> {
        self.next = match (target, self.direction) {
            (None, _) => 0,
            (Some(target), Direction::Forward) => self
                .sstables
                .partition_point(|sstable| &sstable.meta.last_key[..] < target.key),
            (Some(target), Direction::Backward) => self
                .sstables
                .partition_point(|sstable| &sstable.meta.first_key[..] > target.key),
        };
        self.open_next(target)
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        cursor.advance()?;
        if cursor.entry().is_none() {
            self.open_next(None)
        } else {
            Ok(())
        }
    }

    /// Goes on to the next file that has an entry behind `target`.
    fn open_next(&mut self, target: Option<Target<'_>>) -> Result<()> {
        self.cursor = None;
        while let Some(sstable) = self.sstables.get(self.next) {
            self.next += 1;
            let mut cursor = SstableCursor::new(Arc::clone(sstable), self.direction, self.caching);
            cursor.seek(target)?;
            if cursor.entry().is_some() {
                self.cursor = Some(cursor);
                break;
            }
        }
        Ok(())
    }

    pub(super) fn cursor(&self) -> Option<&SstableCursor> {
        self.cursor.as_ref()
    }
}
