//! Walking a memtable.
//!
//! Invariant: the cursor is a place in the list; a step follows one link and copies nothing.

use std::sync::Arc;

use super::Direction;
use crate::block::Target;
use crate::entry::KeyspaceId;
use crate::memtable::{Memtable, MemtableEntry};

/// A place in a memtable.
#[derive(Debug)]
pub(super) struct MemtableCursor {
    memtable: Arc<Memtable>,
    keyspace: KeyspaceId,
    direction: Direction,
    place: Option<u32>,
}

impl MemtableCursor {
    pub(super) fn new(memtable: Arc<Memtable>, keyspace: KeyspaceId, direction: Direction) -> Self {
        Self {
            memtable,
            keyspace,
            direction,
            place: None,
        }
    }

    pub(super) fn seek(&mut self, target: Option<Target<'_>>) {
        let (memtable, keyspace) = (&self.memtable, self.keyspace);
        self.place = match (self.direction, target) {
            (Direction::Forward, Some(target)) => memtable.seek(keyspace, target),
            (Direction::Forward, None) => memtable.first(keyspace),
            (Direction::Backward, Some(target)) => memtable.seek_before(keyspace, target),
            (Direction::Backward, None) => memtable.last(keyspace),
        };
    }

    pub(super) fn step(&mut self) {
        self.place = self.place.and_then(|place| match self.direction {
            Direction::Forward => self.memtable.next(place),
            Direction::Backward => self.memtable.previous(place),
        });
    }

    pub(super) fn entry(&self) -> Option<&MemtableEntry> {
        self.memtable
            .entry(self.place?)
            .filter(|entry| entry.keyspace == self.keyspace)
    }
}
