//! The clocks of a simulated machine.
//!
//! Invariant: the steady clock never goes back, whatever its rate is set to; the awake clock is the steady clock less the
//! time that the machine was suspended, and timers run by it, as `CLOCK_BOOTTIME` and `CLOCK_MONOTONIC` differ on Linux.
//! The wall clock jumps, and nothing else depends on it. All times are in nanoseconds unless their name says otherwise.

/// The wall clock when a run begins, 2030-01-01.
const START_UNIX_MS: u64 = 1_893_456_000_000;

const MILLION: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Ticks of this clock in a million nanoseconds of true time.
    rate: u64,
    /// A true time, and what the steady clock showed then.
    anchor: (u64, u64),
    suspended: u64,
    wall_offset_ms: i64,
}

impl Clock {
    /// A clock that shows the true time plus `shown`.
    pub(super) fn new(now: u64, shown: u64) -> Self {
        Self {
            rate: MILLION,
            anchor: (now, shown),
            suspended: 0,
            wall_offset_ms: 0,
        }
    }

    /// What the steady clock shows.
    pub(super) fn steady(&self, now: u64) -> u64 {
        let passed =
            u128::from(now.saturating_sub(self.anchor.0)) * u128::from(self.rate) / u128::from(MILLION);
        self.anchor
            .1
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// What the clock of timers shows.
    pub(super) fn awake(&self, now: u64) -> u64 {
        self.steady(now).saturating_sub(self.suspended)
    }

    /// How much true time passes until [`Clock::awake`] shows `deadline`, if nothing changes.
    pub(super) fn until(&self, now: u64, deadline: u64) -> u64 {
        let left = u128::from(deadline.saturating_sub(self.awake(now)));
        let time = (left * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// The wall clock in milliseconds since the Unix epoch.
    pub(super) fn unix_ms(&self, now: u64) -> u64 {
        (START_UNIX_MS + now / MILLION).saturating_add_signed(self.wall_offset_ms)
    }

    /// Makes the steady clock faster (above 0) or slower from now on.
    pub(super) fn set_drift(&mut self, now: u64, drift_ppm: i32) {
        self.anchor = (now, self.steady(now));
        self.rate = MILLION.saturating_add_signed(i64::from(drift_ppm)).max(1);
    }

    /// Turns the wall clock.
    pub(super) fn jump(&mut self, by_ms: i64) {
        self.wall_offset_ms = self.wall_offset_ms.saturating_add(by_ms);
    }

    /// Notes that the machine was suspended since a true time.
    pub(super) fn slept_since(&mut self, since: u64, now: u64) {
        self.suspended += self.steady(now).saturating_sub(self.steady(since));
    }

    /// The machine has booted: the steady clock begins anew at `shown`; the wall clock has a battery.
    pub(super) fn reboot(&mut self, now: u64, shown: u64) {
        self.anchor = (now, shown);
        self.suspended = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_fast_clock_runs_ahead_and_never_goes_back_when_it_is_corrected() {
        let mut clock = Clock::new(0, 5 * SECOND);
        clock.set_drift(0, 100_000);
        assert_eq!(clock.steady(10 * SECOND), 16 * SECOND);
        clock.set_drift(10 * SECOND, 0);
        assert_eq!(clock.steady(10 * SECOND), 16 * SECOND);
        assert_eq!(clock.steady(11 * SECOND), 17 * SECOND);
        clock.set_drift(11 * SECOND, -500_000);
        assert_eq!(clock.until(11 * SECOND, 18 * SECOND), 2 * SECOND);
    }

    #[test]
    fn timers_stand_still_while_the_machine_is_suspended_and_the_steady_clock_does_not() {
        let mut clock = Clock::new(0, 0);
        clock.slept_since(SECOND, 4 * SECOND);
        assert_eq!(clock.steady(5 * SECOND), 5 * SECOND);
        assert_eq!(clock.awake(5 * SECOND), 2 * SECOND);
    }

    #[test]
    fn the_wall_clock_jumps_alone() {
        let mut clock = Clock::new(0, 0);
        let before = clock.unix_ms(SECOND);
        clock.jump(-3_600_000);
        assert_eq!(clock.unix_ms(SECOND), before - 3_600_000);
        assert_eq!(clock.steady(SECOND), SECOND);
        clock.reboot(SECOND, 7);
        assert_eq!(
            (clock.steady(SECOND), clock.unix_ms(SECOND)),
            (7, before - 3_600_000)
        );
    }
}
