//! The hand that a scenario and its faults have on the simulated world.
//!
//! Invariant: everything that is done here goes into the trace. Clones act on one world. Whatever belongs to a node has to
//! run as the node (`spawn_on`, its inbox, its hook), so that it ends when the node crashes and waits when it is paused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::{NodeId, Task, World};
use stator_storage::vfs::mem::{MemVfs, Unsynced};

use super::disk::{Gate, GatedDisk};
use super::node::{ArmedCut, Boot, Condition, Machine, Node, address};
use super::state::{Event, Owner, State};
use super::world::{Shared, SimulatedNetwork, SimulatedWorld};
use crate::random::{Seed, Stream, nanoseconds};
use crate::trace::Record;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what it has written is there, synced or not.
    Kill,
    /// The machine loses power: what was not synced becomes this.
    PowerCut(Unsynced),
    /// The machine is replaced: it has an empty disk.
    Wipe,
}

/// Acts on a simulation. See [`super::Simulation::control`].
#[derive(Clone)]
pub struct Control {
    shared: Shared,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("now", &self.now()).finish()
    }
}

impl Control {
    pub(super) fn new(state: State) -> Self {
        Self {
            shared: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The true time since the run began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.lock().now)
    }

    /// A stream of the run's seed.
    pub fn stream(&self, purpose: &str, number: u64) -> Stream {
        self.shared.lock().seed.stream(purpose, number)
    }

    /// The seed of the run.
    pub fn seed(&self) -> Seed {
        self.shared.lock().seed
    }

    /// The world of clients and operators: its clocks are true, and nothing there crashes.
    pub fn outside(&self) -> Arc<dyn World> {
        let random = self.stream("outside", 0);
        Arc::new(SimulatedWorld::new(
            Arc::clone(&self.shared),
            Owner::Outside,
            random,
        ))
    }

    /// Adds a machine with an empty disk. It runs once it is started. A machine that is there already stays as it is.
    pub fn add_node(&self, id: NodeId, machine: Machine) {
        let mut state = self.shared.lock();
        let (seed, now, drift) = (state.seed, state.now, state.settings.clock_drift_ppm_max);
        state
            .nodes
            .entry(id)
            .or_insert_with(|| Node::new(seed, id, machine, now, drift));
    }

    /// All machines.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.shared.lock().nodes.keys().copied().collect()
    }

    /// Where a node is reached.
    pub fn address(&self, node: NodeId) -> String {
        address(node)
    }

    /// Whether a node is there and not down; a paused one counts.
    pub fn is_up(&self, id: NodeId) -> bool {
        let state = self.shared.lock();
        let node = state.nodes.get(&id);
        node.is_some_and(|node| node.condition != Condition::Down)
    }

    /// How often a node was started; 0 for one that never was.
    pub fn incarnation(&self, id: NodeId) -> u64 {
        self.shared
            .lock()
            .nodes
            .get(&id)
            .map_or(0, |node| node.incarnation)
    }

    /// A node's disk as it is now, to look at.
    pub fn disk(&self, id: NodeId) -> Option<MemVfs> {
        self.shared.lock().nodes.get(&id).map(|node| node.disk.clone())
    }

    /// Starts a node that is down, and says whether it runs. If its machine refuses, the run has failed.
    pub fn start(&self, id: NodeId) -> bool {
        let Some((machine, boot)) = self.boot(id) else {
            return false;
        };
        let incarnation = boot.incarnation;
        match machine(boot) {
            Ok(started) => {
                let mut state = self.shared.lock();
                if !state.is_alive(Owner::Node(id, incarnation)) {
                    return false;
                }
                if let Some(node) = state.nodes.get_mut(&id) {
                    node.inbox = Some(started.inbox);
                    node.hook = started.hook;
                }
                state.schedule_turn(id);
                true
            }
            Err(reason) => {
                self.fail(format!("node {id} does not start: {reason}"));
                false
            }
        }
    }

    fn boot(&self, id: NodeId) -> Option<(Machine, Boot)> {
        let mut state = self.shared.lock();
        let seed = state.seed;
        if state.is_closed {
            return None;
        }
        let node = state.nodes.get_mut(&id)?;
        if node.condition != Condition::Down {
            return None;
        }
        node.condition = Condition::Running;
        node.incarnation += 1;
        node.gate = Gate::default();
        node.introduced.clear();
        let incarnation = node.incarnation;
        let owner = Owner::Node(id, incarnation);
        let random = seed.stream("node", id.0).next_u64() ^ incarnation;
        let world = SimulatedWorld::new(
            Arc::clone(&self.shared),
            owner,
            seed.stream("incarnation", random),
        );
        let boot = Boot {
            node: id,
            incarnation,
            world: Arc::new(world),
            network: Arc::new(SimulatedNetwork::new(Arc::clone(&self.shared), owner)),
            disk: Arc::new(GatedDisk::new(node.disk.clone(), node.gate.clone())),
            address: address(id),
        };
        let machine = Arc::clone(&node.machine);
        state.record(Record::Started {
            node: id,
            incarnation,
        });
        Some((machine, boot))
    }

    /// Ends a node: its tasks are dropped, its inbox is gone. A power cut and a loss of the disk also befall a
    /// node that is down.
    pub fn crash(&self, id: NodeId, how: Crash) {
        let remains = self.shared.lock().crash(id, how);
        drop(remains);
    }

    /// Lets a node lose power right after so many further operations of its disk, in the middle of whatever it does.
    pub fn arm_power_cut(&self, id: NodeId, after_operations: u64, unsynced: Unsynced) {
        let mut state = self.shared.lock();
        let Some(node) = state.nodes.get_mut(&id) else {
            return;
        };
        let at_operation = node.disk.operations().saturating_add(after_operations.max(1));
        node.disk.cut_power_after(at_operation);
        node.armed = Some(ArmedCut {
            at_operation,
            unsynced,
        });
        let words = format!("node {id} will lose power after {after_operations} operations of its disk");
        state.record(Record::Fault(words));
    }

    /// Takes back a power cut that has not come.
    pub fn disarm_power_cut(&self, id: NodeId) {
        let mut state = self.shared.lock();
        if let Some(node) = state.nodes.get_mut(&id)
            && node.armed.take().is_some()
        {
            node.disk.cut_power_after(u64::MAX);
            state.record(Record::Fault(format!("node {id} keeps its power")));
        }
    }

    /// Crashes a node whose armed power cut has come.
    pub(super) fn settle_power(&self, id: NodeId) {
        let unsynced = self.shared.lock().power_is_lost(id);
        if let Some(unsynced) = unsynced {
            self.crash(id, Crash::PowerCut(unsynced));
        }
    }

    /// Stops a node's process (`SIGSTOP`): what it does and what it receives waits.
    pub fn pause(&self, id: NodeId) {
        self.halt(id, |_| Condition::Paused, "is paused");
    }

    /// Suspends a node's machine: messages to it are lost, its steady clock goes on, its timers do not.
    pub fn suspend(&self, id: NodeId) {
        self.halt(id, Condition::Suspended, "is suspended");
    }

    fn halt(&self, id: NodeId, condition: impl FnOnce(u64) -> Condition, what: &str) {
        let mut state = self.shared.lock();
        let now = state.now;
        if let Some(node) = state.nodes.get_mut(&id)
            && node.condition == Condition::Running
        {
            node.condition = condition(now);
            state.record(Record::Fault(format!("node {id} {what}")));
        }
    }

    /// Lets a paused or suspended node go on.
    pub fn resume(&self, id: NodeId) {
        let mut state = self.shared.lock();
        if state.resume(id) {
            state.record(Record::Fault(format!("node {id} goes on")));
        }
    }

    /// Cuts one direction between two nodes, or mends it. Messages on the way are lost, too, if it is still cut when they
    /// would arrive.
    pub fn set_cut(&self, from: NodeId, to: NodeId, is_cut: bool) {
        let mut state = self.shared.lock();
        if state.links.is_cut(from, to) != is_cut {
            state.links.set_cut(from, to, is_cut);
            let what = if is_cut { "is cut" } else { "is mended" };
            state.record(Record::Fault(format!("link {from} -> {to} {what}")));
        }
    }

    /// Makes one direction between two nodes so many times slower than usual; 1 is usual.
    pub fn set_link_slowness(&self, from: NodeId, to: NodeId, factor: u32) {
        let mut state = self.shared.lock();
        state.links.set_slowness(from, to, factor);
        state.record(Record::Fault(format!(
            "link {from} -> {to} is {factor} times as slow"
        )));
    }

    /// Loses so many of a million messages in one direction, beside those that are lost anyway.
    pub fn set_link_loss(&self, from: NodeId, to: NodeId, ppm: u32) {
        let mut state = self.shared.lock();
        state.links.set_extra_loss(from, to, ppm);
        state.record(Record::Fault(format!("link {from} -> {to} loses {ppm} ppm more")));
    }

    /// Has messages of one direction arrive so much later than usual.
    pub fn set_link_delay(&self, from: NodeId, to: NodeId, delay: Duration) {
        let mut state = self.shared.lock();
        state.links.set_extra_delay(from, to, delay);
        state.record(Record::Fault(format!("link {from} -> {to} takes {delay:?} more")));
    }

    /// Makes a node's disk so many times slower than usual; 1 is usual.
    pub fn set_disk_slowness(&self, id: NodeId, factor: u32) {
        let mut state = self.shared.lock();
        if let Some(node) = state.nodes.get_mut(&id) {
            node.disk_slowness = factor.max(1);
            state.record(Record::Fault(format!(
                "node {id}'s disk is {factor} times as slow"
            )));
        }
    }

    /// Turns a node's wall clock, in milliseconds.
    pub fn jump_wall_clock(&self, id: NodeId, by_ms: i64) {
        let mut state = self.shared.lock();
        if let Some(node) = state.nodes.get_mut(&id) {
            node.clock.jump(by_ms);
            state.record(Record::Fault(format!(
                "node {id}'s wall clock jumps by {by_ms} ms"
            )));
        }
    }

    /// Makes a node's steady clock so many parts of a million faster (above 0) or slower than the true time.
    pub fn set_clock_drift(&self, id: NodeId, drift_ppm: i32) {
        let mut state = self.shared.lock();
        let now = state.now;
        if let Some(node) = state.nodes.get_mut(&id) {
            node.clock.set_drift(now, drift_ppm);
            state.record(Record::Fault(format!(
                "node {id}'s clock drifts by {drift_ppm} ppm"
            )));
        }
    }

    /// Runs a task outside of the nodes.
    pub fn spawn(&self, task: Task) {
        let refused = self.shared.lock().spawn(Owner::Outside, task);
        drop(refused);
    }

    /// Runs a task as a part of a node, and says whether the node is up; the task is dropped if not.
    pub fn spawn_on(&self, id: NodeId, task: Task) -> bool {
        let refused = {
            let mut state = self.shared.lock();
            match state.nodes.get(&id).map(|node| node.incarnation) {
                Some(incarnation) => state.spawn(Owner::Node(id, incarnation), task),
                None => Err(task),
            }
        };
        refused.is_ok()
    }

    /// Does something after a while of true time.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&Self) + Send + 'static) {
        let mut state = self.shared.lock();
        if state.is_closed {
            return;
        }
        let at = state.now.saturating_add(nanoseconds(delay));
        state.push(at, Event::Call(Box::new(call)));
    }

    /// Takes words down in the trace, such as the beginning or the end of an operation.
    pub fn note(&self, words: String) {
        self.shared.lock().record(Record::Note(words));
    }

    /// Takes down that a fault begins or ends.
    pub fn note_fault(&self, words: String) {
        self.shared.lock().record(Record::Fault(words));
    }

    /// Ends the run as failed. The first reason counts.
    pub fn fail(&self, reason: String) {
        let mut state = self.shared.lock();
        if state.failure.is_none() {
            let first_line = reason.lines().next().unwrap_or_default();
            state.record(Record::Fault(format!("the run fails: {first_line}")));
            state.failure = Some(reason);
        }
    }
}
