//! A node as the kernel holds it, and what a scenario gives it.
//!
//! Invariant: a node is a machine (disk, clocks) and at most one incarnation of a process on it. Tasks, timers, inbox and
//! hook belong to an incarnation and end with it; the disk and the clocks stay.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use stator_cluster::{Inbox, Network, NodeId, World};
use stator_storage::vfs::Vfs;
use stator_storage::vfs::mem::{MemVfs, Unsynced};

use super::clock::Clock;
use super::disk::Gate;
use super::state::Event;
use crate::random::{Seed, Stream};

/// What a node starts with.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Its number.
    pub node: NodeId,
    /// How often it was started, this time included.
    pub incarnation: u64,
    /// Its time, randomness and tasks.
    pub world: Arc<dyn World>,
    /// Its way to other nodes.
    pub network: Arc<dyn Network>,
    /// Its disk, with what has survived.
    pub disk: Arc<dyn Vfs>,
    /// Where others reach it, for [`Network::introduce`].
    pub address: String,
}

/// Does what waits for the disk, if anything does, and says whether it did. Called after anything has happened on the
/// node, once the disk's latency has passed, and again until it says no.
pub type Hook = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a node has become once it runs.
#[derive(Clone)]
pub struct Started {
    /// Gets the messages of others.
    pub inbox: Arc<dyn Inbox>,
    /// The node's disk work.
    pub hook: Option<Hook>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("inbox", &self.inbox)
            .field("has_hook", &self.hook.is_some())
            .finish()
    }
}

/// Makes a running node out of what it starts with. An error is why it cannot start, and fails the run: what survives
/// a crash must open again.
pub type Machine = Arc<dyn Fn(Boot) -> Result<Started, String> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Down,
    Running,
    /// The process is stopped; the machine goes on.
    Paused,
    /// The whole machine is suspended, since this true time.
    Suspended(u64),
}

/// A power cut that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArmedCut {
    /// After so many operations of the disk, counted from its making.
    pub(super) at_operation: u64,
    pub(super) unsynced: Unsynced,
}

pub(super) struct Node {
    pub(super) machine: Machine,
    pub(super) incarnation: u64,
    pub(super) condition: Condition,
    pub(super) inbox: Option<Arc<dyn Inbox>>,
    pub(super) hook: Option<Hook>,
    pub(super) is_turn_scheduled: bool,
    pub(super) disk: MemVfs,
    pub(super) gate: Gate,
    pub(super) disk_stream: Stream,
    pub(super) disk_slowness: u32,
    pub(super) armed: Option<ArmedCut>,
    pub(super) clock: Clock,
    pub(super) clock_stream: Stream,
    /// What comes to pass once the node goes on.
    pub(super) waiting: Vec<Event>,
    /// Addresses of others, as far as this incarnation was told.
    pub(super) introduced: BTreeMap<NodeId, String>,
}

impl Node {
    pub(super) fn new(seed: Seed, id: NodeId, machine: Machine, now: u64, drift_ppm_max: u32) -> Self {
        let mut clock_stream = seed.stream("clock", id.0);
        let mut clock = Clock::new(now, uptime(&mut clock_stream));
        let drift = clock_stream.below(u64::from(drift_ppm_max) * 2 + 1);
        let drift = i64::try_from(drift).unwrap_or(0) - i64::from(drift_ppm_max);
        clock.set_drift(now, i32::try_from(drift).unwrap_or(0));
        Self {
            machine,
            incarnation: 0,
            condition: Condition::Down,
            inbox: None,
            hook: None,
            is_turn_scheduled: false,
            disk: MemVfs::new(),
            gate: Gate::default(),
            disk_stream: seed.stream("disk", id.0),
            disk_slowness: 1,
            armed: None,
            clock,
            clock_stream,
            waiting: Vec::new(),
            introduced: BTreeMap::new(),
        }
    }

    /// Whether an armed power cut has come: the disk takes nothing any more, so the machine says nothing any more.
    pub(super) fn has_lost_power(&self) -> bool {
        self.armed
            .is_some_and(|armed| self.disk.operations() >= armed.at_operation)
    }

    /// The machine boots: the steady clock begins anew.
    pub(super) fn reboot(&mut self, now: u64) {
        let shown = uptime(&mut self.clock_stream);
        self.clock.reboot(now, shown);
    }
}

/// How long a machine has been up when its node starts: a few seconds to an hour, in nanoseconds.
fn uptime(stream: &mut Stream) -> u64 {
    stream.between(2_000_000_000, 3_600_000_000_000)
}

/// Where a node is reached.
pub(super) fn address(node: NodeId) -> String {
    format!("node-{node}.sim:7000")
}
