//! Three nodes in one process, over a network that loses what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use stator_storage::{StreamId, WriteBatch};

use super::*;
use crate::derive::{CellChange, Derived, Unfit};
use crate::follow::Tracer;
use crate::hints::Hint;
use crate::node::message::Ask;
use crate::node::message::moves::{Joining, ReplicaOf};
use crate::raft::ReplicaId;
use crate::world::{Inbox, Priority, Task, Work, World};

/// Everybody's inbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    pub(crate) inboxes: Arc<Mutex<BTreeMap<NodeId, Arc<dyn Inbox>>>>,
    /// Who gets the steps of nodes, if somebody does.
    pub(super) tracers: BTreeMap<NodeId, Arc<dyn Tracer>>,
    /// By how many milliseconds the clocks of nodes are ahead.
    pub(super) ahead_ms: BTreeMap<NodeId, u64>,
}

/// What a node sends over.
#[derive(Debug)]
struct Line {
    hub: Hub,
    from: NodeId,
    runtime: Handle,
}

impl Network for Line {
    fn send(&self, to: NodeId, _: Priority, message: Bytes) {
        let (inbox, from) = (self.hub.inboxes.lock().get(&to).cloned(), self.from);
        if let Some(inbox) = inbox {
            // Called by threads of engines as well.
            self.runtime.spawn(async move { inbox.receive(from, message) });
        }
    }

    fn introduce(&self, _: NodeId, _: &str) {}
}

pub(crate) struct Three {
    pub(crate) nodes: Vec<Cluster>,
    keyspace: Vec<Keyspace>,
    directories: Vec<TempDir>,
}

/// Three nodes that serve, with a keyspace that all of them know.
async fn three(replication: u8) -> Three {
    let mut three = three_with(replication, &Hub::default(), Arc::new(Appends)).await;
    for node in &three.nodes {
        let keyspace = retried(async || node.create_keyspace("k").await).await;
        three.keyspace.push(keyspace);
    }
    three
}

/// Three nodes that serve, without a keyspace.
pub(crate) async fn three_with(replication: u8, hub: &Hub, commands: Arc<dyn Commands>) -> Three {
    let directories = [(); 3].map(|()| TempDir::new().unwrap());
    let nodes: Vec<_> = (1..=3)
        .zip(&directories)
        .map(|(node, directory)| begin(NodeId(node), replication, directory, hub, &commands))
        .collect();
    for node in &nodes {
        node.ready().await.unwrap();
    }
    Three {
        nodes,
        keyspace: Vec::new(),
        directories: directories.into(),
    }
}

/// Begins a node of the cluster that nodes 1, 2 and 3 have made, or are to make.
pub(super) fn begin(
    node: NodeId,
    replication: u8,
    directory: &TempDir,
    hub: &Hub,
    commands: &Arc<dyn Commands>,
) -> Cluster {
    let address = |node: NodeId| format!("node-{node}:1");
    let founders = (1..=3).map(NodeId).map(|node| Founder {
        node,
        address: address(node),
    });
    let settings = NodeSettings {
        node,
        address: address(node),
        rack: format!("rack-{node}"),
        founders: founders.collect(),
        replication: NonZeroU8::new(replication).unwrap(),
        range_bits: RangeBits::new(2).unwrap(),
        ..settings()
    };
    let line = Arc::new(Line {
        hub: hub.clone(),
        from: node,
        runtime: Handle::current(),
    });
    let inboxes = Arc::clone(&hub.inboxes);
    let connect = |inbox, _| {
        inboxes.lock().insert(node, inbox);
        Ok(line as Arc<dyn Network>)
    };
    let mut around = surroundings(directory);
    around.commands = Arc::clone(commands);
    if let Some(ahead_ms) = hub.ahead_ms.get(&node).copied() {
        let world = around.world;
        around.world = Arc::new(Skewed { world, ahead_ms });
    }
    around.tracer = hub.tracers.get(&node).cloned();
    Cluster::open(settings, around, connect).unwrap()
}

/// Waits for a node that joins, and not for ever.
pub(super) async fn is_ready(node: &Cluster) {
    let patience = Duration::from_secs(60);
    let ready = tokio::time::timeout(patience, node.ready()).await;
    ready.unwrap().unwrap();
}

/// A world whose clock is wrong.
#[derive(Debug)]
struct Skewed {
    world: Arc<dyn World>,
    ahead_ms: u64,
}

impl World for Skewed {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn unix_ms(&self) -> u64 {
        self.world.unix_ms() + self.ahead_ms
    }

    fn random_u64(&self) -> u64 {
        self.world.random_u64()
    }

    fn sleep(&self, duration: Duration) -> Task {
        self.world.sleep(duration)
    }

    fn spawn(&self, task: Task) {
        self.world.spawn(task);
    }

    fn aside(&self, work: Work) {
        self.world.aside(work);
    }
}

/// As a client would: groups elect their leaders at first.
pub(crate) async fn retried<T>(operation: impl AsyncFn() -> Result<T, Error>) -> T {
    loop {
        match operation().await {
            Ok(output) => return output,
            Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn close(three: &Three) {
    three.close();
}

impl Three {
    pub(crate) fn close(&self) {
        for node in &self.nodes {
            node.close().unwrap();
        }
    }
}

async fn becomes(node: &Cluster, reaches: bool) {
    while node.reaches_majority() != reaches {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nobody_knows_that_it_reaches_no_majority() {
    let hub = Hub::default();
    let three = three_with(3, &hub, Arc::new(Appends)).await;
    let deaf = &three.nodes[0];
    becomes(deaf, true).await;
    let inbox = hub.inboxes.lock().remove(&NodeId(1)).unwrap();
    becomes(deaf, false).await;
    assert!(three.nodes[1..].iter().all(Cluster::reaches_majority));
    hub.inboxes.lock().insert(NodeId(1), inbox);
    becomes(deaf, true).await;
    three.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_to_leave_do_not_count_for_a_majority() {
    let hub = Hub::default();
    let three = three_with(1, &hub, Arc::new(Appends)).await;
    let deaf = &three.nodes[0];
    becomes(deaf, true).await;
    hub.inboxes.lock().remove(&NodeId(1)).unwrap();
    becomes(deaf, false).await;
    let plan = deaf.plan().unwrap().unwrap();
    let without_one = plan.leave(NodeId(2)).unwrap().unwrap();
    deaf.node.adopt(without_one.clone());
    assert!(!deaf.reaches_majority());
    let without_two = without_one.leave(NodeId(3)).unwrap().unwrap();
    assert_eq!(without_two.layout.nodes().len(), 3);
    deaf.node.adopt(without_two);
    assert!(deaf.reaches_majority());
    three.close();
}

/// Keys over all token ranges.
fn keys() -> Vec<[u8; 2]> {
    (0..=255).step_by(5).map(|first| [first, 1]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_serves_what_lies_on_others() {
    let three = three(1).await;
    for (place, key) in keys().into_iter().enumerate() {
        let (node, keyspace) = (&three.nodes[place % 3], three.keyspace[place % 3]);
        retried(async || {
            node.write(keyspace, &key, WriteOptions::default(), &Append(9))
                .await
        })
        .await;
    }
    let everything = Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    let tally = Tally {
        items: keys().len() as u64,
        bytes: keys().len() as u64,
    };
    for (node, keyspace) in three.nodes.iter().zip(&three.keyspace) {
        for level in [ConsistencyLevel::One, ConsistencyLevel::Quorum] {
            for direction in [Direction::Forward, Direction::Backward] {
                let seen = Mutex::new(Vec::new());
                let visited = node.range(*keyspace, &everything, direction, level, |row| {
                    seen.lock().push((row.key().to_vec(), row.to_cell()));
                    std::ops::ControlFlow::Continue(())
                });
                visited.await.unwrap();
                let mut seen = seen.into_inner();
                if direction == Direction::Backward {
                    seen.reverse();
                }
                let expected: Vec<_> = keys()
                    .iter()
                    .map(|key| (key.to_vec(), Bytes::from_static(&[9])))
                    .collect();
                assert_eq!(seen, expected);
            }
        }
        let cell = node
            .read(*keyspace, &[5, 1], ConsistencyLevel::Quorum)
            .await
            .unwrap();
        assert_eq!(cell.as_deref(), Some(&[9][..]));
        assert_eq!(node.tally(*keyspace).await, tally);
    }
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_differs_is_repaired_by_a_read_of_all() {
    let three = three(3).await;
    let all = WriteOptions {
        level: ConsistencyLevel::All,
        invocation: None,
    };
    retried(async || {
        three.nodes[0]
            .write(three.keyspace[0], b"key", all, &Append(9))
            .await
    })
    .await;
    // Bits rot on one node: its engine has another cell than the log says.
    let rotten = &three.nodes[2];
    while rotten.get(three.keyspace[2], b"key").unwrap().as_deref() != Some(&[9][..]) {
        tokio::task::yield_now().await;
    }
    let mut batch = WriteBatch::new();
    batch.put(three.keyspace[2].id, b"key", &[66]);
    rotten
        .node
        .engine
        .apply_now(batch, StreamId(u64::from(u32::MAX) + 9), 1)
        .unwrap();
    assert_eq!(
        rotten.get(three.keyspace[2], b"key").unwrap().as_deref(),
        Some(&[66][..])
    );
    let read = retried(async || {
        three.nodes[1]
            .read(three.keyspace[1], b"key", ConsistencyLevel::All)
            .await
    });
    assert_eq!(read.await.as_deref(), Some(&[9][..]));
    assert_eq!(three.nodes[1].status().read_repair.repaired, 1);
    let read = retried(async || {
        three.nodes[0]
            .read(three.keyspace[0], b"key", ConsistencyLevel::All)
            .await
    });
    assert_eq!(read.await.as_deref(), Some(&[9][..]));
    let mended = rotten.get(three.keyspace[2], b"key").unwrap();
    assert_eq!(mended.as_deref(), Some(&[9][..]));
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_at_one_without_a_majority_is_kept_and_arrives() {
    let three = three(3).await;
    let one = WriteOptions {
        level: ConsistencyLevel::One,
        invocation: None,
    };
    // The other two are not heard of any more, by anybody.
    let hub = three.nodes[0].clone();
    let line = Arc::new(Alone) as Arc<dyn Network>;
    let before = hub.node.exchange.replace_network(line);
    let keyspace = three.keyspace[0];
    let begun = hub.node.surroundings.world.now();
    let refused = hub
        .write(keyspace, b"key", WriteOptions::default(), &Append(1))
        .await;
    assert!(
        matches!(
            refused,
            Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })
        ),
        "{refused:?}"
    );
    let spent = hub.node.surroundings.world.now().saturating_sub(begun);
    assert!(spent < std::time::Duration::from_secs(1), "{spent:?}");
    // Until the leader among these knows that it has no majority, its own log will do for ONE.
    while hub.status().hints.waiting == 0 {
        hub.write(keyspace, b"hinted", one, &Set(7)).await.unwrap();
    }
    hub.node.exchange.replace_network(before.unwrap());
    while hub.status().hints.waiting > 0 {
        tokio::task::yield_now().await;
    }
    let cell = retried(async || hub.read(keyspace, b"hinted", ConsistencyLevel::Quorum).await).await;
    assert_eq!(cell.as_deref(), Some(&[7][..]));
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_keeps_no_more_writes_and_hands_on_those_that_it_has() {
    let three = three(1).await;
    let (leaving, keyspace) = (&three.nodes[0], three.keyspace[0]);
    let group_of = |key: &[u8; 2]| leaving.group_of(keyspace, key).unwrap();
    let is_elsewhere = |key: &[u8; 2]| leaving.node.replica(group_of(key)).is_none();
    let key = keys().into_iter().find(is_elsewhere).unwrap();
    let one = WriteOptions {
        level: ConsistencyLevel::One,
        invocation: None,
    };
    let line = Arc::new(Alone) as Arc<dyn Network>;
    let before = leaving.node.exchange.replace_network(line);
    while !leaving.lacks_majority(group_of(&key)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    leaving.write(keyspace, &key, one, &Set(7)).await.unwrap();
    assert_eq!(leaving.status().hints.waiting, 1);

    let plan = leaving.plan().unwrap().unwrap();
    leaving.node.adopt(plan.leave(NodeId(1)).unwrap().unwrap());
    let refused = leaving.write(keyspace, &key, one, &Set(8)).await;
    assert!(
        matches!(
            refused,
            Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. })
        ),
        "{refused:?}"
    );
    assert_eq!(leaving.status().hints.waiting, 1);
    leaving.node.exchange.replace_network(before.unwrap());
    while leaving.status().hints.waiting > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let read = retried(async || leaving.read(keyspace, &key, ConsistencyLevel::Quorum).await);
    assert_eq!(read.await.as_deref(), Some(&[7][..]));
    close(&three);
}

/// What follows from the cell of one key forbids it.
#[derive(Debug)]
struct Choosy;

impl Commands for Choosy {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Appends.decide(command, current)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        Appends.weigh(cell)
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        if change.key == b"unfit" {
            let reason = "it does not fit".to_owned();
            return Err(Unfit { code: 1, reason });
        }
        Ok(Derived::default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_does_not_fit_holds_up_none_that_comes_behind_it() {
    let three = three_with(3, &Hub::default(), Arc::new(Choosy)).await;
    let hub = &three.nodes[0];
    let keyspace = retried(async || hub.create_keyspace("k").await).await;
    let keys = [&b"unfit"[..], b"unhurt"];
    for (number, key) in (1..).zip(keys) {
        let mut command = Vec::new();
        Set(number).encode(&mut command);
        let hint = Hint {
            at_ms: hub.node.surroundings.world.unix_ms(),
            keyspace: keyspace.number,
            invocation: InvocationId::hashed(key),
            key: Bytes::from_static(key),
            command: command.into(),
        };
        let group = hub.group_of(keyspace, key).unwrap();
        hub.node.hints.add(group, &hint, false).await.unwrap();
    }
    let delivered = async {
        while hub.status().hints.waiting > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), delivered)
        .await
        .unwrap();
    let hints = hub.status().hints;
    assert_eq!((hints.delivered, hints.dropped), (1, 1));
    let cell = retried(async || hub.read(keyspace, b"unhurt", ConsistencyLevel::Quorum).await).await;
    assert_eq!(cell.as_deref(), Some(&[2][..]));
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_stop_at_the_same_time_do_not_wait_for_each_other() {
    let three = three(3).await;
    let begun = tokio::time::Instant::now();
    futures_util::future::join_all(three.nodes.iter().map(Cluster::hand_over)).await;
    assert!(begun.elapsed() < HAND_OVER_PATIENCE);
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_hears_of_it_to_the_end() {
    let three = three(1).await;
    let leaving = &three.nodes[2];
    retried(async || three.nodes[0].drain(NodeId(3)).await).await;
    // Its replica of the metadata goes before it has left.
    let heard = async {
        while leaving.status().moves.departed != [NodeId(3)] {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), heard)
        .await
        .unwrap();
    let is_metadata = |group: &crate::GroupStatus| group.group == 0;
    assert!(!leaving.status().groups.iter().any(is_metadata));
    close(&three);
}

/// The steward asks for it while the node still finds out who it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_to_be_given_up_while_its_node_starts_does_not_stay() {
    let hub = Hub::default();
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let three = three_with(3, &hub, Arc::clone(&commands)).await;
    let [asking, _, closed] = &three.nodes[..] else {
        panic!("there are three")
    };
    let of_group = |status: crate::ClusterStatus| status.groups.into_iter().find(|group| group.group == 1);
    let replica = of_group(closed.status()).unwrap().replica;
    closed.close().unwrap();

    let again = begin(NodeId(3), 3, &three.directories[2], &hub, &commands);
    let discard = || Ask::Discard(ReplicaOf::new(1, ReplicaId(replica)));
    let patience = Duration::from_secs(1);
    let gone = async { while asking.ask(NodeId(3), discard(), patience).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    is_ready(&again).await;
    assert_eq!(of_group(again.status()), None);
    again.close().unwrap();
    three.nodes[..2].iter().for_each(|node| node.close().unwrap());
}

/// Whoever leaves may be the one that is asked to stay, or to have another one leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_given_up_its_metadata_changes_the_plan_like_any_other() {
    let three = three(1).await;
    let [first, .., leaving] = &three.nodes[..] else {
        panic!("there are three")
    };
    retried(async || first.drain(NodeId(3)).await).await;
    let replicate = async {
        let has_metadata = || leaving.status().groups.iter().any(|group| group.group == 0);
        while has_metadata() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        retried(async || leaving.set_replication(NonZeroU8::new(2).unwrap()).await).await;
        while first.status().replication != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), replicate)
        .await
        .unwrap();
    close(&three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_does_not_wait_for_a_founder_that_has_left() {
    let hub = Hub::default();
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let three = three_with(1, &hub, Arc::clone(&commands)).await;
    let leaving = NodeId(3);
    retried(async || three.nodes[0].drain(leaving).await).await;
    for member in &three.nodes[..2] {
        while member.status().moves.departed != [leaving] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    three.nodes[2].close().unwrap();
    hub.inboxes.lock().remove(&leaving).unwrap();

    let directory = TempDir::new().unwrap();
    let new = begin(NodeId(4), 1, &directory, &hub, &commands);
    is_ready(&new).await;
    new.close().unwrap();
    three.nodes[..2].iter().for_each(|node| node.close().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_does_not_wait_for_a_founder_that_is_dead() {
    let hub = Hub::default();
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let three = three_with(1, &hub, Arc::clone(&commands)).await;
    three.nodes[2].close().unwrap();
    hub.inboxes.lock().remove(&NodeId(3)).unwrap();

    let directory = TempDir::new().unwrap();
    let new = begin(NodeId(4), 1, &directory, &hub, &commands);
    is_ready(&new).await;
    // What it has is lost: those who are there know that it is no new one.
    new.close().unwrap();
    hub.inboxes.lock().remove(&NodeId(4)).unwrap();
    let directory = TempDir::new().unwrap();
    let again = begin(NodeId(4), 1, &directory, &hub, &commands);
    is_ready(&again).await;
    assert!(again.status().incarnation > 1, "{:?}", again.status());
    again.close().unwrap();
    three.nodes[..2].iter().for_each(|node| node.close().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_of_no_cluster_yet_refuses_nobody_for_good() {
    let (hub, directory) = (Hub::default(), TempDir::new().unwrap());
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let alone = begin(NodeId(1), 1, &directory, &hub, &commands);
    let joining = Joining {
        node: 4,
        address: "node-4:1".to_owned(),
        capacity: 1,
        incarnation: 1,
        ..Joining::default()
    };
    let refused = alone.take_in(&joining).await.unwrap_err();
    assert!(matches!(refused, Refused::NotNow(_)), "{refused:?}");
    alone.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_know_how_far_the_clocks_of_others_are_from_theirs() {
    let hub = Hub {
        ahead_ms: [(NodeId(2), 5_000)].into(),
        ..Hub::default()
    };
    let three = three_with(3, &hub, Arc::new(Appends)).await;
    for (node, expected) in [(0, [(2, 5_000), (3, 0)]), (1, [(1, -5_000), (3, -5_000)])] {
        let found = loop {
            let found = three.nodes[node].clock_offsets().await;
            // A node that is busy with its start may not answer in time.
            if found.len() == expected.len() {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        for (found, (other, ahead_ms)) in found.iter().zip(expected) {
            // Milliseconds are cut off on both sides.
            let error_ms = i64::try_from(found.error.as_millis()).unwrap() + 3;
            assert_eq!(found.node, NodeId(other));
            assert!(
                (found.ahead_ms - ahead_ms).abs() <= error_ms,
                "{found:?}, {ahead_ms}"
            );
        }
    }
    three.close();
}
