//! The nodes that replicas are placed on, numbered, with their racks and zones and how many replicas of one range each of
//! these may have.
//!
//! Invariant: the caps are the smallest under which a range finds room for its copies. So the cap of a rack is 1 as soon
//! as there are as many racks as copies, and likewise the cap of a zone. Where an even spread over the zones would need
//! two copies in one rack although there are racks enough, the rack rule wins.

use std::collections::BTreeMap;

use crate::ring::layout::NodeDescription;
use crate::world::NodeId;

/// The place of a node in the order of the node numbers.
pub(super) type Node = u16;

/// Most nodes; one more number stands for a copy that is not placed.
pub(super) const NODES_MAX: usize = 65_535;

/// A set of nodes, 64 to a word.
pub(super) type NodeSet = Vec<u64>;

pub(super) fn insert(set: &mut [u64], node: Node) {
    set[usize::from(node / 64)] |= 1 << (node % 64);
}

pub(super) fn contains(set: &[u64], node: Node) -> bool {
    set[usize::from(node / 64)] & (1 << (node % 64)) != 0
}

/// The members of a set, ascending.
pub(super) fn members(set: &[u64]) -> impl Iterator<Item = Node> {
    set.iter().zip(0_u16..).flat_map(|(word, index)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = u16::try_from(left.trailing_zeros())
                .ok()
                .filter(|bit| *bit < 64)?;
            left &= left - 1;
            Some(index * 64 + bit)
        })
    })
}

/// What fails together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) nodes: NodeSet,
    /// For a rack: its zone.
    pub(super) zone: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) ids: Vec<NodeId>,
    pub(super) weights: Vec<u64>,
    pub(super) rack_of: Vec<usize>,
    pub(super) zone_of: Vec<usize>,
    pub(super) racks: Vec<Group>,
    pub(super) zones: Vec<Group>,
    /// How many replicas a range has: as many as are wanted, or one for each node when there are fewer.
    pub(super) copies: usize,
    /// How many replicas of one range a rack may have.
    pub(super) rack_cap: usize,
    /// How many replicas of one range a zone may have.
    pub(super) zone_cap: usize,
}

impl Topology {
    /// Numbers the nodes. There is at least one and at most [`NODES_MAX`].
    pub(super) fn new(nodes: &BTreeMap<NodeId, NodeDescription>, replication: usize) -> Self {
        let words = nodes.len().div_ceil(64);
        let mut topology = Self {
            ids: nodes.keys().copied().collect(),
            weights: nodes
                .values()
                .map(|node| u64::from(node.capacity.get()))
                .collect(),
            rack_of: Vec::with_capacity(nodes.len()),
            zone_of: Vec::with_capacity(nodes.len()),
            racks: Vec::new(),
            zones: Vec::new(),
            copies: replication.min(nodes.len()),
            rack_cap: 1,
            zone_cap: 1,
        };
        let mut zones = BTreeMap::new();
        let mut racks = BTreeMap::new();
        let group = |zone| Group {
            nodes: vec![0; words],
            zone,
        };
        for (node, description) in (0..).zip(nodes.values()) {
            let zone = *zones.entry(description.zone.as_str()).or_insert_with(|| {
                topology.zones.push(group(topology.zones.len()));
                topology.zones.len() - 1
            });
            // Racks of one name in two zones are two racks.
            let rack = *racks.entry((zone, description.rack.as_str())).or_insert_with(|| {
                topology.racks.push(group(zone));
                topology.racks.len() - 1
            });
            insert(&mut topology.racks[rack].nodes, node);
            insert(&mut topology.zones[zone].nodes, node);
            topology.rack_of.push(rack);
            topology.zone_of.push(zone);
        }
        topology.set_caps();
        topology
    }

    fn set_caps(&mut self) {
        let rack_sizes = self
            .racks
            .iter()
            .map(|rack| members(&rack.nodes).count())
            .collect::<Vec<_>>();
        let room = |cap: usize| rack_sizes.iter().map(|size| cap.min(*size)).sum::<usize>();
        while room(self.rack_cap) < self.copies {
            self.rack_cap += 1;
        }
        let mut zone_sizes = vec![0; self.zones.len()];
        for (rack, size) in self.racks.iter().zip(&rack_sizes) {
            zone_sizes[rack.zone] += self.rack_cap.min(*size);
        }
        let room = |cap: usize| zone_sizes.iter().map(|size| cap.min(*size)).sum::<usize>();
        while room(self.zone_cap) < self.copies {
            self.zone_cap += 1;
        }
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether a node may join nodes of which none is it.
    pub(super) fn admits(&self, present: &[Node], node: Node) -> bool {
        let node = usize::from(node);
        let mates = |of: &[usize]| {
            present
                .iter()
                .filter(|other| of[usize::from(**other)] == of[node])
                .count()
        };
        mates(&self.rack_of) < self.rack_cap && mates(&self.zone_of) < self.zone_cap
    }

    /// Sets in `barred` the nodes that may not join the present ones: these themselves, and those whose rack or zone is
    /// full.
    pub(super) fn bar(&self, present: &[Node], barred: &mut [u64]) {
        barred.fill(0);
        for node in present {
            insert(barred, *node);
            let index = usize::from(*node);
            for (of, cap, groups) in [
                (&self.rack_of, self.rack_cap, &self.racks),
                (&self.zone_of, self.zone_cap, &self.zones),
            ] {
                let group = of[index];
                if present
                    .iter()
                    .filter(|other| of[usize::from(**other)] == group)
                    .count()
                    >= cap
                {
                    let full = &groups[group].nodes;
                    barred.iter_mut().zip(full).for_each(|(word, full)| *word |= full);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// Zones of racks of so many nodes.
    fn topology(zones: &[&[usize]], replication: usize) -> Topology {
        let mut nodes = BTreeMap::new();
        for (zone, racks) in zones.iter().enumerate() {
            for (rack, size) in racks.iter().enumerate() {
                for _ in 0..*size {
                    let description = NodeDescription {
                        address: "h:1".into(),
                        zone: format!("z{zone}"),
                        rack: format!("r{rack}"),
                        capacity: NonZeroU32::MIN,
                        incarnation: 0,
                    };
                    nodes.insert(NodeId(u64::try_from(nodes.len()).unwrap()), description);
                }
            }
        }
        Topology::new(&nodes, replication)
    }

    fn caps(zones: &[&[usize]], replication: usize) -> (usize, usize, usize) {
        let topology = topology(zones, replication);
        (topology.copies, topology.rack_cap, topology.zone_cap)
    }

    #[test]
    fn caps_are_as_small_as_the_racks_and_zones_permit() {
        assert_eq!(caps(&[&[1], &[1], &[1]], 3), (3, 1, 1));
        assert_eq!(caps(&[&[2, 2, 2]], 3), (3, 1, 3));
        assert_eq!(caps(&[&[2, 2], &[1, 1]], 3), (3, 1, 2));
        assert_eq!(caps(&[&[5]], 3), (3, 3, 3));
        assert_eq!(caps(&[&[5, 1]], 3), (3, 2, 3));
        assert_eq!(caps(&[&[1], &[1]], 3), (2, 1, 1));
        // Two in each zone would put two into the rack of the first zone.
        assert_eq!(caps(&[&[2], &[1, 1, 1]], 4), (4, 1, 3));
    }

    #[test]
    fn full_racks_and_zones_bar_their_nodes() {
        // Rack 0 of zone 0: nodes 0 and 1; rack 1 of it: node 2; zone 1: nodes 3 and 4 in one rack; zone 2: node 5.
        let topology = topology(&[&[2, 1], &[2], &[1]], 3);
        let mut barred = vec![0];
        topology.bar(&[0, 3], &mut barred);
        assert_eq!(members(&barred).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(topology.admits(&[0, 3], 5) && !topology.admits(&[0, 3], 2));
    }

    #[test]
    fn a_set_gives_its_members_in_order() {
        let mut set = vec![0; 3];
        for node in [130, 0, 63, 64] {
            insert(&mut set, node);
        }
        assert_eq!(members(&set).collect::<Vec<_>>(), [0, 63, 64, 130]);
        assert!(contains(&set, 64) && !contains(&set, 65));
    }
}
