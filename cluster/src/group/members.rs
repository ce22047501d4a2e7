//! Changes of a group's members, as its leader makes them and as every replica takes them.
//!
//! Invariant: a voter comes only from among the learners that have the whole log; a joint configuration is left as soon as it
//! is applied, by whoever leads then; a leader is never removed, it hands over first. Not here: which change is wanted
//! (`coordinator/moves.rs`), what a majority is (`raft/`).

use std::sync::Arc;

use super::balance::successor;
use super::quiet::Reason;
use super::replica::{Refused, Replica, State, Todo};
use crate::raft::{MemberChange, Members, ReplicaId};
use crate::world::NodeId;

/// A learner that lacks so few entries of the log has caught up: what is missing comes while the change is made.
const CAUGHT_UP_LAG_MAX: u64 = 64;

/// A member as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberStatus {
    pub(crate) replica: ReplicaId,
    pub(crate) node: NodeId,
    pub(crate) is_voter: bool,
    /// Whether it goes when the change is over that is under way.
    pub(crate) is_leaving: bool,
    /// Whether it has the whole log, but for what has come in the last moment.
    pub(crate) has_caught_up: bool,
}

/// The members of a group as its leader sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupStatus {
    pub(crate) leader: ReplicaId,
    /// Whether a change of voters is under way.
    pub(crate) is_changing: bool,
    pub(crate) members: Vec<MemberStatus>,
}

impl Replica {
    /// What this replica, which must lead, knows of the members. It is certain: nobody leads who is newer.
    ///
    /// # Errors
    /// [`Refused::NotLeader`], [`Refused::NotNow`].
    pub(crate) async fn group_status(self: &Arc<Self>) -> Result<GroupStatus, Refused> {
        self.read_barrier().await?;
        let state = self.state.lock();
        if !state.leads() {
            return Err(Refused::NotLeader(self.leader()));
        }
        let members = state.core.members();
        let last = state.core.last();
        let status = |(replica, node): (ReplicaId, NodeId)| {
            let matched = (state.core.progress())
                .find(|progress| progress.replica == replica)
                .map_or(0, |progress| progress.matched);
            MemberStatus {
                replica,
                node,
                is_voter: members.voters.contains(&replica),
                is_leaving: members.outgoing.contains(&replica) && !members.voters.contains(&replica),
                has_caught_up: matched > 0 && last.saturating_sub(matched) <= CAUGHT_UP_LAG_MAX,
            }
        };
        Ok(GroupStatus {
            leader: self.id(),
            is_changing: members.is_joint(),
            members: members.nodes.all().map(status).collect(),
        })
    }

    /// The members that have no vote, as far as this replica knows, if it leads.
    pub(crate) fn learners(&self) -> Vec<(ReplicaId, NodeId)> {
        let state = self.state.lock();
        if !state.leads() {
            return Vec::new();
        }
        let members = state.core.members();
        let node_of = |learner: &ReplicaId| members.nodes.of(*learner).map(|node| (*learner, node));
        members.learners.iter().filter_map(node_of).collect()
    }

    /// Whether a replica takes part in the group, as far as this one knows.
    pub(crate) fn has_member(&self, replica: ReplicaId) -> bool {
        self.state.lock().core.members().contains(replica)
    }

    /// Makes a change as the leader; is ready when it is in the log, and may yet be overruled: whoever wants to know looks at
    /// the members again.
    ///
    /// # Errors
    /// [`Refused::NotLeader`]; [`Refused::NotNow`] while another change is under way, or if the change would not be right.
    pub(crate) fn change_members(self: &Arc<Self>, change: &MemberChange) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if !state.leads() {
            return Err(Refused::NotLeader(self.leader()));
        }
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Proposal, &mut todo);
        let outcome = match unfit(&state, self.id(), change) {
            Some(cause) => Err(Refused::NotNow(cause.to_owned())),
            None => match state.core.propose_members(change) {
                Some(_) => Ok(()),
                None => Err(Refused::NotNow(
                    "another change of the members is under way".to_owned(),
                )),
            },
        };
        self.advance_with(state, todo);
        self.host.outbox.flush();
        outcome
    }

    /// The members have changed with an entry that was applied.
    pub(super) fn members_have_changed(&self, state: &mut State) {
        let kept = state.core.state();
        tracing::info!(
            group = self.group,
            replica = self.id().0,
            voters = ?ids(&kept.members.voters),
            outgoing = ?ids(&kept.members.outgoing),
            learners = ?ids(&kept.members.learners),
            since = kept.members.since,
            "the members of a group have changed"
        );
        self.set_members(&kept.members);
        self.log.lock().push_state(kept);
        self.tend_members(state);
    }

    /// Leaves a joint configuration, as the leader.
    pub(super) fn tend_members(&self, state: &mut State) {
        if !state.leads() || !state.core.members().is_joint() {
            return;
        }
        if state.core.members().voters.contains(&self.id()) {
            // Refused while the entry that has entered it is not applied here yet, or while the same was proposed before.
            let _proposed = state.core.propose_members(&MemberChange::Leave);
        } else if let Some(heir) = successor(&self.candidates(state))
            && !state.core.is_handing_over()
        {
            // It has come to lead after it was decided that it goes.
            state.core.transfer_leadership(heir);
        }
    }

    /// This member needs nothing from the log any more until it has been filled with everything up to an entry.
    pub(crate) fn is_filling(&self, member: ReplicaId, upto: u64) {
        let mut state = self.state.lock();
        // What is logged from now on is kept for it, although gossip may not have heard of it yet.
        state.others.is_back(member);
        state.core.is_filling(member, upto);
    }

    /// This member has been filled: the log goes on from there.
    pub(crate) fn is_filled(self: &Arc<Self>, member: ReplicaId) {
        let mut state = self.state.lock();
        state.core.restarted(member);
        self.advance(state);
        self.host.outbox.flush();
    }
}

fn ids(replicas: &[ReplicaId]) -> Vec<u64> {
    replicas.iter().map(|replica| replica.0).collect()
}

/// Why a leader does not make a change.
fn unfit(state: &State, me: ReplicaId, change: &MemberChange) -> Option<&'static str> {
    let members: &Members = state.core.members();
    match *change {
        MemberChange::Learn(replica, _) => members
            .contains(replica)
            .then_some("the replica takes part already"),
        MemberChange::Forget(replica) => {
            (!members.learners.contains(&replica)).then_some("only a replica without a vote is forgotten")
        }
        MemberChange::Exchange { add, remove } => {
            if remove == Some(me) {
                return Some("the leader does not go; it hands over first");
            }
            if add.is_none() && remove.is_none() {
                return Some("nobody comes and nobody goes");
            }
            if remove.is_some_and(|remove| !members.voters.contains(&remove)) {
                return Some("the replica that is to go has no vote");
            }
            if add.is_none() && members.voters.len() <= 1 {
                return Some("the only replica with a vote does not go");
            }
            let add = add?;
            if !members.learners.contains(&add) {
                return Some("the replica that is to get a vote does not follow yet");
            }
            let lag = (state.core.progress())
                .find(|progress| progress.replica == add && progress.matched > 0)
                .map(|progress| state.core.last().saturating_sub(progress.matched));
            lag.is_none_or(|lag| lag > CAUGHT_UP_LAG_MAX)
                .then_some("the replica that is to get a vote has not caught up")
        }
        MemberChange::Leave => None,
    }
}
