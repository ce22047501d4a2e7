//! Nodes that talk over a network that keeps what is sent until the test delivers it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use tokio::time::Instant;

use super::envelope::REQUEST_BODY_BYTES_MAX;
use super::*;
use crate::group::quiet::{QuietKind, QuietMessage};
use crate::raft::{RaftMessage, ReplicaId};
use crate::world::{Inbox, Network, NodeId, Priority, Task, World};

/// A heartbeat of a term with a context of so many bytes.
pub(super) fn raft_message(term: u64, context_bytes: usize) -> RaftMessage {
    let mut bytes = vec![5, 0];
    for number in [2, 1, term, 0, 0, 7, 0, 0, 0] {
        bytes.put_u64_le(number);
    }
    bytes.put_u32_le(u32::try_from(context_bytes).unwrap());
    bytes.put_u32_le(0);
    bytes.resize(bytes.len() + context_bytes, 0xab);
    RaftMessage::decode(bytes.into()).unwrap()
}

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct TestWorld {
    start: Instant,
}

impl World for TestWorld {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn random_u64(&self) -> u64 {
        4
    }

    fn sleep(&self, duration: Duration) -> Task {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }
}

/// What was sent: by whom, to whom, how, what.
type Sent = (NodeId, NodeId, Priority, Bytes);

#[derive(Debug)]
struct Port {
    node: NodeId,
    sent: Arc<Mutex<VecDeque<Sent>>>,
    introduced: Mutex<Vec<NodeId>>,
}

impl Network for Port {
    fn send(&self, to: NodeId, priority: Priority, message: Bytes) {
        self.sent.lock().push_back((self.node, to, priority, message));
    }

    fn introduce(&self, node: NodeId, _address: &str) {
        self.introduced.lock().push(node);
    }
}

/// Takes everything, and keeps it.
#[derive(Debug, Default)]
struct Taker {
    raft: Mutex<Vec<(NodeId, u32, RaftMessage)>>,
    quiet: Mutex<Vec<(NodeId, u32, QuietMessage)>>,
    batches: AtomicU64,
    gossip: Mutex<Vec<(NodeId, Bytes)>>,
    requests: Mutex<Vec<(NodeId, Bytes, Reply)>>,
}

impl RaftInbox for Taker {
    fn receive(&self, from: NodeId, group: u32, message: RaftMessage) {
        self.raft.lock().push((from, group, message));
    }

    fn receive_quiet(&self, from: NodeId, group: u32, message: QuietMessage) {
        self.quiet.lock().push((from, group, message));
    }

    fn batch_end(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inbox for Taker {
    fn receive(&self, from: NodeId, message: Bytes) {
        self.gossip.lock().push((from, message));
    }
}

impl Serve for Taker {
    fn serve(&self, from: NodeId, body: Bytes, reply: Reply) {
        self.requests.lock().push((from, body, reply));
    }
}

#[derive(Debug)]
struct Node {
    exchange: Exchange,
    dispatch: Dispatch,
    taker: Arc<Taker>,
    port: Arc<Port>,
}

#[derive(Debug)]
struct Pair {
    sent: Arc<Mutex<VecDeque<Sent>>>,
    nodes: [Node; 2],
}

impl Pair {
    fn new() -> Self {
        let sent = Arc::default();
        Self {
            nodes: [node(ONE, 1, &sent), node(TWO, 1, &sent)],
            sent,
        }
    }

    fn one(&self) -> &Node {
        &self.nodes[0]
    }

    fn two(&self) -> &Node {
        &self.nodes[1]
    }

    /// Delivers the message that was sent first; `false` if there is none.
    fn deliver(&self) -> bool {
        let first = self.sent.lock().pop_front();
        let Some((from, to, _, message)) = first else {
            return false;
        };
        let node = self.nodes.iter().find(|node| node.exchange.node() == to);
        if let Some(node) = node {
            node.dispatch.receive(from, message);
        }
        true
    }

    fn deliver_all(&self) {
        while self.deliver() {}
    }

    async fn ask(&self, body: &'static str) -> Result<Bytes, ExchangeError> {
        let body = Bytes::from_static(body.as_bytes());
        let request = self.one().exchange.request(TWO, Priority::Urgent, body, PATIENCE);
        request.await
    }

    /// The request that the second node has got first.
    fn asked(&self) -> (Bytes, Reply) {
        let (from, body, reply) = self.two().taker.requests.lock().remove(0);
        assert_eq!(from, ONE);
        (body, reply)
    }
}

fn node(node: NodeId, incarnation: u64, sent: &Arc<Mutex<VecDeque<Sent>>>) -> Node {
    let world = Arc::new(TestWorld {
        start: Instant::now(),
    });
    let exchange = Exchange::new(world, node, incarnation);
    let port = Arc::new(Port {
        node,
        sent: Arc::clone(sent),
        introduced: Mutex::default(),
    });
    exchange.connect(Arc::clone(&port) as Arc<dyn Network>);
    let dispatch = Dispatch::new(exchange.clone());
    let taker = Arc::new(Taker::default());
    dispatch.set_raft(Arc::clone(&taker) as _);
    dispatch.set_gossip(Arc::clone(&taker) as _);
    dispatch.set_serve(Arc::clone(&taker) as _);
    Node {
        exchange,
        dispatch,
        taker,
        port,
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_its_own_answer_in_whatever_order_they_come() {
    let pair = Pair::new();
    let bodies = ["a", "b", "c"];
    let mut requests = Box::pin(join_all(bodies.map(|body| pair.ask(body))));
    assert!(requests.as_mut().now_or_never().is_none());
    pair.deliver_all();
    for _ in bodies {
        let (_, body, reply) = pair.two().taker.requests.lock().pop().unwrap();
        reply.send([&body[..], b"!"].concat().into());
    }
    pair.deliver_all();
    let answers: Vec<_> = requests.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, ["a!", "b!", "c!"]);
    let statistics = pair.one().exchange.statistics();
    assert_eq!((statistics.requests_sent, statistics.requests_answered), (3, 3));
    assert_eq!(statistics.requests_waiting, 0);
    assert_eq!(pair.two().exchange.statistics().requests_received, 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_with_its_patience() {
    let pair = Pair::new();
    let begun = Instant::now();
    assert_eq!(pair.ask("a").await, Err(ExchangeError::NoAnswer { node: TWO }));
    assert_eq!(begun.elapsed(), PATIENCE);
    // The answer comes too late, and harms nobody.
    pair.deliver_all();
    pair.asked().1.send(Bytes::new());
    pair.deliver_all();
    let statistics = pair.one().exchange.statistics();
    assert_eq!(
        (statistics.requests_timed_out, statistics.answers_unwanted),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_is_forgotten() {
    let pair = Pair::new();
    let mut request = Box::pin(pair.ask("a"));
    assert!(request.as_mut().now_or_never().is_none());
    assert_eq!(pair.one().exchange.statistics().requests_waiting, 1);
    drop(request);
    assert_eq!(pair.one().exchange.statistics().requests_waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_to_a_node_that_goes_down_fail_at_once_and_others_go_on() {
    let pair = Pair::new();
    let exchange = &pair.one().exchange;
    let elsewhere = exchange.request(NodeId(3), Priority::Urgent, Bytes::new(), PATIENCE);
    let mut all = Box::pin(async { tokio::join!(pair.ask("a"), pair.ask("b"), elsewhere) });
    assert!(all.as_mut().now_or_never().is_none());
    let begun = Instant::now();
    exchange.fail_peer(TWO);
    assert_eq!(exchange.statistics().requests_waiting, 1);
    let down = Err(ExchangeError::PeerDown { node: TWO });
    let none = Err(ExchangeError::NoAnswer { node: NodeId(3) });
    assert_eq!(all.await, (down.clone(), down, none));
    assert_eq!(begun.elapsed(), PATIENCE, "only the third has waited");
    // What is asked later is asked.
    let mut later = Box::pin(pair.ask("c"));
    assert!(later.as_mut().now_or_never().is_none());
    pair.deliver_all();
    assert_eq!(pair.two().taker.requests.lock().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_of_a_former_start_is_dropped() {
    let mut pair = Pair::new();
    let mut before = Box::pin(pair.ask("before"));
    assert!(before.as_mut().now_or_never().is_none());
    pair.deliver_all();
    drop(before);
    // The numbers begin anew, so that only the incarnation tells the requests apart.
    pair.nodes[0] = node(ONE, 2, &pair.sent);
    let mut after = Box::pin(pair.ask("after"));
    assert!(after.as_mut().now_or_never().is_none());
    let (body, reply) = pair.asked();
    assert_eq!(body, "before");
    reply.send(Bytes::from_static(b"wrong"));
    pair.deliver_all();
    assert!(after.as_mut().now_or_never().is_none());
    assert_eq!(pair.one().exchange.statistics().answers_unwanted, 1);
    pair.asked().1.send(Bytes::from_static(b"right"));
    pair.deliver_all();
    assert_eq!(after.await.unwrap(), "right");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_node_than_the_one_asked_is_dropped() {
    let pair = Pair::new();
    let mut request = Box::pin(pair.ask("a"));
    assert!(request.as_mut().now_or_never().is_none());
    pair.deliver_all();
    pair.asked().1.send(Bytes::from_static(b"x"));
    let (_, _, _, message) = pair.sent.lock().pop_front().unwrap();
    pair.one().dispatch.receive(NodeId(3), message.clone());
    assert!(request.as_mut().now_or_never().is_none());
    pair.one().dispatch.receive(TWO, message);
    assert_eq!(request.await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_dropped_says_that_the_request_is_not_served() {
    let pair = Pair::new();
    let mut request = Box::pin(pair.ask("a"));
    assert!(request.as_mut().now_or_never().is_none());
    pair.deliver_all();
    drop(pair.asked());
    pair.deliver_all();
    assert_eq!(request.await, Err(ExchangeError::NotServed { node: TWO }));
    assert_eq!(pair.one().exchange.statistics().requests_not_served, 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_starting_says_that_it_does_not_serve() {
    let pair = Pair::new();
    let mut request = Box::pin(pair.ask("a"));
    assert!(request.as_mut().now_or_never().is_none());
    let starting = Dispatch::new(pair.two().exchange.clone());
    let (_, _, _, message) = pair.sent.lock().pop_front().unwrap();
    starting.receive(ONE, message);
    starting.receive(ONE, Bytes::from_static(b"\x02?"));
    starting.receive(ONE, Bytes::from_static(b"\x01"));
    assert_eq!(pair.two().exchange.statistics().unclaimed, 3);
    pair.deliver_all();
    assert_eq!(request.await, Err(ExchangeError::NotServed { node: TWO }));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_is_not_sent() {
    let pair = Pair::new();
    let body = Bytes::from(vec![0; REQUEST_BODY_BYTES_MAX + 1]);
    let bytes = body.len();
    let request = |body| pair.one().exchange.request(TWO, Priority::Bulk, body, PATIENCE);
    assert_eq!(request(body.clone()).await, Err(ExchangeError::TooLong { bytes }));
    assert!(pair.sent.lock().is_empty());
    assert_eq!(pair.one().exchange.statistics().requests_waiting, 0);
    // An answer is refused where it is made.
    let mut asked = Box::pin(pair.ask("a"));
    assert!(asked.as_mut().now_or_never().is_none());
    pair.deliver_all();
    pair.asked().1.send(body);
    assert_eq!(pair.two().exchange.statistics().answers_too_long, 1);
    pair.deliver_all();
    assert_eq!(asked.await, Err(ExchangeError::NotServed { node: TWO }));
    // So is a message of a group.
    pair.one().exchange.send_raft(TWO, 1, &raft_message(1, bytes));
    pair.one().exchange.flush();
    assert!(pair.sent.lock().is_empty());
    assert_eq!(pair.one().exchange.statistics().raft_messages_too_long, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_sent_as_its_request_was() {
    let pair = Pair::new();
    for priority in [Priority::Urgent, Priority::Bulk] {
        let exchange = &pair.one().exchange;
        let mut request = Box::pin(exchange.request(TWO, priority, Bytes::new(), PATIENCE));
        assert!(request.as_mut().now_or_never().is_none());
        assert_eq!(pair.sent.lock()[0].2, priority);
        pair.deliver_all();
        pair.asked().1.send(Bytes::new());
        assert_eq!(pair.sent.lock()[0].2, priority);
        pair.deliver_all();
        assert_eq!(request.await, Ok(Bytes::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_ends_requests_and_lets_go_of_everything() {
    let pair = Pair::new();
    let mut request = Box::pin(pair.ask("a"));
    assert!(request.as_mut().now_or_never().is_none());
    let Node {
        dispatch,
        taker,
        port,
        ..
    } = pair.one();
    assert!(Arc::strong_count(taker) > 1 && Arc::strong_count(port) > 1);
    dispatch.close();
    assert_eq!(request.await, Err(ExchangeError::Closed));
    assert_eq!(pair.ask("b").await, Err(ExchangeError::Closed));
    assert_eq!((Arc::strong_count(taker), Arc::strong_count(port)), (1, 1));
}

#[test]
fn heartbeats_of_many_groups_are_one_message_to_each_node() {
    let pair = Pair::new();
    let exchange = &pair.one().exchange;
    for group in 0..256 {
        exchange.send_raft(TWO, group, &raft_message(3, 8));
        exchange.send_raft(NodeId(3), group, &raft_message(3, 8));
    }
    assert!(pair.sent.lock().is_empty(), "nothing goes before its time");
    exchange.flush();
    exchange.flush();
    let sent: Vec<_> = pair.sent.lock().iter().map(|sent| (sent.1, sent.2)).collect();
    assert_eq!(sent, [(TWO, Priority::Urgent), (NodeId(3), Priority::Urgent)]);
    pair.deliver_all();
    let taker = &pair.two().taker;
    let raft = taker.raft.lock();
    let groups: Vec<_> = raft.iter().map(|(from, group, _)| (*from, *group)).collect();
    assert_eq!(groups, (0..256).map(|group| (ONE, group)).collect::<Vec<_>>());
    assert!(raft.iter().all(|(_, _, message)| message.to() == ReplicaId(2)));
    assert_eq!(taker.batches.load(Ordering::Relaxed), 1);
    let statistics = exchange.statistics();
    assert_eq!(
        (statistics.raft_messages_sent, statistics.raft_batches_sent),
        (512, 2)
    );
    assert_eq!(pair.two().exchange.statistics().raft_messages_received, 256);
}

#[test]
fn words_about_resting_travel_with_the_messages_of_groups() {
    let pair = Pair::new();
    let exchange = &pair.one().exchange;
    let message = QuietMessage {
        to: ReplicaId(2),
        from: ReplicaId(1),
        term: 3,
        kind: QuietKind::Wake,
    };
    exchange.send_raft(TWO, 7, &raft_message(3, 0));
    exchange.send_quiet(TWO, 7, &message);
    exchange.flush();
    assert_eq!(pair.sent.lock().len(), 1);
    pair.deliver_all();
    assert_eq!(pair.two().taker.raft.lock().len(), 1);
    assert_eq!(*pair.two().taker.quiet.lock(), [(ONE, 7, message)]);
}

#[test]
fn gossip_is_marked_on_its_way_and_comes_as_it_was_sent() {
    let pair = Pair::new();
    let network = pair.one().exchange.gossip_network();
    network.introduce(TWO, "host:1");
    assert_eq!(*pair.one().port.introduced.lock(), [TWO]);
    network.send(TWO, Priority::Urgent, Bytes::from_static(b"ping"));
    pair.deliver_all();
    let gossip = pair.two().taker.gossip.lock().clone();
    assert_eq!(gossip, [(ONE, Bytes::from_static(b"ping"))]);
}

#[test]
fn what_does_not_decode_is_counted_and_dropped() {
    let pair = Pair::new();
    let two = pair.two();
    let malformed: [&[u8]; 6] = [b"", b"\0", b"\x05", b"\x01\0", b"\x03 short", b"\x04 short"];
    for message in malformed {
        two.dispatch.receive(ONE, Bytes::copy_from_slice(message));
    }
    assert_eq!(two.exchange.statistics().malformed, 6);
    // A second process of the node is not answered, so that two of them cannot talk as one.
    two.dispatch.receive(TWO, Bytes::from(vec![3; 18]));
    assert_eq!(two.exchange.statistics().malformed, 7);
    assert!(pair.sent.lock().is_empty());
}

#[test]
fn what_precedes_a_broken_message_of_a_batch_is_handed_on() {
    let pair = Pair::new();
    pair.one().exchange.send_raft(TWO, 7, &raft_message(1, 0));
    pair.one().exchange.flush();
    let (_, _, _, batch) = pair.sent.lock().pop_front().unwrap();
    pair.two()
        .dispatch
        .receive(ONE, [&batch[..], b"more"].concat().into());
    assert_eq!(pair.two().taker.raft.lock().len(), 1);
    assert_eq!(pair.two().taker.batches.load(Ordering::Relaxed), 1);
    assert_eq!(pair.two().exchange.statistics().malformed, 1);
}

proptest! {
    #[test]
    fn no_message_does_harm(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..10), tags in proptest::collection::vec(0_u8..6, 10)) {
        let pair = Pair::new();
        for (tag, mut message) in tags.into_iter().zip(messages) {
            message.insert(0, tag);
            pair.two().dispatch.receive(ONE, message.into());
        }
        prop_assert_eq!(pair.two().exchange.statistics().requests_waiting, 0);
        pair.two().taker.requests.lock().clear();
        // Only requests are answered, and to the one who asked.
        prop_assert!(pair.sent.lock().iter().all(|(_, to, _, message)| *to == ONE && message[0] == 4));
    }
}
