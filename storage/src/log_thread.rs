//! The log thread: writes what no caller writes itself, syncs at intervals, changes segments and memtables, and waits
//! while writes must be held back.
//!
//! Invariant: it never stops before everything that was committed is written and synced. An engine without threads does
//! the same steps when it is driven (`drive.rs`). Not here: what comes next (`log_step.rs`), the writing of a group
//! (`commit.rs`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::commit::{Waiting, take_group};
use crate::core::{Core, Pressure};
use crate::drive::Patience;
use crate::error::Result;
use crate::log_step::{Due, First, LogState, LogStep, LogWait, LogWork, Room, next};
use crate::statistics::{add, add_time};
use crate::wal::record::StreamId;

/// Since when writes are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Held {
    #[default]
    Not,
    Delayed(Duration),
    Stopped(Duration),
}

impl Core {
    /// What the log thread does until the engine is closed.
    pub(crate) fn run_log_thread(&self) {
        loop {
            let mut waiting = self.commit.waiting.lock();
            match self.next_log_step(&mut waiting, Patience::Patient) {
                LogStep::Do(work) => self.do_log_work(work, waiting),
                LogStep::Wait(wait) => {
                    if wait == LogWait::Stop {
                        self.compaction_signal.notify();
                        self.flush_signal.notify();
                    }
                    self.commit.wake.wait_for(&mut waiting, wait.at_most());
                }
                LogStep::End => return self.complete_log(waiting),
            }
        }
    }

    /// Looks at everything, and says what comes next.
    pub(crate) fn next_log_step(&self, waiting: &mut Waiting, patience: Patience) -> LogStep {
        let now = self.clock.now();
        let state = LogState {
            first: match waiting.requests.first() {
                None => First::Nothing,
                Some(request) if request.has_entries() => First::Entries,
                Some(_) => First::LogOnly,
            },
            due: if self.commit.rotate_due.load(Ordering::Acquire) {
                Due::Segment
            } else if self.commit.switch_due.load(Ordering::Acquire) {
                Due::Memtable
            } else {
                Due::Nothing
            },
            room: self.room(patience),
            is_writing: waiting.writing,
            is_closed: waiting.closed,
            is_failed: self.check().is_err(),
            unsynced_since: self.commit.unsynced_since(),
            open_since: self.note_open(waiting, now),
            delayed_since: match waiting.held {
                Held::Delayed(since) => Some(since),
                Held::Not | Held::Stopped(_) => None,
            },
            sync_interval: Duration::from_millis(self.settings.sync_interval_ms),
        };
        let step = next(&state, now);
        self.note_held(&mut waiting.held, step, now);
        step
    }

    /// Since when the log ends with a frame of which nothing says that it was synced, although it was. Looked at only when
    /// there is nothing to write.
    fn note_open(&self, waiting: &mut Waiting, now: Duration) -> Option<Duration> {
        let is_idle = waiting.requests.is_empty() && !waiting.writing;
        let end = is_idle.then(|| self.log.open_end()).flatten();
        waiting.open = end.map(|end| match waiting.open {
            Some((open, since)) if open == end => (open, since),
            _ => (end, now),
        });
        waiting.open.map(|(_, since)| since)
    }

    /// What memtables take.
    fn room(&self, patience: Patience) -> Room {
        match self.pressure() {
            Pressure::Stop => Room::Stopped,
            _ if self.is_switch_blocked() => Room::Stopped,
            Pressure::Delay(delay) if patience == Patience::Patient => Room::Delayed(delay),
            Pressure::Delay(_) | Pressure::None => Room::Free,
        }
    }

    /// Whether a memtable is full and too many wait already.
    fn is_switch_blocked(&self) -> bool {
        self.commit.switch_due.load(Ordering::Acquire)
            && self.views.load().waiting.len() >= self.settings.memtables_waiting_max
    }

    /// Takes note of when writes begin to be held back, and of how long they were.
    fn note_held(&self, held: &mut Held, step: LogStep, now: Duration) {
        let next = match (step, *held) {
            (LogStep::Wait(LogWait::Delay(_)), Held::Not | Held::Stopped(_)) => {
                add(&self.counters.delays, 1);
                Held::Delayed(now)
            }
            (LogStep::Wait(LogWait::Stop), Held::Not | Held::Delayed(_)) => {
                add(&self.counters.stops, 1);
                Held::Stopped(now)
            }
            (LogStep::Do(LogWork::Write { log_only: false }) | LogStep::End, _) => Held::Not,
            (_, held) => held,
        };
        if *held == next {
            return;
        }
        match std::mem::replace(held, next) {
            Held::Not => {}
            Held::Delayed(since) => add_time(&self.counters.delayed_micros, now.saturating_sub(since)),
            Held::Stopped(since) => add_time(&self.counters.stopped_micros, now.saturating_sub(since)),
        }
    }

    /// Does a piece of work. Nobody else does one that is not a sync meanwhile.
    pub(crate) fn do_log_work(&self, work: LogWork, mut waiting: MutexGuard<'_, Waiting>) {
        let mut group = match work {
            LogWork::Sync => {
                drop(waiting);
                return self.sync_log();
            }
            LogWork::Seal | LogWork::Change => Vec::new(),
            LogWork::Write { log_only } => take_group(&mut waiting, log_only),
        };
        waiting.writing = true;
        drop(waiting);
        let done = match work {
            LogWork::Seal => self.check().and_then(|()| self.commit.writer.lock().seal()),
            _ => self.change_if_due(),
        };
        if let Err(error) = done {
            self.poison(&error);
        }
        if !group.is_empty() {
            self.write_and_finish(&mut group);
        }
        self.end_writing();
    }

    /// Makes what was written at intervals durable, beside the writer.
    fn sync_log(&self) {
        if self.check().is_err() {
            return;
        }
        self.commit.begin_sync();
        if let Err(error) = self.log.sync() {
            self.poison(&error);
        }
    }

    /// Makes everything durable, and the last segment as short as what it holds, so that the next start reads no more.
    pub(crate) fn complete_log(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.completed = true;
        drop(waiting);
        self.sync_log();
        let completed = self.check().and_then(|()| {
            let mut writer = self.commit.writer.lock();
            writer.seal()?;
            writer.complete()
        });
        if let Err(error) = completed {
            self.poison(&error);
        }
    }

    /// Begins a new segment or a new memtable if that is due. The caller has set `writing`.
    fn change_if_due(&self) -> Result<()> {
        self.check()?;
        // Taken before it is done: who asks meanwhile wants what this segment does not have.
        if self.commit.rotate_due.swap(false, Ordering::AcqRel) {
            self.commit.writer.lock().rotate()?;
            self.look_at_log_size();
        }
        if self.commit.switch_due.load(Ordering::Acquire) && (!self.is_switch_blocked() || self.is_stopping())
        {
            let sequencer = self.commit.lock_sequencer();
            self.commit.switch_due.store(false, Ordering::Release);
            let active = std::sync::Arc::clone(&self.views.load().active);
            // Batches of dropped keyspaces leave nothing but their numbers.
            let has_any = active.last_sequence() > 0 || self.applied.is_active_marked();
            let forced = self.commit.switch_forced.swap(false, Ordering::AcqRel) && has_any;
            if forced || active.bytes() >= self.settings.memtable_bytes_max {
                self.switch(&sequencer);
            }
        }
        Ok(())
    }

    /// Whether a stream keeps half of the segments that it may.
    pub(crate) fn holds_log(&self, stream: StreamId) -> bool {
        if self.log.segments_since(stream) >= (self.settings.log_segments_max / 2).max(1) {
            return true;
        }
        self.holds_old_key(stream)
    }

    /// What a stream keeps of the log, as whole segments, in bytes.
    pub(crate) fn log_bytes_since(&self, stream: StreamId) -> u64 {
        let segments = self.log.segments_since(stream);
        segments.saturating_mul(self.settings.log_segment_bytes)
    }

    /// Sees to it that the memtable keeps no more than half of the segments, so that there is time to flush it and to cut
    /// the streams that were applied to it; and complains about others who keep too many.
    fn look_at_log_size(&self) {
        let max = self.settings.log_segments_max;
        let view = self.views.load();
        let kept_by_memtable = self
            .log
            .segment_number()
            .saturating_sub(view.active.first_segment());
        if kept_by_memtable >= (max / 2).max(1) {
            self.request_switch();
        }
        let statistics = self.log.statistics(self.flushed.load(Ordering::Acquire));
        if let Some(stream) = statistics.oldest_kept_for.filter(|_| statistics.segments > max) {
            tracing::warn!(
                %stream,
                segments = statistics.segments,
                bytes = statistics.bytes,
                log_segments_max = max,
                "a stream keeps more log segments than it should; flush what it was applied to and cut its head"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, OnceLock, Weak};

    use crate::core::Core;
    use crate::drive::Drive;
    use crate::environment::Environment;
    use crate::open;
    use crate::settings::Settings;
    use crate::vfs::mem::MemVfs;
    use crate::vfs::watched::WatchedVfs;
    use crate::{DataKeyId, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random};

    #[test]
    fn a_segment_that_is_asked_for_while_another_is_made_comes_behind_it() {
        let asking: Arc<OnceLock<Weak<Core>>> = Arc::default();
        let of_disk = Arc::clone(&asking);
        // Somebody makes a new data key and asks for a segment under it.
        let disk = WatchedVfs::new(Arc::new(MemVfs::new()), move |path| {
            let is_segment = path.extension().is_some_and(|extension| extension == "log");
            let core = of_disk.get().and_then(Weak::upgrade).filter(|_| is_segment);
            if let Some(core) = core.filter(|core| core.context.keys.current().0 == DataKeyId(1)) {
                core.context.keys.add_key(7).unwrap();
                core.request_rotation();
            }
        });
        let random = Random::new(|bytes| {
            bytes.fill(7);
            Ok(())
        });
        let keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
        let environment = Environment::new(Arc::new(disk), random, keys, 0);
        let opened = open::open(environment, Path::new("/d"), Settings::default(), Drive::Caller);
        let core = Arc::new(opened.unwrap().0);
        asking.set(Arc::downgrade(&core)).unwrap();
        let old = core.context.keys.current().0;
        core.request_rotation();
        while core.turn() {}
        let new = core.context.keys.current().0;
        assert_ne!(new, old);
        assert_eq!(core.log.data_keys().last(), Some(&new));
    }
}
