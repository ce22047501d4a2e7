//! The kernel: one thread runs a whole cluster under one seed.
//!
//! Invariant: at any moment exactly one piece of a node's or a client's code runs, and which one is next follows from the
//! seed alone. Events are ordered by simulated time and, within one moment, by the order in which they were made; time
//! passes only between events. No lock of the kernel is held while foreign code runs.
//!
//! What would break this from the inside: threads, the machine's clock, iteration over a `HashMap` with random keys, and
//! `tokio::select!` without `biased`, which draws its order from the runtime. Not here: what a run is checked for.

mod clock;
mod control;
mod disk;
mod link;
mod node;
mod simulation;
mod state;
mod world;

use std::time::Duration;

pub use control::{Control, Crash};
pub use link::LinkSettings;
pub use node::{Boot, Hook, Machine, Started};
pub(crate) use simulation::panic_message;
pub use simulation::{Ended, Simulation};

use crate::random::Spread;
use crate::trace;

/// What the simulated world is like while nobody breaks it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How messages travel.
    pub link: LinkSettings,
    /// What one turn of a node's disk costs, such as a write with its sync.
    pub disk_turn: Spread,
    /// How long a task that was woken waits until it runs. More than one value, so that tasks overtake each other.
    pub scheduling: Spread,
    /// Each node's clock is faster or slower than the true time by at most so many parts of a million.
    pub clock_drift_ppm_max: u32,
    /// A message to a node whose address the sender was not told vanishes.
    pub needs_introductions: bool,
    /// A run with more events than this never ends, and has failed.
    pub events_max: u64,
    /// What is kept and printed of the run.
    pub trace: trace::Settings,
}

impl Default for Settings {
    /// A data centre: half a millisecond between nodes, a disk with a cache that survives a power cut.
    fn default() -> Self {
        let microseconds = Duration::from_micros;
        Self {
            link: LinkSettings::default(),
            disk_turn: Spread {
                least: microseconds(200),
                usual: microseconds(2_000),
                tail_ppm: 10_000,
                tail: microseconds(50_000),
            },
            scheduling: Spread::uniform(Duration::ZERO, microseconds(30)),
            clock_drift_ppm_max: 200,
            needs_introductions: true,
            events_max: 20_000_000,
            trace: trace::Settings::default(),
        }
    }
}
