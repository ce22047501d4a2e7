//! A small balancer of TCP connections, as one stands before the nodes of a cluster: each new connection goes to the next
//! node in turn, and past nodes that refuse it. It looks at no byte; TLS is between client and node.
//!
//! Invariant: a connection stays with its node, and when either side ends, the other does. One that nobody takes is
//! closed at once. A balancer that loses answers closes a connection when an answer comes, which the node does not notice
//! before it has done what was asked: the hardest case for a client that asks again.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Random, Result};

/// A node on this machine that takes longer to take a connection is none to send clients to.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Decides what is lost.
type Losses = Arc<Mutex<(Random, u64)>>;

/// A listening balancer; dropping it ends the listening, not the connections.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
}

impl Balancer {
    /// Listens on a free port for clients of these nodes.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(nodes: Vec<SocketAddr>) -> Result<Self> {
        Self::losing_answers(nodes, Random::new(0, 0), 0)
    }

    /// The same, but of each hundred times that bytes come from a node, so many times the connection is closed instead.
    ///
    /// # Errors
    /// When there is no port.
    pub fn losing_answers(nodes: Vec<SocketAddr>, random: Random, percent: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        thread::spawn(move || {
            let turn = Arc::new(AtomicUsize::new(0));
            let nodes = Arc::new(nodes);
            let losses = Arc::new(Mutex::new((random, percent)));
            for client in listener.incoming() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (nodes, turn) = (Arc::clone(&nodes), Arc::clone(&turn));
                let losses = Arc::clone(&losses);
                // Connecting may take a while; nobody else waits for it.
                thread::spawn(move || {
                    if let Some(node) = choose(&nodes, &turn) {
                        // Either side's end is all there is to know.
                        relay(&client, &node, &losses).unwrap_or_default();
                    }
                });
            }
        });
        Ok(Self { address, is_closed })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // Wakes the listener; when it cannot be reached, it has ended.
        drop(TcpStream::connect(self.address));
    }
}

fn choose(nodes: &[SocketAddr], turn: &AtomicUsize) -> Option<TcpStream> {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    let in_turn = nodes.iter().cycle().skip(first % nodes.len().max(1));
    in_turn
        .take(nodes.len())
        .find_map(|node| TcpStream::connect_timeout(node, CONNECT_TIMEOUT).ok())
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

    fn ask(stream: &mut TcpStream) -> u8 {
        let mut byte = [0];
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn connections_go_to_the_nodes_in_turn_and_past_those_that_are_gone() {
        let nodes = vec![serve(b'a'), free_port(), serve(b'b')];
        let balancer = Balancer::start(nodes).unwrap();
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
    fn a_client_sees_that_its_node_has_ended() {
        let balancer = Balancer::start(vec![serve(b'a')]).unwrap();
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        assert_eq!(ask(&mut stream), b'a');
        stream.write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn answers_are_lost_as_often_as_is_asked_for() {
        let lost = |percent| {
            let balancer = Balancer::losing_answers(vec![serve(b'a')], Random::new(1, 1), percent).unwrap();
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
        let balancer = Balancer::start(vec![free_port()]).unwrap();
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
}
