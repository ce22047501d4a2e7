//! How busy and how full a node is, as it says of itself.
//!
//! Invariant: figures for people and for balancing; nothing that must hold depends on them. Looking costs a walk over the
//! engine's list of files, so that it is done now and then. Not here: to whom it is said (`gossip/`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How often it is looked at, in ticks.
pub(super) const LOAD_EVERY_TICKS: u64 = 50;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Load {
    requests: AtomicU64,
    seen: Mutex<Seen>,
}

/// What was seen when it was looked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes of sstables.
    pub(crate) data_bytes: u64,
    /// Bytes that the disk has left.
    pub(crate) free_bytes: u64,
    /// Requests of clients per second since the look before.
    pub(crate) requests_per_second: u64,
    at: Duration,
    requests: u64,
}

impl Load {
    /// A request of a client is served.
    pub(crate) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what there is now.
    pub(crate) fn look(&self, now: Duration, data_bytes: u64, free_bytes: u64) {
        let requests = self.requests.load(Ordering::Relaxed);
        let mut seen = self.seen.lock();
        let (served, passed) = (requests - seen.requests, now.saturating_sub(seen.at).as_millis());
        *seen = Seen {
            data_bytes,
            free_bytes,
            requests_per_second: per_second(served, passed),
            at: now,
            requests,
        };
    }

    /// What was seen last.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock()
    }
}

/// Rounded, so that a node that serves a little says so.
fn per_second(served: u64, passed_ms: u128) -> u64 {
    let rounded = (u128::from(served) * 1000 + passed_ms / 2).checked_div(passed_ms);
    rounded.map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_between_two_looks() {
        let load = Load::default();
        load.look(Duration::from_secs(100), 5, 6);
        assert_eq!(load.seen().requests_per_second, 0);
        for _ in 0..1234 {
            load.count();
        }
        load.look(Duration::from_secs(105), 7, 8);
        let seen = load.seen();
        assert_eq!(
            (seen.requests_per_second, seen.data_bytes, seen.free_bytes),
            (247, 7, 8)
        );
        load.look(Duration::from_secs(110), 7, 8);
        load.look(Duration::from_secs(110), 7, 8);
        assert_eq!(load.seen().requests_per_second, 0);
    }
}
