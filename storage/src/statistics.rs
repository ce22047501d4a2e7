//! What an engine has done and how it stands, in numbers.
//!
//! Invariant: counters only rise while the engine is open; nothing depends on them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache::CacheStatistics;
use crate::core::Core;
use crate::version::LEVELS;

/// Counters of an open engine.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flushes: AtomicU64,
    pub(crate) flushed_bytes: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) moves: AtomicU64,
    /// By the level that was written to.
    pub(crate) compacted_bytes: [AtomicU64; LEVELS],
    pub(crate) compaction_read_bytes: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) purged: AtomicU64,
    pub(crate) paced_micros: AtomicU64,
    pub(crate) delays: AtomicU64,
    pub(crate) delayed_micros: AtomicU64,
    pub(crate) stops: AtomicU64,
    pub(crate) stopped_micros: AtomicU64,
    /// Sstables that were set aside.
    pub(crate) damages: AtomicU64,
}

/// So many threads can count without sharing a cache line.
const STRIPES: usize = 16;

/// A counter on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

/// A counter for what reads do: threads add to stripes of their own, and only whoever looks adds them up.
#[derive(Debug, Default)]
pub(crate) struct StripedCounter([Stripe; STRIPES]);

impl StripedCounter {
    /// Counts one.
    pub(crate) fn count(&self) {
        thread_local! {
            static STRIPE: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
            };
        }
        STRIPE.with(|stripe| self.0[*stripe].0.fetch_add(1, Ordering::Relaxed));
    }

    /// What was counted.
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum()
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Adds a time to a counter of microseconds.
pub(crate) fn add_time(counter: &AtomicU64, time: Duration) {
    add(counter, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// One level, over all keyspaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStatistics {
    /// Sstables in the level.
    pub sstables: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Their entries.
    pub entries: u64,
    /// How many of these are tombstones.
    pub tombstones: u64,
    /// Bytes that compactions have written to the level since the engine was opened.
    pub compacted_bytes: u64,
}

/// How an engine stands, and what it has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStatistics {
    /// By level, level 0 first.
    pub levels: Vec<LevelStatistics>,
    /// Memtables that wait for their flush.
    pub memtables_waiting: u64,
    /// Bytes in all memtables, with what the entries cost beside keys and values.
    pub memtable_bytes: u64,
    /// Memtables that were flushed.
    pub flushes: u64,
    /// Bytes that flushes have written.
    pub flushed_bytes: u64,
    /// Compactions that have merged sstables.
    pub compactions: u64,
    /// Sstables that went down a level as they were.
    pub moves: u64,
    /// Compactions that run at the moment.
    pub compactions_running: u64,
    /// Bytes that compactions have read.
    pub compaction_read_bytes: u64,
    /// Values that the owner's filter had expired.
    pub expired: u64,
    /// Tombstones that went because nothing older was left.
    pub purged: u64,
    /// How long compactions were held back by their limit.
    pub paced: Duration,
    /// Groups of writes that were delayed because flush or compaction was behind, and for how long in all.
    pub delays: u64,
    /// See `delays`.
    pub delayed: Duration,
    /// Times that writes had to wait for a flush or a compaction, and for how long in all.
    pub stops: u64,
    /// See `stops`.
    pub stopped: Duration,
    /// Sstables that were set aside because they are damaged, and are still there.
    pub damaged_sstables: u64,
    /// The block cache.
    pub cache: CacheStatistics,
}

impl EngineStatistics {
    /// Bytes that compactions have written.
    pub fn compacted_bytes(&self) -> u64 {
        self.levels.iter().map(|level| level.compacted_bytes).sum()
    }
}

/// Reads all of it.
pub(crate) fn collect(core: &Core) -> EngineStatistics {
    let view = core.views.load();
    let counters = &core.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let time = |counter: &AtomicU64| Duration::from_micros(read(counter));
    let mut levels: Vec<LevelStatistics> = counters
        .compacted_bytes
        .iter()
        .map(|bytes| LevelStatistics {
            compacted_bytes: read(bytes),
            ..LevelStatistics::default()
        })
        .collect();
    for keyspace in view.version.keyspaces.values() {
        for (level, sstables) in levels.iter_mut().zip(&keyspace.levels) {
            for sstable in sstables {
                level.sstables += 1;
                level.bytes += sstable.meta.bytes;
                level.entries += sstable.meta.entries;
                level.tombstones += sstable.meta.tombstones;
            }
        }
    }
    let memtables = view.waiting.iter().chain([&view.active]);
    EngineStatistics {
        levels,
        memtables_waiting: view.waiting.len() as u64,
        memtable_bytes: memtables.map(|memtable| memtable.bytes() as u64).sum(),
        flushes: read(&counters.flushes),
        flushed_bytes: read(&counters.flushed_bytes),
        compactions: read(&counters.compactions),
        moves: read(&counters.moves),
        compactions_running: core.compactions.running(),
        compaction_read_bytes: read(&counters.compaction_read_bytes),
        expired: read(&counters.expired),
        purged: read(&counters.purged),
        paced: time(&counters.paced_micros),
        delays: read(&counters.delays),
        delayed: time(&counters.delayed_micros),
        stops: read(&counters.stops),
        stopped: time(&counters.stopped_micros),
        damaged_sstables: view.version.set_aside().count() as u64,
        cache: core.context.cache.statistics(),
    }
}
