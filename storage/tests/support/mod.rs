//! What the tests of the engine share: tiny settings, and reading a keyspace whole.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stator_storage::vfs::Vfs;
use stator_storage::{
    Compression, Direction, Engine, Environment, KeyspaceId, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random,
    Result, Settings, Snapshot,
};

pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Settings under which a few writes fill memtables, blocks and levels.
pub fn tiny() -> Settings {
    Settings {
        memtable_bytes_max: 2_000,
        memtables_waiting_max: 2,
        log_segment_bytes: 4096,
        log_segments_max: 8,
        sync_interval_ms: 5,
        block_bytes: 128,
        block_cache_bytes: 4096,
        compression: Compression::Lz4,
        compression_bottom: Compression::Zstd,
        bloom_bits_per_key: 10,
        sstable_bytes: 1_000,
        level0_sstables_trigger: 2,
        level0_sstables_slowdown: 6,
        level0_sstables_stop: 12,
        level1_bytes: 3_000,
        level_size_ratio: 2,
        compaction_threads: 2,
        compaction_bytes_per_second_max: 0,
    }
}

/// The world of a test: a disk, keys, and bytes that are random enough and the same in every run.
pub fn environment(disk: Arc<dyn Vfs>) -> Environment {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let random = Random::new(|bytes| {
        for chunk in bytes.chunks_mut(8) {
            let next = NEXT
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    });
    let master_keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
    Environment::new(disk, random, master_keys, 0)
}

/// All entries between the bounds, in the order of the walk.
pub fn read_range(
    snapshot: &Snapshot,
    keyspace: KeyspaceId,
    bounds: (Bound<&[u8]>, Bound<&[u8]>),
    direction: Direction,
) -> Result<Entries> {
    let mut entries = Vec::new();
    let mut iterator = snapshot.range(keyspace, bounds, direction)?;
    while iterator.advance()? {
        assert_eq!(iterator.value(), &iterator.value_shared()[..]);
        entries.push((iterator.key().to_vec(), iterator.value().to_vec()));
    }
    Ok(entries)
}

/// All entries of a keyspace.
pub fn read_all(engine: &Engine, keyspace: KeyspaceId) -> Result<Entries> {
    let bounds = (Bound::Unbounded, Bound::Unbounded);
    read_range(&engine.snapshot(), keyspace, bounds, Direction::Forward)
}
