//! Which replica of each range is its preferred leader.
//!
//! Invariant: no change of leaders along any chain of ranges makes them more even. The distance of a node from its fair
//! number of ranges to lead counts squared, and as these costs are convex and separable, a choice that no chain improves
//! is the best of all (the argument for optimal semi-matchings: Harvey, Ladner, Lovasz, Tamir, "Semi-matchings for
//! bipartite graphs and load balancing", 2006). So when nodes of equal capacity hold equal numbers of replicas up to one,
//! they lead equal numbers of ranges up to one, since such a choice exists: give each replica of a range an equal part of
//! its leadership, and round the flow. Not here: who leads at a moment, which is the matter of the group.

use super::topology::{Node, Topology};

/// See the module.
#[derive(Debug)]
struct Leaders<'a> {
    topology: &'a Topology,
    /// The nodes of each range, `copies` for each.
    nodes: &'a [Node],
    range_count: i128,
    weight: i128,
    /// By range.
    leader: Vec<Node>,
    /// The ranges that each node leads.
    leads: Vec<Vec<u32>>,
    /// Of the ranges that one node leads, how many another one holds: what the first could hand over to the second.
    shared: Vec<u32>,
}

/// Chooses the leader of each range: its leader before, if that still holds it and nothing speaks against it.
///
/// `nodes` are the nodes of the ranges, as many for each as there are copies; `before` says who was first in each.
pub(super) fn choose(topology: &Topology, nodes: &[Node], before: &[Option<Node>]) -> Vec<Node> {
    let count = topology.len();
    let mut leaders = Leaders {
        topology,
        nodes,
        range_count: i128::try_from(before.len()).unwrap_or(i128::MAX),
        weight: topology.weights.iter().copied().map(i128::from).sum(),
        leader: vec![Node::MAX; before.len()],
        leads: vec![Vec::new(); count],
        shared: vec![0; count * count],
    };
    let mut open = Vec::new();
    for (range, leader) in (0..).zip(before) {
        match leader.filter(|leader| leaders.nodes_of(range).contains(leader)) {
            Some(leader) => leaders.appoint(range, leader),
            None => open.push(range),
        }
    }
    for range in open {
        let most_wanting = |node: &&Node| (leaders.excess(**node), **node);
        if let Some(leader) = leaders.nodes_of(range).iter().min_by_key(most_wanting).copied() {
            leaders.appoint(range, leader);
        }
    }
    leaders.even_out();
    leaders.leader
}

impl Leaders<'_> {
    fn nodes_of(&self, range: u32) -> &[Node] {
        let copies = self.topology.copies;
        let place = usize::try_from(range).unwrap_or(usize::MAX) * copies;
        &self.nodes[place..place + copies]
    }

    /// How many more ranges a node leads than its fair number, times the weight of all nodes.
    fn excess(&self, node: Node) -> i128 {
        let node = usize::from(node);
        let leads = i128::try_from(self.leads[node].len()).unwrap_or(i128::MAX);
        leads * self.weight - self.range_count * i128::from(self.topology.weights[node])
    }

    fn appoint(&mut self, range: u32, leader: Node) {
        self.count_shared(range, leader, 1);
        self.leads[usize::from(leader)].push(range);
        if let Ok(index) = usize::try_from(range) {
            self.leader[index] = leader;
        }
    }

    /// Hands one of the ranges that a node leads to another node that holds it.
    fn hand_over(&mut self, from: Node, to: Node) {
        let led = &self.leads[usize::from(from)];
        let Some(at) = led.iter().position(|range| self.nodes_of(*range).contains(&to)) else {
            return;
        };
        let range = self.leads[usize::from(from)].swap_remove(at);
        self.count_shared(range, from, u32::MAX);
        self.appoint(range, to);
    }

    /// Adds to what a leader shares with the nodes of one of its ranges; wraps around, so that the greatest number
    /// takes one away.
    fn count_shared(&mut self, range: u32, leader: Node, change: u32) {
        let row = usize::from(leader) * self.topology.len();
        let copies = self.topology.copies;
        let place = usize::try_from(range).unwrap_or(usize::MAX) * copies;
        for node in &self.nodes[place..place + copies] {
            let shared = &mut self.shared[row + usize::from(*node)];
            *shared = shared.wrapping_add(change);
        }
    }

    /// Hands leaderships on along chains until no chain makes them more even.
    fn even_out(&mut self) {
        let mut improved = true;
        while improved {
            improved = false;
            let mut givers = (0..self.topology.len())
                .filter_map(|node| Node::try_from(node).ok())
                .collect::<Vec<_>>();
            givers.sort_by_key(|node| (std::cmp::Reverse(self.excess(*node)), *node));
            for giver in givers {
                while let Some(chain) = self.best_chain(giver) {
                    improved = true;
                    // From the far end, so that every node still leads what it hands over.
                    for step in chain.windows(2) {
                        if let [to, from] = step {
                            self.hand_over(*from, *to);
                        }
                    }
                }
            }
        }
    }

    /// Whether a chain from a node to one with this excess makes things more even: one range more or less is the weight of all,
    /// and squares fall only when the difference is more than that.
    fn is_worth(&self, giver: Node, excess: i128) -> bool {
        self.excess(giver) - excess > self.weight
    }

    /// The chain from a node to the one with the least excess, if that makes things more even; the end first.
    fn best_chain(&self, giver: Node) -> Option<Vec<Node>> {
        let count = self.topology.len();
        // Nearly all nodes are done here: a chain would have to end somewhere.
        let everyone = (0..self.topology.len()).filter_map(|node| Node::try_from(node).ok());
        let least = everyone.map(|node| self.excess(node)).min()?;
        if !self.is_worth(giver, least) {
            return None;
        }
        let mut reached_from = vec![None::<Node>; count];
        let mut queue = vec![giver];
        reached_from[usize::from(giver)] = Some(giver);
        let mut next = 0;
        let mut best = (self.excess(giver), giver);
        while let Some(node) = queue.get(next).copied() {
            next += 1;
            best = best.min((self.excess(node), node));
            let row = usize::from(node) * count;
            for (other, shared) in (0..).zip(&self.shared[row..row + count]) {
                let reached = &mut reached_from[usize::from(other)];
                if *shared > 0 && reached.is_none() {
                    *reached = Some(node);
                    queue.push(other);
                }
            }
        }
        if !self.is_worth(giver, best.0) {
            return None;
        }
        let mut chain = vec![best.1];
        let mut at = best.1;
        while at != giver {
            at = reached_from[usize::from(at)]?;
            chain.push(at);
        }
        Some(chain)
    }
}
