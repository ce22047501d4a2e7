//! Holding work to a rate, and doing something now and then. Pure but for the wait itself: times are those of the node's steady
//! clock (`Cluster::steady_now`), given by whoever asks.

use std::time::Duration;

use parking_lot::Mutex;

/// Holds something to a rate, over its whole life.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Duration,
    done: u64,
    per_second: u64,
}

impl Pace {
    /// From `now` on, so many bytes, or whatever else is counted, in a second.
    pub(crate) fn new(per_second: u64, now: Duration) -> Self {
        Self {
            begun: now,
            done: 0,
            per_second: per_second.max(1),
        }
    }

    /// How long after the beginning so much may have been done.
    fn due(&self) -> Duration {
        let nanos = u128::from(self.done) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Counts what was done; gives how long to wait before going on.
    #[must_use]
    pub(crate) fn has_done(&mut self, much: u64, now: Duration) -> Duration {
        self.done = self.done.saturating_add(much);
        self.due().saturating_sub(now.saturating_sub(self.begun))
    }
}

/// Waits for as long as a [`Pace`] says. For no time it does not ask the runtime, whose timer goes by milliseconds: each page that
/// is not too fast would take one longer.
pub(crate) async fn hold_back(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// When something is to be done next, if it is.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Mutex<Option<Duration>>);

impl Alarm {
    /// It is to be done at `at`.
    pub(crate) fn set(&self, at: Duration) {
        *self.0.lock() = Some(at);
    }

    /// Whether it is time, which is told once.
    pub(crate) fn rings(&self, now: Duration) -> bool {
        self.0.lock().take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_need_not_wait_does_not_wait_for_the_timer() {
        let begun = tokio::time::Instant::now();
        hold_back(Duration::ZERO).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        hold_back(SECOND).await;
        assert!(begun.elapsed() >= SECOND);
    }

    #[test]
    fn a_pace_is_that_of_all_that_was_done() {
        let mut pace = Pace::new(1 << 20, 5 * SECOND);
        assert_eq!(pace.has_done(1 << 20, 5 * SECOND), SECOND);
        assert_eq!(pace.has_done(2 << 20, 6 * SECOND), 2 * SECOND);
        assert_eq!(pace.has_done(0, 60 * SECOND), Duration::ZERO);
        let wait = pace.has_done(1 << 60, 6 * SECOND);
        assert!(wait > SECOND * (1 << 30), "it does not wrap around");
    }

    #[test]
    fn an_alarm_rings_once_and_not_before_its_time() {
        let alarm = Alarm::default();
        assert!(!alarm.rings(SECOND));
        alarm.set(2 * SECOND);
        assert!(!alarm.rings(SECOND));
        assert!(alarm.rings(2 * SECOND));
        assert!(!alarm.rings(3 * SECOND));
    }
}
