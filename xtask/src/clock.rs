//! The one door to the machine's clocks.

use std::time::{Instant, SystemTime};

/// The monotonic clock, for intervals.
#[expect(
    clippy::disallowed_methods,
    reason = "chores measure and wait in real time; this is their door to it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day, for the dates of signatures.
#[expect(
    clippy::disallowed_methods,
    reason = "servers compare the date of a signature with their own clock"
)]
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}
