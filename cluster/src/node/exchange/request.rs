//! The requests that wait for their answers.
//!
//! Invariant: each request that waits is in the table once, under the node that was asked, and leaves it with its end.
//! Numbers are never given out twice. Whoever waits is woken when the table's lock is free. Not here: sending, the time.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::envelope::REQUEST_BODY_BYTES_MAX;
use crate::world::NodeId;

/// So many requests may wait for answers of one node: more than clients that wait on one node, so that only a node that
/// takes requests and does not answer is cut off.
pub(crate) const WAITING_PER_PEER_MAX: usize = 16_384;

/// Why a request has no answer. Of none but [`ExchangeError::TooMany`], [`ExchangeError::TooLong`] and
/// [`ExchangeError::Closed`] it is certain that the peer has not carried it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Patience is over.
    #[error("node {node} has not answered in time; ask another one, or ask again")]
    NoAnswer {
        /// The node that was asked.
        node: NodeId,
    },
    /// The node is held to be down, or was started again.
    #[error("node {node} went down before it had answered; ask another one")]
    PeerDown {
        /// The node that was asked.
        node: NodeId,
    },
    /// The node says that it does not serve the request now, or that its answer is too long for a message.
    #[error("node {node} does not serve the request now; ask another one, or ask again later")]
    NotServed {
        /// The node that was asked.
        node: NodeId,
    },
    /// There are [`WAITING_PER_PEER_MAX`] requests that wait for this node. Nothing was sent.
    #[error("too many requests wait for node {node}; ask another one, or ask again later")]
    TooMany {
        /// The node that was to be asked.
        node: NodeId,
    },
    /// The body is longer than [`REQUEST_BODY_BYTES_MAX`]. Nothing was sent.
    #[error("a request of {bytes} bytes may have {REQUEST_BODY_BYTES_MAX}; split it")]
    TooLong {
        /// The length of the body.
        bytes: usize,
    },
    /// This node is stopping. Nothing was sent, or nobody listens any more.
    #[error("this node is stopping; ask another one")]
    Closed,
}

/// How a request has ended.
pub(super) type Outcome = Result<Bytes, ExchangeError>;

/// Where a request gets its outcome.
pub(super) type Sender = oneshot::Sender<Outcome>;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    given: u64,
    closed: bool,
    /// No peer without requests.
    waiting: BTreeMap<NodeId, BTreeMap<u64, Sender>>,
}

impl Table {
    /// Enters a request, and gives it a number.
    pub(super) fn enter(&self, peer: NodeId) -> Result<(u64, oneshot::Receiver<Outcome>), ExchangeError> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(ExchangeError::Closed);
        }
        if inner.waiting.get(&peer).map_or(0, BTreeMap::len) >= WAITING_PER_PEER_MAX {
            return Err(ExchangeError::TooMany { node: peer });
        }
        inner.given += 1;
        let number = inner.given;
        let (sender, receiver) = oneshot::channel();
        inner.waiting.entry(peer).or_default().insert(number, sender);
        Ok((number, receiver))
    }

    /// Takes a request out; `None` if it is not there any more, or another node was asked.
    pub(super) fn take(&self, peer: NodeId, number: u64) -> Option<Sender> {
        let mut inner = self.inner.lock();
        let of_peer = inner.waiting.get_mut(&peer)?;
        let sender = of_peer.remove(&number);
        if of_peer.is_empty() {
            inner.waiting.remove(&peer);
        }
        sender
    }

    /// Takes out all that wait for a node, in the order in which they were made.
    pub(super) fn take_all_of(&self, peer: NodeId) -> Vec<Sender> {
        let of_peer = self.inner.lock().waiting.remove(&peer);
        of_peer.into_iter().flat_map(BTreeMap::into_values).collect()
    }

    /// Takes out all, and lets none in any more.
    pub(super) fn close(&self) -> Vec<Sender> {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().flat_map(BTreeMap::into_values).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().waiting.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(2);

    #[test]
    fn numbers_are_never_given_twice() {
        let table = Table::default();
        let (first, _receiver) = table.enter(PEER).unwrap();
        assert!(table.take(PEER, first).is_some());
        let (second, _receiver) = table.enter(PEER).unwrap();
        assert_ne!(first, second);
        assert!(table.take(PEER, first).is_none());
    }

    #[test]
    fn another_node_does_not_end_a_request() {
        let table = Table::default();
        let (number, _receiver) = table.enter(PEER).unwrap();
        assert!(table.take(NodeId(3), number).is_none());
        assert!(table.take_all_of(NodeId(3)).is_empty());
        assert_eq!(table.len(), 1);
        assert_eq!(table.take_all_of(PEER).len(), 1);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_node_that_does_not_answer_gets_a_bounded_number() {
        let table = Table::default();
        let waiting: Vec<_> = (0..WAITING_PER_PEER_MAX)
            .map(|_| table.enter(PEER).unwrap())
            .collect();
        assert!(matches!(
            table.enter(PEER),
            Err(ExchangeError::TooMany { node: PEER })
        ));
        assert!(table.enter(NodeId(3)).is_ok(), "others are not held up");
        assert!(table.take(PEER, waiting[7].0).is_some());
        assert!(table.enter(PEER).is_ok(), "and there is room again");
    }

    #[test]
    fn nothing_is_let_in_after_the_end() {
        let table = Table::default();
        let _waits = table.enter(PEER).unwrap();
        assert_eq!(table.close().len(), 1);
        assert!(matches!(table.enter(PEER), Err(ExchangeError::Closed)));
    }
}
