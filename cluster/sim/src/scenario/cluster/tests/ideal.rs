//! Nodes that are one in truth: they share one log in memory, and each applies it in its own time. And the same nodes
//! with something wrong.
//!
//! Invariant: what is not wrong is linearizable by construction, since each write is decided and put into the log in one
//! step.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::ring::{RangeBits, RangeId};
use stator_cluster::{
    Applier, Cell, ConsistencyLevel, Direction, Inbox, Invocation, InvocationId, NodeId, Verdict, World,
    WriteOptions,
};

use crate::check::cell::Stored;
use crate::kernel::Control;
use crate::scenario::cluster::command::{Answered, Command, decode_cell};
use crate::scenario::cluster::node::{Answering, GroupView, Node, Rows, Trouble, Visited};
use crate::scenario::cluster::place::{KeyspaceName, Place, Span};
use crate::scenario::cluster::setup::{Builder, Opened, Shape};

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    ForgetsInvocations,
    ReadsItself,
    ShowsProposals,
    JudgesProposals,
    DoesWhatItRefuses,
    ForgetsAtStart,
    LeavesOut,
    KnowsLate,
    TwoLeaders,
    VisitsTwice,
    DrainsBackwards,
    NeedsNobody,
    FallsSilent,
}

/// A row: the number of its keyspace, and its key bytes.
type Key = (u64, Vec<u8>);

type Cells = BTreeMap<Key, Cell>;

/// What has no effect until it is in the log.
#[derive(Clone, Debug)]
struct Hint {
    key: Key,
    command: Command,
}

#[derive(Debug, Default)]
struct Truth {
    /// All changes.
    log: Vec<(Key, Option<Cell>)>,
    cells: Cells,
    /// The numbers of keyspaces, by name.
    keyspaces: BTreeMap<String, u64>,
    keyspaces_made: u64,
    done: BTreeMap<(InvocationId, Key), Answered>,
    /// Writes that will come to nothing, as long as nobody knows that.
    proposals: Cells,
    /// How much of the log each node has applied, and what it has then.
    replicas: BTreeMap<NodeId, (usize, Cells)>,
    hints: BTreeMap<NodeId, Vec<Hint>>,
}

impl Truth {
    fn decide(&mut self, key: &Key, command: &Command, invocation: Option<Invocation>) -> Answered {
        if let Some(call) = invocation
            && let Some(answered) = self.done.get(&(call.id, key.clone()))
        {
            return *answered;
        }
        let verdict = command.decide(self.cells.get(key));
        let (change, answered) = match verdict {
            Verdict::Keep { answer } => {
                let repeated = invocation.filter(|call| call.is_repeated);
                self.done
                    .extend(repeated.map(|call| ((call.id, key.clone()), answer)));
                return answer;
            }
            Verdict::Put { cell, answer } => (Some(cell), answer),
            Verdict::Delete { answer } => (None, answer),
        };
        self.done
            .extend(invocation.map(|call| ((call.id, key.clone()), answered)));
        self.log.push((key.clone(), change.clone()));
        change_cell(&mut self.cells, key, change);
        answered
    }

    /// Lets a node apply some of what it has not applied. `leaves_out` is the place of entries that it passes over.
    fn apply(&mut self, node: NodeId, entries: usize, leaves_out: Option<usize>) {
        let (applied, cells) = self.replicas.entry(node).or_default();
        for (key, change) in self.log.iter().skip(*applied).take(entries) {
            if leaves_out.is_none_or(|place| *applied % 100 != place) {
                change_cell(cells, key, change.clone());
            }
            *applied += 1;
        }
    }
}

fn change_cell(cells: &mut Cells, key: &Key, change: Option<Cell>) {
    match change {
        Some(cell) => cells.insert(key.clone(), cell),
        None => cells.remove(key),
    };
}

struct Ideal {
    id: NodeId,
    wrong: Wrong,
    shape: Shape,
    control: Control,
    world: Arc<dyn World>,
    truth: Arc<Mutex<Truth>>,
    is_silent: AtomicBool,
}

#[derive(Debug)]
struct Deaf;

impl Inbox for Deaf {
    fn receive(&self, _: NodeId, _: Bytes) {}
}

/// Makes such nodes; those of one run share one truth.
pub(super) fn ideal(wrong: Wrong) -> Builder {
    // Runs of different seeds go on at once. The first node to boot begins a run.
    let truths: Arc<Mutex<BTreeMap<u64, Arc<Mutex<Truth>>>>> = Arc::default();
    Arc::new(move |boot, shape, control: &Control| {
        let run = control.seed().0;
        let is_first = boot.incarnation == 1 && Some(&boot.node) == shape.nodes.first();
        let mut truths = truths.lock();
        if is_first {
            truths.insert(run, Arc::default());
        }
        let truth = truths.get(&run).cloned().ok_or_else(|| "no run".to_owned())?;
        if wrong == Wrong::ForgetsAtStart && boot.incarnation > 1 {
            let mut truth = truth.lock();
            let (key, _) = truth
                .log
                .last()
                .cloned()
                .ok_or_else(|| "an empty log".to_owned())?;
            truth.log.push((key.clone(), None));
            truth.cells.remove(&key);
        }
        let node = Arc::new(Ideal {
            id: boot.node,
            wrong,
            shape: shape.clone(),
            control: control.clone(),
            world: Arc::clone(&boot.world),
            truth,
            is_silent: AtomicBool::new(false),
        });
        boot.world.spawn(Box::pin(live(Arc::downgrade(&node))));
        Ok(Opened {
            node,
            inbox: Arc::new(Deaf),
        })
    })
}

/// Applies the log, and drains hints.
async fn live(node: Weak<Ideal>) {
    while let Some(own) = node.upgrade() {
        let leaves_out = (own.wrong == Wrong::LeavesOut && own.id == NodeId(2)).then_some(50);
        own.truth.lock().apply(own.id, 3, leaves_out);
        if own.has_majority() {
            own.drain();
        }
        own.pause(12).await;
    }
}

impl Ideal {
    async fn pause(&self, milliseconds: u64) {
        self.world.sleep(Duration::from_millis(milliseconds)).await;
    }

    fn has_majority(&self) -> bool {
        let up = self.shape.nodes.iter().filter(|node| self.control.is_up(**node));
        self.wrong == Wrong::NeedsNobody || up.count() * 2 > self.shape.nodes.len()
    }

    fn drain(&self) {
        let mut truth = self.truth.lock();
        let hints = truth.hints.entry(self.id).or_default();
        let next = match self.wrong {
            _ if hints.is_empty() => return,
            Wrong::DrainsBackwards => hints.pop(),
            _ => Some(hints.remove(0)),
        };
        if let Some(hint) = next {
            truth.decide(&hint.key, &hint.command, None);
        }
    }

    fn key(&self, place: &Place) -> Result<Key, Trouble> {
        Ok((self.number(&place.keyspace)?, place.key_bytes()))
    }

    fn number(&self, keyspace: &KeyspaceName) -> Result<u64, Trouble> {
        if keyspace.is_metadata() {
            return Ok(0);
        }
        let truth = self.truth.lock();
        let number = truth.keyspaces.get(&keyspace.name).copied();
        let is_late = self.wrong == Wrong::KnowsLate && number == Some(truth.keyspaces_made);
        let number = number.filter(|number| !is_late || *number < 3);
        number.ok_or(Trouble::NoSuchKeyspace)
    }

    /// Waits for as long as an answer takes.
    async fn serve(&self, level: ConsistencyLevel) -> Result<(), Trouble> {
        self.pause(2).await;
        if self.wrong == Wrong::FallsSilent && self.truth.lock().log.len() > 100 {
            self.is_silent.store(self.id == NodeId(1), Ordering::Relaxed);
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if level == ConsistencyLevel::One || self.has_majority() {
            Ok(())
        } else {
            Err(Trouble::Unavailable("no majority".to_owned()))
        }
    }

    async fn propose(&self, key: Key, options: WriteOptions, command: &Command) -> Result<Answered, Trouble> {
        self.serve(options.level).await?;
        if !self.has_majority() {
            let command = *command;
            let mut truth = self.truth.lock();
            let hints = truth.hints.entry(self.id).or_default();
            hints.push(Hint { key, command });
            return Ok(Answered::Unseen);
        }
        let draw = self.world.random_u64() % 20;
        if draw == 0 {
            return self.come_to_nothing(key, command).await;
        }
        if self.wrong == Wrong::JudgesProposals {
            let truth = self.truth.lock();
            if let Some(cell) = truth.proposals.get(&key)
                && let Verdict::Keep { answer } = command.decide(Some(cell))
            {
                return Ok(answer);
            }
        }
        let invocation = options
            .invocation
            .filter(|_| self.wrong != Wrong::ForgetsInvocations);
        let answered = self.truth.lock().decide(&key, command, invocation);
        if draw == 1 {
            return Err(Trouble::Unknown("the leader has changed".to_owned()));
        }
        if draw == 2 && self.wrong == Wrong::DoesWhatItRefuses {
            return Err(Trouble::Unavailable("the leader has changed".to_owned()));
        }
        self.pause(3).await;
        Ok(answered)
    }

    async fn come_to_nothing(&self, key: Key, command: &Command) -> Result<Answered, Trouble> {
        {
            let mut truth = self.truth.lock();
            let verdict = command.decide(truth.cells.get(&key));
            if let Verdict::Put { cell, .. } = verdict {
                truth.proposals.insert(key.clone(), cell);
            }
        }
        self.pause(150).await;
        self.truth.lock().proposals.remove(&key);
        Err(Trouble::Unknown("the leader has changed".to_owned()))
    }

    fn find(&self, key: &Key, level: ConsistencyLevel) -> Result<Option<Stored>, Trouble> {
        let truth = self.truth.lock();
        let own = truth.replicas.get(&self.id).and_then(|(_, cells)| cells.get(key));
        let cell = match level {
            ConsistencyLevel::One if self.wrong == Wrong::ShowsProposals => truth.proposals.get(key).or(own),
            ConsistencyLevel::One => own,
            _ if self.wrong == Wrong::ReadsItself => own,
            _ => truth.cells.get(key),
        };
        let broken = || Trouble::Broken("bytes that are no cell".to_owned());
        cell.map(|cell| decode_cell(cell).ok_or_else(broken)).transpose()
    }
}

impl Node for Ideal {
    fn turn(&self) -> bool {
        false
    }

    fn ready(&self) -> Answering<'_, ()> {
        Box::pin(self.serve(ConsistencyLevel::Quorum))
    }

    fn hand_over(&self) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, place: &'a Place, level: ConsistencyLevel) -> Answering<'a, Option<Stored>> {
        Box::pin(async move {
            self.serve(level).await?;
            let found = self.find(&self.key(place)?, level);
            self.pause(1).await;
            found
        })
    }

    fn write<'a>(
        &'a self,
        place: &'a Place,
        options: WriteOptions,
        command: &'a Command,
    ) -> Answering<'a, Answered> {
        Box::pin(async move { self.propose(self.key(place)?, options, command).await })
    }

    fn range<'a>(
        &'a self,
        span: &'a Span,
        direction: Direction,
        level: ConsistencyLevel,
        rows_max: usize,
    ) -> Answering<'a, Vec<Visited>> {
        Box::pin(async move {
            self.serve(level).await?;
            let number = self.number(&span.keyspace)?;
            let own = (number, Vec::new())..(number + 1, Vec::new());
            let truth = self.truth.lock();
            let rows = truth.cells.range(own).filter(|((_, key), _)| span.holds(key));
            let mut rows: Vec<_> = rows
                .map(|((_, key), cell)| Visited {
                    key: key.clone(),
                    cell: decode_cell(cell),
                })
                .collect();
            if direction == Direction::Backward {
                rows.reverse();
            }
            if self.wrong == Wrong::VisitsTwice {
                rows.extend(rows.last().cloned());
            }
            rows.truncate(rows_max);
            Ok(rows)
        })
    }

    fn create_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()> {
        Box::pin(async move {
            self.serve(ConsistencyLevel::Quorum).await?;
            let mut truth = self.truth.lock();
            if !truth.keyspaces.contains_key(&name.name) {
                truth.keyspaces_made += 1;
                let number = truth.keyspaces_made;
                truth.keyspaces.insert(name.name.clone(), number);
            }
            Ok(())
        })
    }

    fn drop_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()> {
        Box::pin(async move {
            self.serve(ConsistencyLevel::Quorum).await?;
            self.truth.lock().keyspaces.remove(&name.name);
            Ok(())
        })
    }

    fn has_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, bool> {
        Box::pin(async move {
            self.serve(ConsistencyLevel::Quorum).await?;
            Ok(self.truth.lock().keyspaces.contains_key(&name.name))
        })
    }

    fn keyspaces(&self) -> Vec<KeyspaceName> {
        let truth = self.truth.lock();
        truth
            .keyspaces
            .keys()
            .map(|name| KeyspaceName::new(name.clone()))
            .collect()
    }

    fn local_rows(&self, name: &KeyspaceName) -> Result<Rows, Trouble> {
        let number = self.number(name)?;
        let truth = self.truth.lock();
        let Some((_, cells)) = truth.replicas.get(&self.id) else {
            return Ok(Rows::new());
        };
        let own = (
            Bound::Included((number, Vec::new())),
            Bound::Excluded((number + 1, Vec::new())),
        );
        Ok(cells
            .range(own)
            .map(|((_, key), cell)| (key.clone(), cell.clone()))
            .collect())
    }

    fn groups(&self) -> Vec<GroupView> {
        let truth = self.truth.lock();
        let applied = truth.replicas.get(&self.id).map_or(0, |(applied, _)| *applied);
        let index = |entries: usize| u64::try_from(entries).unwrap_or(u64::MAX);
        let leader = if self.wrong == Wrong::TwoLeaders {
            self.id
        } else {
            NodeId(1)
        };
        let ranges = (0..self.shape.range_bits.range_count()).map(|range| Some(RangeId(range)));
        (0..)
            .zip([None].into_iter().chain(ranges))
            .map(|(group, range)| GroupView {
                group,
                range,
                replicas: self.shape.nodes.clone(),
                leader: Some(leader),
                term: 1,
                committed: index(truth.log.len()),
                applied: index(applied),
                prepared: 0,
                is_diverged: false,
                is_filled: true,
                replica: 1,
            })
            .collect()
    }

    fn range_bits(&self) -> RangeBits {
        self.shape.range_bits
    }

    fn hints_waiting(&self) -> u64 {
        let truth = self.truth.lock();
        truth
            .hints
            .get(&self.id)
            .map_or(0, |hints| u64::try_from(hints.len()).unwrap_or(u64::MAX))
    }
}
