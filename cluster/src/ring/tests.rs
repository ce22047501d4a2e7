//! Nodes and plans for tests of whatever goes by them.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};

use super::{Layout, NodeDescription, Plan, RangeBits, place};
use crate::world::NodeId;

/// A node in a rack of its own.
pub(crate) fn description(node: u64) -> NodeDescription {
    NodeDescription {
        address: format!("h{node}:1"),
        zone: "z".to_owned(),
        rack: format!("r{node}"),
        capacity: NonZeroU32::MIN,
        incarnation: 1,
    }
}

/// The first plan of a cluster that nodes 1 to `nodes` have made.
pub(crate) fn first_plan(nodes: u64, range_bits: u8, replication: u8) -> Plan {
    let nodes: BTreeMap<_, _> = (1..=nodes)
        .map(|node| (NodeId(node), description(node)))
        .collect();
    let replication = NonZeroU8::new(replication).unwrap();
    let empty = Layout::empty(RangeBits::new(range_bits).unwrap(), replication);
    let layout = place(&empty, &nodes, replication).unwrap();
    let founders: Vec<_> = nodes.keys().copied().collect();
    Plan::first(layout, &founders)
}
