//! What the replicas of one node share: engine, time, latches, the keyspaces, the way to other replicas.
//!
//! Invariant: nothing here belongs to a single group. A failure of the disk is noted once and for all: the node has to
//! end to recover from its log. Not here: what groups decide, how messages travel.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_storage::{Durability, Engine, Pressure};
use tokio::sync::watch;

use crate::command::Commands;
use crate::error::Error;
use crate::latch::{Latches, STRIPES_OF_CELLS, STRIPES_OF_SUMS};
use crate::metadata::keyspaces::Keyspaces;
use crate::raft::RaftMessage;
use crate::transaction::TransactionId;
use crate::world::{NodeId, World};

use super::quiet::QuietMessage;
use super::scrub::Scrub;
use super::settings::GroupSettings;

/// When writes are held back, they wait once for so many bytes.
const BYTES_PER_DELAY: u64 = 256 << 10;

/// How often a write that waits for room looks again.
const ROOM_LOOK: Duration = Duration::from_millis(5);

/// The way of a group's messages to other nodes.
pub(crate) trait Outbox: Send + Sync + fmt::Debug {
    /// Puts a message among those that go out next.
    fn send_raft(&self, to: NodeId, group: u32, message: &RaftMessage);

    /// The same for a message about resting.
    fn send_quiet(&self, to: NodeId, group: u32, message: &QuietMessage);

    /// Sends what was put there, all for one node together.
    fn flush(&self);
}

/// The way of groups to each other: of derived rows to the ranges that they belong to, and to the ledger of transactions.
pub(crate) trait Courier: Send + Sync + fmt::Debug {
    /// The group of the range of a key; `None` while there is no layout.
    fn group_of(&self, key: &[u8]) -> Option<u32>;

    /// Has the leader of a group take rows ([`super::effect::Accept`] in bytes); is ready when they are applied there.
    fn deliver(&self, group: u32, rows: Bytes) -> Delivery;

    /// Finds out what the ledger says of a transaction that a group has prepared with an entry, and has the group carry it
    /// out or let it go. One that is not decided yet is given up.
    fn resolve(&self, group: u32, ledger: &Bytes, prepared: (TransactionId, u64)) -> Delivery;
}

/// The outcome of a delivery, which may have taken place although it failed.
pub(crate) type Delivery = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What a host is made of.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) node: NodeId,
    pub(crate) engine: Engine,
    pub(crate) world: Arc<dyn World>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) commands: Arc<dyn Commands>,
    pub(crate) keyspaces: Keyspaces,
    pub(crate) durability: Durability,
    pub(crate) settings: GroupSettings,
}

/// Most groups of a node: 2^16 ranges and the metadata.
const GROUPS_MAX: usize = (1 << 16) + 1;

/// Which groups of a node rest: a bit for each, so that a tick passes over thousands of them without looking at any.
#[derive(Debug)]
pub(crate) struct Resting(Box<[AtomicU64]>);

impl Default for Resting {
    fn default() -> Self {
        Self((0..GROUPS_MAX.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Resting {
    fn word(&self, group: u32) -> Option<(&AtomicU64, u64)> {
        let word = self.0.get(usize::try_from(group / 64).ok()?)?;
        Some((word, 1 << (group % 64)))
    }

    /// Whether a group rests.
    pub(crate) fn contains(&self, group: u32) -> bool {
        self.word(group)
            .is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    /// A group rests from now on, or does not.
    pub(crate) fn set(&self, group: u32, rests: bool) {
        match self.word(group) {
            Some((word, bit)) if rests => word.fetch_or(bit, Ordering::AcqRel),
            Some((word, bit)) => word.fetch_and(!bit, Ordering::AcqRel),
            None => 0,
        };
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Host {
    /// Which node this is.
    pub(crate) node: NodeId,
    pub(crate) engine: Engine,
    pub(crate) world: Arc<dyn World>,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) commands: Arc<dyn Commands>,
    pub(crate) keyspaces: Keyspaces,
    /// Of cells.
    pub(crate) latches: Latches,
    /// Of sums. Whoever holds one waits for none of a cell, so that those who hold a cell's may wait for them.
    pub(crate) sum_latches: Latches,
    /// When entries of a log count as durable. What a node must not forget of a vote is synced always.
    pub(crate) durability: Durability,
    pub(crate) settings: GroupSettings,
    /// The groups whose replicas rest and to which nothing has happened since they were last found to.
    pub(crate) resting: Resting,
    courier: OnceLock<Arc<dyn Courier>>,
    /// See [`Host::name_terms`].
    names_terms: AtomicBool,
    undelayed_bytes: AtomicU64,
    /// Comparisons whose cells are to be digested, with their groups.
    pub(crate) scrubs: Mutex<VecDeque<(u32, Arc<Scrub>)>>,
    failure: watch::Sender<Option<String>>,
}

impl Host {
    pub(crate) fn new(given: Given) -> Self {
        let Given {
            node,
            engine,
            world,
            outbox,
            commands,
            keyspaces,
            durability,
            settings,
        } = given;
        let (failure, _) = watch::channel(None);
        Self {
            node,
            engine,
            world,
            outbox,
            commands,
            keyspaces,
            latches: Latches::new(STRIPES_OF_CELLS),
            sum_latches: Latches::new(STRIPES_OF_SUMS),
            durability,
            settings,
            resting: Resting::default(),
            courier: OnceLock::new(),
            names_terms: AtomicBool::new(false),
            undelayed_bytes: AtomicU64::new(0),
            scrubs: Mutex::default(),
            failure,
        }
    }

    /// Says how groups reach each other; once.
    pub(crate) fn set_courier(&self, courier: Arc<dyn Courier>) {
        if self.courier.set(courier).is_err() {
            tracing::error!("the way of rows to other ranges was said twice");
        }
    }

    /// How groups reach each other, once it is known.
    pub(crate) fn courier(&self) -> Option<&Arc<dyn Courier>> {
        self.courier.get()
    }

    /// From now on rows that are sent to other ranges name the term of their entries: every node reads that, or some rows have
    /// come that do, which is the same. It is never taken back: what has named a term stays in logs and marks, so that a node
    /// that does not read it could not take part any more.
    pub(crate) fn name_terms(&self) {
        self.names_terms.store(true, Ordering::Relaxed);
    }

    /// Whether rows that are sent to other ranges name the term of their entries.
    pub(crate) fn names_terms(&self) -> bool {
        self.names_terms.load(Ordering::Relaxed)
    }

    /// Notes that the node cannot go on; the first cause stays.
    pub(crate) fn fail(&self, cause: &str) {
        self.failure.send_if_modified(|failure| {
            let is_first = failure.is_none();
            if is_first {
                tracing::error!(cause, "the node cannot go on");
                *failure = Some(cause.to_owned());
            }
            is_first
        });
    }

    /// Why the node cannot go on, once it cannot.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Whether the engine takes nothing more for now.
    pub(crate) fn is_full(&self) -> bool {
        self.engine.pressure() == Pressure::Stop
    }

    /// Waits as back-pressure of the engine demands before a write of `bytes` is taken: here, before it has a place in a
    /// log, because what is in the log is applied without waiting.
    pub(crate) async fn admit(&self, bytes: usize) {
        loop {
            match self.engine.pressure() {
                Pressure::None => return,
                Pressure::Stop => self.world.sleep(ROOM_LOOK).await,
                Pressure::Delay(delay) => {
                    let bytes = bytes as u64;
                    let owed = self.undelayed_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                    if owed >= BYTES_PER_DELAY {
                        self.undelayed_bytes.store(0, Ordering::Relaxed);
                        self.world.sleep(delay).await;
                    }
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_rest_one_by_one_up_to_the_last() {
        let resting = Resting::default();
        for group in [0, 63, 64, 65_536] {
            resting.set(group, true);
        }
        let found = || {
            (0..=65_536)
                .filter(|group| resting.contains(*group))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(), [0, 63, 64, 65_536]);
        resting.set(63, false);
        resting.set(7, false);
        assert_eq!(found(), [0, 64, 65_536]);
    }
}
