//! What goes into the core of gossip and what comes out of it.
//!
//! Invariant: plain data; an [`Effect`] is to be done in its order. Not here: any rule (`core`).

use std::time::Duration;

use bytes::Bytes;

use super::Liveness;
use super::error::{Fault, MessageError};
use super::state::NodeState;
use crate::world::NodeId;

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Its id.
    pub node: NodeId,
    /// How often it was started, at least 1 ([`crate::identity`]).
    pub incarnation: u64,
    /// Where others reach it, as `host:port`.
    pub address: String,
}

/// A node to join, by whatever the configuration says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached, as `host:port`.
    pub address: String,
}

/// What a node knows about one node, itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Where it is reached, as `host:port`.
    pub address: String,
    /// Whether it takes part.
    pub liveness: Liveness,
    /// How often it was started.
    pub incarnation: u64,
    /// What this start of the node, or one before, said about itself last. `None` before the first word of it arrives.
    pub state: Option<NodeState>,
    /// Since when it has been so live in this incarnation, in the time that the inputs are given.
    pub since: Duration,
}

/// Names a time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub(super) u64);

/// What happens to a node's gossip.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message came.
    Message {
        /// The node that sent it, as its certificate says.
        from: NodeId,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The time that was asked for has come. Times that are due together are given in the order in which they are due.
    Timer(TimerId),
    /// The node has something new to say about itself. It is spread with the next regular word, so that speaking too
    /// often costs nothing; at once when it is that it stops.
    State(NodeState),
    /// These nodes are to be joined. They are spoken to until they are members, and whenever they are down.
    Join(Vec<Peer>),
    /// The node has left the cluster for good: from now on it is neither listed nor spoken to while it is down, whatever
    /// others say of it. To be given on every node.
    Forget(NodeId),
    /// The node leaves: the others are told that it is down, and nothing is sent any more.
    Leave,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make known where a node is reached. Comes before the first message to it.
    Introduce {
        /// The node.
        node: NodeId,
        /// Its address.
        address: String,
    },
    /// Send a message. It may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Bytes,
    },
    /// Give [`Input::Timer`] with this name after a time.
    Timer {
        /// After how long.
        after: Duration,
        /// Its name.
        timer: TimerId,
    },
    /// A node is alive: a new one, a new start of it, or one that was suspect or down.
    Up(NodeId),
    /// A node is suspected.
    Suspect(NodeId),
    /// A node is down.
    Down(NodeId),
    /// A node's address or state changed, or it was forgotten.
    Changed(NodeId),
    /// Two processes claim to be one node. If it is this node, gossip has stopped.
    Fault(Fault),
    /// A message was dropped.
    Refused {
        /// Who sent it.
        from: NodeId,
        /// Why.
        error: MessageError,
    },
}
