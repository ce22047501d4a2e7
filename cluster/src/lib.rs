//! Replicated cells: what `server` reads and writes, whatever number of nodes holds it.
//!
//! A cell is opaque bytes under key bytes whose first eight are the token. A write is a command: the caller's
//! [`Applier`] turns the current cell into a verdict while the key is latched, so that a read-modify-write is one step.
//! A command that another node decides goes there as bytes, which [`Commands`] understands.
//! Today a cluster is one node and a group of one, which goes to the engine directly; levels are arguments already.
//! Not here: items, expressions, HTTP, policies.

mod command;
mod coordinator;
mod error;
pub mod gossip;
pub mod group;
pub mod hints;
pub mod identity;
mod latch;
mod level;
pub mod node;
pub mod offline;
pub mod raft;
pub mod ring;
mod runtime;
pub mod transport;
mod world;

pub use command::{
    Answer, Applier, Cell, Commands, InvocationId, MalformedAnswer, MalformedCommand, Verdict, WriteOptions,
};
pub use coordinator::{
    Bounds, Cluster, Direction, Durability, Keyspace, KeyspaceSize, LocalRows, Row, Secrets, Settings,
};
pub use error::Error;
pub use level::ConsistencyLevel;
pub use runtime::TokioWorld;
pub use stator_storage::{
    MASTER_KEY_BYTES, MasterKey, MasterKeyId, MasterKeys, Random, Settings as EngineSettings,
};
pub use world::{Inbox, MESSAGE_BYTES_MAX, Network, NodeId, Priority, Task, World};
