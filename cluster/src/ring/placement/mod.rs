//! The placement function: from a layout and the nodes that are present to the next layout.
//!
//! Invariant: it is a pure function, exact in integers, so that it gives the same result everywhere. Not here: when a
//! layout is made, and how its replicas are moved.
//!
//! # What it guarantees, and why
//!
//! *Racks and zones.* No rack and no zone has more replicas of a range than it must: never two in one rack when there are
//! at least as many racks as replicas, never two in one zone when there are as many zones. Each is capped by the smallest
//! number under which a range finds room (`topology.rs`), and every step of the assignment keeps to the caps.
//!
//! *Balance.* Replicas are shared out by capacity, as evenly as the caps permit (`share.rs`), and every node holds its
//! share rounded up or down; so nodes of equal capacity whose racks and zones are not full differ by one at most. Such an
//! assignment always exists: write the nodes down zone by zone and rack by rack, each as often as its number says, and
//! deal the ranges out to this list in turn. A node is not longer in it than there are ranges, a rack or zone not longer
//! than its cap times the ranges, so that no range meets any of them too often.
//!
//! *Least movement.* No assignment that keeps the rules and the balance moves fewer replicas. Ranges, their zones, racks
//! and nodes are a network in which an assignment is a flow, and a replica that was not there before costs 1; Garage
//! places its partitions by such a flow too. What keeps to the rules is kept, which costs nothing, and then flow is added
//! along paths of least cost, which keeps it of least cost at every amount (successive shortest paths; Ahuja, Magnanti,
//! Orlin, "Network Flows", 9.7). The general methods need the whole network, ten million edges for large clusters. Here
//! nearly all paths are one step, found by looking at a range and the nodes that want more; the others are searched for
//! over the nodes alone (`path.rs`).
//!
//! *Leaders* are as even, by capacity, as the replicas permit (`leaders.rs`), and within one for nodes of equal capacity
//! that hold equal numbers of replicas.
//!
//! Random placement as in CRUSH, or the most urgent move at a time as in the allocators of CockroachDB and Kafka's tools,
//! are simpler and handle less: the one is balanced on average only, the other stops where no single move helps.

mod assignment;
mod leaders;
mod path;
mod share;
mod topology;

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use assignment::Assignment;
use path::{Paths, Steps};
use share::Shares;
use topology::{NODES_MAX, Node, Topology};

use super::error::PlacementError;
use super::layout::{Layout, NodeDescription, RangeReplicas, Replica};
use crate::world::NodeId;

/// Places the replicas of all ranges on the nodes that are present, moving as few as possible from where they are; see
/// the module for what else holds. The first placement starts from [`Layout::empty`].
///
/// The result has the next epoch. A replica that stays keeps its id, every other one has a fresh id. Nodes that are not
/// present are not in the result. With fewer nodes than wanted replicas, every node holds every range.
///
/// # Errors
/// [`PlacementError::NoNodes`] and [`PlacementError::TooManyNodes`].
pub fn place(
    from: &Layout,
    nodes: &BTreeMap<NodeId, NodeDescription>,
    replication: NonZeroU8,
) -> Result<Layout, PlacementError> {
    if nodes.is_empty() {
        return Err(PlacementError::NoNodes);
    }
    if nodes.len() > NODES_MAX {
        return Err(PlacementError::TooManyNodes {
            found: nodes.len(),
            most: NODES_MAX,
        });
    }
    let topology = Topology::new(nodes, usize::from(replication.get()));
    let before = present_before(from, &topology);
    let mut held = vec![0_u64; topology.len()];
    for node in before.iter().flatten() {
        held[usize::from(*node)] += 1;
    }
    let shares = Shares::new(&topology, u64::from(from.bits.range_count()), &held);
    let mut assignment = Assignment::keep(&topology, &before, shares);
    settle(&mut assignment);
    Ok(layout(from, nodes, replication, &assignment))
}

/// The nodes that held each range and are present, the preferred leader first.
fn present_before(from: &Layout, topology: &Topology) -> Vec<Vec<Node>> {
    let number = topology
        .ids
        .iter()
        .copied()
        .zip(0..)
        .collect::<BTreeMap<NodeId, Node>>();
    let present = |range: &RangeReplicas| {
        let nodes = range.replicas.iter();
        nodes
            .filter_map(|replica| number.get(&replica.node).copied())
            .collect()
    };
    from.ranges.iter().map(present).collect()
}

/// Brings every node to its number of ranges, along paths of rising cost.
fn settle(assignment: &mut Assignment<'_>) {
    // What was not kept can come back in place of something else that was there, at no cost.
    let mut paths = Paths::new(assignment, Steps::Back);
    while paths.give(assignment) {}
    // One step, and one replica that moves.
    assignment.give_directly();
    let mut paths = Paths::new(assignment, Steps::All);
    while paths.give(assignment) {}
    debug_assert!(
        assignment.is_complete(),
        "an assignment of these numbers always exists"
    );
}

/// The layout of an assignment.
fn layout(
    from: &Layout,
    nodes: &BTreeMap<NodeId, NodeDescription>,
    replication: NonZeroU8,
    assignment: &Assignment<'_>,
) -> Layout {
    let topology = assignment.topology;
    let led_before = (0..).zip(&from.ranges).map(|(range, old)| {
        let first = *assignment.before(range).first()?;
        let leader = old.replicas.first()?.node;
        (topology.ids[usize::from(first)] == leader).then_some(first)
    });
    let leaders = leaders::choose(topology, assignment.all_nodes(), &led_before.collect::<Vec<_>>());
    let ranges = (0..).zip(&from.ranges).zip(leaders);
    let ranges = ranges.map(|((range, old), leader)| {
        let mut placed = assignment.nodes_of(range).to_vec();
        // The leader, then who was there in the order in which they were, then who comes.
        let place_before = |node: &Node| assignment.before(range).iter().position(|other| other == node);
        placed.sort_by_key(|node| (*node != leader, place_before(node).unwrap_or(usize::MAX), *node));
        let mut next_id = old.next_id;
        let replicas = placed.into_iter().map(|node| {
            let node = topology.ids[usize::from(node)];
            let stays = old.replicas.iter().find(|replica| replica.node == node);
            stays.copied().unwrap_or_else(|| {
                next_id += 1;
                Replica {
                    node,
                    id: next_id - 1,
                }
            })
        });
        let replicas = replicas.collect();
        RangeReplicas { replicas, next_id }
    });
    Layout {
        epoch: from.epoch + 1,
        bits: from.bits,
        replication,
        ranges: ranges.collect(),
        nodes: nodes.clone(),
    }
}

#[cfg(test)]
mod tests;
