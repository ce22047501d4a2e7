//! Puts a cell in the place of what replicas have differently.
//!
//! Invariant: a cell is put in place only if the log proves that the replicas should have had the same: no entry behind
//! the one that all of them had applied has written it. That answers look the same twice proves nothing, as a cell may be
//! deleted and come back. Not here: who compares (`coordinator/repair.rs`).

use std::sync::Arc;

use bytes::Bytes;

use super::effect::Record;
use super::replica::{Refused, Replica};
use super::write::{Decision, Target};
use crate::command::{Cell, Verdict, WriteOptions};
use crate::derive::Origin;
use crate::error::Error;

/// What replicas have differently, and what they are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restore {
    /// All of them had applied everything up to here.
    pub(crate) since: u64,
    /// What the replicas had.
    pub(crate) seen: Vec<Option<Cell>>,
    /// What they are to have.
    pub(crate) right: Option<Cell>,
}

impl Replica {
    /// Restores a cell as the leader; `false` if it was written since the replicas were looked at, which every replica
    /// gets anyway.
    pub(crate) async fn restore(
        self: &Arc<Self>,
        target: Target<'_>,
        options: &WriteOptions,
        restore: &Restore,
    ) -> Result<bool, Refused> {
        self.write(target, options, &Restoring { restore }).await
    }

    /// Whether it is certain that no applied entry behind `since` has written a cell. The caller holds its latch, and knows
    /// that nothing is proposed for it.
    pub(super) fn is_unwritten(&self, target: Target<'_>, since: u64) -> bool {
        let applied = self.state.lock().applied;
        let reader = self.log.lock().reader();
        let mut is_written = false;
        let read = reader.each(since + 1..applied + 1, &mut |entry| {
            if let Some(record) = Record::of_entry(&entry) {
                is_written |= record.touches(entry.index, target.keyspace, target.key);
            }
            Ok(())
        });
        if let Err(error) = read {
            // Its end may not be written yet.
            tracing::debug!(%error, group = self.group, "the log does not say whether a cell was written");
            return false;
        }
        !is_written
    }
}

/// A restoration as a decision; the answer says whether it was done.
struct Restoring<'a> {
    restore: &'a Restore,
}

impl Decision for Restoring<'_> {
    type Answer = bool;

    /// A cell is put in the place of what it should be: nothing follows from that.
    fn origin(&self) -> Option<Origin> {
        None
    }

    fn asks_since(&self) -> Option<u64> {
        Some(self.restore.since)
    }

    fn decide(&self, current: Option<&Cell>, is_unwritten: bool) -> Result<Verdict<bool>, Error> {
        let Restore { seen, right, .. } = self.restore;
        let is_seen = seen.iter().any(|seen| seen.as_ref() == current);
        if !is_seen || !is_unwritten {
            return Ok(Verdict::Keep { answer: false });
        }
        Ok(match right {
            Some(cell) => Verdict::Put {
                cell: cell.clone(),
                answer: true,
            },
            None => Verdict::Delete { answer: true },
        })
    }

    fn note(&self, _: &mut bool, _: &Bytes) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, _: &bool) -> Bytes {
        Bytes::new()
    }

    fn recall(&self, _: &Bytes) -> Result<bool, Error> {
        // No restoration is repeated, so that the log has those only that were done.
        Ok(true)
    }
}
