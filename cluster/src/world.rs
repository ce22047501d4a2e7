//! What a node is given from outside: time, randomness, tasks, and a way to other nodes.
//!
//! Invariant: everything in this crate that waits, draws or talks does it through these two traits, so that a whole
//! cluster runs in one thread under one seed. Not here: disks, which the engine is given (`stator_storage::Environment`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// The longest message, in bytes: 16 MiB.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A node's number. Given out once in the life of a cluster, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A future that whoever gets it can send to another thread and forget.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that is done once.
pub type Work = Box<dyn FnOnce() + Send>;

/// Time, randomness and tasks.
pub trait World: Send + Sync + fmt::Debug {
    /// How long it is since some fixed moment. Never goes back, and goes on while the machine is suspended
    /// (`CLOCK_BOOTTIME`).
    fn now(&self) -> Duration;

    /// The wall clock in milliseconds since the Unix epoch. May jump.
    fn unix_ms(&self) -> u64;

    /// A number that nobody can guess.
    fn random_u64(&self) -> u64;

    /// Is ready when so much time has passed, by [`World::now`].
    fn sleep(&self, duration: Duration) -> Task;

    /// Runs a task beside all others until it ends.
    fn spawn(&self, task: Task);

    /// Does what takes a processor for long and is in no hurry where it holds up nobody. A world of one thread has no such place,
    /// and does it at once.
    fn aside(&self, work: Work) {
        work();
    }
}

/// Which messages of a node go before which others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Heartbeats, votes, acknowledgements, entries of a log: small, and somebody waits.
    Urgent,
    /// Snapshots and other streams of data: they may not hold up what is urgent.
    Bulk,
}

/// The way to other nodes. Messages may be lost, delayed and overtaken by others, but are never changed; whoever needs
/// more than that sees to it.
pub trait Network: Send + Sync + fmt::Debug {
    /// Sends a message, and never waits: what cannot be sent soon is dropped. A message has at most
    /// [`MESSAGE_BYTES_MAX`] bytes; a longer one is dropped.
    fn send(&self, to: NodeId, priority: Priority, message: Bytes);

    /// Makes known where a node is reached, as `host:port`. The latest address counts.
    fn introduce(&self, node: NodeId, address: &str);
}

/// Gets the messages of other nodes, each with the node whose certificate it was sent under.
pub trait Inbox: Send + Sync + fmt::Debug {
    /// Takes a message. Called on the thread that has read it, so that it must be quick and must not wait. The bytes
    /// share memory with messages that came along with them: who keeps a few of them for long copies them.
    fn receive(&self, from: NodeId, message: Bytes);
}
