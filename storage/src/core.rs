//! What the parts of an open engine share: the view, the manifest, the snapshots, the health, the signals between
//! threads.
//!
//! Invariant: locks are taken in the order writing, manifest, view; no lock is held while the owner's code runs. Not here: what
//! the threads do (`log_thread.rs`, `background.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::applied::Applied;
use crate::clock::Clock;
use crate::commit::CommitQueue;
use crate::compaction::Compactions;
use crate::compaction::filter::CompactionFilter;
use crate::compaction::pace::Pace;
use crate::drive::{Drive, Turns};
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::sstable::SstableContext;
use crate::statistics::{Counters, add_time};
use crate::version::manifest::Manifest;
use crate::view::{SnapshotTracker, View, Views};
use crate::wal::log::Log;

/// The first step of back-pressure; every further step doubles it.
const DELAY_FIRST: Duration = Duration::from_micros(100);
const DELAY_DOUBLINGS_MAX: u32 = 9;

/// Background threads look at their work at least this often, whatever signals they get.
pub(crate) const IDLE_WAIT: Duration = Duration::from_millis(500);

const PROGRESS_WAIT: Duration = Duration::from_millis(5);

/// The state of an open engine.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) context: SstableContext,
    pub(crate) views: Views,
    pub(crate) snapshots: SnapshotTracker,
    /// The newest batch that readers see.
    pub(crate) published: AtomicU64,
    /// The newest batch whose entries are all in sstables, with everything before it.
    pub(crate) flushed: AtomicU64,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) log: Arc<Log>,
    pub(crate) applied: Applied,
    pub(crate) commit: CommitQueue,
    pub(crate) flush_signal: Signal,
    pub(crate) compaction_signal: Signal,
    /// Raised for whoever waits for a flush or a compaction to end.
    pub(crate) progress: (Mutex<()>, Condvar),
    /// Whether a dropped keyspace waits for snapshots to let go of it.
    pub(crate) purge_waits: AtomicBool,
    pub(crate) spare_wanted: AtomicBool,
    /// Whether a stream has let go of segments.
    pub(crate) free_due: AtomicBool,
    pub(crate) compactions: Compactions,
    /// Held for reading while sstables are written that no version names yet.
    pub(crate) writing: RwLock<()>,
    /// Whether the files of old data keys are written anew.
    pub(crate) rewriting: AtomicBool,
    /// Whether it is to be looked whether data keys can be forgotten.
    pub(crate) forget_due: AtomicBool,
    pub(crate) filter: Arc<dyn CompactionFilter>,
    pub(crate) counters: Counters,
    pub(crate) drive: Drive,
    pub(crate) turns: Turns,
    pub(crate) clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
    stopping: AtomicBool,
    poison: OnceLock<String>,
    pressure: AtomicU64,
}

/// What an engine logs with.
#[derive(Debug)]
pub(crate) struct Logging {
    pub(crate) log: Arc<Log>,
    pub(crate) applied: Applied,
    pub(crate) commit: CommitQueue,
}

/// What an engine is told when it is opened.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) settings: Settings,
    pub(crate) filter: Arc<dyn CompactionFilter>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) drive: Drive,
}

/// How hard writes are held back because flush or compaction is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Not at all.
    None,
    /// Every group of writes is delayed by this.
    Delay(Duration),
    /// Nothing is written until a flush or a compaction has ended.
    Stop,
}

const PRESSURE_STOP: u64 = u64::MAX;

impl Core {
    pub(crate) fn new(
        given: Given,
        context: SstableContext,
        view: View,
        manifest: Manifest,
        logging: Logging,
        published: SequenceNumber,
    ) -> Self {
        let Given {
            settings,
            filter,
            clock,
            drive,
        } = given;
        let pressure = AtomicU64::new(encode_pressure(pressure_of(&view, &settings)));
        let pace = Pace::new(settings.compaction_bytes_per_second_max);
        let counters = Counters::default();
        // Those that the start has set aside.
        let damages = view.version.set_aside().count() as u64;
        counters.damages.store(damages, Ordering::Relaxed);
        Self {
            settings,
            context,
            views: Views::new(view),
            snapshots: SnapshotTracker::default(),
            published: AtomicU64::new(published),
            flushed: AtomicU64::new(manifest.state().last_sequence),
            manifest: Mutex::new(manifest),
            log: logging.log,
            applied: logging.applied,
            commit: logging.commit,
            flush_signal: Signal::default(),
            compaction_signal: Signal::default(),
            progress: (Mutex::new(()), Condvar::new()),
            purge_waits: AtomicBool::new(false),
            spare_wanted: AtomicBool::new(false),
            free_due: AtomicBool::new(false),
            compactions: Compactions::default(),
            writing: RwLock::default(),
            rewriting: AtomicBool::new(false),
            forget_due: AtomicBool::new(false),
            filter,
            counters,
            drive,
            turns: Turns::default(),
            clock,
            pace: Mutex::new(pace),
            stopping: AtomicBool::new(false),
            poison: OnceLock::new(),
            pressure,
        }
    }

    pub(crate) fn published(&self) -> SequenceNumber {
        self.published.load(Ordering::Acquire)
    }

    /// Refuses everything after a failure.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure() {
            Some(cause) => Err(Error::Poisoned {
                cause: cause.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The message of the first failure.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// Stops the engine for good: what the disk holds is not known any more.
    pub(crate) fn poison(&self, error: &Error) {
        let cause = match error {
            Error::Poisoned { cause } => cause.clone(),
            error => error.to_string(),
        };
        if self.poison.set(cause).is_ok() {
            tracing::error!(%error, "the engine stops");
        }
        self.wake_all();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Both a stop and a failure end the background threads.
    fn wake_all(&self) {
        self.flush_signal.end();
        self.compaction_signal.end();
        self.commit.wake();
        self.progress.1.notify_all();
    }

    /// Replaces the view and looks anew how hard writes must be held back.
    pub(crate) fn update_view(&self, change: impl FnOnce(&mut View)) {
        self.views.update(|view| {
            change(view);
            self.pressure.store(
                encode_pressure(pressure_of(view, &self.settings)),
                Ordering::Release,
            );
        });
        self.commit.wake();
        self.progress.1.notify_all();
    }

    /// Waits until `condition` holds, the engine stops, or a failure; looks again after every change of the view. Without
    /// threads the call itself sees to it.
    pub(crate) fn wait_until(&self, condition: impl Fn() -> bool) -> Result<()> {
        if self.drive == Drive::Caller {
            return self.turn_until(condition);
        }
        let mut held = self.progress.0.lock();
        loop {
            self.check()?;
            if condition() {
                return Ok(());
            }
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            // A change between the look and the wait is noticed at the latest after this time.
            self.progress.1.wait_for(&mut held, PROGRESS_WAIT);
        }
    }

    /// Holds a compaction back that has written `bytes`, if there is a limit; a stop ends the wait. Without threads the
    /// next compaction is held back instead.
    pub(crate) fn keep_pace(&self, bytes: u64) {
        let wait = self.pace.lock().spend(bytes, self.clock.now());
        if self.drive == Drive::Threads {
            self.wait_at_most(wait);
            add_time(&self.counters.paced_micros, wait);
        }
    }

    /// How long the limit holds compactions back.
    pub(crate) fn pace_owes(&self) -> Duration {
        self.pace.lock().owed(self.clock.now())
    }

    /// Waits so long; a stop or a failure ends the wait. Without threads nothing waits.
    pub(crate) fn wait_at_most(&self, wait: Duration) {
        if self.drive == Drive::Caller {
            return;
        }
        let until = self.clock.now() + wait;
        let mut held = self.progress.0.lock();
        while self.clock.now() < until && !self.is_stopping() && self.check().is_ok() {
            let left = until.saturating_sub(self.clock.now());
            self.progress.1.wait_for(&mut held, left.min(IDLE_WAIT));
        }
    }

    pub(crate) fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Acquire) {
            0 => Pressure::None,
            PRESSURE_STOP => Pressure::Stop,
            micros => Pressure::Delay(Duration::from_micros(micros)),
        }
    }
}

fn encode_pressure(pressure: Pressure) -> u64 {
    match pressure {
        Pressure::None => 0,
        Pressure::Delay(delay) => u64::try_from(delay.as_micros()).unwrap_or(PRESSURE_STOP),
        Pressure::Stop => PRESSURE_STOP,
    }
}

/// A delay for every step that flush or compaction is behind, doubling with each.
fn pressure_of(view: &View, settings: &Settings) -> Pressure {
    let level0 = view
        .version
        .all_live()
        .map(|keyspace| {
            let level0 = keyspace.levels[0].iter();
            // What is set aside is not going to be merged, however long writes wait.
            level0.filter(|sstable| sstable.damage().is_none()).count()
        })
        .max()
        .unwrap_or(0);
    if level0 >= settings.level0_sstables_stop {
        return Pressure::Stop;
    }
    let flush_steps = view
        .waiting
        .len()
        .saturating_sub(settings.memtables_waiting_max / 2);
    let compaction_steps = (level0 + 1).saturating_sub(settings.level0_sstables_slowdown);
    match u32::try_from(flush_steps.max(compaction_steps)).unwrap_or(u32::MAX) {
        0 => Pressure::None,
        steps => Pressure::Delay(DELAY_FIRST * 2_u32.pow((steps - 1).min(DELAY_DOUBLINGS_MAX))),
    }
}

/// Wakes background threads.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<SignalState>,
    condition: Condvar,
}

#[derive(Debug, Default)]
struct SignalState {
    raised: bool,
    ended: bool,
}

impl Signal {
    /// Wakes one thread, now or when it comes to wait.
    pub(crate) fn notify(&self) {
        self.state.lock().raised = true;
        self.condition.notify_one();
    }

    /// Wakes all threads; from now on nobody waits.
    fn end(&self) {
        self.state.lock().ended = true;
        self.condition.notify_all();
    }

    /// Waits for a signal that was not yet taken, but not longer than `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut state = self.state.lock();
        if !state.raised && !state.ended {
            self.condition.wait_for(&mut state, timeout);
        }
        state.raised = false;
    }
}
