//! Ticks of a replica: whether it rests, whom it hands over to.
//!
//! Invariant: what is decided by [`super::quiet`] and [`super::balance`] is done here and nowhere else; a replica that rests
//! wakes before anything is asked of its core. Not here: when ticks come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::balance::{Candidate, Leading, successor};
use super::quiet::{Look, QuietKind, QuietMessage, Reason, Receipt, Tick};
use super::replica::{Replica, State, Todo};
use crate::raft::ReplicaId;
use crate::world::NodeId;

/// What gossip says of other nodes, as of the last tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(pub(crate) BTreeMap<NodeId, Peer>);

/// What gossip says of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Neither suspect nor down.
    pub(crate) is_alive: bool,
    pub(crate) incarnation: u64,
}

/// The same for the members of one group, this node left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    alive: BTreeMap<ReplicaId, bool>,
    /// Which start of its node each is in.
    starts: BTreeMap<ReplicaId, u64>,
    incarnations: u64,
}

impl Replica {
    /// Time goes on by a tick. Messages are put into the outbox and not flushed.
    pub(crate) fn tick(self: &Arc<Self>, peers: &Peers) {
        let mut state = self.state.lock();
        if self.is_retired() {
            return;
        }
        let others = self.others(peers);
        let before = std::mem::replace(&mut state.others, others);
        let anew = |(id, start): (&ReplicaId, &u64)| (before.starts.get(id) != Some(start)).then_some(*id);
        let restarted: Vec<_> = state.others.starts.iter().filter_map(anew).collect();
        for member in restarted {
            state.core.restarted(member);
        }
        state.ticks += 1;
        let look = self.look_around(&state);
        let mut todo = Todo::default();
        match state.quiet.tick(&look) {
            Tick::Rest => {
                self.cut_log(&mut state);
                return self.advance(state);
            }
            Tick::GoQuiet { term, last } => {
                // Every member has it.
                state.floor = state.floor.max(last);
                for (id, _) in self.other_members() {
                    todo.rest(self.word(id, term, QuietKind::Quiesce { last }));
                }
                return self.advance_with(state, todo);
            }
            Tick::Wake { tell_leader } => self.tell_leader(&state, tell_leader, &mut todo),
            Tick::Run => {}
        }
        // Before the core's tick, which begins to count anew who is heard of.
        let heir = self.heir_by_preference(&mut state);
        let world = &self.host.world;
        state.core.tick(&mut || world.random_u64());
        self.tend_log(&mut state);
        Self::tend_forwarding(&mut state);
        self.tend_locks(&mut state);
        self.tend_members(&mut state);
        if let Some(heir) = heir {
            tracing::debug!(
                group = self.group,
                heir = heir.0,
                "leadership goes to whom the layout prefers"
            );
            state.core.transfer_leadership(heir);
        }
        self.advance_with(state, todo);
    }

    /// Takes a message of another member about resting. Messages are put into the outbox and not flushed.
    pub(crate) fn receive_quiet(self: &Arc<Self>, from: NodeId, message: QuietMessage) {
        if message.to != self.id() || self.is_retired() || self.node_of(message.from) != Some(from) {
            return;
        }
        let mut state = self.state.lock();
        let mut todo = Todo::default();
        match message.kind {
            QuietKind::Quiesce { last } => {
                let is_of_leader =
                    state.core.leader() == Some(message.from) && state.core.term() == message.term;
                let look = self.look_around(&state);
                let receipt = state
                    .quiet
                    .receive_quiesce(message.term, last, is_of_leader, &look);
                match receipt {
                    // The leader says it of all when every member has everything.
                    Receipt::Rests => state.floor = state.floor.max(last),
                    Receipt::Refused => todo.rest(self.word(message.from, look.term, QuietKind::Wake)),
                }
            }
            QuietKind::Wake => {
                // Whoever is told ticks; there is nobody to be told further.
                let _told = state.quiet.wake(Reason::Told);
            }
        }
        self.advance_with(state, todo);
    }

    /// Something happens that ends a rest. The caller holds the state and advances it.
    pub(super) fn wake(&self, state: &mut State, reason: Reason, todo: &mut Todo) {
        let tell_leader = state.quiet.wake(reason);
        self.tell_leader(state, tell_leader, todo);
    }

    fn tell_leader(&self, state: &State, tell: bool, todo: &mut Todo) {
        if let Some(leader) = state.core.leader().filter(|leader| tell && *leader != self.id()) {
            todo.rest(self.word(leader, state.core.term(), QuietKind::Wake));
        }
    }

    fn word(&self, to: ReplicaId, term: u64, kind: QuietKind) -> QuietMessage {
        QuietMessage {
            to,
            from: self.id(),
            term,
            kind,
        }
    }

    fn others(&self, peers: &Peers) -> Others {
        let mut others = Others::default();
        for (id, node) in self.other_members() {
            let peer = peers.0.get(&node);
            others.alive.insert(id, peer.is_some_and(|peer| peer.is_alive));
            let incarnation = peer.map_or(0, |peer| peer.incarnation);
            others.starts.insert(id, incarnation);
            others.incarnations = others.incarnations.wrapping_add(incarnation);
        }
        others
    }

    fn look_around(&self, state: &State) -> Look {
        let last = state.core.last();
        let is_leader = state.leads();
        let mut progress = state
            .core
            .progress()
            .filter(|progress| progress.replica != self.id());
        Look {
            role: state.core.role(),
            term: state.core.term(),
            last,
            committed: state.core.committed(),
            applied: state.applied,
            all_matched: !is_leader
                || progress.all(|progress| progress.matched == last && progress.is_active),
            is_busy: state.is_busy() || (is_leader && self.preferred_fit(state).is_some()),
            peers_alive: state.others.alive.values().all(|alive| *alive),
            incarnations: state.others.incarnations,
        }
    }

    /// The member whom the layout prefers to lead, if that is another one and alive.
    fn preferred_fit(&self, state: &State) -> Option<ReplicaId> {
        let preferred = self.preferred().filter(|preferred| *preferred != self.id())?;
        state.others.alive.get(&preferred).copied()?.then_some(preferred)
    }

    pub(super) fn candidates(&self, state: &State) -> Vec<Candidate> {
        let voters = &state.core.members().voters;
        let others = state
            .core
            .progress()
            .filter(|progress| progress.replica != self.id());
        others
            .map(|progress| Candidate {
                replica: progress.replica,
                is_voter: voters.contains(&progress.replica),
                matched: progress.matched,
                is_active: progress.is_active,
                is_alive: state
                    .others
                    .alive
                    .get(&progress.replica)
                    .copied()
                    .unwrap_or_default(),
            })
            .collect()
    }

    fn heir_by_preference(&self, state: &mut State) -> Option<ReplicaId> {
        let preferred = self.preferred().filter(|preferred| *preferred != self.id());
        // Nearly all replicas are done here.
        if preferred.is_none() || !state.leads() {
            return state.balance.tick(None);
        }
        let others = self.candidates(state);
        let leading = Leading {
            term: state.core.term(),
            last: state.core.last(),
            preferred,
            is_changing: !state.core.may_serve() || state.core.is_handing_over(),
            others: &others,
        };
        state.balance.tick(Some(&leading))
    }

    /// Hands leadership over before a planned stop; `false` if this replica does not lead, or nobody could.
    pub(crate) fn hand_over(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if !state.leads() {
            return false;
        }
        let Some(heir) = successor(&self.candidates(&state)) else {
            return false;
        };
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Told, &mut todo);
        if !state.core.is_handing_over() {
            state.core.transfer_leadership(heir);
        }
        self.advance_with(state, todo);
        true
    }
}
