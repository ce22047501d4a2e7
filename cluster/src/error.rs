//! What can go wrong between a coordinator and the replicas of a key.
//!
//! Invariant: the variants tell apart what a client may do next. `Unavailable`: nothing was changed, try again.
//! `OutcomeUnknown`: the write may or may not stand. `MalformedCommand`: nothing was changed, and trying again does not
//! help. `Storage`: this node's disk or directory needs an operator.

use crate::command::MalformedCommand;

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
    /// The keyspace does not exist, or was dropped.
    #[error("the keyspace does not exist or was dropped")]
    NoSuchKeyspace,
    /// The directory is not this node's, or the node may not start with it.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// A command in bytes cannot be read; nothing was changed.
    #[error(transparent)]
    MalformedCommand(#[from] MalformedCommand),
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] stator_storage::Error),
}
