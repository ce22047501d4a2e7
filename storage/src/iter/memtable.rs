//! Walking a memtable.
//!
//! Invariant: entries are taken out in small runs, so that a step costs no search and the cursor borrows nothing; a
//! run shares the batch buffers and copies no key or value.

use std::sync::Arc;

use super::Direction;
use crate::block::Target;
use crate::entry::KeyspaceId;
use crate::memtable::{Memtable, MemtableEntry};

const FIRST_RUN: usize = 8;
const RUN_MAX: usize = 128;

/// A place in a memtable.
#[derive(Debug)]
pub(super) struct MemtableCursor {
    memtable: Arc<Memtable>,
    keyspace: KeyspaceId,
    direction: Direction,
    run: Vec<MemtableEntry>,
    at: usize,
    run_length: usize,
}

impl MemtableCursor {
    pub(super) fn new(memtable: Arc<Memtable>, keyspace: KeyspaceId, direction: Direction) -> Self {
        Self {
            memtable,
            keyspace,
            direction,
            run: Vec::new(),
            at: 0,
            run_length: FIRST_RUN,
        }
    }

    pub(super) fn seek(&mut self, target: Option<Target<'_>>) {
        self.run.clear();
        self.at = 0;
        self.run_length = FIRST_RUN;
        match self.direction {
            Direction::Forward => {
                let (key, sequence) = target.unwrap_or((&[], u64::MAX));
                self.memtable
                    .read_forward(self.keyspace, key, sequence, self.run_length, &mut self.run);
            }
            Direction::Backward => {
                self.memtable
                    .read_backward(self.keyspace, target, self.run_length, &mut self.run);
            }
        }
    }

    pub(super) fn step(&mut self) {
        self.at += 1;
        if self.at < self.run.len() || self.run.len() < self.run_length {
            return;
        }
        let Some(last) = self.run.pop() else { return };
        self.run.clear();
        self.at = 0;
        self.run_length = (self.run_length * 2).min(RUN_MAX);
        let (key, sequence) = (last.key(), last.sequence);
        match self.direction {
            Direction::Forward => {
                // Within a key versions descend, so that this is the first place behind the last entry.
                let behind = sequence - 1;
                self.memtable
                    .read_forward(self.keyspace, key, behind, self.run_length, &mut self.run);
            }
            Direction::Backward => {
                let before = Some((key, sequence));
                self.memtable
                    .read_backward(self.keyspace, before, self.run_length, &mut self.run);
            }
        }
    }

    pub(super) fn entry(&self) -> Option<&MemtableEntry> {
        self.run.get(self.at)
    }
}
