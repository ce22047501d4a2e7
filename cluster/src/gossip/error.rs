//! What can go wrong in gossip, and what to do about it.
//!
//! Invariant: a [`Fault`] needs an operator, a [`MessageError`] concerns one message that was dropped, a
//! [`GossipError`] refuses arguments. A lost message is no error.

use crate::world::NodeId;

/// Two processes claim to be the same node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Two processes run under the same node id and incarnation: one of them runs on a copy of the other's directory.
    #[error(
        "two processes claim to be node {node}, incarnation {incarnation}, at {first} and {second}: stop both, find out \
         which directory is the copy, empty it and give it a node id of its own"
    )]
    Duplicate {
        /// The node.
        node: NodeId,
        /// The incarnation that both claim.
        incarnation: u64,
        /// The address of the one that was known first.
        first: String,
        /// The address of the other one.
        second: String,
    },
    /// This node was started again elsewhere, or runs on an old copy of its directory.
    #[error(
        "node {node} runs here as incarnation {own}, and the cluster has seen incarnation {seen} of it at {address}: \
         this process is the older one or runs on an old copy of the directory; stop it, and start it again to be told \
         which of the two it is"
    )]
    Superseded {
        /// This node.
        node: NodeId,
        /// The incarnation of this process.
        own: u64,
        /// The one that the cluster has seen.
        seen: u64,
        /// Where it was seen.
        address: String,
    },
}

impl Fault {
    /// The node that is claimed twice.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Duplicate { node, .. } | Self::Superseded { node, .. } => *node,
        }
    }
}

/// Why a message was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is written in a version of the format that this program does not know.
    #[error(
        "gossip of format version {found}, this program knows version {known}: run neighbouring versions only"
    )]
    UnknownVersion {
        /// The version of the message.
        found: u8,
        /// The version of this program.
        known: u8,
    },
    /// It does not have the form of its version.
    #[error("malformed gossip: {cause}")]
    Malformed {
        /// What is wrong.
        cause: &'static str,
    },
    /// There was no room to write it.
    #[error("no room for it in a gossip message")]
    NoRoom,
    /// It was sent under one node's certificate and speaks for another.
    #[error("node {from} sent gossip in the name of node {claimed}")]
    OtherSender {
        /// Who sent it.
        from: NodeId,
        /// Whom it speaks for.
        claimed: NodeId,
    },
    /// The protocol does not allow it now.
    #[error("gossip out of place: {cause}")]
    OutOfPlace {
        /// What `foca` says.
        cause: String,
    },
}

/// Arguments that gossip cannot start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GossipError {
    /// A setting is out of its range.
    #[error("gossip setting {name} is {value}: it has to be {rule}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        rule: String,
    },
    /// The incarnation is 0, which no start has.
    #[error("the incarnation is 0: start the node through its identity file, the first start is 1")]
    NoIncarnation,
    /// The address cannot be written into a message.
    #[error(
        "the address {address:?} cannot be gossiped: it has to be host:port of 1 to 255 bytes without blanks"
    )]
    Address {
        /// The address.
        address: String,
    },
}
