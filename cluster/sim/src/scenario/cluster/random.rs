//! Clients at work while faults come and go: those that the seed says, or a power cut of all nodes at once.

use std::time::Duration;

use stator_cluster::NodeId;
use stator_storage::vfs::mem::Unsynced;

use super::everyone::Everyone;
use super::keeper::{Keeper, Kept};
use super::place::{KeyspaceName, Place};
use super::setup::{Builder, Shape, world};
use super::work::{Keys, Shift, Worker};
use super::{settle, watch};
use crate::fault::{Entry, Fault, Partition, PlanSettings, Schedule, plan, unleash};
use crate::history::Client;
use crate::kernel::Simulation;
use crate::random::{Seed, Spread, Stream};
use crate::scenario::{Report, Run, Scenario};

/// The client that makes keyspaces; those that use them are numbered from 1.
const KEEPER: Client = Client(900);

/// The client that uses the metadata keyspace.
const REGISTRAR: Client = Client(901);

const METADATA_KEYS: Keys = Keys {
    cells: 2,
    counters: 1,
    clients: 0,
};

/// How long clients work.
const WORK: Duration = Duration::from_secs(12);

/// A calm in which everything that is remembered for a while is forgotten, such as requests that may be sent again.
const CALM: Duration = Duration::from_secs(140);

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Anything,
    AllPower,
    /// Two of three nodes hear the third one only, which loses its power again and again, often in the middle of a vote.
    Voters,
    /// One of three nodes hears of the past of another one, while the third one has been elected.
    Lateness,
}

/// A cluster under faults.
#[derive(Clone)]
pub struct ClusterScenario {
    name: &'static str,
    breaks: Breaks,
    builder: Builder,
}

impl ClusterScenario {
    /// Whatever a seed says.
    pub(super) fn random(builder: Builder) -> Self {
        Self {
            name: "cluster",
            breaks: Breaks::Anything,
            builder,
        }
    }

    /// All nodes lose their power at once, twice.
    pub(super) fn blackout(builder: Builder) -> Self {
        Self {
            name: "cluster-blackout",
            breaks: Breaks::AllPower,
            builder,
        }
    }

    /// A node in whose hands all elections are loses its power.
    pub(super) fn voters(builder: Builder) -> Self {
        Self {
            name: "cluster-voters",
            breaks: Breaks::Voters,
            builder,
        }
    }

    /// A leader that is left hears what others have said before they left it.
    pub(super) fn late(builder: Builder) -> Self {
        Self {
            name: "cluster-late",
            breaks: Breaks::Lateness,
            builder,
        }
    }

    fn shape(&self, seed: Seed) -> Shape {
        let mut shape = Shape::of(seed);
        match self.breaks {
            Breaks::Anything | Breaks::AllPower => {}
            Breaks::Voters => shape.nodes.truncate(3),
            Breaks::Lateness => {
                shape.nodes.truncate(3);
                // Much on few cells, so that somebody reads at the moment at which it matters.
                shape.keys.cells = 2;
                shape.think_ms_max = 20;
            }
        }
        shape
    }

    /// When clients work for the second time, after a calm; few seeds have one.
    fn calm(&self, seed: Seed) -> Option<Duration> {
        let has_calm = self.breaks == Breaks::Anything && seed.stream("calm", 0).chance(60_000);
        has_calm.then_some(WORK + CALM)
    }

    fn faults(&self, seed: Seed) -> PlanSettings {
        let calm = self.calm(seed).unwrap_or_default();
        PlanSettings {
            from: calm + Duration::from_millis(1_500),
            until: calm + WORK,
            gap: Spread {
                least: Duration::from_millis(50),
                usual: Duration::from_millis(2_000),
                tail_ppm: 50_000,
                tail: Duration::from_secs(5),
            },
            lasting: Spread {
                least: Duration::from_millis(50),
                usual: Duration::from_millis(2_500),
                tail_ppm: 100_000,
                tail: Duration::from_secs(7),
            },
            ..PlanSettings::default()
        }
    }

    /// The times between which clients work.
    fn shifts(&self, seed: Seed) -> Vec<Shift> {
        let shift = |from, length| Shift {
            from,
            until: from + length,
        };
        match self.calm(seed) {
            None => vec![shift(Duration::ZERO, WORK)],
            Some(second) => vec![shift(Duration::ZERO, WORK / 2), shift(second, WORK)],
        }
    }
}

impl Scenario for ClusterScenario {
    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &'static str {
        match self.breaks {
            Breaks::Anything => "a cluster of real nodes under every fault",
            Breaks::AllPower => "a cluster whose nodes all lose their power at once",
            Breaks::Lateness => "a leader that is left hears what others have said before",
            Breaks::Voters => "a node that decides all elections loses its power while it votes",
        }
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        let nodes = self.shape(seed).nodes;
        let mut stream = seed.stream("plan", 0);
        match self.breaks {
            Breaks::Anything => plan(&mut stream, &nodes, &self.faults(seed)),
            Breaks::AllPower => all_power(&mut stream, &nodes),
            Breaks::Voters => voters(&mut stream, &nodes),
            Breaks::Lateness => lateness(&mut stream, &nodes),
        }
    }

    fn run(&self, run: &Run) -> Report {
        let shape = self.shape(run.seed);
        let (mut simulation, everyone) = world(run, &shape, &self.builder);
        unleash(&everyone.control, &run.schedule);
        watch::watch(&everyone);
        self.live(&mut simulation, &everyone, &shape, run);
        settle::report(simulation, &everyone)
    }
}

impl ClusterScenario {
    fn live(&self, simulation: &mut Simulation, everyone: &Everyone, shape: &Shape, run: &Run) {
        let main = KeyspaceName::new("main");
        let limit = run.schedule.end().max(WORK) + settle::HEALED_WITHIN;
        if !settle::begin(simulation, everyone, &main, limit) {
            return;
        }
        let kept = Kept::default();
        let shifts = self.shifts(run.seed);
        for client in 1..=shape.clients {
            let worker = Worker::new(everyone.clone(), Client(client), main.clone(), shape.keys);
            everyone.employ(worker.work(shifts.clone(), shape.think_ms_max));
        }
        let keeper = Keeper::new(everyone.clone(), KEEPER, kept.clone());
        everyone.employ(keeper.work(shifts.clone()));
        let metadata = KeyspaceName::metadata();
        let registrar = Worker::new(everyone.clone(), REGISTRAR, metadata.clone(), METADATA_KEYS);
        everyone.employ(registrar.work(shifts.clone(), 4 * shape.think_ms_max));
        let end = shifts.last().map_or(WORK, |shift| shift.until);
        if simulation.run_until(end.max(run.schedule.end())) {
            let places = |keyspace: KeyspaceName, keys: Keys| {
                keys.all().map(move |key| Place {
                    keyspace: keyspace.clone(),
                    key,
                })
            };
            let places = places(main, shape.keys).chain(places(metadata, METADATA_KEYS));
            settle::settle(simulation, everyone, places.collect(), &kept);
        }
    }
}

fn power_cut(stream: &mut Stream, nodes: &[NodeId], after_operations: u64) -> Fault {
    Fault::PowerCut {
        nodes: nodes.to_vec(),
        after_operations,
        unsynced: if stream.chance(500_000) {
            Unsynced::Lost
        } else {
            Unsynced::Torn {
                seed: stream.next_u64(),
            }
        },
    }
}

fn all_power(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let seconds = [stream.between(3_000, 6_000), stream.between(7_000, 10_000)];
    let entries = seconds.map(|at_ms| Entry {
        at: Duration::from_millis(at_ms),
        lasting: Duration::from_millis(stream.between(50, 1_500)),
        fault: {
            let after_operations = stream.below(2) * stream.between(1, 40);
            power_cut(stream, nodes, after_operations)
        },
    });
    Schedule {
        entries: entries.into(),
    }
}

/// Whoever is elected is elected by the bridge. It is away until nobody leads, comes back, and is away again after a few
/// operations of its disk when votes are asked for; soon after that it is asked again.
fn voters(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let mut nodes = nodes.to_vec();
    stream.shuffle(&mut nodes);
    let [one, bridge, _] = *nodes.as_slice() else {
        return Schedule::default();
    };
    let begin = Duration::from_millis(1_500);
    let mut entries = vec![Entry {
        at: begin,
        lasting: WORK.saturating_sub(begin),
        fault: Fault::Partition(Partition::Bridge {
            side: vec![one],
            bridge,
        }),
    }];
    let mut at = begin;
    while at + Duration::from_secs(4) < WORK {
        let away = Duration::from_millis(stream.between(1_000, 1_600));
        let first = power_cut(stream, &[bridge], 0);
        // It has been asked for the first votes by then, or is about to be.
        let votes = at + away + Duration::from_millis(stream.between(50, 900));
        let soon = Duration::from_millis(stream.between(20, 150));
        let after_operations = stream.between(1, 8);
        let second = power_cut(stream, &[bridge], after_operations);
        for (at, lasting, fault) in [(at, away, first), (votes, soon, second)] {
            entries.push(Entry { at, lasting, fault });
        }
        at = votes + soon + Duration::from_millis(stream.between(800, 1_500));
    }
    Schedule { entries }
}

/// What one node says to another takes longer than an election. From one moment on, the first one is heard by nobody, and
/// hears the second one only: what that one has said before it followed the third one is still under way.
fn lateness(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let mut nodes = nodes.to_vec();
    stream.shuffle(&mut nodes);
    let [left, far, _] = *nodes.as_slice() else {
        return Schedule::default();
    };
    let millis = Duration::from_millis;
    let delay_ms = stream.between(1_000, 2_200);
    let begin = millis(1_500);
    let moment = begin + millis(3 * delay_ms) + millis(stream.below(500));
    let heard = millis(2 * delay_ms + 1_500);
    let entry = |at, until: Duration, fault| Entry {
        at,
        lasting: until.saturating_sub(at),
        fault,
    };
    let between = Partition::Bridge {
        side: vec![left],
        bridge: far,
    };
    let end = moment + heard;
    let delay_ms = u32::try_from(delay_ms).unwrap_or(u32::MAX);
    Schedule {
        entries: vec![
            entry(begin, end, Fault::FarLink(left, far, delay_ms)),
            entry(moment, end, Fault::Partition(between)),
            entry(moment, end, Fault::Partition(Partition::Muted(vec![left]))),
        ],
    }
}
