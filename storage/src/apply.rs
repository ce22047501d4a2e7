//! Applying batches that are not logged: their owner keeps them in a stream of its own and replays them after a start.
//!
//! Invariant: a batch takes its sequence number, goes into the memtable and is published in one step with those that are
//! logged, so that readers see one order. Not here: how far it is on disk (`applied.rs`).
//!
//! What [`Core::apply_now`] may wait for: it takes the sequencer, and under it the marks, the filling of the memtable,
//! the table of the log and the change of the view, each of which is held shortly and never over I/O. The sequencer is held over
//! I/O in one place only: by whoever writes a group with batches of logged keyspaces (`commit.rs`), until the group is
//! written and synced. That one has set `writing`, and the completion of a request that was written runs while `writing` is set, on
//! the thread that has set it, after the locks are gone: nobody can be in that place then, in a turn of a driven engine
//! neither. On any other thread a call may wait for that one write and sync, which wait for no owner, so that no circle arises
//! from locks that the owner holds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::{BatchParts, WriteBatch};
use crate::core::{Core, Pressure};
use crate::drive::Drive;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::version::Recovery;
use crate::wal::record::StreamId;

/// When writes are held back, they wait once for so many bytes.
const BYTES_PER_DELAY: usize = 256 << 10;

impl Core {
    /// Puts a batch into the memtable without logging it, when there is room.
    pub(crate) fn apply(&self, batch: WriteBatch, stream: StreamId, index: u64) -> Result<SequenceNumber> {
        let parts = self.applicable(batch)?;
        self.wait_for_room(parts.entries.len())?;
        self.insert_applied(&parts, stream, index)
    }

    /// The same without waiting for room; see the head of the file.
    pub(crate) fn apply_now(
        &self,
        batch: WriteBatch,
        stream: StreamId,
        index: u64,
    ) -> Result<SequenceNumber> {
        let parts = self.applicable(batch)?;
        self.insert_applied(&parts, stream, index)
    }

    /// Refuses what cannot be applied.
    fn applicable(&self, batch: WriteBatch) -> Result<BatchParts> {
        self.check()?;
        let parts = batch.into_parts()?;
        self.check_keyspaces(&parts.keyspaces, Recovery::Replayed)?;
        Ok(parts)
    }

    fn insert_applied(&self, parts: &BatchParts, stream: StreamId, index: u64) -> Result<SequenceNumber> {
        let mut sequencer = self.commit.lock_sequencer();
        self.check()?;
        if self.is_stopping() {
            return Err(Error::Closed);
        }
        if parts.entries.is_empty() {
            self.applied.note(stream, index)?;
            return Ok(self.published());
        }
        let sequence = sequencer.take()?;
        self.applied
            .note(stream, index)
            .inspect_err(|_| sequencer.give_back())?;
        self.insert(sequence, &parts.entries);
        self.published.store(sequence, Ordering::Release);
        self.switch_if_full(&sequencer);
        Ok(sequence)
    }

    /// How hard whoever applies must hold back: as compactions demand, and not at all while the memtable is full and as
    /// many wait as may. Takes no lock.
    pub(crate) fn pressure_on_memtables(&self) -> Pressure {
        let view = self.views.load();
        let is_full = view.active.bytes() >= self.settings.memtable_bytes_max
            && view.waiting.len() >= self.settings.memtables_waiting_max;
        if is_full { Pressure::Stop } else { self.pressure() }
    }

    /// Waits as back-pressure demands before `bytes` more are applied.
    fn wait_for_room(&self, bytes: usize) -> Result<()> {
        let has_room = || self.pressure_on_memtables() != Pressure::Stop;
        if !has_room() {
            self.compaction_signal.notify();
            self.flush_signal.notify();
            match self.drive {
                Drive::Threads => self.wait_until(has_room)?,
                Drive::Caller => self.make_room(has_room)?,
            }
        }
        let Pressure::Delay(delay) = self.pressure() else {
            return Ok(());
        };
        if self.commit.owes_delay(bytes, BYTES_PER_DELAY) {
            self.wait_at_most(delay.min(Duration::from_secs(1)));
        }
        Ok(())
    }
}
