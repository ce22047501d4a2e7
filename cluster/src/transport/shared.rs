//! What all tasks of a transport share.
//!
//! Invariant: a task is counted from before it begins until after it has ended, so that who closes a transport knows when
//! its sockets are free.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::dial;
use super::error::PeerError;
use super::hello::Hello;
use super::peer::{Announced, Peer, raised};
use super::settings::TransportSettings;
use super::tls::Tls;
use crate::world::{Inbox, NodeId, World};

/// So many sources of refused connections are told apart; beyond that, they are told again.
const SOURCES_MAX: usize = 1024;

/// Connections that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// How many, since the transport was started.
    pub count: u64,
    /// Why the last one was refused, for people.
    pub last: Option<String>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Arc<dyn World>,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) settings: TransportSettings,
    pub(super) incarnation: u64,
    pub(super) versions: Vec<u32>,
    pub(super) tls: ArcSwap<Tls>,
    /// Rises whenever `tls` is replaced.
    pub(super) renewals: watch::Sender<u64>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) refusals: watch::Sender<Refusals>,
    peers: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    refused: Mutex<HashMap<IpAddr, Announced>>,
    tasks: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(
        world: Arc<dyn World>,
        inbox: Arc<dyn Inbox>,
        settings: TransportSettings,
        incarnation: u64,
        versions: Vec<u32>,
        tls: Tls,
    ) -> Self {
        Self {
            world,
            inbox,
            settings,
            incarnation,
            versions,
            tls: ArcSwap::from_pointee(tls),
            renewals: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            refusals: watch::Sender::new(Refusals::default()),
            peers: RwLock::new(BTreeMap::new()),
            refused: Mutex::new(HashMap::new()),
            tasks: watch::Sender::new(0),
        }
    }

    pub(super) fn hello(&self) -> Hello {
        let tls = self.tls.load();
        Hello {
            versions: self.versions.clone(),
            cluster: tls.identity.cluster.to_string(),
            node: tls.identity.node.0,
            incarnation: self.incarnation,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(super) fn find(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.read().get(&node).cloned()
    }

    /// The peer, made when there is none, with its task.
    pub(super) fn peer(self: &Arc<Self>, node: NodeId) -> Arc<Peer> {
        if let Some(peer) = self.find(node) {
            return peer;
        }
        let mut peers = self.peers.write();
        if let Some(peer) = peers.get(&node) {
            return Arc::clone(peer);
        }
        let peer = Arc::new(Peer::new(node, &self.settings));
        peers.insert(node, Arc::clone(&peer));
        drop(peers);
        self.spawn(dial::run(Arc::clone(self), Arc::clone(&peer)));
        peer
    }

    pub(super) fn forget(&self, node: NodeId) {
        if let Some(peer) = self.peers.write().remove(&node) {
            peer.gone.send_replace(true);
        }
    }

    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers.read().values().cloned().collect()
    }

    /// Is ready when the transport is closed.
    pub(super) async fn stopped(&self) {
        raised(&self.stop).await;
    }

    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(Arc::clone(self));
        self.world.spawn(Box::pin(async move {
            task.await;
            drop(counted);
        }));
    }

    /// Is ready when all tasks have ended.
    pub(super) async fn ended(&self) {
        let mut tasks = self.tasks.subscribe();
        if tasks.wait_for(|tasks| *tasks == 0).await.is_err() {
            // The sender lives in `self`.
            std::future::pending::<()>().await;
        }
    }

    /// Counts a refused connection, and tells of it when it is refused for another reason than the last one from there.
    pub(super) fn refuse(&self, from: IpAddr, error: &PeerError) {
        let text = error.to_string();
        let mut refused = self.refused.lock();
        if refused.len() >= SOURCES_MAX && !refused.contains_key(&from) {
            refused.clear();
        }
        if refused.entry(from).or_default().is_news(&text) {
            tracing::warn!(%from, "refused a connection from {from}: {text}");
        }
        drop(refused);
        self.refusals.send_modify(|refusals| {
            refusals.count += 1;
            refusals.last = Some(text);
        });
    }

    /// A node was accepted from there: its next refusal is news.
    pub(super) fn accepted(&self, from: IpAddr) {
        if let Some(announced) = self.refused.lock().get_mut(&from) {
            announced.forget();
        }
    }
}

/// Counts a task as long as it lives, also when its runtime is shut down under it.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.tasks.send_modify(|tasks| *tasks += 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.send_modify(|tasks| *tasks -= 1);
    }
}
