//! The log thread: writes what no caller writes itself, syncs at intervals, changes segments and memtables, and waits
//! while writes must be held back.
//!
//! Invariant: it never stops before everything that was committed is written and synced. Not here: the writing of a
//! group (`commit.rs`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;

use crate::clock::Stopwatch;
use crate::commit::{Request, Waiting, take_group};
use crate::core::{Core, IDLE_WAIT, Pressure};
use crate::error::Result;
use crate::statistics::{add, add_time};

impl Core {
    /// What the log thread does until the engine is closed.
    pub(crate) fn run_log_thread(&self) {
        let clock = Stopwatch::start();
        let interval = Duration::from_millis(self.settings.sync_interval_ms);
        let mut synced_at = Duration::ZERO;
        loop {
            let mut waiting = self.commit.waiting.lock();
            let mut until_sync = None;
            if self.commit.unsynced.load(Ordering::Acquire) && self.check().is_ok() {
                until_sync = Some((synced_at + interval).saturating_sub(clock.elapsed()));
            } else {
                // The interval begins with the first write that is not synced.
                synced_at = clock.elapsed();
            }
            if until_sync == Some(Duration::ZERO) {
                drop(waiting);
                self.sync_log();
                synced_at = clock.elapsed();
                continue;
            }
            let has_work =
                !waiting.requests.is_empty() || (self.commit.is_change_due() && self.check().is_ok());
            if waiting.writing || !has_work {
                if waiting.closed && !waiting.writing {
                    drop(waiting);
                    return self.complete_log();
                }
                let timeout = until_sync.unwrap_or(interval).min(IDLE_WAIT);
                self.commit.wake.wait_for(&mut waiting, timeout);
                continue;
            }
            // Log batches put nothing into memtables; they pass, but none overtakes another one.
            let log_only = !self.has_room() && first_is_log_only(&waiting);
            // After a failure nothing changes any more; what waits is refused.
            let rotates = self.commit.rotate_due.load(Ordering::Acquire) && self.check().is_ok();
            if !log_only && !rotates && !self.hold_back(&mut waiting) {
                continue;
            }
            waiting.writing = true;
            let mut group = if rotates {
                Vec::new()
            } else {
                take_group(&mut waiting, log_only)
            };
            drop(waiting);
            if let Err(error) = self.change_if_due() {
                self.poison(&error);
            }
            if !group.is_empty() {
                self.write_and_finish(&mut group);
            }
            self.end_writing();
        }
    }

    /// Whether memtables take more at once.
    fn has_room(&self) -> bool {
        self.pressure() == Pressure::None && !self.is_switch_blocked()
    }

    /// Whether a memtable is full and too many wait already.
    fn is_switch_blocked(&self) -> bool {
        self.commit.switch_due.load(Ordering::Acquire)
            && self.views.load().waiting.len() >= self.settings.memtables_waiting_max
    }

    /// Waits as back-pressure demands; `false` if everything must be looked at anew.
    fn hold_back(&self, waiting: &mut MutexGuard<'_, Waiting>) -> bool {
        if self.is_stopping() || self.check().is_err() {
            return true;
        }
        match self.pressure() {
            Pressure::Stop => {
                self.compaction_signal.notify();
                self.wait_stopped(waiting);
                false
            }
            _ if self.is_switch_blocked() => {
                self.flush_signal.notify();
                self.wait_stopped(waiting);
                false
            }
            Pressure::None => true,
            Pressure::Delay(delay) => {
                let clock = Stopwatch::start();
                while clock.elapsed() < delay && self.pressure() != Pressure::None && !self.is_stopping() {
                    self.commit
                        .wake
                        .wait_for(waiting, delay.saturating_sub(clock.elapsed()));
                }
                add(&self.counters.delays, 1);
                add_time(&self.counters.delayed_micros, clock.elapsed());
                // While it waited a caller may have begun to write.
                !waiting.writing
            }
        }
    }

    /// Waits for a flush or a compaction to end.
    fn wait_stopped(&self, waiting: &mut MutexGuard<'_, Waiting>) {
        let clock = Stopwatch::start();
        self.commit.wake.wait_for(waiting, IDLE_WAIT);
        add(&self.counters.stops, 1);
        add_time(&self.counters.stopped_micros, clock.elapsed());
    }

    /// Makes what was written at intervals durable, beside the writer.
    fn sync_log(&self) {
        if self.check().is_err() {
            return;
        }
        self.commit.unsynced.store(false, Ordering::Release);
        if let Err(error) = self.log.sync() {
            self.poison(&error);
        }
    }

    /// Makes everything durable, and the last segment as short as what it holds, so that the next start reads no more.
    fn complete_log(&self) {
        self.sync_log();
        let completed = self.check().and_then(|()| self.commit.writer.lock().complete());
        if let Err(error) = completed {
            self.poison(&error);
        }
    }

    /// Begins a new segment or a new memtable if that is due. The caller has set `writing`.
    fn change_if_due(&self) -> Result<()> {
        self.check()?;
        if self.commit.rotate_due.load(Ordering::Acquire) {
            self.commit.writer.lock().rotate()?;
            self.commit.rotate_due.store(false, Ordering::Release);
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

    /// Sees to it that the memtable does not keep too many segments, and complains about others who do.
    fn look_at_log_size(&self) {
        let max = self.settings.log_segments_max;
        let view = self.views.load();
        let kept_by_memtable = self
            .log
            .segment_number()
            .saturating_sub(view.active.first_segment());
        if kept_by_memtable >= max {
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

fn first_is_log_only(waiting: &Waiting) -> bool {
    waiting
        .requests
        .first()
        .is_some_and(|request: &Request| !request.has_entries())
}
