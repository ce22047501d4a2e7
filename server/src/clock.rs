//! Wall-clock time as an argument.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub(crate) trait Clock: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Nanoseconds since the Unix epoch, for what is finer than milliseconds.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.now_ms())
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let now_ms = i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX);
        #[cfg(feature = "fault-injection")]
        let now_ms = now_ms.saturating_add(crate::fault_injection::clock_offset_ms());
        now_ms
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one door to the wall clock")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
