//! An engine without threads of its own: its owner has their work done, piece by piece, on the thread that calls.
//!
//! Invariant: the same calls at the same times give the same operations of the disk in the same order. Nothing waits:
//! what an engine with threads would wait for is either done by the call itself or left to a later turn. Completions
//! run while the log is being written, background work never runs inside background work. Not here: the pieces themselves
//! (`log_thread.rs`, `background.rs`), which the threads do as well.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::background::{step, tend};
use crate::compaction::job::compact_one;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::log_step::LogStep;
use crate::statistics::add_time;

/// Who does the work of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// Threads of its own.
    Threads,
    /// Whoever calls.
    Caller,
}

/// Whether there is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Delays and the pace of compactions are kept.
    Patient,
    /// Somebody needs the outcome before the call returns, and no time passes until then.
    Hurried,
}

/// A kind of work, which an engine with threads has a thread for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Log,
    /// Flushes, log segments, dropped keyspaces.
    Tend,
    Compact,
}

const WORKS: [Work; 3] = [Work::Log, Work::Tend, Work::Compact];

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The place in [`WORKS`] that is looked at first.
    next: AtomicUsize,
    /// Held over background work.
    background: Mutex<()>,
}

impl Core {
    /// Does one piece of work; `false` if there is none now. The kinds take turns, so that none waits for ever.
    pub(crate) fn turn(&self) -> bool {
        self.turn_any(&WORKS)
    }

    /// The same for somebody who cannot wait: if there is nothing else to do, that is done for which time should pass first.
    pub(crate) fn turn_hurried(&self) -> bool {
        self.turn_any_hurried(&WORKS)
    }

    fn turn_any_hurried(&self, works: &[Work]) -> bool {
        self.turn_any(works) || works.iter().any(|work| self.turn_one(*work, Patience::Hurried))
    }

    /// Does a piece of the first of `works` that has one, beginning with the one behind that of the last turn.
    fn turn_any(&self, works: &[Work]) -> bool {
        let next = self.turns.next.load(Ordering::Relaxed);
        let in_turn = WORKS.iter().enumerate().cycle().skip(next).take(WORKS.len());
        for (at, work) in in_turn.filter(|(_, work)| works.contains(work)) {
            if self.turn_one(*work, Patience::Patient) {
                self.turns.next.store((at + 1) % WORKS.len(), Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn turn_one(&self, work: Work, patience: Patience) -> bool {
        if work == Work::Log {
            return self.turn_log(patience);
        }
        let Some(_held) = self.turns.background.try_lock() else {
            return false;
        };
        if work == Work::Tend {
            return step(self, tend);
        }
        let owed = self.pace_owes();
        if patience == Patience::Patient && !owed.is_zero() {
            return false;
        }
        let done = step(self, compact_one);
        let owes_more = self.pace_owes().saturating_sub(owed);
        add_time(&self.counters.paced_micros, owes_more);
        done
    }

    fn turn_log(&self, patience: Patience) -> bool {
        let mut waiting = self.commit.waiting.lock();
        match self.next_log_step(&mut waiting, patience) {
            LogStep::Do(work) => self.do_log_work(work, waiting),
            LogStep::Wait(_) => return false,
            LogStep::End if waiting.completed => return false,
            LogStep::End => self.complete_log(waiting),
        }
        true
    }

    /// Turns until `condition` holds.
    pub(crate) fn turn_until(&self, condition: impl Fn() -> bool) -> Result<()> {
        self.turn_any_until(&WORKS, condition)
    }

    /// Flushes and compacts until `condition` holds. No completion runs meanwhile.
    pub(crate) fn make_room(&self, condition: impl Fn() -> bool) -> Result<()> {
        self.turn_any_until(&[Work::Tend, Work::Compact], condition)
    }

    fn turn_any_until(&self, works: &[Work], condition: impl Fn() -> bool) -> Result<()> {
        loop {
            self.check()?;
            if condition() {
                return Ok(());
            }
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            if !self.turn_any_hurried(works) {
                return Err(Error::within_another_call());
            }
        }
    }

    /// Writes and completes the log after the queue was closed; `false` if a call further up must do that.
    pub(crate) fn turn_to_end(&self) -> bool {
        while self.turn_log(Patience::Hurried) {}
        self.commit.waiting.lock().completed
    }
}
