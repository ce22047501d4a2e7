//! A cluster in its world: what a seed makes of it, its machines, and the people who use it.
//!
//! Invariant: everything here follows from the seed. How a node is made is an argument, so that the tests of the scenario
//! can bring nodes that are wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::ring::RangeBits;
use stator_cluster::{Durability, Inbox, NodeId};

use super::bank::Ledger;
use super::deriving::Deriving;
use super::everyone::{Everyone, Running};
use super::node::Node;
use super::work::Keys;
use crate::history::History;
use crate::kernel::{Boot, Control, Machine, Settings, Simulation, Started};
use crate::random::{Seed, Spread};
use crate::scenario::Run;

/// A disk that takes its time, so that a power cut finds something that is not synced.
const DISK_TURN: Spread = Spread {
    least: Duration::from_micros(300),
    usual: Duration::from_millis(6),
    tail_ppm: 30_000,
    tail: Duration::from_millis(60),
};

/// A run with more events than this never ends: the longest ones have a tenth of it.
const EVENTS_MAX: u64 = 10_000_000;

/// What a seed makes of the cluster and its clients.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// All nodes that there ever are.
    pub(super) nodes: Vec<NodeId>,
    /// Those that do not found the cluster, but join it later.
    pub(super) joiners: Vec<NodeId>,
    /// How many replicas a range has.
    pub(super) replication: u8,
    /// How many bits of a token make its range.
    pub(super) range_bits: RangeBits,
    pub(super) clients: u64,
    pub(super) keys: Keys,
    pub(super) think_ms_max: u64,
    pub(super) durability: Durability,
    /// Whether logs that are not synced for each write are synced once a second only.
    pub(super) syncs_seldom: bool,
    /// What follows from writes, if anything does.
    pub(super) deriving: Option<Arc<Deriving>>,
}

impl Shape {
    /// Three nodes, sometimes five; few ranges; as many clients as a checker can follow.
    pub(super) fn of(seed: Seed) -> Self {
        let mut stream = seed.stream("shape", 0);
        let nodes = if stream.chance(150_000) { 5 } else { 3 };
        let bits = RangeBits::new(if stream.chance(700_000) { 1 } else { 2 });
        let clients = stream.between(4, 8);
        Self {
            nodes: (1..=nodes).map(NodeId).collect(),
            joiners: Vec::new(),
            replication: 3,
            range_bits: bits.unwrap_or(RangeBits::MIN),
            clients,
            keys: Keys {
                cells: stream.between(2, 5),
                counters: stream.between(1, 2),
                clients,
                all_of_ten: 1,
            },
            think_ms_max: stream.between(40, 200),
            durability: Durability::Sync,
            syncs_seldom: false,
            deriving: None,
        }
    }
}

impl Shape {
    /// The nodes that found the cluster.
    pub(super) fn founders(&self) -> impl Iterator<Item = NodeId> {
        let nodes = self.nodes.iter().copied();
        nodes.filter(|node| !self.joiners.contains(node))
    }
}

/// What a machine has become once its node is open.
pub(super) struct Opened {
    /// What clients ask.
    pub(super) node: Arc<dyn Node>,
    /// What other nodes speak to.
    pub(super) inbox: Arc<dyn Inbox>,
}

/// Why a node cannot be opened.
pub(super) struct CannotOpen {
    pub(super) cause: String,
    /// Its disk has other bytes than were written. Anything else fails the run.
    pub(super) is_damage: bool,
}

impl From<String> for CannotOpen {
    fn from(cause: String) -> Self {
        Self {
            cause,
            is_damage: false,
        }
    }
}

/// Opens a node of the cluster.
pub(super) type Builder = Arc<dyn Fn(&Boot, &Shape, &Control) -> Result<Opened, CannotOpen> + Send + Sync>;

/// The inbox of a node that has not been opened.
#[derive(Debug)]
struct Deaf;

impl Inbox for Deaf {
    fn receive(&self, _from: NodeId, _message: Bytes) {}
}

fn machine(builder: &Builder, shape: &Shape, control: &Control, running: &Running) -> Machine {
    let (builder, shape) = (Arc::clone(builder), shape.clone());
    let (control, running) = (control.clone(), Arc::clone(running));
    Arc::new(move |boot| {
        let opened = match builder(&boot, &shape, &control) {
            Err(CannotOpen {
                cause,
                is_damage: true,
            }) => {
                control.note_fault(format!("node {} ends: {cause}", boot.node));
                running.lock().remove(&boot.node);
                return Ok(Started {
                    inbox: Arc::new(Deaf),
                    hook: None,
                });
            }
            opened => opened.map_err(|why| why.cause)?,
        };
        running.lock().insert(boot.node, Arc::downgrade(&opened.node));
        let node = opened.node;
        Ok(Started {
            inbox: opened.inbox,
            hook: Some(Arc::new(move || node.turn())),
        })
    })
}

/// A world with a cluster whose nodes all have started.
pub(super) fn world(run: &Run, shape: &Shape, builder: &Builder) -> (Simulation, Everyone) {
    let settings = Settings {
        trace: run.trace,
        disk_turn: DISK_TURN,
        events_max: EVENTS_MAX,
        ..Settings::default()
    };
    let simulation = Simulation::new(run.seed, settings);
    let control = simulation.control().clone();
    let running = Running::default();
    for node in &shape.nodes {
        control.add_node(*node, machine(builder, shape, &control, &running));
    }
    for node in shape.founders() {
        control.start(node);
    }
    let everyone = Everyone {
        world: control.outside(),
        nodes: shape.nodes.clone().into(),
        history: History::new(),
        glimpses: Arc::default(),
        busy: Arc::default(),
        control,
        running,
        deriving: shape.deriving.clone(),
        ledger: Ledger::default(),
    };
    (simulation, everyone)
}
