//! The LSM engine of Stator: keyspaces of ordered bytes in one directory, written through one commit log.
//!
//! Synchronous; it owns its threads. Invariant: what was acknowledged is there after a restart, what was not is there
//! as a whole or not at all. Not here: items, attributes, nodes, HTTP. The formats on disk are documented in
//! `docs/format/`.

mod batch;
mod engine;
mod entry;
mod error;
mod settings;
pub mod vfs;
mod wal;

pub use batch::{BATCH_BYTES_MAX, WriteBatch};
pub use engine::{Direction, Durability, Engine, KeyspaceStatistics, RangeIterator, Snapshot};
pub use entry::{KEY_BYTES_MAX, KeyspaceId, SequenceNumber, VALUE_BYTES_MAX, Value};
pub use error::{Error, Result};
pub use settings::{Compression, Settings};
