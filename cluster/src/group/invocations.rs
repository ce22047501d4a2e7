//! Which requests have taken effect lately, so that one that is sent again does not take effect twice.
//!
//! Invariant: the same entries in the same order leave the same memory, on every replica and after every start, as long as
//! the log is kept from [`Invocations::oldest_entry`] on. Pure: the time is that of the entries. Not here: deciding what
//! to answer.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::Xxh3;

use crate::command::InvocationId;

/// A request is remembered for so long. An AWS SDK gives up sooner: by default after three attempts, of which each waits
/// at most 20 seconds for its turn (AWS SDKs and Tools Reference Guide, "Retry behavior").
const REMEMBERED_MS: u64 = 120_000;

/// From one entry to the next no more time passes than this, whatever their times say. A leader's wall clock may jump by
/// hours, and would take what was acknowledged a moment ago along; a group with few entries only remembers longer.
const STEP_MS_MAX: u64 = 1_000;

/// And as long as there are not so many newer ones, so that a node with hundreds of groups remembers them in some tens
/// of mebibytes.
const REMEMBERED_MAX: usize = 1 << 13;

/// And as long as the entries since then have not more bytes: the log is kept for as long.
const REMEMBERED_BYTES_MAX: u64 = 4 << 20;

/// Which request and which cell: the hash of both, as a batch may write many cells under one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestHash(u128);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remembered {
    /// By [`Invocations::passed_ms`].
    at_ms: u64,
    request: RequestHash,
    index: u64,
    bytes: u64,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Invocations {
    /// The entry of each request.
    by_request: HashMap<RequestHash, u64>,
    /// In the order of the entries.
    order: VecDeque<Remembered>,
    /// Of all entries in `order`.
    bytes: u64,
    /// How much time has passed with the entries so far; where it began means nothing.
    passed_ms: u64,
    /// The time of the last entry.
    last_at_ms: Option<u64>,
}

impl Invocations {
    /// Takes note of a request that has taken effect with entry `index` of `bytes` bytes at `at_ms`. Entries come in their
    /// order.
    pub(crate) fn remember(&mut self, request: RequestHash, (index, at_ms): (u64, u64), bytes: u64) {
        // One that was remembered already has taken effect once; that is the answer it has got.
        if self.by_request.contains_key(&request) {
            return;
        }
        self.pass(at_ms);
        self.by_request.insert(request, index);
        self.order.push_back(Remembered {
            at_ms: self.passed_ms,
            request,
            index,
            bytes,
        });
        self.bytes += bytes;
        while self.order.len() > REMEMBERED_MAX || (self.bytes > REMEMBERED_BYTES_MAX && self.order.len() > 1)
        {
            self.forget_oldest();
        }
    }

    /// Forgets what is too old at `at_ms`, the time of an entry.
    pub(crate) fn forget_before(&mut self, at_ms: u64) {
        self.pass(at_ms);
        let least = self.passed_ms.saturating_sub(REMEMBERED_MS);
        while self.order.front().is_some_and(|oldest| oldest.at_ms < least) {
            self.forget_oldest();
        }
    }

    /// An entry has this time.
    fn pass(&mut self, at_ms: u64) {
        let last_ms = self.last_at_ms.replace(at_ms).unwrap_or(at_ms);
        self.passed_ms += at_ms.saturating_sub(last_ms).min(STEP_MS_MAX);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.by_request.remove(&oldest.request);
            self.bytes -= oldest.bytes;
        }
    }

    /// The entry with which a request has taken effect.
    pub(crate) fn find(&self, request: RequestHash) -> Option<u64> {
        self.by_request.get(&request).copied()
    }

    /// The entry of the oldest request that is remembered: a start that reads the log from here on remembers the same.
    pub(crate) fn oldest_entry(&self) -> Option<u64> {
        self.order.front().map(|oldest| oldest.index)
    }
}

impl RequestHash {
    /// The hash of a request and the cell that it writes.
    ///
    /// 128 bits over all that tells requests apart: that two of the few that are remembered fall together is less likely
    /// than that the disk's checksums fail.
    pub(crate) fn of(invocation: &InvocationId, keyspace: u32, key: &[u8]) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(invocation.as_bytes());
        hasher.update(&keyspace.to_le_bytes());
        hasher.update(key);
        Self(hasher.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYSPACE: u32 = 3;

    fn request(number: u64) -> RequestHash {
        RequestHash::of(&InvocationId::hashed(&number.to_le_bytes()), KEYSPACE, b"key")
    }

    fn remember(invocations: &mut Invocations, number: u64, at_ms: u64) {
        invocations.remember(request(number), (number, at_ms), 100);
    }

    #[test]
    fn a_request_is_known_by_its_id_and_what_it_wrote() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        assert_eq!(invocations.find(request(1)), Some(1));
        assert_eq!(invocations.find(request(2)), None);
        let id = InvocationId::hashed(&1_u64.to_le_bytes());
        assert_eq!(invocations.find(RequestHash::of(&id, KEYSPACE, b"other")), None);
        assert_eq!(invocations.find(RequestHash::of(&id, KEYSPACE + 1, b"key")), None);
    }

    #[test]
    fn the_first_effect_stays_the_answer() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        invocations.remember(request(1), (9, 1001), 100);
        assert_eq!(invocations.find(request(1)), Some(1));
        assert_eq!(invocations.oldest_entry(), Some(1));
    }

    #[test]
    fn what_is_old_is_forgotten_by_the_time_of_the_entries() {
        let mut invocations = Invocations::default();
        for number in 1..=10 {
            remember(&mut invocations, number, number * 1000);
        }
        for second in 11..=REMEMBERED_MS / 1000 + 4 {
            invocations.forget_before(second * 1000);
        }
        assert_eq!(invocations.oldest_entry(), Some(4));
        assert_eq!(invocations.find(request(3)), None);
        assert_eq!(invocations.find(request(4)), Some(4));
    }

    #[test]
    fn a_clock_that_jumps_takes_nothing_along() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        remember(&mut invocations, 2, 1000 + 3_600_000);
        invocations.forget_before(1000 + 3_600_000);
        assert_eq!(invocations.oldest_entry(), Some(1));
    }

    #[test]
    fn at_most_so_many_are_remembered() {
        let mut invocations = Invocations::default();
        let count = REMEMBERED_MAX as u64 + 10;
        for number in 1..=count {
            remember(&mut invocations, number, 1000);
        }
        assert_eq!(invocations.oldest_entry(), Some(11));
        assert_eq!(invocations.by_request.len(), REMEMBERED_MAX);
    }

    #[test]
    fn large_entries_are_remembered_for_a_shorter_time_but_the_last_one_always() {
        let mut invocations = Invocations::default();
        let large = REMEMBERED_BYTES_MAX / 2 - 50;
        invocations.remember(request(1), (1, 1000), large);
        invocations.remember(request(2), (2, 1000), large);
        remember(&mut invocations, 3, 1000);
        assert_eq!(invocations.oldest_entry(), Some(1));
        remember(&mut invocations, 4, 1000);
        assert_eq!(invocations.oldest_entry(), Some(2));
        invocations.remember(request(5), (5, 1000), REMEMBERED_BYTES_MAX * 2);
        assert_eq!(invocations.oldest_entry(), Some(5));
        assert_eq!(invocations.find(request(5)), Some(5));
    }

    #[test]
    fn reading_the_log_again_from_the_oldest_entry_gives_the_same() {
        let mut invocations = Invocations::default();
        let times = |number: u64| number * 700;
        for number in 1..=400 {
            remember(&mut invocations, number, times(number));
            invocations.forget_before(times(number));
        }
        let mut again = Invocations::default();
        for number in invocations.oldest_entry().unwrap()..=400 {
            remember(&mut again, number, times(number));
            again.forget_before(times(number));
        }
        assert_eq!(
            (&again.by_request, again.bytes),
            (&invocations.by_request, invocations.bytes)
        );
        assert_eq!(again.oldest_entry(), invocations.oldest_entry());
        // Both forget the same from then on.
        for number in 401..=600 {
            for one in [&mut invocations, &mut again] {
                remember(one, number, times(number));
                one.forget_before(times(number));
            }
            assert_eq!(again.oldest_entry(), invocations.oldest_entry());
        }
    }
}
