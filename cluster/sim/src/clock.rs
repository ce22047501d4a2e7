//! The one door to the machine's clock: how long a row of seeds takes, and nothing within a run.

use std::time::Instant;

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "people are told once a second how far it is; no run sees this"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
