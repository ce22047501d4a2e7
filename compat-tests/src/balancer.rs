//! A small balancer of TCP connections, as one stands before the nodes of a cluster: each new connection goes to the next
//! node in turn, and past nodes that refuse it or do not answer a health check. It looks at no byte; TLS is between client
//! and node.
//!
//! Invariant: a connection stays with its node, and when either side ends, the other does. One that nobody takes is
//! closed at once. A balancer that loses answers closes a connection when an answer comes, which the node does not notice
//! before it has done what was asked: the hardest case for a client that asks again.
//!
//! Why there are health checks: the kernel of a frozen process goes on taking connections. Clients wait for an answer for a
//! minute, so that within two seconds of a load that connects anew now and then, each of them would wait there.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Random, Result, clock};

/// A node on this machine that takes longer to take a connection is none to send clients to.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The time between two health checks of a node. One that fails takes it out, one that succeeds takes it in again.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Asks a node whether it serves clients; has to answer `false` by itself when the node does not answer.
type Check = dyn Fn(SocketAddr) -> bool + Send + Sync;

/// A node, and what its last health check said.
#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    is_healthy: AtomicBool,
    /// Nobody is to be sent to it any more.
    is_gone: AtomicBool,
}

/// The nodes, and how they are looked after.
struct Nodes {
    backends: Mutex<Vec<Arc<Backend>>>,
    check: Box<Check>,
    is_closed: AtomicBool,
}

/// Decides what is lost.
type Losses = Arc<Mutex<(Random, u64)>>;

/// A listening balancer; dropping it ends the listening, not the connections.
pub struct Balancer {
    address: SocketAddr,
    nodes: Arc<Nodes>,
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let backends = self.nodes.all();
        f.debug_struct("Balancer")
            .field("address", &self.address)
            .field("backends", &backends)
            .finish()
    }
}

impl Balancer {
    /// Listens on a free port for clients of these nodes, whose health `check` tells.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(
        nodes: Vec<SocketAddr>,
        check: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::losing_answers(nodes, check, Random::new(0, 0), 0)
    }

    /// The same, but of each hundred times that bytes come from a node, so many times the connection is closed instead.
    ///
    /// # Errors
    /// When there is no port.
    pub fn losing_answers(
        backends: Vec<SocketAddr>,
        check: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
        random: Random,
        percent: u64,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let nodes = Arc::new(Nodes {
            backends: Mutex::default(),
            check: Box::new(check),
            is_closed: AtomicBool::new(false),
        });
        for address in backends {
            nodes.add(address);
        }
        let served = Arc::clone(&nodes);
        thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            let losses = Arc::new(Mutex::new((random, percent)));
            for client in listener.incoming() {
                if served.is_closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (backends, losses) = (served.all(), Arc::clone(&losses));
                let first = turn.fetch_add(1, Ordering::Relaxed);
                // Connecting may take a while; nobody else waits for it.
                thread::spawn(move || {
                    if let Some(node) = choose(&backends, first) {
                        // Either side's end is all there is to know.
                        relay(&client, &node, &losses).unwrap_or_default();
                    }
                });
            }
        });
        Ok(Self { address, nodes })
    }

    /// Sends clients to one more node, too.
    pub fn add(&self, node: SocketAddr) {
        self.nodes.add(node);
    }

    /// Sends no client to a node any more; connections that are open stay.
    pub fn remove(&self, node: SocketAddr) {
        self.nodes.backends.lock().retain(|backend| {
            let stays = backend.address != node;
            backend.is_gone.fetch_or(!stays, Ordering::Relaxed);
            stays
        });
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.nodes.is_closed.store(true, Ordering::Relaxed);
        // Wakes the listener; when it cannot be reached, it has ended.
        drop(TcpStream::connect(self.address));
    }
}

impl Nodes {
    fn all(&self) -> Vec<Arc<Backend>> {
        self.backends.lock().clone()
    }

    /// One more, which is checked now and then until it is gone or the balancer is closed.
    fn add(self: &Arc<Self>, address: SocketAddr) {
        let backend = Arc::new(Backend {
            address,
            is_healthy: AtomicBool::new(true),
            is_gone: AtomicBool::new(false),
        });
        self.backends.lock().push(Arc::clone(&backend));
        let nodes = Arc::clone(self);
        thread::spawn(move || {
            while !nodes.is_closed.load(Ordering::Relaxed) && !backend.is_gone.load(Ordering::Relaxed) {
                backend
                    .is_healthy
                    .store((nodes.check)(backend.address), Ordering::Relaxed);
                clock::pause(CHECK_EVERY);
            }
        });
    }
}

/// The next node in turn that is healthy and takes a connection. When none is healthy, any that takes one: checks may be
/// late, and clients are told no more by a balancer than by a node.
fn choose(nodes: &[Arc<Backend>], first: usize) -> Option<TcpStream> {
    let in_turn = || {
        let cycle = nodes.iter().cycle().skip(first % nodes.len().max(1));
        cycle.take(nodes.len())
    };
    let connect = |node: &Arc<Backend>| TcpStream::connect_timeout(&node.address, CONNECT_TIMEOUT).ok();
    let healthy = |node: &&Arc<Backend>| node.is_healthy.load(Ordering::Relaxed);
    let found = in_turn().filter(healthy).find_map(connect);
    found.or_else(|| in_turn().find_map(connect))
}

/// Carries bytes both ways until either side has ended.
fn relay(client: &TcpStream, node: &TcpStream, losses: &Losses) -> io::Result<()> {
    client.set_nodelay(true)?;
    node.set_nodelay(true)?;
    let (from, to) = (client.try_clone()?, node.try_clone()?);
    thread::spawn(move || carry(&from, &to, || false));
    carry(node, client, || {
        let (random, percent) = &mut *losses.lock();
        random.percent(*percent)
    });
    Ok(())
}

/// Carries bytes one way until an end, or until some are lost.
fn carry(mut from: &TcpStream, mut to: &TcpStream, mut is_lost: impl FnMut() -> bool) {
    let mut buffer = [0; 16 * 1024];
    // A broken connection ends like one that was closed.
    while let Ok(read) = from.read(&mut buffer)
        && let Some(bytes) = buffer.get(..read)
        && !bytes.is_empty()
        && !is_lost()
        && to.write_all(bytes).is_ok()
    {}
    for stream in [from, to] {
        // Fails for a connection that has ended already.
        stream.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with its own letter.
    fn serve(letter: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut byte = [0];
                    // `x` makes it close.
                    while stream.read(&mut byte).is_ok_and(|read| read == 1) && byte != [b'x'] {
                        stream.write_all(&[letter]).unwrap();
                    }
                });
            }
        });
        address
    }

    fn free_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Whether something listens.
    fn listens(address: SocketAddr) -> bool {
        TcpStream::connect(address).is_ok()
    }

    fn ask(stream: &mut TcpStream) -> u8 {
        let mut byte = [0];
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn connections_go_to_the_nodes_in_turn_and_past_those_that_are_gone() {
        let nodes = vec![serve(b'a'), free_port(), serve(b'b')];
        let balancer = Balancer::start(nodes, listens).unwrap();
        let mut asked = Vec::new();
        for _ in 0..6 {
            let mut stream = TcpStream::connect(balancer.address()).unwrap();
            asked.push(ask(&mut stream));
            // The connection stays where it is.
            assert_eq!(ask(&mut stream), asked[asked.len() - 1]);
        }
        asked.sort_unstable();
        assert_eq!(asked, b"aabbbb");
    }

    #[test]
    fn a_node_that_takes_connections_but_fails_its_checks_gets_no_clients_until_it_passes_one() {
        let (well, frozen) = (serve(b'a'), serve(b'b'));
        let is_frozen = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&is_frozen);
        let check = move |address| address == well || !flag.load(Ordering::Relaxed);
        let balancer = Balancer::start(vec![well, frozen], check).unwrap();
        let two = || {
            let mut both = [0, 1].map(|_| ask(&mut TcpStream::connect(balancer.address()).unwrap()));
            both.sort_unstable();
            both
        };
        let within = Duration::from_secs(10);
        assert!(clock::holds_within(within, || two() == *b"aa"));
        for _ in 0..10 {
            assert_eq!(two(), *b"aa");
        }
        is_frozen.store(false, Ordering::Relaxed);
        assert!(clock::holds_within(within, || two() == *b"ab"));
    }

    #[test]
    fn a_node_that_is_added_gets_clients_and_one_that_is_removed_does_not() {
        let (first, second) = (serve(b'a'), serve(b'b'));
        let balancer = Balancer::start(vec![first], listens).unwrap();
        let two = || {
            let mut both = [0, 1].map(|_| ask(&mut TcpStream::connect(balancer.address()).unwrap()));
            both.sort_unstable();
            both
        };
        assert_eq!(two(), *b"aa");
        balancer.add(second);
        assert_eq!(two(), *b"ab");
        balancer.remove(first);
        assert_eq!(two(), *b"bb");
    }

    #[test]
    fn when_no_node_passes_its_checks_clients_are_sent_to_any() {
        let checks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&checks);
        let check = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        let balancer = Balancer::start(vec![serve(b'a')], check).unwrap();
        // The first check's outcome stands when the second begins.
        assert!(clock::holds_within(Duration::from_secs(10), || {
            checks.load(Ordering::Relaxed) > 1
        }));
        assert_eq!(ask(&mut TcpStream::connect(balancer.address()).unwrap()), b'a');
    }

    #[test]
    fn a_client_sees_that_its_node_has_ended() {
        let balancer = Balancer::start(vec![serve(b'a')], listens).unwrap();
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        assert_eq!(ask(&mut stream), b'a');
        stream.write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn answers_are_lost_as_often_as_is_asked_for() {
        let lost = |percent| {
            let balancer =
                Balancer::losing_answers(vec![serve(b'a')], listens, Random::new(1, 1), percent).unwrap();
            let asked = (0..40).filter(|_| {
                let mut stream = TcpStream::connect(balancer.address()).unwrap();
                stream.write_all(b"?").unwrap();
                stream.read(&mut [0]).unwrap_or(0) == 0
            });
            asked.count()
        };
        assert_eq!((lost(0), lost(100)), (0, 40));
        assert!((1..40).contains(&lost(50)));
    }

    #[test]
    fn a_connection_that_nobody_takes_is_closed() {
        let balancer = Balancer::start(vec![free_port()], listens).unwrap();
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
}
