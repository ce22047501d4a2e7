//! The settings of an engine.
//!
//! Invariant: an engine runs only with settings that passed [`Settings::validate`]. Not here: where settings come from.

use serde::Deserialize;

use crate::error::{Error, Result};

/// How sstable blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Stored as they are.
    None,
    /// LZ4 block format; a block that does not shrink is stored as it is.
    Lz4,
    /// Zstandard at level 3: smaller and slower; a block that does not shrink is stored as it is.
    Zstd,
}

/// How the sstables of a keyspace are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompactionStrategy {
    /// Levels without overlap, each a ratio larger than the one above: few files for a read, each byte rewritten several
    /// times.
    #[default]
    Leveled,
    /// Runs of about the same size: each byte rewritten few times, more files for a read and more space while merging.
    SizeTiered,
}

/// The settings of an [`Engine`](crate::Engine). Every field has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A memtable that holds this many bytes of batches is flushed.
    pub memtable_bytes_max: usize,
    /// So many full memtables may wait for their flush before writes are held back entirely. Writes are delayed, more
    /// with every step, from half of it on. Memory for writes is at most (this + 1) times `memtable_bytes_max`.
    pub memtables_waiting_max: usize,
    /// A log segment is preallocated to this size; when it is full, the next one begins.
    pub log_segment_bytes: u64,
    /// So many segments may be kept for one stream. With half of them, the engine flushes the memtable that keeps them and
    /// tells the owner that a stream of it [does](crate::Engine::holds_log); with more, it warns of the stream.
    pub log_segments_max: u64,
    /// The longest time between two syncs of the log while [`Durability::Interval`](crate::Durability::Interval)
    /// writes arrive: what a power cut may cost them.
    pub sync_interval_ms: u64,
    /// The size of an sstable block before compression.
    pub block_bytes: usize,
    /// The memory for decompressed blocks.
    pub block_cache_bytes: u64,
    /// How blocks are compressed.
    pub compression: Compression,
    /// How blocks are compressed that compaction writes to the deepest level, where most of the data lies.
    pub compression_bottom: Compression,
    /// Bloom filter bits a key; 0 switches the filters off.
    pub bloom_bits_per_key: u32,
    /// Compaction begins a new sstable after this many bytes.
    pub sstable_bytes: u64,
    /// So many sstables in level 0 of a keyspace start a compaction.
    pub level0_sstables_trigger: usize,
    /// From so many sstables in level 0 on, writes are delayed, more with every further one.
    pub level0_sstables_slowdown: usize,
    /// At so many sstables in level 0, writes wait until a compaction has ended.
    pub level0_sstables_stop: usize,
    /// The size that level 1 of a keyspace may reach; each further level may be `level_size_ratio` times larger.
    pub level1_bytes: u64,
    /// The size of a level in relation to the one above it.
    pub level_size_ratio: u64,
    /// So many compactions may run at a time.
    pub compaction_threads: usize,
    /// What compactions may write, all together; 0 is no limit. A flush is never held back.
    pub compaction_bytes_per_second_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memtable_bytes_max: 64 << 20,
            memtables_waiting_max: 3,
            log_segment_bytes: 32 << 20,
            log_segments_max: 32,
            sync_interval_ms: 100,
            block_bytes: 4 << 10,
            block_cache_bytes: 256 << 20,
            compression: Compression::Lz4,
            compression_bottom: Compression::Zstd,
            bloom_bits_per_key: 10,
            sstable_bytes: 64 << 20,
            level0_sstables_trigger: 4,
            level0_sstables_slowdown: 12,
            level0_sstables_stop: 24,
            level1_bytes: 256 << 20,
            level_size_ratio: 10,
            compaction_threads: 2,
            compaction_bytes_per_second_max: 0,
        }
    }
}

impl Settings {
    /// Checks every field against its range and against the others.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] names the first field that is out of its range, and the range.
    pub fn validate(&self) -> Result<()> {
        let at_least = |what: &'static str, value: u64, least: u64| {
            if value < least {
                return Err(Error::Invalid {
                    what,
                    detail: format!("is {value}, must be at least {least}"),
                });
            }
            Ok(())
        };
        at_least("memtable_bytes_max", self.memtable_bytes_max as u64, 1)?;
        at_least("memtables_waiting_max", self.memtables_waiting_max as u64, 1)?;
        at_least("log_segment_bytes", self.log_segment_bytes, 4096)?;
        at_least("log_segments_max", self.log_segments_max, 2)?;
        at_least("sync_interval_ms", self.sync_interval_ms, 1)?;
        at_least("block_bytes", self.block_bytes as u64, 64)?;
        at_least("sstable_bytes", self.sstable_bytes, 1)?;
        at_least("level0_sstables_trigger", self.level0_sstables_trigger as u64, 2)?;
        at_least(
            "level0_sstables_slowdown",
            self.level0_sstables_slowdown as u64,
            self.level0_sstables_trigger as u64,
        )?;
        at_least(
            "level0_sstables_stop",
            self.level0_sstables_stop as u64,
            self.level0_sstables_slowdown as u64 + 1,
        )?;
        at_least("level1_bytes", self.level1_bytes, 1)?;
        at_least("level_size_ratio", self.level_size_ratio, 2)?;
        at_least("compaction_threads", self.compaction_threads as u64, 1)?;
        if self.block_bytes > 16 << 20 {
            return Err(Error::Invalid {
                what: "block_bytes",
                detail: format!("is {}, must be at most {}", self.block_bytes, 16 << 20),
            });
        }
        if self.bloom_bits_per_key > 64 {
            return Err(Error::Invalid {
                what: "bloom_bits_per_key",
                detail: format!("is {}, must be at most 64", self.bloom_bits_per_key),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        Settings::default().validate().unwrap();
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let settings = Settings {
            sync_interval_ms: 0,
            ..Settings::default()
        };
        assert!(
            settings
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("sync_interval_ms: is 0")
        );
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(toml::from_str::<Settings>("block_bytes = 4096\ncompression = \"none\"").is_ok());
        assert!(toml::from_str::<Settings>("block_size = 4096").is_err());
    }
}
