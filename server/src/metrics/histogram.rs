//! Durations, counted in buckets. Counting takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Text;

/// Upper bounds of the buckets, ascending, in microseconds, and as labels in seconds.
pub(super) type Bounds = &'static [(u64, &'static str)];

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: Bounds,
    /// How many are in each bucket and in none before; the last is for those above all bounds.
    buckets: Box<[AtomicU64]>,
    /// Their sum, in microseconds.
    sum_us: AtomicU64,
}

impl Histogram {
    /// One without durations.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        let within = self
            .bounds
            .iter()
            .position(|(bound_us, _)| took <= Duration::from_micros(*bound_us));
        let place = within.unwrap_or(self.bounds.len());
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// Its lines, unless nothing was observed.
    pub(super) fn write(&self, text: &mut Text, name: &str, labels: &str) {
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let counts: Vec<u64> = counts.collect();
        let all = counts.iter().sum::<u64>();
        if all == 0 {
            return;
        }
        let mut below = 0;
        for ((_, bound), count) in self.bounds.iter().zip(counts) {
            below += count;
            text.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
        }
        text.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {all}"));
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed));
        text.line(format_args!("{name}_sum{{{labels}}} {}", sum.as_secs_f64()));
        text.line(format_args!("{name}_count{{{labels}}} {all}"));
    }
}
