//! How many replicas each node is to hold.
//!
//! Invariant: shares are proportional to the capacities as far as the caps of nodes, racks and zones permit (water
//! filling: the level rises for all alike; who is full stays behind), and the number of replicas of a node is its share
//! rounded up or down. All of it is exact: a level is a fraction of integers, because the room in what is not full yet is
//! that of whole ranges less that of what is full already.

use std::cmp::Reverse;

use super::topology::Topology;

/// A node, rack, zone or the whole cluster as a vessel.
#[derive(Debug)]
struct Vessel {
    /// The vessel in which it stands; the cluster stands in itself.
    parent: usize,
    /// How many replicas it holds at most.
    cap: u64,
    /// How many replicas are in the full vessels inside it.
    settled: u64,
    /// Capacity of the nodes inside it that are not full.
    weight: u64,
    /// Nothing more goes in: it, or one in which it stands, is full.
    full: bool,
}

/// A fraction.
#[derive(Clone, Copy, Debug)]
struct Level {
    numerator: u128,
    denominator: u128,
}

impl Level {
    fn is_below(self, other: Self) -> bool {
        self.numerator * other.denominator < other.numerator * self.denominator
    }
}

/// The vessels: the cluster, its zones, its racks, its nodes.
#[derive(Debug)]
struct Vessels {
    vessels: Vec<Vessel>,
    first_node: usize,
}

impl Vessels {
    fn new(topology: &Topology, range_count: u64) -> Self {
        let replicas = |copies: usize| range_count.saturating_mul(u64::try_from(copies).unwrap_or(u64::MAX));
        let vessel = |parent, cap, weight| Vessel {
            parent,
            cap,
            settled: 0,
            weight,
            full: false,
        };
        let first_zone = 1;
        let first_rack = first_zone + topology.zones.len();
        let first_node = first_rack + topology.racks.len();
        let mut vessels = vec![vessel(0, replicas(topology.copies), 0)];
        vessels.extend(
            topology
                .zones
                .iter()
                .map(|_| vessel(0, replicas(topology.zone_cap), 0)),
        );
        let rack_cap = replicas(topology.rack_cap);
        vessels.extend(
            topology
                .racks
                .iter()
                .map(|rack| vessel(first_zone + rack.zone, rack_cap, 0)),
        );
        for (rack, weight) in topology.rack_of.iter().zip(&topology.weights) {
            let mut at = first_rack + rack;
            vessels.push(vessel(at, range_count, *weight));
            loop {
                vessels[at].weight += weight;
                if at == 0 {
                    break;
                }
                at = vessels[at].parent;
            }
        }
        Self { vessels, first_node }
    }

    /// Whether one vessel stands in another, or is it.
    fn stands_in(&self, mut inner: usize, outer: usize) -> bool {
        while inner > outer {
            inner = self.vessels[inner].parent;
        }
        inner == outer
    }

    /// The level at which each node stops to fill.
    fn fill(&mut self) -> Vec<Level> {
        let nothing = Level {
            numerator: 0,
            denominator: 1,
        };
        let mut levels = vec![nothing; self.vessels.len() - self.first_node];
        while let Some((next, level)) = self.next_full() {
            let Vessel {
                cap, settled, weight, ..
            } = self.vessels[next];
            for inner in 0..self.vessels.len() {
                if !self.vessels[inner].full && self.stands_in(inner, next) {
                    self.vessels[inner].full = true;
                    if let Some(node) = inner.checked_sub(self.first_node) {
                        levels[node] = level;
                    }
                }
            }
            let mut at = next;
            while at != 0 {
                at = self.vessels[at].parent;
                self.vessels[at].settled += cap - settled;
                self.vessels[at].weight -= weight;
            }
        }
        levels
    }

    /// Which vessel is full next, and at which level. Of several at one level, the innermost.
    fn next_full(&self) -> Option<(usize, Level)> {
        let mut next: Option<(usize, Level)> = None;
        for (index, vessel) in self.vessels.iter().enumerate() {
            if vessel.full || vessel.weight == 0 {
                continue;
            }
            let level = Level {
                numerator: u128::from(vessel.cap - vessel.settled),
                denominator: u128::from(vessel.weight),
            };
            if next.is_none_or(|(_, lowest)| !lowest.is_below(level)) {
                next = Some((index, level));
            }
        }
        next
    }
}

/// How many replicas each node is to hold: its share rounded down, or up.
///
/// Which nodes are rounded up is open as long as racks, zones and the whole have room for it.
#[derive(Debug)]
pub(super) struct Shares {
    down: Vec<u64>,
    /// Whether the share is no whole number.
    is_broken: Vec<bool>,
    up: Vec<bool>,
    /// How many nodes more could be rounded up in each rack.
    rack_room: Vec<u64>,
    /// How many nodes more could be rounded up in each zone.
    zone_room: Vec<u64>,
}

impl Shares {
    /// Shares out the replicas of so many ranges, given how many each node holds.
    ///
    /// As few nodes as possible lose a replica by rounding: who holds more than its share rounded down is rounded up
    /// first, then who is nearest to the next number. What may be rounded up in a rack, a zone and the cluster is a
    /// laminar matroid, in which choosing greedily is optimal and always ends with the right sum.
    pub(super) fn new(topology: &Topology, range_count: u64, held: &[u64]) -> Self {
        let mut vessels = Vessels::new(topology, range_count);
        let levels = vessels.fill();
        let caps = vessels
            .vessels
            .iter()
            .map(|vessel| vessel.cap)
            .collect::<Vec<_>>();
        let mut shares = Self {
            down: Vec::with_capacity(topology.len()),
            is_broken: Vec::with_capacity(topology.len()),
            up: vec![false; topology.len()],
            zone_room: caps[1..=topology.zones.len()].to_vec(),
            rack_room: caps[1 + topology.zones.len()..vessels.first_node].to_vec(),
        };
        let mut left = caps[0];
        let mut candidates = Vec::new();
        for (node, level) in levels.iter().enumerate() {
            let share = u128::from(topology.weights[node]) * level.numerator;
            let down = u64::try_from(share / level.denominator).unwrap_or(u64::MAX);
            let rest = share % level.denominator;
            shares.down.push(down);
            shares.is_broken.push(rest > 0);
            shares.rack_room[topology.rack_of[node]] -= down;
            shares.zone_room[topology.zone_of[node]] -= down;
            left -= down;
            if rest > 0 {
                // Scaled to a whole number, so that rests of different levels compare.
                let nearness = (rest << 64) / level.denominator;
                candidates.push((Reverse(held[node] > down), Reverse(nearness), node));
            }
        }
        candidates.sort_unstable();
        for (_, _, node) in candidates {
            let (rack, zone) = (topology.rack_of[node], topology.zone_of[node]);
            if left > 0 && shares.rack_room[rack] > 0 && shares.zone_room[zone] > 0 {
                left -= 1;
                shares.rack_room[rack] -= 1;
                shares.zone_room[zone] -= 1;
                shares.up[node] = true;
            }
        }
        shares
    }

    /// How many replicas a node is to hold.
    pub(super) fn target(&self, node: usize) -> u64 {
        self.down[node] + u64::from(self.up[node])
    }

    /// Whether one node can be rounded up in place of another.
    pub(super) fn can_pass(&self, topology: &Topology, from: usize, to: usize) -> bool {
        let same = |of: &[usize]| of[from] == of[to];
        let has_room = |of: &[usize], room: &[u64]| same(of) || room[of[to]] > 0;
        self.up[from]
            && self.is_broken[to]
            && !self.up[to]
            && (same(&topology.rack_of)
                || self.rack_room[topology.rack_of[to]] > 0 && has_room(&topology.zone_of, &self.zone_room))
    }

    /// Rounds one node up in place of another.
    pub(super) fn pass(&mut self, topology: &Topology, from: usize, to: usize) {
        self.up[from] = false;
        self.up[to] = true;
        self.rack_room[topology.rack_of[from]] += 1;
        self.zone_room[topology.zone_of[from]] += 1;
        self.rack_room[topology.rack_of[to]] -= 1;
        self.zone_room[topology.zone_of[to]] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use super::*;
    use crate::ring::layout::NodeDescription;
    use crate::world::NodeId;

    fn topology(nodes: &[(&str, u32)], replication: usize) -> Topology {
        let nodes = nodes.iter().zip(0..).map(|((rack, capacity), id)| {
            let description = NodeDescription {
                address: "h:1".into(),
                zone: "z".into(),
                rack: (*rack).into(),
                capacity: NonZeroU32::new(*capacity).unwrap(),
                incarnation: 0,
            };
            (NodeId(id), description)
        });
        Topology::new(&nodes.collect::<BTreeMap<_, _>>(), replication)
    }

    fn targets(topology: &Topology, range_count: u64, held: &[u64]) -> Vec<u64> {
        let shares = Shares::new(topology, range_count, held);
        (0..topology.len()).map(|node| shares.target(node)).collect()
    }

    #[test]
    fn equal_nodes_get_equal_shares_and_the_rest_goes_to_who_holds_more() {
        let topology = topology(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)], 3);
        assert_eq!(targets(&topology, 16, &[9, 9, 10, 10, 10]), [9, 9, 10, 10, 10]);
        assert_eq!(targets(&topology, 16, &[10, 9, 10, 9, 10]), [10, 9, 10, 9, 10]);
    }

    #[test]
    fn shares_follow_the_capacities() {
        let topology = topology(&[("a", 2), ("a", 1), ("b", 2), ("b", 1)], 1);
        assert_eq!(targets(&topology, 60, &[0; 4]), [20, 10, 20, 10]);
    }

    #[test]
    fn what_does_not_fit_in_a_full_rack_goes_to_the_others() {
        // Three racks, three copies: the lone node of a rack holds everything, whatever its capacity is.
        let three = topology(&[("a", 1), ("b", 5), ("b", 5), ("c", 3), ("c", 1)], 3);
        assert_eq!(targets(&three, 16, &[0; 5]), [16, 8, 8, 12, 4]);
        // With a fourth rack it is full only when its share would be more than everything.
        let four = topology(&[("a", 9), ("b", 1), ("c", 1), ("d", 1)], 3);
        assert_eq!(targets(&four, 12, &[0; 4]), [12, 8, 8, 8]);
    }

    #[test]
    fn shares_are_exact_where_floating_point_is_not() {
        let capacity = u32::MAX;
        let topology = topology(&[("a", capacity), ("b", capacity - 1), ("c", capacity)], 1);
        let targets = targets(&topology, 65_536, &[0; 3]);
        assert_eq!(targets.iter().sum::<u64>(), 65_536);
        assert_eq!(targets, [21_846, 21_845, 21_845]);
    }
}
