//! Sstables: the sorted files that hold one keyspace's entries (`docs/format/sstable.md`).
//!
//! Invariant: a file is complete and durable before anything names it, and never changes. Not here: which files make
//! up a keyspace (`version/`).

use std::path::Path;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::block::Block;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::header::{u32_at, u64_at};
use crate::settings::Compression;

mod bloom;
mod cursor;
mod reader;
mod writer;

pub(crate) use cursor::SstableCursor;
pub(crate) use reader::{Lookup, Sstable, SstableContext};
pub(crate) use writer::SstableWriter;

const TRAILER_BYTES: usize = 9;
const HANDLE_BYTES: usize = 12;
const FOOTER_BYTES: usize = 56;
const FOOTER_MAGIC: &[u8; 4] = b"STSF";
const STORED_PLAIN: u8 = 0;
const STORED_LZ4: u8 = 1;

/// A block may grow to this when decompressed: room for the largest entry and then some.
const BLOCK_BYTES_MAX: u32 = 256 << 20;

/// What the manifest knows about an sstable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SstableMeta {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    pub(crate) first_key: Bytes,
    pub(crate) last_key: Bytes,
}

impl SstableMeta {
    /// Whether the key ranges of the two have a key in common.
    pub(crate) fn overlaps(&self, first_key: &[u8], last_key: &[u8]) -> bool {
        self.first_key <= last_key && first_key <= &self.last_key[..]
    }

    /// Whether `key` lies between the first and the last key.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.first_key <= key && key <= &self.last_key[..]
    }
}

/// Where a block lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle {
    offset: u64,
    length: u32,
}

impl Handle {
    fn encode(self) -> [u8; HANDLE_BYTES] {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            offset: u64_at(bytes, 0)?,
            length: u32_at(bytes, 8)?,
        })
    }
}

fn checksum(contents: &[u8], file: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(contents, file.rotate_left(32) ^ offset)
}

/// Appends `contents` as a block on disk, at `offset` of file number `file`.
fn encode_block(
    into: &mut Vec<u8>,
    contents: &[u8],
    compression: Compression,
    file: u64,
    offset: u64,
) -> u32 {
    let start = into.len();
    let compressed = match compression {
        Compression::Lz4 => Some(lz4_flex::block::compress_prepend_size(contents)),
        Compression::None => None,
    };
    if let Some(compressed) = compressed.filter(|compressed| compressed.len() < contents.len()) {
        into.extend_from_slice(&compressed);
        into.push(STORED_LZ4);
    } else {
        into.extend_from_slice(contents);
        into.push(STORED_PLAIN);
    }
    let sum = checksum(&into[start..], file, offset);
    into.extend_from_slice(&sum.to_le_bytes());
    u32::try_from(into.len() - start).unwrap_or(u32::MAX)
}

/// Checks and decompresses a block as it was read from `offset` of file number `number`.
fn decode_block(file: &Path, number: u64, offset: u64, mut stored: Vec<u8>) -> Result<Bytes> {
    let bad = |detail: &str| Error::corruption(file, offset, detail);
    let contents_end = stored
        .len()
        .checked_sub(TRAILER_BYTES)
        .ok_or_else(|| bad("the block is cut"))?;
    let sum = u64_at(&stored, contents_end + 1);
    if sum != Some(checksum(&stored[..=contents_end], number, offset)) {
        return Err(bad("the checksum of the block does not match"));
    }
    match stored[contents_end] {
        STORED_PLAIN => {
            stored.truncate(contents_end);
            Ok(Bytes::from(stored))
        }
        STORED_LZ4 => {
            if u32_at(&stored, 0).is_none_or(|size| size > BLOCK_BYTES_MAX) {
                return Err(bad("the decompressed block would be too large"));
            }
            lz4_flex::block::decompress_size_prepended(&stored[..contents_end])
                .map(Bytes::from)
                .map_err(|error| bad(&format!("the block does not decompress: {error}")))
        }
        other => Err(bad(&format!("the block has the unknown compression {other}"))),
    }
}

fn open_block(file: &Path, offset: u64, contents: Bytes) -> Result<Block> {
    Block::open(contents).map_err(|_| Error::corruption(file, offset, "the block does not decode"))
}
