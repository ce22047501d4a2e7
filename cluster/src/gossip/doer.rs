//! Drives the core of gossip with a world and a network.
//!
//! Invariant: it decides nothing. Effects are done in their order, under the lock under which they were decided, and
//! times that are due together are given to the core in the order in which they are due. Not here: any rule.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Liveness;
use super::core::Gossip;
use super::error::{Fault, GossipError, MessageError};
use super::interface::{Effect, Input, Me, Member, Peer, TimerId};
use super::settings::GossipSettings;
use super::state::NodeState;
use crate::world::{Inbox, Network, NodeId, Priority, World};

/// How long the task that waits sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The gossip of this node. It ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Gossiper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    me: NodeId,
    world: Arc<dyn World>,
    network: Arc<dyn Network>,
    work: Mutex<Work>,
    /// Which node takes part, as of the last change. Every operation asks, and must not wait for gossip to have read a message.
    living: ArcSwap<HashMap<NodeId, Liveness>>,
    /// Wakes the task that waits when there is something earlier to wait for, or nothing any more.
    earlier: Arc<Notify>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Work {
    gossip: Gossip,
    /// What is due when; of what is due together, what was asked for first comes first.
    due: BTreeSet<(Duration, TimerId)>,
    faults: Vec<Fault>,
    refused: u64,
    last_refused: Option<(NodeId, MessageError)>,
}

impl Gossiper {
    /// Begins to gossip. The caller gives it the messages of other nodes as their [`Inbox`].
    ///
    /// # Errors
    ///
    /// Names the argument that is not valid.
    pub fn start(
        me: &Me,
        settings: GossipSettings,
        world: Arc<dyn World>,
        network: Arc<dyn Network>,
    ) -> Result<Self, GossipError> {
        let (gossip, effects) = Gossip::new(me, settings, world.random_u64(), world.now())?;
        let (changes, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            me: me.node,
            world,
            network,
            work: Mutex::new(Work {
                gossip,
                due: BTreeSet::new(),
                faults: Vec::new(),
                refused: 0,
                last_refused: None,
            }),
            living: ArcSwap::default(),
            earlier: Arc::default(),
            changes,
        });
        shared.keep_living(&shared.work.lock().gossip, me.node);
        shared.carry_out(&mut shared.work.lock(), effects);
        let waiting = wait(
            Arc::downgrade(&shared),
            Arc::clone(&shared.earlier),
            Arc::clone(&shared.world),
        );
        shared.world.spawn(Box::pin(waiting));
        Ok(Self { shared })
    }

    /// Joins the cluster that these nodes belong to, and keeps trying until they are members. A peer whose address
    /// cannot be one is passed over.
    pub fn join(&self, peers: Vec<Peer>) {
        self.shared.handle(Input::Join(peers));
    }

    /// Says something new about this node. It reaches the others within a few seconds, that it stops at once; may be called at any
    /// rate.
    pub fn update_state(&self, state: NodeState) {
        self.shared.handle(Input::State(state));
    }

    /// Forgets a node that has left the cluster for good whenever it is down.
    pub fn forget(&self, node: NodeId) {
        self.shared.handle(Input::Forget(node));
    }

    /// Tells the others that this node is down, and falls silent.
    pub fn leave(&self) {
        self.shared.handle(Input::Leave);
    }

    /// All nodes that were met, this one included, by their ids.
    pub fn members(&self) -> Vec<Member> {
        self.shared.work.lock().gossip.members()
    }

    /// Whether a node takes part; `None` for one that was never met. Takes no lock.
    pub fn liveness(&self, node: NodeId) -> Option<Liveness> {
        self.shared.living.load().get(&node).copied()
    }

    /// Counts the changes of the members, their states and the faults. Whoever waits for a change waits here, and then
    /// looks at what there is.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The nodes that two processes claimed to be. If this node is among them ([`Gossiper::fault`]), gossip has stopped
    /// and the node must stop.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.work.lock().faults.clone()
    }

    /// Why gossip has stopped by itself, if it has: another process claims to be this node.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.work.lock().gossip.fault().cloned()
    }

    /// How many messages were dropped because of what was in them, and the last of them: its sender, and why.
    pub fn refused(&self) -> (u64, Option<(NodeId, MessageError)>) {
        let work = self.shared.work.lock();
        (work.refused, work.last_refused.clone())
    }
}

impl Inbox for Gossiper {
    fn receive(&self, from: NodeId, message: Bytes) {
        self.shared.handle(Input::Message {
            from,
            bytes: &message,
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.earlier.notify_one();
    }
}

impl Shared {
    fn handle(&self, input: Input<'_>) {
        let mut work = self.work.lock();
        let first_due = work.due.first().copied();
        let effects = work.gossip.handle(input, self.world.now());
        self.carry_out(&mut work, effects);
        if work.due.first().copied() != first_due {
            self.earlier.notify_one();
        }
    }

    fn carry_out(&self, work: &mut Work, effects: Vec<Effect>) {
        let mut changes = 0;
        let now = self.world.now();
        for effect in effects {
            match effect {
                Effect::Introduce { node, address } => self.network.introduce(node, &address),
                Effect::Send { to, message } => self.network.send(to, Priority::Urgent, message),
                Effect::Timer { after, timer } => {
                    work.due.insert((now.saturating_add(after), timer));
                }
                Effect::Up(node) | Effect::Suspect(node) | Effect::Down(node) | Effect::Changed(node) => {
                    self.keep_living(&work.gossip, node);
                    changes += 1;
                }
                Effect::Fault(fault) => {
                    work.faults.push(fault);
                    changes += 1;
                }
                Effect::Refused { from, error } => {
                    work.refused += 1;
                    work.last_refused = Some((from, error));
                }
            }
        }
        if !work.gossip.is_running() {
            work.due.clear();
            self.keep_living(&work.gossip, self.me);
        }
        if changes > 0 {
            self.changes.send_modify(|version| *version += changes);
        }
    }

    /// Keeps whether a node takes part, of which something has changed. Under the lock, so that what is kept is never older than
    /// what was kept before. Most changes are of what a node says of itself, which costs nothing here.
    fn keep_living(&self, gossip: &Gossip, node: NodeId) {
        let (known, liveness) = (self.living.load(), gossip.liveness(node));
        if known.get(&node).copied() == liveness {
            return;
        }
        let mut living = HashMap::clone(&known);
        match liveness {
            Some(liveness) => living.insert(node, liveness),
            None => living.remove(&node),
        };
        self.living.store(Arc::new(living));
    }

    /// Gives the core what is due; says how long it is until more is.
    fn give_due(&self) -> Duration {
        let mut work = self.work.lock();
        loop {
            let now = self.world.now();
            let Some((due, timer)) = work.due.first().copied() else {
                return IDLE;
            };
            if due > now {
                return due.saturating_sub(now);
            }
            work.due.remove(&(due, timer));
            let effects = work.gossip.handle(Input::Timer(timer), now);
            self.carry_out(&mut work, effects);
        }
    }

    fn is_running(&self) -> bool {
        self.work.lock().gossip.is_running()
    }
}

/// Waits for what is due, until gossip has ended or nobody holds it any more.
async fn wait(shared: Weak<Shared>, earlier: Arc<Notify>, world: Arc<dyn World>) {
    loop {
        let pause = match shared.upgrade() {
            Some(shared) if shared.is_running() => shared.give_due(),
            _ => return,
        };
        tokio::select! {
            biased;
            () = earlier.notified() => {}
            () = world.sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
