//! Which nodes hold which range: from the nodes that hold it now to nodes in the right number, with the fewest moves.
//!
//! Invariant: at every moment each range has its number of slots, each with a node or free, and its nodes keep to the
//! caps of racks and zones. What is done is the successive-shortest-path method for flows of least cost, on the nodes
//! instead of on the much larger network of ranges and nodes; `mod.rs` says what follows from that. Not here: how many
//! replicas a node is to hold (`share.rs`), and how the shortest path is found (`path.rs`).

use std::cmp::Reverse;

use super::share::Shares;
use super::topology::{Node, NodeSet, Topology, insert, members};
use crate::world::NodeId;

/// See the module.
#[derive(Debug)]
pub(super) struct Assignment<'a> {
    pub(super) topology: &'a Topology,
    /// The nodes of all ranges, `copies` for each.
    slots: Vec<Node>,
    /// The nodes that held each range when this began, in their order, if they are still there.
    before: &'a [Vec<Node>],
    /// The ranges of each node, and behind them those with a free slot, once for each such slot.
    holds: Vec<Vec<u32>>,
    /// How many ranges each node is to hold.
    shares: Shares,
}

impl<'a> Assignment<'a> {
    /// Keeps of each range as many replicas as its slots and the caps permit; where not all of them, rather those on
    /// nodes that hold too little.
    pub(super) fn keep(topology: &'a Topology, before: &'a [Vec<Node>], shares: Shares) -> Self {
        let mut assignment = Self {
            topology,
            slots: vec![free(topology); before.len() * topology.copies],
            before,
            holds: vec![Vec::new(); topology.len() + 1],
            shares,
        };
        let mut held = vec![0_usize; topology.len()];
        for node in before.iter().flatten() {
            held[usize::from(*node)] += 1;
        }
        let mut order = Vec::new();
        for (range, present) in (0..).zip(before) {
            order.clear();
            order.extend_from_slice(present);
            // How many more a node holds than it is to; the sort is stable.
            order.sort_by_key(|node| {
                let (held, target) = (held[usize::from(*node)], assignment.target(*node));
                (held.saturating_sub(target), Reverse(target.saturating_sub(held)))
            });
            let mut kept = 0;
            for node in &order {
                let place = assignment.place(range);
                if kept < topology.copies && topology.admits(&assignment.slots[place..place + kept], *node) {
                    assignment.slots[place + kept] = *node;
                    assignment.holds[usize::from(*node)].push(range);
                    kept += 1;
                } else {
                    held[usize::from(*node)] -= 1;
                }
            }
            let left = topology.copies - kept;
            assignment.holds[topology.len()].extend(std::iter::repeat_n(range, left));
        }
        assignment
    }

    /// The number that stands for a free slot.
    pub(super) fn free(&self) -> Node {
        free(self.topology)
    }

    /// The nodes of a range, and [`Self::free`] for each free slot.
    pub(super) fn nodes_of(&self, range: u32) -> &[Node] {
        let place = self.place(range);
        &self.slots[place..place + self.topology.copies]
    }

    /// The nodes of all ranges, in the order of the ranges.
    pub(super) fn all_nodes(&self) -> &[Node] {
        &self.slots
    }

    /// The nodes that held a range when this began.
    pub(super) fn before(&self, range: u32) -> &[Node] {
        usize::try_from(range).map_or(&[], |range| &self.before[range])
    }

    /// The ranges of a node, or those with a free slot.
    pub(super) fn holds(&self, node: Node) -> &[u32] {
        &self.holds[usize::from(node)]
    }

    /// How many ranges a node is to give away; of free slots all.
    pub(super) fn surplus(&self, node: Node) -> usize {
        self.holds(node).len().saturating_sub(self.target(node))
    }

    /// How many ranges a node is to get.
    pub(super) fn deficit(&self, node: Node) -> usize {
        self.target(node).saturating_sub(self.holds(node).len())
    }

    /// How many ranges a node is to hold; no slot is to be free.
    fn target(&self, node: Node) -> usize {
        if node == self.free() {
            return 0;
        }
        usize::try_from(self.shares.target(usize::from(node))).unwrap_or(usize::MAX)
    }

    /// Whether one node could keep a range more, and another one a range less, by rounding their shares otherwise.
    pub(super) fn can_round_up(&self, node: Node, other: Node) -> bool {
        node != self.free()
            && self
                .shares
                .can_pass(self.topology, usize::from(other), usize::from(node))
    }

    /// Rounds one node's share up and another one's down.
    pub(super) fn round_up(&mut self, node: Node, other: Node) {
        self.shares
            .pass(self.topology, usize::from(other), usize::from(node));
    }

    /// Sets in `barred` the nodes that cannot take the slot of `leaving` in a range.
    pub(super) fn bar(&self, range: u32, leaving: Node, present: &mut Vec<Node>, barred: &mut NodeSet) {
        let free = self.free();
        present.clear();
        let others = self
            .nodes_of(range)
            .iter()
            .filter(|node| **node != leaving && **node != free);
        present.extend(others);
        self.topology.bar(present, barred);
        if leaving != free {
            insert(barred, leaving);
        }
    }

    /// Gives the slots of one node in some ranges to another. The ranges are in the order in which the node holds them.
    pub(super) fn replace(&mut self, ranges: &[u32], leaving: Node, coming: Node) {
        let mut left = ranges.iter().peekable();
        self.holds[usize::from(leaving)].retain(|held| left.next_if_eq(&held).is_none());
        for range in ranges {
            self.occupy(*range, leaving, coming);
        }
    }

    /// Gives ranges of nodes with a surplus, and free slots, to nodes with a deficit, as far as that goes without a third
    /// node. Of several nodes, to the one with the greatest deficit, so that all of them are filled to the end; of
    /// equals, to one that depends on the range, so that the ranges of a node share their other replicas with many nodes,
    /// and the work of a lost node is spread over many.
    pub(super) fn give_directly(&mut self) {
        let mut wanting = vec![0; self.topology.len().div_ceil(64)];
        for node in self.nodes().filter(|node| self.deficit(*node) > 0) {
            insert(&mut wanting, node);
        }
        let mut present = Vec::new();
        let mut barred = wanting.clone();
        for giver in std::iter::once(self.free()).chain(self.nodes()) {
            let given = usize::from(giver);
            let mut surplus = self.surplus(giver);
            if surplus == 0 {
                continue;
            }
            let held = std::mem::take(&mut self.holds[given]);
            let mut left = Vec::new();
            for range in held {
                let taker = if surplus == 0 {
                    None
                } else {
                    self.bar(range, giver, &mut present, &mut barred);
                    barred
                        .iter_mut()
                        .zip(&wanting)
                        .for_each(|(barred, wanting)| *barred = wanting & !*barred);
                    self.neediest(range, &barred)
                };
                match taker {
                    Some(taker) => {
                        self.occupy(range, giver, taker);
                        surplus -= 1;
                        if self.deficit(taker) == 0 {
                            wanting[usize::from(taker / 64)] &= !(1 << (taker % 64));
                        }
                    }
                    None => left.push(range),
                }
            }
            self.holds[given] = left;
        }
    }

    /// All nodes, ascending.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> + use<> {
        0..self.free()
    }

    /// Whether every node holds as many ranges as it is to, and no slot is free.
    pub(super) fn is_complete(&self) -> bool {
        (0..=self.free()).all(|node| self.surplus(node) == 0 && self.deficit(node) == 0)
    }

    /// Of some nodes the one with the greatest deficit.
    fn neediest(&self, range: u32, candidates: &[u64]) -> Option<Node> {
        let mut best: Option<(usize, u64, Node)> = None;
        for node in members(candidates) {
            let deficit = self.deficit(node);
            let Some((greatest, lot, _)) = best else {
                best = Some((deficit, self.lot(range, node), node));
                continue;
            };
            if deficit >= greatest {
                let drawn = self.lot(range, node);
                if deficit > greatest || drawn > lot {
                    best = Some((deficit, drawn, node));
                }
            }
        }
        best.map(|(_, _, node)| node)
    }

    /// What decides between equals: a number that looks random, and is the same for a range and a node each time.
    fn lot(&self, range: u32, node: Node) -> u64 {
        let NodeId(id) = self.topology.ids[usize::from(node)];
        mix(mix(u64::from(range)) ^ id)
    }

    /// Puts a node into a slot; the ranges of who leaves are up to the caller.
    fn occupy(&mut self, range: u32, leaving: Node, coming: Node) {
        let place = self.place(range);
        let slots = &mut self.slots[place..place + self.topology.copies];
        if let Some(slot) = slots.iter_mut().find(|slot| **slot == leaving) {
            *slot = coming;
            self.holds[usize::from(coming)].push(range);
        }
    }

    fn place(&self, range: u32) -> usize {
        usize::try_from(range).unwrap_or(usize::MAX) * self.topology.copies
    }
}

/// The number behind the last node.
fn free(topology: &Topology) -> Node {
    Node::try_from(topology.len()).unwrap_or(Node::MAX)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
