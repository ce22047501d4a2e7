//! Ticks of a replica: whether it rests, whom it hands over to.
//!
//! Invariant: what is decided by [`super::quiet`] and [`super::balance`] is done here and nowhere else; a replica that rests
//! wakes before anything is asked of its core. Not here: when ticks come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::balance::{Candidate, Leading, has_majorities, successor};
use super::log::TEND_EVERY_TICKS;
use super::quiet::{Look, QuietKind, QuietMessage, Reason, Receipt, Tick};
use super::replica::{Replica, State, Todo};
use crate::raft::ReplicaId;
use crate::world::NodeId;

/// What gossip says of other nodes, as of the last tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peers(pub(crate) BTreeMap<NodeId, Peer>);

/// What gossip says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Neither suspect nor down, nor about to stop.
    pub(crate) is_alive: bool,
    pub(crate) is_down: bool,
    pub(crate) incarnation: u64,
}

/// The same for the members of one group, this node left out. Every group of a node keeps it, so that it is small.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    members: Box<[Other]>,
    incarnations: u64,
}

#[derive(Clone, Copy, Debug)]
struct Other {
    id: ReplicaId,
    /// For how many ticks it has not been alive, one after the other.
    away_ticks: u16,
    /// For how many ticks it has been alive and has told this leader nothing of its log: it waits to be filled, or is diverged.
    silent_ticks: u16,
    /// Whether the log is not kept for it any more since it is away or silent.
    is_given_up: bool,
    /// Whether gossip holds its node for down, or knows nothing of it.
    is_down: bool,
    /// Which start of its node it is in.
    start: u64,
}

impl Others {
    fn member(&self, id: ReplicaId) -> Option<&Other> {
        self.members.iter().find(|other| other.id == id)
    }

    fn is_alive(&self, id: ReplicaId) -> bool {
        self.member(id).is_some_and(Other::is_alive)
    }

    /// Whether the log is not kept for a member. Whoever is back is filled from then on, for which it is.
    pub(super) fn is_given_up(&self, id: ReplicaId) -> bool {
        self.member(id).is_some_and(|other| other.is_given_up)
    }

    /// The log is kept for nobody any more who is away or silent, until he is back. How many of them there are for whom it was kept.
    pub(super) fn give_up_the_absent(&mut self) -> usize {
        let absent = self.members.iter_mut();
        let absent = absent.filter(|other| other.is_away() && !other.is_given_up);
        absent.map(|other| other.is_given_up = true).count()
    }

    /// Somebody is there, whatever gossip says of him.
    pub(super) fn is_back(&mut self, id: ReplicaId) {
        if let Some(other) = self.members.iter_mut().find(|other| other.id == id) {
            (other.away_ticks, other.silent_ticks, other.is_given_up) = (0, 0, false);
        }
    }
}

/// Whoever is not alive for so many ticks without a break is away, and whoever says nothing for so many is silent: 10 s with ticks
/// of 100 ms. A node that is busy is suspected for moments, and a leader that is new has heard nobody yet.
const AWAY_TICKS: u16 = 100;

impl Other {
    fn is_alive(&self) -> bool {
        self.away_ticks == 0
    }

    fn is_away(&self) -> bool {
        self.away_ticks >= AWAY_TICKS || self.is_silent()
    }

    fn is_silent(&self) -> bool {
        self.silent_ticks >= AWAY_TICKS
    }
}

/// How often a group that rests is looked at although nothing has happened: a backstop.
const RESTING_TICKS: u64 = 600;

/// What has happened on a node that may concern groups that rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stir {
    /// Gossip says something else of a node than at the last tick.
    pub(crate) peers: bool,
    /// The node's log has grown lately, so that what it keeps of quiet groups may be in the way.
    pub(crate) log: bool,
}

impl Stir {
    /// How often it is looked whether the log has grown.
    pub(crate) const LOG_LOOK_TICKS: u64 = TEND_EVERY_TICKS;

    /// Whether a group that rests is looked at in a tick. They take turns, so that no tick has many of them.
    pub(crate) fn concerns(self, group: u32, ticks: u64) -> bool {
        let every = if self.log { TEND_EVERY_TICKS } else { RESTING_TICKS };
        self.peers || (ticks + u64::from(group)).is_multiple_of(every)
    }
}

impl Replica {
    /// Time goes on by a tick. Messages are put into the outbox and not flushed.
    pub(crate) fn tick(self: &Arc<Self>, peers: &Peers) {
        let mut state = self.state.lock();
        if self.is_retired() {
            return;
        }
        let others = self.others(peers, &state);
        let State {
            core, others: before, ..
        } = &mut *state;
        let is_anew = |other: &&Other| {
            before
                .member(other.id)
                .is_none_or(|known| known.start != other.start)
        };
        for other in others.members.iter().filter(is_anew) {
            core.restarted(other.id);
        }
        state.others = others;
        state.ticks += 1;
        let look = self.look_around(&state);
        let mut todo = Todo::default();
        let tick = state.quiet.tick(&look);
        self.note_rest(&state);
        match tick {
            Tick::Rest => {
                self.cut_log(&mut state);
                return self.advance(state);
            }
            Tick::GoQuiet { term, last } => {
                // Every member has it.
                state.floor = state.floor.max(last);
                self.shed(&mut state);
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
                    Receipt::Rests => {
                        state.floor = state.floor.max(last);
                        self.shed(&mut state);
                    }
                    Receipt::Refused => todo.rest(self.word(message.from, look.term, QuietKind::Wake)),
                }
            }
            QuietKind::Wake => {
                // Whoever is told ticks; there is nobody to be told further.
                let _told = state.quiet.wake(Reason::Told);
            }
        }
        self.note_rest(&state);
        self.advance_with(state, todo);
    }

    /// Whether the replica rests and nothing has happened to it since it was last found to: it need not be told that time goes on
    /// unless something on its node concerns it ([`Stir`]).
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.host.resting.contains(self.group)
    }

    /// The replica begins to rest: it lets go of memory that only work needs. A node has thousands of them.
    fn shed(&self, state: &mut State) {
        state.shed();
        self.log.lock().shed();
        self.apply.lock().shed();
    }

    fn note_rest(&self, state: &State) {
        self.host.resting.set(self.group, state.quiet.is_quiet());
    }

    /// Something has changed by which a rest may end: the next tick looks.
    pub(super) fn look_again(&self) {
        self.host.resting.set(self.group, false);
    }

    /// Something happens that ends a rest. The caller holds the state and advances it.
    pub(super) fn wake(&self, state: &mut State, reason: Reason, todo: &mut Todo) {
        let tell_leader = state.quiet.wake(reason);
        self.note_rest(state);
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

    fn others(&self, peers: &Peers, state: &State) -> Others {
        let says_nothing = |id| {
            let mut progress = state.core.progress();
            state.leads() && progress.any(|progress| progress.replica == id && progress.says_nothing())
        };
        let members = self.other_members().into_iter().map(|(id, node)| {
            let peer = peers.0.get(&node);
            let is_alive = peer.is_some_and(|peer| peer.is_alive);
            let before = state.others.member(id);
            let longer = |ticks: fn(&Other) -> u16| before.map_or(0, ticks).saturating_add(1);
            let mut other = Other {
                id,
                away_ticks: 0,
                silent_ticks: 0,
                is_given_up: false,
                is_down: peer.is_none_or(|peer| peer.is_down),
                start: peer.map_or(0, |peer| peer.incarnation),
            };
            if !is_alive {
                other.away_ticks = longer(|before| before.away_ticks);
            } else if says_nothing(id) {
                other.silent_ticks = longer(|before| before.silent_ticks);
            }
            // Whoever is back is waited for anew.
            let is_gone = !is_alive || other.is_silent();
            other.is_given_up = is_gone && before.is_some_and(|before| before.is_given_up);
            other
        });
        let members: Box<[Other]> = members.collect();
        let starts = members.iter().map(|other| other.start);
        Others {
            incarnations: starts.fold(0, u64::wrapping_add),
            members,
        }
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
            peers_alive: state.others.members.iter().all(Other::is_alive),
            incarnations: state.others.incarnations,
        }
    }

    /// The member whom the layout prefers to lead, if that is another one and alive.
    fn preferred_fit(&self, state: &State) -> Option<ReplicaId> {
        let preferred = self.preferred().filter(|preferred| *preferred != self.id())?;
        state.others.is_alive(preferred).then_some(preferred)
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
                is_alive: state.others.is_alive(progress.replica),
            })
            .collect()
    }

    /// Whether so many of the group are there that somebody can be elected.
    fn could_elect(&self, state: &State) -> bool {
        let members = state.core.members();
        let is_there = |id| {
            let other = state.others.member(id);
            id == self.id() || other.is_some_and(|other| !other.is_down)
        };
        has_majorities([&members.voters, &members.outgoing], is_there)
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
        if !state.leads() || !self.could_elect(&state) {
            return false;
        }
        let others = self.candidates(&state);
        let heir = successor(&others);
        // Of a group that rests nobody was heard of late; whoever is there is, once it is awake.
        if heir.is_none() && !others.iter().any(|other| other.is_voter && other.is_alive) {
            return false;
        }
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Told, &mut todo);
        if let Some(heir) = heir.filter(|_| !state.core.is_handing_over()) {
            state.core.transfer_leadership(heir);
        }
        self.advance_with(state, todo);
        true
    }
}

impl State {
    /// See [`Replica::shed`].
    fn shed(&mut self) {
        self.core.shed();
        self.overlay.shed();
        for queue in [&mut self.pending, &mut self.unlogged, &mut self.spreading] {
            queue.shed();
        }
        self.watched.shed();
        self.reads.shed();
        self.invocations.shed();
        self.forwarding.shed();
        self.locks.shed();
        self.holds.shed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of the first groups is looked at within so many ticks.
    fn looks(stir: Stir, ticks: u64) -> Vec<usize> {
        let looks = |group| (1..=ticks).filter(|tick| stir.concerns(group, *tick)).count();
        (0..700).map(looks).collect()
    }

    #[test]
    fn groups_that_rest_are_looked_at_when_something_concerns_them_and_once_in_a_while() {
        let nothing = Stir {
            peers: false,
            log: false,
        };
        assert_eq!(looks(nothing, RESTING_TICKS), vec![1; 700]);
        let log = Stir { log: true, ..nothing };
        assert_eq!(looks(log, TEND_EVERY_TICKS), vec![1; 700]);
        let peers = Stir {
            peers: true,
            ..nothing
        };
        assert_eq!(looks(peers, 1), vec![1; 700]);
        // They take turns.
        let busiest =
            (1..=RESTING_TICKS).map(|tick| (0..600).filter(|group| nothing.concerns(*group, tick)).count());
        assert_eq!(busiest.max(), Some(1));
    }
}
