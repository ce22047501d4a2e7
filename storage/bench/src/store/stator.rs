//! Stator's own engine.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{
    Compression, Engine, Environment, KeyspaceId, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Settings,
    WriteBatch,
};

use super::{BLOOM_BITS, Direction, Durability, LEVEL1_MEMTABLES, MEMTABLES, Shared, Store};
use crate::Result;
use crate::data::Entry;

pub(super) const REMARK: &str =
    "encrypts its files, as no other here does; unsynced writes are synced within 100 ms";

pub(super) struct Stator {
    engine: Engine,
    keyspace: KeyspaceId,
}

/// The one place that knows what the engine wants in order to open.
fn open_engine(folder: &Path, settings: Settings) -> Result<Engine> {
    let environment = Environment::new(
        Arc::new(PosixVfs),
        Random::new(|bytes| getrandom::fill(bytes).map_err(std::io::Error::other)),
        MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES])),
        0,
    );
    Ok(Engine::open(environment, folder, settings)?)
}

impl Stator {
    pub(super) fn open(folder: &Path, shared: Shared) -> Result<Self> {
        let settings = Settings {
            memtable_bytes_max: shared.memtable_bytes,
            memtables_waiting_max: MEMTABLES - 1,
            block_bytes: shared.block_bytes,
            block_cache_bytes: shared.cache_bytes as u64,
            compression: Compression::Lz4,
            compression_bottom: Compression::Lz4,
            bloom_bits_per_key: u32::from(BLOOM_BITS),
            sstable_bytes: shared.memtable_bytes as u64,
            level1_bytes: (LEVEL1_MEMTABLES * shared.memtable_bytes) as u64,
            // With the thread that flushes: two in the background.
            compaction_threads: 1,
            ..Settings::default()
        };
        let engine = open_engine(folder, settings)?;
        let keyspace = match engine.keyspace("bench") {
            Some(keyspace) => keyspace,
            None => engine.create_keyspace("bench")?,
        };
        Ok(Self { engine, keyspace })
    }
}

impl Store for Stator {
    fn put_batch(&self, entries: &[Entry]) -> Result<()> {
        let bytes = entries
            .iter()
            .map(|entry| entry.key.len() + entry.value.len() + 16);
        let mut batch = WriteBatch::with_capacity(bytes.sum());
        for entry in entries {
            batch.put(self.keyspace, &entry.key, &entry.value);
        }
        self.engine.write(batch, stator_storage::Durability::Interval)?;
        Ok(())
    }

    fn put(&self, entry: &Entry, durability: Durability) -> Result<()> {
        let mut batch = WriteBatch::with_capacity(entry.key.len() + entry.value.len());
        batch.put(self.keyspace, &entry.key, &entry.value);
        let durability = match durability {
            Durability::Written => stator_storage::Durability::Interval,
            Durability::Synced => stator_storage::Durability::Sync,
        };
        self.engine.write(batch, durability)?;
        Ok(())
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.engine.get(self.keyspace, key)?;
        if let Some(value) = &value {
            see(value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        key: &[u8],
        direction: Direction,
        count: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let (bounds, direction) = match direction {
            Direction::Forward => (
                (Bound::Included(key), Bound::Unbounded),
                stator_storage::Direction::Forward,
            ),
            Direction::Backward => (
                (Bound::Unbounded, Bound::Included(key)),
                stator_storage::Direction::Backward,
            ),
        };
        let mut range = self.engine.snapshot().range(self.keyspace, bounds, direction)?;
        for _ in 0..count {
            if !range.advance()? {
                break;
            }
            see(range.key(), range.value());
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(self.engine.flush()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
