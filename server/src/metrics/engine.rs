//! What is told of the storage engine: levels, memtables, compactions, writes that were held up, the block cache.

use std::time::Duration;

use stator_cluster::EngineStatistics;

use super::{Kind, Text};

/// Name, kind, help and value.
type Number = (&'static str, Kind, &'static str, fn(&EngineStatistics) -> u64);
/// Name, help and time in all.
type Time = (&'static str, &'static str, fn(&EngineStatistics) -> Duration);

const NUMBERS: &[Number] = &[
    (
        "stator_engine_memtable_bytes",
        Kind::Gauge,
        "Bytes in memtables.",
        |engine| engine.memtable_bytes,
    ),
    (
        "stator_engine_memtables_waiting",
        Kind::Gauge,
        "Memtables that wait for their flush.",
        |engine| engine.memtables_waiting,
    ),
    (
        "stator_engine_flushes_total",
        Kind::Counter,
        "Memtables that were flushed.",
        |engine| engine.flushes,
    ),
    (
        "stator_engine_flushed_bytes_total",
        Kind::Counter,
        "Bytes that flushes have written.",
        |engine| engine.flushed_bytes,
    ),
    (
        "stator_engine_compactions_total",
        Kind::Counter,
        "Compactions that have merged sstables.",
        |engine| engine.compactions,
    ),
    (
        "stator_engine_compactions_running",
        Kind::Gauge,
        "Compactions that run.",
        |engine| engine.compactions_running,
    ),
    (
        "stator_engine_compaction_read_bytes_total",
        Kind::Counter,
        "Bytes that compactions have read.",
        |engine| engine.compaction_read_bytes,
    ),
    (
        "stator_engine_compaction_written_bytes_total",
        Kind::Counter,
        "Bytes that compactions have written.",
        EngineStatistics::compacted_bytes,
    ),
    (
        "stator_engine_delays_total",
        Kind::Counter,
        "Groups of writes that were delayed because flushes or compactions were behind.",
        |engine| engine.delays,
    ),
    (
        "stator_engine_stops_total",
        Kind::Counter,
        "Times that writes had to wait for a flush or a compaction.",
        |engine| engine.stops,
    ),
    (
        "stator_engine_sstables_damaged",
        Kind::Gauge,
        "Sstables that were set aside because they are damaged.",
        |engine| engine.damaged_sstables,
    ),
    (
        "stator_engine_cache_hits_total",
        Kind::Counter,
        "Blocks that were found in the block cache.",
        |engine| engine.cache.hits,
    ),
    (
        "stator_engine_cache_misses_total",
        Kind::Counter,
        "Blocks that had to be read from the disk.",
        |engine| engine.cache.misses,
    ),
    (
        "stator_engine_cache_bytes",
        Kind::Gauge,
        "Bytes of blocks in the cache.",
        |engine| engine.cache.bytes,
    ),
    (
        "stator_engine_pinned_bytes",
        Kind::Gauge,
        "Bytes of index blocks and filters that are held beside the cache.",
        |engine| engine.cache.pinned_bytes,
    ),
    (
        "stator_engine_filter_checks_total",
        Kind::Counter,
        "Times that a filter was asked for a key or a partition.",
        |engine| engine.cache.filter_checks,
    ),
    (
        "stator_engine_filter_passes_total",
        Kind::Counter,
        "Times that it could not say that there was none.",
        |engine| engine.cache.filter_passes,
    ),
];

const TIMES: &[Time] = &[
    (
        "stator_engine_delayed_seconds_total",
        "How long groups of writes were delayed.",
        |engine| engine.delayed,
    ),
    (
        "stator_engine_stopped_seconds_total",
        "How long writes had to wait for a flush or a compaction.",
        |engine| engine.stopped,
    ),
    (
        "stator_engine_paced_seconds_total",
        "How long compactions were held back by their limit.",
        |engine| engine.paced,
    ),
];

impl Text {
    /// The numbers of an engine.
    pub(super) fn engine(&mut self, engine: &EngineStatistics) {
        for (name, kind, help, value) in NUMBERS {
            self.value(name, *kind, help, value(engine));
        }
        for (name, help, time) in TIMES {
            self.metric(name, Kind::Counter, help);
            self.line(format_args!("{name} {}", time(engine).as_secs_f64()));
        }
        let name = "stator_engine_level_bytes";
        self.metric(name, Kind::Gauge, "Bytes of the sstables of a level.");
        for (level, of_level) in engine.levels.iter().enumerate() {
            self.line(format_args!("{name}{{level=\"{level}\"}} {}", of_level.bytes));
        }
        let name = "stator_engine_level_sstables";
        self.metric(name, Kind::Gauge, "Sstables of a level.");
        for (level, of_level) in engine.levels.iter().enumerate() {
            self.line(format_args!("{name}{{level=\"{level}\"}} {}", of_level.sstables));
        }
    }
}
