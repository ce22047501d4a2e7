//! What the engine is given from outside: disk, randomness, keys, time.
//!
//! Invariant: the engine reaches the world through these only, so that a whole cluster can run under one seed. Not here:
//! where they come from.

use std::sync::Arc;

use crate::clock::{Clock, MonotonicClock};
use crate::compaction::filter::{CompactionFilter, KeepAll};
use crate::crypto::{MasterKeys, Random};
use crate::vfs::Vfs;

/// The world of an engine.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where its files lie.
    pub disk: Arc<dyn Vfs>,
    /// Where the keys and salts of its files come from.
    pub random: Random,
    /// What its data keys are wrapped with.
    pub master_keys: MasterKeys,
    /// What compactions ask about entries.
    pub filter: Arc<dyn CompactionFilter>,
    /// What the time between syncs, delays and the pace of compactions are measured with.
    pub clock: Arc<dyn Clock>,
    /// The time of the opening in milliseconds since the Unix epoch; a data key that is made then carries it.
    pub now_ms: u64,
}

impl Environment {
    /// A world whose owner has nothing to say about entries, with the machine's monotonic clock.
    pub fn new(disk: Arc<dyn Vfs>, random: Random, master_keys: MasterKeys, now_ms: u64) -> Self {
        Self {
            disk,
            random,
            master_keys,
            filter: Arc::new(KeepAll),
            clock: Arc::new(MonotonicClock::start()),
            now_ms,
        }
    }
}
