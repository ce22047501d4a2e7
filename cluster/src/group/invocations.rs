//! Which requests have taken effect lately, so that one that is sent again does not take effect twice.
//!
//! Invariant: the same entries in the same order leave the same memory, on every replica and after every start, as long as
//! the log is kept from [`Invocations::oldest_entry`] on, and what was noted before is read first. Pure: the time is that
//! of the entries. Not here: deciding what to answer, keeping notes (`note.rs`).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::note::{Note, Noted};
use crate::command::InvocationId;
use crate::seldom::Queue;

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

/// An answer of so many bytes is remembered with its request, so that a note of it needs no look into the log. Most say
/// that it was done, and what it has cost.
const ANSWER_BYTES_MAX: usize = 64;

/// Which request and which cell: the hash of both, as a batch may write many cells under one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestHash(u128);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Remembered {
    /// By [`Invocations::passed_ms`].
    at_ms: u64,
    /// The time of its entry, or a later one.
    entry_at_ms: u64,
    request: RequestHash,
    index: u64,
    bytes: u64,
    /// If it is short.
    answer: Option<Box<[u8]>>,
}

/// The entry of each request.
#[derive(Debug, Default, PartialEq)]
struct ByRequest(HashMap<RequestHash, u64>);

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Invocations {
    /// `None` if nothing is remembered, as in most groups that rest.
    by_request: Option<Box<ByRequest>>,
    /// In the order of the entries.
    order: Queue<Remembered>,
    /// Of all entries in `order`.
    bytes: u64,
    /// How much time has passed with the entries so far; where it began means nothing.
    passed_ms: u64,
    /// The time of the last entry.
    last_at_ms: Option<u64>,
    /// Requests of entries up to this one are in the note that this node has.
    noted: u64,
    /// What was forgotten is of entries of this time at the latest. It may be a later one after a start.
    forgotten_at_ms: u64,
    /// Whether there were entries before the first one that is read, of which nothing is known.
    begins_late: bool,
}

impl Invocations {
    /// Takes note of a request that has taken effect with entry `index` of `bytes` bytes at `at_ms`, with its answer.
    /// Entries come in their order.
    pub(crate) fn remember(
        &mut self,
        request: RequestHash,
        (index, at_ms): (u64, u64),
        (bytes, answer): (u64, &[u8]),
    ) {
        // One that was remembered already has taken effect once; that is the answer it has got.
        if self.find(request).is_some() {
            return;
        }
        self.pass(at_ms);
        let by_request = self.by_request.get_or_insert_default();
        by_request.0.insert(request, index);
        self.order.push_back(Remembered {
            at_ms: self.passed_ms,
            entry_at_ms: at_ms,
            request,
            index,
            bytes,
            answer: (answer.len() <= ANSWER_BYTES_MAX).then(|| answer.into()),
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

    /// The log is read from its middle on: there may have been requests before.
    pub(crate) fn begin_late(&mut self) {
        self.begins_late = true;
    }

    /// The first entry has this time, or if there was none, the last one that is known of.
    pub(crate) fn begin_at(&mut self, at_ms: u64) {
        if std::mem::take(&mut self.begins_late) {
            self.forgotten_at_ms = self.forgotten_at_ms.max(at_ms);
        }
    }

    /// Whether all requests are remembered that have taken effect at this time or later.
    pub(crate) fn reaches_back_to(&self, at_ms: u64) -> bool {
        self.forgotten_at_ms < at_ms
    }

    /// An entry has this time.
    fn pass(&mut self, at_ms: u64) {
        self.begin_at(at_ms);
        let last_ms = self.last_at_ms.replace(at_ms).unwrap_or(at_ms);
        self.passed_ms += at_ms.saturating_sub(last_ms).min(STEP_MS_MAX);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            if let Some(by_request) = &mut self.by_request {
                by_request.0.remove(&oldest.request);
            }
            self.bytes -= oldest.bytes;
            self.forgotten_at_ms = self.forgotten_at_ms.max(oldest.entry_at_ms);
        }
    }

    /// Lets go of the memory that it does not use.
    pub(crate) fn shed(&mut self) {
        if self.order.is_empty() {
            self.by_request = None;
        }
        self.order.shed();
    }

    /// The entry with which a request has taken effect.
    pub(crate) fn find(&self, request: RequestHash) -> Option<u64> {
        self.by_request.as_ref()?.0.get(&request).copied()
    }

    /// The entry of the oldest request that is remembered and not noted: a start that reads the note, and the log from here
    /// on, remembers the same.
    pub(crate) fn oldest_entry(&self) -> Option<u64> {
        let first = self.order.partition_point(|one| one.index <= self.noted);
        self.order.get(first).map(|oldest| oldest.index)
    }

    /// What is to be noted when the entries up to `upto` have been taken; `at_ms` goes with it. Answers that are not short
    /// are missing.
    pub(crate) fn note(&self, upto: u64, at_ms: u64) -> Note {
        let noted = |one: &Remembered| Noted {
            request: one.request,
            index: one.index,
            at_ms: one.at_ms,
            bytes: one.bytes,
            answer: one.answer.as_deref().map(Bytes::copy_from_slice),
        };
        Note {
            upto,
            at_ms,
            passed_ms: self.passed_ms,
            last_at_ms: self.last_at_ms,
            requests: self.order.iter().map(noted).collect(),
        }
    }

    /// The note of the entries up to `upto` is kept.
    pub(crate) fn is_noted(&mut self, upto: u64) {
        self.noted = self.noted.max(upto);
    }

    /// The entry up to which the note says everything.
    pub(crate) fn noted(&self) -> u64 {
        self.noted
    }

    /// The memory as it was noted.
    pub(crate) fn of_note(note: &Note) -> Self {
        let last_at_ms = note.last_at_ms.unwrap_or(note.at_ms);
        // No more time has passed by the count than by the times of the entries.
        let at_latest = |noted: &Noted| last_at_ms.saturating_sub(note.passed_ms.saturating_sub(noted.at_ms));
        let remembered = |noted: &Noted| Remembered {
            at_ms: noted.at_ms,
            entry_at_ms: at_latest(noted),
            request: noted.request,
            index: noted.index,
            bytes: noted.bytes,
            answer: (noted.answer.as_deref())
                .filter(|answer| answer.len() <= ANSWER_BYTES_MAX)
                .map(Into::into),
        };
        let requests = note.requests.iter();
        let by_request = requests.clone().map(|noted| (noted.request, noted.index));
        let order: VecDeque<_> = requests.clone().map(remembered).collect();
        Self {
            by_request: (!order.is_empty()).then(|| Box::new(ByRequest(by_request.collect()))),
            order: order.into(),
            bytes: requests.map(|noted| noted.bytes).sum(),
            passed_ms: note.passed_ms,
            last_at_ms: note.last_at_ms,
            noted: note.upto,
            forgotten_at_ms: note.requests.first().map_or(last_at_ms, at_latest),
            begins_late: false,
        }
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

    /// What it is in a note.
    pub(crate) fn number(self) -> u128 {
        self.0
    }

    /// The hash that a note has.
    pub(crate) fn from_number(number: u128) -> Self {
        Self(number)
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
        invocations.remember(request(number), (number, at_ms), (100, &number.to_le_bytes()));
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
        invocations.remember(request(1), (9, 1001), (100, b""));
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
    fn it_is_known_how_far_back_the_memory_reaches() {
        let mut invocations = Invocations::default();
        for number in 1..=10 {
            remember(&mut invocations, number, number * 1000);
        }
        assert!(invocations.reaches_back_to(1), "nothing is forgotten");
        for second in 11..=REMEMBERED_MS / 1000 + 4 {
            invocations.forget_before(second * 1000);
        }
        assert!(!invocations.reaches_back_to(3000), "the third is forgotten");
        assert!(invocations.reaches_back_to(3001));
        // The note does not say when the third was, but it was not later than the fourth.
        let again = Invocations::of_note(&invocations.note(10, 10_000));
        assert!(!again.reaches_back_to(4000) && again.reaches_back_to(4001));
        assert!(Invocations::of_note(&Note::default()).reaches_back_to(1));
    }

    #[test]
    fn what_was_before_the_beginning_of_the_log_may_be_forgotten() {
        let mut invocations = Invocations::default();
        invocations.begin_late();
        remember(&mut invocations, 7, 7000);
        remember(&mut invocations, 8, 8000);
        assert!(!invocations.reaches_back_to(7000) && invocations.reaches_back_to(7001));
        let mut empty = Invocations::default();
        empty.begin_late();
        empty.begin_at(9000);
        remember(&mut empty, 10, 10_000);
        assert!(!empty.reaches_back_to(9000) && empty.reaches_back_to(9001));
    }

    #[test]
    fn what_is_remembered_is_not_shed() {
        let mut invocations = Invocations::default();
        remember(&mut invocations, 1, 1000);
        invocations.shed();
        assert_eq!(invocations.find(request(1)), Some(1));
        invocations.forget_oldest();
        invocations.shed();
        assert!(invocations.by_request.is_none() && invocations.order.is_shed());
        assert_eq!(invocations.find(request(1)), None);
        remember(&mut invocations, 2, 2000);
        assert_eq!(
            (invocations.find(request(2)), invocations.oldest_entry()),
            (Some(2), Some(2))
        );
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
        assert_eq!(invocations.by_request.unwrap().0.len(), REMEMBERED_MAX);
    }

    #[test]
    fn large_entries_are_remembered_for_a_shorter_time_but_the_last_one_always() {
        let mut invocations = Invocations::default();
        let large = REMEMBERED_BYTES_MAX / 2 - 50;
        invocations.remember(request(1), (1, 1000), (large, b""));
        invocations.remember(request(2), (2, 1000), (large, b""));
        remember(&mut invocations, 3, 1000);
        assert_eq!(invocations.oldest_entry(), Some(1));
        remember(&mut invocations, 4, 1000);
        assert_eq!(invocations.oldest_entry(), Some(2));
        invocations.remember(request(5), (5, 1000), (REMEMBERED_BYTES_MAX * 2, b""));
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

    #[test]
    fn reading_the_note_and_what_comes_behind_it_gives_the_same() {
        let mut invocations = Invocations::default();
        let times = |number: u64| number * 700;
        for number in 1..=400 {
            remember(&mut invocations, number, times(number));
            invocations.forget_before(times(number));
        }
        invocations.remember(request(401), (401, times(401)), (100, &[0; ANSWER_BYTES_MAX + 1]));
        let mut note = invocations.note(401, times(401));
        let missing = note.requests.iter_mut().filter(|noted| noted.answer.is_none());
        let missing: Vec<_> = missing.map(|noted| noted.answer.insert(Bytes::new())).collect();
        assert_eq!(missing.len(), 1, "a long answer is remembered");
        invocations.is_noted(401);
        assert_eq!(invocations.oldest_entry(), None);
        let mut again = Invocations::of_note(&Note::decode(note.encode().into()).unwrap());
        for number in 402..=900 {
            for one in [&mut invocations, &mut again] {
                remember(one, number, times(number));
                one.forget_before(times(number));
            }
            assert_eq!(
                (&again.by_request, again.bytes, again.oldest_entry()),
                (
                    &invocations.by_request,
                    invocations.bytes,
                    invocations.oldest_entry()
                )
            );
        }
        assert!(invocations.oldest_entry() > Some(402), "nothing was forgotten");
    }
}
