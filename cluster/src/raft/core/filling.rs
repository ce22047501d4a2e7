//! From where on a leader needs its log for its members: those that follow, those that lack what the log does not have any
//! more, and those that were filled or have started anew.
//!
//! Invariant: nobody gives up what he has for something that he was told before he had it; whoever asks what the log is needed
//! for asks [`LogNeed`]. Not here: snapshots (`group/snapshot.rs`), who is there at all (`group/rest.rs`).

use raft::{Progress as RaftProgress, ProgressState, StateRole};

use super::{Core, RaftMessage, ReplicaId, Role};

/// From where on a leader needs its log for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogNeed {
    /// Behind this entry: it has everything up to there.
    Behind(u64),
    /// Behind this entry, up to which it is being filled.
    Filling(u64),
    /// Not before it is being filled: it lacks what the log does not have any more, which ends with this entry.
    Lacking(u64),
    /// It has not said what it has, since this replica leads or since it has started. It may need all that the log has; one that
    /// waits to be filled says nothing, and needs nothing.
    Untold,
}

impl LogNeed {
    /// Of a member of which a leader knows this, whose log begins behind an entry.
    pub(super) fn of(progress: &RaftProgress, before: u64) -> Self {
        match progress.state {
            ProgressState::Snapshot => Self::Filling(progress.matched.max(progress.pending_snapshot)),
            _ if progress.next_idx <= before => Self::Lacking(before),
            _ if progress.matched == 0 => Self::Untold,
            _ => Self::Behind(progress.matched),
        }
    }

    /// The entry behind which the log is needed; `None` if nothing of it is.
    pub(crate) fn behind(self) -> Option<u64> {
        match self {
            Self::Behind(index) | Self::Filling(index) => Some(index),
            Self::Lacking(_) => None,
            Self::Untold => Some(0),
        }
    }
}

impl Core {
    /// A leader has said that its log begins behind this entry, and that this replica needs an earlier one. If it has that entry
    /// and knows it to be committed, it has heard of something that is past: it was filled since, and must not forget what it has
    /// acknowledged since. Programs before 2026-11-29 do not say where the log begins.
    pub(super) fn hear_notice(&mut self, before: (u64, u64)) {
        let (index, term) = before;
        if index == 0 || self.committed() < index {
            self.is_outdated = true;
        } else if self.term_of(index).is_some_and(|own| own > 0 && own != term) {
            self.diverged_at = Some(index);
        }
    }

    /// Tells a member that knows of fewer committed entries than it has; what it was told before is lost, or it takes only
    /// what comes with a proof that its log is the same.
    pub(super) fn tell_again(&mut self, member: u64, committed: u64) {
        let raft = &mut self.node.raft;
        let matched = raft.prs().get(member).map_or(0, |progress| progress.matched);
        if raft.state == StateRole::Leader && committed < matched.min(raft.raft_log.committed) {
            raft.send_append(member);
        }
    }

    /// A member has started anew: what it had before may be gone if its log is not synced, so that its log is compared
    /// again from the end on.
    pub(crate) fn restarted(&mut self, member: ReplicaId) {
        if self.role() != Role::Leader {
            return;
        }
        let next = self.last() + 1;
        if let Some(progress) = self.node.raft.mut_prs().get_mut(member.0) {
            progress.matched = 0;
            progress.become_probe();
            progress.next_idx = next;
        }
    }

    /// A member that has so much does not wait to be filled any more, nor for what the log does not have, whoever should have
    /// said so.
    pub(super) fn see_filled(&mut self, member: ReplicaId, committed: u64) {
        let (before, _) = self.node.store().before();
        let progress = self.node.raft.prs().get(member.0);
        let need = progress.map(|progress| LogNeed::of(progress, before));
        if let Some(LogNeed::Filling(lacked) | LogNeed::Lacking(lacked)) = need
            && committed >= lacked
        {
            self.restarted(member);
        }
    }

    /// A member is being filled with everything up to an entry: it is not sent anything before it says that it is
    /// ([`Core::restarted`]), or shows that it has it. Who begins anew needs nothing of what it had begun.
    pub(crate) fn is_filling(&mut self, member: ReplicaId, upto: u64) {
        if self.role() == Role::Leader
            && let Some(progress) = self.node.raft.mut_prs().get_mut(member.0)
            && progress.matched < upto
            && (progress.state != ProgressState::Snapshot || progress.pending_snapshot < upto)
        {
            progress.become_snapshot(upto);
        }
    }

    /// Tells a member that the log does not have any more what it needs, and where it begins.
    pub(super) fn notice(&self, member: u64) -> RaftMessage {
        let (from, to) = (self.settings.replica, ReplicaId(member));
        RaftMessage::notice((from, to), self.node.raft.term, self.node.store().before())
    }
}
