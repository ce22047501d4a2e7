//! What the process that compares and the processes that hold an engine say to each other: a command a line, and for
//! each an answer, as JSON.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What to do with the open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Put every entry once, in random order, in batches of 100 that are not synced.
    Load,
    /// Flush, and wait for silence.
    Settle,
    /// Wait until the background threads are silent.
    Quiet,
    /// Read a part of all blocks, so that what the cache can hold is in it.
    WarmUp,
    GetUniform,
    GetZipfian,
    GetAbsent,
    ScanForward,
    ScanBackward,
    /// Single puts of random entries, not synced.
    Overwrite,
    /// Puts by one thread that each wait for the disk.
    Synced1,
    /// The same by 32 threads at once.
    Synced32,
    /// The same by 128 threads at once.
    Synced128,
    /// Reads and puts in turn, right after enough puts to keep the compaction busy.
    Mixed,
    /// Puts whose only trace is in the log, as far as an engine has one.
    Tail,
    /// Random reads of a store that was just opened.
    FirstReads,
    /// Close the store and end.
    Close,
}

/// A line to the process that holds an engine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) work: Work,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// How many operations to do; none: as many as fit into `seconds`.
    pub(crate) operations: Option<u64>,
    pub(crate) seconds: f64,
    /// The same seed picks the same entries.
    pub(crate) seed: u64,
}

/// How long single operations took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Which operations, if there were several kinds.
    pub(crate) of: String,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// What the process has come to since its start.
#[expect(clippy::struct_field_names, reason = "the unit is part of a name")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Keys and values that were put.
    pub(crate) put_bytes: u64,
    /// What was passed to `write`.
    pub(crate) written_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) peak_memory_bytes: u64,
}

/// The answer to a command, and the first line of a process: then it says how long the opening took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    /// Of all threads of the process.
    pub(crate) cpu_seconds: f64,
    pub(crate) syncs: u64,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) status: Status,
}
