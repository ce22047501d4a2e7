//! The way to other nodes in real clusters: mutual TLS 1.3, HTTP/2, batches of messages (`docs/format/transport.md`).
//!
//! Each node calls each peer that it has something to say to, and is called by it; a connection carries messages one way,
//! on one stream for each priority. [`Transport`] is the [`Network`] of a running node; what others send goes to its
//! [`Inbox`]. Invariant: a message reaches an inbox only under the node of the verified certificate it came with. Not
//! here: what messages mean, who is a member.

mod backoff;
pub mod certificate;
mod dial;
mod error;
mod frame;
mod hello;
mod identity;
mod listen;
mod outbox;
mod peer;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use error::TransportError;
pub use identity::{CertifiedNode, ClusterId, ClusterIdError};
pub use peer::{PeerState, PeerStatistics};
pub use settings::TransportSettings;
pub use shared::Refusals;
pub use tls::Credentials;

use crate::world::{Inbox, MESSAGE_BYTES_MAX, Network, NodeId, Priority, World};
use peer::add;
use shared::Shared;
use tls::Tls;

/// What is known and was counted, since the transport was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportStatistics {
    /// Every node that was introduced or has called.
    pub peers: Vec<PeerStatistics>,
    /// Messages to nodes that nobody has introduced, which were dropped.
    pub messages_dropped_unknown: u64,
    /// Connections that were refused.
    pub refusals: Refusals,
    /// When this node's certificate expires, in milliseconds since the Unix epoch.
    pub certificate_expires_ms: u64,
}

/// A node's connections to the others. Dropping it ends them.
#[derive(Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    address: SocketAddr,
    unknown: AtomicU64,
}

impl Transport {
    /// Begins to listen, and to call when there is something to send. `incarnation` is told to peers; `listener` and the tasks of
    /// `world` have to be of one tokio runtime. The node's cluster and id are those of its certificate:
    /// [`identity`](Self::identity).
    ///
    /// # Errors
    /// [`TransportError::Setting`] when a setting is out of its range, [`TransportError::Credentials`] when certificate, key
    /// and authority do not belong together, are not of a node, or are not valid now, [`TransportError::Listener`]
    /// when the listener has no address.
    pub fn start(
        world: Arc<dyn World>,
        inbox: Arc<dyn Inbox>,
        settings: TransportSettings,
        credentials: &Credentials,
        incarnation: u64,
        listener: TcpListener,
    ) -> Result<Self, TransportError> {
        let versions = hello::VERSIONS.to_vec();
        Self::start_with_versions(
            world,
            inbox,
            settings,
            credentials,
            incarnation,
            listener,
            versions,
        )
    }

    fn start_with_versions(
        world: Arc<dyn World>,
        inbox: Arc<dyn Inbox>,
        settings: TransportSettings,
        credentials: &Credentials,
        incarnation: u64,
        listener: TcpListener,
        versions: Vec<u32>,
    ) -> Result<Self, TransportError> {
        settings.validate()?;
        let tls = Tls::new(credentials, Arc::clone(&world))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(world, inbox, settings, incarnation, versions, tls));
        shared.spawn(listen::run(Arc::clone(&shared), listener));
        Ok(Self {
            shared,
            address,
            unknown: AtomicU64::new(0),
        })
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The node that this node's certificate is for.
    pub fn identity(&self) -> CertifiedNode {
        self.shared.tls.load().identity.clone()
    }

    /// Takes other certificates into use. Connections of this node are made anew, after what they are about to send; those
    /// of others go on as long as their certificates are good in the eyes of the new authority.
    ///
    /// # Errors
    /// [`TransportError::Credentials`] when they are of no use, or of another node; those in use stay.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), TransportError> {
        let tls = Tls::new(credentials, Arc::clone(&self.shared.world))?;
        let identity = self.identity();
        if tls.identity != identity {
            return Err(TransportError::Credentials {
                what: "certificate",
                cause: format!("it is for {}, while this is {identity}", tls.identity),
            });
        }
        self.shared.tls.store(Arc::new(tls));
        self.shared.renewals.send_modify(|renewal| *renewal += 1);
        Ok(())
    }

    /// Ends all connections with a node that has left the cluster, and forgets its address. It may still call: whether a
    /// node is a member is for the inbox to judge.
    pub fn forget(&self, node: NodeId) {
        self.shared.forget(node);
    }

    /// How a node is reached, to be watched; `None` when it was neither introduced nor has called.
    pub fn state(&self, node: NodeId) -> Option<watch::Receiver<PeerState>> {
        self.shared.find(node).map(|peer| peer.state.subscribe())
    }

    /// The connections that were refused, to be watched.
    pub fn refusals(&self) -> watch::Receiver<Refusals> {
        self.shared.refusals.subscribe()
    }

    /// What is known and was counted.
    pub fn statistics(&self) -> TransportStatistics {
        TransportStatistics {
            peers: self.shared.peers().iter().map(|peer| peer.statistics()).collect(),
            messages_dropped_unknown: self.unknown.load(Ordering::Relaxed),
            refusals: self.shared.refusals.borrow().clone(),
            certificate_expires_ms: self.shared.tls.load().expires_ms,
        }
    }

    /// Ends all connections and stops listening; when it is ready, the address is free. What waits to be sent is dropped.
    pub async fn close(&self) {
        self.shared.stop.send_replace(true);
        self.shared.ended().await;
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
    }
}

impl Network for Transport {
    fn send(&self, to: NodeId, priority: Priority, message: Bytes) {
        let Some(peer) = self.shared.find(to) else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let reachable = message.len() <= MESSAGE_BYTES_MAX && peer.address.borrow().is_some();
        if !reachable || !peer.outbox.push(priority, message) {
            add(&peer.counters.messages_dropped, 1);
        }
    }

    fn introduce(&self, node: NodeId, address: &str) {
        if node == self.shared.tls.load().identity.node {
            return;
        }
        let changed = self.shared.peer(node).address.send_if_modified(|known| {
            let changed = known.as_deref() != Some(address);
            if changed {
                *known = Some(address.to_owned());
            }
            changed
        });
        if changed && let Some(peer) = self.shared.find(node) {
            peer.nudge.notify_one();
        }
    }
}
