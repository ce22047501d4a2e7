//! The engine's one look at the time: how long it is since the engine was opened.
//!
//! Invariant: time decides only when something in the background happens, never what is stored.

use std::time::{Duration, Instant};

/// Measures from its making on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one door to the monotonic clock in this crate"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
