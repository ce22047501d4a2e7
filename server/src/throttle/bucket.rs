//! A token bucket: capacity that comes at a rate, is kept for a while when it is not used, and can be overdrawn.
//!
//! Pure: the time is an argument. What a request costs is known when it is done, so a request is let through as long as
//! anything is left, and what it takes beyond that has to come in before the next one is.

/// How long unused capacity is kept, in seconds.
///
/// Source: Amazon DynamoDB Developer Guide, "Burst capacity": "up to 5 minutes (300 seconds)".
const BURST_SECONDS: f64 = 300.0;

/// See the head of the file. Units are capacity units, rates are units a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    units: f64,
    /// When `units` were counted, in milliseconds since the Unix epoch.
    at_ms: i64,
}

impl Bucket {
    /// With all that can be kept.
    pub(super) fn full(rate: f64, now_ms: i64) -> Self {
        Self {
            units: rate * BURST_SECONDS,
            at_ms: now_ms,
        }
    }

    /// Takes units if there are any; says whether there were.
    pub(super) fn take(&mut self, units: f64, rate: f64, now_ms: i64) -> bool {
        let has_any = self.has_any(rate, now_ms);
        if has_any {
            self.units -= units;
        }
        has_any
    }

    /// Takes units, whether there are any or not; negative ones are given back.
    pub(super) fn charge(&mut self, units: f64) {
        self.units -= units;
    }

    /// Whether anything is left.
    pub(super) fn has_any(&mut self, rate: f64, now_ms: i64) -> bool {
        self.refill(rate, now_ms);
        self.units > 0.0
    }

    /// Whether it keeps all that it can. Such a bucket is like a new one.
    pub(super) fn is_full(&mut self, rate: f64, now_ms: i64) -> bool {
        self.refill(rate, now_ms);
        self.units >= rate * BURST_SECONDS
    }

    /// Adds what has come in since. A clock that goes back adds nothing.
    fn refill(&mut self, rate: f64, now_ms: i64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        let elapsed_ms = f64::from(u32::try_from(elapsed_ms).unwrap_or(u32::MAX));
        self.units = (self.units + rate * elapsed_ms / 1000.0).min(rate * BURST_SECONDS);
        self.at_ms = self.at_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unused_capacity_of_five_minutes_is_kept_and_then_it_comes_at_its_rate() {
        let mut bucket = Bucket::full(5.0, 0);
        let burst = (0..2000).take_while(|_| bucket.take(1.0, 5.0, 0)).count();
        assert_eq!(burst, 1500);
        assert!(!bucket.take(1.0, 5.0, 0));
        // A fifth of a second brings one unit.
        assert!(bucket.take(1.0, 5.0, 200));
        assert!(!bucket.take(1.0, 5.0, 200));
        let hour = 3_600_000;
        assert!(bucket.is_full(5.0, hour));
        let again = (0..2000).take_while(|_| bucket.take(1.0, 5.0, hour)).count();
        assert_eq!(again, 1500, "no more than five minutes are kept");
    }

    #[test]
    fn what_was_overdrawn_comes_in_first() {
        let mut bucket = Bucket::full(1.0, 0);
        bucket.charge(299.5);
        assert!(bucket.take(400.0, 1.0, 0), "a large item is let through once");
        assert!(!bucket.take(1.0, 1.0, 399_000));
        assert!(bucket.take(1.0, 1.0, 400_000));
    }

    #[test]
    fn a_clock_that_goes_back_adds_nothing_and_takes_nothing() {
        let mut bucket = Bucket::full(1.0, 10_000);
        bucket.charge(300.0);
        assert!(!bucket.has_any(1.0, 5_000));
        assert!(!bucket.has_any(1.0, 10_000));
        assert!(bucket.has_any(1.0, 10_001));
    }

    #[test]
    fn another_rate_changes_what_comes_and_what_is_kept() {
        let mut bucket = Bucket::full(10.0, 0);
        assert!(!bucket.is_full(20.0, 0));
        assert!(bucket.is_full(10.0, 0));
        assert!(bucket.is_full(2.0, 0), "what is too much is lost");
        assert!(bucket.take(600.0, 2.0, 0));
        assert!(!bucket.has_any(2.0, 0));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_the_burst_and_the_rate(
            rate in 1_u32..100,
            steps in proptest::collection::vec((0_i64..2_000, 1_u32..10), 1..200),
        ) {
            let rate = f64::from(rate);
            let mut bucket = Bucket::full(rate, 0);
            let (mut now_ms, mut taken, mut last) = (0, 0.0, 0.0);
            for (pause_ms, units) in steps {
                now_ms += pause_ms;
                let units = f64::from(units);
                if bucket.take(units, rate, now_ms) {
                    taken += units;
                    last = units;
                }
                let allowed = rate * (BURST_SECONDS + f64::from(u32::try_from(now_ms).unwrap()) / 1000.0);
                prop_assert!(taken < allowed + last + 1e-6, "{taken} of {allowed}");
            }
        }
    }
}
