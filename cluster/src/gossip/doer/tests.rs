//! The doer on a clock that goes on when all tasks wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::*;
use crate::world::Task;

#[derive(Debug)]
struct TestWorld {
    start: Instant,
    drawn: AtomicU64,
}

impl World for TestWorld {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn random_u64(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn sleep(&self, duration: Duration) -> Task {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }
}

/// Delivers at once to whoever has been introduced under an address that there is.
#[derive(Debug, Default)]
struct Switch {
    inboxes: Mutex<BTreeMap<NodeId, Gossiper>>,
}

impl Switch {
    fn deliver(&self, from: NodeId, to: NodeId, message: Bytes) {
        if let Some(inbox) = self.inboxes.lock().get(&to).cloned() {
            tokio::spawn(async move { inbox.receive(from, message) });
        }
    }
}

#[derive(Debug)]
struct Port {
    node: NodeId,
    switch: Arc<Switch>,
    addresses: Mutex<BTreeMap<NodeId, String>>,
    sent: AtomicU64,
}

impl Network for Port {
    fn send(&self, to: NodeId, _priority: Priority, message: Bytes) {
        assert_eq!(self.addresses.lock().get(&to), Some(&format!("host-{to}:1")));
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.switch.deliver(self.node, to, message);
    }

    fn introduce(&self, node: NodeId, address: &str) {
        self.addresses.lock().insert(node, address.into());
    }
}

struct Cluster {
    world: Arc<TestWorld>,
    switch: Arc<Switch>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            world: Arc::new(TestWorld {
                start: Instant::now(),
                drawn: AtomicU64::new(1),
            }),
            switch: Arc::default(),
        }
    }

    fn start(&self, node: u64) -> (Gossiper, Arc<Port>) {
        let port = Arc::new(Port {
            node: NodeId(node),
            switch: Arc::clone(&self.switch),
            addresses: Mutex::default(),
            sent: AtomicU64::new(0),
        });
        let me = Me {
            node: NodeId(node),
            incarnation: 1,
            address: format!("host-{node}:1"),
        };
        let (world, network) = (Arc::clone(&self.world), Arc::clone(&port));
        let gossiper = Gossiper::start(&me, GossipSettings::default(), world, network).unwrap();
        self.switch.inboxes.lock().insert(NodeId(node), gossiper.clone());
        gossiper.join(vec![Peer {
            node: NodeId(1),
            address: "host-1:1".into(),
        }]);
        (gossiper, port)
    }
}

/// Waits until the members are as wanted.
async fn until(gossiper: &Gossiper, condition: impl Fn(&Gossiper) -> bool) {
    let mut watch = gossiper.watch();
    let reached = async {
        while !condition(gossiper) {
            watch.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reached)
        .await
        .unwrap();
}

/// Three nodes that have found each other.
async fn three() -> Vec<Gossiper> {
    let cluster = Cluster::new();
    let nodes: Vec<_> = (1..=3).map(|node| cluster.start(node).0).collect();
    for node in &nodes {
        until(node, |node| {
            (1..=3).all(|other| node.liveness(NodeId(other)) == Some(Liveness::Alive))
        })
        .await;
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn nodes_find_each_other_and_miss_one_that_leaves() {
    let nodes = three().await;
    nodes[2].update_state(NodeState {
        layout_epoch: 7,
        ..NodeState::default()
    });
    until(&nodes[0], |node| {
        let members = node.members();
        members.iter().any(|member| {
            member.node == NodeId(3) && member.state.as_ref().is_some_and(|state| state.layout_epoch == 7)
        })
    })
    .await;
    nodes[2].leave();
    until(&nodes[1], |node| node.liveness(NodeId(3)) == Some(Liveness::Down)).await;
    assert_eq!(nodes[1].faults(), []);
    assert_eq!(nodes[1].refused(), (0, None));
}

#[tokio::test(start_paused = true)]
async fn that_a_node_stops_is_known_before_it_speaks_regularly() {
    let nodes = three().await;
    let begun = Instant::now();
    nodes[2].update_state(NodeState {
        stopping: true,
        ..NodeState::default()
    });
    for node in &nodes[..2] {
        until(node, |node| {
            let members = node.members();
            members.iter().any(|member| {
                member.node == NodeId(3) && member.state.as_ref().is_some_and(|state| state.stopping)
            })
        })
        .await;
    }
    assert!(begun.elapsed() < Duration::from_millis(GossipSettings::default().state_interval_ms / 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_process_ended_is_down_and_can_be_forgotten() {
    let cluster = Cluster::new();
    let (first, _) = cluster.start(1);
    let (second, _) = cluster.start(2);
    until(&first, |node| node.liveness(NodeId(2)) == Some(Liveness::Alive)).await;
    cluster.switch.inboxes.lock().remove(&NodeId(2));
    drop(second);
    until(&first, |node| node.liveness(NodeId(2)) == Some(Liveness::Down)).await;
    first.forget(NodeId(2));
    assert_eq!(first.liveness(NodeId(2)), None);
}

#[tokio::test(start_paused = true)]
async fn a_gossiper_that_is_dropped_sends_nothing_more() {
    let cluster = Cluster::new();
    let (_first, _) = cluster.start(1);
    let (second, port) = cluster.start(2);
    until(&second, |node| node.liveness(NodeId(1)) == Some(Liveness::Alive)).await;
    cluster.switch.inboxes.lock().remove(&NodeId(2));
    drop(second);
    // Lets tasks run that hold messages for it.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let sent = port.sent.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(port.sent.load(Ordering::Relaxed), sent);
    assert_eq!(Arc::strong_count(&port), 1, "and nothing holds its network");
}

#[tokio::test(start_paused = true)]
async fn two_processes_of_one_node_are_a_fault_that_stops_gossip() {
    let cluster = Cluster::new();
    let (first, _) = cluster.start(1);
    let (second, _) = cluster.start(2);
    until(&first, |node| node.liveness(NodeId(2)) == Some(Liveness::Alive)).await;
    // Takes the place of the second on the switch.
    let (copy, _) = cluster.start(2);
    until(&first, |node| !node.faults().is_empty()).await;
    until(&copy, |copy| copy.fault().is_some() || second.fault().is_some()).await;
    assert_eq!(first.fault(), None, "it is not about this node");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_none_is_counted() {
    let cluster = Cluster::new();
    let (first, _) = cluster.start(1);
    first.receive(NodeId(9), Bytes::from_static(b"\x02?"));
    let (count, last) = first.refused();
    let error = MessageError::UnknownVersion { found: 2, known: 1 };
    assert_eq!((count, last), (1, Some((NodeId(9), error))));
}
