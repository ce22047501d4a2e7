//! What every engine under measurement can do, and the settings that they share.

#[cfg(feature = "peers")]
mod fjall;
#[cfg(feature = "peers")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod stator;

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::data::Entry;

/// The engines, ours first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Stator,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    #[cfg(feature = "peers")]
    Fjall,
    #[cfg(feature = "peers")]
    Redb,
}

impl Kind {
    /// The name, as in `--engines`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stator => "stator",
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => "rocksdb",
            #[cfg(feature = "peers")]
            Self::Fjall => "fjall",
            #[cfg(feature = "peers")]
            Self::Redb => "redb",
        }
    }

    /// The package whose version is that of the engine.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Stator => "stator-storage",
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => "librocksdb-sys",
            #[cfg(feature = "peers")]
            Self::Fjall => "fjall",
            #[cfg(feature = "peers")]
            Self::Redb => "redb",
        }
    }

    /// What the reader of a figure has to know of how the engine was set up.
    pub(crate) fn remark(self) -> &'static str {
        match self {
            Self::Stator => stator::REMARK,
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => rocksdb::REMARK,
            #[cfg(feature = "peers")]
            Self::Fjall => fjall::REMARK,
            #[cfg(feature = "peers")]
            Self::Redb => redb::REMARK,
        }
    }

    /// Opens the store of a folder, which is created if there is none.
    pub(crate) fn open(self, folder: &Path, shared: Shared) -> Result<Box<dyn Store>> {
        Ok(match self {
            Self::Stator => Box::new(stator::Stator::open(folder, shared)?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Box::new(rocksdb::RocksDb::open(folder, shared)?),
            #[cfg(feature = "peers")]
            Self::Fjall => Box::new(fjall::Fjall::open(folder, shared)?),
            #[cfg(feature = "peers")]
            Self::Redb => Box::new(redb::Redb::open(folder, shared)?),
        })
    }
}

/// The settings that all engines share, as far as they have them. LZ4 and 2 background threads, one to flush and one to
/// compact, are not to be chosen.
#[expect(clippy::struct_field_names, reason = "the unit is part of a name")]
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Shared {
    /// Memory for cached blocks.
    #[arg(long, default_value_t = 1 << 30)]
    pub(crate) cache_bytes: usize,
    /// A memtable is flushed at this size. Level 1 may be 4 times larger.
    #[arg(long, default_value_t = 64 << 20)]
    pub(crate) memtable_bytes: usize,
    /// Size of a block of Stator and RocksDB before compression; fjall and redb keep their 4 KiB.
    #[arg(long, default_value_t = 8 << 10)]
    pub(crate) block_bytes: usize,
}

/// How many memtables there may be at once, the active one included.
pub(crate) const MEMTABLES: usize = 4;
/// Level 1 may have the size of so many memtables.
const LEVEL1_MEMTABLES: usize = 4;
/// Bits of the bloom filters a key.
const BLOOM_BITS: u8 = 10;

/// The memory that an engine may use by its settings: cache and memtables, with 15 % for all else.
pub(crate) fn budget_bytes(shared: Shared) -> u64 {
    let bytes = shared.cache_bytes + MEMTABLES * shared.memtable_bytes;
    bytes as u64 * 115 / 100
}

/// When a put may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The write survives the end of the process; a power cut may lose it.
    Written,
    /// The write is on the disk (`fdatasync`).
    Synced,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// An engine under measurement.
pub(crate) trait Store: Send + Sync {
    /// Writes the entries as one batch, [`Durability::Written`].
    fn put_batch(&self, entries: &[Entry]) -> Result<()>;

    /// Writes one entry.
    fn put(&self, entry: &Entry, durability: Durability) -> Result<()>;

    /// Shows the value of a key to `see`; false if there is none.
    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// Shows up to `count` entries to `see`, from `key` on, which is among them if it exists.
    fn scan(
        &self,
        key: &[u8],
        direction: Direction,
        count: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()>;

    /// Moves what lies in memtables to where it stays, and waits for it.
    fn flush(&self) -> Result<()>;

    /// Closes the store as a program does that ends in good order.
    fn close(self: Box<Self>) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Values, is_value_of, shuffled, write_absent_key, write_key};

    fn entry(values: &Values, number: u64) -> Entry {
        let mut entry = Entry::default();
        write_key(number, &mut entry.key);
        values.write(number, 0, &mut entry.value);
        entry
    }

    /// Puts, gets, both scans, flush and reopening: the answers of a store must be those of all others.
    #[test]
    fn every_engine_does_the_same() {
        let shared = Shared {
            cache_bytes: 8 << 20,
            memtable_bytes: 1 << 20,
            block_bytes: 4096,
        };
        let values = Values::new();
        for kind in Kind::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().join("store");
            let store = kind.open(&folder, shared).unwrap();
            let entries: Vec<_> = shuffled(2000).map(|number| entry(&values, number)).collect();
            store.put_batch(&entries[..1000]).unwrap();
            store.flush().unwrap();
            for entry in &entries[1000..1990] {
                store.put(entry, Durability::Written).unwrap();
            }
            for entry in &entries[1990..] {
                store.put(entry, Durability::Synced).unwrap();
            }
            check(&*store, &entries);
            store.close().unwrap();
            let store = kind.open(&folder, shared).unwrap();
            check(&*store, &entries);
        }
    }

    fn check(store: &dyn Store, entries: &[Entry]) {
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        for number in (0..2000).step_by(7) {
            let mut key = Vec::new();
            write_key(number, &mut key);
            let mut right = false;
            assert!(
                store
                    .get(&key, &mut |value| right = is_value_of(number, value))
                    .unwrap()
            );
            assert!(right);
            write_absent_key(number, &mut key);
            assert!(!store.get(&key, &mut |_| ()).unwrap());
        }
        for (direction, at) in [(Direction::Forward, 700), (Direction::Backward, 1200)] {
            let mut seen = Vec::new();
            store
                .scan(&sorted[at].key, direction, 100, &mut |key, value| {
                    seen.push((key.to_vec(), value.to_vec()));
                })
                .unwrap();
            if direction == Direction::Backward {
                seen.reverse();
            }
            let from = if direction == Direction::Forward {
                at
            } else {
                at - 99
            };
            let expected: Vec<_> = sorted[from..from + 100]
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.clone()))
                .collect();
            assert!(seen == expected, "{direction:?}");
        }
    }
}
