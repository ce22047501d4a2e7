//! What comes next for a group whose replicas are to be other ones.
//!
//! Invariant: a replica gets a vote when it has caught up, and one that goes loses it in the same change if that is possible, so that a
//! range never has fewer replicas with a vote than before; the leader is not removed, it hands over. Each step follows from
//! what the group's leader says, so that it can be taken again, or by somebody else. Pure.

use std::collections::BTreeSet;

use crate::group::members::{GroupStatus, MemberStatus};
use crate::raft::{MemberChange, ReplicaId};
use crate::ring::{Move, Replica};

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

/// With fewer votes no disk may be lost: a cluster that is to have so many nodes waits for one that can be given a vote.
const METADATA_VOTERS_LEAST: usize = 3;

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
        let least = wanted.len().clamp(1, METADATA_VOTERS_LEAST);
        // What comes in the place of a replica that is lost comes when that is out of its way.
        let is_lost = wanted.iter().any(|replica| replica.node == goes.node);
        let is_needed = others == 0 || (others < least && !is_lost);
        if heir.is_none() && (missing.is_some() || is_needed) {
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
    if let Some(gone) = status
        .members
        .iter()
        .find(|member| !member.is_voter && !is_wanted(member))
    {
        return Step::Change(MemberChange::Forget(gone.replica));
    }
    if let Some(missing) = missing {
        return Step::Bring(*missing);
    }
    // An even number of votes bears no more failures than one less.
    let most = wanted.len().min(METADATA_VOTERS_MAX);
    let most = most - usize::from(most.is_multiple_of(2));
    if voters.len() < most
        && let Some(heir) = heir
    {
        return exchange(Some(heir.replica), None);
    }
    let idle = status
        .members
        .iter()
        .any(|member| !member.is_voter && !member.has_caught_up);
    if idle { Step::Wait } else { Step::Done }
}

fn member(status: &GroupStatus, replica: ReplicaId) -> Option<&MemberStatus> {
    status.members.iter().find(|member| member.replica == replica)
}

fn exchange(add: Option<ReplicaId>, remove: Option<ReplicaId>) -> Step {
    Step::Change(MemberChange::Exchange { add, remove })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ring::RangeId;
    use crate::world::NodeId;

    fn replica(node: u64, id: u64) -> Replica {
        Replica {
            node: NodeId(node),
            id,
        }
    }

    /// A group as its leader would see it, which does what it is told.
    struct Group {
        leader: u64,
        /// By id: node, vote, caught up.
        members: BTreeMap<u64, (u64, bool, bool)>,
    }

    impl Group {
        fn of(voters: &[(u64, u64)]) -> Self {
            let members = voters.iter().map(|(node, id)| (*id, (*node, true, true)));
            Self {
                leader: voters[0].1,
                members: members.collect(),
            }
        }

        fn status(&self) -> GroupStatus {
            let member = |(id, (node, is_voter, has_caught_up)): (&u64, &(u64, bool, bool))| MemberStatus {
                replica: ReplicaId(*id),
                node: NodeId(*node),
                is_voter: *is_voter,
                is_leaving: false,
                has_caught_up: *has_caught_up,
            };
            GroupStatus {
                leader: ReplicaId(self.leader),
                is_changing: false,
                members: self.members.iter().map(member).collect(),
            }
        }

        fn voters(&self) -> Vec<u64> {
            let voters = self.members.iter().filter(|(_, (_, is_voter, _))| *is_voter);
            voters.map(|(id, _)| *id).collect()
        }

        /// Does a step, as far as the group permits it.
        fn take(&mut self, step: Step) {
            match step {
                Step::Bring(replica) => {
                    let is_free = self.members.values().all(|(node, ..)| *node != replica.node.0);
                    assert!(is_free, "a node has room for one replica");
                    self.members.insert(replica.id, (replica.node.0, false, false));
                }
                Step::Change(MemberChange::Forget(gone)) => {
                    let (_, is_voter, _) = self.members.remove(&gone.0).unwrap();
                    assert!(!is_voter, "a vote is not forgotten");
                }
                Step::Change(MemberChange::Exchange { add, remove }) => {
                    if let Some(add) = add {
                        let (_, is_voter, has_caught_up) = self.members.get_mut(&add.0).unwrap();
                        assert!(*has_caught_up && !*is_voter, "who gets a vote has caught up");
                        *is_voter = true;
                    }
                    if let Some(remove) = remove {
                        assert_ne!(remove.0, self.leader, "the leader is not removed");
                        assert!(self.members.remove(&remove.0).unwrap().1);
                    }
                    assert!(!self.voters().is_empty());
                }
                Step::HandOver => {
                    let next = self.voters().into_iter().find(|voter| *voter != self.leader);
                    self.leader = next.expect("somebody to hand over to");
                }
                // Whoever is brought catches up while nothing else happens.
                Step::Wait => {
                    for (_, _, has_caught_up) in self.members.values_mut() {
                        *has_caught_up = true;
                    }
                }
                step => panic!("{step:?}"),
            }
        }
    }

    fn moved(mut group: Group, step: &Move) -> (Group, Vec<Step>) {
        let mut taken = Vec::new();
        let floor = group.voters().len();
        loop {
            let next = step_of_move(&group.status(), step);
            if next == Step::Done {
                return (group, taken);
            }
            group.take(next);
            taken.push(next);
            assert!(
                group.voters().len() >= floor || step.add.is_none(),
                "after {next:?} of {taken:?}"
            );
            assert!(taken.len() < 20, "{taken:?}");
        }
    }

    fn change(add: Option<Replica>, remove: Option<Replica>) -> Move {
        Move {
            range: RangeId(0),
            add,
            remove,
        }
    }

    #[test]
    fn a_replica_takes_the_place_of_another_one() {
        let group = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let (group, taken) = moved(group, &change(Some(replica(4, 4)), Some(replica(3, 3))));
        assert_eq!(group.voters(), [1, 2, 4]);
        let together = MemberChange::Exchange {
            add: Some(ReplicaId(4)),
            remove: Some(ReplicaId(3)),
        };
        assert_eq!(
            taken,
            [Step::Bring(replica(4, 4)), Step::Wait, Step::Change(together)]
        );
    }

    #[test]
    fn a_leader_that_is_to_go_hands_over_first() {
        let group = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let (group, taken) = moved(group, &change(Some(replica(4, 4)), Some(replica(1, 1))));
        assert_eq!(group.voters(), [2, 3, 4]);
        assert!(taken.contains(&Step::HandOver), "{taken:?}");
        let alone = Group::of(&[(1, 1)]);
        let (alone, _) = moved(alone, &change(Some(replica(2, 2)), Some(replica(1, 1))));
        assert_eq!((alone.voters(), alone.leader), (vec![2], 2));
    }

    #[test]
    fn a_range_gets_one_more_or_one_less() {
        let group = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let (group, _) = moved(group, &change(Some(replica(4, 4)), None));
        assert_eq!(group.voters(), [1, 2, 3, 4]);
        let (group, _) = moved(group, &change(None, Some(replica(1, 1))));
        assert_eq!(group.voters(), [2, 3, 4]);
        // A step that was taken before is not taken again.
        let (_, taken) = moved(group, &change(Some(replica(4, 4)), Some(replica(1, 1))));
        assert_eq!(taken, []);
    }

    #[test]
    fn nothing_is_done_while_a_change_is_under_way() {
        let status = GroupStatus {
            is_changing: true,
            ..Group::of(&[(1, 1), (2, 2)]).status()
        };
        let step = change(Some(replica(3, 3)), Some(replica(2, 2)));
        assert_eq!(step_of_move(&status, &step), Step::Wait);
        assert_eq!(step_of_metadata(&status, &[], &BTreeSet::new()), Step::Wait);
    }

    /// Takes the metadata group to where it is wanted.
    fn settle(mut group: Group, wanted: &[Replica], alive: &[u64]) -> Group {
        let alive: BTreeSet<_> = alive.iter().copied().collect();
        for _ in 0..40 {
            match step_of_metadata(&group.status(), wanted, &alive) {
                Step::Done => return group,
                step => group.take(step),
            }
        }
        panic!("{:?}", group.status());
    }

    #[test]
    fn the_metadata_group_has_an_odd_number_of_votes_and_everybody_in_it() {
        let founders = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let wanted: Vec<_> = (1..=4).map(|node| replica(node, node)).collect();
        let group = settle(founders, &wanted, &[1, 2, 3, 4]);
        assert_eq!((group.voters(), group.members.len()), (vec![1, 2, 3], 4));
        let wanted: Vec<_> = (1..=7).map(|node| replica(node, node)).collect();
        let group = settle(group, &wanted, &[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((group.voters().len(), group.members.len()), (5, 7));
        // Nodes leave, the leader among them, and one comes back under another id.
        let mut wanted: Vec<_> = (3..=6).map(|node| replica(node, node)).collect();
        wanted.push(replica(1, 8));
        let group = settle(group, &wanted, &[1, 3, 4, 5, 6]);
        let ids: Vec<_> = group.members.keys().copied().collect();
        assert_eq!((ids, group.voters().len()), (vec![3, 4, 5, 6, 8], 5));
    }

    #[test]
    fn the_metadata_group_keeps_its_votes_until_the_next_replica_has_caught_up() {
        let mut group = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let wanted = [replica(1, 1), replica(2, 2), replica(4, 4)];
        let alive: BTreeSet<_> = [1, 2, 3, 4].into();
        let bring = step_of_metadata(&group.status(), &wanted, &alive);
        assert_eq!(bring, Step::Bring(replica(4, 4)));
        group.take(bring);
        let mut status = group.status();
        for member in &mut status.members {
            member.has_caught_up &= member.is_voter;
        }
        assert_eq!(step_of_metadata(&status, &wanted, &alive), Step::Wait);
        // Nor without it, should it be away: two votes bear no loss.
        let without: BTreeSet<_> = [1, 2, 3].into();
        assert_eq!(step_of_metadata(&status, &wanted, &without), Step::Wait);
        // What a node has lost is no vote.
        let again = [replica(1, 1), replica(2, 2), replica(3, 5)];
        let group = settle(Group::of(&[(1, 1), (2, 2), (3, 3)]), &again, &[1, 2, 3]);
        assert_eq!(group.voters(), [1, 2, 5]);
        // Two nodes that are to be left have two votes.
        let group = settle(Group::of(&[(1, 1), (2, 2), (3, 3)]), &wanted[..2], &[1, 2]);
        assert_eq!(group.voters(), [1, 2]);
    }

    #[test]
    fn the_vote_of_a_node_that_is_lost_goes_to_another_one_and_comes_back_with_it() {
        let founders = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let without = [replica(1, 1), replica(2, 2), replica(4, 4)];
        let group = settle(founders, &without, &[1, 2, 4]);
        assert_eq!(group.voters(), [1, 2, 4]);
        let with = [&without[..], &[replica(3, 5)]].concat();
        let group = settle(group, &with, &[1, 2, 3, 4]);
        let ids: Vec<_> = group.members.keys().copied().collect();
        assert_eq!((group.voters(), ids), (vec![1, 2, 4], vec![1, 2, 4, 5]));
    }

    #[test]
    fn a_node_that_is_away_is_not_waited_for() {
        let founders = Group::of(&[(1, 1), (2, 2), (3, 3)]);
        let wanted = [replica(1, 1), replica(2, 2), replica(3, 3), replica(4, 4)];
        let group = settle(founders, &wanted, &[1, 2, 3]);
        assert_eq!(group.members.len(), 3);
    }
}
