//! Shortest paths over the nodes, by which ranges get from nodes with a surplus to nodes with a deficit.
//!
//! A step from one node to another is a range in which the second can take the slot of the first without breaking a cap.
//! It costs 1 when the second did not hold the range before, less 1 when the first did not either: the cost of a path is
//! how many replicas more are moved. The path of least cost, and of these one with the fewest steps, can be carried out as
//! a whole, although each step is checked against the state before all of them: were two steps in one range in each
//! other's way, that is, did they need the same free place in a rack, in a zone or in the range, then the first node of
//! the one could give the range to the last node of the other at once; the part between them would be a cycle, which
//! never costs less than nothing, and the path would not be the shortest.
//!
//! A step that moves nothing: one node keeps a range more than it was to, its share being rounded up now, and another one,
//! whose share was rounded up, has a range less to hold. The same holds for these steps and the room in racks and zones
//! for rounding up.
//!
//! Invariant: what one node can give is looked up again only after one of its ranges has changed. Costs may be negative,
//! cycles are not, as long as all that was done before was done along shortest paths.

use std::collections::{BTreeSet, VecDeque};

use super::assignment::Assignment;
use super::topology::{Node, NodeSet, contains, insert, members};

/// What a path may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// Only steps to nodes that held the range before: nothing is moved more.
    Back,
    /// All.
    All,
}

/// Cost, then number of steps.
type Length = (i32, u32);

/// How a path goes on from one node to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A range is given on.
    Range,
    /// The rounding of the share is given back.
    Rounding,
}

/// How a path comes to a node.
#[derive(Clone, Copy, Debug)]
struct Label {
    length: Length,
    from: Node,
    step: Step,
}

/// To whom a node can give one of its ranges.
#[derive(Clone, Debug, Default)]
struct Reach {
    /// At no cost, since the node has not held the range before.
    at_no_cost: NodeSet,
    /// At the cost of one more replica that is moved.
    at_cost: NodeSet,
    /// Nodes that have held the range before, at 0 or -1.
    back: Vec<(Node, i32)>,
}

/// From a node with a surplus to one with a deficit.
#[derive(Debug)]
struct Path {
    first: Node,
    /// Each from a node to another one.
    steps: Vec<(Node, Step, Node)>,
    last: Node,
}

/// Finds and carries out shortest paths.
#[derive(Debug)]
pub(super) struct Paths {
    steps: Steps,
    /// By node; `None` where it has to be looked up.
    reach: Vec<Option<Reach>>,
}

impl Paths {
    /// For an assignment and kind of steps, as long as nobody else changes the assignment.
    pub(super) fn new(assignment: &Assignment<'_>, steps: Steps) -> Self {
        Self {
            steps,
            reach: vec![None; assignment.topology.len() + 1],
        }
    }

    /// Moves ranges along the shortest path from any node with a surplus to any with a deficit; says whether there was
    /// one.
    ///
    /// The same nodes are gone along again as long as there are ranges for it at the same cost which were not touched yet:
    /// the shortest path never becomes shorter, so this one stays the cheapest, and steps in ranges of their own are
    /// never in each other's way.
    pub(super) fn give(&mut self, assignment: &mut Assignment<'_>) -> bool {
        let Some(path) = self.shortest(assignment) else {
            return false;
        };
        // A share is rounded once.
        let is_repeatable = path.steps.iter().all(|(_, step, _)| *step == Step::Range);
        let most = if is_repeatable {
            assignment.surplus(path.first).min(assignment.deficit(path.last))
        } else {
            1
        };
        let given = path.steps.iter().filter(|(_, step, _)| *step == Step::Range);
        let given = given
            .map(|(leaving, _, coming)| (*leaving, *coming))
            .collect::<Vec<_>>();
        let ranges = given
            .iter()
            .map(|(leaving, coming)| cheapest_ranges(assignment, *leaving, *coming));
        let chosen = choose(&ranges.collect::<Vec<_>>(), most);
        for ((leaving, coming), ranges) in given.into_iter().zip(chosen) {
            self.reach[usize::from(leaving)] = None;
            for range in &ranges {
                for node in assignment.nodes_of(*range) {
                    self.reach[usize::from(*node)] = None;
                }
            }
            assignment.replace(&ranges, leaving, coming);
            self.reach[usize::from(coming)] = None;
        }
        for (node, step, other) in path.steps {
            if step == Step::Rounding {
                assignment.round_up(node, other);
            }
        }
        true
    }

    /// The shortest path.
    fn shortest(&mut self, assignment: &Assignment<'_>) -> Option<Path> {
        let mut labels = vec![None::<Label>; self.reach.len()];
        let mut waiting = VecDeque::new();
        let mut is_waiting = vec![false; self.reach.len()];
        for node in (0..=assignment.free()).filter(|node| assignment.surplus(*node) > 0) {
            labels[usize::from(node)] = Some(Label {
                length: (0, 0),
                from: node,
                step: Step::Range,
            });
            waiting.push_back(node);
            is_waiting[usize::from(node)] = true;
        }
        while let Some(node) = waiting.pop_front() {
            is_waiting[usize::from(node)] = false;
            let Some(label) = labels[usize::from(node)] else {
                continue;
            };
            let (cost, steps) = label.length;
            let reach = self.reach_of(assignment, node);
            let at_no_cost = members(&reach.at_no_cost).map(|next| (next, Step::Range, 0));
            let at_cost = members(&reach.at_cost).map(|next| (next, Step::Range, 1));
            let back = reach.back.iter().map(|(next, cost)| (*next, Step::Range, *cost));
            let rounding = assignment
                .nodes()
                .filter(|next| assignment.can_round_up(node, *next));
            let rounding = rounding.map(|next| (next, Step::Rounding, 0));
            for (next, step, added) in at_no_cost.chain(at_cost).chain(back).chain(rounding) {
                let length = (cost + added, steps + 1);
                let at = usize::from(next);
                if labels[at].is_none_or(|label| length < label.length) {
                    labels[at] = Some(Label {
                        length,
                        from: node,
                        step,
                    });
                    if !is_waiting[at] {
                        is_waiting[at] = true;
                        waiting.push_back(next);
                    }
                }
            }
        }
        let wanting = assignment.nodes().filter(|node| assignment.deficit(*node) > 0);
        let (_, last) = wanting
            .filter_map(|node| Some((labels[usize::from(node)]?.length, node)))
            .min()?;
        let mut steps = Vec::new();
        let mut first = last;
        while let Some(Label { from, step, .. }) = labels[usize::from(first)]
            && from != first
        {
            steps.push((from, step, first));
            first = from;
        }
        steps.reverse();
        Some(Path { first, steps, last })
    }

    fn reach_of(&mut self, assignment: &Assignment<'_>, node: Node) -> &Reach {
        let steps = self.steps;
        self.reach[usize::from(node)].get_or_insert_with(|| look_up(assignment, node, steps))
    }
}

/// To whom a node can give one of its ranges.
fn look_up(assignment: &Assignment<'_>, leaving: Node, steps: Steps) -> Reach {
    let words = assignment.topology.len().div_ceil(64);
    let mut reach = Reach {
        at_no_cost: vec![0; words],
        at_cost: vec![0; words],
        back: Vec::new(),
    };
    let mut seen = vec![0; words];
    let mut present = Vec::new();
    let mut barred = vec![0; words];
    for range in assignment.holds(leaving) {
        let before = assignment.before(*range);
        let is_new = cost_of(assignment, *range, leaving);
        if steps == Steps::Back
            && before
                .iter()
                .all(|node| assignment.nodes_of(*range).contains(node))
        {
            continue;
        }
        assignment.bar(*range, leaving, &mut present, &mut barred);
        for node in before.iter().filter(|node| !contains(&barred, **node)) {
            if is_new == 1 || !contains(&seen, *node) {
                insert(&mut seen, *node);
                reach.back.push((*node, -is_new));
            }
        }
        if steps == Steps::All {
            let to = if is_new == 1 {
                &mut reach.at_no_cost
            } else {
                &mut reach.at_cost
            };
            for (to, barred) in to.iter_mut().zip(&barred) {
                *to |= !barred;
            }
        }
    }
    // Beyond the last node there is nobody.
    let beyond = assignment.topology.len() % 64;
    if beyond > 0 {
        for set in [&mut reach.at_no_cost, &mut reach.at_cost] {
            if let Some(last) = set.last_mut() {
                *last &= (1 << beyond) - 1;
            }
        }
    }
    reach
}

/// The ranges in which one node can give its slot to another at the least cost, in the order in which it holds them.
fn cheapest_ranges(assignment: &Assignment<'_>, leaving: Node, coming: Node) -> Vec<u32> {
    let mut present = Vec::new();
    let mut barred = vec![0; assignment.topology.len().div_ceil(64)];
    let mut least = i32::MAX;
    let mut cheapest = Vec::new();
    for range in assignment.holds(leaving) {
        let cost = cost_of(assignment, *range, coming) - cost_of(assignment, *range, leaving);
        if cost > least {
            continue;
        }
        assignment.bar(*range, leaving, &mut present, &mut barred);
        if !contains(&barred, coming) {
            if cost < least {
                cheapest.clear();
                least = cost;
            }
            cheapest.push(*range);
        }
    }
    cheapest
}

/// Of the ranges of each step, those in which it is taken: equally many of each step and `most` at most. Only the steps
/// of the first round may meet in a range.
fn choose(ranges: &[Vec<u32>], most: usize) -> Vec<Vec<u32>> {
    let mut chosen = vec![Vec::new(); ranges.len()];
    let mut unseen = ranges.iter().map(|ranges| ranges.iter()).collect::<Vec<_>>();
    let mut touched = BTreeSet::new();
    let mut round = Vec::with_capacity(ranges.len());
    for number in 0..most {
        round.clear();
        for ranges in &mut unseen {
            let next = ranges.find(|range| number == 0 || !touched.contains(*range));
            let Some(range) = next else {
                return chosen;
            };
            if number > 0 {
                touched.insert(*range);
            }
            round.push(*range);
        }
        touched.extend(&round);
        for (chosen, range) in chosen.iter_mut().zip(&round) {
            chosen.push(*range);
        }
    }
    chosen
}

/// 1 for a replica that was not there before, 0 for one that was, and for a free slot.
fn cost_of(assignment: &Assignment<'_>, range: u32, node: Node) -> i32 {
    i32::from(node != assignment.free() && !assignment.before(range).contains(&node))
}
