//! When the members of a group stop ticking because nothing happens, and when they begin again.
//!
//! A leader in whose group nothing has happened for a while, and whose members all have all of its log, tells them so and
//! stops; each member that finds it true stops as well. Nobody then sends heartbeats or counts the time to an election.
//! CockroachDB (`replica_raft_quiesce.go`) and TiKV (hibernate regions) do the same.
//!
//! Safety never depends on it: a member that rests is a member that is slow. It keeps its term, vote and log, votes and
//! appends as soon as a message comes, and an answer to a read still needs the heartbeats of a majority. What depends on
//! it is that somebody takes over when a leader is gone. Therefore a member rests only while gossip holds the nodes of all
//! others for alive, looks again when gossip says something new, and whoever does not rest wakes the others by what it sends: a leader by
//! heartbeats, a member without one by asking for votes.
//!
//! Invariant: if all members rest, they rest in one term, with one log, and its leader is one of them. Pure: the owner
//! looks and sends. Not here: who is alive (`gossip/`).

mod message;
#[cfg(test)]
mod tests;

pub(crate) use message::{QuietKind, QuietMessage};

use crate::raft::Role;

/// A leader rests after so many ticks in which nothing has happened: 2 s with ticks of 100 ms.
pub(crate) const QUIET_TICKS_DEFAULT: u32 = 20;

/// How a member finds its group. All of it is of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// What it is.
    pub(crate) role: Role,
    /// Its term.
    pub(crate) term: u64,
    /// Its last entry.
    pub(crate) last: u64,
    /// The last entry that it knows to be committed.
    pub(crate) committed: u64,
    /// The last entry that it has applied.
    pub(crate) applied: u64,
    /// A leader's only: whether all other members, learners included, have everything up to `last`, and were heard of
    /// since the last look for a quorum. True if there are no others.
    pub(crate) all_matched: bool,
    /// Whether anything is under way: a proposal, a read, a change of members, a transfer of leadership.
    pub(crate) is_busy: bool,
    /// Whether gossip holds the nodes of all other members for alive, neither suspect nor down.
    pub(crate) peers_alive: bool,
    /// The sum of the incarnations of these nodes, by which a start of one of them shows.
    pub(crate) incarnations: u64,
}

/// What the owner has to do at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Let the core tick.
    Run,
    /// Nothing: the member rests.
    Rest,
    /// Tell all other members, and do not let the core tick: that they were heard of lately is then still true when it
    /// goes on.
    GoQuiet {
        /// The term.
        term: u64,
        /// The last entry.
        last: u64,
    },
    /// The member has woken: let the core tick, and send [`QuietKind::Wake`] to the leader if it says so.
    Wake {
        /// Whether the leader, which may rest, is to be told.
        tell_leader: bool,
    },
}

/// What becomes of a word of the leader that the group rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// The member rests.
    Rests,
    /// It does not: [`QuietKind::Wake`] goes back to the sender.
    Refused,
}

/// Why a member begins to tick again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Something is proposed.
    Proposal,
    /// A read asks for the index.
    Read,
    /// A message of the group came, other than one that it rests. The late answer to a heartbeat of the present term
    /// may go to the core without it.
    Message,
    /// A member has refused to rest, or has woken ([`QuietKind::Wake`]).
    Told,
    /// Gossip says that the node of a member is suspect or down, or was started again.
    Peer,
    /// A request for the group came to a member that does not lead, or its leader did not answer.
    Asked,
}

/// What was true when a member began to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    role: Role,
    term: u64,
    last: u64,
    incarnations: u64,
}

impl Rest {
    fn of(look: &Look) -> Self {
        Self {
            role: look.role,
            term: look.term,
            last: look.last,
            incarnations: look.incarnations,
        }
    }

    fn holds(&self, look: &Look) -> bool {
        *self == Self::of(look) && look.peers_alive && !look.is_busy
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Quiet {
    after_ticks: u32,
    idle_ticks: u32,
    /// The last entry at the last tick: one that has come and gone since then was something that has happened.
    last: u64,
    rest: Option<Rest>,
}

impl Quiet {
    /// A member that does not rest. `after_ticks` is how long a leader waits; 0 stands for never.
    pub(crate) fn new(after_ticks: u32) -> Self {
        Self {
            after_ticks,
            idle_ticks: 0,
            last: 0,
            rest: None,
        }
    }

    /// Whether the member rests.
    pub(crate) fn is_quiet(&self) -> bool {
        self.rest.is_some()
    }

    /// A tick has passed.
    pub(crate) fn tick(&mut self, look: &Look) -> Tick {
        if let Some(rest) = &self.rest {
            if rest.holds(look) {
                return Tick::Rest;
            }
            let tell_leader = self.wake(Reason::Peer);
            return Tick::Wake { tell_leader };
        }
        let is_idle = look.role == Role::Leader
            && look.last == self.last
            && look.committed == look.last
            && look.applied == look.last
            && look.all_matched
            && look.peers_alive
            && !look.is_busy;
        self.last = look.last;
        self.idle_ticks = if is_idle {
            self.idle_ticks.saturating_add(1)
        } else {
            0
        };
        if self.after_ticks == 0 || self.idle_ticks < self.after_ticks {
            return Tick::Run;
        }
        self.rest = Some(Rest::of(look));
        Tick::GoQuiet {
            term: look.term,
            last: look.last,
        }
    }

    /// A member says that its group rests. `is_of_leader` is whether this member takes it for the leader of its term.
    /// What `look` says of gossip must not be older than what [`Reason::Peer`] was last given for.
    pub(crate) fn receive_quiesce(
        &mut self,
        term: u64,
        last: u64,
        is_of_leader: bool,
        look: &Look,
    ) -> Receipt {
        let is_true = is_of_leader
            && look.role == Role::Follower
            && look.term == term
            && look.last == last
            && look.committed == last
            && look.peers_alive
            && !look.is_busy;
        self.idle_ticks = 0;
        self.rest = is_true.then(|| Rest::of(look));
        if is_true { Receipt::Rests } else { Receipt::Refused }
    }

    /// Something has happened: the member ticks. `true` if the leader is to be told by [`QuietKind::Wake`], because it may
    /// rest while this member counts the time to an election.
    #[must_use]
    pub(crate) fn wake(&mut self, reason: Reason) -> bool {
        let rest = self.rest.take();
        // A leader that ticks gets answers to its heartbeats all the time; what else they bring is seen at the next tick.
        if rest.is_some() || reason != Reason::Message {
            self.idle_ticks = 0;
        }
        let was_follower = rest.is_some_and(|rest| rest.role == Role::Follower);
        was_follower && matches!(reason, Reason::Peer | Reason::Asked)
    }
}
