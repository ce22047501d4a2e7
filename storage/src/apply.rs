//! Applying batches that are not logged: their owner keeps them in a stream of its own and replays them after a start.
//!
//! Invariant: a batch takes its sequence number, goes into the memtable and is published in one step with those that are
//! logged, so that readers see one order. Not here: how far it is on disk (`applied.rs`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::WriteBatch;
use crate::core::{Core, Pressure};
use crate::drive::Drive;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::version::Recovery;
use crate::wal::record::StreamId;

/// When writes are held back, they wait once for so many bytes.
const BYTES_PER_DELAY: usize = 256 << 10;

impl Core {
    /// Puts a batch into the memtable without logging it.
    pub(crate) fn apply(&self, batch: WriteBatch, stream: StreamId, index: u64) -> Result<SequenceNumber> {
        self.check()?;
        let parts = batch.into_parts()?;
        self.check_keyspaces(&parts.keyspaces, Recovery::Replayed)?;
        self.wait_for_room(parts.entries.len())?;
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

    /// Waits as back-pressure demands before `bytes` more are applied.
    fn wait_for_room(&self, bytes: usize) -> Result<()> {
        let has_room = || {
            let view = self.views.load();
            let is_full = view.active.bytes() >= self.settings.memtable_bytes_max
                && view.waiting.len() >= self.settings.memtables_waiting_max;
            !is_full && self.pressure() != Pressure::Stop
        };
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
