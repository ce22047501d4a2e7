//! The sending half: requests that wait for answers, and batches of messages of groups.
//!
//! Invariant: messages of groups to one node are handed to the network in the order of the calls. Nothing here waits but
//! a request for its own answer. Not here: what is received (`dispatch`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::batch::{Filled, Filling, Outgoing};
use super::envelope::{self, Request, RequestId, Response};
use super::request::{ExchangeError, Outcome, Table};
use super::statistics::{Counters, ExchangeStatistics};
use crate::group::quiet::QuietMessage;
use crate::raft::RaftMessage;
use crate::world::{Network, NodeId, Priority, World};

/// What a node says to others. Clones share one.
///
/// Before [`Exchange::connect`], and after [`Exchange::close`], nothing is sent, as if it were lost on its way.
#[derive(Clone)]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
}

struct Shared {
    world: Arc<dyn World>,
    node: NodeId,
    incarnation: u64,
    network: RwLock<Option<Arc<dyn Network>>>,
    table: Table,
    /// What waits for [`Exchange::flush`]; each peer's is locked while its batches are handed to the network.
    batches: RwLock<BTreeMap<NodeId, Arc<Mutex<Filling>>>>,
    counters: Counters,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("node", &self.shared.node)
            .field("incarnation", &self.shared.incarnation)
            .finish_non_exhaustive()
    }
}

/// A request that waits; leaves the table when it is dropped.
struct Waits<'a> {
    table: &'a Table,
    peer: NodeId,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        drop(self.table.take(self.peer, self.number));
    }
}

impl Exchange {
    /// The exchange of a node in its present start. `incarnation` is never the one of a former start of the node
    /// ([`crate::identity`]).
    pub(crate) fn new(world: Arc<dyn World>, node: NodeId, incarnation: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                world,
                node,
                incarnation,
                network: RwLock::default(),
                table: Table::default(),
                batches: RwLock::default(),
                counters: Counters::default(),
            }),
        }
    }

    /// Sends over this network from now on. It must not deliver within [`Network::send`].
    pub(crate) fn connect(&self, network: Arc<dyn Network>) {
        *self.shared.network.write() = Some(network);
    }

    /// Says where a node is reached.
    pub(crate) fn introduce(&self, node: NodeId, address: &str) {
        let network = self.shared.network.read().clone();
        if let Some(network) = network {
            network.introduce(node, address);
        }
    }

    /// Sends over another network from now on; gives the one before.
    #[cfg(test)]
    pub(crate) fn replace_network(&self, network: Arc<dyn Network>) -> Option<Arc<dyn Network>> {
        self.shared.network.write().replace(network)
    }

    /// Ends all requests by [`ExchangeError::Closed`], and lets go of the network.
    pub(crate) fn close(&self) {
        for sender in self.shared.table.close() {
            sender.send(Err(ExchangeError::Closed)).ok();
        }
        let network = self.shared.network.write().take();
        drop(network);
    }

    /// This node.
    pub(crate) fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Asks another node, and waits for its answer, at most for `patience`. `priority` is that of the request and of its
    /// answer. A future that is dropped forgets the request; it may be carried out all the same. Answer and request share
    /// memory with messages that came along with them: who keeps a part for long copies it.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`]. What the other node answers is in the body, errors of its own included.
    pub(crate) async fn request(
        &self,
        to: NodeId,
        priority: Priority,
        body: Bytes,
        patience: Duration,
    ) -> Result<Bytes, ExchangeError> {
        let shared = &*self.shared;
        debug_assert_ne!(to, shared.node, "a node asks itself without a message");
        let counters = &shared.counters;
        let refused = |error| {
            counters.requests_refused.add(1);
            error
        };
        let bytes = body.len();
        let (number, answer) = shared.table.enter(to).map_err(refused)?;
        let _waits = Waits {
            table: &shared.table,
            peer: to,
            number,
        };
        let id = RequestId {
            incarnation: shared.incarnation,
            number,
        };
        let message = Request { id, priority, body }.encode();
        let message = message.ok_or_else(|| refused(ExchangeError::TooLong { bytes }))?;
        let timeout = shared.world.sleep(patience);
        counters.requests_sent.add(1);
        self.send(to, priority, message);
        let outcome: Outcome = tokio::select! {
            biased;
            // The sender is dropped by nobody but this request.
            outcome = answer => outcome.unwrap_or(Err(ExchangeError::Closed)),
            () = timeout => Err(ExchangeError::NoAnswer { node: to }),
        };
        match outcome {
            Ok(_) => counters.requests_answered.add(1),
            Err(ExchangeError::NoAnswer { .. }) => counters.requests_timed_out.add(1),
            Err(ExchangeError::NotServed { .. }) => counters.requests_not_served.add(1),
            Err(_) => counters.requests_failed.add(1),
        }
        outcome
    }

    /// Ends all requests that wait for a node now by [`ExchangeError::PeerDown`]: it is held to be down, or was started
    /// again, so that nothing that was asked before will be answered. Later requests are sent all the same.
    pub(crate) fn fail_peer(&self, node: NodeId) {
        for sender in self.shared.table.take_all_of(node) {
            sender.send(Err(ExchangeError::PeerDown { node })).ok();
        }
    }

    /// Puts a message of a group into the batch for a node, which [`Exchange::flush`] sends; earlier, when it is full.
    pub(crate) fn send_raft(&self, to: NodeId, group: u32, message: &RaftMessage) {
        self.put(to, group, Outgoing::Raft(message));
    }

    /// The same for a message about resting: it arrives behind those that were put there before it.
    pub(crate) fn send_quiet(&self, to: NodeId, group: u32, message: &QuietMessage) {
        self.put(to, group, Outgoing::Quiet(message));
    }

    fn put(&self, to: NodeId, group: u32, message: Outgoing<'_>) {
        if to == self.shared.node {
            // A replica takes the place of one that its node has lost; for as long as both are members, that one is written to.
            return;
        }
        let filling = self.filling(to);
        let mut filling = filling.lock();
        let Ok(filled) = filling.append(group, message) else {
            self.shared.counters.raft_messages_too_long.add(1);
            let bytes = message.encoded_bytes();
            tracing::error!(group, bytes, %to, "a message of a group is too long and was not sent");
            return;
        };
        self.send_batch(to, filled);
    }

    /// Sends what [`Exchange::send_raft`] has put into batches.
    pub(crate) fn flush(&self) {
        for (to, filling) in &*self.shared.batches.read() {
            let mut filling = filling.lock();
            let filled = filling.take();
            self.send_batch(*to, filled);
        }
    }

    /// The network as gossip gets it: what it sends is marked as gossip.
    pub(crate) fn gossip_network(&self) -> Arc<dyn Network> {
        Arc::new(GossipNetwork(self.clone()))
    }

    /// What has been sent and received.
    pub(crate) fn statistics(&self) -> ExchangeStatistics {
        self.shared.counters.read(self.shared.table.len())
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Hands an answer to the request that it is for.
    pub(super) fn on_response(&self, from: NodeId, response: Response) {
        let shared = &*self.shared;
        let is_ours = response.id.incarnation == shared.incarnation;
        let sender = is_ours
            .then(|| shared.table.take(from, response.id.number))
            .flatten();
        let outcome = response.body.ok_or(ExchangeError::NotServed { node: from });
        if sender.is_none_or(|sender| sender.send(outcome).is_err()) {
            shared.counters.answers_unwanted.add(1);
        }
    }

    pub(super) fn send(&self, to: NodeId, priority: Priority, message: Bytes) {
        let network = self.shared.network.read().clone();
        if let Some(network) = network {
            network.send(to, priority, message);
        }
    }

    fn filling(&self, to: NodeId) -> Arc<Mutex<Filling>> {
        if let Some(filling) = self.shared.batches.read().get(&to) {
            return Arc::clone(filling);
        }
        Arc::clone(self.shared.batches.write().entry(to).or_default())
    }

    fn send_batch(&self, to: NodeId, filled: Option<Filled>) {
        if let Some(Filled { bytes, messages }) = filled {
            self.shared.counters.raft_messages_sent.add(messages);
            self.shared.counters.raft_batches_sent.add(1);
            self.send(to, Priority::Urgent, bytes);
        }
    }
}

struct GossipNetwork(Exchange);

impl fmt::Debug for GossipNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GossipNetwork").field(&self.0).finish()
    }
}

impl Network for GossipNetwork {
    fn send(&self, to: NodeId, priority: Priority, message: Bytes) {
        self.0.send(to, priority, envelope::gossip(&message));
    }

    fn introduce(&self, node: NodeId, address: &str) {
        let network = self.0.shared.network.read().clone();
        if let Some(network) = network {
            network.introduce(node, address);
        }
    }
}
