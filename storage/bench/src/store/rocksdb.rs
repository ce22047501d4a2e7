//! RocksDB, <https://rocksdb.org>, through <https://docs.rs/rocksdb>.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, Options, WriteBatch, WriteOptions,
};

use super::{BLOOM_BITS, Direction, Durability, LEVEL1_MEMTABLES, MEMTABLES, Shared, Store};
use crate::Result;
use crate::data::Entry;

pub(super) const REMARK: &str = "leveled, LZ4 in every level, HyperClockCache, recycled log files, index and filters in memory \
                                 outside the cache, statistics off, built with -O3";

pub(super) struct RocksDb {
    database: DB,
    synced: WriteOptions,
}

impl RocksDb {
    pub(super) fn open(folder: &Path, shared: Shared) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_hyper_clock_cache(shared.cache_bytes, 0));
        table.set_block_size(shared.block_bytes);
        table.set_bloom_filter(f64::from(BLOOM_BITS), false);
        table.set_cache_index_and_filter_blocks(false);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(shared.memtable_bytes);
        options.set_max_write_buffer_number(i32::try_from(MEMTABLES)?);
        options.set_target_file_size_base(shared.memtable_bytes as u64);
        options.set_max_bytes_for_level_base((LEVEL1_MEMTABLES * shared.memtable_bytes) as u64);
        options.set_max_open_files(-1);
        // One thread to flush and one to compact.
        options.set_max_background_jobs(2);
        // A log that is written over needs no new metadata with every sync; Stator's log does the same.
        options.set_recycle_log_file_num(MEMTABLES);
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Self {
            database: DB::open(&options, folder)?,
            synced,
        })
    }

    fn show(
        iterator: &mut DBRawIterator<'_>,
        step: fn(&mut DBRawIterator<'_>),
        count: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        for seen in 1..=count {
            let Some((key, value)) = iterator.item() else {
                break;
            };
            see(key, value);
            if seen < count {
                step(iterator);
            }
        }
        Ok(iterator.status()?)
    }
}

impl Store for RocksDb {
    fn put_batch(&self, entries: &[Entry]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for entry in entries {
            batch.put(&entry.key, &entry.value);
        }
        Ok(self.database.write(batch)?)
    }

    fn put(&self, entry: &Entry, durability: Durability) -> Result<()> {
        match durability {
            Durability::Written => self.database.put(&entry.key, &entry.value)?,
            Durability::Synced => self.database.put_opt(&entry.key, &entry.value, &self.synced)?,
        }
        Ok(())
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.database.get_pinned(key)?;
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
        let mut iterator = self.database.raw_iterator();
        match direction {
            Direction::Forward => {
                iterator.seek(key);
                Self::show(&mut iterator, |iterator| iterator.next(), count, see)
            }
            Direction::Backward => {
                iterator.seek_for_prev(key);
                Self::show(&mut iterator, |iterator| iterator.prev(), count, see)
            }
        }
    }

    fn flush(&self) -> Result<()> {
        Ok(self.database.flush()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // As Stator's log, this one is synced before the database is closed.
        self.database.flush_wal(true)?;
        self.database.cancel_all_background_work(true);
        Ok(())
    }
}
