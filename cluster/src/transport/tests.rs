//! Transports of one process that talk over loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::certificate::{CertificateAuthority, CertifiedKey, Validity};
use super::*;
use crate::TokioWorld;
use crate::world::Task;

const BULK: Priority = Priority::Bulk;
const URGENT: Priority = Priority::Urgent;
/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A world whose wall clock is wrong.
#[derive(Debug)]
struct Behind {
    world: TokioWorld,
    by_ms: u64,
}

impl World for Behind {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn unix_ms(&self) -> u64 {
        self.world.unix_ms() - self.by_ms
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
}

#[derive(Debug)]
struct Channel(mpsc::UnboundedSender<(NodeId, Bytes)>);

impl Inbox for Channel {
    fn receive(&self, from: NodeId, message: Bytes) {
        self.0.send((from, message)).ok();
    }
}

fn world() -> TokioWorld {
    TokioWorld::new(Handle::current()).unwrap()
}

/// An authority, and what it has issued.
struct Issued {
    authority: CertificateAuthority,
    kept: CertifiedKey,
}

impl Issued {
    fn new(cluster: &str) -> Self {
        let validity = Validity {
            not_before_s: 0,
            not_after_s: 4_000_000_000,
        };
        let (authority, kept) = CertificateAuthority::create(&cluster.parse().unwrap(), validity).unwrap();
        Self { authority, kept }
    }

    fn credentials_until(&self, node: u64, not_after_s: u64) -> Credentials {
        let validity = Validity {
            not_before_s: 0,
            not_after_s,
        };
        let made = self.authority.issue(NodeId(node), &[], validity).unwrap();
        Credentials {
            authority_pem: self.kept.certificate_pem.clone().into_bytes(),
            certificate_pem: made.certificate_pem.into_bytes(),
            key_pem: made.key_pem.as_bytes().to_vec().into(),
        }
    }

    fn credentials(&self, node: u64) -> Credentials {
        self.credentials_until(node, 4_000_000_000)
    }
}

struct Node {
    id: NodeId,
    transport: Transport,
    inbox: mpsc::UnboundedReceiver<(NodeId, Bytes)>,
}

struct Setup {
    world: Arc<dyn World>,
    credentials: Credentials,
    settings: TransportSettings,
    versions: Vec<u32>,
    address: SocketAddr,
}

impl Setup {
    fn new(credentials: Credentials) -> Self {
        Self {
            world: Arc::new(world()),
            credentials,
            settings: TransportSettings {
                backoff_min_ms: 5,
                backoff_max_ms: 50,
                ping_interval_ms: 20,
                ..TransportSettings::default()
            },
            versions: hello::VERSIONS.to_vec(),
            address: "127.0.0.1:0".parse().unwrap(),
        }
    }

    async fn start(self) -> Node {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (sender, inbox) = mpsc::unbounded_channel();
        let transport = Transport::start_with_versions(
            self.world,
            Arc::new(Channel(sender)),
            self.settings,
            &self.credentials,
            9,
            listener,
            self.versions,
        )
        .unwrap();
        Node {
            id: transport.identity().node,
            transport,
            inbox,
        }
    }
}

impl Node {
    async fn of(issued: &Issued, node: u64) -> Self {
        Setup::new(issued.credentials(node)).start().await
    }

    fn knows(&self, other: &Self) {
        self.transport
            .introduce(other.id, &other.transport.local_address().to_string());
    }

    fn send(&self, to: &Self, priority: Priority, message: &'static str) {
        self.transport
            .send(to.id, priority, Bytes::from_static(message.as_bytes()));
    }

    async fn next(&mut self) -> (u64, Bytes) {
        let received = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
        let (from, message) = received.expect("a message arrives").unwrap();
        (from.0, message)
    }

    /// Waits until the way to another node is in a state.
    async fn sees(&self, other: &Self, wanted: impl FnMut(&PeerState) -> bool) -> PeerState {
        let mut state = self.transport.state(other.id).unwrap();
        let seen = tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await;
        seen.expect("the state is reached").unwrap().clone()
    }

    async fn failure(&self, other: &Self, text: &str) -> String {
        let told = |state: &PeerState| matches!(state, PeerState::Failing { cause } if cause.contains(text));
        let mut state = self.transport.state(other.id).unwrap();
        let seen = tokio::time::timeout(PATIENCE, state.wait_for(told)).await;
        match seen.map(|state| state.unwrap().clone()) {
            Ok(PeerState::Failing { cause }) => cause,
            _ => panic!("`{text}` is not in {:?}", self.peer(other)),
        }
    }

    async fn refusal(&self, text: &str) {
        let mut refusals = self.transport.refusals();
        let told = |refusals: &Refusals| refusals.last.as_ref().is_some_and(|last| last.contains(text));
        let seen = tokio::time::timeout(PATIENCE, refusals.wait_for(told)).await;
        seen.expect("the connection is refused").unwrap();
    }

    fn peer(&self, other: &Self) -> PeerStatistics {
        let peers = self.transport.statistics().peers;
        peers.into_iter().find(|peer| peer.node == other.id).unwrap()
    }
}

fn is_connected(state: &PeerState) -> bool {
    matches!(state, PeerState::Connected { .. })
}

/// Checks on a condition that nobody can be woken for whenever other tasks have had a turn.
async fn until(mut condition: impl FnMut() -> bool) {
    let checked = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, checked)
        .await
        .expect("the condition comes true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_exchange_messages_in_order() {
    let issued = Issued::new("blue");
    let mut nodes = [
        Node::of(&issued, 1).await,
        Node::of(&issued, 2).await,
        Node::of(&issued, 3).await,
    ];
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            from.knows(to);
            for number in 0..100_u32 {
                from.transport
                    .send(to.id, URGENT, Bytes::copy_from_slice(&number.to_le_bytes()));
            }
        }
    }
    for node in &mut nodes {
        let mut next = std::collections::HashMap::new();
        for _ in 0..200 {
            let (from, message) = node.next().await;
            let number = next.entry(from).or_insert(0_u32);
            assert_eq!(message, number.to_le_bytes().as_slice());
            *number += 1;
        }
        assert_eq!(next.len(), 2);
    }
    let state = nodes[0].sees(&nodes[1], is_connected).await;
    assert_eq!(
        state,
        PeerState::Connected {
            version: 1,
            incarnation: 9
        }
    );
    let peer = nodes[0].peer(&nodes[1]);
    assert_eq!((peer.messages_sent, peer.bytes_sent), (100, 400));
    assert_eq!((peer.messages_received, peer.bytes_received), (100, 400));
    assert_eq!((peer.messages_dropped, peer.connections), (0, 1));
    assert!(peer.calls);
    until(|| nodes[0].peer(&nodes[1]).round_trip.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_message_arrives_and_a_longer_one_is_dropped() {
    let issued = Issued::new("blue");
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    let longest: Vec<u8> = (0..=250_u8).cycle().take(MESSAGE_BYTES_MAX).collect();
    let longest = Bytes::from(longest);
    one.transport
        .send(two.id, BULK, Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]));
    one.transport.send(two.id, BULK, longest.clone());
    one.transport.send(two.id, BULK, Bytes::new());
    assert!(two.next().await == (1, longest));
    assert_eq!(two.next().await, (1, Bytes::new()));
    assert_eq!(one.peer(&two).messages_dropped, 1);
}

#[tokio::test]
async fn urgent_messages_overtake_bulk() {
    let issued = Issued::new("blue");
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    // One thread: all of it waits before the connection is made.
    for _ in 0..5 {
        one.transport.send(two.id, BULK, Bytes::from(vec![0; 12 << 20]));
    }
    one.send(&two, URGENT, "vote");
    assert_eq!(two.next().await.1, "vote");
    // And while bulk is under way; what is in the buffers of the kernel before it is less than the rest of bulk.
    assert_eq!(two.next().await.1.len(), 12 << 20);
    one.send(&two, URGENT, "heartbeat");
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(two.next().await.1.len());
    }
    assert_ne!(order[4], 9, "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_flow_again_when_the_peer_is_back() {
    let issued = Issued::new("blue");
    let (mut one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    one.send(&two, URGENT, "before");
    assert_eq!(two.next().await.1, "before");
    let address = two.transport.local_address();
    two.transport.close().await;
    one.sees(&two, |state| matches!(state, PeerState::Failing { .. }))
        .await;
    let mut setup = Setup::new(issued.credentials(2));
    setup.address = address;
    let mut again = setup.start().await;
    // What was sent in between may be lost, so that it is sent until an answer comes.
    again.knows(&one);
    let heard = async {
        loop {
            one.send(&again, URGENT, "after");
            tokio::select! {
                (_, message) = again.next() => break message,
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(heard, "after");
    again.send(&one, BULK, "thanks");
    assert_eq!(one.next().await, (2, Bytes::from_static(b"thanks")));
    assert_eq!(one.peer(&again).connections, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_authority_is_refused_by_both() {
    let (blue, red) = (Issued::new("blue"), Issued::new("blue"));
    let (one, mut two) = (Node::of(&blue, 1).await, Node::of(&red, 2).await);
    one.knows(&two);
    one.send(&two, URGENT, "secret");
    let text =
        "its certificate is not accepted here: it was not issued by this cluster's certificate authority";
    assert_eq!(one.failure(&two, "").await, text);
    until(|| one.peer(&two).messages_dropped == 1).await;
    // The called one sees an alert, and nothing else.
    two.refusal("it does not accept this node's certificate").await;
    assert!(two.inbox.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_another_authority_gets_nothing_in() {
    let (blue, red) = (Issued::new("blue"), Issued::new("blue"));
    let mut one = Node::of(&blue, 1).await;
    // It trusts everybody, so that it goes on with its own certificate.
    let mut credentials = red.credentials(2);
    credentials
        .authority_pem
        .extend_from_slice(blue.kept.certificate_pem.as_bytes());
    let two = Setup::new(credentials).start().await;
    two.knows(&one);
    two.send(&one, URGENT, "let me in");
    two.failure(&one, "it does not accept this node's certificate")
        .await;
    one.refusal("not issued by this cluster's certificate authority")
        .await;
    assert!(one.inbox.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_than_the_one_called_is_refused() {
    let issued = Issued::new("blue");
    let (one, mut three) = (Node::of(&issued, 1).await, Node::of(&issued, 3).await);
    let address = three.transport.local_address().to_string();
    one.transport.introduce(NodeId(2), &address);
    one.transport
        .send(NodeId(2), URGENT, Bytes::from_static(b"for two"));
    let mut state = one.transport.state(NodeId(2)).unwrap();
    let wanted = "it is the certificate of node 3 of cluster blue, while node 2 of cluster blue was called";
    let failing = state
        .wait_for(|state| matches!(state, PeerState::Failing { .. }))
        .await;
    match &*failing.unwrap() {
        PeerState::Failing { cause } => assert!(cause.contains(wanted), "{cause}"),
        state => panic!("{state:?}"),
    }
    assert!(three.inbox.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_the_same_authority_is_another_one() {
    let issued = Issued::new("blue");
    let one = Node::of(&issued, 1).await;
    // The authority of blue, which claims to be red's.
    let red = Issued::new("red");
    let mut credentials = red.credentials(2);
    credentials
        .authority_pem
        .extend_from_slice(issued.kept.certificate_pem.as_bytes());
    let mut both = issued.credentials(1);
    both.authority_pem
        .extend_from_slice(red.kept.certificate_pem.as_bytes());
    one.transport.reload(&both).unwrap();
    let two = Setup::new(credentials).start().await;
    two.knows(&one);
    one.knows(&two);
    two.send(&one, URGENT, "red");
    two.failure(
        &one,
        "node 1 of cluster blue, while node 1 of cluster red was called",
    )
    .await;
    one.send(&two, URGENT, "blue");
    one.failure(
        &two,
        "node 2 of cluster red, while node 2 of cluster blue was called",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_by_both() {
    let issued = Issued::new("blue");
    let mut one = Node::of(&issued, 1).await;
    let now_s = world().unix_ms() / 1000;
    // Its own clock is a year behind, so that it does not know.
    let mut setup = Setup::new(issued.credentials_until(2, now_s - 86_400));
    setup.world = Arc::new(Behind {
        world: world(),
        by_ms: 365 * 86_400_000,
    });
    let mut two = setup.start().await;
    one.knows(&two);
    one.send(&two, URGENT, "hello");
    let cause = one.failure(&two, "it expired on ").await;
    assert!(cause.contains("renew it, or set the clocks right"), "{cause}");
    two.knows(&one);
    two.send(&one, URGENT, "hello");
    two.failure(
        &one,
        "it does not accept this node's certificate (CertificateExpired)",
    )
    .await;
    one.refusal("it expired on ").await;
    assert!(one.inbox.try_recv().is_err() && two.inbox.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_without_a_common_one_are_named_on_both_sides() {
    let issued = Issued::new("blue");
    let mut one = Node::of(&issued, 1).await;
    let mut setup = Setup::new(issued.credentials(2));
    setup.versions = vec![2, 3];
    let two = setup.start().await;
    two.knows(&one);
    two.send(&one, URGENT, "from the future");
    let text = "no common protocol version: node 1 speaks 1, node 2 speaks 2, 3";
    two.failure(&one, text).await;
    one.refusal(text).await;
    assert!(one.inbox.try_recv().is_err());

    let mut setup = Setup::new(issued.credentials(3));
    setup.versions = vec![3, 1, 2];
    let three = setup.start().await;
    two.knows(&three);
    two.send(&three, URGENT, "hello");
    let state = two.sees(&three, is_connected).await;
    assert!(
        matches!(state, PeerState::Connected { version: 3, .. }),
        "{state:?}"
    );
    three.knows(&one);
    three.send(&one, URGENT, "hello");
    assert_eq!(one.next().await, (3, Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn a_full_queue_drops_the_newest_and_counts_them() {
    let issued = Issued::new("blue");
    // One thread: nothing is sent before this test waits.
    let mut setup = Setup::new(issued.credentials(1));
    setup.settings.queue_urgent_bytes_max = 1100;
    let (one, mut two) = (setup.start().await, Node::of(&issued, 2).await);
    one.knows(&two);
    for number in 0..20_u8 {
        one.transport.send(two.id, URGENT, Bytes::from(vec![number; 46]));
    }
    one.send(&two, BULK, "bulk has room");
    assert_eq!(one.peer(&two).messages_dropped, 10);
    assert_eq!(one.peer(&two).bytes_waiting, 1100 + 64 + 13);
    let mut came = Vec::new();
    for _ in 0..11 {
        came.push(two.next().await.1);
    }
    came.retain(|message| message != "bulk has room");
    let numbers: Vec<u8> = came.iter().map(|message| message[0]).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_nobody_are_dropped_and_counted() {
    let issued = Issued::new("blue");
    let one = Node::of(&issued, 1).await;
    one.transport.send(NodeId(8), URGENT, Bytes::new());
    assert_eq!(one.transport.statistics().messages_dropped_unknown, 1);
    // A port where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    one.transport.introduce(NodeId(2), &address);
    one.transport.send(NodeId(2), BULK, Bytes::new());
    let mut state = one.transport.state(NodeId(2)).unwrap();
    state
        .wait_for(|state| matches!(state, PeerState::Failing { cause } if cause.contains(&address)))
        .await
        .unwrap();
    let peers = one.transport.statistics().peers;
    assert_eq!((peers[0].messages_dropped, peers[0].bytes_waiting), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_taken_into_use_without_losing_messages() {
    let issued = Issued::new("blue");
    let (mut one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    two.knows(&one);
    one.send(&two, URGENT, "old");
    two.next().await;
    for number in 0..50_u8 {
        one.transport
            .send(two.id, BULK, Bytes::from(vec![number; 100_000]));
    }
    one.transport.reload(&issued.credentials(1)).unwrap();
    for number in 0..50_u8 {
        let (_, message) = two.next().await;
        assert_eq!((message[0], message.len()), (number, 100_000));
    }
    // Everything may have gone over the old connection; then the new one is made when there is something to send.
    until(|| one.peer(&two).connections == 2 || one.peer(&two).state == PeerState::Idle).await;
    one.send(&two, URGENT, "again");
    assert_eq!(two.next().await.1, "again");
    assert_eq!(one.peer(&two).connections, 2);
    let wrong = one.transport.reload(&issued.credentials(7)).unwrap_err();
    assert!(
        wrong.to_string().contains("it is for node 7 of cluster blue"),
        "{wrong}"
    );

    // The cluster gets another authority: the old certificates are of no use from then on.
    let other = Issued::new("blue");
    one.transport.reload(&other.credentials(1)).unwrap();
    // What is sent before the connection has ended may still go over it.
    one.sees(&two, |state| !is_connected(state)).await;
    one.send(&two, URGENT, "new");
    one.failure(&two, "not issued by this cluster").await;
    two.transport.reload(&other.credentials(2)).unwrap();
    two.send(&one, URGENT, "new");
    assert_eq!(one.next().await.1, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_no_longer_trusted_ends_the_connection() {
    let (issued, other) = (Issued::new("blue"), Issued::new("blue"));
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    one.send(&two, URGENT, "hello");
    two.next().await;
    two.transport.reload(&other.credentials(2)).unwrap();
    two.refusal("not issued by this cluster's certificate authority")
        .await;
    until(|| !two.peer(&one).calls).await;
}

/// Sends until it is heard: what is under way while a connection is made anew may be lost.
async fn is_heard(from: &Node, to: &mut Node, message: &'static str) {
    let heard = async {
        loop {
            from.send(to, URGENT, message);
            tokio::select! {
                (_, heard) = to.next() => if heard == message { break },
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    assert!(heard.is_ok(), "`{message}` is not heard: {:?}", from.peer(to));
}

/// docs/operations.md, "Another authority".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_replaced_by_way_of_both_while_nodes_go_on_talking() {
    let (old, new) = (Issued::new("blue"), Issued::new("blue"));
    let (mut one, mut two) = (Node::of(&old, 1).await, Node::of(&old, 2).await);
    one.knows(&two);
    two.knows(&one);
    let trusting = |issuer: &Issued, node: NodeId, trusted: &[&Issued]| {
        let pem = trusted.iter().map(|issued| issued.kept.certificate_pem.as_str());
        Credentials {
            authority_pem: pem.collect::<String>().into_bytes(),
            ..issuer.credentials(node.0)
        }
    };
    let both = [&old, &new];
    let steps: [(&Issued, &[&Issued], [&str; 2]); 3] = [
        (&old, &both, ["one trusts both", "both trust both"]),
        (&new, &both, ["one is new", "both are new"]),
        (&new, &[&new], ["one trusts new", "both trust new"]),
    ];
    for (issuer, trusted, said) in steps {
        for (reloaded, said) in said.into_iter().enumerate() {
            let node = if reloaded == 0 { &one } else { &two };
            node.transport
                .reload(&trusting(issuer, node.id, trusted))
                .unwrap();
            is_heard(&one, &mut two, said).await;
            is_heard(&two, &mut one, said).await;
        }
    }
    // The old one counts for nothing now.
    let late = Setup::new(trusting(&old, NodeId(3), &both)).start().await;
    late.knows(&one);
    late.send(&one, URGENT, "let me in");
    late.failure(&one, "it does not accept this node's certificate")
        .await;
    while let Ok((from, _)) = one.inbox.try_recv() {
        assert_eq!(from, NodeId(2), "what was said more than once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_ended_and_made_again_when_needed() {
    let issued = Issued::new("blue");
    let mut setup = Setup::new(issued.credentials(1));
    setup.settings.idle_ms = 1;
    let (one, mut two) = (setup.start().await, Node::of(&issued, 2).await);
    one.knows(&two);
    let mut made = 0;
    for _ in 0..2 {
        one.send(&two, URGENT, "hello");
        two.next().await;
        one.sees(&two, |state| *state == PeerState::Idle).await;
        // One that is idle before its first message has come is made once more.
        let connections = one.peer(&two).connections;
        assert!(connections > made, "{connections}, there were {made}");
        made = connections;
    }
    until(|| !two.peer(&one).calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_moves_is_called_at_its_new_address() {
    let issued = Issued::new("blue");
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    one.send(&two, URGENT, "here");
    two.next().await;
    let mut moved = Node::of(&issued, 2).await;
    one.knows(&moved);
    until(|| !two.peer(&one).calls).await;
    one.send(&moved, URGENT, "there");
    assert_eq!(moved.next().await.1, "there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_left_is_not_called_any_more() {
    let issued = Issued::new("blue");
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    one.knows(&two);
    one.send(&two, URGENT, "hello");
    two.next().await;
    one.transport.forget(two.id);
    assert!(one.transport.state(two.id).is_none());
    until(|| !two.peer(&one).calls).await;
    one.send(&two, URGENT, "hello");
    assert_eq!(one.transport.statistics().messages_dropped_unknown, 1);
}

/// Takes connections and hands them on to a node until it is told to swallow everything.
async fn relay(listener: TcpListener, to: SocketAddr, mut deaf: tokio::sync::watch::Receiver<bool>) {
    let mut kept = Vec::new();
    while let Ok((mut near, _)) = listener.accept().await {
        if *deaf.borrow() {
            kept.push(near);
            continue;
        }
        let mut far = TcpStream::connect(to).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = deaf.wait_for(|deaf| *deaf) => kept.extend([near, far]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_is_noticed() {
    let issued = Issued::new("blue");
    let mut setup = Setup::new(issued.credentials(1));
    setup.settings.ping_timeout_ms = 50;
    setup.settings.connect_timeout_ms = 50;
    let (one, mut two) = (setup.start().await, Node::of(&issued, 2).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    one.transport
        .introduce(two.id, &listener.local_addr().unwrap().to_string());
    let (deaf, told) = tokio::sync::watch::channel(false);
    let relay = tokio::spawn(relay(listener, two.transport.local_address(), told));
    // On a busy machine the short times may be over before the connection is made.
    let heard = async {
        loop {
            one.send(&two, URGENT, "hello");
            tokio::select! {
                (_, message) = two.next() => break message,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, heard).await.unwrap(), "hello");
    deaf.send(true).unwrap();
    one.failure(&two, "it has not answered a ping within 50 ms").await;
    one.send(&two, URGENT, "anybody there?");
    one.failure(&two, "connecting took longer than 50 ms").await;
    relay.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tls_is_refused_and_the_next_node_is_let_in() {
    use tokio::io::AsyncWriteExt as _;
    let issued = Issued::new("blue");
    let (one, mut two) = (Node::of(&issued, 1).await, Node::of(&issued, 2).await);
    let mut stranger = TcpStream::connect(two.transport.local_address()).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    two.refusal("it sent what no node sends").await;
    one.knows(&two);
    one.send(&two, URGENT, "hello");
    assert_eq!(two.next().await, (1, Bytes::from_static(b"hello")));
}
