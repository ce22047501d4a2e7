//! A node of the cluster as its clients and the watcher see it. The one implementation that is served is in `machine.rs`;
//! the tests of the scenario have another one, which is wrong on purpose.
//!
//! Invariant: everything that is asked here runs as a part of the node, and ends with it.

use std::collections::BTreeSet;
use std::pin::Pin;

use bytes::Bytes;
use stator_cluster::ring::{RangeBits, RangeId};
use stator_cluster::{ConsistencyLevel, Direction, NodeId, WriteOptions};

use super::bank::{Order, Transacted};
use super::command::{Answered, Command};
use super::list::{Item, List};
use super::place::{KeyspaceName, Place, Span};
use crate::check::cell::Stored;

/// What a model of a node says when it is asked for accounts.
const NO_ACCOUNTS: &str = "it has no accounts";

/// Why there is no answer, by what a client may do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The write may or may not stand, now or later.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Nothing was changed.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// There is no keyspace of this name, by everything that was acknowledged before the question.
    #[error("no such keyspace")]
    NoSuchKeyspace,
    /// What a node must never say unless its disk has failed.
    #[error("broken: {0}")]
    Broken(String),
}

/// An answer to come.
pub(super) type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// A group as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupView {
    /// The group.
    pub(super) group: u64,
    /// Its token range; `None` for the metadata group.
    pub(super) range: Option<RangeId>,
    /// Which replica of the group the member is.
    pub(super) replica: u64,
    /// Who has a replica.
    pub(super) replicas: Vec<NodeId>,
    /// Who leads in `term`, as far as the member knows.
    pub(super) leader: Option<NodeId>,
    /// The member's term.
    pub(super) term: u64,
    /// Up to where the member knows the log to be committed.
    pub(super) committed: u64,
    /// Up to where it has applied it.
    pub(super) applied: u64,
    /// Transactions that are prepared in it, whose cells are locked.
    pub(super) prepared: u64,
    /// Whether it holds what the majority has lost, and takes no part any more.
    pub(super) is_diverged: bool,
    /// Whether it has what the group has, and does not wait for it.
    pub(super) is_filled: bool,
}

/// What a node knows of the plan of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanView {
    /// Its epoch.
    pub(super) epoch: u64,
    /// The nodes of the cluster.
    pub(super) nodes: BTreeSet<NodeId>,
    /// How many replicas have to move.
    pub(super) moves: usize,
    /// Nodes that leave, or are held for lost.
    pub(super) leaving: BTreeSet<NodeId>,
    /// Node, group and id of each replica.
    pub(super) replicas: BTreeSet<(NodeId, u64, u64)>,
}

/// A row that a range read has visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visited {
    /// The key bytes.
    pub(super) key: Vec<u8>,
    /// The cell; `None` when its bytes are those of no cell.
    pub(super) cell: Option<Stored>,
}

/// Rows by key bytes.
pub(super) type Rows = Vec<(Vec<u8>, Bytes)>;

/// What clients and the watcher ask a node.
pub(super) trait Node: Send + Sync {
    /// Does a piece of disk work, if there is any, and says whether it did.
    fn turn(&self) -> bool;

    /// Is answered when the node serves.
    fn ready(&self) -> Answering<'_, ()>;

    /// Gives leaderships away before a planned stop.
    fn hand_over(&self) -> Answering<'_, ()>;

    /// Reads a cell.
    fn read<'a>(&'a self, place: &'a Place, level: ConsistencyLevel) -> Answering<'a, Option<Stored>>;

    /// Does a write.
    fn write<'a>(
        &'a self,
        place: &'a Place,
        options: WriteOptions,
        command: &'a Command,
    ) -> Answering<'a, Answered>;

    /// Visits at most `rows_max` rows of a span.
    fn range<'a>(
        &'a self,
        span: &'a Span,
        direction: Direction,
        level: ConsistencyLevel,
        rows_max: usize,
    ) -> Answering<'a, Vec<Visited>>;

    /// Creates a keyspace, or finds it there.
    fn create_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()>;

    /// Drops a keyspace, or finds it gone.
    fn drop_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, ()>;

    /// Whether there is a keyspace, by everything that was acknowledged before the question.
    fn has_keyspace<'a>(&'a self, name: &'a KeyspaceName) -> Answering<'a, bool>;

    /// The keyspaces that the node knows now.
    fn keyspaces(&self) -> Vec<KeyspaceName>;

    /// The rows that the node itself holds of a keyspace.
    ///
    /// # Errors
    /// [`Trouble`] when they cannot be read.
    fn local_rows(&self, name: &KeyspaceName) -> Result<Rows, Trouble>;

    /// The groups of which the node has a replica.
    fn groups(&self) -> Vec<GroupView>;

    /// A node is to leave the cluster.
    fn drain(&self, _leaving: NodeId) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// A node is not to leave after all.
    fn undrain(&self, _staying: NodeId) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// The plan of the cluster, as far as the node has it itself.
    fn plan(&self) -> Result<Option<PlanView>, Trouble> {
        Ok(None)
    }

    /// How many bits of a token make its range.
    fn range_bits(&self) -> RangeBits;

    /// Learns what the node's metadata says; a node of which nothing is derived has nothing to learn.
    fn learn(&self) {}

    /// The last entry of the metadata that has taken effect on the node.
    fn metadata_index(&self) -> u64 {
        0
    }

    /// The numbers of the token ranges; a node that is starting does not know them.
    fn ranges(&self) -> Result<Vec<u32>, Trouble> {
        Ok(Vec::new())
    }

    /// Has all ranges ask their leaders to know the metadata up to an entry.
    fn require(&self, _known: u64) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Fills the next cells of a range into the late index, and says behind which to go on.
    fn fill(
        &self,
        _range: u32,
        _behind: Option<Bytes>,
        _required: u64,
        _count: u32,
    ) -> Answering<'_, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    /// Waits until what follows from acknowledged writes has been taken.
    fn settled(&self) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// The keys of a keyspace, by a majority.
    fn keys<'a>(&'a self, _keyspace: &'a str) -> Answering<'a, BTreeSet<Vec<u8>>> {
        Box::pin(async { Ok(BTreeSet::new()) })
    }

    /// Carries out a transaction on accounts; a model of a node cannot.
    fn transact<'a>(&'a self, _order: &'a Order) -> Answering<'a, Transacted> {
        Box::pin(async { Err(Trouble::Unavailable(NO_ACCOUNTS.to_owned())) })
    }

    /// Appends to an account and says what was there; `None` when a transaction is in the way.
    fn append(&self, _account: u64, _item: Item) -> Answering<'_, Option<List>> {
        Box::pin(async { Err(Trouble::Unavailable(NO_ACCOUNTS.to_owned())) })
    }

    /// Reads accounts together; `None` when they are being written.
    fn read_together<'a>(&'a self, _accounts: &'a [u64]) -> Answering<'a, Option<Vec<List>>> {
        Box::pin(async { Err(Trouble::Unavailable(NO_ACCOUNTS.to_owned())) })
    }

    /// Reads accounts from a cut of their keyspace.
    fn cut<'a>(&'a self, _accounts: &'a [u64]) -> Answering<'a, Vec<List>> {
        Box::pin(async { Err(Trouble::Unavailable(NO_ACCOUNTS.to_owned())) })
    }

    /// Has every node compare and check everything, and says whether all of them will.
    fn begin_repair(&self) -> Answering<'_, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Whether every node has compared and checked everything, and nothing of anybody is under suspicion or damaged.
    fn is_whole(&self) -> Answering<'_, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Whether the node has not started because its disk has other bytes than were written.
    fn is_damaged_for_start(&self) -> bool {
        false
    }

    /// Reads accounts as they were so long before the last write, in milliseconds.
    fn rewind<'a>(&'a self, _accounts: &'a [u64], _back_ms: u64) -> Answering<'a, Vec<List>> {
        Box::pin(async { Err(Trouble::Unavailable(NO_ACCOUNTS.to_owned())) })
    }

    /// How many hints wait on this node.
    fn hints_waiting(&self) -> u64;
}
