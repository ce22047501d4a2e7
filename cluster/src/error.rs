//! What can go wrong between a coordinator and the replicas of a key.
//!
//! Invariant: the variants tell apart what a client may do next. `Unavailable`: nothing was changed, try again.
//! `OutcomeUnknown`: the write may or may not stand. `TransactionConflict`: nothing was changed, the client decides. `NoSuchKeyspace`, `MalformedCommand`: nothing was changed, and trying
//! again does not help. `Storage`, `Directory`, `Group`: this node's disk or directory needs an operator.

use crate::command::{MalformedAnswer, MalformedCommand};
use crate::derive::Unfit;
use crate::group::journal::JournalError;
use crate::world::NodeId;

/// Errors of [`crate::Cluster`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The write was handed to the log and its end is not known.
    #[error("the outcome of the write is not known: {cause}")]
    OutcomeUnknown {
        /// Why it is not known.
        cause: String,
    },
    /// The node cannot serve now; nothing was changed.
    #[error("the node is not available: {cause}")]
    Unavailable {
        /// Why.
        cause: String,
    },
    /// The keyspace was dropped; nothing was changed.
    #[error("the keyspace does not exist")]
    NoSuchKeyspace,
    /// A transaction has locked the cell; nothing was changed, and another try may succeed.
    #[error("a transaction is under way for the cell")]
    TransactionConflict,
    /// What is derived from the write forbids it; nothing was changed, and trying again does not help.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A command in bytes cannot be read; nothing was changed.
    #[error(transparent)]
    MalformedCommand(#[from] MalformedCommand),
    /// An answer in bytes cannot be read; the write stands.
    #[error(transparent)]
    MalformedAnswer(#[from] MalformedAnswer),
    /// The data directory is not of a node of this version.
    #[error(
        "the data directory cannot be used: {cause}; start the program that has written it, or begin with an empty \
         directory"
    )]
    Directory {
        /// What was found.
        cause: String,
    },
    /// The log of a group on this node cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A caller asks for what cannot be; nothing was changed.
    #[error("{cause}")]
    Invalid {
        /// What is wrong.
        cause: String,
    },
    /// The node does not start.
    #[error("the node does not start: {cause}")]
    Start {
        /// Why.
        cause: String,
    },
    /// The node does not start, because what it needs of its disk is not what was written. Nothing was changed.
    #[error(
        "the node does not start: {cause}. If the other nodes of the cluster are well, give it an empty data directory: it gets \
         everything from them"
    )]
    DamagedStart {
        /// Which file, and where.
        cause: String,
    },
    /// The node does not start, because it has left the cluster.
    #[error(
        "node {node} has left the cluster, as node {peer} knows; start it with an empty directory under a number that was \
         never used"
    )]
    HasLeft {
        /// The node.
        node: NodeId,
        /// Who says so.
        peer: NodeId,
    },
    /// The way to other nodes cannot be made.
    #[error("the way to other nodes cannot be made: {cause}")]
    Network {
        /// Why.
        cause: String,
    },
    /// The directory is not of this node.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// The layout of the cluster cannot be read.
    #[error(transparent)]
    Layout(#[from] crate::ring::LayoutError),
    /// No layout can be made of these nodes.
    #[error(transparent)]
    Placement(#[from] crate::ring::PlacementError),
    /// The nodes of the cluster cannot be changed so; nothing was changed.
    #[error(transparent)]
    Plan(#[from] crate::ring::PlanError),
    /// Another node has failed at it; trying again does not help.
    #[error("node {node} has failed: {cause}")]
    OtherNode {
        /// The node.
        node: NodeId,
        /// What it says.
        cause: String,
    },
    /// A replica on this node cannot begin.
    #[error("the replica of group {group} on this node cannot begin: {cause}")]
    Group {
        /// The group.
        group: u32,
        /// Why.
        cause: String,
    },
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] stator_storage::Error),
}

impl Error {
    /// Whether bytes on the disk of this node are not what was written, so that another node may do better.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Storage(stator_storage::Error::Corruption { .. }) | Self::DamagedStart { .. }
        )
    }
}
