//! The block cache: decompressed, checked blocks, bounded by their bytes.
//!
//! Invariant: a block is found under the file and offset it was read from; file numbers are never used again, so that
//! an entry cannot go stale. The policy (quick_cache's, of the S3-FIFO family) keeps blocks that were read once by a
//! scan from driving out those that are read again and again.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::block::Block;

/// What an entry costs besides its block.
const ENTRY_OVERHEAD_BYTES: u64 = 64;

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<(u64, u64), Block> for ByBytes {
    fn weight(&self, _key: &(u64, u64), block: &Block) -> u64 {
        block.bytes() as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// Blocks by file number and offset.
#[derive(Debug)]
pub(crate) struct BlockCache(Cache<(u64, u64), Block, ByBytes>);

impl BlockCache {
    /// A cache for `bytes` of blocks, most of which will have about `block_bytes`.
    pub(crate) fn new(bytes: u64, block_bytes: usize) -> Self {
        let items = usize::try_from(bytes / block_bytes as u64)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 24);
        Self(Cache::with_weighter(items, bytes, ByBytes))
    }

    pub(crate) fn get(&self, file: u64, offset: u64) -> Option<Block> {
        self.0.get(&(file, offset))
    }

    pub(crate) fn insert(&self, file: u64, offset: u64, block: Block) {
        self.0.insert((file, offset), block);
    }
}
