//! Clients at work while faults come and go: those that the seed says, or a power cut of all nodes at once.

use std::sync::Arc;
use std::time::Duration;

use stator_cluster::{Durability, NodeId};

use super::bank::{Teller, bank};
use super::deriving::{BEFORE_SOURCE, Deriving};
use super::everyone::Everyone;
use super::keeper::{Keeper, Kept};
use super::mover::Mover;
use super::online::Maker;
use super::operator::Operator;
use super::place::{KeyspaceName, Place};
use super::rewind::HISTORY;
use super::rot::Rot;
use super::setup::{Builder, Shape, world};
use super::work::{Keys, Shift, Worker};
use super::{online, plans, settle, watch};
use crate::fault::{PlanSettings, Schedule, plan, unleash};
use crate::history::Client;
use crate::kernel::Simulation;
use crate::random::{Seed, Spread};
use crate::scenario::{Report, Run, Scenario};

/// The client that makes keyspaces; those that use them are numbered from 1.
const KEEPER: Client = Client(900);

/// The client that uses the metadata keyspace.
const REGISTRAR: Client = Client(901);

/// The clients of the bank.
const TELLERS: std::ops::RangeInclusive<u64> = 801..=806;

const METADATA_KEYS: Keys = Keys {
    cells: 2,
    counters: 1,
    clients: 0,
    all_of_ten: 1,
};

/// How long clients work.
pub(super) const WORK: Duration = Duration::from_secs(12);

/// And where groups are to rest meanwhile.
const DROWSY_WORK: Duration = Duration::from_secs(60);

/// And where requests are to be forgotten, which takes two minutes.
const LONG_WORK: Duration = Duration::from_secs(180);

/// And where nodes join and leave.
const MOVES_WORK: Duration = Duration::from_secs(40);

/// And where a node is to be away for long.
pub(super) const ABSENCE_WORK: Duration = Duration::from_secs(60);

/// A calm in which everything that is remembered for a while is forgotten, such as requests that may be sent again.
const CALM: Duration = Duration::from_secs(140);

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Anything,
    /// Anything, while clients do something now and then, so that groups rest in between.
    Rest,
    /// Anything, while logs are not synced before writes are acknowledged.
    Unsynced,
    /// Anything, for so long that requests are forgotten and logs are cut.
    Length,
    AllPower,
    /// Anything, often, while much is forwarded and an index is made.
    Forwarding,
    /// Anything, while clients carry out transactions.
    Transactions,
    /// Two of three nodes hear the third one only, which loses its power again and again, often in the middle of a vote.
    Voters,
    /// One of three nodes hears of the past of another one, while the third one has been elected.
    Lateness,
    /// All nodes are far from each other, while clients read from all replicas.
    Distance,
    /// Nothing; but one node after the other is restarted by its operator.
    Nothing,
    /// Anything, while nodes join and leave, and one loses its disk.
    Moves,
    /// Anything, while bits of one node's disk change.
    Bits,
    /// Anything, while one node of three is away for long.
    Absence,
}

/// A cluster under faults.
#[derive(Clone)]
pub struct ClusterScenario {
    name: &'static str,
    breaks: Breaks,
    builder: Builder,
    /// Whether something follows from writes in a share of the seeds; models of nodes derive nothing.
    may_derive: bool,
}

impl ClusterScenario {
    /// Whatever a seed says.
    pub(super) fn random(builder: Builder) -> Self {
        Self {
            name: "cluster",
            breaks: Breaks::Anything,
            builder,
            may_derive: true,
        }
    }

    /// All nodes lose their power at once, twice.
    pub(super) fn blackout(builder: Builder) -> Self {
        Self {
            name: "cluster-blackout",
            breaks: Breaks::AllPower,
            builder,
            may_derive: true,
        }
    }

    /// A node in whose hands all elections are loses its power.
    pub(super) fn voters(builder: Builder) -> Self {
        Self {
            name: "cluster-voters",
            breaks: Breaks::Voters,
            builder,
            may_derive: true,
        }
    }

    /// A leader that is left hears what others have said before they left it.
    pub(super) fn late(builder: Builder) -> Self {
        Self {
            name: "cluster-late",
            breaks: Breaks::Lateness,
            builder,
            may_derive: true,
        }
    }

    /// Whatever a seed says, while most of the time nobody does anything.
    pub(super) fn drowsy(builder: Builder) -> Self {
        Self {
            name: "cluster-drowsy",
            breaks: Breaks::Rest,
            builder,
            may_derive: true,
        }
    }

    /// Whatever a seed says, on nodes that sync their logs now and then only. A power cut may take along what
    /// was acknowledged and applied elsewhere, so that neither histories nor replicas are judged; but nodes have to cope
    /// with it.
    pub(super) fn interval(builder: Builder) -> Self {
        Self {
            name: "cluster-interval",
            breaks: Breaks::Unsynced,
            builder,
            may_derive: true,
        }
    }

    /// Whatever a seed says, for minutes.
    pub(super) fn long(builder: Builder) -> Self {
        Self {
            name: "cluster-long",
            breaks: Breaks::Length,
            builder,
            may_derive: true,
        }
    }

    /// An index is made while clients write much, and nodes break often. Logs are synced; see `deriving.rs`.
    pub(super) fn derived(builder: Builder) -> Self {
        Self {
            name: "cluster-derived",
            breaks: Breaks::Forwarding,
            builder,
            may_derive: true,
        }
    }

    /// Transactions, under whatever a seed says. Logs are synced: a power cut would take parts of transactions along.
    pub(super) fn transact(builder: Builder) -> Self {
        Self {
            name: "cluster-transact",
            breaks: Breaks::Transactions,
            builder,
            may_derive: true,
        }
    }

    /// Reads of all replicas, which are repaired if they differ, while replicas lag.
    pub(super) fn whole(builder: Builder) -> Self {
        Self {
            name: "cluster-all",
            breaks: Breaks::Distance,
            builder,
            may_derive: true,
        }
    }

    /// Nodes join and leave, and one loses its disk, under whatever a seed says.
    pub(super) fn moves(builder: Builder) -> Self {
        Self {
            name: "cluster-moves",
            breaks: Breaks::Moves,
            builder,
            may_derive: true,
        }
    }

    /// One node of three is away for so long that the log is not kept for it, under whatever a seed says.
    pub(super) fn away(builder: Builder) -> Self {
        Self {
            name: "cluster-away",
            breaks: Breaks::Absence,
            builder,
            may_derive: true,
        }
    }

    /// Bits of one node's disk change, under whatever a seed says.
    pub(super) fn rot(builder: Builder) -> Self {
        Self {
            name: "cluster-rot",
            breaks: Breaks::Bits,
            builder,
            may_derive: true,
        }
    }

    /// One node after the other hands over, ends and starts again.
    pub(super) fn rolling(builder: Builder) -> Self {
        Self {
            name: "cluster-rolling",
            breaks: Breaks::Nothing,
            builder,
            may_derive: true,
        }
    }

    /// The same on models of nodes, which derive nothing.
    #[cfg(test)]
    pub(super) fn of_models(self) -> Self {
        Self {
            may_derive: false,
            ..self
        }
    }

    fn shape(&self, seed: Seed) -> Shape {
        let mut shape = Shape::of(seed);
        match self.breaks {
            Breaks::Anything | Breaks::Bits => {
                let derives = self.may_derive && seed.stream("deriving", 0).chance(400_000);
                shape.deriving = derives.then(|| Arc::new(Deriving::new(false)));
            }
            Breaks::Forwarding => {
                shape.deriving = Some(Arc::new(Deriving::new(true)));
                (shape.keys.cells, shape.keys.counters) = (12, 3);
                shape.think_ms_max = 30;
            }
            Breaks::AllPower | Breaks::Nothing => {}
            Breaks::Transactions => {
                shape.clients = 2;
                shape.think_ms_max = shape.think_ms_max.min(80);
            }
            Breaks::Unsynced => shape.durability = Durability::Interval,
            Breaks::Rest => {
                shape.clients = 3;
                shape.think_ms_max = 9_000;
            }
            Breaks::Length => {
                // So many that each has a history that can be judged.
                (shape.keys.cells, shape.keys.counters) = (40, 8);
                shape.clients = 6;
                shape.think_ms_max = 200;
            }
            Breaks::Distance => {
                shape.nodes.truncate(3);
                shape.keys = Keys {
                    cells: 1,
                    counters: 1,
                    clients: 0,
                    all_of_ten: 6,
                };
                shape.clients = 8;
                shape.think_ms_max = 10;
            }
            Breaks::Voters => shape.nodes.truncate(3),
            Breaks::Absence => {
                shape.nodes.truncate(3);
                let derives = self.may_derive && seed.stream("deriving", 0).chance(400_000);
                shape.deriving = derives.then(|| Arc::new(Deriving::new(false)));
                // Much is written, to so many cells that each has a history that can be judged.
                (shape.keys.cells, shape.keys.counters) = (30, 6);
                shape.think_ms_max = 30;
            }
            Breaks::Moves => {
                shape.nodes = (1..=5).map(NodeId).collect();
                shape.joiners = [4, 5].map(NodeId).into();
                let derives = self.may_derive && seed.stream("deriving", 0).chance(400_000);
                shape.deriving = derives.then(|| Arc::new(Deriving::new(false)));
            }
            Breaks::Lateness => {
                shape.nodes.truncate(3);
                // Much on few cells, so that somebody reads at the moment at which it matters.
                shape.keys.cells = 2;
                shape.think_ms_max = 20;
            }
        }
        shape
    }

    /// How long clients work.
    fn work(&self) -> Duration {
        match self.breaks {
            Breaks::Rest => DROWSY_WORK,
            Breaks::Length => LONG_WORK,
            Breaks::Moves => MOVES_WORK,
            Breaks::Absence => ABSENCE_WORK,
            _ => WORK,
        }
    }

    /// When clients work for the second time, after a calm; few seeds have one.
    fn calm(&self, seed: Seed) -> Option<Duration> {
        let has_calm = self.breaks == Breaks::Anything && seed.stream("calm", 0).chance(60_000);
        has_calm.then_some(WORK + CALM)
    }

    fn faults(&self, seed: Seed) -> PlanSettings {
        let calm = self.calm(seed).unwrap_or_default();
        let gap_ms = match self.breaks {
            Breaks::Rest | Breaks::Length => 9_000,
            Breaks::Forwarding | Breaks::Transactions => 1_200,
            Breaks::Moves | Breaks::Absence => 6_000,
            _ => 2_000,
        };
        PlanSettings {
            from: calm + Duration::from_millis(1_500),
            until: calm + self.work(),
            gap: Spread {
                least: Duration::from_millis(50),
                usual: Duration::from_millis(gap_ms),
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
            None => vec![shift(Duration::ZERO, self.work())],
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
            Breaks::Transactions => "transactions over several ranges, under every fault",
            Breaks::Forwarding => "an index is made while much is forwarded, under every fault",
            Breaks::Anything => "a cluster of real nodes under every fault",
            Breaks::Unsynced => "a cluster that syncs its logs now and then only, under every fault",
            Breaks::Length => "a cluster that works for minutes, under every fault",
            Breaks::Rest => "a cluster whose groups rest most of the time, under every fault",
            Breaks::AllPower => "a cluster whose nodes all lose their power at once",
            Breaks::Moves => "nodes join and leave, and one loses its disk, under every fault",
            Breaks::Bits => "bits of one node's disk change, under every fault",
            Breaks::Absence => "a node is away for longer than the log is kept for it, under every fault",
            Breaks::Nothing => "a cluster whose nodes are restarted one after the other",
            Breaks::Distance => {
                "a cluster whose nodes are far from each other, and whose replicas are compared all the time"
            }
            Breaks::Lateness => "a leader that is left hears what others have said before",
            Breaks::Voters => "a node that decides all elections loses its power while it votes",
        }
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        let nodes = self.shape(seed).nodes;
        let mut stream = seed.stream("plan", 0);
        match self.breaks {
            Breaks::Anything
            | Breaks::Rest
            | Breaks::Length
            | Breaks::Unsynced
            | Breaks::Forwarding
            | Breaks::Moves
            | Breaks::Bits
            | Breaks::Transactions => plan(&mut stream, &nodes, &self.faults(seed)),
            Breaks::Absence => {
                let mut schedule = plan(&mut stream, &nodes, &self.faults(seed));
                schedule
                    .entries
                    .extend(plans::absence(&mut stream, &nodes).entries);
                schedule.entries.sort_by_key(|entry| entry.at);
                schedule
            }
            Breaks::Distance => plans::distance(&mut stream, &nodes),
            Breaks::AllPower => plans::all_power(&mut stream, &nodes),
            Breaks::Voters => plans::voters(&mut stream, &nodes),
            Breaks::Nothing => Schedule::default(),
            Breaks::Lateness => plans::lateness(&mut stream, &nodes),
        }
    }

    fn run(&self, run: &Run) -> Report {
        let shape = self.shape(run.seed);
        let (mut simulation, everyone) = world(run, &shape, &self.builder);
        unleash(&everyone.control, &run.schedule);
        watch::watch(&everyone);
        self.live(&mut simulation, &everyone, &shape, run);
        if self.breaks == Breaks::Unsynced {
            return settle::report_unjudged(simulation, &everyone);
        }
        settle::report(simulation, &everyone)
    }
}

impl ClusterScenario {
    fn live(&self, simulation: &mut Simulation, everyone: &Everyone, shape: &Shape, run: &Run) {
        let main = KeyspaceName::new("main");
        let limit = run.schedule.end().max(self.work()) + settle::HEALED_WITHIN;
        let before = shape.deriving.iter().flat_map(|_| BEFORE_SOURCE);
        // The versions of accounts before the accounts.
        let accounts = (self.breaks == Breaks::Transactions).then(|| [KeyspaceName::new(HISTORY), bank()]);
        let names = before
            .map(KeyspaceName::new)
            .chain(accounts.into_iter().flatten())
            .chain([main.clone()]);
        for name in names {
            if !settle::begin(simulation, everyone, &name, limit) {
                return;
            }
        }
        if let Some(deriving) = shape.deriving.as_ref().filter(|deriving| deriving.is_taught) {
            online::teach(everyone);
            let maker = Maker::new(everyone.clone(), Arc::clone(deriving));
            everyone.employ(maker.work());
        }
        let kept = Kept::default();
        let shifts = self.shifts(run.seed);
        for client in 1..=shape.clients {
            let worker = Worker::new(everyone.clone(), Client(client), main.clone(), shape.keys);
            everyone.employ(worker.work(shifts.clone(), shape.think_ms_max));
        }
        if self.breaks == Breaks::Transactions {
            for client in TELLERS {
                let teller = Teller::new(everyone.clone(), Client(client), Arc::clone(&everyone.ledger));
                everyone.employ(teller.work(shifts.clone(), shape.think_ms_max));
            }
        }
        if !matches!(self.breaks, Breaks::Rest | Breaks::Unsynced) {
            let keeper = Keeper::new(everyone.clone(), KEEPER, kept.clone());
            everyone.employ(keeper.work(shifts.clone()));
        }
        let metadata = KeyspaceName::metadata();
        let registrar = Worker::new(everyone.clone(), REGISTRAR, metadata.clone(), METADATA_KEYS);
        everyone.employ(registrar.work(shifts.clone(), 4 * shape.think_ms_max));
        if self.breaks == Breaks::Moves {
            let mover = Mover::new(everyone.clone(), shape.joiners.clone());
            everyone.employ(mover.work(MOVES_WORK));
        }
        if self.breaks == Breaks::Bits {
            let rot = Rot::new(everyone.clone());
            everyone.employ(rot.work(WORK));
        }
        if self.breaks == Breaks::Nothing {
            let operator = Operator::new(everyone.clone());
            everyone.employ(operator.work(WORK));
        }
        let end = shifts.last().map_or(self.work(), |shift| shift.until);
        if simulation.run_until(end.max(run.schedule.end())) {
            let places = |keyspace: KeyspaceName, keys: Keys| {
                keys.all().map(move |key| Place {
                    keyspace: keyspace.clone(),
                    key,
                })
            };
            let places = places(main, shape.keys).chain(places(metadata, METADATA_KEYS));
            if self.breaks == Breaks::Unsynced {
                settle::settle_uncompared(simulation, everyone, places.collect());
            } else if self.breaks == Breaks::Bits {
                settle::settle_rebuilt(simulation, everyone, places.collect(), &kept);
            } else {
                settle::settle(simulation, everyone, places.collect(), &kept);
            }
        }
    }
}
