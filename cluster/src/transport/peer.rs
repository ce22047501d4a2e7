//! What a transport knows about one other node: where it is, what waits for it, how it is reached, what was counted.
//!
//! Invariant: what is told about a peer is told when it changes, not at every attempt. Not here: connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::error::PeerError;
use super::outbox::Outbox;
use super::settings::TransportSettings;
use crate::world::NodeId;

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Nothing is to be sent, and there is no connection.
    Idle,
    /// A connection is being made.
    Connecting,
    /// Messages go out.
    Connected {
        /// The version of the protocol.
        version: u32,
        /// The incarnation of the peer's data directory.
        incarnation: u64,
    },
    /// The last attempt failed, or the connection broke; the next attempt follows when there is something to send and the
    /// wait is over.
    Failing {
        /// Why, for people.
        cause: String,
    },
}

/// What is known and was counted about one node, since the transport was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatistics {
    /// The node.
    pub node: NodeId,
    /// Where it is reached; `None` when it has only called.
    pub address: Option<String>,
    /// How it is reached.
    pub state: PeerState,
    /// Whether its own connection to this node stands.
    pub calls: bool,
    /// Messages handed to a connection.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages that came.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Messages that were dropped: too long, no room, no address, or no connection.
    pub messages_dropped: u64,
    /// Bytes that wait to be sent.
    pub bytes_waiting: usize,
    /// Connections that were made to it.
    pub connections: u64,
    /// The time from the last ping to its answer, on this node's connection.
    pub round_trip: Option<Duration>,
}

/// Numbers that only rise.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) messages_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) messages_dropped: AtomicU64,
    pub(super) connections: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Tells a text only when it differs from the last one.
#[derive(Debug, Default)]
pub(super) struct Announced(Option<String>);

impl Announced {
    /// Whether this is news.
    pub(super) fn is_news(&mut self, text: &str) -> bool {
        if self.0.as_deref() == Some(text) {
            return false;
        }
        self.0 = Some(text.to_owned());
        true
    }

    /// Whether there was something to forget.
    pub(super) fn forget(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// The calls of a peer: the newest one counts.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Numbers the calls.
    pub(super) newest: u64,
    /// How many stand.
    pub(super) standing: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) outbox: Outbox,
    pub(super) counters: Counters,
    pub(super) address: watch::Sender<Option<String>>,
    pub(super) state: watch::Sender<PeerState>,
    pub(super) calls: watch::Sender<Calls>,
    /// Set when the node has left the cluster.
    pub(super) gone: watch::Sender<bool>,
    /// Something says that the next attempt may be of use.
    pub(super) nudge: Notify,
    round_trip: Mutex<Option<Duration>>,
    announced: Mutex<Announced>,
}

impl Peer {
    pub(super) fn new(node: NodeId, settings: &TransportSettings) -> Self {
        Self {
            node,
            outbox: Outbox::new(settings.queue_urgent_bytes_max, settings.queue_bulk_bytes_max),
            counters: Counters::default(),
            address: watch::Sender::new(None),
            state: watch::Sender::new(PeerState::Idle),
            calls: watch::Sender::new(Calls::default()),
            gone: watch::Sender::new(false),
            nudge: Notify::new(),
            round_trip: Mutex::new(None),
            announced: Mutex::new(Announced::default()),
        }
    }

    /// Is ready when the node's address is known.
    pub(super) async fn known_address(&self) -> String {
        let mut address = self.address.subscribe();
        loop {
            if let Some(address) = address.borrow_and_update().clone() {
                return address;
            }
            if address.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Is ready when the node has left the cluster.
    pub(super) async fn left(&self) {
        raised(&self.gone).await;
    }

    pub(super) fn set_idle(&self) {
        self.state.send_replace(PeerState::Idle);
    }

    pub(super) fn set_connecting(&self) {
        self.state.send_replace(PeerState::Connecting);
    }

    pub(super) fn set_connected(&self, address: &str, version: u32, incarnation: u64) {
        self.announced.lock().forget();
        add(&self.counters.connections, 1);
        tracing::info!(node = %self.node, %address, version, "connected to node");
        self.state
            .send_replace(PeerState::Connected { version, incarnation });
    }

    pub(super) fn set_failing(&self, error: &PeerError) {
        let cause = error.to_string();
        if self.announced.lock().is_news(&cause) {
            tracing::warn!(node = %self.node, "no connection to node {}: {cause}", self.node);
        }
        self.state.send_replace(PeerState::Failing { cause });
    }

    pub(super) fn set_round_trip(&self, time: Duration) {
        *self.round_trip.lock() = Some(time);
    }

    /// Throws away what waits: it would be stale when a connection stands again.
    pub(super) fn drop_waiting(&self) {
        add(&self.counters.messages_dropped, self.outbox.clear());
    }

    pub(super) fn statistics(&self) -> PeerStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerStatistics {
            node: self.node,
            address: self.address.borrow().clone(),
            state: self.state.borrow().clone(),
            calls: self.calls.borrow().standing > 0,
            messages_sent: read(&self.counters.messages_sent),
            bytes_sent: read(&self.counters.bytes_sent),
            messages_received: read(&self.counters.messages_received),
            bytes_received: read(&self.counters.bytes_received),
            messages_dropped: read(&self.counters.messages_dropped),
            bytes_waiting: self.outbox.bytes(),
            connections: read(&self.counters.connections),
            round_trip: *self.round_trip.lock(),
        }
    }
}

/// Is ready when a flag is raised.
pub(super) async fn raised(flag: &watch::Sender<bool>) {
    let mut flag = flag.subscribe();
    if flag.wait_for(|raised| *raised).await.is_err() {
        // The sender is borrowed by the caller, so that it is there.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_news_is_told_once() {
        let mut announced = Announced::default();
        assert!(announced.is_news("away") && !announced.is_news("away"));
        assert!(announced.is_news("expired") && announced.is_news("away"));
        assert!(announced.forget() && !announced.forget());
        assert!(announced.is_news("away"));
    }
}
