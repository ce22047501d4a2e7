//! Which requests have taken effect lately, so that one that is sent again does not take effect twice.
//!
//! Invariant: the same entries in the same order leave the same memory, on every replica and after every start, as long as
//! the log is kept from [`Invocations::oldest_entry`] on. Pure: the time is that of the entries. Not here: deciding what
//! to answer.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::command::InvocationId;

/// A request is remembered for so long. An AWS SDK gives up sooner: by default after three attempts, of which each waits
/// at most 20 seconds for its turn (AWS SDKs and Tools Reference Guide, "Retry behavior").
const REMEMBERED_MS: u64 = 120_000;

/// And as long as there are not so many newer ones.
const REMEMBERED_MAX: usize = 1 << 16;

/// A request that has taken effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The entry of its effect.
    pub index: u64,
    /// What was answered.
    pub answer: Bytes,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Invocations {
    /// By a hash of request, keyspace and key: a batch may write many cells under one id.
    by_request: HashMap<u128, Remembered>,
    /// In the order of the entries, with their times.
    order: VecDeque<(u64, u128, u64)>,
}

impl Invocations {
    /// Takes note of a request that has taken effect with entry `index` at `at_ms`. Entries come in their order.
    pub fn remember(
        &mut self,
        invocation: &InvocationId,
        keyspace: u32,
        key: &[u8],
        (index, at_ms): (u64, u64),
        answer: Bytes,
    ) {
        let request = hash(invocation, keyspace, key);
        // One that was remembered already has taken effect once; that is the answer it has got.
        if self.by_request.contains_key(&request) {
            return;
        }
        self.by_request.insert(request, Remembered { index, answer });
        self.order.push_back((at_ms, request, index));
        while self.order.len() > REMEMBERED_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets what is too old at `at_ms`, the time of an entry.
    pub fn forget_before(&mut self, at_ms: u64) {
        let least = at_ms.saturating_sub(REMEMBERED_MS);
        while self.order.front().is_some_and(|(oldest, ..)| *oldest < least) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, request, _)) = self.order.pop_front() {
            self.by_request.remove(&request);
        }
    }

    /// Whether a request has taken effect, and how.
    pub fn find(&self, invocation: &InvocationId, keyspace: u32, key: &[u8]) -> Option<&Remembered> {
        self.by_request.get(&hash(invocation, keyspace, key))
    }

    /// The entry of the oldest request that is remembered: a start that reads the log from here on remembers the same.
    pub fn oldest_entry(&self) -> Option<u64> {
        self.order.front().map(|(.., index)| *index)
    }
}

/// 128 bits over all that tells requests apart: that two of the few that are remembered fall together is less likely than
/// that the disk's checksums fail.
fn hash(invocation: &InvocationId, keyspace: u32, key: &[u8]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(invocation.as_bytes());
    hasher.update(&keyspace.to_le_bytes());
    hasher.update(key);
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYSPACE: u32 = 3;

    fn id(number: u64) -> InvocationId {
        InvocationId::hashed(&number.to_le_bytes())
    }

    fn remember(invocations: &mut Invocations, number: u64, at_ms: u64) {
        let answer = Bytes::copy_from_slice(&number.to_le_bytes());
        invocations.remember(&id(number), KEYSPACE, b"key", (number, at_ms), answer);
    }

    #[test]
    fn a_request_is_known_by_its_id_and_what_it_wrote() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        let found = invocations.find(&id(1), KEYSPACE, b"key").unwrap();
        assert_eq!((found.index, &found.answer[..]), (1, &1_u64.to_le_bytes()[..]));
        assert!(invocations.find(&id(2), KEYSPACE, b"key").is_none());
        assert!(invocations.find(&id(1), KEYSPACE, b"other").is_none());
        assert!(invocations.find(&id(1), KEYSPACE + 1, b"key").is_none());
    }

    #[test]
    fn the_first_effect_stays_the_answer() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        invocations.remember(&id(1), KEYSPACE, b"key", (9, 1001), Bytes::from_static(b"again"));
        assert_eq!(invocations.find(&id(1), KEYSPACE, b"key").unwrap().index, 1);
        assert_eq!(invocations.oldest_entry(), Some(1));
    }

    #[test]
    fn what_is_old_is_forgotten_by_the_time_of_the_entries() {
        let mut invocations = Invocations::default();
        for number in 1..=10 {
            remember(&mut invocations, number, number * 1000);
        }
        invocations.forget_before(REMEMBERED_MS + 4000);
        assert_eq!(invocations.oldest_entry(), Some(4));
        assert!(invocations.find(&id(3), KEYSPACE, b"key").is_none());
        assert!(invocations.find(&id(4), KEYSPACE, b"key").is_some());
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
            (again.by_request, again.order),
            (invocations.by_request, invocations.order)
        );
    }
}
