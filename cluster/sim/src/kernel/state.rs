//! What the kernel knows: the queue of events, tasks, timers, nodes, links.
//!
//! Invariant: nothing here runs foreign code. Whatever has to be run, woken or dropped is handed out, so that it happens
//! without the lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::{Inbox, NodeId, Task};
use stator_storage::vfs::mem::{MemVfs, Unsynced};

use super::Settings;
use super::control::{Control, Crash};
use super::link::{Fate, Links};
use super::node::{Condition, Hook, Node, address};
use crate::random::{Seed, Stream, nanoseconds};
use crate::trace::{Lost, Record, Trace};

/// Whom a task or timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Clients and operators: never crash, and have a perfect clock.
    Outside,
    /// One incarnation of a node.
    Node(NodeId, u64),
}

impl Owner {
    pub(super) fn node(self) -> Option<NodeId> {
        match self {
            Self::Outside => None,
            Self::Node(node, _) => Some(node),
        }
    }
}

/// Something a scenario does at a time.
pub(super) type Call = Box<dyn FnOnce(&Control) + Send>;

pub(super) enum Event {
    Poll(u64),
    Timer(u64),
    Deliver(NodeId, NodeId, Bytes),
    /// Of a node's incarnation.
    Turn(NodeId, u64),
    Call(Call),
}

/// What is to be done about an event, without the lock.
pub(super) enum Work {
    Nothing,
    Poll(u64, Task, Waker),
    Wake(Waker),
    Receive(Arc<dyn Inbox>, NodeId, Bytes),
    Turn(NodeId, Hook),
    Call(Call),
}

struct Slot {
    owner: Owner,
    /// Away while it is polled.
    future: Option<Task>,
    waker: Arc<TaskWaker>,
    is_queued: bool,
}

pub(super) struct Timer {
    pub(super) owner: Owner,
    /// By the owner's awake clock.
    pub(super) deadline: u64,
    pub(super) has_fired: bool,
    pub(super) waker: Option<Waker>,
}

/// Tasks that were woken, in order, until the kernel looks.
pub(super) type Woken = Arc<Mutex<Vec<u64>>>;

struct TaskWaker {
    task: u64,
    woken: Woken,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.lock().push(self.task);
    }
}

/// Tasks, inboxes and whatever else is left of an incarnation, to be dropped without the lock.
pub(super) type Remains = Vec<Box<dyn Send>>;

pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) seed: Seed,
    /// True time since the run began, in nanoseconds.
    pub(super) now: u64,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) links: Links,
    pub(super) trace: Trace,
    pub(super) timers: BTreeMap<u64, Timer>,
    pub(super) failure: Option<String>,
    /// The run is over: nothing new is taken.
    pub(super) is_closed: bool,
    pub(super) events: u64,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    tasks: BTreeMap<u64, Slot>,
    next_task: u64,
    next_timer: u64,
    scheduling: Stream,
    woken: Woken,
}

impl State {
    pub(super) fn new(seed: Seed, settings: Settings) -> Self {
        Self {
            settings,
            seed,
            now: 0,
            nodes: BTreeMap::new(),
            links: Links::new(seed, settings.link),
            trace: Trace::new(settings.trace),
            timers: BTreeMap::new(),
            failure: None,
            is_closed: false,
            events: 0,
            queue: BTreeMap::new(),
            next_event: 0,
            tasks: BTreeMap::new(),
            next_task: 0,
            next_timer: 0,
            scheduling: seed.stream("scheduling", 0),
            woken: Woken::default(),
        }
    }

    pub(super) fn record(&mut self, record: Record) {
        self.trace.record(Duration::from_nanos(self.now), record);
    }

    /// Puts an event into the queue, behind all that happen at the same time.
    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.queue.insert((at.max(self.now), self.next_event), event);
        self.next_event += 1;
    }

    pub(super) fn is_alive(&self, owner: Owner) -> bool {
        match owner {
            Owner::Outside => !self.is_closed,
            Owner::Node(id, incarnation) => {
                !self.is_closed
                    && self.nodes.get(&id).is_some_and(|node| {
                        node.incarnation == incarnation && node.condition != Condition::Down
                    })
            }
        }
    }

    /// Takes a task; gives it back when its owner is dead.
    pub(super) fn spawn(&mut self, owner: Owner, task: Task) -> Result<(), Task> {
        if !self.is_alive(owner) {
            return Err(task);
        }
        let id = self.next_task;
        self.next_task += 1;
        let waker = Arc::new(TaskWaker {
            task: id,
            woken: Arc::clone(&self.woken),
        });
        let slot = Slot {
            owner,
            future: Some(task),
            waker,
            is_queued: false,
        };
        self.tasks.insert(id, slot);
        self.queue_poll(id);
        Ok(())
    }

    fn queue_poll(&mut self, task: u64) {
        let Some(slot) = self.tasks.get_mut(&task) else {
            return;
        };
        if !std::mem::replace(&mut slot.is_queued, true) {
            let delay = nanoseconds(self.scheduling.duration(&self.settings.scheduling));
            self.push(self.now.saturating_add(delay), Event::Poll(task));
        }
    }

    /// Puts the tasks that were woken since the last look into the queue.
    pub(super) fn collect_woken(&mut self) {
        let woken = std::mem::take(&mut *self.woken.lock());
        for task in woken {
            self.queue_poll(task);
        }
    }

    /// Gives a polled task back. Hands it out again when it is done or its owner has died meanwhile.
    pub(super) fn polled(&mut self, task: u64, future: Task, is_done: bool) -> Option<Task> {
        if is_done {
            self.tasks.remove(&task);
            return Some(future);
        }
        match self.tasks.get_mut(&task) {
            Some(slot) => {
                slot.future = Some(future);
                None
            }
            None => Some(future),
        }
    }

    /// What an owner's awake clock shows.
    pub(super) fn awake(&self, owner: Owner) -> u64 {
        match owner.node().and_then(|node| self.nodes.get(&node)) {
            Some(node) => node.clock.awake(self.now),
            None => self.now,
        }
    }

    /// When an owner's awake clock shows `deadline`, by the true time.
    fn due(&self, owner: Owner, deadline: u64) -> u64 {
        let left = match owner.node().and_then(|node| self.nodes.get(&node)) {
            Some(node) => node.clock.until(self.now, deadline),
            None => deadline.saturating_sub(self.now),
        };
        self.now.saturating_add(left)
    }

    pub(super) fn set_timer(&mut self, owner: Owner, duration: Duration) -> u64 {
        let id = self.next_timer;
        self.next_timer += 1;
        let deadline = self.awake(owner).saturating_add(nanoseconds(duration));
        if self.is_alive(owner) {
            let timer = Timer {
                owner,
                deadline,
                has_fired: false,
                waker: None,
            };
            self.timers.insert(id, timer);
            self.push(self.due(owner, deadline), Event::Timer(id));
        }
        id
    }

    /// Lets a node's disk have its turn, once its latency has passed.
    pub(super) fn schedule_turn(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.hook.is_none() || std::mem::replace(&mut node.is_turn_scheduled, true) {
            return;
        }
        let latency = nanoseconds(node.disk_stream.duration(&self.settings.disk_turn));
        let latency = latency.saturating_mul(u64::from(node.disk_slowness));
        let turn = Event::Turn(id, node.incarnation);
        self.push(self.now.saturating_add(latency), turn);
    }

    /// A node sends a message.
    pub(super) fn send(&mut self, owner: Owner, to: NodeId, message: Bytes) {
        let Owner::Node(from, _) = owner else {
            return;
        };
        let settings = self.settings;
        let Some(node) = self.nodes.get(&from).filter(|node| !node.has_lost_power()) else {
            return;
        };
        if !self.is_alive(owner) {
            return;
        }
        let is_known = !settings.needs_introductions
            || to == from
            || node.introduced.get(&to).is_some_and(|told| *told == address(to));
        let sent = message.clone();
        self.record(Record::Sent {
            from,
            to,
            message: sent,
        });
        let fate = if !is_known {
            return self.record(Record::Lost {
                from,
                to,
                why: Lost::Stranger,
            });
        } else if to == from {
            let delay = nanoseconds(self.scheduling.duration(&settings.scheduling));
            Fate::Arrives(self.now.saturating_add(delay), None)
        } else {
            self.links.send(from, to, self.now)
        };
        match fate {
            Fate::Cut => self.record(Record::Lost {
                from,
                to,
                why: Lost::Cut,
            }),
            Fate::Lost => self.record(Record::Lost {
                from,
                to,
                why: Lost::Chance,
            }),
            Fate::Arrives(at, second) => {
                if let Some(second) = second {
                    self.push(second, Event::Deliver(from, to, message.clone()));
                }
                self.push(at, Event::Deliver(from, to, message));
            }
        }
    }

    /// Takes the next event up to a time, and says what is to be done about it and on whose behalf.
    pub(super) fn next(&mut self, limit: u64) -> Option<(Owner, Work)> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= limit)?;
        let ((at, _), event) = entry.remove_entry();
        self.now = at;
        self.events += 1;
        let owner = self.owner_of(&event);
        if let Some(node) = owner.node().and_then(|id| self.nodes.get_mut(&id))
            && let Condition::Paused | Condition::Suspended(_) = node.condition
        {
            let is_message = matches!(event, Event::Deliver(..));
            if !(is_message && matches!(node.condition, Condition::Suspended(_))) {
                node.waiting.push(event);
                return Some((owner, Work::Nothing));
            }
        }
        let work = match event {
            Event::Poll(task) => self.poll(task),
            Event::Timer(timer) => self.fire(timer),
            Event::Deliver(from, to, message) => self.deliver(from, to, message),
            Event::Turn(node, incarnation) => self.turn(node, incarnation),
            Event::Call(call) => Work::Call(call),
        };
        Some((owner, work))
    }

    fn owner_of(&self, event: &Event) -> Owner {
        let of_node = |id: NodeId| {
            self.nodes
                .get(&id)
                .map_or(Owner::Outside, |node| Owner::Node(id, node.incarnation))
        };
        match event {
            Event::Poll(task) => self.tasks.get(task).map_or(Owner::Outside, |slot| slot.owner),
            Event::Timer(timer) => self.timers.get(timer).map_or(Owner::Outside, |timer| timer.owner),
            Event::Deliver(_, to, _) => of_node(*to),
            Event::Turn(node, incarnation) => Owner::Node(*node, *incarnation),
            Event::Call(_) => Owner::Outside,
        }
    }

    fn poll(&mut self, task: u64) -> Work {
        let Some(slot) = self.tasks.get_mut(&task) else {
            return Work::Nothing;
        };
        slot.is_queued = false;
        let Some(future) = slot.future.take() else {
            return Work::Nothing;
        };
        let (node, waker) = (slot.owner.node(), Waker::from(Arc::clone(&slot.waker)));
        self.record(Record::Poll { node, task });
        Work::Poll(task, future, waker)
    }

    fn fire(&mut self, id: u64) -> Work {
        let Some(timer) = self.timers.get(&id) else {
            return Work::Nothing;
        };
        let (owner, deadline) = (timer.owner, timer.deadline);
        if self.awake(owner) < deadline {
            // The clock has become slower, or the machine was suspended.
            self.push(self.due(owner, deadline), Event::Timer(id));
            return Work::Nothing;
        }
        let node = owner.node();
        self.record(Record::Timer { node, timer: id });
        let waker = self.timers.get_mut(&id).and_then(|timer| {
            timer.has_fired = true;
            timer.waker.take()
        });
        waker.map_or(Work::Nothing, Work::Wake)
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: Bytes) -> Work {
        let node = self.nodes.get(&to);
        let why = match node.map(|node| node.condition) {
            _ if self.links.is_cut(from, to) => Err(Lost::Cut),
            Some(Condition::Suspended(_)) => Err(Lost::Suspended),
            _ => node.and_then(|node| node.inbox.clone()).ok_or(Lost::Down),
        };
        match why {
            Ok(inbox) => {
                let arrived = message.clone();
                self.record(Record::Delivered {
                    from,
                    to,
                    message: arrived,
                });
                Work::Receive(inbox, from, message)
            }
            Err(why) => {
                self.record(Record::Lost { from, to, why });
                Work::Nothing
            }
        }
    }

    fn turn(&mut self, id: NodeId, incarnation: u64) -> Work {
        let node = self
            .nodes
            .get_mut(&id)
            .filter(|node| node.incarnation == incarnation);
        let Some(node) = node else {
            return Work::Nothing;
        };
        node.is_turn_scheduled = false;
        node.hook
            .clone()
            .map_or(Work::Nothing, |hook| Work::Turn(id, hook))
    }

    /// Lets a paused or suspended node go on, with all that has waited for it.
    pub(super) fn resume(&mut self, id: NodeId) -> bool {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return false;
        };
        match node.condition {
            Condition::Down | Condition::Running => return false,
            Condition::Paused => {}
            Condition::Suspended(since) => node.clock.slept_since(since, now),
        }
        node.condition = Condition::Running;
        for event in std::mem::take(&mut node.waiting) {
            self.push(now, event);
        }
        true
    }

    /// Ends a node's incarnation. What is left of it is to be dropped without the lock.
    pub(super) fn crash(&mut self, id: NodeId, how: Crash) -> Option<Remains> {
        let now = self.now;
        let node = self.nodes.get_mut(&id)?;
        if let Condition::Suspended(since) = node.condition {
            node.clock.slept_since(since, now);
        }
        node.gate.shut();
        match how {
            // The disk stays as the process has left it; a cut that was to come does not come.
            Crash::Kill => node.disk.cut_power_after(u64::MAX),
            Crash::PowerCut(unsynced) => {
                node.disk = node.disk.after_power_cut(unsynced);
                node.reboot(now);
            }
            Crash::Wipe => {
                node.disk = MemVfs::new();
                node.reboot(now);
            }
        }
        node.armed = None;
        let was_up = node.condition != Condition::Down;
        node.condition = Condition::Down;
        node.is_turn_scheduled = false;
        let mut remains: Remains = vec![
            Box::new(node.inbox.take()),
            Box::new(node.hook.take()),
            Box::new(std::mem::take(&mut node.waiting)),
        ];
        let is_its = |owner: Owner| owner.node() == Some(id);
        for (_, slot) in self.tasks.extract_if(.., |_, slot| is_its(slot.owner)) {
            remains.push(Box::new(slot.future));
        }
        for (_, timer) in self.timers.extract_if(.., |_, timer| is_its(timer.owner)) {
            remains.push(Box::new(timer.waker));
        }
        let words = match (how, was_up) {
            (Crash::Kill, true) => format!("node {id} is killed"),
            (Crash::PowerCut(unsynced), true) => format!("node {id} loses power: {unsynced:?}"),
            (Crash::Kill, false) => return Some(remains),
            (Crash::Wipe, _) => format!("node {id} loses its disk and gets an empty one"),
            (Crash::PowerCut(unsynced), false) => {
                format!("node {id}, which is down, loses power: {unsynced:?}")
            }
        };
        self.record(Record::Fault(words));
        Some(remains)
    }

    /// What becomes of unsynced data if an armed power cut of the node has come.
    pub(super) fn power_is_lost(&self, id: NodeId) -> Option<Unsynced> {
        let node = self.nodes.get(&id).filter(|node| node.has_lost_power())?;
        node.armed.map(|armed| armed.unsynced)
    }

    /// Ends everything. What is left is to be dropped without the lock.
    pub(super) fn close(&mut self) -> Remains {
        self.is_closed = true;
        let mut remains: Remains = vec![
            Box::new(std::mem::take(&mut self.queue)),
            Box::new(std::mem::take(&mut self.tasks)),
            Box::new(std::mem::take(&mut self.timers)),
        ];
        // What makes machines may hold the kernel, which holds it.
        remains.push(Box::new(std::mem::take(&mut self.nodes)));
        remains
    }
}
