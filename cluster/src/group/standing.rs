//! Who a replica is, who the others are, whether it takes part, and how far it is.
//!
//! Invariant: one that is retired does nothing any more, so that another object can take its place; what it has promised stays
//! in its log. Not here: changes of the members (`members.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::replica::{Refused, Replica, Todo};
use crate::raft::{Kept, Members, ReplicaId};
use crate::world::NodeId;

/// Others than members whose nodes are kept in mind; the newest ids are the ones that matter.
const MET_MAX: usize = 16;

/// How a replica stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) term: u64,
    pub(crate) leader: Option<NodeId>,
    pub(crate) committed: u64,
    pub(crate) applied: u64,
    pub(crate) is_quiet: bool,
    /// Entries that the slowest member lacks; only a leader knows.
    pub(crate) lag: Option<u64>,
    /// Entries with rows that other ranges are not known to have taken.
    pub(crate) forwarding: u64,
    /// Transactions that are prepared, whose cells are locked.
    pub(crate) prepared: u64,
    /// For how long the oldest of them has been, in milliseconds.
    pub(crate) locked_ms: u64,
    /// The first entry that a leader has otherwise although it is committed here.
    pub(crate) diverged_at: Option<u64>,
}

impl Replica {
    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock();
        Standing {
            term: state.core.term(),
            leader: self.leader(),
            committed: state.core.committed(),
            applied: state.applied,
            is_quiet: state.quiet.is_quiet(),
            forwarding: state.forwarding.behind() as u64,
            prepared: state.locks.prepared_count() as u64,
            locked_ms: state.locks.oldest(state.ticks) * self.host.settings.timing.tick_ms,
            diverged_at: state.core.diverged_at(),
            lag: state
                .leads()
                .then(|| state.core.last().saturating_sub(state.everywhere())),
        }
    }

    /// The nodes of the members.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.load().all().map(|(_, node)| node).collect()
    }

    /// Its id in the group.
    pub(crate) fn id(&self) -> ReplicaId {
        self.id
    }

    pub(super) fn preferred(&self) -> Option<ReplicaId> {
        Some(self.preferred.load(Ordering::Acquire))
            .filter(|id| *id != 0)
            .map(ReplicaId)
    }

    /// The layout prefers this member to lead.
    pub(crate) fn prefer(&self, preferred: Option<ReplicaId>) {
        let id = preferred.map_or(0, |preferred| preferred.0);
        if self.preferred.swap(id, Ordering::AcqRel) != id {
            self.look_again();
        }
    }

    pub(super) fn other_members(&self) -> Vec<(ReplicaId, NodeId)> {
        let nodes = self.nodes.load();
        let others = nodes.all().filter(|(id, _)| *id != self.id);
        others.collect()
    }

    pub(super) fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        let known = self.nodes.load().of(replica);
        known.or_else(|| self.met.load().as_ref()?.get(&replica).copied())
    }

    pub(super) fn set_members(&self, members: &Members) {
        self.nodes.store(Arc::clone(&members.nodes));
        self.met.store(None);
        let is_dismissed = !members.contains(self.id);
        self.is_dismissed.store(is_dismissed, Ordering::Release);
    }

    /// Whether a message is from who it says. A replica that lags may not have heard of a member, which may even lead; and one that
    /// is no member any more does no harm, because its log is no majority's.
    pub(super) fn is_from(&self, replica: ReplicaId, node: NodeId) -> bool {
        let known = self.node_of(replica);
        if known.is_none() {
            self.met.rcu(|met| {
                let mut met = met.as_deref().cloned().unwrap_or_default();
                while met.len() >= MET_MAX {
                    met.pop_first();
                }
                met.insert(replica, node);
                Some(Arc::new(met))
            });
        }
        known.is_none_or(|known| known == node)
    }

    /// Whether its cells may be read.
    pub(crate) fn is_readable(&self) -> bool {
        !self.is_diverged()
            && !self.is_suspect()
            && !self.is_unfilled
            && !self.is_retired()
            && !self.is_dismissed.load(Ordering::Acquire)
    }

    /// Refuses when its cells may not be read.
    pub(crate) fn require_readable(&self) -> Result<(), Refused> {
        if self.is_readable() {
            return Ok(());
        }
        Err(Refused::NotNow("the replica may not be read now".to_owned()))
    }

    /// Whether another member has a vote.
    pub(crate) fn has_other_voter(&self) -> bool {
        self.state.lock().core.members().has_other_voter(self.id)
    }

    /// Whether it has nothing of what its group has, and waits for somebody to fill it.
    pub(crate) fn is_unfilled(&self) -> bool {
        self.is_unfilled
    }

    /// Whether a leader has said that the group's log does not have any more what this replica needs.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// Whether nothing happens to it any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Nothing happens to it from now on; whoever waits is told that the outcome is not known. What it has promised is on
    /// its way to the log, or there.
    pub(crate) fn retire(self: &Arc<Self>) {
        let mut state = self.state.lock();
        self.is_retired.store(true, Ordering::Release);
        self.leader.store(0, Ordering::Release);
        self.serves_alone.store(false, Ordering::Release);
        let mut todo = Todo::default();
        state.core.retire();
        state.leadership.1 = false;
        state.end_leadership(&mut todo);
        state.reads.end_waiting(&mut todo);
        drop(state);
        self.carry_out(todo);
        self.host.outbox.flush();
    }

    /// What it has to keep, and whether all that is on its way to the log is there and nothing is being applied any more.
    pub(crate) fn kept(&self) -> (Kept, bool) {
        let kept = self.state.lock().core.state();
        let is_there = self.log.lock().is_idle();
        (kept, is_there && !self.apply.lock().is_busy())
    }
}
