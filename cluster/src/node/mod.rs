//! A node of the cluster: its groups, what it says to others and what it does with what they say.
//!
//! Invariant: a group is on this node exactly if its log is; a node that lost its directory has none. Not here: the
//! decisions of one group (`group/`, `raft/`), connections (`transport/`), where operations go (`coordinator/`).

pub(crate) mod cuts;
pub(crate) mod exchange;
mod groups;
mod install;
mod load;
pub(crate) mod message;
mod replicas;
pub(crate) mod scrub;
mod serve;
mod serve_moves;
mod serve_transaction;
pub(crate) mod settings;
mod snapshots;
mod start;
mod ticker;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use stator_storage::Engine;
use tokio::sync::{Semaphore, watch};

use self::cuts::Cuts;
use self::exchange::{Dispatch, Exchange, RaftInbox};
use self::load::Load;
use self::scrub::Scrubbing;
use self::settings::{NodeSettings, Surroundings};
use self::snapshots::Snapshots;
use crate::coordinator::forward::Carrier;
use crate::error::Error;
use crate::gossip::{Gossiper, NodeState};
use crate::group::host::{Host, Outbox};
use crate::group::quiet::QuietMessage;
use crate::group::replica::Replica;
use crate::group::snapshot::KeySpan;
use crate::hints::Hints;
use crate::raft::RaftMessage;
use crate::ring::{Layout, RangeBits, RangeId};
use crate::status::MovesStatus;
use crate::world::{Inbox, Network, NodeId};

/// So many replicas are filled at a time.
const FILLED_AT_A_TIME: usize = 2;

/// How far a node has come.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// It waits for this.
    Starting(String),
    /// It serves.
    Ready,
    /// It will not.
    Failed(Arc<Error>),
}

/// What read repair has done since the start.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    /// Reads at QUORUM, of which some are checked.
    pub(crate) reads: AtomicU64,
    pub(crate) checked: AtomicU64,
    pub(crate) repaired: AtomicU64,
}

/// The replicas of this node, by their groups.
pub(crate) type Groups = Vec<Option<Arc<Replica>>>;

/// See the head of the file.
pub(crate) struct Node {
    pub(crate) settings: NodeSettings,
    pub(crate) surroundings: Surroundings,
    pub(crate) engine: Engine,
    pub(crate) exchange: Exchange,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) host: Arc<Host>,
    pub(crate) gossip: OnceLock<Gossiper>,
    pub(crate) hints: Hints,
    pub(crate) repairs: Repairs,
    pub(crate) scrubbing: Scrubbing,
    /// What this node hands out to replicas that wait to be filled.
    snapshots: Snapshots,
    /// What this node keeps of keyspaces as they were at one moment.
    cuts: Cuts,
    /// The groups whose replicas on this node are being filled, or removed.
    installing: Mutex<BTreeSet<u32>>,
    discarding: Mutex<BTreeSet<u32>>,
    /// Who may fill one now.
    filling: Semaphore,
    groups: ArcSwap<Groups>,
    /// Held over a change of the groups.
    changing: Mutex<()>,
    /// Held while groups begin, so that none begins twice.
    beginning: Mutex<()>,
    layout: ArcSwapOption<Layout>,
    /// Up to which epoch this node has begun the groups that it has in the plan of group 0.
    begun_epoch: AtomicU64,
    /// The nodes of group 0, as the plan has them.
    metadata_nodes: ArcSwap<Vec<NodeId>>,
    /// Those on which replicas are to be.
    placeable: ArcSwap<BTreeSet<NodeId>>,
    /// Those that have left.
    departed: ArcSwap<BTreeSet<NodeId>>,
    /// What the latest plan says of moves: a node that leaves loses its replica of the metadata before it has left.
    moves: ArcSwap<MovesStatus>,
    incarnation: AtomicU64,
    /// Whether it has lost its directory.
    is_rejoining: AtomicBool,
    /// Whether the layout counts on it for replicas that it never had and cannot begin any more, so that it needs others in their place.
    has_missed: AtomicBool,
    /// Whether it was told to stop.
    is_stopping: AtomicBool,
    /// Whether it follows the metadata of other nodes because it has none, or none that can be read.
    is_mirroring: AtomicBool,
    /// Whether the replicas that its log knows of are begun.
    has_begun: AtomicBool,
    stage: watch::Sender<Stage>,
    /// What this node has last said of itself.
    said: Mutex<Option<NodeState>>,
    pub(crate) load: Load,
    /// When it was started, in milliseconds since the Unix epoch.
    started_at_ms: u64,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("node", &self.settings.node)
            .finish_non_exhaustive()
    }
}

impl Outbox for Exchange {
    fn send_raft(&self, to: NodeId, group: u32, message: &RaftMessage) {
        Self::send_raft(self, to, group, message);
    }

    fn send_quiet(&self, to: NodeId, group: u32, message: &QuietMessage) {
        Self::send_quiet(self, to, group, message);
    }

    fn flush(&self) {
        Self::flush(self);
    }
}

/// The group of a range.
pub(crate) fn group_of(range: RangeId) -> u32 {
    range.0 + 1
}

/// The span of keys of a group's range; all keys for group 0.
pub(crate) fn key_span(bits: RangeBits, group: u32) -> KeySpan {
    let Some(range) = group.checked_sub(1) else {
        return (Bound::Unbounded, Bound::Unbounded);
    };
    let first = |range| {
        bits.first_token(RangeId(range))
            .map(|token| token.0.to_be_bytes().to_vec())
    };
    (
        first(range).map_or(Bound::Unbounded, Bound::Included),
        first(range + 1).map_or(Bound::Unbounded, Bound::Excluded),
    )
}

impl Node {
    /// Opens the directory and begins to start.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Network`].
    pub(crate) fn open(
        settings: NodeSettings,
        surroundings: Surroundings,
        connect: impl FnOnce(Arc<dyn Inbox>, u64) -> Result<Arc<dyn Network>, String>,
    ) -> Result<Arc<Self>, Error> {
        let engine = start::open_engine(&settings, &surroundings)?;
        // Tells the requests of this process apart from those of the one before.
        let session = surroundings.world.random_u64();
        let exchange = Exchange::new(Arc::clone(&surroundings.world), settings.node, session);
        let dispatch = Arc::new(Dispatch::new(exchange.clone()));
        let found = start::last_incarnation(&surroundings)?;
        let host = start::host(&settings, &surroundings, &engine, &exchange)?;
        let hints = start::hints(&engine)?;
        let started_at_ms = surroundings.world.unix_ms();
        let (stage, _) = watch::channel(Stage::Starting("the directory".to_owned()));
        let node = Arc::new(Self {
            settings,
            surroundings,
            engine,
            exchange,
            dispatch,
            host,
            gossip: OnceLock::new(),
            hints,
            repairs: Repairs::default(),
            scrubbing: Scrubbing::default(),
            snapshots: Snapshots::default(),
            cuts: Cuts::default(),
            installing: Mutex::default(),
            discarding: Mutex::default(),
            filling: Semaphore::new(FILLED_AT_A_TIME),
            groups: ArcSwap::default(),
            changing: Mutex::new(()),
            beginning: Mutex::new(()),
            layout: ArcSwapOption::empty(),
            begun_epoch: AtomicU64::new(0),
            metadata_nodes: ArcSwap::default(),
            placeable: ArcSwap::default(),
            departed: ArcSwap::default(),
            moves: ArcSwap::default(),
            incarnation: AtomicU64::new(0),
            is_rejoining: AtomicBool::new(false),
            has_missed: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            is_mirroring: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            stage,
            said: Mutex::new(None),
            load: Load::default(),
            started_at_ms,
        });
        node.host.set_courier(Arc::new(Carrier::new(&node)));
        let inbox = Arc::clone(&node.dispatch) as Arc<dyn Inbox>;
        let network = connect(inbox, found + 1).map_err(|cause| Error::Network { cause })?;
        let founders = node.settings.founders.iter();
        for founder in founders.filter(|founder| founder.node != node.settings.node) {
            network.introduce(founder.node, &founder.address);
        }
        node.exchange.connect(network);
        node.dispatch
            .set_serve(Arc::new(serve::Server(Arc::downgrade(&node))));
        let starting = Arc::clone(&node);
        node.surroundings.world.spawn(Box::pin(async move {
            if let Err(error) = starting.start().await {
                tracing::error!(%error, "the node does not start");
                starting.stage.send_replace(Stage::Failed(Arc::new(error)));
            }
        }));
        Ok(node)
    }

    /// Is ready when the node serves.
    ///
    /// # Errors
    /// Why it will not.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let mut stages = self.stage.subscribe();
        let settled = stages
            .wait_for(|stage| !matches!(stage, Stage::Starting(_)))
            .await;
        match settled.as_deref() {
            Ok(Stage::Failed(error)) => Err(match &**error {
                Error::HasLeft { node, peer } => Error::HasLeft {
                    node: *node,
                    peer: *peer,
                },
                error if error.is_damage() => Error::DamagedStart {
                    cause: error.to_string(),
                },
                error => Error::Start {
                    cause: error.to_string(),
                },
            }),
            Ok(Stage::Ready | Stage::Starting(_)) => Ok(()),
            Err(_) => Err(Error::Unavailable {
                cause: "the node was closed".to_owned(),
            }),
        }
    }

    /// What the node waits for, to be watched.
    pub(crate) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    fn waits_for(&self, what: &str) {
        tracing::info!(what, "the node waits");
        self.stage.send_replace(Stage::Starting(what.to_owned()));
    }

    /// The replica of a group on this node.
    pub(crate) fn replica(&self, group: u32) -> Option<Arc<Replica>> {
        let groups = self.groups.load();
        groups.get(usize::try_from(group).ok()?)?.clone()
    }

    /// The replica of a group on this node, if it may be read from.
    pub(crate) fn readable(&self, group: u32) -> Option<Arc<Replica>> {
        self.replica(group).filter(|replica| replica.is_readable())
    }

    /// All replicas of this node.
    pub(crate) fn replicas(&self) -> Arc<Groups> {
        self.groups.load_full()
    }

    fn add_replica(&self, replica: Arc<Replica>) {
        let _changing = self.changing.lock();
        let mut groups = Groups::clone(&self.groups.load());
        let place = usize::try_from(replica.group()).unwrap_or(usize::MAX);
        if groups.len() <= place {
            groups.resize(place + 1, None);
        }
        if let Some(group) = groups.get_mut(place) {
            *group = Some(replica);
        }
        self.groups.store(Arc::new(groups));
    }

    fn remove_replica(&self, group: u32) {
        let _changing = self.changing.lock();
        let mut groups = Groups::clone(&self.groups.load());
        let place = usize::try_from(group).unwrap_or(usize::MAX);
        if let Some(group) = groups.get_mut(place) {
            *group = None;
        }
        self.groups.store(Arc::new(groups));
    }

    /// The latest layout that this node knows.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.layout.load_full()
    }

    /// The nodes of group 0, as far as this one knows; none before it has heard of a plan.
    pub(crate) fn metadata_nodes(&self) -> Vec<NodeId> {
        self.metadata_nodes.load().to_vec()
    }

    /// The nodes on which replicas are to be, without those that leave or were given up, as far as this one knows; none before it
    /// has heard of a plan.
    pub(crate) fn placeable(&self) -> Arc<BTreeSet<NodeId>> {
        self.placeable.load_full()
    }

    /// Whether a node has left the cluster.
    pub(crate) fn has_left(&self, node: NodeId) -> bool {
        self.departed.load().contains(&node)
    }

    /// What the latest plan that this node has heard of says of moves.
    pub(crate) fn moves_heard_of(&self) -> MovesStatus {
        MovesStatus::clone(&self.moves.load())
    }

    /// Whether this node follows the metadata of other nodes.
    pub(crate) fn is_mirroring(&self) -> bool {
        self.is_mirroring.load(Ordering::Acquire)
    }

    /// The same as [`Node::layout`] for what cannot be done without one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] before the node knows one.
    pub(crate) fn known_layout(&self) -> Result<Arc<Layout>, Error> {
        self.layout().ok_or_else(|| Error::Unavailable {
            cause: "the node is starting and knows no layout yet".to_owned(),
        })
    }

    /// Whether this node has lost its directory, and with it its replicas; `false` while that is not known yet.
    pub(crate) fn is_rejoining(&self) -> bool {
        self.is_rejoining.load(Ordering::Acquire)
    }

    /// When the node was started, in milliseconds since the Unix epoch.
    pub(crate) fn started_at_ms(&self) -> u64 {
        self.started_at_ms
    }

    /// How often the node was started; 0 while it has no identity yet.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Ends everything but the engine.
    pub(crate) fn close(&self) {
        self.dispatch.close();
        self.groups.store(Arc::default());
    }
}

/// Takes the messages of groups.
#[derive(Debug)]
struct Receiver(Weak<Node>);

impl RaftInbox for Receiver {
    fn receive(&self, from: NodeId, group: u32, message: RaftMessage) {
        if let Some(replica) = self.0.upgrade().and_then(|node| node.replica(group)) {
            replica.receive(from, message);
        }
    }

    fn receive_quiet(&self, from: NodeId, group: u32, message: QuietMessage) {
        if let Some(replica) = self.0.upgrade().and_then(|node| node.replica(group)) {
            replica.receive_quiet(from, message);
        }
    }

    fn batch_end(&self) {
        if let Some(node) = self.0.upgrade() {
            node.exchange.flush();
        }
    }
}
