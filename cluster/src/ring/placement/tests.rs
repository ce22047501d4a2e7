//! Properties of placements: rules, balance, movement, leaders; small ones against a flow of least cost over the whole
//! network of ranges, zones, racks and nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::ring::{RangeBits, RangeId, moves};

type Nodes = BTreeMap<NodeId, NodeDescription>;

fn description(zone: usize, rack: usize, capacity: u32) -> NodeDescription {
    NodeDescription {
        address: "h:1".into(),
        zone: format!("z{zone}"),
        rack: format!("r{rack}"),
        capacity: NonZeroU32::new(capacity).unwrap(),
        incarnation: 0,
    }
}

/// Equal nodes in as many racks of a zone, and zones, as is said.
fn uniform(zones: usize, racks: usize, per_rack: usize) -> Nodes {
    let places = (0..zones).flat_map(move |zone| (0..racks).map(move |rack| (zone, rack)));
    let places = places.flat_map(|place| std::iter::repeat_n(place, per_rack));
    (0..)
        .zip(places)
        .map(|(id, (zone, rack))| (NodeId(id), description(zone, rack, 1)))
        .collect()
}

fn bits(bits: u8) -> RangeBits {
    RangeBits::new(bits).unwrap()
}

fn copies(replication: u8) -> NonZeroU8 {
    NonZeroU8::new(replication).unwrap()
}

fn first(range_bits: u8, nodes: &Nodes, replication: u8) -> Layout {
    let empty = Layout::empty(bits(range_bits), copies(replication));
    place(&empty, nodes, copies(replication)).unwrap()
}

fn next(from: &Layout, nodes: &Nodes) -> Layout {
    place(from, nodes, from.replication()).unwrap()
}

fn nodes_of(layout: &Layout, range: RangeId) -> BTreeSet<NodeId> {
    layout
        .replicas(range)
        .iter()
        .map(|replica| replica.node)
        .collect()
}

/// How many replicas each node holds.
fn loads(layout: &Layout) -> BTreeMap<NodeId, usize> {
    let nodes = layout.nodes().keys();
    nodes
        .map(|node| (*node, layout.replicas_on(*node).count()))
        .collect()
}

/// How many ranges each node is to lead.
fn led(layout: &Layout) -> BTreeMap<NodeId, usize> {
    let mut led = layout
        .nodes()
        .keys()
        .map(|node| (*node, 0))
        .collect::<BTreeMap<_, _>>();
    for range in layout.bits().ranges() {
        *led.get_mut(&layout.preferred_leader(range).unwrap().node)
            .unwrap() += 1;
    }
    led
}

fn differ_by_one_at_most(counts: &BTreeMap<NodeId, usize>) -> bool {
    counts.values().max().unwrap() - counts.values().min().unwrap() <= 1
}

/// The replicas that one layout has and the other has not.
fn come(from: &Layout, to: &Layout) -> Vec<(RangeId, NodeId)> {
    let ranges = to.bits().ranges();
    let come = |range| {
        let fresh = nodes_of(to, range)
            .difference(&nodes_of(from, range))
            .copied()
            .collect::<Vec<_>>();
        fresh.into_iter().map(move |node| (range, node))
    };
    ranges.flat_map(come).collect()
}

/// The most replicas of one range in a rack, and in a zone, that an even spread needs.
fn caps(nodes: &Nodes, replication: usize) -> (usize, usize) {
    let wanted = replication.min(nodes.len());
    let mut racks = BTreeMap::<_, usize>::new();
    for node in nodes.values() {
        *racks.entry((&node.zone, &node.rack)).or_default() += 1;
    }
    let rack_cap = (1..=wanted).find(|cap| racks.values().map(|size| size.min(cap)).sum::<usize>() >= wanted);
    let rack_cap = rack_cap.unwrap();
    let mut zones = BTreeMap::<_, usize>::new();
    for ((zone, _), size) in racks {
        *zones.entry(zone).or_default() += size.min(rack_cap);
    }
    let zone_cap = (1..=wanted).find(|cap| zones.values().map(|size| size.min(cap)).sum::<usize>() >= wanted);
    (rack_cap, zone_cap.unwrap())
}

/// Says in which range a rule is broken.
fn broken_rule(layout: &Layout) -> Option<String> {
    let nodes = layout.nodes();
    let wanted = usize::from(layout.replication().get()).min(nodes.len());
    let (rack_cap, zone_cap) = caps(nodes, wanted);
    for range in layout.bits().ranges() {
        let replicas = nodes_of(layout, range);
        if replicas.len() != wanted || layout.replicas(range).len() != wanted {
            return Some(format!("range {range} has nodes {replicas:?}"));
        }
        let mut racks = BTreeMap::<_, usize>::new();
        let mut zones = BTreeMap::<_, usize>::new();
        for node in replicas.iter().map(|node| &nodes[node]) {
            *racks.entry((&node.zone, &node.rack)).or_default() += 1;
            *zones.entry(&node.zone).or_default() += 1;
        }
        if racks.values().any(|count| *count > rack_cap) || zones.values().any(|count| *count > zone_cap) {
            return Some(format!("range {range} is spread over {racks:?}"));
        }
    }
    layout.validate().err().map(|error| error.to_string())
}

/// The name of the room that a node is in.
type Room<'a> = &'a dyn Fn(&NodeId) -> (String, String);

/// Shares by bisection in floating point, apart from the exact ones: how many replicas each node is to hold.
fn shares(layout: &Layout) -> BTreeMap<NodeId, f64> {
    let nodes = layout.nodes();
    let ranges = f64::from(layout.bits().range_count());
    let count = |number: usize| f64::from(u32::try_from(number).unwrap());
    let wanted = usize::from(layout.replication().get()).min(nodes.len());
    let (rack_cap, zone_cap) = caps(nodes, wanted);
    // Rooms in which a level is sought: each rack by itself, then each zone with what its racks take, then all.
    let mut shares = nodes
        .keys()
        .map(|node| (*node, ranges))
        .collect::<BTreeMap<_, _>>();
    let zone_of = |node: &NodeId| (nodes[node].zone.clone(), String::new());
    let rack_of = |node: &NodeId| (nodes[node].zone.clone(), nodes[node].rack.clone());
    let rooms: [(Room<'_>, usize); 3] = [
        (&rack_of, rack_cap),
        (&zone_of, zone_cap),
        (&|_| Default::default(), wanted),
    ];
    for (room, cap) in rooms {
        let mut members = BTreeMap::<_, Vec<NodeId>>::new();
        for node in nodes.keys() {
            members.entry(room(node)).or_default().push(*node);
        }
        for members in members.values() {
            let filled =
                |level: f64, node: &NodeId| shares[node].min(level * f64::from(nodes[node].capacity.get()));
            let (mut low, mut high) = (0.0, ranges);
            for _ in 0..100 {
                let middle = f64::midpoint(low, high);
                if members.iter().map(|node| filled(middle, node)).sum::<f64>() <= ranges * count(cap) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            let filled = members
                .iter()
                .map(|node| (*node, filled(low, node)))
                .collect::<Vec<_>>();
            shares.extend(filled);
        }
    }
    shares
}

/// The fewest replicas that have to move so that every node holds its share, rounded up or down: successive shortest
/// paths over the whole network.
fn fewest_moves(from: &Layout, to: &Layout) -> usize {
    let nodes = to.nodes();
    let wanted = usize::from(to.replication().get()).min(nodes.len());
    let (rack_cap, zone_cap) = caps(nodes, wanted);
    let mut network = Network::default();
    let (source, sink) = (network.vertex("source"), network.vertex("sink"));
    // What a share has beyond a whole number may be rounded up while racks, zones and the whole have room for it.
    let ranges = to.bits().ranges().len();
    let mut room = BTreeMap::from([("all".to_owned(), wanted * ranges)]);
    let mut ups = Vec::new();
    for (node, share) in shares(to) {
        let (mut down, mut is_broken) = (0, true);
        while f64::from(u32::try_from(down + 1).unwrap()) < share + 1e-6 {
            down += 1;
            is_broken = (share - f64::from(u32::try_from(down).unwrap())).abs() > 1e-6;
        }
        let description = &nodes[&node];
        let zone = format!("up {}", description.zone);
        let rack = format!("up {} {}", description.zone, description.rack);
        *room.entry("all".to_owned()).or_default() -= down;
        *room.entry(zone.clone()).or_insert(zone_cap * ranges) -= down;
        *room.entry(rack.clone()).or_insert(rack_cap * ranges) -= down;
        let at = network.vertex(&format!("{node}"));
        network.edge(at, sink, down, 0);
        ups.push((at, rack, zone, usize::from(is_broken)));
    }
    let all = network.vertex("all");
    network.edge(all, sink, room["all"], 0);
    let mut seen = BTreeSet::new();
    for (node, rack, zone, up) in ups {
        let (rack_at, zone_at) = (network.vertex(&rack), network.vertex(&zone));
        network.edge(node, rack_at, up, 0);
        if seen.insert(rack.clone()) {
            network.edge(rack_at, zone_at, room[&rack], 0);
        }
        if seen.insert(zone.clone()) {
            network.edge(zone_at, all, room[&zone], 0);
        }
    }
    for range in to.bits().ranges() {
        let at = network.vertex(&format!("range {range}"));
        network.edge(source, at, wanted, 0);
        let mut seen = BTreeSet::new();
        for (id, node) in nodes {
            let zone_name = format!("{range} {}", node.zone);
            let rack_name = format!("{range} {} {}", node.zone, node.rack);
            let (zone, rack) = (network.vertex(&zone_name), network.vertex(&rack_name));
            if seen.insert(zone_name) {
                network.edge(at, zone, zone_cap, 0);
            }
            if seen.insert(rack_name) {
                network.edge(zone, rack, rack_cap, 0);
            }
            let end = network.vertex(&format!("{id}"));
            network.edge(rack, end, 1, i32::from(from.replica_on(range, *id).is_none()));
        }
    }
    let (mut flow, mut cost) = (0, 0);
    while let Some(path_cost) = network.push(source, sink) {
        flow += 1;
        cost += path_cost;
    }
    assert_eq!(flow, wanted * to.bits().ranges().len());
    usize::try_from(cost).unwrap()
}

/// A network with edges and, at odd numbers, their reverses.
#[derive(Default)]
struct Network {
    names: BTreeMap<String, usize>,
    /// From, to, room, cost.
    edges: Vec<(usize, usize, usize, i32)>,
}

impl Network {
    fn vertex(&mut self, name: &str) -> usize {
        let next = self.names.len();
        *self.names.entry(name.to_owned()).or_insert(next)
    }

    fn edge(&mut self, from: usize, to: usize, room: usize, cost: i32) {
        self.edges.push((from, to, room, cost));
        self.edges.push((to, from, 0, -cost));
    }

    /// Pushes one unit along the cheapest path; its cost.
    fn push(&mut self, source: usize, sink: usize) -> Option<i32> {
        let mut out = vec![Vec::new(); self.names.len()];
        for (index, (from, ..)) in self.edges.iter().enumerate() {
            out[*from].push(index);
        }
        let mut labels = vec![None::<(i32, usize)>; self.names.len()];
        labels[source] = Some((0, usize::MAX));
        let mut queue = VecDeque::from([source]);
        while let Some(at) = queue.pop_front() {
            let (cost, _) = labels[at].unwrap();
            for index in &out[at] {
                let (_, to, room, added) = self.edges[*index];
                if room > 0 && labels[to].is_none_or(|(known, _)| cost + added < known) {
                    labels[to] = Some((cost + added, *index));
                    queue.push_back(to);
                }
            }
        }
        let (cost, mut via) = labels[sink]?;
        while via != usize::MAX {
            self.edges[via].2 -= 1;
            self.edges[via ^ 1].2 += 1;
            via = labels[self.edges[via].0].unwrap().1;
        }
        Some(cost)
    }
}

/// Nodes of any capacity anywhere.
fn any_nodes(most: usize, capacity_max: u32) -> impl Strategy<Value = Nodes> {
    let node = (0_usize..4, 0_usize..3, 1..=capacity_max);
    proptest::collection::btree_map(0_u64..40, node, 1..=most).prop_map(|nodes| {
        let nodes = nodes.into_iter();
        nodes
            .map(|(id, (zone, rack, capacity))| (NodeId(id), description(zone, rack, capacity)))
            .collect()
    })
}

fn uniform_nodes() -> impl Strategy<Value = Nodes> {
    (1_usize..5, 1_usize..4, 1_usize..4).prop_map(|(zones, racks, per_rack)| uniform(zones, racks, per_rack))
}

/// A node in each of so many racks, all in one zone.
fn lone_nodes() -> impl Strategy<Value = Nodes> {
    (4_usize..30).prop_map(|racks| uniform(1, racks, 1))
}

proptest! {
    #[test]
    fn rules_and_shares_hold_after_any_change_and_the_fewest_replicas_move(
        range_bits in 1_u8..5,
        steps in proptest::collection::vec((any_nodes(9, 3), 1_u8..6), 1..4),
    ) {
        let mut layout = Layout::empty(bits(range_bits), NonZeroU8::MIN);
        for (nodes, replication) in steps {
            let to = place(&layout, &nodes, copies(replication)).unwrap();
            prop_assert_eq!(broken_rule(&to), None);
            let shares = shares(&to);
            for (node, load) in loads(&to) {
                let load = f64::from(u32::try_from(load).unwrap());
                prop_assert!((load - shares[&node]).abs() < 1.0 - 1e-6, "{} holds {}, not {}", node, load, shares[&node]);
            }
            prop_assert_eq!(come(&layout, &to).len(), fewest_moves(&layout, &to));
            layout = to;
        }
    }

    #[test]
    fn the_fewest_replicas_move_when_all_nodes_stay_and_the_rules_change(
        places in proptest::collection::vec(((0_usize..3, 0_usize..3, 1_u32..4), (0_usize..3, 0_usize..3, 1_u32..4)), 4..10),
        replications in (2_u8..7, 1_u8..6),
        range_bits in 3_u8..7,
    ) {
        let named = |(zone, rack, capacity): (usize, usize, u32)| description(zone, rack, capacity);
        let ids = || (0..).map(NodeId);
        let old = ids().zip(places.iter().map(|(old, _)| named(*old))).collect::<Nodes>();
        let new = ids().zip(places.iter().map(|(_, new)| named(*new))).collect::<Nodes>();
        let from = first(range_bits, &old, replications.0);
        let to = place(&from, &new, copies(replications.1)).unwrap();
        prop_assert_eq!(broken_rule(&to), None);
        prop_assert_eq!(come(&from, &to).len(), fewest_moves(&from, &to));
    }

    #[test]
    fn no_two_replicas_share_a_rack_or_zone_when_there_are_enough(
        nodes in any_nodes(20, 4),
        replication in 1_u8..5,
        range_bits in 1_u8..8,
    ) {
        let layout = first(range_bits, &nodes, replication);
        let wanted = usize::from(replication);
        let racks = nodes.values().map(|node| (&node.zone, &node.rack)).collect::<BTreeSet<_>>();
        let zones = nodes.values().map(|node| &node.zone).collect::<BTreeSet<_>>();
        for range in layout.bits().ranges() {
            let used = nodes_of(&layout, range).into_iter().map(|node| &nodes[&node]).collect::<Vec<_>>();
            let used_racks = used.iter().map(|node| (&node.zone, &node.rack)).collect::<BTreeSet<_>>();
            let used_zones = used.iter().map(|node| &node.zone).collect::<BTreeSet<_>>();
            prop_assert!(racks.len() < wanted || used_racks.len() == wanted);
            prop_assert!(zones.len() < wanted || used_zones.len() == wanted);
            // With fewer zones than replicas, as long as the racks permit: a failed zone never takes them all.
            prop_assert!(zones.len() == 1 || wanted == 1 || used_zones.len() > 1 || used.len() == 1);
        }
    }

    #[test]
    fn equal_nodes_hold_and_lead_equally_many_up_to_one(
        from in uniform_nodes(),
        to in uniform_nodes(),
        replication in 1_u8..5,
        range_bits in 1_u8..9,
    ) {
        let before = first(range_bits, &from, replication);
        let after = next(&before, &to);
        for layout in [before, after] {
            prop_assert!(differ_by_one_at_most(&loads(&layout)), "{:?}", loads(&layout));
            prop_assert!(differ_by_one_at_most(&led(&layout)), "{:?}", led(&layout));
        }
    }

    #[test]
    fn no_chain_of_hand_overs_makes_the_leaders_more_even(
        from in any_nodes(9, 4),
        to in any_nodes(9, 4),
        replication in 1_u8..5,
        range_bits in 1_u8..8,
    ) {
        let layout = next(&first(range_bits, &from, replication), &to);
        let (ids, led) = (to.keys().copied().collect::<Vec<_>>(), led(&layout));
        let capacity = |node: &NodeId| i64::from(to[node].capacity.get());
        let whole = ids.iter().map(capacity).sum::<i64>();
        let ranges = i64::from(layout.bits().range_count());
        // How many ranges more than by its capacity a node leads, times the capacity of all.
        let excess = |node: &NodeId| i64::try_from(led[node]).unwrap() * whole - ranges * capacity(node);
        let mut reaches = ids.iter().map(|node| (*node, *node)).collect::<BTreeSet<_>>();
        for range in layout.bits().ranges() {
            let leader = layout.preferred_leader(range).unwrap().node;
            reaches.extend(nodes_of(&layout, range).into_iter().map(|node| (leader, node)));
        }
        for by in &ids {
            for from in &ids {
                for to in &ids {
                    if reaches.contains(&(*from, *by)) && reaches.contains(&(*by, *to)) {
                        reaches.insert((*from, *to));
                    }
                }
            }
        }
        for (from, to) in reaches {
            prop_assert!(excess(&from) - excess(&to) <= whole, "from {} to {}: {:?}", from, to, led);
        }
    }

    #[test]
    fn a_new_equal_node_gets_its_share_and_nothing_else_moves(nodes in lone_nodes(), replication in 1_u8..5, range_bits in 4_u8..9) {
        let before = first(range_bits, &nodes, replication);
        let mut more = nodes.clone();
        let new = NodeId(1_000);
        more.insert(new, description(0, 1_000, 1));
        let after = next(&before, &more);
        let come = come(&before, &after);
        prop_assert!(come.iter().all(|(_, node)| *node == new));
        let replicas = usize::from(replication) * before.bits().ranges().len();
        let share = replicas / more.len();
        prop_assert!(come.len() == share || come.len() == share + 1, "{} of {}", come.len(), share);
    }

    #[test]
    fn of_a_removed_node_only_its_own_replicas_move(
        nodes in lone_nodes(),
        replication in 1_u8..4,
        range_bits in 4_u8..9,
        which in proptest::prelude::any::<proptest::sample::Index>(),
    ) {
        let before = first(range_bits, &nodes, replication);
        let mut fewer = nodes.clone();
        let gone = *which.get(&nodes.keys().copied().collect::<Vec<_>>());
        fewer.remove(&gone);
        let after = next(&before, &fewer);
        prop_assert_eq!(come(&before, &after).len(), before.replicas_on(gone).count());
        for range in before.bits().ranges() {
            let mut kept = nodes_of(&before, range);
            kept.remove(&gone);
            prop_assert!(kept.is_subset(&nodes_of(&after, range)));
        }
    }

    #[test]
    fn placing_again_changes_nothing_but_the_epoch(nodes in any_nodes(12, 5), replication in 1_u8..5, range_bits in 1_u8..8) {
        let before = first(range_bits, &nodes, replication);
        let mut after = next(&before, &nodes);
        prop_assert_eq!(after.epoch(), before.epoch() + 1);
        after.epoch = before.epoch;
        prop_assert_eq!(after, before);
    }

    #[test]
    fn the_same_arguments_give_the_same_layout(
        from in any_nodes(12, 5),
        to in any_nodes(12, 5),
        replication in 1_u8..5,
    ) {
        let make = || next(&first(6, &from, replication), &to);
        prop_assert_eq!(make().to_bytes(), make().to_bytes());
    }

    #[test]
    fn a_replica_that_stays_keeps_its_id_and_no_id_is_used_twice(
        steps in proptest::collection::vec(any_nodes(6, 2), 2..6),
        replication in Just(3_u8),
    ) {
        let mut layout = Layout::empty(bits(3), copies(replication));
        let mut owners = BTreeMap::new();
        for nodes in steps {
            let to = next(&layout, &nodes);
            for range in to.bits().ranges() {
                for replica in to.replicas(range) {
                    let stays = layout.replica_on(range, replica.node);
                    if let Some(before) = stays {
                        prop_assert_eq!(before, *replica);
                    } else {
                        prop_assert_eq!(owners.insert((range, replica.id), replica.node), None);
                    }
                }
            }
            layout = to;
        }
    }

    #[test]
    fn moves_lead_from_one_layout_to_the_other_and_break_no_rule_on_the_way(
        nodes in any_nodes(16, 3),
        present in proptest::collection::vec(proptest::prelude::any::<bool>(), 16),
        replications in (1_u8..5, 1_u8..5),
    ) {
        let some = nodes.clone().into_iter().zip(&present).filter(|(_, present)| **present);
        let mut some = some.map(|(node, _)| node).collect::<Nodes>();
        if some.is_empty() {
            some.clone_from(&nodes);
        }
        for (from, to) in [(&nodes, &some), (&some, &nodes)] {
            let from = first(5, from, replications.0);
            let to = place(&from, to, copies(replications.1)).unwrap();
            let mut on_the_way = from.clone();
            on_the_way.adopt(&to).unwrap();
            // How many replicas of a range a zone or rack has at most.
            let most = |layout: &Layout, range, with_rack: bool| {
                let mut counts = BTreeMap::<_, usize>::new();
                for node in nodes_of(layout, range) {
                    let node = &nodes[&node];
                    *counts.entry((&node.zone, with_rack.then_some(&node.rack))).or_default() += 1;
                }
                counts.into_values().max().unwrap_or_default()
            };
            for step in moves(&from, &to) {
                prop_assert!(step.add.is_some() || step.remove.is_some());
                on_the_way.apply(&step).unwrap();
                for with_rack in [false, true] {
                    let allowed = most(&from, step.range, with_rack).max(most(&to, step.range, with_rack));
                    prop_assert!(most(&on_the_way, step.range, with_rack) <= allowed);
                }
                prop_assert!(on_the_way.replicas(step.range).len() >= from.replicas(step.range).len().min(to.replicas(step.range).len()));
            }
            for range in to.bits().ranges() {
                let sorted = |layout: &Layout| layout.replicas(range).iter().copied().collect::<BTreeSet<_>>();
                prop_assert_eq!(sorted(&on_the_way), sorted(&to));
                prop_assert_eq!(on_the_way.next_replica_id(range), to.next_replica_id(range));
            }
            // Placing once more only sees to the leaders, and to the nodes that are gone.
            let settled = next(&on_the_way, to.nodes());
            prop_assert_eq!(come(&to, &settled), []);
            prop_assert_eq!(settled.nodes(), to.nodes());
        }
    }
}

#[test]
fn a_cluster_grows_from_one_node_to_its_replication() {
    let mut nodes = uniform(1, 1, 1);
    let mut layout = first(4, &nodes, 3);
    for size in 1..=5 {
        for range in layout.bits().ranges() {
            assert_eq!(layout.replicas(range).len(), size.min(3));
        }
        assert_eq!(broken_rule(&layout), None);
        nodes.insert(
            NodeId(100 + u64::try_from(size).unwrap()),
            description(0, size, 1),
        );
        layout = next(&layout, &nodes);
    }
}

#[test]
fn nobody_and_too_many_are_refused() {
    let empty = Layout::empty(bits(1), copies(3));
    assert_eq!(
        place(&empty, &Nodes::new(), copies(3)),
        Err(PlacementError::NoNodes)
    );
    let crowd = uniform(1, 1, NODES_MAX + 1);
    assert_eq!(
        place(&empty, &crowd, copies(3)),
        Err(PlacementError::TooManyNodes {
            found: NODES_MAX + 1,
            most: NODES_MAX
        })
    );
}

#[test]
fn the_ranges_of_a_node_are_shared_with_many_others() {
    let layout = first(10, &uniform(3, 1, 10), 3);
    for node in layout.nodes().keys() {
        let mates = layout
            .replicas_on(*node)
            .flat_map(|(range, _)| nodes_of(&layout, range));
        let mates = mates.collect::<BTreeSet<_>>();
        assert!(mates.len() > 18, "{node} shares with {}", mates.len());
    }
}

/// A cluster of the size that `docs/scaling.md` reckons with: racks are as unequal as racks are, and a node more or less moves no
/// more than the numbers need.
#[test]
fn a_thousand_nodes_take_one_more_or_lose_one_and_nothing_else_moves() {
    let nodes: Nodes = (0..1000)
        .map(|node| {
            (NodeId(node), {
                let rack = usize::try_from(node % 300).unwrap();
                description(rack % 3, rack, 1)
            })
        })
        .collect();
    let layout = first(14, &nodes, 3);
    let mut grown = nodes.clone();
    grown.insert(NodeId(1000), description(1, 100, 1));
    let mut shrunk = nodes.clone();
    shrunk.remove(&NodeId(500));
    assert_eq!(broken_rule(&layout), None);
    assert!(differ_by_one_at_most(&led(&layout)));
    for (changed, least) in [
        (&nodes, 0),
        (&grown, loads(&next(&layout, &grown))[&NodeId(1000)]),
        (&shrunk, loads(&layout)[&NodeId(500)]),
    ] {
        let after = next(&layout, changed);
        assert_eq!(broken_rule(&after), None);
        assert!(differ_by_one_at_most(&led(&after)));
        assert_eq!(come(&layout, &after).len(), least);
    }
}

#[test]
fn large_clusters_keep_the_rules_through_growth_loss_and_change_of_replication() {
    let nodes = uniform(4, 5, 10);
    let mut layout = first(16, &nodes, 3);
    let mut changed = nodes.clone();
    let mut check = |nodes: &Nodes, replication: u8| {
        layout = place(&layout, nodes, copies(replication)).unwrap();
        assert_eq!(broken_rule(&layout), None);
        assert!(differ_by_one_at_most(&led(&layout)));
    };
    check(&changed, 3);
    changed.remove(&NodeId(17));
    check(&changed, 3);
    check(&changed, 5);
    check(&nodes, 3);
}
