//! Snapshots: a consistent state of all keyspaces.
//!
//! Invariant: as long as a snapshot lives, no version that it sees is dropped, by flush, compaction or the drop of a
//! keyspace. It pins no memtable and no file by itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::Caching;
use crate::core::Core;
use crate::entry::{KeyspaceId, SequenceNumber, Value};
use crate::error::{Error, Result};
use crate::iter::Direction;
use crate::iter::range::{self, Bounds, RangeIterator};

/// A consistent state of all keyspaces. Taking one blocks nobody; holding one for long keeps overwritten versions on
/// disk.
pub struct Snapshot {
    core: Arc<Core>,
    sequence: SequenceNumber,
}

impl Snapshot {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let sequence = core.snapshots.register(|| core.published());
        Self { core, sequence }
    }

    /// The sequence number of the last batch that the snapshot sees.
    pub fn sequence(&self) -> SequenceNumber {
        self.sequence
    }

    /// The value of `key` at the snapshot. Keyspaces that were dropped after it was taken can still be read.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`], [`Error::Io`], [`Error::Corruption`], [`Error::Poisoned`].
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.core.check()?;
        let view = self.core.views.load();
        let keyspace = view
            .version
            .at(keyspace, self.sequence)
            .ok_or(Error::NoSuchKeyspace { id: keyspace })?;
        self.core.noting(range::get(&view, keyspace, key, self.sequence))
    }

    /// Walks the entries of `keyspace` within `bounds`, from the lower bound up or from the upper bound down. Bounds
    /// in the wrong order give an empty range.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`], [`Error::Io`], [`Error::Corruption`], [`Error::Poisoned`].
    pub fn range(
        &self,
        keyspace: KeyspaceId,
        bounds: Bounds<'_>,
        direction: Direction,
    ) -> Result<RangeIterator> {
        self.walk(keyspace, bounds, (direction, Caching::Keep))
    }

    /// The same for who reads much of a keyspace once and is in no hurry: data blocks are neither looked for in the cache nor left
    /// there, so that nobody who is in a hurry waits for a lock of it that the caller's thread holds, or misses a block that had to
    /// go.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKeyspace`], [`Error::Io`], [`Error::Corruption`], [`Error::Poisoned`].
    pub fn range_past_cache(
        &self,
        keyspace: KeyspaceId,
        bounds: Bounds<'_>,
        direction: Direction,
    ) -> Result<RangeIterator> {
        self.walk(keyspace, bounds, (direction, Caching::Bypass))
    }

    fn walk(
        &self,
        keyspace: KeyspaceId,
        bounds: Bounds<'_>,
        how: (Direction, Caching),
    ) -> Result<RangeIterator> {
        self.core.check()?;
        let view = self.core.views.load();
        let keyspace = view
            .version
            .at(keyspace, self.sequence)
            .ok_or(Error::NoSuchKeyspace { id: keyspace })?;
        let core = Arc::clone(&self.core);
        self.core.noting(RangeIterator::new(
            core,
            &view,
            keyspace,
            self.sequence,
            bounds,
            how,
        ))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.core.snapshots.release(self.sequence);
        if self.core.purge_waits.load(Ordering::Acquire) {
            self.core.flush_signal.notify();
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
