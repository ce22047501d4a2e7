//! What a node does on its own, beside answering requests: completing changes of tables, deleting what is due, forgetting
//! records of streams and versions of items that are too old.
//!
//! Invariant: every piece of it may be done twice, by two nodes, or be given up at any point and begun again. Not here: the
//! pieces (`steward.rs`, `sweeper.rs`, `trimmer.rs`, `pruner.rs`).

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use stator_cluster::Cluster;

use crate::catalog::Catalog;
use crate::clock::Clock;

/// `[upkeep]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpkeepSettings {
    /// How often items that are due are looked for, in milliseconds.
    pub(crate) sweep_interval_ms: u64,
    /// How many items that are due a node deletes in a second at most.
    pub(crate) sweep_items_per_second: u32,
    /// A shard of a stream is closed, and another takes its place, when it is so old, in milliseconds.
    pub(crate) shard_age_ms: u64,
    /// How many items are looked at in one step when a new index is filled, of each range that is filled.
    pub(crate) fill_items_at_once: u32,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            sweep_interval_ms: 10_000,
            sweep_items_per_second: 2_000,
            shard_age_ms: 4 * 60 * 60 * 1000,
            fill_items_at_once: 128,
        }
    }
}

impl UpkeepSettings {
    /// What is out of range, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let check = |name: &str, value: u64, least: u64| {
            (value < least).then(|| format!("upkeep.{name} is {value}, must be at least {least}"))
        };
        check("sweep_interval_ms", self.sweep_interval_ms, 100)
            .or_else(|| {
                check(
                    "sweep_items_per_second",
                    u64::from(self.sweep_items_per_second),
                    1,
                )
            })
            .or_else(|| check("shard_age_ms", self.shard_age_ms, 1000))
            .or_else(|| check("fill_items_at_once", u64::from(self.fill_items_at_once), 1))
    }

    /// How often items that are due are looked for.
    pub(crate) fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_interval_ms)
    }
}

/// What upkeep works with.
#[derive(Debug, Clone)]
pub(crate) struct Upkeep {
    pub(crate) cluster: Cluster,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: UpkeepSettings,
}

impl Upkeep {
    /// Does it for as long as the process runs.
    pub(crate) fn start(&self) {
        tokio::spawn(self.clone().steward());
        tokio::spawn(self.clone().sweep());
        tokio::spawn(self.clone().trim());
        tokio::spawn(self.clone().prune());
    }

    /// Now, in milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
