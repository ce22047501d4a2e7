//! The scenario `capacity`: how many writes and reads a second clusters of more and more nodes do when each node has one processor
//! and one disk that take their time.
//!
//! Invariant: the nodes are real ones, placed by the real placement function, and everything follows from the seed. Clients
//! work in a closed loop, as many for each node in every cluster, each on a random key through a random node. What is counted
//! is what is answered within a span of simulated time. Not here: faults.

mod load;
mod machine;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::NodeId;
use stator_cluster::ring::RangeBits;

use self::load::Load;
pub use self::load::Work;
pub use self::machine::Costs;
use self::machine::{Member, open};
use crate::kernel::{Control, LinkSettings, Machine, Settings, Simulation, Started};
use crate::random::{Seed, Spread};

/// Its name on the command line.
pub const NAME: &str = "capacity";

/// Clusters of so many nodes are compared.
pub const NODES: [u64; 5] = [3, 6, 12, 24, 48];

/// A cluster serves, with a leader for each range, within this time.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// How long clients work before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// What a measurement is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How tokens are cut into ranges: many more than there are nodes, so that each has nearly the same number to lead.
    pub bits: RangeBits,
    /// Clients for each node.
    pub clients: u64,
    /// Bytes of a cell.
    pub cell_bytes: usize,
    /// How long is counted.
    pub counted: Duration,
    /// What a processor is charged.
    pub costs: Costs,
    /// What a turn of a disk takes, such as a write of all that waits, with its sync.
    pub disk_turn: Duration,
}

impl Default for Sizes {
    /// A slow machine: so that a simulated second has few enough operations.
    fn default() -> Self {
        Self {
            bits: RangeBits::new(9).unwrap_or_default(),
            clients: 32,
            cell_bytes: 200,
            counted: Duration::from_millis(500),
            costs: Costs {
                request: Duration::from_micros(400),
                message: Duration::from_micros(40),
                message_byte: Duration::from_nanos(50),
            },
            disk_turn: Duration::from_millis(1),
        }
    }
}

/// What a cluster has done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Nodes of the cluster.
    pub nodes: u64,
    /// Writes a second at QUORUM.
    pub writes: f64,
    /// Reads a second at QUORUM.
    pub reads: f64,
}

/// The nodes that run.
type Members = Arc<Mutex<BTreeMap<NodeId, Arc<Member>>>>;

/// Makes a cluster of so many nodes and has clients write, then read, as fast as it lets them.
///
/// # Errors
/// Why the run has failed.
pub fn measure(seed: Seed, nodes: u64, sizes: &Sizes) -> Result<Measured, String> {
    let settings = Settings {
        link: LinkSettings {
            loss_ppm: 0,
            reorder_ppm: 0,
            ..LinkSettings::default()
        },
        disk_turn: Spread::exactly(sizes.disk_turn),
        scheduling: Spread::exactly(Duration::from_nanos(100)),
        clock_drift_ppm_max: 0,
        events_max: u64::MAX,
        ..Settings::default()
    };
    let mut simulation = Simulation::new(seed, settings);
    let control = simulation.control().clone();
    let members = Members::default();
    let founders: Vec<_> = (1..=nodes).map(NodeId).collect();
    for node in &founders {
        control.add_node(*node, machine(&control, &members, &founders, sizes));
        control.start(*node);
    }
    serve(&mut simulation, &members, &founders, sizes)?;
    let mut rate = |work| {
        let load = Load::begin(&control, &members, &founders, work, sizes);
        simulation.run_for(WARM_UP);
        let before = load.done();
        simulation.run_for(sizes.counted);
        let done = load.done() - before;
        load.end();
        // Whatever is under way is over before anything else begins.
        let limit = control.now() + SERVES_WITHIN;
        if !simulation.run_while(limit, || load.is_busy()) {
            return Err(failure(&control, "the clients do not come to an end"));
        }
        let failed = load.failed();
        if failed > 0 {
            return Err(format!("{failed} operations on {nodes} nodes had no answer"));
        }
        Ok(load::count(done) / sizes.counted.as_secs_f64())
    };
    let (writes, reads) = (rate(Work::Write)?, rate(Work::Read)?);
    members.lock().clear();
    match simulation.finish().failure {
        Some(failure) => Err(failure),
        None => Ok(Measured { nodes, writes, reads }),
    }
}

fn machine(control: &Control, members: &Members, founders: &[NodeId], sizes: &Sizes) -> Machine {
    let (control, members) = (control.clone(), Arc::clone(members));
    let (founders, sizes) = (founders.to_vec(), *sizes);
    Arc::new(move |boot| {
        let (member, inbox) = open(&boot, &founders, sizes.bits, sizes.costs, &control)?;
        members.lock().insert(boot.node, Arc::clone(&member));
        Ok(Started {
            inbox,
            hook: Some(Arc::new(move || member.cluster.turn())),
        })
    })
}

/// Runs until every node serves, knows the keyspace, and every range is led by the node that the layout prefers.
fn serve(
    simulation: &mut Simulation,
    members: &Members,
    founders: &[NodeId],
    sizes: &Sizes,
) -> Result<(), String> {
    let control = simulation.control().clone();
    let serves = |member: &Member| member.cluster.waits_for().is_none();
    let limit = control.now() + SERVES_WITHIN;
    if !simulation.run_while(limit, || !members.lock().values().all(|member| serves(member))) {
        return Err(failure(&control, "the nodes do not serve"));
    }
    let first = founders.first().copied().unwrap_or(NodeId(1));
    if let Some(member) = members.lock().get(&first).cloned() {
        let watched = control.clone();
        control.spawn_on(
            first,
            Box::pin(async move {
                if let Err(error) = member.cluster.create_keyspace(load::KEYSPACE).await {
                    watched.fail(format!("no keyspace: {error}"));
                }
            }),
        );
    }
    let wanted = u64::from(sizes.bits.range_count());
    let is_settled = || {
        let members = members.lock();
        let led = members.iter().map(|(node, member)| {
            let status = member.cluster.status();
            let own = status.nodes.iter().find(|known| known.node == *node);
            own.map_or(0, |own| own.leaders)
        });
        let least = wanted / founders.len() as u64;
        let led: Vec<_> = led.collect();
        led.iter().sum::<u64>() == wanted
            && led.iter().all(|led| (least..=least + 1).contains(led))
            && members
                .values()
                .all(|member| member.cluster.keyspace(load::KEYSPACE).is_some())
    };
    let limit = control.now() + SERVES_WITHIN;
    while !is_settled() {
        if control.now() > limit || !simulation.run_for(Duration::from_millis(200)) {
            return Err(failure(&control, "not every range is led where it is to be"));
        }
    }
    Ok(())
}

fn failure(control: &Control, otherwise: &str) -> String {
    format!("{otherwise} after {:?}", control.now())
}

/// Measures clusters of these sizes one after the other, and writes a line for each: nodes, writes and reads a second, and both in
/// relation to as many times what the first one has done as there are more nodes.
///
/// # Errors
/// Those of `out`.
pub fn report(seed: Seed, nodes: &[u64], sizes: &Sizes, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(
        out,
        "{:>5} {:>10} {:>10} {:>17} {:>16}",
        "nodes", "writes/s", "reads/s", "writes to linear", "reads to linear"
    )?;
    let mut first = None;
    for count in nodes {
        let measured = match measure(seed, *count, sizes) {
            Ok(measured) => measured,
            Err(reason) => {
                writeln!(out, "{count:>5} {reason}")?;
                return Ok(false);
            }
        };
        let (writes, reads) = measured.to_linear(first.get_or_insert(measured));
        writeln!(
            out,
            "{count:>5} {:>10.0} {:>10.0} {writes:>17.2} {reads:>16.2}",
            measured.writes, measured.reads
        )?;
    }
    Ok(true)
}

impl Measured {
    /// What this cluster does in relation to what as many nodes of another one would do: of writes, and of reads.
    pub fn to_linear(&self, other: &Self) -> (f64, f64) {
        let more = load::count(self.nodes) / load::count(other.nodes);
        (
            self.writes / (other.writes * more),
            self.reads / (other.reads * more),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_nodes_do_nearly_twice_the_work() {
        let sizes = Sizes {
            bits: RangeBits::new(6).unwrap(),
            counted: Duration::from_millis(200),
            ..Sizes::default()
        };
        let three = measure(Seed(1), 3, &sizes).unwrap();
        let six = measure(Seed(1), 6, &sizes).unwrap();
        let (writes, reads) = six.to_linear(&three);
        assert!(writes > 0.85 && reads > 0.85, "{three:?}, {six:?}");
        // A processor is the limit, and not the load.
        let most = 1.0 / sizes.costs.request.as_secs_f64();
        assert!(three.writes < 3.0 * most && three.reads < 3.0 * most, "{three:?}");
    }

    #[test]
    fn a_seed_measures_the_same_twice() {
        let sizes = Sizes {
            bits: RangeBits::new(4).unwrap(),
            counted: Duration::from_millis(50),
            ..Sizes::default()
        };
        assert_eq!(measure(Seed(2), 3, &sizes), measure(Seed(2), 3, &sizes));
    }
}
