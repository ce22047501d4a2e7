//! The engine: what the owner calls.
#![expect(unused_variables, reason = "interface first")]

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::batch::WriteBatch;
use crate::entry::{KeyspaceId, SequenceNumber, Value};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::vfs::Vfs;

/// What an acknowledgement of a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk: survives a power cut.
    Sync,
    /// Written to the log, synced within `sync_interval_ms`: survives the end of the process, and a power cut except
    /// for the writes of the last interval.
    Interval,
}

/// The order of a range read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// What a keyspace holds, roughly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStatistics {
    /// Bytes in sstables and memtables.
    pub bytes_approximate: u64,
    /// Entries in sstables and memtables; an overwritten or removed key may count more than once.
    pub entries_approximate: u64,
}

/// The engine. Clones share it; it is closed when the last is dropped.
#[derive(Clone, Debug)]
pub struct Engine;

impl Engine {
    /// Opens.
    pub fn open(vfs: Arc<dyn Vfs>, directory: &Path, settings: Settings) -> Result<Self> {
        Err(Error::Closed)
    }
    /// Closes.
    pub fn close(&self) -> Result<()> {
        Err(Error::Closed)
    }
    /// Creates a keyspace.
    pub fn create_keyspace(&self, name: &str) -> Result<KeyspaceId> {
        Err(Error::Closed)
    }
    /// Drops a keyspace.
    pub fn drop_keyspace(&self, id: KeyspaceId) -> Result<()> {
        Err(Error::Closed)
    }
    /// Finds a keyspace.
    pub fn keyspace(&self, name: &str) -> Option<KeyspaceId> {
        None
    }
    /// Lists.
    pub fn keyspaces(&self) -> Vec<(KeyspaceId, String)> {
        Vec::new()
    }
    /// Statistics.
    pub fn keyspace_statistics(&self, id: KeyspaceId) -> Result<KeyspaceStatistics> {
        Err(Error::Closed)
    }
    /// Commits.
    pub fn commit(
        &self,
        batch: WriteBatch,
        durability: Durability,
        done: impl FnOnce(Result<SequenceNumber>) + Send + 'static,
    ) {
    }
    /// Writes and waits.
    pub fn write(&self, batch: WriteBatch, durability: Durability) -> Result<SequenceNumber> {
        Err(Error::Closed)
    }
    /// Reads.
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        Err(Error::Closed)
    }
    /// A snapshot.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot
    }
}

/// A consistent state of all keyspaces.
#[derive(Debug)]
pub struct Snapshot;

impl Snapshot {
    /// Its sequence number.
    pub fn sequence(&self) -> SequenceNumber {
        0
    }
    /// Reads.
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        Err(Error::Closed)
    }
    /// Reads a range.
    pub fn range(
        &self,
        keyspace: KeyspaceId,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Result<RangeIterator> {
        Err(Error::Closed)
    }
}

/// Walks a range; owns what it reads from, so that it may outlive its snapshot.
#[derive(Debug)]
pub struct RangeIterator;

impl RangeIterator {
    /// Moves on.
    pub fn advance(&mut self) -> Result<bool> {
        Err(Error::Closed)
    }
    /// The key.
    pub fn key(&self) -> &[u8] {
        &[]
    }
    /// The value.
    pub fn value(&self) -> &[u8] {
        &[]
    }
    /// The value, shared.
    pub fn value_shared(&self) -> Value {
        Value(bytes::Bytes::new())
    }
}
