//! The one door of the bench to the machine's clocks, and to waiting.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures real time; this is its door to it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The CPU time that all threads of this process have used, those that have ended included.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits for that long.
#[expect(
    clippy::disallowed_methods,
    reason = "no engine tells when its background work is done; whoever waits for silence has to listen"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
