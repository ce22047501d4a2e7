//! The LSM engine of Stator: keyspaces of ordered bytes in one directory, written through one commit log.
//!
//! Synchronous; it owns its threads, or has none and does their work when its owner says so ([`Engine::open_driven`]).
//! Invariant: what was acknowledged is there after a restart, what was not is there
//! as a whole or not at all. Not here: items, attributes, nodes, HTTP. The formats on disk are documented in
//! `docs/format/`.

mod applied;
mod apply;
mod background;
mod batch;
mod block;
mod cache;
mod clock;
mod commit;
mod compaction;
mod core;
mod crypto;
mod damage;
mod drive;
mod engine;
mod entry;
mod environment;
mod error;
mod files;
mod flush;
mod header;
mod iter;
mod key;
mod log_step;
mod log_thread;
mod memtable;
mod open;
mod output;
mod rotation;
mod settings;
mod snapshot;
mod sstable;
mod statistics;
pub mod tools;
mod version;
pub mod vfs;
mod view;
mod wal;

pub use crate::core::Pressure;
pub use batch::{BATCH_BYTES_MAX, WriteBatch};
pub use cache::CacheStatistics;
pub use clock::{Clock, MonotonicClock};
pub use commit::Durability;
pub use compaction::filter::{CompactionFilter, CompactionRules};
pub use crypto::{DataKeyId, KEY_BYTES as MASTER_KEY_BYTES, MasterKey, MasterKeyId, MasterKeys, Random};
pub use damage::{CheckableFile, DamagedFile, LostSpan, SstableCheck};
pub use engine::{Engine, KEYSPACE_NAME_BYTES_MAX, KeyspaceStatistics};
pub use entry::{KEY_BYTES_MAX, KeyspaceId, SequenceNumber, VALUE_BYTES_MAX, Value};
pub use environment::Environment;
pub use error::{Error, Result};
pub use iter::Direction;
pub use iter::range::RangeIterator;
pub use rotation::{DataKeyStatus, KeyStatus};
pub use settings::{CompactionStrategy, Compression, Settings};
pub use snapshot::Snapshot;
pub use statistics::{EngineStatistics, LevelStatistics};
pub use version::{KeyspaceOptions, Recovery};
pub use wal::batch::LogBatch;
pub use wal::log::{LogEntry, LogStatistics, StreamInfo};
pub use wal::record::StreamId;
