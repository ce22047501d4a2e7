//! The way from one layout to the next: which replicas come and which go.
//!
//! Invariant: carried out in order, the moves lead from the replicas of the one layout to those of the other; a range
//! loses a replica without getting one only when it has more than the other layout gives it. Not here: how a move is
//! carried out, and how many are under way at once.

use std::collections::BTreeMap;

use super::layout::{Layout, Replica};
use super::token::RangeId;
use crate::world::NodeId;

/// One change of a range's replicas: one comes, one goes, or one takes the other's place. It is one change of the
/// configuration of the range's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The range.
    pub range: RangeId,
    /// What comes, with its fresh replica id.
    pub add: Option<Replica>,
    /// What goes.
    pub remove: Option<Replica>,
}

/// How far a node that gives is from the node that receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distance {
    SameNode,
    SameRack,
    SameZone,
    Far,
}

/// The moves from one layout to another of the same ranges.
///
/// What goes is paired with what comes on its own node, in its own rack, in its own zone, or anywhere, in this order of
/// preference. So in whatever order the moves are carried out, no rack and no zone ever has more replicas of a range than
/// in one of the two layouts, provided that no node has changed its place between them.
///
/// Ranges that lack replicas come first, ranges that have too many come last, and the nodes that receive take turns, so
/// that moves that stand side by side load different nodes.
pub fn moves(from: &Layout, to: &Layout) -> Vec<Move> {
    let mut steps = Vec::new();
    for range in to.bits().ranges() {
        let before = from.replicas(range);
        let after = to.replicas(range);
        // Nearly all ranges of nearly all changes: nothing to allocate for.
        if before.len() == after.len() && before.iter().all(|replica| after.contains(replica)) {
            continue;
        }
        pair(from, to, range, &mut steps);
    }
    take_turns(steps)
}

/// Adds the moves of one range.
fn pair(from: &Layout, to: &Layout, range: RangeId, steps: &mut Vec<Move>) {
    let missing_in = |these: &[Replica], others: &[Replica]| {
        let missing = these.iter().filter(|replica| !others.contains(replica));
        missing.copied().collect::<Vec<_>>()
    };
    let mut added = missing_in(to.replicas(range), from.replicas(range));
    let mut removed = missing_in(from.replicas(range), to.replicas(range));
    for wanted in [
        Distance::SameNode,
        Distance::SameRack,
        Distance::SameZone,
        Distance::Far,
    ] {
        added.retain(|add| {
            let found = removed
                .iter()
                .position(|remove| distance(from, to, *remove, *add) == wanted);
            let Some(found) = found else { return true };
            steps.push(Move {
                range,
                add: Some(*add),
                remove: Some(removed.remove(found)),
            });
            false
        });
    }
    steps.extend(added.into_iter().map(|add| Move {
        range,
        add: Some(add),
        remove: None,
    }));
    steps.extend(removed.into_iter().map(|remove| Move {
        range,
        add: None,
        remove: Some(remove),
    }));
}

fn distance(from: &Layout, to: &Layout, remove: Replica, add: Replica) -> Distance {
    if remove.node == add.node {
        return Distance::SameNode;
    }
    // A node that leaves is in the old layout only.
    let source = to.node(remove.node).or_else(|| from.node(remove.node));
    match source.zip(to.node(add.node)) {
        Some((source, target)) if source.zone == target.zone && source.rack == target.rack => {
            Distance::SameRack
        }
        Some((source, target)) if source.zone == target.zone => Distance::SameZone,
        _ => Distance::Far,
    }
}

/// Puts moves in the order of their urgency, and lets the nodes that receive take turns.
fn take_turns(steps: Vec<Move>) -> Vec<Move> {
    let mut received = BTreeMap::<NodeId, u32>::new();
    let mut ordered = steps
        .into_iter()
        .map(|step| {
            let (urgency, turn) = match (step.add, step.remove) {
                (Some(add), remove) => {
                    let turn = received.entry(add.node).or_default();
                    *turn += 1;
                    (u8::from(remove.is_some()), *turn)
                }
                (None, _) => (2, 0),
            };
            ((urgency, turn), step)
        })
        .collect::<Vec<_>>();
    ordered.sort_by_key(|(order, _)| *order);
    ordered.into_iter().map(|(_, step)| step).collect()
}
