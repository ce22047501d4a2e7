//! Replicated cells: what `server` reads and writes, whatever number of nodes holds it.
//!
//! A cell is opaque bytes under key bytes whose first eight are the token. A write is a command: the caller's
//! [`Applier`] turns the current cell into a verdict while the key is latched, so that a read-modify-write is one step.
//! A command that another node decides goes there as bytes, which [`Commands`] understands.
//! A node alone is a cluster of one, on the same code.
//! Not here: items, expressions, HTTP, policies.

mod command;
mod coordinator;
mod derive;
mod error;
pub mod follow;
mod formats;
pub mod gossip;
mod group;
mod hints;
pub mod identity;
mod latch;
mod ledger;
mod level;
mod metadata;
mod node;
pub mod offline;
mod raft;
pub mod ring;
mod runtime;
mod seldom;
mod status;
mod transaction;
pub mod transport;
mod world;

pub use command::{
    Answer, Applier, Cell, Commands, Invocation, InvocationId, MalformedAnswer, MalformedCommand, Verdict,
    WriteOptions,
};
pub use coordinator::{
    Bounds, ClockOffset, Cluster, Cut, CutRows, Direction, Durability, Fill, Filled, Keyspace, LedRange,
    RepairProgress, Row, Secrets, Settings, Tally,
};
pub use derive::{
    APPENDED_KEY_BYTES, APPENDED_TIME_BYTES, Action, CellChange, Derived, DerivedRow, DerivedSum, Growth,
    Origin, Route, Unfit, UnfitSum, VERSION_KEY_BYTES, Value, sum_of, version_of,
};
pub use error::Error;
pub use formats::{FORMATS, FORMATS_OF_PARTS, FORMATS_OF_VERSIONS};
pub use group::journal::JournalError;
pub use group::settings::{Timing, TimingError};
pub use hints::HintStatus;
pub use level::ConsistencyLevel;
pub use node::exchange::ExchangeStatistics;
pub use node::settings::{Alone, Founder, MoveSettings, NodeSettings, ScrubSettings, Surroundings};
pub use runtime::{TokioWorld, stand_back};
pub use stator_storage::vfs::{File, LockGuard, Vfs, fault as disk_fault, posix::PosixVfs};
pub use stator_storage::{
    DataKeyId, DataKeyStatus, EngineStatistics, KeyStatus, MASTER_KEY_BYTES, MasterKey, MasterKeyId,
    MasterKeys, Random, Settings as EngineSettings,
};
pub use status::{
    ClusterStatus, GroupStatus, Liveness, MovesStatus, NodeStatus, ReadRepairStatus, ScrubStatus, Standing,
};
pub use transaction::{
    Reason, TRANSACTION_TOO_LARGE, Together, Token, TransactionAction, TransactionOutcome,
};
pub use world::{Inbox, MESSAGE_BYTES_MAX, Network, NodeId, Priority, Task, Work, World};
