//! The links between the nodes of a cluster: each node is reached through a relay here, which carries bytes from one node
//! to another as the [`Condition`] of that way says.
//!
//! Invariant: a way in a bad condition loses nothing that was not lost with its connection, and nothing overtakes: bytes
//! wait, as they do in a kernel whose packets get no answer, and flow when the way is whole again if the connection still
//! stands. Ways are broken one by one, so that two nodes may hear a third that does not hear them. Who has made a connection is
//! found out from the kernel: the process that holds its other end. Not here: what listens and calls, which are the nodes;
//! how bytes go one way (`way.rs`).

mod way;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Result, clock};
pub use way::Condition;
use way::Way;

/// How often a relay that has nothing to carry looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// Who has made a connection is known to the kernel at once, and to the harness as soon as it has started the process.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// A node on this machine that takes longer to take a connection takes none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// All ways between nodes. When the last handle is dropped, the relays end.
#[derive(Debug, Clone)]
pub struct Links {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// Ends the relays with its end; they hold only what is shared.
#[derive(Debug)]
struct Open(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The processes that run, by the ids of their nodes.
    processes: Mutex<BTreeMap<u64, u32>>,
    /// From one node to another, by their ids.
    ways: Mutex<BTreeMap<(u64, u64), Arc<Way>>>,
    is_closed: AtomicBool,
}

impl Links {
    /// Ways that are all whole, with no node yet.
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        Self {
            _open: Arc::new(Open(Arc::clone(&shared))),
            shared,
        }
    }

    /// Listens on a port for calls of other nodes to a node that listens at `behind`.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub(crate) fn lead_to(&self, node: u64, port: u16, behind: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            while !shared.is_closed.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((call, caller)) => {
                        let shared = Arc::clone(&shared);
                        // A connection that breaks is made anew by whoever has made it.
                        thread::spawn(move || shared.carry(&call, caller, port, (node, behind)).ok());
                    }
                    Err(_) => clock::pause(LOOK),
                }
            }
        });
        Ok(())
    }

    /// A node's process is this one from now on.
    pub(crate) fn runs(&self, node: u64, process: u32) {
        self.shared.processes.lock().insert(node, process);
    }

    /// Nothing that `from` says reaches `to` until it is healed.
    pub fn cut(&self, from: u64, to: u64) {
        self.change(from, to, |condition| condition.is_cut = true);
    }

    /// Changes how it goes from one node to another, for what is carried from now on.
    pub fn change(&self, from: u64, to: u64, change: impl FnOnce(&mut Condition)) {
        self.shared.way((from, to)).change(change);
    }

    /// Breaks all connections between two nodes; they may make others at once.
    pub fn disconnect(&self, one: u64, other: u64) {
        for way in [(one, other), (other, one)] {
            self.shared.way(way).disconnect();
        }
    }

    /// All ways are whole.
    pub fn heal(&self) {
        for way in self.shared.ways.lock().values() {
            way.change(|condition| *condition = Condition::default());
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn way(&self, way: (u64, u64)) -> Arc<Way> {
        Arc::clone(self.ways.lock().entry(way).or_default())
    }

    /// Carries a connection until either end has ended, or it is broken.
    fn carry(
        &self,
        call: &TcpStream,
        caller: SocketAddr,
        port: u16,
        (node, behind): (u64, SocketAddr),
    ) -> io::Result<()> {
        call.set_nonblocking(false)?;
        let Some(from) = self.who(caller.port(), port) else {
            return Ok(());
        };
        let (there, back) = (self.way((from, node)), self.way((node, from)));
        let called = &TcpStream::connect_timeout(&behind, CONNECT_TIMEOUT)?;
        for stream in [call, called] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK))?;
        }
        let (times, is_over) = (there.disconnected(), AtomicBool::new(false));
        let goes_on = || {
            let is_ended = is_over.load(Ordering::Relaxed) || self.is_closed.load(Ordering::Relaxed);
            !is_ended && there.disconnected() == times
        };
        let (goes_on, is_over) = (&goes_on, &is_over);
        thread::scope(|scope| {
            for (way, from, to) in [(&there, call, called), (&back, called, call)] {
                let (sender, receiver) = way::queue();
                scope.spawn(move || way.take(from, &sender, goes_on));
                scope.spawn(move || {
                    way.give(&receiver, to, goes_on);
                    is_over.store(true, Ordering::Relaxed);
                    for stream in [from, to] {
                        // It may have ended already.
                        stream.shutdown(Shutdown::Both).unwrap_or_default();
                    }
                });
            }
        });
        Ok(())
    }

    /// The node whose process has made a connection from one port of this machine to another.
    fn who(&self, from: u16, to: u16) -> Option<u64> {
        let mut found = None;
        clock::holds_within(KNOWN_WITHIN, || {
            let Some(socket) = socket_of(from, to) else {
                // It is closed already.
                return true;
            };
            let processes = self.processes.lock().clone();
            found = processes
                .into_iter()
                .find_map(|(node, process)| holds(process, &socket).then_some(node));
            found.is_some()
        });
        found
    }
}

/// The kernel's name for the end of a connection at port `from`: `socket:[inode]` (proc(5), `/proc/net/tcp`, `/proc/PID/fd`).
fn socket_of(from: u16, to: u16) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    let line = table.lines().skip(1).find(|line| {
        let mut words = line.split_whitespace().skip(1);
        let mut ends_with = |port: &str| words.next().is_some_and(|word| word.ends_with(port));
        ends_with(&from) && ends_with(&to)
    })?;
    let inode = line.split_whitespace().nth(9)?;
    (inode != "0").then(|| format!("socket:[{inode}]"))
}

/// Whether a process has a socket.
fn holds(process: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    files.into_iter().flatten().flatten().any(|file| {
        let target = fs::read_link(file.path());
        target.is_ok_and(|target| target == Path::new(socket))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// This process as node 1, connected with node 2, which is this process, too.
    fn connected(links: &Links) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let spare = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = spare.local_addr().unwrap().port();
        drop(spare);
        links.lead_to(2, port, listener.local_addr().unwrap()).unwrap();
        links.runs(1, std::process::id());
        let mut call = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut called, _) = listener.accept().unwrap();
        call.write_all(b"a").unwrap();
        assert_eq!(next(&mut called), b'a');
        (call, called)
    }

    fn next(stream: &mut TcpStream) -> u8 {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn a_way_that_is_cut_holds_bytes_back_and_the_other_one_does_not() {
        let links = Links::new();
        let (mut call, mut called) = connected(&links);
        links.cut(1, 2);
        call.write_all(b"b").unwrap();
        called.write_all(b"c").unwrap();
        assert_eq!(next(&mut call), b'c');
        called.set_read_timeout(Some(LOOK * 5)).unwrap();
        assert!(way::is_to_be_continued(&called.read(&mut [0]).unwrap_err()));
        links.heal();
        called.set_read_timeout(None).unwrap();
        assert_eq!(next(&mut called), b'b');
        drop(call);
        assert_eq!(called.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_slow_way_is_slow_in_its_own_direction_only_and_keeps_the_order() {
        const DELAY: Duration = Duration::from_millis(150);
        let links = Links::new();
        let (mut call, mut called) = connected(&links);
        links.change(1, 2, |condition| {
            condition.delay = DELAY;
            condition.jitter = DELAY;
        });
        let sent = clock::now();
        for byte in 0..20 {
            call.write_all(&[byte]).unwrap();
            clock::pause(Duration::from_millis(1));
        }
        called.write_all(b"c").unwrap();
        assert_eq!(next(&mut call), b'c');
        assert!(sent.elapsed() < DELAY);
        for byte in 0..20 {
            assert_eq!(next(&mut called), byte);
            assert!(sent.elapsed() >= DELAY);
        }
        links.heal();
        links.change(2, 1, |condition| condition.bytes_per_second = Some(40_000));
        let sent = clock::now();
        called.write_all(&vec![7; 20_000]).unwrap();
        call.read_exact(&mut vec![0; 20_000]).unwrap();
        assert!(sent.elapsed() >= Duration::from_millis(400));
    }

    #[test]
    fn a_connection_that_is_broken_ends_at_both_ends() {
        let links = Links::new();
        let (mut call, mut called) = connected(&links);
        links.disconnect(2, 1);
        assert_eq!(call.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(called.read(&mut [0]).unwrap_or(0), 0);
    }
}
