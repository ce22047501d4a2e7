//! Time as an argument: how long it is since some fixed moment.
//!
//! Invariant: time decides only when something in the background happens, never what is stored. Not here: the wall clock,
//! which the engine has no use for.

use std::fmt;
use std::time::{Duration, Instant};

/// Where an engine takes the time from, for the intervals between its syncs, for its delays and its pace.
///
/// An engine with threads sleeps while it waits: a clock other than the machine's is for one that is
/// [driven](crate::Engine::open_driven).
pub trait Clock: Send + Sync + fmt::Debug {
    /// How long it is since some fixed moment. Never goes back.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock, from its making on.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    /// A clock that begins at zero now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one door to the monotonic clock in this crate"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
