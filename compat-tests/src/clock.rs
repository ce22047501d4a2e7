//! The one door of these tests to the machine's clocks, and to waiting.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic clock, for intervals.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are tested in real time; this is the door to it"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, for the dates of signatures.
#[expect(clippy::disallowed_methods, reason = "a signature carries the present time")]
pub fn time_of_day() -> SystemTime {
    SystemTime::now()
}

/// Lets time pass: between the attempts of a client that backs off, while a fault lasts, between two looks at a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a fault lasts and a client backs off is what is tested"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Looks at a condition until it holds, and says whether it did in time.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
    let start = now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        pause(BETWEEN_LOOKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        assert!(holds_within(Duration::from_secs(10), || {
            looks += 1;
            looks == 3
        }));
        assert_eq!(looks, 3);
        assert!(!holds_within(Duration::ZERO, || false));
    }
}
