//! What the steward decides by itself: which moves may be under way, which replicas are known, and whether a node may keep hints.
//!
//! Invariant: a node has no more moves than it can bear, a range has one, and none goes to a node that is not there. Pure. Not here: which
//! step of a move comes next (`step.rs`), what has to move (`ring/`).

use std::collections::{BTreeMap, BTreeSet};

use crate::gossip::NodeState;
use crate::ring::{Move, Plan, RangeId, Replica};
use crate::world::NodeId;

/// Moves of a node that are under way at a time, coming and going each.
const MOVES_OF_A_NODE: usize = 2;

/// Whether a node may keep hints, by what it has said last. One that leaves keeps no more when it knows the plan that says so: only
/// what it has said since then is the end of it.
pub(super) fn may_keep_hints(state: Option<&NodeState>, epoch: u64) -> bool {
    state.is_none_or(|state| state.hints_waiting > 0 || state.layout_epoch < epoch)
}

/// Whether the plan knows a replica of a group.
pub(super) fn is_known(plan: &Plan, group: u32, replica: Replica) -> bool {
    match group.checked_sub(1) {
        Some(range) => plan.knows(RangeId(range), replica),
        None => plan.metadata.contains(&replica),
    }
}

/// The moves that may be under way now: those to nodes that are there, in order but for those that are held up, with no more
/// of a node than it can bear.
pub(super) fn admit(
    pending: &[Move],
    alive: &BTreeSet<u64>,
    is_held_up: impl Fn(RangeId) -> bool,
) -> Vec<Move> {
    let mut busy = BTreeMap::<(NodeId, bool), usize>::new();
    let mut ranges = BTreeSet::new();
    let mut admitted = Vec::new();
    let (last, first): (Vec<Move>, Vec<Move>) = pending.iter().partition(|step| is_held_up(step.range));
    for step in first.into_iter().chain(last) {
        let ends = [
            step.add.map(|replica| (replica.node, true)),
            step.remove.map(|replica| (replica.node, false)),
        ];
        let ends: Vec<_> = ends.into_iter().flatten().collect();
        let is_there = step.add.is_none_or(|replica| alive.contains(&replica.node.0));
        let has_room = |end: &(NodeId, bool)| busy.get(end).copied().unwrap_or_default() < MOVES_OF_A_NODE;
        if !is_there || ranges.contains(&step.range) || !ends.iter().all(has_room) {
            continue;
        }
        ranges.insert(step.range);
        for end in ends {
            *busy.entry(end).or_default() += 1;
        }
        admitted.push(step);
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(range: u32, add: u64, remove: u64) -> Move {
        let replica = |node| {
            Some(Replica {
                node: NodeId(node),
                id: 9,
            })
        };
        Move {
            range: RangeId(range),
            add: replica(add),
            remove: replica(remove),
        }
    }

    #[test]
    fn a_node_may_keep_hints_until_it_has_said_that_it_keeps_none_and_knows_the_plan() {
        let said = |layout_epoch, hints_waiting| NodeState {
            layout_epoch,
            hints_waiting,
            ..NodeState::default()
        };
        assert!(may_keep_hints(None, 7));
        assert!(may_keep_hints(Some(&said(7, 1)), 7));
        assert!(may_keep_hints(Some(&said(6, 0)), 7));
        assert!(!may_keep_hints(Some(&said(7, 0)), 7));
        assert!(!may_keep_hints(Some(&said(8, 0)), 7));
    }

    #[test]
    fn a_node_has_two_moves_each_way_and_those_that_are_held_up_come_last() {
        let pending = [
            planned(1, 4, 1),
            planned(2, 4, 2),
            planned(3, 4, 3),
            planned(4, 5, 1),
            planned(5, 6, 2),
        ];
        let alive = BTreeSet::from([1, 2, 3, 4, 5]);
        let admitted = |held_up: &[u32]| {
            let admitted = admit(&pending, &alive, |range| held_up.contains(&range.0));
            admitted.iter().map(|step| step.range.0).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&[]), [1, 2, 4], "node 4 has two, node 6 is not there");
        assert_eq!(admitted(&[1]), [2, 3, 4]);
        assert_eq!(admitted(&[1, 2]), [3, 4, 1]);
    }
}
