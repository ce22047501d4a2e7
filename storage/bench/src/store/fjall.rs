//! fjall, <https://docs.rs/fjall>: an LSM engine in Rust.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{BLOOM_BITS, Direction, Durability, Shared, Store};
use crate::Result;
use crate::data::Entry;

pub(super) const REMARK: &str = "LZ4 in every level (its default leaves levels 0 and 1 alone), 4 KiB blocks (its default), \
                                 the number of memtables cannot be set";

pub(super) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Fjall {
    pub(super) fn open(folder: &Path, shared: Shared) -> Result<Self> {
        let database = Database::builder(folder)
            .cache_size(shared.cache_bytes as u64)
            .worker_threads(2)
            .open()?;
        let options = || {
            let bloom = BloomConstructionPolicy::BitsPerKey(f32::from(BLOOM_BITS));
            KeyspaceCreateOptions::default()
                .max_memtable_size(shared.memtable_bytes as u64)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(bloom)))
                // Level 1 is 4 tables large.
                .compaction_strategy(Arc::new(
                    Leveled::default().with_table_target_size(shared.memtable_bytes as u64),
                ))
        };
        let keyspace = database.keyspace("bench", options)?;
        Ok(Self { database, keyspace })
    }
}

impl Store for Fjall {
    fn put_batch(&self, entries: &[Entry]) -> Result<()> {
        let mut batch = self.database.batch();
        for entry in entries {
            batch.insert(&self.keyspace, &entry.key[..], &entry.value[..]);
        }
        Ok(batch.commit()?)
    }

    fn put(&self, entry: &Entry, durability: Durability) -> Result<()> {
        if durability == Durability::Written {
            return Ok(self.keyspace.insert(&entry.key[..], &entry.value[..])?);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.keyspace, &entry.key[..], &entry.value[..]);
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.keyspace.get(key)?;
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
        let mut show = |guard: Guard| -> Result<()> {
            let (key, value) = guard.into_inner()?;
            see(&key, &value);
            Ok(())
        };
        match direction {
            Direction::Forward => self.keyspace.range(key..).take(count).try_for_each(&mut show),
            Direction::Backward => self
                .keyspace
                .range(..=key)
                .rev()
                .take(count)
                .try_for_each(&mut show),
        }
    }

    fn flush(&self) -> Result<()> {
        Ok(self.keyspace.rotate_memtable_and_wait()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Dropping a database ends its threads; the log is synced first, as Stator's is when it closes.
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
