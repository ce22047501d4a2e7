//! What clients did: for each key, the operations with the moments at which they began and ended.
//!
//! Invariant: moments are counted, one for each beginning and each end, so that "ended before the other began" is a
//! comparison of numbers and never a tie. An operation whose end nobody saw (a timeout, a crash, an error that leaves it
//! open) has no answer: it may have taken effect, may still do so at any later time, or never.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// A client's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u64);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who did it.
    pub client: Client,
    /// What was asked.
    pub input: I,
    /// The moment at which it began.
    pub began: u64,
    /// The moment at which it ended, and the answer; `None` when nobody knows.
    pub ended: Option<(u64, O)>,
    /// The simulated time at which it began, to be read by people.
    pub began_at: Duration,
}

/// Names an operation that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(u64);

#[derive(Debug)]
struct Recorded<K, I, O> {
    moment: u64,
    operations: BTreeMap<OperationId, (K, Operation<I, O>)>,
}

/// Takes operations down. Clones share it.
#[derive(Debug)]
pub struct History<K, I, O>(Arc<Mutex<Recorded<K, I, O>>>);

impl<K, I, O> Clone for History<K, I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, I, O> Default for History<K, I, O> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Recorded {
            moment: 0,
            operations: BTreeMap::new(),
        })))
    }
}

/// Operations of one key, in the order in which they began.
pub type Operations<I, O> = Vec<Operation<I, O>>;

impl<K: Clone + Ord, I: Clone, O: Clone> History<K, I, O> {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// An operation begins.
    pub fn begin(&self, client: Client, key: K, input: I, now: Duration) -> OperationId {
        let mut recorded = self.0.lock();
        let began = recorded.moment;
        recorded.moment += 1;
        let operation = Operation {
            client,
            input,
            began,
            ended: None,
            began_at: now,
        };
        recorded.operations.insert(OperationId(began), (key, operation));
        OperationId(began)
    }

    /// An operation has ended with an answer. Without this its outcome stays unknown.
    pub fn end(&self, id: OperationId, answer: O) {
        let mut recorded = self.0.lock();
        let moment = recorded.moment;
        recorded.moment += 1;
        if let Some((_, operation)) = recorded.operations.get_mut(&id) {
            operation.ended = Some((moment, answer));
        }
    }

    /// An operation surely has not taken effect, and never will: it is as if it had not been.
    pub fn withdraw(&self, id: OperationId) {
        self.0.lock().operations.remove(&id);
    }

    /// How many operations have begun, without those that were withdrawn.
    pub fn count(&self) -> usize {
        self.0.lock().operations.len()
    }

    /// How many of them have no answer (yet).
    pub fn count_unknown(&self) -> usize {
        let recorded = self.0.lock();
        let unknown = recorded.operations.values();
        unknown.filter(|(_, operation)| operation.ended.is_none()).count()
    }

    /// The operations so far, by key.
    pub fn by_key(&self) -> BTreeMap<K, Operations<I, O>> {
        let mut keys: BTreeMap<K, Operations<I, O>> = BTreeMap::new();
        for (key, operation) in self.0.lock().operations.values() {
            keys.entry(key.clone()).or_default().push(operation.clone());
        }
        keys
    }
}

impl<I: Debug, O: Debug> fmt::Display for Operation<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..", self.began)?;
        match &self.ended {
            Some((moment, answer)) => {
                write!(f, "{moment}] {}: {:?} -> {answer:?}", self.client, self.input)?;
            }
            None => write!(f, "?] {}: {:?} -> unknown", self.client, self.input)?,
        }
        write!(f, " (began at {:?})", self.began_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_kept_by_key_with_moments_that_are_never_equal() {
        let history = History::<&str, u8, u8>::new();
        let now = Duration::ZERO;
        let first = history.begin(Client(1), "a", 1, now);
        let second = history.begin(Client(2), "a", 2, now);
        let refused = history.begin(Client(3), "a", 3, now);
        let other = history.begin(Client(3), "b", 4, now);
        history.end(second, 20);
        history.withdraw(refused);
        history.end(other, 40);
        assert_eq!((history.count(), history.count_unknown()), (3, 1));
        let keys = history.by_key();
        let spans: Vec<_> = keys["a"].iter().map(|one| (one.began, one.ended)).collect();
        assert_eq!(spans, [(0, None), (1, Some((4, 20)))]);
        assert_eq!(keys["b"].len(), 1);
        assert_eq!(
            keys["a"][0].to_string(),
            "[0..?] client 1: 1 -> unknown (began at 0ns)"
        );
        history.end(first, 10);
        assert_eq!(history.count_unknown(), 0);
    }
}
