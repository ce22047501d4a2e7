//! The links between the nodes of a cluster: each node is reached through a relay here, which carries bytes from one node
//! to another as long as nobody has cut that way.
//!
//! Invariant: a cut way loses nothing that was not lost with its connection: bytes wait, as they do in a kernel whose
//! packets get no answer, and flow when the way is whole again if the connection still stands. Ways are cut one by one, so that
//! two nodes may hear a third that does not hear them. Who has made a connection is found out from the kernel: the process
//! that holds its other end. Not here: what listens and calls, which are the nodes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Result, clock};

/// How often a relay that has nothing to carry looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// Who has made a connection is known to the kernel at once, and to the harness as soon as it has started the process.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// A node on this machine that takes longer to take a connection takes none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// From one node to another, by their ids.
type Way = (u64, u64);

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
    /// Whether a way is cut.
    ways: Mutex<BTreeMap<Way, Arc<AtomicBool>>>,
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
        self.shared.way((from, to)).store(true, Ordering::Relaxed);
    }

    /// All ways are whole.
    pub fn heal(&self) {
        for is_cut in self.shared.ways.lock().values() {
            is_cut.store(false, Ordering::Relaxed);
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
    fn way(&self, way: Way) -> Arc<AtomicBool> {
        Arc::clone(self.ways.lock().entry(way).or_default())
    }

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
        let called = TcpStream::connect_timeout(&behind, CONNECT_TIMEOUT)?;
        for stream in [call, &called] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK))?;
        }
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.flow((call, &called), &there, &is_over));
            self.flow((&called, call), &back, &is_over);
        });
        Ok(())
    }

    /// Carries bytes one way until either end has ended.
    fn flow(&self, (mut from, mut to): (&TcpStream, &TcpStream), is_cut: &AtomicBool, is_over: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        let goes_on = || !is_over.load(Ordering::Relaxed) && !self.is_closed.load(Ordering::Relaxed);
        while goes_on() {
            if is_cut.load(Ordering::Relaxed) {
                clock::pause(LOOK);
                continue;
            }
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if is_to_be_continued(&error) => continue,
                Err(_) => break,
            };
            // What was read before the way was cut waits with the rest.
            while goes_on() && is_cut.load(Ordering::Relaxed) {
                clock::pause(LOOK);
            }
            if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for stream in [from, to] {
            // It may have ended already.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
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

fn is_to_be_continued(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
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
    use super::*;

    #[test]
    fn a_way_that_is_cut_holds_bytes_back_and_the_other_one_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let spare = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = spare.local_addr().unwrap().port();
        drop(spare);
        let links = Links::new();
        links.lead_to(2, port, listener.local_addr().unwrap()).unwrap();
        links.runs(1, std::process::id());
        let mut call = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut called, _) = listener.accept().unwrap();
        let mut byte = [0];
        call.write_all(b"a").unwrap();
        called.read_exact(&mut byte).unwrap();
        links.cut(1, 2);
        call.write_all(b"b").unwrap();
        called.write_all(b"c").unwrap();
        call.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"c");
        called.set_read_timeout(Some(LOOK * 5)).unwrap();
        assert!(is_to_be_continued(&called.read(&mut byte).unwrap_err()));
        links.heal();
        called.set_read_timeout(None).unwrap();
        called.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
        drop(call);
        assert_eq!(called.read(&mut byte).unwrap(), 0);
    }
}
