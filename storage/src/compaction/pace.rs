//! How fast background work may write.
//!
//! Invariant: over any time the work has written at most the limit a second, and one burst. Pure: it is told the time
//! and says how long to wait.

use std::time::Duration;

/// What may be written at once after a rest, as a part of a second.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket over bytes.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When everything that was written would have been written at the limit.
    busy_until: Duration,
}

impl Pace {
    /// 0 means no limit.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            busy_until: Duration::ZERO,
        }
    }

    /// Takes note of `bytes` written at `now`; gives how long to wait before more is written.
    pub(crate) fn spend(&mut self, bytes: u64, now: Duration) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = self
            .busy_until
            .max(now.saturating_sub(BURST))
            .saturating_add(takes);
        self.owed(now)
    }

    /// How long to wait before more is written.
    pub(crate) fn owed(&self, now: Duration) -> Duration {
        self.busy_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_waits_as_told_keeps_the_limit() {
        let mut pace = Pace::new(1_000_000);
        let mut now = Duration::from_secs(5);
        let start = now;
        for _ in 0..100 {
            now += pace.spend(50_000, now);
        }
        let took = now.saturating_sub(start);
        assert!(
            took >= Duration::from_millis(4_900) && took <= Duration::from_secs(5),
            "{took:?}"
        );
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        assert_eq!(Pace::new(0).spend(u64::MAX, Duration::ZERO), Duration::ZERO);
    }
}
