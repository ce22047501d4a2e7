//! How long the disk takes to make data durable: what every write waits for with `durability = "sync"`.

use std::time::Duration;

use super::histogram::{Bounds, Histogram};
use super::{Kind, Text};

/// Upper bounds of the buckets: from a cache of the disk that outlives power cuts to a disk that is about to fail.
const BUCKETS: Bounds = &[
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
];

/// What is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synced {
    /// The commit log.
    Log,
    /// Sstables, manifests and what else the engine has.
    Engine,
}

/// Times of syncs, by what is synced.
#[derive(Debug)]
pub(crate) struct SyncMetrics {
    log: Histogram,
    engine: Histogram,
}

impl Default for SyncMetrics {
    fn default() -> Self {
        Self {
            log: Histogram::new(BUCKETS),
            engine: Histogram::new(BUCKETS),
        }
    }
}

impl SyncMetrics {
    /// A sync has ended.
    pub(crate) fn observe(&self, synced: Synced, took: Duration) {
        match synced {
            Synced::Log => self.log.observe(took),
            Synced::Engine => self.engine.observe(took),
        }
    }
}

impl Text {
    /// Adds them.
    pub(super) fn syncs(&mut self, syncs: &SyncMetrics) {
        let name = "stator_sync_duration_seconds";
        let help = "How long the disk took to make data durable (fdatasync), of the commit log and of the engine's other files.";
        self.metric(name, Kind::Histogram, help);
        syncs.log.write(self, name, "of=\"log\"");
        syncs.engine.write(self, name, "of=\"engine\"");
    }
}

/// What is told of these syncs alone.
#[cfg(test)]
pub(crate) fn syncs_text(syncs: &SyncMetrics) -> String {
    let mut text = Text::default();
    text.syncs(syncs);
    text.0
}
