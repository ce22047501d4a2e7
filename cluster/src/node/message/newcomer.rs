//! What a node asks the founders when it starts: whether the cluster knows it.
//!
//! Invariant: as that of the other messages. Not here: what a node may start as (`identity.rs`).

use prost::Message;

/// A node that starts asks what is known of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WhoAmI {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    /// The founders as the asking node knows them, as a hash; 0 if it is none of them.
    #[prost(uint64, tag = "2")]
    pub(crate) founders: u64,
    /// Where the answer goes.
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    /// All nodes that the asking node waits for an answer of.
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) asked: Vec<u64>,
}

/// What is known of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct You {
    #[prost(bool, tag = "1")]
    pub(crate) is_known: bool,
    #[prost(uint64, tag = "2")]
    pub(crate) incarnation: u64,
    /// Whether the founders are other ones where this was answered.
    #[prost(bool, tag = "3")]
    pub(crate) other_founders: bool,
    /// Whether the node has left the cluster, for good.
    #[prost(bool, tag = "4")]
    pub(crate) has_left: bool,
    /// Those of the asked nodes that have left the cluster, for good: nobody is to wait for them.
    #[prost(uint64, repeated, tag = "5")]
    pub(crate) gone: Vec<u64>,
    /// Whether this was true of the whole cluster, and not only of what the answering node had heard, at some time after the
    /// question came.
    #[prost(bool, tag = "6")]
    pub(crate) is_agreed: bool,
}
