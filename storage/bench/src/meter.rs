//! Measures a stretch of work: time, CPU time, syncs, and how long single operations took.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::protocol::Latency;
use crate::{Result, clock, syncs};

/// What a stretch of work has used.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    pub(crate) syncs: u64,
}

/// Counts from its beginning.
#[derive(Debug)]
pub(crate) struct Meter {
    start: Instant,
    cpu: Duration,
    syncs: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            cpu: clock::cpu_time(),
            syncs: syncs::count(),
            start: clock::now(),
        }
    }

    pub(crate) fn stop(&self) -> Used {
        let elapsed = clock::now() - self.start;
        Used {
            elapsed,
            cpu: clock::cpu_time().saturating_sub(self.cpu),
            syncs: syncs::count() - self.syncs,
        }
    }
}

/// When to stop, and how long each operation took. Operations follow each other without a gap, so that one look at the
/// clock ends one and begins the next.
#[derive(Debug)]
pub(crate) struct Lap {
    last: Instant,
    deadline: Instant,
    operations_max: u64,
    pub(crate) operations: u64,
}

impl Lap {
    /// Stops after so many operations, or if none are given after so long.
    pub(crate) fn start(operations: Option<u64>, length: Duration) -> Self {
        const EVER: Duration = Duration::from_secs(24 * 3600);
        let now = clock::now();
        Self {
            last: now,
            deadline: now + if operations.is_some() { EVER } else { length },
            operations_max: operations.unwrap_or(u64::MAX),
            operations: 0,
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.operations < self.operations_max && self.last < self.deadline
    }

    /// Ends an operation.
    pub(crate) fn done(&mut self, latencies: &mut Histogram<u64>) {
        let now = clock::now();
        latencies.saturating_record(u64::try_from((now - self.last).as_nanos()).unwrap_or(u64::MAX));
        self.last = now;
        self.operations += 1;
    }
}

/// A histogram of nanoseconds, up to a minute, to two digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 2)?)
}

/// The latencies of operations of one kind.
pub(crate) fn latency(of: &str, nanoseconds: &Histogram<u64>) -> Latency {
    let quantile_us = |quantile| {
        let duration = Duration::from_nanos(nanoseconds.value_at_quantile(quantile));
        duration.as_secs_f64() * 1e6
    };
    Latency {
        of: of.to_owned(),
        p50_us: quantile_us(0.5),
        p99_us: quantile_us(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lap_ends_after_operations_or_in_time() {
        let mut latencies = histogram().unwrap();
        for (operations, length) in [(Some(5), Duration::ZERO), (None, Duration::from_millis(5))] {
            let mut lap = Lap::start(operations, length);
            let start = clock::now();
            while lap.goes_on() {
                lap.done(&mut latencies);
            }
            match operations {
                Some(operations) => assert_eq!(lap.operations, operations),
                None => assert!(lap.operations > 0 && clock::now() - start >= length),
            }
        }
    }

    #[test]
    fn latencies_are_in_microseconds() {
        let mut nanoseconds = histogram().unwrap();
        nanoseconds.record_n(10_000, 98).unwrap();
        nanoseconds.record_n(1_000_000, 2).unwrap();
        let latency = latency("get", &nanoseconds);
        assert!((latency.p50_us / 10.0 - 1.0).abs() < 0.02, "{latency:?}");
        assert!((latency.p99_us / 1000.0 - 1.0).abs() < 0.02, "{latency:?}");
    }

    #[test]
    fn a_meter_counts_time_and_cpu() {
        let meter = Meter::start();
        while meter.stop().cpu.is_zero() {
            std::hint::spin_loop();
        }
        assert!(!meter.stop().elapsed.is_zero());
    }
}
