//! How long placement takes for a large cluster, and how many replicas it moves: `cargo run --release -p stator-cluster
//! --example placement -- [NODES] [RACKS] [ZONES] [BITS]`.
//!
//! Invariant: every placement that is timed is also checked: copies, racks, zones, balance, and movement against the least
//! that balance needs. The exit code is 1 if one of them is broken. Not here: small placements against a plain flow, which
//! are the placement function's own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::num::{NonZeroU8, NonZeroU32};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stator_cluster::NodeId;
use stator_cluster::ring::{Layout, NodeDescription, Plan, RangeBits, moves, place};

type Nodes = BTreeMap<NodeId, NodeDescription>;

/// What a cluster of a thousand nodes may be.
const USUAL: [u64; 4] = [1000, 300, 3, 16];

/// Replicas of a range.
const REPLICATION: NonZeroU8 = NonZeroU8::new(3).expect("three is not zero");

/// A node of the cluster: numbers deal nodes out to racks in turn, and racks to zones.
fn node(number: u64, racks: u64, zones: u64) -> NodeDescription {
    let rack = number % racks;
    NodeDescription {
        address: format!("node{number}:7000"),
        zone: format!("zone{}", rack % zones),
        rack: format!("rack{rack}"),
        capacity: NonZeroU32::MIN,
        incarnation: 1,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the machine's time that is measured"
)]
fn now() -> Instant {
    Instant::now()
}

/// A placement and how long it took.
fn timed(from: &Layout, nodes: &Nodes) -> Result<(Layout, Duration), String> {
    let begun = now();
    let layout = place(from, nodes, REPLICATION).map_err(|error| error.to_string())?;
    Ok((layout, begun.elapsed()))
}

/// How many replicas each node has, those with none included.
fn held(layout: &Layout) -> BTreeMap<NodeId, u64> {
    let mut held: BTreeMap<NodeId, u64> = layout.nodes().keys().map(|node| (*node, 0)).collect();
    for range in layout.bits().ranges() {
        for replica in layout.replicas(range) {
            *held.entry(replica.node).or_default() += 1;
        }
    }
    held
}

/// What is wrong with a layout, if anything is: with at least as many zones as replicas no two of a range share a zone, nor a
/// rack.
fn check(layout: &Layout) -> Result<(), String> {
    let nodes = layout.nodes();
    for range in layout.bits().ranges() {
        let replicas = layout.replicas(range);
        let places = replicas.iter().filter_map(|replica| nodes.get(&replica.node));
        let racks: BTreeSet<_> = places.clone().map(|node| &node.rack).collect();
        let zones: BTreeSet<_> = places.map(|node| &node.zone).collect();
        let wanted = usize::from(REPLICATION.get());
        if replicas.len() != wanted || racks.len() != wanted || zones.len() != wanted {
            return Err(format!("range {} breaks a rule: {replicas:?}", range.0));
        }
    }
    Ok(())
}

/// The replicas that the new layout has and the old one has not; and the least of them that the numbers of replicas which the new one
/// gives to its nodes need: a node cannot come to more than it had otherwise.
fn movement(from: &Layout, to: &Layout) -> (usize, u64) {
    let moved = moves(from, to).iter().filter(|step| step.add.is_some()).count();
    let before = held(from);
    let after = held(to);
    let least = after.iter().map(|(node, count)| {
        let had = before.get(node).copied().unwrap_or_default();
        count.saturating_sub(had)
    });
    (moved, least.sum())
}

fn report(what: &str, layout: &Layout, took: Duration, from: Option<&Layout>) -> Result<(), String> {
    check(layout)?;
    let held = held(layout);
    let (least, most) = (
        held.values().min().copied().unwrap_or_default(),
        held.values().max().copied().unwrap_or_default(),
    );
    let movement = from.map_or_else(String::new, |from| {
        let (moved, bound) = movement(from, layout);
        format!("; {moved} replicas move, {bound} is the least for these numbers")
    });
    let line = format!(
        "{what}: {:.3} s; {least} to {most} replicas a node{movement}",
        took.as_secs_f64()
    );
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}

fn run() -> Result<(), String> {
    let mut sizes = USUAL;
    for (size, word) in sizes.iter_mut().zip(std::env::args().skip(1)) {
        *size = word.parse().map_err(|error| format!("{word}: {error}"))?;
    }
    let [count, racks, zones, bits] = sizes;
    let bits = u8::try_from(bits).ok().and_then(RangeBits::new);
    let bits = bits.ok_or("BITS are too many")?;
    let all: Nodes = (1..=count)
        .map(|number| (NodeId(number), node(number, racks, zones)))
        .collect();
    let empty = Layout::empty(bits, REPLICATION);
    let (layout, took) = timed(&empty, &all)?;
    report(
        &format!(
            "{} ranges on {count} nodes in {racks} racks of {zones} zones",
            bits.range_count()
        ),
        &layout,
        took,
        None,
    )?;

    let plan = Plan::first(layout.clone(), &[NodeId(1)]).to_bytes().len();
    writeln!(std::io::stdout(), "the plan of group 0: {} KiB", plan >> 10)
        .map_err(|error| error.to_string())?;

    let (again, took) = timed(&layout, &all)?;
    report("the same nodes", &again, took, Some(&layout))?;

    let mut more = all.clone();
    let joined = NodeId(count + 1);
    more.insert(joined, node(joined.0, racks, zones));
    let (grown, took) = timed(&layout, &more)?;
    report("one node joins", &grown, took, Some(&layout))?;

    let mut fewer = all.clone();
    fewer.remove(&NodeId(count / 2));
    let (shrunk, took) = timed(&layout, &fewer)?;
    report("one node leaves", &shrunk, took, Some(&layout))?;

    let lost = racks / 2;
    let left: Nodes = all
        .iter()
        .filter(|(id, _)| id.0 % racks != lost)
        .map(|(id, node)| (*id, node.clone()))
        .collect();
    let (smaller, took) = timed(&layout, &left)?;
    report("a rack leaves", &smaller, took, Some(&layout))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("placement: {error}");
            ExitCode::FAILURE
        }
    }
}
