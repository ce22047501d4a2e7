//! Two of three nodes are gone for a while: the third still answers at ONE and hints writes at ONE, refuses everything
//! else at once, and when the others are back the hints arrive in their order.

use std::sync::Arc;
use std::time::Duration;

use stator_cluster::{ConsistencyLevel, NodeId, WriteOptions};

use super::command::{Answered, Command};
use super::everyone::{Attempt, Everyone, Sending};
use super::invariant::{Invariant, drained};
use super::node::{Answering, Node};
use super::place::{KeyspaceName, Place};
use super::setup::{Builder, Shape, world};
use super::work::{Keys, Numbers};
use super::{settle, watch};
use crate::check::cell::{Input, Stored};
use crate::fault::{Entry, Fault, Schedule, unleash};
use crate::history::Client;
use crate::random::{Seed, Stream};
use crate::scenario::{Report, Run, Scenario};

/// When the others go.
const GONE_FROM: Duration = Duration::from_secs(6);

/// For how long: what is asked meanwhile is refused only when patience is over.
const GONE_FOR: Duration = Duration::from_secs(24);

/// How long a node may take to find out that it has no majority.
const FINDS_OUT_WITHIN: Duration = Duration::from_millis(2_500);

/// How long a node may take to answer at ONE, or to refuse what needs a majority.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// How many writes are hinted for each cell.
const HINTS: i64 = 12;

/// What each cell is before.
const BEFORE: i64 = -1;

/// The cells that are hinted.
const CELLS: u64 = 4;

/// The cell that is asked for what must be refused.
const REFUSED: u64 = CELLS;

const DIRECTOR: Client = Client(1);

/// Two of three nodes are gone, and come back.
#[derive(Clone)]
pub struct MinorityScenario {
    builder: Builder,
}

impl MinorityScenario {
    /// With nodes that are made so.
    pub(super) fn new(builder: Builder) -> Self {
        Self { builder }
    }

    fn shape(seed: Seed) -> Shape {
        Shape {
            nodes: [1, 2, 3].map(NodeId).into(),
            keys: Keys {
                cells: REFUSED + 1,
                counters: 0,
                clients: 0,
                all_of_ten: 1,
            },
            ..Shape::of(seed)
        }
    }
}

fn place(key: u64) -> Place {
    Place {
        keyspace: KeyspaceName::new("main"),
        key,
    }
}

/// The one that is left.
fn survivor(seed: Seed) -> NodeId {
    NodeId(seed.stream("survivor", 0).between(1, 3))
}

impl Scenario for MinorityScenario {
    fn name(&self) -> &'static str {
        "cluster-minority"
    }

    fn summary(&self) -> &'static str {
        "two of three nodes are gone for a while"
    }

    fn schedule(&self, seed: Seed) -> Schedule {
        let survivor = survivor(seed);
        let others = [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != survivor);
        let entry = Entry {
            at: GONE_FROM,
            lasting: GONE_FOR,
            fault: Fault::Kill(others.collect()),
        };
        Schedule { entries: vec![entry] }
    }

    fn run(&self, run: &Run) -> Report {
        let (mut simulation, everyone) = world(run, &Self::shape(run.seed), &self.builder);
        unleash(&everyone.control, &run.schedule);
        watch::watch(&everyone);
        let main = KeyspaceName::new("main");
        let is_complete = run.schedule == self.schedule(run.seed);
        if settle::begin(&mut simulation, &everyone, &main, Duration::from_secs(5)) {
            let director = Director {
                stream: everyone.control.stream("director", 0),
                numbers: Numbers::new(DIRECTOR),
                survivor: survivor(run.seed),
                everyone: everyone.clone(),
            };
            let end = run.schedule.end();
            everyone.employ(director.work(end, is_complete));
            // The director says how it ends.
            if simulation.run_while(end + settle::HEALED_WITHIN, || everyone.is_busy()) {
                settle::settle(
                    &mut simulation,
                    &everyone,
                    (0..=REFUSED).map(place).collect(),
                    &Arc::default(),
                );
            } else {
                everyone.breaks(Invariant::Drained, "the hinted writes do not arrive");
            }
        }
        settle::report(simulation, &everyone)
    }
}

struct Director {
    everyone: Everyone,
    stream: Stream,
    numbers: Numbers,
    survivor: NodeId,
}

impl Director {
    /// Unless the schedule `is_complete`, there is nothing to see.
    async fn work(mut self, end: Duration, is_complete: bool) {
        for key in 0..CELLS {
            let by = self.numbers.next();
            let input = Input::Put(Stored { value: BEFORE, by });
            let sending = Sending {
                level: ConsistencyLevel::All,
                is_repeated: true,
            };
            let (everyone, stream) = (&self.everyone, &mut self.stream);
            everyone
                .write(DIRECTOR, stream, &place(key), input, sending)
                .await;
        }
        if !is_complete {
            return;
        }
        let finds_out = GONE_FROM + FINDS_OUT_WITHIN;
        self.everyone.wait_for(GONE_FROM + Duration::from_millis(1)).await;
        while self.everyone.control.now() < finds_out {
            self.is_not_done(true).await;
        }
        for number in 1..=HINTS {
            for key in 0..CELLS {
                self.reads_at_one(key).await;
                self.hint(key, number).await;
            }
            self.is_not_done(false).await;
        }
        if self.everyone.control.now() >= end {
            let what = "what one node alone answers and refuses takes too long";
            return self.everyone.breaks(Invariant::Refused, what);
        }
        self.everyone.wait_for(end).await;
        self.follow().await;
    }

    /// The survivor's own copy is there.
    async fn reads_at_one(&self, key: u64) {
        let (before, place) = (self.everyone.control.now(), place(key));
        let found = self.everyone.glimpse(DIRECTOR, self.survivor, &place).await;
        let took = self.everyone.control.now().saturating_sub(before);
        if found.is_none() || took > ANSWERS_WITHIN {
            let what = format_args!(
                "the only node that is left has answered a read at ONE with {found:?} after {took:?}"
            );
            self.everyone.breaks(Invariant::Available, what);
        }
    }

    /// What needs a majority is refused in time. As long as the node may not have found out, what has become of a write may
    /// be unknown.
    async fn is_not_done(&mut self, may_be_unknown: bool) {
        let place = place(REFUSED);
        let level = if self.stream.chance(500_000) {
            ConsistencyLevel::Quorum
        } else {
            ConsistencyLevel::All
        };
        let before = self.everyone.control.now();
        if self.stream.chance(500_000) {
            let what = format!("read {place} at {level:?}, without a majority");
            let call = move |node: Arc<dyn Node>| -> Answering<'static, _> {
                Box::pin(async move { node.read(&place, level).await })
            };
            let read = self.everyone.ask(self.survivor, &what, call).await;
            return self.expect_refusal(&what, before, &read, false);
        }
        let what = format!("write {place} at {level:?}, without a majority");
        let input = Input::Put(self.numbers.cell());
        let history = &self.everyone.history;
        let operation = history.begin(DIRECTOR, place.clone(), input, before);
        let options = WriteOptions {
            level,
            invocation: None,
        };
        let call = move |node: Arc<dyn Node>| -> Answering<'static, _> {
            Box::pin(async move { node.write(&place, options, &Command(input)).await })
        };
        let written = self.everyone.ask(self.survivor, &what, call).await;
        if matches!(written, Attempt::Refused) {
            history.withdraw(operation);
        }
        self.expect_refusal(&what, before, &written, may_be_unknown);
    }

    fn expect_refusal<T: std::fmt::Debug>(
        &self,
        what: &str,
        before: Duration,
        attempt: &Attempt<T>,
        may_be_unknown: bool,
    ) {
        let took = self.everyone.control.now().saturating_sub(before);
        let is_refused = match attempt {
            Attempt::Refused => true,
            Attempt::Unknown => may_be_unknown,
            Attempt::Answered(_) | Attempt::Gone => false,
        };
        if !is_refused || took > ANSWERS_WITHIN {
            let what = format_args!("{what}: {attempt:?} after {took:?}");
            self.everyone.breaks(Invariant::Refused, what);
        }
    }

    /// The write is taken, and said to be done later.
    async fn hint(&mut self, key: u64, number: i64) {
        let (asked, before) = (place(key), self.everyone.control.now());
        let by = self.numbers.next();
        let input = Input::Put(Stored { value: number, by });
        let what = format!("write {asked} at ONE, to be hinted: {number}");
        let options = WriteOptions {
            level: ConsistencyLevel::One,
            invocation: None,
        };
        // It takes effect after its answer, so that it stays open in the history.
        let history = &self.everyone.history;
        history.begin(DIRECTOR, asked.clone(), input, before);
        let written = self
            .everyone
            .ask(self.survivor, what, move |node| {
                Box::pin(async move { node.write(&asked, options, &Command(input)).await })
            })
            .await;
        let took = self.everyone.control.now().saturating_sub(before);
        let is_hinted = matches!(written, Attempt::Answered(Answered::Unseen));
        if !is_hinted || took > ANSWERS_WITHIN {
            let what = format_args!("a write at ONE without a majority gave {written:?} after {took:?}");
            self.everyone.breaks(Invariant::Available, what);
        }
    }

    /// Reads the cells until no hint waits any more, and once more.
    async fn follow(&mut self) {
        let mut cells = vec![Vec::new(); usize::try_from(CELLS).unwrap_or(0)];
        let mut is_last = false;
        loop {
            let hints = self.everyone.node(self.survivor).map(|node| node.hints_waiting());
            for (key, values) in (0..CELLS).zip(&mut cells) {
                let node = self.everyone.any_node(&mut self.stream);
                let level = ConsistencyLevel::Quorum;
                let read = self.everyone.read(DIRECTOR, node, &place(key), level).await;
                values.extend(read.map(|cell| cell.map(|cell| cell.value)));
                is_last &= read.is_some();
            }
            if is_last {
                break;
            }
            is_last = hints == Some(0);
            self.everyone.pause(10).await;
        }
        for (key, values) in (0..CELLS).zip(&cells) {
            if let Err(reason) = drained::check(&place(key), Some(BEFORE), HINTS, values) {
                self.everyone.control.fail(reason);
            }
        }
    }
}
