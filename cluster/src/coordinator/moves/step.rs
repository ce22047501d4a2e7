//! What comes next for a group whose replicas are to be other ones.
//!
//! Invariant: a replica gets a vote when it has caught up, and one that goes loses it in the same change if that is possible, so that a
//! range never has fewer replicas with a vote than before; the leader is not removed, it hands over. Each step follows from
//! what the group's leader says, so that it can be taken again, or by somebody else. Pure.

use std::collections::BTreeSet;

use crate::ring::{Move, Replica};
use crate::group::members::{GroupStatus, MemberStatus};
use crate::raft::{MemberChange, ReplicaId};

/// See the head of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The node is to make the replica, and the group to let it follow.
    Bring(Replica),
    /// The members are to be changed.
    Change(MemberChange),
    /// The leader is to hand over.
    HandOver,
    /// Something is under way.
    Wait,
    /// The members are as they should be.
    Done,
}

/// What comes next for a move.
pub(crate) fn step_of_move(status: &GroupStatus, step: &Move) -> Step {
    let add = step.add.map(|replica| ReplicaId(replica.id));
    let remove = step.remove.map(|replica| ReplicaId(replica.id));
    if status.is_changing {
        return Step::Wait;
    }
    let comes = add.and_then(|add| member(status, add));
    let goes = remove.and_then(|remove| member(status, remove));
    match (step.add, comes) {
        (Some(replica), None) => return Step::Bring(replica),
        (Some(_), Some(comes)) if !comes.is_voter && !comes.has_caught_up => return Step::Wait,
        _ => {}
    }
    let promoted = comes.filter(|comes| !comes.is_voter).map(|comes| comes.replica);
    let Some(goes) = goes else {
        return match promoted {
            Some(_) => exchange(promoted, None),
            None => Step::Done,
        };
    };
    if !goes.is_voter {
        return match promoted {
            Some(_) => exchange(promoted, None),
            None => Step::Change(MemberChange::Forget(goes.replica)),
        };
    }
    if status.leader != goes.replica {
        return exchange(promoted, Some(goes.replica));
    }
    let voters = status.members.iter().filter(|member| member.is_voter);
    if voters.count() > 1 {
        return Step::HandOver;
    }
    match promoted {
        Some(_) => exchange(promoted, None),
        None => Step::Wait,
    }
}

/// So many members of the metadata group have a vote at most; the others follow.
pub(crate) const METADATA_VOTERS_MAX: usize = 5;

/// What comes next for the metadata group, which is to have these replicas, of which those on nodes that are alive can be
/// given a vote.
pub(crate) fn step_of_metadata(status: &GroupStatus, wanted: &[Replica], alive: &BTreeSet<u64>) -> Step {
    if status.is_changing {
        return Step::Wait;
    }
    let is_wanted = |member: &MemberStatus| wanted.iter().any(|replica| replica.id == member.replica.0);
    // A node that still has the replica before has no place for the next one.
    let is_missing = |replica: &&Replica| {
        alive.contains(&replica.node.0) && !status.members.iter().any(|member| member.node == replica.node)
    };
    let missing = wanted.iter().find(is_missing);
    let voters: Vec<_> = status.members.iter().filter(|member| member.is_voter).collect();
    let heir = status.members.iter().find(|member| {
        !member.is_voter && member.has_caught_up && is_wanted(member) && alive.contains(&member.node.0)
    });
    if let Some(goes) = voters.iter().find(|voter| !is_wanted(voter)) {
        let others = voters.len() - 1;
        if heir.is_none() && (missing.is_some() || others == 0) {
            return missing.map_or(Step::Wait, |missing| Step::Bring(*missing));
        }
        if goes.replica == status.leader {
            return if others > 0 {
                Step::HandOver
            } else {
                exchange(heir.map(|heir| heir.replica), None)
            };
        }
        return exchange(heir.map(|heir| heir.replica), Some(goes.replica));
    }
    if let Some(gone) = status.members.iter().find(|member| !member.is_voter && !is_wanted(member)) {
        return Step::Change(MemberChange::Forget(gone.replica));
    }
    if let Some(missing) = missing {
        return Step::Bring(*missing);
    }
    // An even number of votes bears no more failures than one less.
    let most = wanted.len().min(METADATA_VOTERS_MAX);
    let most = most - usize::from(most > 1 && most % 2 == 0);
    if voters.len() < most
        && let Some(heir) = heir
    {
        return exchange(Some(heir.replica), None);
    }
    let idle = status.members.iter().any(|member| !member.is_voter && !member.has_caught_up);
    if idle { Step::Wait } else { Step::Done }
}

fn member(status: &GroupStatus, replica: ReplicaId) -> Option<&MemberStatus> {
    status.members.iter().find(|member| member.replica == replica)
}

fn exchange(add: Option<ReplicaId>, remove: Option<ReplicaId>) -> Step {
    Step::Change(MemberChange::Exchange { add, remove })
}
