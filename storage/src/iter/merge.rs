//! Merging cursors.
//!
//! Invariant: entries of all sources come out in one order. As long as the source in front stays in front of the
//! runner-up, a step costs one comparison.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::Direction;
use super::level::LevelCursor;
use super::memtable::MemtableCursor;
use crate::block::{BlockCursor, Target};
use crate::cache::Caching;
use crate::entry::{EntryKind, KeyspaceId, SequenceNumber, compare_versions};
use crate::error::Result;
use crate::memtable::Memtable;
use crate::sstable::{Sstable, SstableCursor};

#[derive(Debug)]
enum Source {
    Memtable(MemtableCursor),
    Level(Box<LevelCursor>),
}

impl Source {
    fn seek(&mut self, target: Option<Target<'_>>) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.seek(target);
                Ok(())
            }
            Self::Level(cursor) => cursor.seek(target),
        }
    }

    fn step(&mut self) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.step();
                Ok(())
            }
            Self::Level(cursor) => cursor.step(),
        }
    }

    fn place(&self) -> Option<(&[u8], SequenceNumber, EntryKind)> {
        match self {
            Self::Memtable(cursor) => cursor
                .entry()
                .map(|entry| (entry.key(), entry.sequence, entry.kind)),
            Self::Level(cursor) => cursor.cursor().and_then(SstableCursor::place),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Memtable(cursor) => cursor.entry().map(crate::memtable::MemtableEntry::value),
            Self::Level(cursor) => cursor
                .cursor()
                .and_then(SstableCursor::entry)
                .map(BlockCursor::value),
        }
        .unwrap_or_default()
    }

    fn value_shared(&self) -> Bytes {
        match self {
            Self::Memtable(cursor) => cursor.entry().map(crate::memtable::MemtableEntry::value_shared),
            Self::Level(cursor) => cursor.cursor().map(SstableCursor::value_shared),
        }
        .unwrap_or_default()
    }
}

/// Walks any number of sources as one.
#[derive(Debug)]
pub(crate) struct MergeCursor {
    sources: Vec<Source>,
    direction: Direction,
    /// The source in front.
    front: Option<usize>,
    /// The one that comes next after it.
    runner_up: Option<usize>,
}

impl MergeCursor {
    pub(crate) fn new(direction: Direction) -> Self {
        Self {
            sources: Vec::new(),
            direction,
            front: None,
            runner_up: None,
        }
    }

    pub(crate) fn add_memtable(&mut self, memtable: &Arc<Memtable>, keyspace: KeyspaceId) {
        let cursor = MemtableCursor::new(Arc::clone(memtable), keyspace, self.direction);
        self.sources.push(Source::Memtable(cursor));
    }

    /// Adds sstables that do not overlap, by ascending keys.
    pub(crate) fn add_level(&mut self, sstables: Vec<Arc<Sstable>>, caching: Caching) {
        if !sstables.is_empty() {
            self.sources.push(Source::Level(Box::new(LevelCursor::new(
                sstables,
                self.direction,
                caching,
            ))));
        }
    }

    /// Forward: to the first entry that is not before `target`. Backward: to the last that is before it.
    pub(crate) fn seek(&mut self, target: Option<Target<'_>>) -> Result<()> {
        for source in &mut self.sources {
            source.seek(target)?;
        }
        self.pick();
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Result<()> {
        let Some(front) = self.front else { return Ok(()) };
        self.sources[front].step()?;
        let stays = self.sources[front].place().is_some()
            && self
                .runner_up
                .is_none_or(|runner_up| self.comes_first(front, runner_up));
        if !stays {
            self.pick();
        }
        Ok(())
    }

    fn comes_first(&self, left: usize, right: usize) -> bool {
        match (self.sources[left].place(), self.sources[right].place()) {
            (Some(left), Some(right)) => {
                let order = compare_versions((left.0, left.1), (right.0, right.1));
                order
                    == if self.direction == Direction::Forward {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
            }
            (left, _) => left.is_some(),
        }
    }

    fn pick(&mut self) {
        (self.front, self.runner_up) = (None, None);
        for index in 0..self.sources.len() {
            if self.sources[index].place().is_none() {
                continue;
            }
            if self.front.is_none_or(|front| self.comes_first(index, front)) {
                self.runner_up = self.front.replace(index);
            } else if self
                .runner_up
                .is_none_or(|runner_up| self.comes_first(index, runner_up))
            {
                self.runner_up = Some(index);
            }
        }
    }

    /// Key, sequence number and kind of the entry; `None` off the end.
    pub(crate) fn place(&self) -> Option<(&[u8], SequenceNumber, EntryKind)> {
        self.sources[self.front?].place()
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.front
            .map(|front| self.sources[front].value())
            .unwrap_or_default()
    }

    pub(crate) fn value_shared(&self) -> Bytes {
        self.front
            .map(|front| self.sources[front].value_shared())
            .unwrap_or_default()
    }
}
