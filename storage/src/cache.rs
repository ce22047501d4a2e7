//! The block cache: opened blocks of sstables, bounded by their bytes.
//!
//! Invariant: a block is found under the file and offset it was read from; file numbers are never used again while the
//! engine is open, so that an entry cannot go stale. The policy (quick_cache's, of the S3-FIFO family) keeps blocks that
//! were read once by a scan from driving out those that are read again and again.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::block::Block;
use crate::sstable::{Filter, Index};
use crate::statistics::StripedCounter;

/// What an entry costs besides its block: key, slot, queue place.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// Allocators round sizes up, by an eighth at most; on average this share of a block is lost to it.
const ALLOCATOR_SHARE: u64 = 16;

/// What reading a data block has to do with the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// It is looked for there, and left there for others.
    Keep,
    /// It is looked for there.
    Look,
    /// Nothing: neither a place nor a lock of it is taken.
    Bypass,
}

/// What a cache can hold of an sstable.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    Data(Block),
    Index(Arc<Index>),
    Filter(Filter),
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<(u64, u64), Cached> for ByBytes {
    fn weight(&self, _key: &(u64, u64), cached: &Cached) -> u64 {
        let bytes = match cached {
            Cached::Data(block) => block.bytes(),
            Cached::Index(index) => index.bytes(),
            Cached::Filter(filter) => filter.bytes(),
        };
        let bytes = bytes as u64;
        bytes + bytes / ALLOCATOR_SHARE + ENTRY_OVERHEAD_BYTES
    }
}

/// Blocks by file number and offset.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: Cache<(u64, u64), Cached, ByBytes>,
    /// What blocks may take, and what is held beside them.
    bytes_max: u64,
    /// What index blocks and filters may take that stay in memory as long as their sstable is open.
    pinned_bytes_max: u64,
    pinned_bytes: Mutex<u64>,
    hits: StripedCounter,
    misses: StripedCounter,
    filter_checks: StripedCounter,
    filter_passes: StripedCounter,
}

/// How the cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Blocks that were found in the cache.
    pub hits: u64,
    /// Blocks that had to be read.
    pub misses: u64,
    /// How often a filter was asked for a key or a partition.
    pub filter_checks: u64,
    /// How often it could not say that there was none.
    pub filter_passes: u64,
    /// Bytes of blocks in the cache.
    pub bytes: u64,
    /// Bytes of index blocks and filters that are held beside the cache.
    pub pinned_bytes: u64,
}

impl BlockCache {
    /// A cache for `bytes` of blocks, most of which will have about `block_bytes`. A quarter of it may be taken by index
    /// blocks and filters that are held as long as their sstable is open; the rest is for the others.
    pub(crate) fn new(bytes: u64, block_bytes: usize) -> Self {
        Self::with_options(bytes, block_bytes, &mut OptionsBuilder::new())
    }

    /// The same for use by one thread. What it evicts is decided by the calls alone: a shard keeps its blocks in order, and
    /// the hashes, which are others in every run, only share them out among the shards, of which there is one.
    pub(crate) fn for_one_thread(bytes: u64, block_bytes: usize) -> Self {
        Self::with_options(bytes, block_bytes, OptionsBuilder::new().shards(1))
    }

    fn with_options(bytes: u64, block_bytes: usize, options: &mut OptionsBuilder) -> Self {
        let items = usize::try_from(bytes / block_bytes as u64)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 24);
        let options = options.estimated_items_capacity(items).weight_capacity(bytes);
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let blocks = match options.build() {
            Ok(options) => Cache::with_options(options, ByBytes, hash, lifecycle),
            // Only options without a capacity are refused.
            Err(_) => Cache::with(items, bytes, ByBytes, hash, lifecycle),
        };
        Self {
            blocks,
            bytes_max: bytes,
            pinned_bytes_max: bytes / 4,
            pinned_bytes: Mutex::new(0),
            hits: StripedCounter::default(),
            misses: StripedCounter::default(),
            filter_checks: StripedCounter::default(),
            filter_passes: StripedCounter::default(),
        }
    }

    pub(crate) fn get(&self, file: u64, offset: u64) -> Option<Cached> {
        let found = self.blocks.get(&(file, offset));
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.count();
        found
    }

    /// Takes note of what a filter has said.
    pub(crate) fn count_filter(&self, passes: bool) {
        self.filter_checks.count();
        if passes {
            self.filter_passes.count();
        }
    }

    pub(crate) fn insert(&self, file: u64, offset: u64, cached: Cached) {
        self.blocks.insert((file, offset), cached);
    }

    /// Takes `bytes` of what may be held beside the cache; `false` if there is no room. Given back with
    /// [`BlockCache::unpin`].
    pub(crate) fn pin(&self, bytes: u64) -> bool {
        let mut pinned = self.pinned_bytes.lock();
        let fits = *pinned + bytes <= self.pinned_bytes_max;
        if fits {
            *pinned += bytes;
            self.blocks.set_capacity(self.bytes_max - *pinned);
        }
        fits
    }

    /// Whether [`BlockCache::pin`] would give so much.
    pub(crate) fn may_pin(&self, bytes: u64) -> bool {
        *self.pinned_bytes.lock() + bytes <= self.pinned_bytes_max
    }

    pub(crate) fn unpin(&self, bytes: u64) {
        let mut pinned = self.pinned_bytes.lock();
        *pinned -= bytes;
        self.blocks.set_capacity(self.bytes_max - *pinned);
    }

    pub(crate) fn statistics(&self) -> CacheStatistics {
        CacheStatistics {
            hits: self.hits.sum(),
            misses: self.misses.sum(),
            filter_checks: self.filter_checks.sum(),
            filter_passes: self.filter_passes.sum(),
            bytes: self.blocks.weight(),
            pinned_bytes: *self.pinned_bytes.lock(),
        }
    }
}
