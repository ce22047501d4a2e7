//! Many cores of gossip in one thread under one seed: an event queue, a network with delays, losses and cuts.
//!
//! Invariant: the seed decides everything. Messages go where the sender was told that the node is, as on a real network.

mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{Effect, Fault, Gossip, GossipSettings, Input, Liveness, Me, Peer, TimerId};
use crate::world::NodeId;

/// What is under way.
#[derive(Debug)]
enum Event {
    Deliver {
        from: NodeId,
        sender: usize,
        to: usize,
        message: Bytes,
    },
    Timer {
        process: usize,
        timer: TimerId,
    },
}

/// A process that runs or ran.
pub(super) struct Process {
    pub(super) node: NodeId,
    pub(super) address: String,
    pub(super) gossip: Gossip,
    pub(super) runs: bool,
    paused_until: Duration,
    addresses: BTreeMap<NodeId, String>,
    /// What it said about others, with the time.
    pub(super) events: Vec<(Duration, Effect)>,
    pub(super) faults: Vec<Fault>,
}

/// A small world.
pub(super) struct Simulation {
    pub(super) now: Duration,
    pub(super) random: Xoshiro256PlusPlus,
    pub(super) processes: Vec<Process>,
    /// How many messages of a hundred are lost.
    pub(super) loss_percent: u32,
    /// Processes of different sides do not hear each other.
    pub(super) sides: BTreeMap<usize, u32>,
    /// Pairs (sender, receiver) that are cut in this direction.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    settings: GossipSettings,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    trace: u64,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1000),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            processes: Vec::new(),
            loss_percent: 0,
            sides: BTreeMap::new(),
            cuts: BTreeSet::new(),
            sent: 0,
            sent_bytes: 0,
            settings: GossipSettings::default(),
            queue: BTreeMap::new(),
            queued: 0,
            trace: 0,
        }
    }

    /// Nodes 1 to `nodes`, started within 50 ms, which join the first two.
    pub(super) fn cluster(seed: u64, nodes: u64) -> Self {
        let mut simulation = Self::new(seed);
        for node in 1..=nodes {
            simulation.start(node, 1, &format!("host-{node}:7000"));
            let pause = simulation.random.random_range(0..50_000 / nodes);
            simulation.run(Duration::from_micros(pause));
        }
        simulation
    }

    /// A cluster of which all nodes see all as alive.
    pub(super) fn settled(seed: u64, nodes: u64) -> Self {
        let mut simulation = Self::cluster(seed, nodes);
        simulation
            .run_until(Duration::from_secs(2), Self::all_agree)
            .unwrap_or_else(|| panic!("seed {seed}: {nodes} nodes do not agree"));
        simulation
    }

    /// Starts a process and lets it join nodes 1 and 2. Gives its number.
    pub(super) fn start(&mut self, node: u64, incarnation: u64, address: &str) -> usize {
        let node = NodeId(node);
        let me = Me {
            node,
            incarnation,
            address: address.into(),
        };
        let seed = self.random.random();
        let (gossip, effects) = Gossip::new(&me, self.settings.clone(), seed, self.now).unwrap();
        let process = self.processes.len();
        self.processes.push(Process {
            node,
            address: address.into(),
            gossip,
            runs: true,
            paused_until: Duration::ZERO,
            addresses: BTreeMap::new(),
            events: Vec::new(),
            faults: Vec::new(),
        });
        self.carry_out(process, effects);
        let peers = (1..=2).map(|node| Peer {
            node: NodeId(node),
            address: format!("host-{node}:7000"),
        });
        self.input(process, Input::Join(peers.collect()));
        process
    }

    /// The process is gone, without a word.
    pub(super) fn kill(&mut self, process: usize) {
        self.processes[process].runs = false;
    }

    /// The process stands still for a while; what is sent to it meanwhile is lost.
    pub(super) fn pause(&mut self, process: usize, pause: Duration) {
        self.processes[process].paused_until = self.now + pause;
    }

    pub(super) fn input(&mut self, process: usize, input: Input<'_>) {
        let effects = self.processes[process].gossip.handle(input, self.now);
        self.carry_out(process, effects);
    }

    /// Lets some time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something holds; how long that took, or `None` if it never did.
    pub(super) fn run_until(
        &mut self,
        at_most: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        let step = Duration::from_millis(5);
        while !condition(self) {
            if self.now > start + at_most {
                return None;
            }
            self.run(step);
        }
        Some(self.now.saturating_sub(start))
    }

    /// Whether all processes that run see each other as alive, and everything else as down.
    pub(super) fn all_agree(&self) -> bool {
        let running: BTreeMap<NodeId, &Process> = self
            .processes
            .iter()
            .filter(|process| process.runs)
            .map(|process| (process.node, process))
            .collect();
        running.values().all(|process| {
            let members = process.gossip.members();
            let seen: BTreeSet<NodeId> = members.iter().map(|member| member.node).collect();
            running.keys().all(|node| seen.contains(node))
                && members.iter().all(|member| {
                    let alive = running.contains_key(&member.node);
                    (member.liveness == Liveness::Alive) == alive
                        && (alive || member.liveness == Liveness::Down)
                })
        })
    }

    /// Whether all processes that run see a node so.
    pub(super) fn all_see(&self, node: NodeId, liveness: Liveness) -> bool {
        self.processes
            .iter()
            .filter(|process| process.runs && process.node != node)
            .all(|process| process.gossip.liveness(node) == Some(liveness))
    }

    /// What has happened so far, in one number.
    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    fn step(&mut self, end: Duration) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        let ((at, _), event) = entry.remove_entry();
        self.now = at;
        match event {
            Event::Deliver {
                from,
                sender,
                to,
                message,
            } => {
                let cut = self.cuts.contains(&(sender, to)) || self.sides.get(&sender) != self.sides.get(&to);
                let receiver = &self.processes[to];
                if !cut && receiver.runs && receiver.paused_until <= at {
                    self.input(
                        to,
                        Input::Message {
                            from,
                            bytes: &message,
                        },
                    );
                }
            }
            Event::Timer { process, timer } => {
                let paused_until = self.processes[process].paused_until;
                if paused_until > at {
                    self.push(paused_until, Event::Timer { process, timer });
                } else if self.processes[process].runs {
                    self.input(process, Input::Timer(timer));
                }
            }
        }
        true
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.queue.insert((at, self.queued), event);
        self.queued += 1;
    }

    fn carry_out(&mut self, process: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.note(process, &effect);
            match effect {
                Effect::Introduce { node, address } => {
                    self.processes[process].addresses.insert(node, address);
                }
                Effect::Send { to, message } => self.send(process, to, message),
                Effect::Timer { after, timer } => {
                    self.push(self.now + after, Event::Timer { process, timer });
                }
                Effect::Fault(fault) => self.processes[process].faults.push(fault),
                Effect::Refused { from, error } => {
                    // A pause or an old identity may make a message come at a wrong time; no core writes a wrong one.
                    assert!(
                        matches!(error, super::MessageError::OutOfPlace { .. }),
                        "from {from}: {error}"
                    );
                }
                event => {
                    let now = self.now;
                    self.processes[process].events.push((now, event));
                }
            }
        }
    }

    fn send(&mut self, sender: usize, to: NodeId, message: Bytes) {
        assert!(message.len() <= super::MESSAGE_BYTES_MAX);
        self.sent += 1;
        self.sent_bytes += u64::try_from(message.len()).unwrap();
        if self.random.random_range(0..100) < self.loss_percent {
            return;
        }
        let from = self.processes[sender].node;
        let address = &self.processes[sender].addresses[&to];
        // The last process at an address is the one that listens there.
        let Some(to) = self
            .processes
            .iter()
            .rposition(|process| process.address == *address)
        else {
            return;
        };
        let delay = Duration::from_micros(self.random.random_range(100..3000));
        self.push(
            self.now + delay,
            Event::Deliver {
                from,
                sender,
                to,
                message,
            },
        );
    }

    fn note(&mut self, process: usize, effect: &Effect) {
        let mut bytes = self.trace.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.now.as_nanos().to_le_bytes());
        bytes.extend_from_slice(&process.to_le_bytes());
        match effect {
            Effect::Send { to, message } => {
                bytes.extend_from_slice(&to.0.to_le_bytes());
                bytes.extend_from_slice(message);
            }
            other => bytes.extend_from_slice(format!("{other:?}").as_bytes()),
        }
        self.trace = xxhash_rust::xxh3::xxh3_64(&bytes);
    }
}
