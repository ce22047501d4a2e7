//! All nodes lose their power at once, and with it the last second of their logs, each another one: a range may have kept rows
//! whose source has lost the entries that they follow from. What is written from then on gets the indices of those entries, and
//! has its rows nevertheless.
//!
//! Invariant: only what is written behind the power cut is judged; of what was written before it, an index may have a row too
//! many or too few, as acknowledged writes may be lost. There is one power cut: a second one may take the terms away by which
//! new entries are told from those that were lost (`docs/replication.md`, "Derived rows").

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stator_cluster::{ConsistencyLevel, Durability, NodeId};

use super::command::encode_cell;
use super::deriving::{BEFORE_SOURCE, Deriving, INVERSE, SOURCE, index_key};
use super::everyone::{Everyone, Sending};
use super::invariant::Invariant;
use super::node::{Answering, Node};
use super::place::{KeyspaceName, Place};
use super::setup::{Builder, Shape, world};
use super::work::{Numbers, Shift};
use super::{plans, settle, watch};
use crate::check::cell::{Input, Stored};
use crate::fault::{Entry, Schedule, unleash};
use crate::history::Client;
use crate::random::Seed;
use crate::scenario::{Report, Run, Scenario};

/// Clients that write until the power goes, and those that write from the time on when it is back.
const BEFORE: RangeInclusive<u64> = 1..=4;
const BEHIND: RangeInclusive<u64> = 11..=16;
const THINK_MS_MAX: u64 = 20;

/// The keyspaces are there by then.
const BEGUN_BY: Duration = Duration::from_secs(6);
/// When the power goes: all nodes have been writing for longer than a log is not synced.
const CUT_MS: RangeInclusive<u64> = 8_000..=10_000;
/// For how long, in milliseconds.
const DARK_MS: RangeInclusive<u64> = 50..=1_500;
/// How long clients write then.
const WORK: Duration = Duration::from_secs(5);

/// All nodes lose the end of their logs.
#[derive(Clone)]
pub struct TailScenario {
    builder: Builder,
}

impl TailScenario {
    /// With nodes that are made so.
    pub(super) fn new(builder: Builder) -> Self {
        Self { builder }
    }

    fn shape(seed: Seed) -> Shape {
        Shape {
            nodes: [1, 2, 3].map(NodeId).into(),
            durability: Durability::Interval,
            syncs_seldom: true,
            deriving: Some(Arc::new(Deriving::new(false))),
            ..Shape::of(seed)
        }
    }
}

impl Scenario for TailScenario {
    fn name(&self) -> &'static str {
        "cluster-tail"
    }

    fn summary(&self) -> &'static str {
        "all nodes lose their power and the end of their logs, and what is written then has its rows"
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        let mut stream = seed.stream("plan", 0);
        let nodes = Self::shape(seed).nodes;
        let at = stream.between(*CUT_MS.start(), *CUT_MS.end());
        let lasting = stream.between(*DARK_MS.start(), *DARK_MS.end());
        let entry = Entry {
            at: Duration::from_millis(at),
            lasting: Duration::from_millis(lasting),
            fault: plans::power_cut(&mut stream, &nodes, 0),
        };
        Schedule { entries: vec![entry] }
    }

    fn run(&self, run: &Run) -> Report {
        let (mut simulation, everyone) = world(run, &Self::shape(run.seed), &self.builder);
        unleash(&everyone.control, &run.schedule);
        watch::watch(&everyone);
        let names = BEFORE_SOURCE.into_iter().chain([SOURCE]);
        let mut names = names.map(KeyspaceName::new);
        if names.all(|name| settle::begin(&mut simulation, &everyone, &name, BEGUN_BY)) {
            let cut = run.schedule.entries.first().map(|entry| entry.at);
            let cut = cut.unwrap_or(Duration::from_millis(*CUT_MS.end()));
            let back = run.schedule.end().max(cut);
            let (before, behind) = (
                Shift {
                    from: Duration::ZERO,
                    until: cut,
                },
                Shift {
                    from: back,
                    until: back + WORK,
                },
            );
            for client in BEFORE {
                let putting = put(everyone.clone(), Client(client), before);
                everyone.employ(async move { drop(putting.await) });
            }
            everyone.employ(act(everyone.clone(), behind));
            let limit = behind.until + settle::HEALED_WITHIN;
            if !simulation.run_while(limit, || everyone.is_busy()) {
                let what = "rows of what was written behind the power cut do not arrive";
                everyone.breaks(Invariant::Available, what);
            }
        }
        settle::report_unjudged(simulation, &everyone)
    }
}

/// Puts cells that nobody else touches, one after the other, and gives those that were acknowledged.
async fn put(everyone: Everyone, client: Client, shift: Shift) -> Vec<(Place, Stored)> {
    let mut stream = everyone.control.stream("putter", client.0);
    let mut numbers = Numbers::new(client);
    let sending = Sending {
        level: ConsistencyLevel::Quorum,
        is_repeated: true,
    };
    let mut acknowledged = Vec::new();
    everyone.wait_for(shift.from).await;
    while everyone.control.now() < shift.until {
        let cell = numbers.cell();
        let place = Place {
            keyspace: KeyspaceName::new(SOURCE),
            key: cell.by,
        };
        let input = Input::Put(cell);
        let written = everyone.write(client, &mut stream, &place, input, sending).await;
        if written.answered.is_some() {
            acknowledged.push((place, cell));
        }
        let think = stream.between(1, THINK_MS_MAX);
        everyone.pause(think).await;
    }
    acknowledged
}

/// Has clients write behind the power cut, and looks for the rows of what was acknowledged.
async fn act(everyone: Everyone, shift: Shift) {
    let clients = BEHIND.map(|client| put(everyone.clone(), Client(client), shift));
    let acknowledged = join_all(clients).await;
    let mut stream = everyone.control.stream("director", 0);
    let settled =
        |node: Arc<dyn Node>| -> Answering<'static, ()> { Box::pin(async move { node.settled().await }) };
    everyone.insist(&mut stream, "settle", settled).await;
    let keys =
        |node: Arc<dyn Node>| -> Answering<'static, _> { Box::pin(async move { node.keys(INVERSE).await }) };
    let found = everyone.insist(&mut stream, "list the index", keys).await;
    for (place, cell) in acknowledged.iter().flatten() {
        let key = index_key(&place.key_bytes(), &encode_cell(*cell));
        if !found.contains(&key[..]) {
            let what = format_args!("{place} was written behind the power cut and has no row in the index");
            return everyone.breaks(Invariant::Indexed, what);
        }
    }
}
