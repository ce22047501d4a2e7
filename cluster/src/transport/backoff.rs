//! How long to wait before the next attempt: doubling up to a limit, with jitter, so that nodes that lost the same peer
//! do not come back at the same moment. Pure: randomness is an argument.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            attempts: 0,
        }
    }

    /// The wait after one more failed attempt: between half and the whole of a span that doubles with every attempt.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        let span = self.min.saturating_mul(factor).min(self.max);
        let half = span / 2;
        let half_ns = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(random % half_ns.saturating_add(1).max(1))
    }

    /// The next attempt counts as the first again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_double_up_to_the_limit(random in any::<u64>(), attempts in 0_u32..200) {
            let (min, max) = (Duration::from_millis(50), Duration::from_secs(5));
            let mut backoff = Backoff::new(min, max);
            for _ in 0..attempts {
                backoff.next(random);
            }
            let span = min.saturating_mul(2_u32.saturating_pow(attempts)).min(max);
            let wait = backoff.next(random);
            prop_assert!(wait >= span / 2 && wait <= span, "{wait:?} of {span:?}");
            backoff.reset();
            prop_assert!(backoff.next(random) <= min);
        }
    }
}
