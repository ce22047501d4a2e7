//! A node that has lost its disk must not help to decide anything: with it and a node that lags, there is no majority.
//!
//! Of three nodes, one is cut off while the others acknowledge writes. Then one of the others gets an empty disk, and the
//! other one is cut off instead. The two that hear each other are two of three; but one has forgotten, and the other has
//! not heard, what was acknowledged.

use std::time::Duration;

use stator_cluster::{ConsistencyLevel, NodeId};

use super::everyone::Everyone;
use super::invariant::Invariant;
use super::place::{KeyspaceName, Place};
use super::setup::{Builder, Shape, world};
use super::work::{Keys, Numbers};
use super::{settle, watch};
use crate::check::cell::Input;
use crate::fault::{Entry, Fault, Partition, Schedule, unleash};
use crate::history::Client;
use crate::random::Seed;
use crate::scenario::cluster::everyone::Sending;
use crate::scenario::{Report, Run, Scenario};

const CELLS: u64 = 3;
const DIRECTOR: Client = Client(1);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The laggard is cut off from here on,
const LAGS_FROM: Duration = seconds(6);
/// and the witness from here on, when the third one loses its disk.
const CHANGE: Duration = seconds(11);
/// How long the empty disk takes to come.
const EMPTY_AFTER: Duration = Duration::from_millis(500);
/// From here on everybody hears everybody.
const HEALS: Duration = seconds(20);

/// A node loses its disk.
#[derive(Clone)]
pub struct WipedScenario {
    builder: Builder,
}

/// Who is who.
struct Cast {
    laggard: NodeId,
    witness: NodeId,
    wiped: NodeId,
}

impl Cast {
    fn of(seed: Seed) -> Self {
        let mut nodes = [1, 2, 3].map(NodeId);
        seed.stream("cast", 0).shuffle(&mut nodes);
        let [laggard, witness, wiped] = nodes;
        Self {
            laggard,
            witness,
            wiped,
        }
    }
}

impl WipedScenario {
    /// With nodes that are made so.
    pub(super) fn new(builder: Builder) -> Self {
        Self { builder }
    }
}

fn place(key: u64) -> Place {
    Place {
        keyspace: KeyspaceName::new("main"),
        key,
    }
}

impl Scenario for WipedScenario {
    fn name(&self) -> &'static str {
        "cluster-wiped"
    }

    fn summary(&self) -> &'static str {
        "a node loses its disk and must not vote as what it was"
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        let Cast {
            laggard,
            witness,
            wiped,
        } = Cast::of(seed);
        let entry = |at, until: Duration, fault| Entry {
            at,
            lasting: until.saturating_sub(at),
            fault,
        };
        let cut_off = |node| Fault::Partition(Partition::Split(vec![node]));
        let entries = vec![
            entry(LAGS_FROM, CHANGE, cut_off(laggard)),
            entry(CHANGE, CHANGE + EMPTY_AFTER, Fault::Wipe(wiped)),
            entry(CHANGE, HEALS, cut_off(witness)),
        ];
        Schedule { entries }
    }

    fn run(&self, run: &Run) -> Report {
        let shape = Shape {
            nodes: [1, 2, 3].map(NodeId).into(),
            keys: Keys {
                cells: CELLS,
                counters: 0,
                clients: 0,
                all_of_ten: 1,
            },
            ..Shape::of(run.seed)
        };
        let (mut simulation, everyone) = world(run, &shape, &self.builder);
        unleash(&everyone.control, &run.schedule);
        watch::watch(&everyone);
        let main = KeyspaceName::new("main");
        let is_complete = run.schedule == self.schedule(run.seed);
        if settle::begin(&mut simulation, &everyone, &main, LAGS_FROM) {
            let cast = Cast::of(run.seed);
            everyone.employ(act(everyone.clone(), cast, is_complete));
            if !simulation.run_while(HEALS + settle::HEALED_WITHIN, || everyone.is_busy()) {
                let what = "the two nodes that have their disks do not answer";
                everyone.breaks(Invariant::Available, what);
            }
        }
        settle::report(simulation, &everyone)
    }
}

/// Writes while the laggard hears nothing, and then looks for somebody who has forgotten. Unless the schedule
/// `is_complete`, nothing is expected but that the history fits together.
async fn act(everyone: Everyone, cast: Cast, is_complete: bool) {
    let mut stream = everyone.control.stream("director", 0);
    let mut numbers = Numbers::new(DIRECTOR);
    let sending = Sending {
        level: ConsistencyLevel::Quorum,
        is_repeated: true,
    };
    let mut write = async |everyone: &Everyone, key| {
        let input = Input::Put(numbers.cell());
        let place = place(key);
        everyone
            .write(DIRECTOR, &mut stream, &place, input, sending)
            .await;
    };
    everyone.wait_for(LAGS_FROM).await;
    let mut key = 0;
    while everyone.control.now() + seconds(1) < CHANGE {
        write(&everyone, key % CELLS).await;
        key += 1;
        everyone.pause(30).await;
    }
    everyone.wait_for(CHANGE + EMPTY_AFTER).await;
    let mut key = 0;
    while everyone.control.now() < HEALS {
        for node in [cast.laggard, cast.wiped] {
            let level = ConsistencyLevel::Quorum;
            let read = everyone.read(DIRECTOR, node, &place(key % CELLS), level).await;
            if let Some(found) = read
                && everyone.control.now() < HEALS
                && is_complete
            {
                let what = format_args!(
                    "node {node} has answered {found:?} at QUORUM, though of its majority node {} has lost its disk",
                    cast.wiped
                );
                everyone.breaks(Invariant::NoVote, what);
            }
        }
        key += 1;
        everyone.pause(100).await;
    }
    for key in 0..CELLS {
        for node in [cast.laggard, cast.witness] {
            let level = ConsistencyLevel::Quorum;
            while everyone.read(DIRECTOR, node, &place(key), level).await.is_none() {
                everyone.pause(100).await;
            }
        }
    }
}
