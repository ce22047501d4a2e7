//! Replicated cells: what `server` reads and writes, whatever number of nodes holds it.
//!
//! A cell is opaque bytes under key bytes whose first eight are the token. A write is a command: the caller's
//! [`Applier`] turns the current cell into a verdict while the key is latched, so that a read-modify-write is one step.
//! Today a cluster is one node and a group of one, which goes to the engine directly; levels are arguments already.
//! Not here: items, expressions, HTTP, policies.

mod coordinator;
mod error;
pub mod gossip;
pub mod identity;
mod latch;
pub mod offline;
mod world;

pub use coordinator::{
    Applier, Bounds, Cell, Cluster, ConsistencyLevel, Direction, Durability, Keyspace, KeyspaceSize,
    LocalRows, Row, Secrets, Settings, Verdict,
};
pub use error::Error;
pub use stator_storage::{MASTER_KEY_BYTES, MasterKey, MasterKeyId, MasterKeys, Random};
pub use world::{Inbox, Network, NodeId, Task, World};
