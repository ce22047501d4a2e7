//! Groups of three replicas in one thread: their messages lie in a basket until a test lets them travel, their disks work
//! when a test turns them.

mod derived;
mod hinted;
mod marks;
mod parts;
mod retired;
mod room;
mod rotation;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_storage::vfs::mem::{MemVfs, Unsynced};
use stator_storage::{
    Durability, Engine, Environment, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Settings, WriteBatch,
};

use super::apply::METADATA_GROUP;
use super::host::{Given, Host, Outbox};
use super::quiet::QuietMessage;
use super::recover;
use super::replica::{Birth, Refused, Replica};
use super::rest::{Peer, Peers};
use super::restore::Restore;
use super::settings::{GroupSettings, Timing};
use super::write::{Decision, Target};
use crate::command::{Cell, Commands, Invocation, InvocationId, MalformedCommand, Verdict, WriteOptions};
use crate::derive::{
    Action, CellChange, Derived, DerivedRow, DerivedSum, Growth, Origin, Route, Unfit, UnfitSum, Value,
};
use crate::error::Error;
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::{Keyspaces, METADATA};
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::raft::{Members, RaftMessage, ReplicaId};
use crate::world::{NodeId, Task, World};

const GROUP: u32 = 3;
const LOG_SEGMENTS_MAX: u64 = 8;
const LOG_SEGMENT_BYTES: u64 = 4096;
/// What is kept for members that are away.
const AWAY_LOG_BYTES: u64 = 3 * LOG_SEGMENTS_MAX * LOG_SEGMENT_BYTES;

/// What is spawned runs when the test turns the nodes; time stands still.
#[derive(Debug, Default)]
struct Still {
    random: Mutex<u64>,
    unix_ms: Mutex<u64>,
    tasks: Mutex<VecDeque<Spawned>>,
}

struct Spawned(Task);

impl std::fmt::Debug for Spawned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a task")
    }
}

impl World for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_ms(&self) -> u64 {
        *self.unix_ms.lock()
    }

    fn random_u64(&self) -> u64 {
        let mut random = self.random.lock();
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *random >> 33
    }

    fn sleep(&self, _: Duration) -> Task {
        Box::pin(std::future::pending())
    }

    fn spawn(&self, task: Task) {
        self.tasks.lock().push_back(Spawned(task));
    }
}

/// From, to, message.
type Basket = Arc<Mutex<VecDeque<(NodeId, NodeId, Bytes)>>>;

#[derive(Debug)]
struct Post {
    from: NodeId,
    basket: Basket,
}

impl Outbox for Post {
    fn send_raft(&self, to: NodeId, _: u32, message: &RaftMessage) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.basket.lock().push_back((self.from, to, bytes.into()));
    }

    fn send_quiet(&self, to: NodeId, _: u32, message: &QuietMessage) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.basket.lock().push_back((self.from, to, bytes.into()));
    }

    fn flush(&self) {}
}

/// From cells of the keyspace `cells` follow the sum of their lengths and, if they are filled, rows with the same. One of them may
/// not be; from another one follows a row of another range.
#[derive(Debug)]
struct Deriving;

impl Commands for Deriving {
    fn decide(&self, _: &Bytes, _: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        unreachable!("nothing travels here")
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        if change.keyspace != "cells" {
            return Ok(Derived::default());
        }
        if change.key == b"unfit" {
            let reason = "it does not fit".to_owned();
            return Err(Unfit { code: 2, reason });
        }
        let length = |cell: Option<&Cell>| cell.map_or(0, |cell| i64::try_from(cell.len()).unwrap());
        let sum = DerivedSum {
            keyspace: "lengths".into(),
            key: Bytes::from_static(b"sum"),
            change: length(change.after) - length(change.before),
            max: u64::MAX,
            too_large: UnfitSum { code: 1, reason: "" },
        };
        let sent = (change.key == b"sent").then(|| DerivedRow {
            keyspace: "filled".into(),
            key: Bytes::copy_from_slice(change.key),
            route: Route::Forward,
            action: Action::Delete,
            growth: Growth::By(0, 0),
        });
        Ok(Derived {
            rows: sent.into_iter().collect(),
            sums: vec![sum],
            ..Derived::default()
        })
    }

    fn fill(&self, _: &Bytes, _: &str, key: &[u8], _: &Cell) -> Vec<DerivedRow> {
        let value = Value {
            head: Bytes::new(),
            with_cell: true,
        };
        vec![DerivedRow {
            keyspace: "filled".into(),
            key: Bytes::copy_from_slice(key),
            route: Route::Beside,
            action: Action::Put(value),
            growth: Growth::By(1, 0),
        }]
    }
}

/// What a test does to a cell of text; the answer is the text before.
enum Change {
    /// Appends.
    Append(&'static str),
    /// Puts the second if the first is there.
    Swap(&'static str, &'static str),
    /// Appends, as a hint whose call was made at this time.
    Hinted(&'static str, u64),
}

impl Decision for Change {
    type Answer = Bytes;

    fn asked_ms(&self) -> Option<u64> {
        match self {
            Self::Hinted(_, asked_ms) => Some(*asked_ms),
            Self::Append(_) | Self::Swap(..) => None,
        }
    }

    fn decide(&self, current: Option<&Cell>, _: bool) -> Result<Verdict<Bytes>, Error> {
        let answer = current.cloned().unwrap_or_default();
        Ok(match self {
            Self::Append(text) | Self::Hinted(text, _) => Verdict::Put {
                cell: [&answer, text.as_bytes()].concat().into(),
                answer,
            },
            Self::Swap(from, to) if answer == from.as_bytes() => Verdict::Put {
                cell: Bytes::from_static(to.as_bytes()),
                answer,
            },
            Self::Swap(..) => Verdict::Keep { answer },
        })
    }

    fn origin(&self) -> Option<Origin> {
        Some(0)
    }

    fn note(&self, _: &mut Bytes, _: &Bytes) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, answer: &Bytes) -> Bytes {
        answer.clone()
    }

    fn recall(&self, recorded: &Bytes) -> Result<Bytes, Error> {
        Ok(recorded.clone())
    }
}

struct Node {
    disk: MemVfs,
    world: Arc<Still>,
    host: Arc<Host>,
    replica: Arc<Replica>,
}

type Answer = Result<Bytes, Refused>;
/// A call that the test polls.
struct Call<T>(Pin<Box<dyn Future<Output = T> + Send>>);

impl<T> Call<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let mut call = Self(Box::pin(future));
        assert!(call.poll().is_none(), "a call that needs nobody");
        call
    }

    fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

struct Group {
    nodes: BTreeMap<NodeId, Node>,
    basket: Basket,
    /// Nodes whose messages are lost, both ways.
    away: Vec<NodeId>,
    number: u32,
}

fn peers(nodes: u64) -> BTreeMap<ReplicaId, NodeId> {
    (1..=nodes)
        .map(|node| (ReplicaId(node + 10), NodeId(node)))
        .collect()
}

fn host(disk: &MemVfs, node: NodeId, world: &Arc<Still>, basket: &Basket) -> Arc<Host> {
    let random = Random::new(|bytes| {
        bytes.fill(7);
        Ok(())
    });
    let keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
    let environment = Environment::new(Arc::new(disk.clone()), random, keys, 0);
    let settings = Settings {
        log_segment_bytes: LOG_SEGMENT_BYTES,
        log_segments_max: LOG_SEGMENTS_MAX,
        memtable_bytes_max: 4096,
        ..Settings::default()
    };
    let engine = Engine::open_driven(environment, Path::new("/d"), settings).unwrap();
    let keyspaces = Keyspaces::open(engine.clone(), 0).unwrap();
    let outbox = Arc::new(Post {
        from: node,
        basket: Arc::clone(basket),
    });
    let settings = GroupSettings::new(Timing::default(), AWAY_LOG_BYTES);
    Arc::new(Host::new(Given {
        node,
        engine,
        world: Arc::clone(world) as Arc<dyn World>,
        outbox,
        commands: Arc::new(Deriving),
        keyspaces,
        durability: Durability::Sync,
        settings,
    }))
}

/// The disk of a node works and its tasks go on until there is nothing to do.
fn turn(host: &Host, world: &Still) {
    loop {
        let mut did = false;
        while host.engine.turn() {
            did = true;
        }
        let task = world.tasks.lock().pop_front();
        if let Some(Spawned(mut task)) = task {
            did = true;
            let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_ready(), "a task of a group that waits");
        }
        if !did {
            break;
        }
    }
}

impl Group {
    fn new(group: u32, nodes: u64) -> Self {
        let basket = Basket::default();
        let members = Members::founding(peers(nodes));
        let node = |(id, node): (ReplicaId, NodeId)| {
            let (disk, world) = (MemVfs::new(), Arc::new(Still::default()));
            *world.random.lock() = node.0;
            let host = host(&disk, node, &world, &basket);
            let birth = Birth {
                group,
                id,
                preferred: Some(ReplicaId(11)),
            };
            let (replica, batch) = recover::found(&host, birth, &members).unwrap();
            host.engine
                .append_and_write(batch, WriteBatch::new(), Durability::Sync)
                .unwrap();
            (
                node,
                Node {
                    disk,
                    world,
                    host,
                    replica,
                },
            )
        };
        let nodes = peers(nodes).into_iter().map(node).collect();
        Self {
            nodes,
            basket,
            away: Vec::new(),
            number: group,
        }
    }

    /// Three replicas of which the first leads.
    fn led() -> Self {
        let group = Self::new(GROUP, 3);
        group.replica(1).campaign();
        group.run();
        assert!(group.replica(1).is_leader());
        group
    }

    fn replica(&self, node: u64) -> Arc<Replica> {
        Arc::clone(&self.nodes[&NodeId(node)].replica)
    }

    /// Disks work, tasks go on; messages lie.
    fn turn(&self) {
        for node in self.nodes.values() {
            turn(&node.host, &node.world);
        }
    }

    /// Until nothing happens any more.
    fn run(&self) {
        while self.step() {}
    }

    /// Disks work, and a message arrives; `false` if there is none.
    fn step(&self) -> bool {
        self.turn();
        let Some((from, to, bytes)) = self.basket.lock().pop_front() else {
            return false;
        };
        if self.away.contains(&from) || self.away.contains(&to) {
            return true;
        }
        if let Some(node) = self.nodes.get(&to) {
            if QuietMessage::is_one(&bytes) {
                node.replica
                    .receive_quiet(from, QuietMessage::decode(bytes).unwrap());
            } else {
                node.replica.receive(from, RaftMessage::decode(bytes).unwrap());
            }
        }
        true
    }

    fn peers(&self) -> Peers {
        let peer = |node: &NodeId| {
            let is_alive = !self.away.contains(node);
            let incarnation = 1;
            (
                *node,
                Peer {
                    is_alive,
                    is_down: !is_alive,
                    incarnation,
                },
            )
        };
        Peers(self.nodes.keys().map(peer).collect())
    }

    fn tick(&self, node: u64, ticks: u32) {
        for _ in 0..ticks {
            self.replica(node).tick(&self.peers());
            self.run();
        }
    }

    /// Time passes for the nodes 2 and 3 until one of them leads.
    fn fail_over(&self) -> u64 {
        for _ in 0..100 {
            for node in [2, 3] {
                self.tick(node, 1);
                if self.replica(node).is_leader() {
                    return node;
                }
            }
        }
        panic!("nobody leads");
    }

    fn write_with(&self, node: u64, change: Change, options: WriteOptions) -> Call<Answer> {
        let replica = self.replica(node);
        Call::new(async move {
            let target = Target {
                keyspace: METADATA,
                key: b"key",
            };
            replica.write(target, &options, &change).await
        })
    }

    fn write(&self, node: u64, change: Change) -> Call<Answer> {
        self.write_with(node, change, WriteOptions::default())
    }

    /// The cell as the engine of a node has it.
    /// Node 1 makes or drops a keyspace; whether that was done.
    fn change_keyspace(&self, name: &'static str, command: OwnCommand) -> bool {
        let replica = self.replica(1);
        let mut write = Call::new(async move {
            let key = OwnRow::Keyspace(name).key();
            let target = Target {
                keyspace: METADATA,
                key: &key,
            };
            let typed = super::write::Typed(&command);
            replica.write(target, &WriteOptions::default(), &typed).await
        });
        self.run();
        write.poll().unwrap().unwrap().0
    }

    fn cell(&self, node: u64) -> Option<Bytes> {
        let engine = &self.nodes[&NodeId(node)].host.engine;
        let id = engine.keyspace("group/0").unwrap();
        engine
            .get(id, b"key")
            .unwrap()
            .map(stator_storage::Value::into_bytes)
    }

    /// The node loses power and comes back.
    fn restart(&mut self, node: u64) {
        let id = NodeId(node);
        let Node { disk, world, .. } = self.nodes.remove(&id).unwrap();
        let disk = disk.after_power_cut(Unsynced::Lost);
        world.tasks.lock().clear();
        let host = host(&disk, id, &world, &self.basket);
        let replica = recover::recover(&host, self.number, Some(ReplicaId(11)))
            .unwrap()
            .unwrap();
        self.nodes.insert(
            id,
            Node {
                disk,
                world,
                host,
                replica,
            },
        );
    }
}

fn answered(answer: Option<Answer>) -> Bytes {
    answer.expect("no answer yet").expect("refused")
}

fn invocation(number: u64) -> WriteOptions {
    WriteOptions {
        invocation: Some(Invocation::first(InvocationId::hashed(&number.to_le_bytes()))),
        ..WriteOptions::default()
    }
}

/// A later try of the same call.
fn again(number: u64) -> WriteOptions {
    WriteOptions {
        invocation: Some(Invocation::repeated(InvocationId::hashed(&number.to_le_bytes()))),
        ..WriteOptions::default()
    }
}

#[test]
fn a_write_stands_when_a_majority_has_it_and_everybody_gets_it() {
    let mut group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.turn();
    assert!(write.poll().is_none(), "only the leader has it");
    assert_eq!(group.cell(1), None);
    group.away = vec![NodeId(3)];
    group.run();
    assert_eq!(answered(write.poll()), "");
    assert_eq!(group.cell(1).unwrap(), "a");
    assert_eq!(group.cell(3), None);
    group.away.clear();
    // The heartbeats find out who lacks what.
    group.tick(1, 3);
    assert_eq!(
        (group.cell(2).unwrap(), group.cell(3).unwrap()),
        ("a".into(), "a".into())
    );
}

#[test]
fn writes_of_one_key_see_each_other_without_waiting() {
    let group = Group::led();
    let mut writes: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|text| group.write(1, Change::Append(text)))
        .collect();
    group.run();
    let answers: Vec<_> = writes.iter_mut().map(|write| answered(write.poll())).collect();
    assert_eq!(answers, ["", "a", "ab"]);
    assert_eq!(group.cell(2), group.cell(1));
}

#[test]
fn a_refusal_waits_until_what_it_was_decided_on_is_committed() {
    let group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    let mut refused = group.write(1, Change::Swap("b", "c"));
    group.turn();
    assert!(refused.poll().is_none());
    group.run();
    assert_eq!(answered(write.poll()), "");
    assert_eq!(answered(refused.poll()), "a");
}

#[test]
fn a_refusal_on_an_image_that_is_overruled_is_no_refusal() {
    let mut group = Group::led();
    group.away = vec![NodeId(1)];
    let mut write = group.write(1, Change::Append("a"));
    let mut refused = group.write(1, Change::Swap("b", "c"));
    group.run();
    let leader = group.fail_over();
    group.away.clear();
    group.tick(leader, 5);
    assert!(!group.replica(1).is_leader());
    assert!(matches!(write.poll(), Some(Err(Refused::Unknown(_)))));
    assert!(matches!(refused.poll(), Some(Err(Refused::NotLeader(_)))));
    assert_eq!(group.cell(1), None);
}

#[test]
fn a_repair_undoes_no_write_that_has_come_since() {
    let group = Group::led();
    let write = |change| {
        let mut write = group.write(1, change);
        group.run();
        answered(write.poll());
        group.replica(1).standing().applied
    };
    let repair = |since| {
        let (replica, options) = (group.replica(1), WriteOptions::default());
        let restore = Restore {
            since,
            seen: vec![None, Some("a".into())],
            right: None,
        };
        let mut repair = Call::new(async move {
            let target = Target {
                keyspace: METADATA,
                key: b"key",
            };
            replica.restore(target, &options, &restore).await
        });
        group.run();
        repair.poll().expect("no answer yet").expect("refused")
    };
    let before = write(Change::Append("a"));
    write(Change::Append("b"));
    let back = write(Change::Swap("ab", "a"));
    assert!(!repair(before), "it looks the same, but was written");
    assert_eq!(group.cell(1).unwrap(), "a");
    assert!(repair(back));
    assert_eq!([group.cell(1), group.cell(2)], [None, None]);
}

#[test]
fn one_is_answered_by_the_leaders_own_log_and_all_by_everybody() {
    let mut group = Group::led();
    group.away = vec![NodeId(2), NodeId(3)];
    let one = WriteOptions {
        level: ConsistencyLevel::One,
        ..WriteOptions::default()
    };
    let mut write = group.write_with(1, Change::Append("a"), one);
    group.run();
    assert_eq!(answered(write.poll()), "");
    group.away = vec![NodeId(3)];
    let all = WriteOptions {
        level: ConsistencyLevel::All,
        ..WriteOptions::default()
    };
    let mut write = group.write_with(1, Change::Append("b"), all);
    group.tick(1, 3);
    assert!(write.poll().is_none());
    assert_eq!(group.cell(1).unwrap(), "ab");
    group.away.clear();
    group.tick(1, 3);
    assert_eq!(answered(write.poll()), "a");
}

#[test]
fn a_request_that_is_sent_again_is_answered_again_and_not_done_again() {
    let mut group = Group::led();
    let mut first = group.write_with(1, Change::Append("a"), invocation(1));
    // While the first one is under way.
    let mut second = group.write_with(1, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(first.poll()), "");
    assert_eq!(answered(second.poll()), "");
    let mut write = group.write(1, Change::Append("b"));
    group.run();
    assert_eq!(answered(write.poll()), "a");
    // On another leader, after a failover.
    group.away = vec![NodeId(1)];
    let leader = group.fail_over();
    let mut third = group.write_with(leader, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(third.poll()), "");
    assert_eq!(group.cell(leader).unwrap(), "ab");
    // And after a restart of everybody.
    group.away.clear();
    group.tick(leader, 3);
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(3).campaign();
    group.run();
    let mut fourth = group.write_with(3, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(fourth.poll()), "");
    assert_eq!(group.cell(3).unwrap(), "ab");
}

#[test]
fn a_refusal_that_was_answered_to_a_retry_stays_one() {
    let mut group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    // The first try is still on its way.
    let mut second = group.write_with(1, Change::Swap("x", "y"), again(1));
    group.run();
    assert_eq!(answered(second.poll()), "a");
    let mut write = group.write(1, Change::Swap("a", "x"));
    group.run();
    assert_eq!(answered(write.poll()), "a");
    let mut first = group.write_with(1, Change::Swap("x", "y"), invocation(1));
    group.run();
    assert_eq!(answered(first.poll()), "a");
    assert_eq!(group.cell(1).unwrap(), "x");
    // On another leader, and after a restart of everybody, too.
    group.away = vec![NodeId(1)];
    let leader = group.fail_over();
    let mut late = group.write_with(leader, Change::Swap("x", "y"), invocation(1));
    group.run();
    assert_eq!(answered(late.poll()), "a");
    group.away.clear();
    group.tick(leader, 3);
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(3).campaign();
    group.run();
    let mut late = group.write_with(3, Change::Swap("x", "y"), invocation(1));
    group.run();
    assert_eq!(answered(late.poll()), "a");
    assert_eq!(group.cell(3).unwrap(), "x");
}

#[test]
fn a_refusal_of_a_first_try_costs_no_entry() {
    let group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    let before = group.replica(1).state.lock().applied;
    let mut first = group.write_with(1, Change::Swap("x", "y"), invocation(1));
    group.run();
    assert_eq!(answered(first.poll()), "a");
    assert_eq!(group.replica(1).state.lock().applied, before);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_of_all() {
    let mut group = Group::led();
    for text in ["a", "b", "c"] {
        let mut write = group.write(1, Change::Append(text));
        group.run();
        answered(write.poll());
    }
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(2).campaign();
    group.run();
    let replica = group.replica(2);
    let mut read = Call::new(async move { replica.read_barrier().await });
    group.run();
    assert!(matches!(read.poll(), Some(Ok(()))));
    for node in 1..=3 {
        group.tick(2, 2);
        assert_eq!(group.cell(node).unwrap(), "abc");
    }
}

#[test]
fn a_leader_that_was_left_behind_answers_no_read() {
    let mut group = Group::led();
    group.away = vec![NodeId(1)];
    let replica = group.replica(1);
    let mut read = Call::new(async move { replica.read_index().await });
    group.run();
    assert!(read.poll().is_none());
    let leader = group.fail_over();
    let mut write = group.write(leader, Change::Append("new"));
    group.run();
    assert_eq!(answered(write.poll()), "");
    assert!(read.poll().is_none());
    group.away.clear();
    group.tick(leader, 3);
    assert!(matches!(read.poll(), Some(Err(Refused::NotLeader(_)))));
}

#[test]
fn an_effect_waits_for_its_keyspace_and_holds_back_what_comes_behind() {
    let group = Group::led();
    for (id, node) in &group.nodes {
        if *id != NodeId(3) {
            node.host.keyspaces.create(7, "t").unwrap();
            node.host.keyspaces.applied(7);
        }
    }
    let replica = group.replica(1);
    let mut fresh = Call::new(async move {
        let target = Target {
            keyspace: 7,
            key: b"key",
        };
        replica
            .write(target, &WriteOptions::default(), &Change::Append("x"))
            .await
    });
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    assert_eq!(
        (answered(fresh.poll()), answered(write.poll())),
        ("".into(), "".into())
    );
    group.tick(1, 2);
    assert_eq!((group.cell(2).unwrap(), group.cell(3)), ("a".into(), None));
    let late = &group.nodes[&NodeId(3)];
    late.host.keyspaces.create(7, "t").unwrap();
    late.host.keyspaces.applied(7);
    late.replica.look_for_keyspace();
    group.run();
    assert_eq!(group.cell(3).unwrap(), "a");
    let id = late.host.keyspaces.named("t").unwrap().1;
    let there = late.host.engine.get(id, b"key").unwrap().unwrap();
    assert_eq!(there.into_bytes(), "x");
}

#[test]
fn a_dropped_keyspace_takes_no_effects_and_holds_nobody_up() {
    let group = Group::led();
    for node in group.nodes.values() {
        node.host.keyspaces.create(7, "t").unwrap();
        node.host.keyspaces.applied(7);
    }
    let replica = group.replica(1);
    let mut fresh = Call::new(async move {
        let target = Target {
            keyspace: 7,
            key: b"key",
        };
        replica
            .write(target, &WriteOptions::default(), &Change::Append("x"))
            .await
    });
    for node in group.nodes.values() {
        node.host.keyspaces.drop_before(8, "t").unwrap();
    }
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(fresh.poll());
    answered(write.poll());
    group.tick(1, 2);
    assert_eq!(group.cell(3).unwrap(), "a");
}

#[test]
fn rows_of_keyspaces_take_effect_on_every_replica_of_group_0() {
    let group = Group::new(METADATA_GROUP, 3);
    group.replica(1).campaign();
    group.run();
    assert!(group.change_keyspace("t", OwnCommand::MakeKeyspace));
    group.tick(1, 2);
    let numbers: Vec<_> = group
        .nodes
        .values()
        .map(|node| node.host.keyspaces.named("t").unwrap().0)
        .collect();
    assert_eq!(numbers, [numbers[0]; 3]);
    assert!(group.change_keyspace("t", OwnCommand::Remove));
    group.tick(1, 2);
    assert!(
        group
            .nodes
            .values()
            .all(|node| node.host.keyspaces.named("t").is_none())
    );
}

#[test]
fn a_keyspace_of_which_only_the_log_knows_is_made_at_the_start() {
    let mut group = Group::new(METADATA_GROUP, 3);
    group.replica(1).campaign();
    group.run();
    for (name, command) in [
        ("kept", OwnCommand::MakeKeyspace),
        ("gone", OwnCommand::MakeKeyspace),
        ("gone", OwnCommand::Remove),
        ("made anew", OwnCommand::MakeKeyspace),
        ("made anew", OwnCommand::Remove),
        ("made anew", OwnCommand::MakeKeyspace),
    ] {
        assert!(group.change_keyspace(name, command));
    }
    // With a new term the log notes how far it is committed.
    group.tick(1, 2);
    group.fail_over();
    let named = |group: &Group| {
        let keyspaces = &group.nodes[&NodeId(1)].host.keyspaces;
        ["kept", "gone", "made anew"].map(|name| keyspaces.named(name).map(|(number, _)| number))
    };
    let before = named(&group);
    assert!(before[0].is_some() && before[1].is_none() && before[2].is_some());
    let host = &group.nodes[&NodeId(1)].host;
    for (_, id, _) in host.keyspaces.all() {
        // As if the power had gone before they were made.
        host.engine.drop_keyspace(id).unwrap();
    }
    group.restart(1);
    assert_eq!(named(&group), before);
}

#[test]
fn the_log_is_cut_where_nobody_needs_it_any_more() {
    let group = Group::led();
    let count = 3000;
    for _ in 0..count {
        let mut write = group.write(1, Change::Swap("", "a"));
        group.run();
        write.poll();
        let mut write = group.write(1, Change::Swap("a", ""));
        group.run();
        write.poll();
    }
    group.tick(1, 60);
    for node in group.nodes.values() {
        node.host.engine.flush().unwrap();
    }
    group.tick(1, 60);
    group.tick(2, 60);
    let firsts: Vec<_> = [1, 2].map(|node| group.replica(node).state.lock().cut).into();
    assert!(firsts.iter().all(|first| *first > count), "{firsts:?}");
}

/// Replicas that rest take nothing for what they do not do.
fn assert_keeps_no_room(group: &Group) {
    for node in 1..=3 {
        let replica = group.replica(node);
        let state = replica.state.lock();
        let queues = [&state.pending, &state.unlogged, &state.spreading];
        assert!(queues.iter().all(|queue| queue.is_shed()), "{node}: writes");
        assert!(state.reads.is_shed(), "{node}: reads");
        assert!(state.locks.is_shed() && state.holds.is_shed(), "{node}: locks");
    }
}

#[test]
fn an_idle_group_rests_and_wakes_for_a_write_and_for_a_leader_that_is_gone() {
    let mut group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    for _ in 0..40 {
        for node in 1..=3 {
            group.tick(node, 1);
        }
    }
    let quiet = |group: &Group| [1, 2, 3].map(|node| group.replica(node).standing().is_quiet);
    let at_rest = |group: &Group| [1, 2, 3].map(|node| group.replica(node).is_at_rest());
    assert_eq!((quiet(&group), at_rest(&group)), ([true; 3], [true; 3]));
    for _ in 0..40 {
        for node in 1..=3 {
            group.replica(node).tick(&group.peers());
            group.turn();
        }
    }
    assert!(group.basket.lock().is_empty(), "a group that rests says nothing");
    assert_keeps_no_room(&group);
    let mut write = group.write(1, Change::Append("b"));
    group.run();
    assert_eq!(answered(write.poll()), "a");
    assert!(!group.replica(1).standing().is_quiet);
    assert_eq!(at_rest(&group), [false; 3]);
    for _ in 0..40 {
        for node in 1..=3 {
            group.tick(node, 1);
        }
    }
    assert_eq!((quiet(&group), at_rest(&group)), ([true; 3], [true; 3]));
    group.away = vec![NodeId(1)];
    let leader = group.fail_over();
    let mut write = group.write(leader, Change::Append("c"));
    group.run();
    assert_eq!(answered(write.poll()), "ab");
}

#[test]
fn what_may_end_a_rest_has_the_next_tick_look() {
    let group = Group::led();
    let rest = || {
        for _ in 0..40 {
            for node in 1..=3 {
                group.tick(node, 1);
            }
        }
        assert!((1..=3).all(|node| group.replica(node).is_at_rest()));
    };
    rest();
    let leader = group.replica(1);
    let preferred = leader.preferred();
    leader.prefer(preferred);
    assert!(leader.is_at_rest(), "nothing has changed");
    let other = ReplicaId(12);
    leader.prefer(Some(other));
    assert!(!leader.is_at_rest());
    for node in [2, 3] {
        group.replica(node).prefer(Some(other));
    }
    for _ in 0..40 {
        for node in 1..=3 {
            group.tick(node, 1);
        }
    }
    assert!(group.replica(2).is_leader(), "whom the layout prefers");
    rest();
    group.replica(3).campaign();
    assert!(!group.replica(3).is_at_rest());
}

#[test]
fn leadership_goes_back_to_whom_the_layout_prefers() {
    let mut group = Group::led();
    group.away = vec![NodeId(1)];
    let leader = group.fail_over();
    group.away.clear();
    for _ in 0..100 {
        for node in 1..=3 {
            group.tick(node, 1);
        }
    }
    assert!(group.replica(1).is_leader(), "{leader} has kept it");
    assert!(group.replica(1).hand_over());
    group.run();
    assert!(!group.replica(1).is_leader());
}
